"""What goes wrong on the way, in our own errors.

The exceptions of requests and urllib3 carry the whole address with the token in it. None of them
leaves the package: only their class and masked text do, as the cause of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import HTTPError, LocationValueError, ReadTimeoutError, SSLError

from qianfan_magic.api.wire.error_codes import api_error
from qianfan_magic.errors import QianfanError, TransportError
from qianfan_magic.masking import Cause

#: Where the address of a server comes from.
ADDRESS = "QIANFAN_BASE_URL (version 2: QIANFAN_CONSOLE_API_BASE_URL)"
RETRIED_STATUSES = {429, 500, 502, 503, 504}


#: Kinds of failure, the first that fits: what happened, what to do, and whether it may pass.
_FAILURES: tuple[tuple[tuple[type[Exception], ...], str, str, bool], ...] = (
    (
        (requests.exceptions.SSLError, SSLError),
        "The server's certificate is not accepted",
        (
            "Set REQUESTS_CA_BUNDLE to your network's certificate file, or, only if you know why, "
            "QIANFAN_SSL_VERIFICATION_ENABLED=false."
        ),
        False,
    ),
    (
        # The server's own address has been checked: a scheme that is unknown is the proxy's.
        (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema),
        "The address of the proxy is not one, or of a kind that is not supported",
        "Check QIANFAN_PROXY, HTTP_PROXY and HTTPS_PROXY: http://host:port; socks5 needs PySocks.",
        False,
    ),
    (
        (requests.exceptions.ProxyError,),
        "The proxy cannot be reached",
        "Check QIANFAN_PROXY and HTTPS_PROXY.",
        True,
    ),
    (
        (requests.Timeout, TimeoutError, ReadTimeoutError),
        "The server did not answer in time",
        "Try again, or wait longer: --timeout SECONDS.",
        True,
    ),
    (
        (
            requests.exceptions.InvalidURL,
            LocationValueError,
            UnicodeError,
        ),
        "The address of the server, or of the proxy, is not one",
        f"Check {ADDRESS}, and QIANFAN_PROXY or HTTPS_PROXY if there is one.",
        False,
    ),
    (
        (Exception,),
        "No connection to the server, or it was lost",
        f"Check the network, the proxy and {ADDRESS}; %qianfan doctor looks at them.",
        True,
    ),
)


def transport_error(error: Exception) -> TransportError:
    """Say in plain words why a request did not get through; keep a masked cause."""
    # requests wraps a time-out in the middle of a body into a ConnectionError.
    inner = error.args[0] if error.args and isinstance(error.args[0], HTTPError) else error
    _, message, hint, passes = next(
        row for row in _FAILURES if isinstance(inner, row[0]) or isinstance(error, row[0])
    )
    failure = TransportError(message, hint=hint, retryable=passes)
    failure.__cause__ = Cause.of(error)
    return failure


def foreign_failure(response: requests.Response, described: str) -> TransportError:
    """Say that an answer is not the service's."""
    kind = content_type(response) or "no content type"
    return TransportError(
        f"The answer is not Qianfan's (HTTP {response.status_code}{_reason(response)}, {kind}, "
        f"{described})",
        hint="Is its address the service itself, and not a login page or a proxy?",
        retryable=response.status_code in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


def _reason(response: requests.Response) -> str:
    return f" {response.reason}" if not response.ok and response.reason else ""


def content_type(response: requests.Response) -> str:
    """Return the media type of an answer, in small letters; empty if it names none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def status_failure(response: requests.Response) -> TransportError:
    """Say what an HTTP status means that comes without the service's own error."""
    status = response.status_code
    return TransportError(
        f"The server answered HTTP {status}{_reason(response)}",
        hint=_STATUS_HINTS.get(status, f"Is {ADDRESS} right?"),
        retryable=status in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Check the keys in your .env.",
    HTTPStatus.FORBIDDEN: "Check the keys in your .env, and that they may use this service.",
    HTTPStatus.TOO_MANY_REQUESTS: "Wait a minute: you are sending faster than you may.",
}


def api_failure(
    error: tuple[int | str, str], payload: dict[str, Any], response: requests.Response
) -> QianfanError:
    """Turn the service's own error, its code and words, into an exception."""
    code, words = error
    status = response.status_code
    failure = api_error(
        code,
        words,
        status=status,
        request_id=str(payload.get("id") or ""),
        retry_after=retry_after(response),
    )
    failure.retryable = failure.retryable or status in RETRIED_STATUSES
    return failure


def retry_after(response: requests.Response) -> float | None:
    """Read the header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    sent = response.headers.get("Retry-After", "")
    if sent.isdecimal():
        return float(sent)
    try:
        return max((parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None

"""HTTP failures as this package's errors.

The exceptions of requests and urllib3 contain the whole URL with the token in it. None of them
leaves the package; only their class and masked text do, as the cause of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead, InvalidURL, RemoteDisconnected
from ssl import SSLCertVerificationError
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import (
    DecodeError,
    LocationValueError,
    ReadTimeoutError,
    SSLError,
)

from qianfan_magic.api.json_depth import is_too_deep, json_as_text
from qianfan_magic.api.wire.error_codes import api_error
from qianfan_magic.errors import QianfanError, TransportError
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import Cause

__all__ = [
    "ADDRESS",
    "RETRIED_STATUSES",
    "content_type",
    "error_words",
    "refusal_error",
    "retry_after",
    "service_error",
    "status_error",
    "transport_error",
    "unexpected_response_error",
]

#: The settings that a server's address comes from, as hints name them.
ADDRESS = "QIANFAN_API_BASE_URL (version 1: QIANFAN_BASE_URL)"
#: Largest number of entries of a list in the body of an error that are shown.
_MAX_DETAILS = 5
#: Statuses of temporary failures: rate limits and servers that are overloaded or restarting.
RETRIED_STATUSES = {429, 500, 502, 503, 504}


class _Failure(NamedTuple):
    """A kind of failure: the exceptions it stands for, and what the user reads."""

    exceptions: tuple[type[Exception], ...]
    message: str
    hint: str
    retryable: bool


#: The first row that matches applies, so the order is from special to general.
_FAILURES = (
    _Failure(
        (SSLCertVerificationError,),
        mark("The server's certificate is not accepted"),
        mark(
            "Set REQUESTS_CA_BUNDLE to your network's certificate file, or, only if you know why, "
            "QIANFAN_SSL_VERIFICATION_ENABLED=false."
        ),
        retryable=False,
    ),
    _Failure(
        (requests.exceptions.SSLError, SSLError),
        mark("The server does not begin a TLS connection"),
        mark("Check {address}: http or https, and the port."),
        retryable=True,
    ),
    _Failure(
        # The settings accept http and https only, so an unknown scheme is the proxy's.
        (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema),
        mark("The address of the proxy is invalid, or its kind is not supported"),
        mark(
            "Check QIANFAN_PROXY, HTTP_PROXY and HTTPS_PROXY: http://host:port; socks5 needs "
            "PySocks."
        ),
        retryable=False,
    ),
    _Failure(
        (requests.exceptions.ProxyError,),
        mark("The proxy cannot be reached"),
        mark("Check QIANFAN_PROXY and HTTPS_PROXY."),
        retryable=True,
    ),
    _Failure(
        (requests.Timeout, TimeoutError, ReadTimeoutError),
        mark("The server did not answer in time"),
        mark("Try again, or wait longer: --timeout SECONDS."),
        retryable=True,
    ),
    _Failure(
        (requests.exceptions.ContentDecodingError, DecodeError),
        mark("The compressed answer is damaged"),
        mark("Try again; if that does not help, a proxy may have changed it."),
        retryable=True,
    ),
    _Failure(
        (requests.exceptions.InvalidURL, InvalidURL, LocationValueError, UnicodeError),
        mark("The address of the server or of the proxy is invalid"),
        mark("Check {address}, and QIANFAN_PROXY or HTTPS_PROXY if there is one."),
        retryable=False,
    ),
    _Failure(
        (HTTPException,),
        mark("The server's answer is not HTTP"),
        mark("Check {address}: http or https, and the port."),
        retryable=False,
    ),
    _Failure(
        (Exception,),
        mark("No connection to the server, or it was lost"),
        mark(
            "Check the network, {address}, and QIANFAN_PROXY or HTTPS_PROXY if there is one; "
            "%qianfan doctor looks at them."
        ),
        retryable=True,
    ),
)


def transport_error(error: Exception) -> TransportError:
    """Translate an exception of requests or urllib3; its masked text becomes the cause."""
    causes = [error, *_causes(error)]
    row = next(
        row for row in _FAILURES if any(isinstance(cause, row.exceptions) for cause in causes)
    )
    hint = tr(row.hint, address=ADDRESS)
    failure = TransportError(tr(row.message), hint=hint, retryable=row.retryable)
    failure.__cause__ = Cause.of(error)
    return failure


def _causes(error: Exception) -> Iterator[Exception]:
    """Yield the exceptions of urllib3, http.client and ssl that one of requests wraps."""
    for cause in (*error.args, getattr(error, "reason", None)):
        # These two of http.client say that the connection was lost.
        if isinstance(cause, Exception) and not isinstance(
            cause, RemoteDisconnected | IncompleteRead
        ):
            yield cause
            yield from _causes(cause)


def unexpected_response_error(response: requests.Response, description: str) -> TransportError:
    """Make the error for a response that the service cannot have sent, such as a login page.

    Parameters
    ----------
    response
        Its status, content type and ``Retry-After`` are reported.
    description
        What is unexpected about it.
    """
    media_type = content_type(response) or tr("no content type")
    return TransportError(
        tr(
            "The answer is not Qianfan's (HTTP {status}{reason}, {media_type}, {description})",
            status=response.status_code,
            reason=_reason(response),
            media_type=media_type,
            description=description,
        ),
        hint=tr("Is its address the service itself, and not a login page or a proxy?"),
        retryable=response.status_code in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


def _reason(response: requests.Response) -> str:
    return f" {response.reason}" if not response.ok and response.reason else ""


def content_type(response: requests.Response) -> str:
    """Return the media type of a response in lower case; empty if it has none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: mark("Check the keys in your .env."),
    HTTPStatus.FORBIDDEN: mark("Check the keys in your .env, and that they may use this service."),
    HTTPStatus.NOT_FOUND: mark(
        "Is {address} right? It is the root, such as http://localhost:8000/v1; %qianfan doctor "
        "tries it."
    ),
    HTTPStatus.TOO_MANY_REQUESTS: mark(
        "Wait a minute: you are sending requests faster than allowed."
    ),
}


def status_error(response: requests.Response) -> TransportError:
    """Make the error for an HTTP status that comes without an error of the service."""
    status = response.status_code
    return TransportError(
        tr("The server answered HTTP {status}{reason}", status=status, reason=_reason(response)),
        hint=tr(_STATUS_HINTS.get(status, mark("Is {address} right?")), address=ADDRESS),
        retryable=status in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


def service_error(
    error: tuple[int | str, str], payload: Mapping[str, Any], response: requests.Response
) -> QianfanError:
    """Make the exception for an error that the service reports in JSON.

    Parameters
    ----------
    error
        Its code and message.
    payload
        The JSON object that contains it; its ``id`` is the request's.
    response
        Its status and ``Retry-After`` decide whether the request is sent again.
    """
    code, message = error
    status = response.status_code
    failure = api_error(
        code,
        message,
        status=status,
        request_id=json_as_text(payload.get("id") or ""),
        retry_after=retry_after(response),
    )
    failure.retryable = failure.retryable or status in RETRIED_STATUSES
    return failure


def error_words(payload: Mapping[str, Any]) -> str:
    """Return what a server other than Qianfan says in the JSON of an error; empty if nothing.

    Examples
    --------
    >>> error_words({"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]})
    'body.messages: Field required'
    """
    found = (payload.get(name) for name in ("message", "msg", "detail", "error"))
    shallow = (value for value in found if not is_too_deep(value))
    return next((words for words in map(_words, shallow) if words), "")


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):  # FastAPI's list of what does not fit
        return "; ".join(filter(None, map(_words, value[:_MAX_DETAILS])))
    if not isinstance(value, dict):
        return ""
    words, place = _words(value.get("msg") or value.get("message")), value.get("loc")
    return f"{'.'.join(map(str, place))}: {words}" if words and isinstance(place, list) else words


def refusal_error(response: requests.Response, words: str) -> QianfanError:
    """Make the exception for an error whose body has words but no code: its status stands for one.

    Parameters
    ----------
    response
        Its status decides on the class of the exception.
    words
        What the server says.
    """
    return service_error((response.status_code, words), {}, response)


#: The number of seconds in a ``Retry-After``; the standard has no fraction, some servers do.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")


def retry_after(response: requests.Response) -> float | None:
    """Read ``Retry-After`` (RFC 9110, section 10.2.3), a number or a date, as seconds from now."""
    value = response.headers.get("Retry-After", "")
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None

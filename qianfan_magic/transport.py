"""One exchange over HTTP: send, and read what comes back as JSON objects.

Everything that requests and urllib3 raise turns into our errors here. Their exceptions carry the
whole address with the token in it, so ours are raised *outside* the ``except`` blocks: Python
would otherwise hang theirs on as ``__context__``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from qianfan_magic.errors import QianfanError, StreamError, TransportError, api_error
from qianfan_magic.masking import Cause, guard_logs
from qianfan_magic.sse import EventDecoder

# urllib3 writes addresses, which hold the token, into its log.
guard_logs(
    "urllib3.connectionpool", "urllib3.connection", "urllib3.poolmanager", "urllib3.response"
)
guard_logs("urllib3.util.retry")

RETRIED_STATUSES = {429, 500, 502, 503, 504}
#: How much is taken from the connection at once, in bytes; less if less is there.
PIECE = 65_536


def post(session: requests.Session, url: str, **kwargs: Any) -> requests.Response:
    """Send a POST and return as soon as the headers are there.

    Raises
    ------
    TransportError
        If no answer comes, or a redirect, which is not followed: keys and questions go only to
        the address that the user set.
    """
    failure: QianfanError
    try:
        response = session.post(url, stream=True, allow_redirects=False, **kwargs)
    except requests.RequestException as error:
        failure = transport_error(error)
    else:
        if not response.is_redirect:
            return response
        response.close()
        failure = TransportError(
            f"The server redirects to {response.headers['Location']}; that is not followed",
            hint="If you trust that address, set QIANFAN_BASE_URL to it.",
        )
    raise failure


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
        (requests.exceptions.ProxyError,),
        "The proxy cannot be reached",
        "Check QIANFAN_PROXY and HTTPS_PROXY.",
        True,
    ),
    (
        (requests.Timeout, ReadTimeoutError),
        "The server did not answer in time",
        "Try again, or wait longer: --timeout SECONDS.",
        True,
    ),
    (
        (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema),
        "The address of the server is not one",
        "Check QIANFAN_BASE_URL.",
        False,
    ),
    (
        (Exception,),
        "No connection to the server, or it was lost",
        "Check the network, the proxy and QIANFAN_BASE_URL; %qianfan demo needs neither.",
        True,
    ),
)


def transport_error(error: Exception) -> TransportError:
    """Say in plain words why a request did not get through; keep a masked cause."""
    _, message, hint, passes = next(row for row in _FAILURES if isinstance(error, row[0]))
    failure = TransportError(message, hint=hint, retryable=passes)
    failure.__cause__ = Cause.of(error)
    return failure


def read_payloads(response: requests.Response) -> Iterator[dict[str, Any]]:
    """Give the JSON objects of an answer, of a stream or whole, as they arrive.

    Raises
    ------
    APIError
        For an object with an ``error_code``, wherever it stands.
    StreamError
        For a stream that is cut, falls silent or is not JSON.
    TransportError
        For an answer that is not the service's: HTML, nothing, or half a JSON.
    """
    with response:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream" and response.ok:
            for data in _events(response):
                yield _checked(_parse_event(data), response)
        else:
            yield _checked(_parse_whole(response, kind), response)


def _events(response: requests.Response) -> Iterator[str]:
    decoder = EventDecoder()
    failure: QianfanError | None = None
    try:
        while piece := _piece(response):
            yield from decoder.feed(piece)
    except ValueError as error:
        failure = StreamError(f"The stream is not the protocol: {error}")
    except (HTTPError, OSError) as error:
        failure = _broken(error)
    if failure:
        raise failure
    yield from decoder.close()


def _piece(response: requests.Response) -> bytes:
    # iter_content(n) waits for n bytes where the connection is not chunked; read1 does not.
    return response.raw.read1(PIECE, decode_content=True)


def _broken(error: Exception) -> StreamError:
    silent = isinstance(error, ReadTimeoutError | TimeoutError)
    failure = StreamError(
        "The stream fell silent" if silent else "The connection was lost in the stream",
        hint="Run the cell again" + ("; --timeout SECONDS waits longer." if silent else "."),
        retryable=True,
    )
    failure.__cause__ = Cause.of(error)
    return failure


def _parse_event(data: str) -> Any:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise StreamError(
            f"The stream is not the protocol: {len(data):,} characters that are no JSON object",
            hint="Is QIANFAN_BASE_URL the service itself?",
        )
    return event


def _parse_whole(response: requests.Response, kind: str) -> Any:
    failure: QianfanError
    try:
        body = response.content
        return json.loads(body)
    except requests.RequestException as error:
        failure = transport_error(error)
    except (ValueError, RecursionError):
        status = f"HTTP {response.status_code}, {kind or 'no content type'}, {len(body):,} bytes"
        failure = TransportError(
            f"The answer is not Qianfan's ({status}){_reason(response)}",
            hint="Is QIANFAN_BASE_URL the service itself, and not a login page or a proxy?",
            retryable=response.status_code in RETRIED_STATUSES,
            retry_after=retry_after(response),
        )
    raise failure


def _reason(response: requests.Response) -> str:
    return f": {response.reason}" if not response.ok and response.reason else ""


def _checked(payload: Any, response: requests.Response) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise TransportError("The answer is not Qianfan's: it is JSON, but no object")
    if payload.get("error_code"):
        raise _said(payload, response)
    if not response.ok and "error" not in payload:
        raise TransportError(
            f"The server answered HTTP {response.status_code}{_reason(response)}",
            hint=_STATUS_HINTS.get(response.status_code, "Is QIANFAN_BASE_URL right?"),
            retryable=response.status_code in RETRIED_STATUSES,
            retry_after=retry_after(response),
        )
    return payload


_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Check the keys in your .env.",
    HTTPStatus.FORBIDDEN: "Check the keys in your .env, and that they may use this service.",
    HTTPStatus.TOO_MANY_REQUESTS: "Wait a minute: you are sending faster than you may.",
}


def _said(payload: dict[str, Any], response: requests.Response) -> QianfanError:
    code = payload["error_code"]
    error = api_error(
        int(code) if str(code).lstrip("-").isdecimal() else 0,
        str(payload.get("error_msg", "")),
        request_id=str(payload.get("id", "")),
        retry_after=retry_after(response),
    )
    error.retryable = error.retryable or response.status_code in RETRIED_STATUSES
    return error


def retry_after(response: requests.Response) -> float | None:
    """Read the header ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    sent = response.headers.get("Retry-After", "")
    if sent.isdecimal():
        return float(sent)
    try:
        return max((parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None

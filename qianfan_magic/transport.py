"""One exchange over HTTP: send, and read what comes back as JSON objects.

Everything that requests and urllib3 raise turns into our errors here. Their exceptions carry the
whole address with the token in it, so ours are raised *outside* the ``except`` blocks: Python
would otherwise hang theirs on as ``__context__``.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, LocationValueError, ReadTimeoutError, SSLError

from qianfan_magic.errors import (
    QianfanError,
    StreamError,
    TransportError,
    api_error,
)
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


class Session(requests.Session):
    """A session that does not look at redirects: requests would read their bodies first."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is none; `post` refuses them."""
        del resp


def post(session: Session, url: str, **kwargs: Any) -> requests.Response:
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
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        failure = transport_error(error)
    except OSError as error:  # of requests itself: the file of certificates is not there
        failure = TransportError(
            "The file of certificates cannot be read",
            hint="Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.",
        )
        failure.__cause__ = Cause.of(error)
    else:
        if not response.is_redirect:
            return response
        response.close()
        failure = TransportError(
            f"The server redirects to {_host(response.headers['Location'])}; that is not followed",
            hint="If you trust that address, set QIANFAN_BASE_URL to it.",
        )
    raise failure


def _host(location: str) -> str:
    """Name where a redirect goes, without what its address may carry."""
    try:
        return urlsplit(location).netloc.rpartition("@")[2] or "another address"
    except ValueError:
        return "something that is no address"


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
        (requests.Timeout, TimeoutError, ReadTimeoutError),
        "The server did not answer in time",
        "Try again, or wait longer: --timeout SECONDS.",
        True,
    ),
    (
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            LocationValueError,
            UnicodeError,
        ),
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
    # requests wraps a time-out in the middle of a body into a ConnectionError.
    inner = error.args[0] if error.args and isinstance(error.args[0], HTTPError) else error
    _, message, hint, passes = next(
        row for row in _FAILURES if isinstance(inner, row[0]) or isinstance(error, row[0])
    )
    failure = TransportError(message, hint=hint, retryable=passes)
    failure.__cause__ = Cause.of(error)
    return failure


def read_payloads(response: requests.Response) -> Generator[dict[str, Any]]:
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
        if is_stream(response):
            for data in _events(response):
                yield checked(_parse_event(data), response)
        else:
            yield checked(read_object(response), response)


def is_stream(response: requests.Response) -> bool:
    """Tell whether an answer comes in events; which of the two was asked for does not matter."""
    return response.ok and _content_type(response) == "text/event-stream"


def _content_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _events(response: requests.Response) -> Iterator[str]:
    decoder = EventDecoder()
    failure: QianfanError | None = None
    try:
        for piece in _pieces(response):
            yield from decoder.feed(piece)
    except ValueError as error:
        failure = StreamError(f"The stream is not the protocol: {error}")
    except (HTTPError, OSError) as error:
        failure = _broken(error)
    # What had come whole before the connection was lost may be the service's own error.
    yield from (data for data in decoder.close() if not failure or _is_json(data))
    if failure:
        raise failure


def _is_json(data: str) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _pieces(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    if raw.chunked:
        # Gives each chunk of the connection as it comes, at half the cost of read1.
        return raw.read_chunked(PIECE, decode_content=True)
    # read_chunked is for chunks only, and iter_content(n) waits for n bytes; read1 does not.
    return iter(lambda: raw.read1(PIECE, decode_content=True) or b"", b"")


def _broken(error: Exception) -> StreamError:
    silent = isinstance(error, ReadTimeoutError | TimeoutError)
    failure = StreamError(
        "The stream fell silent" if silent else "The connection was lost in the stream",
        hint="Run the cell again" + ("; --timeout SECONDS waits longer." if silent else "."),
        retryable=True,
    )
    failure.__cause__ = Cause.of(error)
    return failure


_DECODER = json.JSONDecoder()


def _parse_event(data: str) -> Any:
    try:
        data = data.strip()
        event, end = _DECODER.raw_decode(data)  # a third cheaper than loads
        if end < len(data):
            event = None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise StreamError(
            f"The stream is not the protocol: {len(data):,} characters that are no JSON object",
            hint="Is QIANFAN_BASE_URL the service itself?",
        )
    return event


def read_object(response: requests.Response) -> dict[str, Any]:
    """Read a whole answer that is one JSON object, whatever its status.

    Raises
    ------
    TransportError
        If it is none, or does not come.
    """
    failure: QianfanError
    try:
        body = response.content
        found = json.loads(body)
    except (requests.RequestException, HTTPError) as error:
        failure = transport_error(error)
    except (ValueError, RecursionError):
        failure = _foreign(response, f"{len(body):,} bytes")
    else:
        if isinstance(found, dict):
            return found
        failure = _foreign(response, "JSON, but no object")
    raise failure


def _foreign(response: requests.Response, described: str) -> TransportError:
    kind = _content_type(response) or "no content type"
    return TransportError(
        f"The answer is not Qianfan's (HTTP {response.status_code}{_reason(response)}, {kind}, "
        f"{described})",
        hint="Is QIANFAN_BASE_URL the service itself, and not a login page or a proxy?",
        retryable=response.status_code in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


def _reason(response: requests.Response) -> str:
    return f" {response.reason}" if not response.ok and response.reason else ""


def checked(payload: dict[str, Any], response: requests.Response) -> dict[str, Any]:
    """Return an answer that is none of the service's errors, and of a good status."""
    if payload.get("error_code"):
        raise api_failure(payload, response)
    if response.status_code >= HTTPStatus.BAD_REQUEST:  # `ok` builds a text each time
        raise status_failure(response)
    return payload


def status_failure(response: requests.Response) -> TransportError:
    """Say what an HTTP status means that comes without the service's own error."""
    status = response.status_code
    return TransportError(
        f"The server answered HTTP {status}{_reason(response)}",
        hint=_STATUS_HINTS.get(status, "Is QIANFAN_BASE_URL right?"),
        retryable=status in RETRIED_STATUSES,
        retry_after=retry_after(response),
    )


_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Check the keys in your .env.",
    HTTPStatus.FORBIDDEN: "Check the keys in your .env, and that they may use this service.",
    HTTPStatus.TOO_MANY_REQUESTS: "Wait a minute: you are sending faster than you may.",
}


def api_failure(payload: dict[str, Any], response: requests.Response) -> QianfanError:
    """Turn the service's own error into an exception."""
    try:
        code = int(payload["error_code"])
    except (ValueError, TypeError, OverflowError):
        code = 0
    error = api_error(
        code,
        str(payload.get("error_msg", "")),
        request_id=str(payload.get("id") or ""),
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
    except (ValueError, TypeError, OverflowError):
        return None

"""Reading a response as JSON objects: the events of a stream, or a whole body.

Everything that requests and urllib3 raise becomes an error of this package here, as in `session`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from html import unescape
from http import HTTPStatus
from itertools import chain
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from qianfan_magic.api.http.grace import Grace
from qianfan_magic.api.http.http_errors import (
    ADDRESS,
    content_type,
    error_words,
    refusal_error,
    service_error,
    status_error,
    transport_error,
    unexpected_response_error,
)
from qianfan_magic.api.types import DONE
from qianfan_magic.api.wire import Wire
from qianfan_magic.api.wire.sse import END, EventDecoder
from qianfan_magic.errors import QianfanError, StreamError, TransportError
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import Cause

__all__ = ["Body", "open_body", "raise_for_error", "read_object", "read_payloads"]

#: Bytes to read from the connection at most at once.
_READ_SIZE = 65_536
#: Bytes of a response that is not a stream, decompressed: a few kilobytes can unpack to
#: gigabytes, and no answer comes near this.
_MAX_BODY = 32 * 1024 * 1024
#: Bytes of the body of an error that are looked at for words or a title.
_MAX_WORDS = 4_096
_TITLE = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)
#: What the first line of a stream begins with: a field of an event, or a comment.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
#: Names of the events that are parts of an answer, or its error; "" is an event without a name.
_EVENTS = ("", "message", "error")
#: Fields of which the JSON of an answer, or of an error, has one.
_ANSWER_FIELDS = {"choices", "result", "usage", "error", "error_code", "code"}

#: What `json.loads` does between its checks, in 0.6 of the time: a value that begins at a place.
_scan_once = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class Body(NamedTuple):
    """The body of a response, which nothing has been read of, or only its first bytes.

    Attributes
    ----------
    response
        The response.
    pieces
        All of its bytes, as they arrive.
    is_stream
        Whether they are events.
    """

    response: requests.Response
    pieces: Iterable[bytes]
    is_stream: bool


def open_body(response: requests.Response, *, asked_stream: bool) -> Body:
    """Find out whether a response consists of events.

    The response decides, not the request: the service answers a request for a stream with a whole
    body where it refuses it. Some servers send a stream under another content type, or none:
    where one was asked for, the first bytes decide.

    Parameters
    ----------
    response
        A response whose body has not been read.
    asked_stream
        Whether the request asked for a stream.

    Raises
    ------
    TransportError
        If the first bytes do not arrive.
    """
    if not response.ok:
        return Body(response, response.iter_content(_READ_SIZE), is_stream=False)
    if content_type(response) == "text/event-stream":
        return Body(response, _raw_chunks(response), is_stream=True)
    if not asked_stream:
        return Body(response, response.iter_content(_READ_SIZE), is_stream=False)
    pieces = _raw_chunks(response)
    first = b""
    failure: QianfanError | None = None
    try:
        while _may_be_field(first) and (piece := next(pieces, b"")):
            first += piece
    except (HTTPError, OSError) as error:
        failure = transport_error(error)
    if failure:
        response.close()
        raise failure
    begin = _begin(first)
    return Body(response, chain([first], pieces), is_stream=begin.startswith(_FIELDS))


def _may_be_field(first: bytes) -> bool:
    """Return whether the first bytes are too few to tell a stream from something else."""
    begin = _begin(first)
    is_field = any(field.startswith(begin) and field != begin for field in _FIELDS)
    return is_field and len(first) < _READ_SIZE


def _begin(first: bytes) -> bytes:
    return first.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")[:8]


def read_payloads(
    body: Body, wire: Wire, record: Callable[[bytes], None]
) -> Generator[Mapping[str, Any]]:
    """Yield the JSON objects of a response as they arrive: events, or one whole body.

    Parameters
    ----------
    body
        What `open_body` returned. The response is closed at the end.
    wire
        The version of the API that it follows.
    record
        Called with the bytes of the body as they arrive.

    Yields
    ------
    dict, or `DONE` for ``[DONE]``, or where the stream ends without it after a whole answer

    Raises
    ------
    APIError
        For an error that the service reports, whether in an event or in a whole body.
    StreamError
        For a stream that is cut off, falls silent or is not JSON.
    TransportError
        For a response that is not the service's: HTML, nothing, or truncated JSON.
    """
    return (_stream_payloads if body.is_stream else _whole_payload)(body, wire, record)


def _whole_payload(
    body: Body, wire: Wire, record: Callable[[bytes], None]
) -> Generator[Mapping[str, Any]]:
    with body.response as response:
        yield raise_for_error(read_object(response, record, body.pieces), response, wire)


def _stream_payloads(
    body: Body, wire: Wire, record: Callable[[bytes], None]
) -> Generator[Mapping[str, Any]]:
    decoder, grace = EventDecoder(), Grace(body.response)
    read_error, is_finished = wire.read_error, wire.is_finished
    with body.response as response:
        for data in _events(body, decoder, grace, record):
            payload: Mapping[str, Any] | None = _parse_object(data)
            if payload is None or decoder.name:  # hardly any event
                payload = _odd_payload(data, payload, decoder.name, response)
                if payload is None:
                    continue
                if payload is DONE:
                    grace.end()
            error = read_error(payload)
            if error:
                raise service_error(error, payload, response)
            yield payload
            if "finish_reason" in data or grace.has_begun:
                grace.change(is_finished(payload, grace.has_begun))
        if grace.has_begun:
            response.close()  # more may come; the next request needs another connection
            yield DONE


def _odd_payload(
    data: str, payload: Mapping[str, Any] | None, name: str, response: requests.Response
) -> Mapping[str, Any] | None:
    """Return the payload of an event that has a name, or is not a JSON object.

    None stands for one that is no part of an answer, such as a ``ping`` or an empty one.
    """
    text = data.strip()
    if text == END:
        return DONE
    has_answer = payload is not None and bool(_ANSWER_FIELDS & payload.keys())
    if name == "error" and text and not has_answer:
        raise refusal_error(response, error_words(payload or {}) or text)
    if not text or (name not in _EVENTS and not has_answer):
        return None
    if payload is None:
        raise StreamError(
            tr(
                "The stream violates the protocol: {count:,} characters that are not a JSON object",
                count=len(text),
            ),
            hint=tr("Is {address} the service itself?", address=ADDRESS),
        )
    return payload


def _events(
    body: Body, decoder: EventDecoder, grace: Grace, record: Callable[[bytes], None]
) -> Iterator[str]:
    """Yield the data of each event; raise a `StreamError` after the last one if it broke.

    A stream whose answer has ended is not broken, however it ends.
    """
    failure: QianfanError | None = None
    is_cut = False
    try:
        for piece in body.pieces:
            record(piece)
            yield from decoder.feed(piece)
            if grace.has_begun and grace.is_over():
                is_cut = True
                break
    except ValueError as error:
        failure = StreamError(
            tr("The stream violates the protocol: {error}", error=error),
            hint=tr("Is {address} the service itself?", address=ADDRESS),
        )
    except (HTTPError, OSError) as error:
        is_cut = grace.has_begun
        failure = None if is_cut else _broken_stream_error(error)
    # The last complete event before a lost connection may be the service's own error.
    is_cut = is_cut or failure is not None
    yield from (data for data in decoder.close() if not is_cut or _is_json(data))
    if failure:
        raise failure


def _is_json(data: str) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _raw_chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body's bytes as they arrive, decompressed."""
    raw = response.raw
    if raw.chunked:
        # Yields each chunk of the transfer as it arrives, at half the cost of read1.
        return raw.read_chunked(_READ_SIZE, decode_content=True)
    # read_chunked is for chunked bodies only, and iter_content(n) waits for n bytes; read1
    # returns what is there.
    return iter(lambda: raw.read1(_READ_SIZE, decode_content=True) or b"", b"")


def _broken_stream_error(error: Exception) -> StreamError:
    timed_out = isinstance(error, ReadTimeoutError | TimeoutError)
    message = mark("The connection was lost in the stream")
    if timed_out:
        message = mark("The stream fell silent")
    elif isinstance(error, DecodeError):
        message = mark("The compressed stream is damaged")
    failure = StreamError(
        tr(message),
        hint=tr("Run the cell again")
        + (tr("; --timeout SECONDS waits longer.") if timed_out else "."),
        retryable=True,
    )
    failure.__cause__ = Cause.of(error)
    return failure


def _parse_object(data: str) -> dict[str, Any] | None:
    """Parse the data of an event; None if it is not a JSON object."""
    data = data.strip()
    try:
        event, end = _scan_once(data, 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and end == len(data) else None


def read_object(
    response: requests.Response,
    record: Callable[[bytes], None] = lambda _: None,
    pieces: Iterable[bytes] | None = None,
) -> dict[str, Any]:
    """Read a whole body that is one JSON object, whatever the status.

    Parameters
    ----------
    response
        A response whose body has not been read.
    record
        Called with the bytes of the body.
    pieces
        The bytes of the body. Default: they are read from the response.

    Raises
    ------
    APIError
        If the status is one of an error, and the body says why in words.
    TransportError
        If the body is not a JSON object, is too large or does not arrive.
    """
    failure: QianfanError
    try:
        body = _read_body(response, pieces or response.iter_content(_READ_SIZE))
        record(body)
        value = _parse_body(body, response)
    except (requests.RequestException, HTTPError, OSError) as error:
        failure = transport_error(error)
    except (ValueError, RecursionError):
        failure = _foreign_error(body, response)
    else:
        if isinstance(value, dict):
            return value
        failure = unexpected_response_error(response, tr("JSON, but not an object"))
    raise failure


def _parse_body(body: bytes, response: requests.Response) -> Any:
    """Parse a whole body; that of an error may also be an event, or a list of one object."""
    is_error = response.status_code >= HTTPStatus.BAD_REQUEST
    if is_error and _begin(body).startswith(_FIELDS):
        decoder = EventDecoder()
        events = [*decoder.feed(body), *decoder.close()]
        return next((json.loads(data) for data in events if data.strip()), None)
    value = json.loads(body)
    if is_error and isinstance(value, str):
        raise refusal_error(response, value)
    return value[0] if is_error and isinstance(value, list) and len(value) == 1 else value


def _foreign_error(body: bytes, response: requests.Response) -> QianfanError:
    """Make the error for a body that is not JSON."""
    text = body[:_MAX_WORDS].decode(errors="replace").strip()
    size = f"{len(body):,} bytes"
    is_words = bool(text) and not text.startswith("<") and "\ufffd" not in text
    is_words = is_words and content_type(response) != "text/html" and "\0" not in text
    status = response.status_code
    if not is_words or status < HTTPStatus.BAD_REQUEST:
        title = _TITLE.search(text)
        if title:
            size += f', titled "{unescape(title[1]).strip()}"'
        return unexpected_response_error(response, size)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return refusal_error(response, text)
    return unexpected_response_error(response, f"{size}: {text}")


def _read_body(response: requests.Response, pieces: Iterable[bytes]) -> bytes:
    body = bytearray()
    for data in pieces:
        body += data
        if len(body) > _MAX_BODY:
            response.close()
            raise TransportError(
                tr("The answer is larger than {most:,} bytes", most=_MAX_BODY),
                hint=tr("Is {address} the service itself?", address=ADDRESS),
            )
    return bytes(body)


def raise_for_error(
    payload: dict[str, Any], response: requests.Response, wire: Wire
) -> dict[str, Any]:
    """Return the payload, or raise the error that it reports or that its status stands for."""
    error = wire.read_error(payload)
    if error:
        raise service_error(error, payload, response)
    # Not `response.ok`, which formats an exception's message each time.
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        words = error_words(payload)
        raise refusal_error(response, words) if words else status_error(response)
    return payload

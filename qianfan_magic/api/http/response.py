"""Reading a response as JSON objects: the events of a stream, or a whole body.

Everything that requests and urllib3 raise becomes an error of this package here, as in `session`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from qianfan_magic.api.http.http_errors import (
    ADDRESS,
    content_type,
    service_error,
    status_error,
    transport_error,
    unexpected_response_error,
)
from qianfan_magic.api.types import DONE
from qianfan_magic.api.wire import Wire
from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.errors import QianfanError, StreamError, TransportError
from qianfan_magic.masking import Cause

__all__ = ["is_stream", "raise_for_error", "read_object", "read_payloads"]

#: Bytes to read from the connection at most at once.
_READ_SIZE = 65_536
#: Bytes of a response that is not a stream, decompressed: a few kilobytes can unpack to
#: gigabytes, and no answer comes near this.
_MAX_BODY = 32 * 1024 * 1024
#: The data of the event that ends a stream of version 2.
_END = "[DONE]"

_DECODER = json.JSONDecoder()


def read_payloads(
    response: requests.Response, wire: Wire, record: Callable[[str], None]
) -> Generator[Mapping[str, Any]]:
    """Yield the JSON objects of a response as they arrive: events, or one whole body.

    Parameters
    ----------
    response
        A response whose body has not been read. It is closed at the end.
    wire
        The version of the API that it follows.
    record
        Called with the text of each object as it was received.

    Yields
    ------
    dict, or `DONE` for ``[DONE]``

    Raises
    ------
    APIError
        For an error that the service reports, whether in an event or in a whole body.
    StreamError
        For a stream that is cut off, falls silent or is not JSON.
    TransportError
        For a response that is not the service's: HTML, nothing, or truncated JSON.
    """
    with response:
        if is_stream(response):
            read_error = wire.read_error
            for data in _events(response):
                record(data)
                if data == _END:
                    yield DONE
                    continue
                payload = _parse_event(data)
                error = read_error(payload)
                if error:
                    raise service_error(error, payload, response)
                yield payload
        else:
            payload = read_object(response, record)
            yield raise_for_error(payload, response, wire)


def is_stream(response: requests.Response) -> bool:
    """Return whether a response consists of events.

    The response decides, not the request: the service answers a request for a stream with a
    whole body where it refuses it.
    """
    return response.ok and content_type(response) == "text/event-stream"


def _events(response: requests.Response) -> Iterator[str]:
    """Yield the data of each event; raise a `StreamError` after the last one if it broke."""
    decoder = EventDecoder()
    failure: QianfanError | None = None
    try:
        for data in _raw_chunks(response):
            yield from decoder.feed(data)
    except ValueError as error:
        failure = StreamError(f"The stream violates the protocol: {error}")
    except (HTTPError, OSError) as error:
        failure = _broken_stream_error(error)
    # The last complete event before a lost connection may be the service's own error.
    yield from (data for data in decoder.close() if not failure or _is_json(data))
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
    failure = StreamError(
        "The stream fell silent" if timed_out else "The connection was lost in the stream",
        hint="Run the cell again" + ("; --timeout SECONDS waits longer." if timed_out else "."),
        retryable=True,
    )
    failure.__cause__ = Cause.of(error)
    return failure


def _parse_event(data: str) -> dict[str, Any]:
    data = data.strip()
    try:
        event, end = _DECODER.raw_decode(data)  # takes a third less time than json.loads
    except (ValueError, RecursionError):
        event, end = None, 0
    if not isinstance(event, dict) or end < len(data):
        raise StreamError(
            "The stream violates the protocol: "
            f"{len(data):,} characters that are not a JSON object",
            hint=f"Is {ADDRESS} the service itself?",
        )
    return event


def read_object(
    response: requests.Response, record: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Read a whole body that is one JSON object, whatever the status.

    Parameters
    ----------
    response
        A response whose body has not been read.
    record
        Called with the body's text as it was received.

    Raises
    ------
    TransportError
        If the body is not a JSON object, is too large or does not arrive.
    """
    failure: QianfanError
    try:
        body = _read_body(response)
        record(body.decode(errors="replace"))
        value = json.loads(body)
    except (requests.RequestException, HTTPError) as error:
        failure = transport_error(error)
    except (ValueError, RecursionError):
        failure = unexpected_response_error(response, f"{len(body):,} bytes")
    else:
        if isinstance(value, dict):
            return value
        failure = unexpected_response_error(response, "JSON, but not an object")
    raise failure


def _read_body(response: requests.Response) -> bytes:
    body = bytearray()
    for data in response.iter_content(_READ_SIZE):
        body += data
        if len(body) > _MAX_BODY:
            response.close()
            raise TransportError(
                f"The answer is larger than {_MAX_BODY:,} bytes",
                hint=f"Is {ADDRESS} the service itself?",
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
        raise status_error(response)
    return payload

"""What comes back over HTTP, as JSON objects: the events of a stream, or a whole answer.

Everything that requests and urllib3 raise turns into our errors here, as in `transport`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from qianfan_magic.api.http.http_errors import (
    ADDRESS,
    api_failure,
    content_type,
    foreign_failure,
    status_failure,
    transport_error,
)
from qianfan_magic.api.types import DONE
from qianfan_magic.api.wire import Wire
from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.errors import QianfanError, StreamError, TransportError
from qianfan_magic.masking import Cause

#: How much is taken from the connection at once, in bytes; less if less is there.
PIECE = 65_536
#: Bytes of an answer that is no stream.
LARGEST_BODY = 32 * 1024 * 1024
#: Seconds that the end of a connection's answer is waited for once the answer itself is there.
MOMENT = 0.2


def read_payloads(
    response: requests.Response, wire: Wire, keep: Callable[[str], None]
) -> Generator[Mapping[str, Any]]:
    """Give the JSON objects of an answer, of a stream or whole, as they arrive.

    Parameters
    ----------
    response
        Whose body has not been read.
    wire
        The version of the API that it speaks.
    keep
        Is given each piece as it came.

    Yields
    ------
    dict, or `DONE` for ``[DONE]``

    Raises
    ------
    APIError
        For the service's own error, wherever it stands.
    StreamError
        For a stream that is cut, falls silent or is not JSON.
    TransportError
        For an answer that is not the service's: HTML, nothing, or half a JSON.
    """
    with response:
        if is_stream(response):
            read_error = wire.read_error
            for data in _events(response):
                keep(data)
                if data == _END:
                    yield DONE
                    continue
                payload = _parse_event(data)
                error = read_error(payload)
                if error:
                    raise api_failure(error, payload, response)
                yield payload
        else:
            payload = read_object(response, keep)
            yield raise_for_error(payload, response, wire)


def is_stream(response: requests.Response) -> bool:
    """Tell whether an answer comes in events; which of the two was asked for does not matter."""
    return response.ok and content_type(response) == "text/event-stream"


def release_connection(response: requests.Response, payloads: Iterator[Mapping[str, Any]]) -> None:
    """Read what ends an answer on a connection that may be used again, if it is there.

    Only for a moment: a connection that is not given back costs the next request some time, one
    that is waited for costs this.
    """
    sock = getattr(response.raw.connection, "sock", None)
    if sock is None:  # it has been given back, or closes after this answer
        return
    patience = sock.gettimeout()
    sock.settimeout(MOMENT)
    with suppress(QianfanError):
        next(payloads, None)
    with suppress(OSError):  # it has been closed
        sock.settimeout(patience)


def abort_response(response: requests.Response) -> None:
    """End an answer's connection while another thread waits for its next piece."""
    # http.client lets go of a connection that is to end with its answer; the file knows it still.
    with (
        suppress(OSError, ValueError, AttributeError),  # the other side was quicker
        socket.socket(fileno=os.dup(response.raw.fileno())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)


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


#: Ends a stream of version 2.
_END = "[DONE]"
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
            hint=f"Is {ADDRESS} the service itself?",
        )
    return event


def read_object(
    response: requests.Response, keep: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Read a whole answer that is one JSON object, whatever its status.

    Parameters
    ----------
    response
        Whose body has not been read.
    keep
        Is given it as it came.

    Raises
    ------
    TransportError
        If it is none, or does not come.
    """
    failure: QianfanError
    try:
        body = _whole(response)
        keep(body.decode(errors="replace"))
        found = json.loads(body)
    except (requests.RequestException, HTTPError) as error:
        failure = transport_error(error)
    except (ValueError, RecursionError):
        failure = foreign_failure(response, f"{len(body):,} bytes")
    else:
        if isinstance(found, dict):
            return found
        failure = foreign_failure(response, "JSON, but no object")
    raise failure


def _whole(response: requests.Response) -> bytes:
    """Read a body that is no stream, which a few bytes of a compressed one can make large."""
    body = bytearray()
    for piece in response.iter_content(PIECE):
        body += piece
        if len(body) > LARGEST_BODY:
            response.close()
            raise TransportError(
                f"The answer is larger than {LARGEST_BODY:,} bytes",
                hint=f"Is {ADDRESS} the service itself?",
            )
    return bytes(body)


def raise_for_error(
    payload: dict[str, Any], response: requests.Response, wire: Wire
) -> dict[str, Any]:
    """Return an answer that is none of the service's errors, and of a good status."""
    error = wire.read_error(payload)
    if error:
        raise api_failure(error, payload, response)
    if response.status_code >= HTTPStatus.BAD_REQUEST:  # `ok` builds a text each time
        raise status_failure(response)
    return payload

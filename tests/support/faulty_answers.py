"""Answers with one fault each, as the bytes that a server sends.

A correct answer is cut at a point, and there the fault happens.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from support.raw_server import Answer, bearer_answer, event, json_answer

#: The text of the answer, in the parts of its events. A fault at "between" comes after two.
TEXTS = ("The wall ", "is long ", "and old.")
TEXT = "".join(TEXTS)
#: Where a fault happens, in the order of a response: when the connection is accepted, after the
#: request, within the head, after it, within the first event (or the only object), between
#: events, and when all but the end of the body has been sent.
POINTS = ("connection", "request", "head", "body", "part", "between", "end")
BEFORE_BODY = {"connection", "request", "head", "body"}
#: What happens: the connection is closed, reset or falls silent; bytes follow that are no HTTP; or
#: far too many; the framing ends the body too early, or its compression is damaged.
FAULTS = ("close", "reset", "silence", "garbage", "flood", "short", "gzip")
GARBAGE = bytes((7 * place + 128) % 256 for place in range(256))
#: 70 MB, more than any limit of the client.
FLOOD = [b"x" * 65_536] * 1_100
HEADERS = [b"X-More: " + b"x" * 56 + b"\r\n"] * 4_000
#: Seconds between single bytes: the time-out for silence is longer, the whole answer takes longer.
PAUSE = 0.003
ENDS: dict[str, Any] = {"reset": "reset", "silence": "silent"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One fault in the response to one request.

    Attributes
    ----------
    fault, point
        What happens, and where; they are the row's name in the table.
    version, kind, is_stream
        Of the request for an answer.
    target
        Which response has the fault: the ``"answer"``, or that with the ``"access token"`` or
        ``"bearer token"`` which is fetched before it.
    answer
        What the server sends: in place of the first bytes of the connection where `point` is
        ``"connection"``, else in response to the request.
    scheme
        ``"http"`` or ``"https"``.
    arrived
        The text of the answer that arrives before the fault.
    """

    fault: str
    point: str
    version: int
    kind: str = "chat"
    is_stream: bool = True
    target: str = "answer"
    answer: Answer = field(repr=False)
    arrived: str = ""
    scheme: str = "http"


def cases() -> Iterator[Case]:
    """Yield each fault at each point where it can happen."""
    for version, kind, is_stream in product((1, 2), ("chat", "completion"), (True, False)):
        parts = events(version, kind) if is_stream else [whole(version, kind)]
        asked: dict[str, Any] = {"version": version, "kind": kind, "is_stream": is_stream}
        for fault, point in _combinations(is_stream=is_stream):
            if kind == "completion" and point in BEFORE_BODY:
                continue  # the kinds differ in the body alone
            arrived = {"between": "".join(TEXTS[:2]), "end": TEXT}.get(point, "")
            answer = faulty(fault, point, parts, is_stream=is_stream)
            yield Case(
                fault=fault,
                point=point,
                answer=answer,
                arrived=arrived if is_stream else "",
                **asked,
            )
    access = json_answer({"access_token": "24.made-up", "expires_in": 2592000})
    for version, target, token in (
        (1, "access token", access),
        (2, "bearer token", bearer_answer("bce-v3/ALTAK-made-up/token")),
    ):
        for fault, point in _combinations(is_stream=False):
            answer = faulty(fault, point, list(token.pieces), is_stream=False)
            yield Case(fault=fault, point=point, version=version, target=target, answer=answer)


def _combinations(*, is_stream: bool) -> Iterator[tuple[str, str]]:
    for fault, point in product(FAULTS, POINTS):
        is_early = point in {"connection", "request", "head"}
        if (fault in {"short", "gzip"} and is_early) or (point == "between" and not is_stream):
            continue
        yield fault, point


def faulty(fault: str, point: str, parts: list[bytes], *, is_stream: bool) -> Answer:
    """Return a response that begins correctly, and has a fault.

    Parameters
    ----------
    fault, point
        One of `FAULTS` and of `POINTS`.
    parts
        The correct body: the events of a stream, or one object.
    is_stream
        Whether it is a stream, which is sent in chunks.
    """
    # What has no length can be too short or endless.
    is_chunked = is_stream or fault in {"flood", "short", "gzip"}
    headers = {"Content-Type": "text/event-stream" if is_stream else "application/json"}
    headers |= {"Content-Encoding": "gzip"} if fault == "gzip" else {}
    framing: Any = "chunked" if is_chunked else "length"
    head = Answer(headers=headers, pieces=parts, framing=framing).head()
    if point in {"connection", "request"}:
        sent, rest = b"", _rest(fault)
    elif point == "head":
        sent = head[: head.index(b"\r\n", len(head) // 2) + 2]
        rest = HEADERS if fault == "flood" else _rest(fault)
    else:
        body, rest = _begun(point, parts, is_stream=is_stream), _rest(fault, chunked=is_chunked)
        body = _compressed(body) if fault == "gzip" else body
        sent = head + (b"".join(map(_chunk, body)) if is_chunked else b"".join(body))
    return Answer(status=0, framing="close", pieces=[sent, *rest], end=ENDS.get(fault, "close"))


def _begun(point: str, parts: list[bytes], *, is_stream: bool) -> list[bytes]:
    """Return the parts of a body that are sent before a point, the last of them perhaps cut."""
    if point == "end":
        return parts[:-1] if is_stream else [parts[0][:-1]]
    return {"part": [parts[0][: len(parts[0]) // 2]], "between": parts[:2]}.get(point, [])


def _rest(fault: str, *, chunked: bool = False) -> list[bytes]:
    """Return the bytes that follow the correct ones."""
    if fault == "flood":
        return [_chunk(FLOOD[0])] * len(FLOOD) if chunked else FLOOD
    ends = {"garbage": GARBAGE, "short": b"0\r\n\r\n", "gzip": _chunk(GARBAGE) + b"0\r\n\r\n"}
    return [ends[fault]] if fault in ends else []


def _compressed(body: list[bytes]) -> list[bytes]:
    """Compress what is there, so that it can be read although the rest never comes."""
    packer = zlib.compressobj(wbits=31)
    return [packer.compress(b"".join(body)) + packer.flush(zlib.Z_SYNC_FLUSH)]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def events(version: int, kind: str) -> list[bytes]:
    """Return the events of a correct stream."""
    return [*(event(payload(version, kind, text)) for text in TEXTS), _last(version, kind)]


def _last(version: int, kind: str) -> bytes:
    if version == 1:
        return event({"result": "", "is_end": True})
    return event(payload(version, kind, "", finish_reason="stop")) + b"data: [DONE]\n\n"


def payload(version: int, kind: str, text: str, **fields: Any) -> dict[str, Any]:
    """Return the JSON object of one event."""
    if version == 1:
        return {"result": text, "is_end": False}
    choice = {"delta": {"content": text}} if kind == "chat" else {"text": text}
    return {"choices": [{"index": 0, **choice, **fields}]}


def whole(version: int, kind: str) -> bytes:
    """Return the body of a correct answer that is not streamed."""
    if version == 1:
        return json.dumps({"result": TEXT}).encode()
    choice = {"message": {"content": TEXT}} if kind == "chat" else {"text": TEXT}
    return json.dumps({"choices": [{"index": 0, **choice, "finish_reason": "stop"}]}).encode()


# --- responses that are correct HTTP, or nearly, and still odd


def odd_cases() -> Iterator[Case]:
    """Yield what gateways, broken servers and impatient protocols send."""
    for is_stream in (True, False):
        for fault, (answer, is_read) in _odd_answers(is_stream=is_stream).items():
            arrived = TEXT if is_read else ""
            yield Case(
                fault=fault,
                point="odd",
                version=2,
                is_stream=is_stream,
                answer=answer,
                arrived=arrived,
            )


def _odd_answers(*, is_stream: bool) -> dict[str, tuple[Answer, bool]]:
    """Return each answer, and whether it can be read."""
    body = b"".join(events(2, "chat")) if is_stream else whole(2, "chat")
    kind = b"Content-Type: " + (b"text/event-stream" if is_stream else b"application/json")
    length, chunked = b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"
    good = _response(body, kind, length)
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    return {
        "100 Continue before the answer": (_bytes(go_on + good), True),
        "103 Early Hints before the answer": (_bytes(early + good), False),
        "100 Continue 10,000 times": (_bytes(go_on * 10_000, end="silent"), False),
        "two lengths that differ": (_bytes(_response(body, kind, length, length + b"0")), False),
        "the same length twice": (_bytes(_response(body, kind, length, length)), True),
        "a length and chunks": (
            _bytes(_response(_chunk(body) + b"0\r\n\r\n", kind, length, chunked)),
            True,
        ),
        "two content types": (_bytes(_response(body, b"Content-Type: text/html", kind)), True),
        "no content type": (_bytes(_response(body)), True),
        "a header of 100 kB": (_bytes(_response(body, kind, b"X: " + b"x" * 100_000)), False),
        "200 headers": (_bytes(_response(body, kind, *[b"X: x"] * 200)), False),
        "a line of the head that is no header": (_bytes(_response(body, kind, b"hello")), True),
        "gzip announced, and not sent": (
            _bytes(_response(body, kind, b"Content-Encoding: gzip")),
            False,
        ),
        "no head": (_bytes(body), False),
        "HTTP/2": (_bytes(b"\0\0\x12\x04\0\0\0\0\0"), False),
        "a byte at a time": (_bytes(*_slowly(good)), True),
    }


def _response(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Connection: close", *headers, b"", body])


def _bytes(*pieces: bytes | threading.Event, **rest: Any) -> Answer:
    return Answer(status=0, framing="close", pieces=pieces, **rest)


class _Pause(threading.Event):
    """A piece in whose place the server waits."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        time.sleep(PAUSE)
        return True


def _slowly(sent: bytes) -> Iterator[bytes | threading.Event]:
    for byte in sent:
        yield bytes([byte])
        yield _Pause()


def tls_cases() -> Iterator[Case]:
    """Yield what can come in place of a TLS handshake."""
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    for fault, answer in {
        "close": _bytes(),
        "reset": _bytes(end="reset"),
        "silence": _bytes(end="silent"),
        "garbage": _bytes(GARBAGE),
        "a server without TLS": _bytes(refused),
    }.items():
        yield Case(fault=fault, point="connection", version=2, scheme="https", answer=answer)

"""A small real HTTP server on 127.0.0.1 whose answers a test scripts, down to the single byte."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import parse_headers
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

#: IAM's clock need not be this computer's.
BEGINS, ENDS = "2024-11-28T06:09:57.000Z", "2024-11-29T06:09:57.000Z"
PATIENCE = 10.0  # seconds after which an event or a socket is given up, so that no test hangs


class Seen(NamedTuple):
    """A request as it came in; ``path`` is percent-encoded, header names are in small letters.

    ``raw`` is all of it, byte for byte.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent: a head, then pieces; where an Event stands, the server waits for it.

    ``status`` 0 sends no head. After the last piece the connection is closed, reset, kept for
    the next request, or stays open and silent until the client hangs up.
    """

    status: int = 200
    headers: dict[str, Any] = field(default_factory=dict)
    pieces: Sequence[bytes | threading.Event] = ()
    framing: Literal["length", "chunked", "close"] = "length"
    end: Literal["close", "reset", "keep", "silent"] = "close"

    def head(self) -> bytes:
        length = sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))
        frame = {"length": {"Content-Length": length}, "chunked": {"Transfer-Encoding": "chunked"}}
        headers = {} if self.end == "keep" else {"Connection": "close"}
        headers |= frame.get(self.framing, {}) | self.headers
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_answer(payload: Any, **rest: Any) -> Answer:
    headers = {"Content-Type": "application/json"} | rest.pop("headers", {})
    return Answer(headers=headers, pieces=[json.dumps(payload).encode()], **rest)


def stream_answer(*pieces: bytes | threading.Event | Mapping[str, Any], **rest: Any) -> Answer:
    """Answer with an event stream; a mapping becomes one event."""
    sent = [event(piece) if isinstance(piece, Mapping) else piece for piece in pieces]
    headers = {"Content-Type": "text/event-stream"} | rest.pop("headers", {})
    return Answer(**{"framing": "chunked", "pieces": sent, "headers": headers} | rest)


def bearer_answer(token: str, begins: str = BEGINS, ends: str = ENDS, **rest: Any) -> Answer:
    """Answer as IAM does, with a token that is valid for a day by default."""
    fields = {"userId": "27f8", "token": token, "status": "enable"}
    return json_answer(fields | {"createTime": begins, "expireTime": ends}, **rest)


def event(payload: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


class RawServer:
    """Serves until its ``with`` block ends.

    `script`, `tokens` and `bearers` line up answers, or functions of the request that give one.
    Beyond them a request for an access or bearer token gets a new one, and any other HTTP 501,
    which no client sends again. `greetings` are sent to new connections, before any request (and
    before TLS).
    """

    def __init__(self, tls: Any = None) -> None:
        self.requests: list[Seen] = []
        self.token_requests: list[Seen] = []
        self.greetings: deque[Answer] = deque()
        self.script: deque[Answer | Callable[[Seen], Answer]] = deque()
        self.tokens: deque[Answer | Callable[[Seen], Answer]] = deque()
        self.bearer_requests: list[Seen] = []
        self.bearers: deque[Answer | Callable[[Seen], Answer]] = deque()
        self.hung_up = threading.Event()  # a client has closed a connection that was silent
        self.connections: list[socket.socket] = []  # all that were accepted
        self._tls, self._threads = tls, []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, run: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=run, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError), self._listener:  # until it is shut down
            while True:
                self.connections.append(self._listener.accept()[0])
                self._start(self._serve, self.connections[-1])

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            # Otherwise Nagle's algorithm holds each piece back for the delayed ACK, 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.greetings:
                with connection:
                    _send(connection, self.greetings.popleft())
                return
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while (seen := _read(stream)) and _send(connection, answer := self._next(seen)):
                    if answer.end == "silent":
                        self.hung_up.set()

    def _next(self, seen: Seen) -> Answer:
        if seen.path.endswith("/oauth/2.0/token"):
            requests, script = self.token_requests, self.tokens
            token = f"24.{len(requests) + 1:032x}.2592000"
            beyond = json_answer({"access_token": token, "expires_in": 2592000})
        elif seen.path.endswith("/v1/BCE-BEARER/token"):
            requests, script = self.bearer_requests, self.bearers
            beyond = bearer_answer(f"bce-v3/ALTAK-{len(requests) + 1:020d}/{'f' * 40}")
        else:
            requests, script, beyond = self.requests, self.script, Answer(status=501)
        requests.append(seen)
        answer = script.popleft() if script else beyond
        return answer if isinstance(answer, Answer) else answer(seen)


def _read(stream: Any) -> Seen | None:
    match (first := stream.readline()).decode("latin-1").split():
        case [method, target, "HTTP/1.1"]:
            head = b"".join(iter(stream.readline, b"\r\n")) + b"\r\n"
            found = parse_headers(io.BytesIO(head))
            headers = {name.lower(): value for name, value in found.items()}
            body = stream.read(int(headers.get("content-length", "0")))
            parts, raw = urlsplit(target), first + head + body
            query = dict(parse_qsl(parts.query))
            return Seen(method, target, parts.path, query, headers, body, raw)
    return None


def _send(connection: socket.socket, answer: Answer) -> bool:
    """Send an answer; return whether the connection goes on, if only to see the client close."""
    connection.sendall(answer.head() if answer.status else b"")
    chunked = answer.framing == "chunked"
    for piece in answer.pieces:
        if isinstance(piece, threading.Event):
            piece.wait(PATIENCE)
        else:
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
    if answer.end == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif answer.end == "silent":
        with contextlib.suppress(ConnectionError):
            while connection.recv(65_536):
                pass
    elif chunked:
        connection.sendall(b"0\r\n\r\n")
    return answer.end in {"keep", "silent"}

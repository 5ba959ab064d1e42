"""The addresses of the embedded server, as tornado handlers."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from qianfan_magic.embedded.checks import Refused, read_question
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.shapes import Answer

if TYPE_CHECKING:
    from qianfan_magic.embedded.server import EmbeddedServer


@dataclass(slots=True)
class Seen:
    """A request that came in.

    Attributes
    ----------
    method, path, headers, body
        As they came; the path is without the query, which holds the token.
    sent
        How many chunks of the answer went out.
    closed_early
        Whether the client closed the connection before its end.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    sent: int = 0
    closed_early: bool = False


class Handler(RequestHandler):
    """What all addresses share: the record of requests, faults, JSON errors."""

    def initialize(self, server: EmbeddedServer) -> None:
        """Keep the server that this request came to."""
        self.server = server
        self.fault: Fault | None = None

    def prepare(self) -> None:
        """Write the request down, and let it go wrong if it is to."""
        request = self.request
        self.seen = Seen(request.method or "", request.path, dict(request.headers), request.body)
        self.server.seen.append(self.seen)
        self.fault = self.server.take_fault(request.path)

    def on_connection_close(self) -> None:
        """Note that the client went away."""
        self.seen.closed_early = True

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer what tornado refuses by itself, such as a malformed form, as JSON too."""
        self.say({"error_code": 336001, "error_msg": f"Invalid Argument: HTTP {status_code}"})

    def say(self, payload: dict[str, Any]) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json;charset=utf-8")
        self.write(json.dumps(payload, ensure_ascii=False))

    async def go_wrong(self, fault: Fault) -> None:
        """Do what the fault says, in the place of the rest of the answer."""
        if not self._headers_written:
            self.set_status(fault.status)
            for name, value in fault.headers.items():
                self.set_header(name, value)
        if fault.error_code:
            self.say({"error_code": fault.error_code, "error_msg": fault.error_msg})
        elif fault.body is not None:
            self.write(fault.body)
        if fault.end:
            await self.flush()
            await self._end(fault.end)

    async def _end(self, how: str) -> None:
        stream = self.request.connection.stream  # type: ignore[union-attr]
        if how == "silence":
            closed = asyncio.Event()
            stream.set_close_callback(closed.set)
            await closed.wait()
            self.seen.closed_early = True
            return
        if how == "reset":
            linger = struct.pack("ii", 1, 0)  # on, for no time: close sends RST
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stream.close()


class UnknownHandler(Handler):
    """Any address that the service does not have."""

    async def get(self) -> None:
        """Answer as the service does."""
        self.say({"error_code": 3, "error_msg": "Unsupported openapi method"})

    post = put = delete = patch = options = get


class TokenHandler(Handler):
    """The token endpoint, by GET or POST."""

    async def get(self) -> None:
        """Give a token for the keys."""
        if self.fault:
            await self.go_wrong(self.fault)
            return
        if self.get_argument("grant_type", "") != "client_credentials":
            given: dict[str, Any] = {"error": "unsupported_grant_type", "error_description": ""}
        else:
            client_id = self.get_argument("client_id", "")
            given = self.server.door.give_token(client_id, self.get_argument("client_secret", ""))
        if "error" in given:
            self.set_status(401)
        self.say(given)

    post = get


class ServiceHandler(Handler):
    """A model's address."""

    async def get(self, folder: str, endpoint: str) -> None:
        """Refuse every method but POST."""
        del folder, endpoint
        self.say({"error_code": 336101, "error_msg": "Invalid HTTP Method"})

    put = delete = patch = options = get

    async def post(self, folder: str, endpoint: str) -> None:
        """Let in, check, answer."""
        if self.fault and not self.fault.after and not self.fault.fields:
            await self.go_wrong(self.fault)
            return
        try:
            self._let_in()
            question, stream = read_question(folder, endpoint, self.request.body, self.server.seed)
        except Refused as refused:
            self.say({"error_code": refused.error_code, "error_msg": refused.error_msg})
            return
        answer = Answer(question, self.server.engine(question))
        if stream:
            await self._stream(answer)
        else:
            self.say({**answer.whole(), **(self.fault.fields if self.fault else {})})

    def _let_in(self) -> None:
        request, door = self.request, self.server.door
        authorization = request.headers.get("Authorization", "")
        if authorization.startswith("bce-auth-v1/"):
            address = (request.method or "", request.path, request.query)
            headers = {name.lower(): value for name, value in request.headers.items()}
            door.check_signature(authorization, address, headers)
        else:
            door.check_token(self.get_query_argument("access_token", ""))

    async def _stream(self, answer: Answer) -> None:
        self.set_header("Content-Type", "text/event-stream;charset=utf-8")
        fields = self.fault.fields if self.fault else {}
        try:
            for number, chunk in enumerate(answer.chunks()):
                if self.fault and not fields and number == self.fault.after:
                    await self.go_wrong(self.fault)
                    return
                data = json.dumps({**chunk, **fields}, ensure_ascii=False)
                self.write(f"data: {data}\n\n")
                await self.flush()
                self.seen.sent += 1
                if self.server.pace:
                    await asyncio.sleep(self.server.pace)
        except StreamClosedError:
            self.seen.closed_early = True

"""What all addresses of the embedded server share, as tornado handlers."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from qianfan_magic.embedded.faults import Fault, Refusal
from qianfan_magic.embedded.responses import Answer
from qianfan_magic.embedded.state import ReceivedRequest

if TYPE_CHECKING:
    from qianfan_magic.embedded.server import EmbeddedServer


class Handler(RequestHandler):
    """What all addresses share: the record of requests, faults, JSON errors (version 1's)."""

    def initialize(self, server: EmbeddedServer) -> None:
        """Keep the server that this request came to."""
        self.server = server
        self.fault: Fault | None = None

    def prepare(self) -> None:
        """Write the request down, and let it go wrong if it is to."""
        request = self.request
        # Each piece goes out at once: none waits for the one before to be acknowledged.
        request.connection.stream.set_nodelay(True)  # type: ignore[union-attr]
        self.seen = ReceivedRequest(
            request.method or "", request.path, dict(request.headers), request.body
        )
        self.server.seen.append(self.seen)
        self.fault = self.server.take_fault(request.path)

    def on_connection_close(self) -> None:
        """Note that the client went away."""
        self.seen.closed_early = True

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer what tornado refuses by itself, such as a malformed form, as JSON too."""
        self.write_error_payload(336001, f"Invalid Argument: HTTP {status_code}")

    def write_payload(self, payload: dict[str, Any]) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json;charset=utf-8")
        self.write(json.dumps(payload, ensure_ascii=False))

    def write_event(self, payload: dict[str, Any]) -> None:
        """Send one event of a stream."""
        self.write(f"data: {json.dumps(payload, ensure_ascii=False)}\n\n")

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Answer with an error, which may also come in the middle of a stream."""
        self.write_payload({"error_code": error_code, "error_msg": error_msg})

    def refuse(self, refused: Refusal) -> None:
        """Answer that it is refused."""
        self.write_error_payload(refused.error_code, refused.error_msg)

    @property
    def address(self) -> tuple[str, str, str]:
        """What a signature covers besides headers."""
        return self.request.method or "", self.request.path, self.request.query

    def check_signature(self) -> None:
        """Refuse, in IAM's words, a request that is not signed with the keys."""
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        authorization = headers.get("authorization", "")
        self.server.authenticator.check_signature(authorization, self.address, headers)

    async def inject_fault(self, fault: Fault) -> None:
        """Do what the fault says, in the place of the rest of the answer."""
        if not self._headers_written:
            self.set_status(fault.status)
            for name, value in fault.headers.items():
                self.set_header(name, value)
        if fault.error_code:
            self.write_error_payload(fault.error_code, fault.error_msg)
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
        self.write_error_payload(3, "Unsupported openapi method")

    post = put = delete = patch = options = get


class ServiceHandler(Handler):
    """A model's address: lets in, checks, answers.

    Attributes
    ----------
    end
        What a stream ends with.
    """

    end: ClassVar[str] = ""

    @abstractmethod
    def read(self, *named: str) -> tuple[Answer, bool]:
        """Let in, check and answer; tell whether the answer is to be streamed.

        Raises
        ------
        Refusal
            With the code and words of the service.
        """

    @abstractmethod
    def limits(self, answer: Answer) -> dict[str, str]:
        """Return the headers that tell what may be asked yet."""

    def with_fields(self, payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Put a fault's fields into an answer or a chunk."""
        return {**payload, **fields}

    async def post(self, *named: str) -> None:
        """Let in, check, answer."""
        if self.fault and not self.fault.after and not self.fault.fields:
            await self.inject_fault(self.fault)
            return
        try:
            answer, stream = self.read(*named)
        except Refusal as refused:
            self.refuse(refused)
            return
        for name, value in self.limits(answer).items():
            self.set_header(name, value)
        if stream:
            await self._stream(answer)
        else:
            self.write_payload(self._faulty(answer.whole()))

    def _faulty(self, payload: dict[str, Any]) -> dict[str, Any]:
        fields = self.fault.fields if self.fault else {}
        return self.with_fields(payload, fields) if fields else payload

    async def _stream(self, answer: Answer) -> None:
        self.set_header("Content-Type", "text/event-stream;charset=utf-8")
        fault = self.fault if self.fault and not self.fault.fields else None
        try:
            for number, chunk in enumerate(answer.chunks()):
                if fault and number == fault.after:
                    await self.inject_fault(fault)
                    return
                self.write_event(self._faulty(chunk))
                await self.flush()
                self.seen.sent += 1
                if self.server.pace:
                    await asyncio.sleep(self.server.pace)
            self.write(self.end)
        except StreamClosedError:
            self.seen.closed_early = True

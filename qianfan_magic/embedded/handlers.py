"""What all request handlers share: recording, faults, authentication by signature, responses."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, ClassVar

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.faults import Fault, ServiceError
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Answer, Ending
from qianfan_magic.embedded.state import Generate, ReceivedRequest, ServerState
from qianfan_magic.errors import QianfanError

__all__ = ["BaseHandler", "ServiceHandler", "UnknownPathHandler"]


class BaseHandler(RequestHandler):
    """Records requests, injects faults, and writes JSON; errors are in version 1's format."""

    def initialize(self, state: ServerState) -> None:
        """Store the server's state; tornado passes what the route specifies."""
        self.state = state
        self.fault: Fault | None = None

    def prepare(self) -> None:
        """Record the request, and take the fault that applies to it."""
        request = self.request
        # Nagle's algorithm would hold a chunk back until the one before it is acknowledged.
        request.connection.stream.set_nodelay(True)  # type: ignore[union-attr]
        self.received = ReceivedRequest(
            request.method or "", request.path, dict(request.headers), request.body
        )
        self.state.received.append(self.received)
        self.fault = self.state.take_fault(request.path)

    def on_connection_close(self) -> None:
        """Record that the client closed the connection."""
        self.received.closed_early = True

    def write_error(self, status_code: int, **_: Any) -> None:
        """Respond in JSON to what tornado rejects by itself, such as a malformed form."""
        self.write_error_payload(336001, f"Invalid Argument: HTTP {status_code}")

    def write_payload(self, payload: dict[str, Any]) -> None:
        """Write a JSON response."""
        self.set_header("Content-Type", "application/json;charset=utf-8")
        self.write(json.dumps(payload, ensure_ascii=False))

    def write_event(self, payload: dict[str, Any]) -> None:
        """Write one server-sent event."""
        self.write(f"data: {json.dumps(payload, ensure_ascii=False)}\n\n")

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Write an error; it may come in the middle of a stream."""
        self.write_payload({"error_code": error_code, "error_msg": error_msg})

    def write_service_error(self, error: ServiceError) -> None:
        """Respond with an error of the service."""
        self.write_error_payload(error.error_code, error.error_msg)

    def check_signature(self) -> None:
        """Raise a `ServiceError` of IAM unless the request is signed with the server's keys."""
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        target = self.request.method or "", self.request.path, self.request.query
        authorization = headers.get("authorization", "")
        self.state.authenticator.check_signature(authorization, target, headers)

    async def inject_fault(self, fault: Fault) -> None:
        """Write what a fault specifies instead of the rest of the response."""
        if not fault.status:
            await self._end_connection(fault.end)
            return
        if not self._headers_written:
            self.set_status(fault.status)
            for name, value in fault.headers.items():
                self.set_header(name, value)
        if fault.error_code:
            self.write_error_payload(fault.error_code, fault.error_msg)
        elif fault.body is not None:
            self.write(fault.body)
        if fault.end:
            await self.flush()  # or closing would discard what was written
            await self._end_connection(fault.end)

    async def _end_connection(self, how: str) -> None:
        stream = self.request.connection.stream  # type: ignore[union-attr]
        if how == "silence":  # only the client ends it, by its timeout
            closed = asyncio.Event()
            stream.set_close_callback(closed.set)
            await closed.wait()
            self.received.closed_early = True
            return
        if how == "reset":
            linger = struct.pack("ii", 1, 0)  # on, for 0 seconds: close() sends RST
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stream.close()


class UnknownPathHandler(BaseHandler):
    """Responds to all paths that the service does not have."""

    async def get(self) -> None:
        """Respond with version 1's error."""
        self.write_error_payload(3, "Unsupported openapi method")

    post = put = delete = patch = options = get


class ServiceHandler(BaseHandler):
    """Runs a model: authenticates and validates the request, and responds with an answer.

    Attributes
    ----------
    version
        The API version of the path.
    end
        Text that ends a stream.
    internal_error
        The code of an error of the service itself.
    too_many_requests
        The error for requests beyond the quota.
    """

    version: ClassVar[ApiVersion]
    end: ClassVar[str] = ""
    internal_error: ClassVar[int | str]
    too_many_requests: ClassVar[ServiceError]

    @abstractmethod
    def authenticate(self) -> None:
        """Raise a `ServiceError` unless the request's credentials are valid."""

    @abstractmethod
    def parse(self, *path_arguments: str) -> ServerRequest:
        """Validate the request; raise a `ServiceError` if it is invalid."""

    @abstractmethod
    def answer(self, request: ServerRequest) -> Answer:
        """Return the engine's answer in this version's format."""

    @abstractmethod
    def empty_answer(self, request: ServerRequest) -> Answer:
        """Return the answer that a model is about to generate, in this version's format."""

    def with_fields(self, payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer or a chunk with the fields of a fault added."""
        return {**payload, **fields}

    async def post(self, *path_arguments: str) -> None:
        """Authenticate, validate, respond."""
        try:
            await self._respond(*path_arguments)
        except (StreamClosedError, asyncio.CancelledError):  # by the client, or the server stops
            self.received.closed_early = True

    async def _respond(self, *path_arguments: str) -> None:
        if self.fault and not self.fault.after and not self.fault.fields:
            await self.inject_fault(self.fault)
            return
        try:
            self.authenticate()
            request = self.parse(*path_arguments)
        except ServiceError as error:
            self.write_service_error(error)
            return
        early = self.state.rate_limits.seconds_over()
        if early:
            self.set_header("Retry-After", str(math.ceil(early)))
            self.write_service_error(self.too_many_requests)
            return
        if self.state.delay:
            await asyncio.sleep(self.state.delay)
        if self.state.generate:
            await self._generate(request, self.state.generate)
            return
        answer = self.answer(request)
        tokens = answer.prompt_tokens, answer.completion_tokens
        for name, value in self.state.rate_limits.count(*tokens, self.version).items():
            self.set_header(name, value)
        if request.stream:
            await self._stream(answer)
        else:
            self.write_payload(self._with_fault_fields(answer.whole()))

    async def _generate(self, request: ServerRequest, generate: Generate) -> None:
        """Respond with what a model generates, as it generates it."""
        answer, pieces = self.empty_answer(request), list[str]()
        counted = self.state.rate_limits.count(answer.prompt_tokens, 0, self.version)
        for name, value in counted.items():
            self.set_header(name, value)
        if request.stream:
            self.set_header("Content-Type", "text/event-stream;charset=utf-8")
        try:
            async with aclosing(generate(request)) as generated:
                async for piece in generated:
                    if self.received.closed_early:
                        return
                    if isinstance(piece, Ending):
                        answer.finish("".join(pieces), piece)
                        break
                    if request.stream:
                        await self._send(answer.generated_chunk(piece, len(pieces)))
                    pieces.append(piece)
            if request.stream:
                await self._send(answer.last_chunk(len(pieces)))
                self.write(self.end)
            else:
                self.write_payload(answer.whole())
        except QianfanError as error:
            self.write_service_error(ServiceError(self.internal_error, error.message, 500))

    async def _send(self, chunk: dict[str, Any]) -> None:
        self.write_event(chunk)
        await self.flush()
        self.received.sent += 1

    def _with_fault_fields(self, payload: dict[str, Any]) -> dict[str, Any]:
        fields = self.fault.fields if self.fault else {}
        return self.with_fields(payload, fields) if fields else payload

    async def _stream(self, answer: Answer) -> None:
        self.set_header("Content-Type", "text/event-stream;charset=utf-8")
        fault = self.fault if self.fault and not self.fault.fields else None
        for number, chunk in enumerate(answer.chunks()):
            if fault and number == fault.after:
                await self.inject_fault(fault)
                return
            await self._send(self._with_fault_fields(chunk))
            # Read for each chunk, since it may be set while a stream is under way.
            if self.state.pace:
                await asyncio.sleep(self.state.pace)
        self.write(self.end)

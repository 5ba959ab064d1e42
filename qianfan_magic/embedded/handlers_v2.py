"""Request handlers of version 2, and of IAM's endpoint for its bearer tokens."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.embedded import responses_v2
from qianfan_magic.embedded.engines import tool_calls
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.handlers import BaseHandler, ServiceHandler
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.validation_v2 import models_of, parse_request

__all__ = ["BearerTokenHandler", "ModelListHandler", "V2ServiceHandler", "V2UnknownPathHandler"]

#: Error codes for what tornado rejects by itself, by HTTP status code.
_TORNADO_ERRORS = {405: "method_not_supported", 500: "internal_error"}


class BearerTokenHandler(BaseHandler):
    """IAM's endpoint for bearer tokens, which authenticates by signature."""

    async def get(self) -> None:
        """Issue a bearer token."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        try:
            self.check_signature()
            expire_in_seconds = self.get_query_argument("expireInSeconds", "")
            self.write_payload(self.state.authenticator.issue_bearer(expire_in_seconds))
        except ServiceError as error:
            self.write_service_error(error)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Respond to what tornado rejects by itself, such as every method but GET."""
        message = f"InvalidHTTPRequest, cause: HTTP {status_code}"
        self.write_error_payload("InvalidHTTPRequest", message)

    def write_service_error(self, error: ServiceError) -> None:
        """Respond with an error and its status code."""
        self.set_status(error.status)
        super().write_service_error(error)

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Write an error in the format of Baidu Cloud: in the body and in two headers."""
        self.set_header("X-Bce-Error-Code", str(error_code))
        self.set_header("X-Bce-Error-Message", error_msg)
        self.write_payload(
            {"code": str(error_code), "message": error_msg, "requestId": token_hex(8)}
        )


class V2Handler(BaseHandler):
    """Authenticates by bearer token, and responds to errors with a status code."""

    def authenticate(self) -> None:
        """Raise a `ServiceError` unless the bearer token is valid."""
        headers = self.request.headers
        self.state.authenticator.check_bearer(
            headers.get("Authorization", ""), headers.get("appid")
        )

    def write_error(self, status_code: int, **_: Any) -> None:
        """Respond to what tornado rejects by itself."""
        code = _TORNADO_ERRORS.get(status_code, "invalid_argument")
        self.write_error_payload(code, f"Invalid Argument: HTTP {status_code}")

    def write_service_error(self, error: ServiceError) -> None:
        """Respond with an error and its status code."""
        self.set_status(error.status)
        super().write_service_error(error)

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Write an error, in the middle of a stream as an event."""
        payload = responses_v2.error(error_code, error_msg, f"as-{token_hex(5)}")
        if self._headers_written:
            self.write_event(payload)
        else:
            self.write_payload(payload)


class ModelListHandler(V2Handler):
    """The list of models."""

    async def get(self) -> None:
        """Respond with the models of version 2."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        try:
            self.authenticate()
        except ServiceError as error:
            self.write_service_error(error)
            return
        self.write_payload(responses_v2.model_list(models_of(self.state.cards)))


class V2UnknownPathHandler(V2Handler):
    """Responds to all paths below ``/v2/`` that the service does not have."""

    async def get(self) -> None:
        """Respond with 404; the service's documents do not specify a response."""
        self.write_service_error(ServiceError("not_found", "No such API", 404))

    post = put = delete = patch = options = get


class V2ServiceHandler(V2Handler, ServiceHandler):
    """All models of version 2 for one kind of service; the body names the model."""

    version = ApiVersion.V2
    end = "data: [DONE]\n\n"
    internal_error = "internal_error"
    too_many_requests = ServiceError("rpm_rate_limit_exceeded", "Rate limit reached for RPM", 429)

    def initialize(self, kind: Kind, **shared: Any) -> None:  # type: ignore[override]
        """Store the kind of service that the path stands for."""
        super().initialize(**shared)
        self.kind = kind

    async def get(self) -> None:
        """Reject every method but POST."""
        message = "Only POST requests are accepted"
        self.write_service_error(ServiceError("method_not_supported", message, 405))

    put = delete = patch = options = get

    def parse(self, *path_arguments: str) -> ServerRequest:
        """Validate the body."""
        del path_arguments
        return parse_request(self.kind, self.request.body, self.state.seed, self.state.cards)

    def answer(self, request: ServerRequest) -> responses_v2.AnswerV2:
        """Return the engine's answer, after its reasoning if the model thinks."""
        reasoning = self.state.reasoning(request) if request.thinks else ""
        if calls := tool_calls.calls(request):
            return responses_v2.AnswerV2(request, "", reasoning, calls)
        text = tool_calls.answer(request) if request.tool_results else self.state.engine(request)
        return responses_v2.AnswerV2(request, text, reasoning)

    def empty_answer(self, request: ServerRequest) -> responses_v2.AnswerV2:
        """Return the answer that a model is about to generate."""
        return responses_v2.AnswerV2(request, "", "")

    def with_fields(self, payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer or a chunk with the fields of a fault added."""
        return responses_v2.with_fields(payload, fields)

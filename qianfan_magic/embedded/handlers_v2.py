"""The addresses of version 2, and IAM's for its bearer tokens."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from qianfan_magic.api.types import Kind
from qianfan_magic.embedded import rate_limits, responses_v2
from qianfan_magic.embedded.faults import Refusal
from qianfan_magic.embedded.handlers import Handler, ServiceHandler
from qianfan_magic.embedded.responses import Answer
from qianfan_magic.embedded.validation_v2 import MODELS, read_question


class IamHandler(Handler):
    """IAM's endpoint for bearer tokens, which takes signed requests."""

    async def get(self) -> None:
        """Give a bearer token for the access key."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        try:
            self.check_signature()
            asked = self.get_query_argument("expireInSeconds", "")
            self.write_payload(self.server.authenticator.issue_bearer(asked))
        except Refusal as refused:
            self.refuse(refused)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Refuse every other method."""
        self.write_error_payload(
            "InvalidHTTPRequest", f"InvalidHTTPRequest, cause: HTTP {status_code}"
        )

    def refuse(self, refused: Refusal) -> None:
        """Answer with the status too."""
        self.set_status(refused.status)
        super().refuse(refused)

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Answer with an error in BCE's shape, and in its headers."""
        self.set_header("X-Bce-Error-Code", str(error_code))
        self.set_header("X-Bce-Error-Message", error_msg)
        self.write_payload(
            {"code": str(error_code), "message": error_msg, "requestId": token_hex(8)}
        )


#: Of what tornado refuses by itself.
_CODES = {405: "method_not_supported", 500: "internal_error"}


class V2Handler(Handler):
    """What the addresses of version 2 share: the bearer token, and errors with a status."""

    def authenticate(self) -> None:
        """Refuse who has no bearer token."""
        headers = self.request.headers
        self.server.authenticator.check_bearer(
            headers.get("Authorization", ""), headers.get("appid")
        )

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer what tornado refuses by itself."""
        code = _CODES.get(status_code, "invalid_argument")
        self.write_error_payload(code, f"Invalid Argument: HTTP {status_code}")

    def refuse(self, refused: Refusal) -> None:
        """Answer with the status too."""
        self.set_status(refused.status)
        super().refuse(refused)

    def write_error_payload(self, error_code: int | str, error_msg: str) -> None:
        """Answer with an error; in the middle of a stream it is an event."""
        payload = responses_v2.error(error_code, error_msg, f"as-{token_hex(5)}")
        if self._headers_written:
            self.write_event(payload)
        else:
            self.write_payload(payload)


class ModelsHandler(V2Handler):
    """The list of models."""

    async def get(self) -> None:
        """List those that are served."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        try:
            self.authenticate()
        except Refusal as refused:
            self.refuse(refused)
            return
        self.write_payload(responses_v2.models(MODELS))


class V2UnknownHandler(V2Handler):
    """Any address below ``/v2/`` that the service does not have."""

    async def get(self) -> None:
        """Answer that there is nothing; the documents do not say how the service does."""
        self.refuse(Refusal("not_found", "No such API", 404))

    post = put = delete = patch = options = get


class ModelHandler(V2Handler, ServiceHandler):
    """An address of all models, which the body names."""

    end = "data: [DONE]\n\n"

    def initialize(self, kind: Kind, **given: Any) -> None:  # type: ignore[override]
        """Keep the kind of service that the address is for."""
        super().initialize(**given)
        self.kind = kind

    async def get(self) -> None:
        """Refuse every method but POST."""
        self.refuse(Refusal("method_not_supported", "Only POST requests are accepted", 405))

    put = delete = patch = options = get

    def read(self, *named: str) -> tuple[Answer, bool]:
        """Let in, check and answer a body."""
        del named
        self.authenticate()
        asked = read_question(self.kind, self.request.body, self.server.seed)
        question = asked.question
        reasoning = self.server.reasoning(question) if question.thinks else ""
        answer = responses_v2.AnswerV2(asked, self.server.engine(question), reasoning)
        return answer, asked.stream

    def limits(self, answer: Answer) -> dict[str, str]:
        """Return version 2's headers."""
        left = self.server.rate_limits.use(answer.prompt_tokens, answer.completion_tokens)
        return rate_limits.headers(left)

    def with_fields(self, payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Put a fault's fields into an answer or a chunk, or into its choice."""
        return responses_v2.with_fields(payload, fields)

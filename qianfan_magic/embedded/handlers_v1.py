"""Request handlers of version 1: the token endpoint and the models."""

from __future__ import annotations

from typing import Any

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.auth import SIGNATURE_VERSION
from qianfan_magic.embedded.engines import tool_calls
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.handlers import BaseHandler, ServiceHandler
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses_v1 import AnswerV1
from qianfan_magic.embedded.validation_v1 import parse_request

__all__ = ["AccessTokenHandler", "V1ServiceHandler"]


class AccessTokenHandler(BaseHandler):
    """The OAuth 2.0 token endpoint, for the grant type ``client_credentials``."""

    async def get(self) -> None:
        """Issue an access token; parameters may come in the query or in a form."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        if self.get_argument("grant_type", "") != "client_credentials":
            payload: dict[str, Any] = {"error": "unsupported_grant_type", "error_description": ""}
        else:
            client_id = self.get_argument("client_id", "")
            client_secret = self.get_argument("client_secret", "")
            payload = self.state.authenticator.issue_token(client_id, client_secret)
        if "error" in payload:
            self.set_status(401)
        self.write_payload(payload)

    post = get


class V1ServiceHandler(ServiceHandler):
    """A model of version 1, whose path names the folder (the kind of service) and the endpoint."""

    version = ApiVersion.V1
    internal_error = 336000
    too_many_requests = ServiceError(336501, "Rate limit reached for RPM", 429)

    async def get(self, folder: str, endpoint: str) -> None:
        """Reject every method but POST."""
        del folder, endpoint
        self.write_error_payload(336101, "Invalid HTTP Method")

    put = delete = patch = options = get

    def authenticate(self) -> None:
        """Check the signature if there is one, otherwise the access token in the query."""
        if not self.request.headers.get("Authorization", "").startswith(f"{SIGNATURE_VERSION}/"):
            self.state.authenticator.check_token(self.get_query_argument("access_token", ""))
            return
        try:
            self.check_signature()
        except ServiceError:  # version 1 does not pass IAM's own error on
            raise ServiceError(14, "IAM Certification failed") from None

    def parse(self, *path_arguments: str) -> ServerRequest:
        """Validate the body for the folder and the endpoint of the path."""
        folder, endpoint = path_arguments
        body, cards = self.request.body, self.state.cards
        return parse_request(folder, endpoint, body, self.state.seed, cards)

    def answer(self, request: ServerRequest) -> AnswerV1:
        """Return the engine's answer."""
        if calls := tool_calls.calls(request):
            return AnswerV1(request, "", calls[0])  # version 1 asks for one call at a time
        text = tool_calls.answer(request) if request.tool_results else self.state.engine(request)
        return AnswerV1(request, text)

    def empty_answer(self, request: ServerRequest) -> AnswerV1:
        """Return the answer that a model is about to generate."""
        return AnswerV1(request, "")

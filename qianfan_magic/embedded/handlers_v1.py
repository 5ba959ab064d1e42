"""The addresses of version 1."""

from __future__ import annotations

from typing import Any

from qianfan_magic.embedded import rate_limits
from qianfan_magic.embedded.faults import Refusal
from qianfan_magic.embedded.handlers import Handler, ServiceHandler
from qianfan_magic.embedded.responses import Answer
from qianfan_magic.embedded.responses_v1 import AnswerV1
from qianfan_magic.embedded.validation_v1 import read_question


class TokenHandler(Handler):
    """The token endpoint, by GET or POST."""

    async def get(self) -> None:
        """Give a token for the keys."""
        if self.fault:
            await self.inject_fault(self.fault)
            return
        if self.get_argument("grant_type", "") != "client_credentials":
            given: dict[str, Any] = {"error": "unsupported_grant_type", "error_description": ""}
        else:
            client_id = self.get_argument("client_id", "")
            given = self.server.authenticator.issue_token(
                client_id, self.get_argument("client_secret", "")
            )
        if "error" in given:
            self.set_status(401)
        self.write_payload(given)

    post = get


class V1Handler(ServiceHandler):
    """A model's address in version 1."""

    async def get(self, folder: str, endpoint: str) -> None:
        """Refuse every method but POST."""
        del folder, endpoint
        self.write_error_payload(336101, "Invalid HTTP Method")

    put = delete = patch = options = get

    def read(self, *named: str) -> tuple[Answer, bool]:
        """Let in, check and answer a body for a folder and an endpoint."""
        self._authenticate()
        folder, endpoint = named
        question, stream = read_question(folder, endpoint, self.request.body, self.server.seed)
        return AnswerV1(question, self.server.engine(question)), stream

    def limits(self, answer: Answer) -> dict[str, str]:
        """Return version 1's headers."""
        left = self.server.rate_limits.use(answer.prompt_tokens, answer.completion_tokens)
        return rate_limits.v1_headers(left)

    def _authenticate(self) -> None:
        if not self.request.headers.get("Authorization", "").startswith("bce-auth-v1/"):
            self.server.authenticator.check_token(self.get_query_argument("access_token", ""))
            return
        try:
            self.check_signature()
        except Refusal:
            raise Refusal(14, "IAM Certification failed") from None

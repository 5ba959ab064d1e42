"""The addresses of version 1."""

from __future__ import annotations

from typing import Any

from qianfan_magic.embedded import quota
from qianfan_magic.embedded.checks_v1 import read_question
from qianfan_magic.embedded.handlers import Handler, ServiceHandler
from qianfan_magic.embedded.refused import Refused
from qianfan_magic.embedded.shapes import Answer
from qianfan_magic.embedded.shapes_v1 import OldAnswer


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


class OldHandler(ServiceHandler):
    """A model's address in version 1."""

    async def get(self, folder: str, endpoint: str) -> None:
        """Refuse every method but POST."""
        del folder, endpoint
        self.say_error(336101, "Invalid HTTP Method")

    put = delete = patch = options = get

    def read(self, *named: str) -> tuple[Answer, bool]:
        """Let in, check and answer a body for a folder and an endpoint."""
        self._let_in()
        folder, endpoint = named
        question, stream = read_question(folder, endpoint, self.request.body, self.server.seed)
        return OldAnswer(question, self.server.engine(question)), stream

    def limits(self, answer: Answer) -> dict[str, str]:
        """Return version 1's headers."""
        left = self.server.quota.use(answer.prompt_tokens, answer.completion_tokens)
        return quota.old_headers(left)

    def _let_in(self) -> None:
        if not self.request.headers.get("Authorization", "").startswith("bce-auth-v1/"):
            self.server.door.check_token(self.get_query_argument("access_token", ""))
            return
        try:
            self.check_signature()
        except Refused:
            raise Refused(14, "IAM Certification failed") from None

"""A request that was sent, as the writers of programs need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qianfan_magic.api.config.credentials import AuthenticationMethod
from qianfan_magic.api.config.settings import DEFAULT_IAM_BASE_URL
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire import v1, v2

__all__ = ["PROGRAM_BEARER_SECONDS", "SnippetRequest"]

#: Lifetime of the bearer token that a program requests from IAM, in seconds. The client requests
#: one of `v2.BEARER_SECONDS`, a day, and stores it; a program uses its token once and drops it.
PROGRAM_BEARER_SECONDS = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetRequest:
    """A request that was sent, without its secrets.

    Attributes
    ----------
    version
        Version of the API.
    kind
        Kind of the service.
    url
        Address of the service, percent-encoded, without a query.
    base_url
        Beginning of `url`: scheme, host, port and any prefix.
    body
        Body as it was sent, before it was encoded as JSON.
    method
        How the request is authenticated. With version 2, access keys fetch a bearer token first;
        a server on this computer needs no key.
    iam_url
        Server that issues this bearer token.
    app_id
        Whether the header ``appid`` is sent (version 2).
    """

    version: ApiVersion
    kind: Kind
    url: str
    base_url: str
    body: dict[str, Any]
    method: AuthenticationMethod
    iam_url: str = DEFAULT_IAM_BASE_URL
    app_id: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that a program needs."""
        return (*self.method.variables, *(["QIANFAN_APP_ID"] if self.app_id else []))

    @property
    def stream(self) -> bool:
        """Whether the response is streamed."""
        return bool(self.body.get("stream"))

    @property
    def has_functions(self) -> bool:
        """Whether the model may ask for calls of functions instead of an answer."""
        return bool(self.body.get("tools") or self.body.get("functions"))

    @property
    def is_signed(self) -> bool:
        """Whether a program signs a request: this one (version 1) or the one for its token."""
        return "access_key" in self.method.fields

    @property
    def token_url(self) -> str:
        """Address of the endpoint that issues the token; empty if a program fetches none."""
        if self.version == ApiVersion.V1:
            return self.base_url + v1.TOKEN_PATH if "ak" in self.method.fields else ""
        return self.iam_url + v2.TOKEN_PATH if self.is_signed else ""

    @property
    def signed_url(self) -> str:
        """Address of the request that is signed; empty if none is."""
        return (self.token_url or self.url) if self.is_signed else ""

    def title(self, tool: str) -> str:
        """Return the first line of a program, a comment: what it does and which variables it needs.

        Parameters
        ----------
        tool
            What sends the request, beginning with ``by``.
        """
        needed = ", ".join(self.variables) or "no key"
        return f"# Asks Baidu Qianfan ({self.kind}, version {self.version}) {tool}; needs {needed}."

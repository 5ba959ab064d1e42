"""A request that went out, as the programs need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qianfan_magic.api.types import ApiVersion

#: The variables of each way to be let in.
_VARIABLES: dict[str, tuple[str, ...]] = {
    "access_token": ("QIANFAN_ACCESS_TOKEN",),
    "ak": ("QIANFAN_AK", "QIANFAN_SK"),
    "access_key": ("QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY"),
    "bearer_token": ("QIANFAN_BEARER_TOKEN",),
}
#: Seconds that a signature, and a bearer token fetched with one, are good for.
SIGNATURE_SECONDS = 300
BEARER_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class SnippetRequest:
    """A request; holds no secret.

    Attributes
    ----------
    version
        Of the API.
    kind, service
        What was asked: an endpoint (version 1) or a model (version 2).
    url
        The whole address, percent-encoded, without query.
    base_url
        What `url` begins with: scheme, host, port and any prefix.
    body
        As it went out, as JSON.
    way
        How it was let in; with version 2, ``"access_key"`` fetches a bearer token first.
    iam_url
        Where that comes from.
    app_id
        Whether the header ``appid`` goes along (version 2).
    """

    version: ApiVersion
    kind: Literal["chat", "completion"]
    service: str
    url: str
    base_url: str
    body: dict[str, Any]
    way: Literal["access_token", "ak", "access_key", "bearer_token"]
    iam_url: str = "https://iam.bj.baidubce.com"
    app_id: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that a program needs."""
        return (*_VARIABLES[self.way], *(["QIANFAN_APP_ID"] if self.app_id else []))

    @property
    def stream(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.body.get("stream"))

    @property
    def signed(self) -> str:
        """The address that is asked with a signature: the service's, a token's, or none."""
        if self.way != "access_key":
            return ""
        return self.url if self.version == ApiVersion.V1 else f"{self.iam_url}/v1/BCE-BEARER/token"

    def title(self, means: str) -> str:
        """Say in one line what a program is and which variables it needs."""
        needed = ", ".join(self.variables)
        return (
            f"# Asks Baidu Qianfan ({self.kind}, version {self.version}) {means}; needs {needed}."
        )

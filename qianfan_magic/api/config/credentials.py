"""Keys and tokens, and which of them are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import SettingsError
from qianfan_magic.masking import remember


def _variable(name: str, default: Any, read: Callable[[str], Any], *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"variable": name, "read": read})


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys and tokens; their repr shows only which there are.

    Attributes
    ----------
    ak, sk
        API Key and Secret Key of an application, for an access token.
    access_key, secret_key
        Of an account, for signed requests.
    access_token
        One that was fetched elsewhere; used as it is.
    bearer_token
        For version 2 of the API.
    """

    ak: str | None = _variable("QIANFAN_AK", None, str, secret=True)
    sk: str | None = _variable("QIANFAN_SK", None, str, secret=True)
    access_key: str | None = _variable("QIANFAN_ACCESS_KEY", None, str, secret=True)
    secret_key: str | None = _variable("QIANFAN_SECRET_KEY", None, str, secret=True)
    access_token: str | None = _variable("QIANFAN_ACCESS_TOKEN", None, str, secret=True)
    bearer_token: str | None = _variable("QIANFAN_BEARER_TOKEN", None, str, secret=True)

    def __post_init__(self) -> None:
        for name, variable in _NAMES.items():
            value = getattr(self, name) or ""
            remember(value)
            if value.startswith(BEARER) and name != "bearer_token":
                raise SettingsError(
                    f"{variable} holds an API key of version 2 of the API",
                    hint="It belongs into QIANFAN_BEARER_TOKEN, and needs no second key.",
                )
            if not (value.isascii() and value.isprintable() and " " not in value):
                raise SettingsError(
                    f"{variable} holds a character that no key has",
                    hint="Copy the key once more, without spaces around or in it.",
                )
        for key, secret in (("ak", "sk"), ("access_key", "secret_key")):
            if bool(getattr(self, key)) != bool(getattr(self, secret)):
                present, missing = (key, secret) if getattr(self, key) else (secret, key)
                raise SettingsError(
                    f"{_NAMES[present]} is set, but {_NAMES[missing]} is not",
                    hint=f"They work only together: set {_NAMES[missing]} too, in .env or here.",
                )

    @property
    def ways(self) -> list[tuple[str, ...]]:
        """The complete ways to be let in by version 1, as the fields each needs."""
        return [way for way in WAYS if all(getattr(self, name) for name in way)]

    @property
    def versions(self) -> tuple[ApiVersion, ...]:
        """The versions of the API that they are good for; access keys are for both."""
        signs = bool(self.access_key)
        ones: tuple[ApiVersion, ...] = (ApiVersion.V1,) if self.ways else ()
        twos: tuple[ApiVersion, ...] = (ApiVersion.V2,) if self.bearer_token or signs else ()
        return ones + twos

    def way(self, version: ApiVersion) -> str:
        """Return the field, or the first of two, by which a version lets them in; or nothing."""
        if version == ApiVersion.V1:
            return self.ways[0][0] if self.ways else ""
        return "bearer_token" if self.bearer_token else "access_key" * bool(self.access_key)

    def __repr__(self) -> str:
        there = [known.name for known in fields(self) if getattr(self, known.name)]
        return f"Credentials({', '.join(f'{name}=***' for name in there)})"


#: How the keys of version 2 begin.
BEARER = "bce-v3/"
#: The ways to be let in by version 1.
WAYS: tuple[tuple[str, ...], ...] = (("access_token",), ("access_key", "secret_key"), ("ak", "sk"))
_NAMES = {known.name: known.metadata["variable"] for known in fields(Credentials)}


def _choose(keys: dict[str, str], outside: Mapping[str, str]) -> Credentials:
    """Let a way that the environment names win over what else ``.env`` holds."""
    complete = [way for way in WAYS if all(name in keys for name in way)]
    theirs = [way for way in complete if any(_NAMES[name] in outside for name in way)]
    if len(theirs) == 1:
        of_dot_env = {n for n in keys if _NAMES[n] not in outside} - {*theirs[0], "bearer_token"}
        keys = {name: value for name, value in keys.items() if name not in of_dot_env}
    return one_way(Credentials(**keys))


def one_way(credentials: Credentials) -> Credentials:
    """Return the credentials, or raise a `SettingsError` if they are two ways to be let in."""
    if len(credentials.ways) > 1:
        ways = [" with ".join(_NAMES[name] for name in way) for way in credentials.ways]
        raise SettingsError(
            f"There are contradictory credentials: {' as well as '.join(ways)}",
            hint="Keep one of these ways to sign in and remove the others.",
        )
    return credentials

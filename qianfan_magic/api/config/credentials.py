"""Credentials, and the table of the authentication methods that they serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import SettingsError
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import remember

__all__ = [
    "AUTHENTICATION_METHODS",
    "CREDENTIAL_VARIABLES",
    "KEYLESS",
    "AuthenticationMethod",
    "Credentials",
    "choose_credentials",
    "needed_variables",
    "one_way",
    "variable_field",
]

#: How the API keys of version 2 begin; no other credential does.
BEARER_PREFIX = "bce-v3/"


def variable_field(
    variable: str,
    default: Any,
    parse: Callable[[str], Any],
    *,
    secret: bool = False,
    aliases: Mapping[str, Callable[[str], str]] = MappingProxyType({}),
) -> Any:
    """Declare a dataclass field that an environment variable fills.

    Parameters
    ----------
    variable
        Name of the environment variable.
    default
        Value if the variable is not set.
    parse
        Converts the text; raises a `ValueError` that says what the text must be.
    secret
        Whether the repr omits the value.
    aliases
        Other names of the environment variable, each with what converts its text to that of this
        variable.
    """
    metadata = {"variable": variable, "parse": parse, "aliases": aliases}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class AuthenticationMethod:
    """An authentication method: the credentials it needs and the API versions that accept it.

    Attributes
    ----------
    fields
        Fields of `Credentials`, all of which must be set.
    description
        Name for messages, such as ``an API Key and its Secret Key``.
    versions
        Versions of the API that accept it.
    suggested_for
        Versions whose error messages suggest it to a user who has no credentials.
    """

    fields: tuple[str, ...]
    description: str
    versions: tuple[ApiVersion, ...]
    suggested_for: tuple[ApiVersion, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that hold its credentials."""
        return tuple(CREDENTIAL_VARIABLES[name] for name in self.fields)

    def is_complete(self, values: Mapping[str, Any]) -> bool:
        """Tell whether all its fields are set in a mapping of field names to values."""
        return all(values.get(name) for name in self.fields)


#: Every authentication method; of two for the same version, the first takes precedence.
AUTHENTICATION_METHODS = (
    AuthenticationMethod(("access_token",), mark("an access token"), (ApiVersion.V1,)),
    AuthenticationMethod(
        ("bearer_token",),
        mark("an API key of version 2"),
        (ApiVersion.V2,),
        suggested_for=(ApiVersion.V2,),
    ),
    AuthenticationMethod(
        ("access_key", "secret_key"),
        mark("an access key and its secret key"),
        (ApiVersion.V1, ApiVersion.V2),
        suggested_for=(ApiVersion.V2,),
    ),
    AuthenticationMethod(
        ("ak", "sk"),
        mark("an API Key and its Secret Key"),
        (ApiVersion.V1,),
        suggested_for=(ApiVersion.V1,),
    ),
)
#: No authentication; for a server on this computer.
KEYLESS = AuthenticationMethod((), "no key", (ApiVersion.V2,))
#: Methods of version 1, of which only one may be set.
_V1_METHODS = tuple(m for m in AUTHENTICATION_METHODS if ApiVersion.V1 in m.versions)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys and tokens; the repr shows only which of them are set.

    Attributes
    ----------
    ak, sk
        API Key and Secret Key of an application; an access token is fetched with them.
    access_key, secret_key
        Access key and secret key of an account (Baidu's IAM). They sign requests of version 1
        and fetch a bearer token for version 2.
    access_token
        Access token that was fetched elsewhere; used as it is and not renewed.
    bearer_token
        API key of version 2 (``bce-v3/…``).

    Raises
    ------
    SettingsError
        If a key is set without its counterpart, is a key of another kind, or has a character
        that no key has. The message names the environment variable, never the value.

    Examples
    --------
    >>> credentials = Credentials(access_key="ALTAK-example", secret_key="0123456789abcdef")
    >>> credentials
    Credentials(access_key=***, secret_key=***)
    >>> [int(version) for version in credentials.versions]
    [1, 2]
    """

    ak: str | None = variable_field("QIANFAN_AK", None, str, secret=True)
    sk: str | None = variable_field("QIANFAN_SK", None, str, secret=True)
    access_key: str | None = variable_field("QIANFAN_ACCESS_KEY", None, str, secret=True)
    secret_key: str | None = variable_field("QIANFAN_SECRET_KEY", None, str, secret=True)
    access_token: str | None = variable_field("QIANFAN_ACCESS_TOKEN", None, str, secret=True)
    bearer_token: str | None = variable_field(
        "QIANFAN_API_KEY", None, str, secret=True, aliases={"QIANFAN_BEARER_TOKEN": str}
    )

    def __post_init__(self) -> None:
        for name, variable in CREDENTIAL_VARIABLES.items():
            value = getattr(self, name) or ""
            remember(value)
            _check_key(variable, value)
        for method in AUTHENTICATION_METHODS:
            _check_whole(method, self._values)

    @property
    def _values(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in CREDENTIAL_VARIABLES}

    @property
    def methods(self) -> tuple[AuthenticationMethod, ...]:
        """The authentication methods whose credentials are set, in order of precedence."""
        return tuple(m for m in AUTHENTICATION_METHODS if m.is_complete(self._values))

    @property
    def ways(self) -> list[tuple[str, ...]]:
        """The fields of each authentication method of version 1 whose credentials are set."""
        return [method.fields for method in self.methods if method in _V1_METHODS]

    @property
    def versions(self) -> tuple[ApiVersion, ...]:
        """The versions of the API that accept these credentials."""
        return tuple(v for v in ApiVersion if any(v in m.versions for m in self.methods))

    def method(self, version: ApiVersion) -> AuthenticationMethod | None:
        """Return the authentication method used for a version of the API; None if none is set."""
        return next((m for m in self.methods if version in m.versions), None)

    def way(self, version: ApiVersion) -> str:
        """Return the first field of the method used for a version of the API; empty if none."""
        method = self.method(version)
        return method.fields[0] if method else ""

    def __repr__(self) -> str:
        present = [name for name, value in self._values.items() if value]
        return f"Credentials({', '.join(f'{name}=***' for name in present)})"


#: The environment variable of each field of `Credentials`.
CREDENTIAL_VARIABLES: dict[str, str] = {
    known.name: known.metadata["variable"] for known in fields(Credentials)
}


def _check_key(variable: str, value: str) -> None:
    """Refuse a value that cannot be the key that the variable stands for."""
    bearer_variable = CREDENTIAL_VARIABLES["bearer_token"]
    if value.startswith(BEARER_PREFIX) and variable != bearer_variable:
        raise SettingsError(
            tr("{variable} holds an API key of version 2 of the API", variable=variable),
            hint=tr(
                "It belongs in {variable}, and needs no second key.",
                variable=bearer_variable,
            ),
        )
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise SettingsError(
            tr("{variable} holds a character that no key has", variable=variable),
            hint=tr("Copy the key once more, without spaces around or in it."),
        )


def _check_whole(method: AuthenticationMethod, values: Mapping[str, Any]) -> None:
    """Refuse a key that is set without its counterpart."""
    missing = [CREDENTIAL_VARIABLES[name] for name in method.fields if not values[name]]
    present = [CREDENTIAL_VARIABLES[name] for name in method.fields if values[name]]
    if present and missing:
        raise SettingsError(
            tr("{present} is set, but {missing} is not", present=present[0], missing=missing[0]),
            hint=tr(
                "They work only together: set {missing} too, in .env or here.", missing=missing[0]
            ),
        )


def needed_variables(version: ApiVersion) -> str:
    """Name the variables that a user without credentials is asked to set, as part of a sentence.

    Examples
    --------
    >>> needed_variables(ApiVersion.V2)
    'QIANFAN_API_KEY, or QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY'
    """
    suggested = [m for m in AUTHENTICATION_METHODS if version in m.suggested_for]
    return ", or ".join(tr(" and ").join(method.variables) for method in suggested)


def choose_credentials(values: Mapping[str, str], environ: Mapping[str, str]) -> Credentials:
    """Build credentials from what the environment and ``.env`` set together.

    If the environment sets exactly one method of version 1, the other methods are dropped from
    ``.env``; a bearer token stays, since it contradicts nothing.

    Parameters
    ----------
    values
        Credentials by field, of both sources.
    environ
        Environment variables, which take precedence over ``.env``.

    Raises
    ------
    SettingsError
        If half of a pair is missing or two methods of version 1 remain.
    """
    complete = [method for method in _V1_METHODS if method.is_complete(values)]
    in_environ = [m for m in complete if any(name in environ for name in m.variables)]
    if len(in_environ) == 1:
        wanted = {*in_environ[0].fields, "bearer_token"}
        values = {
            name: value
            for name, value in values.items()
            if name in wanted or CREDENTIAL_VARIABLES[name] in environ
        }
    return one_way(Credentials(**values))


def one_way(credentials: Credentials) -> Credentials:
    """Return the credentials unless they contradict each other.

    Raises
    ------
    SettingsError
        If they are complete for more than one method of version 1: a forgotten line of ``.env``
        must not decide which account pays.
    """
    methods = [method for method in credentials.methods if method in _V1_METHODS]
    if len(methods) > 1:
        described = tr(" as well as ").join(tr(" with ").join(m.variables) for m in methods)
        raise SettingsError(
            tr("There are contradictory credentials: {described}", described=described),
            hint=tr("Keep the credentials of one method and remove the others."),
        )
    return credentials

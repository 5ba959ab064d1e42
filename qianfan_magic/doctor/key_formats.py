"""Recognise keys by their format, and check that each is in the right variable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qianfan_magic.api.config.addresses import is_baidu
from qianfan_magic.api.config.credentials import (
    AUTHENTICATION_METHODS,
    BEARER_PREFIX,
    CREDENTIAL_VARIABLES,
)
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.doctor.finding import Finding, State

__all__ = ["KEY_FORMATS", "KeyFormat", "check_key_formats", "match_key_format", "variables_for"]


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """The format of one kind of key.

    Attributes
    ----------
    description
        Name of the kind for messages, such as ``an access token``.
    pattern
        Regular expression that matches the whole key.
    fields
        Fields of `Credentials` in which such a key may be, the likeliest first.
    is_certain
        Whether no key of another kind, a gateway's included, has this format.
    """

    description: str
    pattern: str
    fields: tuple[str, ...]
    is_certain: bool = True

    @property
    def variables(self) -> list[str]:
        """The environment variables in which such a key may be, the likeliest first."""
        return [CREDENTIAL_VARIABLES[name] for name in self.fields]


#: The first format that matches is used. The examples in Baidu's documents and the keys of its
#: console have these formats; no document promises them.
KEY_FORMATS = (
    KeyFormat("an API key of version 2", rf"{BEARER_PREFIX}.+", ("bearer_token",)),
    KeyFormat("an access token", r"24\..{20,}", ("access_token",)),
    KeyFormat("an access key of an account", r"ALTAK[-\w]{16,}", ("access_key",)),
    KeyFormat(
        "a key of an account",
        r"[0-9a-f]{32}",
        ("access_key", "secret_key", "sk"),
        is_certain=False,
    ),
    KeyFormat("an API Key of an application", r"[A-Za-z0-9]{24}", ("ak",), is_certain=False),
    KeyFormat(
        "a Secret Key of an application",
        r"[A-Za-z0-9]{32}",
        ("sk", "secret_key"),
        is_certain=False,
    ),
)
#: The second key of each authentication method that needs two, by the first.
_COUNTERPARTS = {m.fields[0]: m.fields[1] for m in AUTHENTICATION_METHODS if len(m.fields) > 1}
#: Where to find the key that belongs in each field.
_SOURCES = {
    "ak": "the API Key (24 letters and digits) of an application of the console",
    "sk": "the Secret Key (32 letters and digits) of the same application",
    "access_key": "an access key of your account (ALTAK…, or 32 hexadecimal digits)",
    "secret_key": "the secret key (32 hexadecimal digits) of that access key",
    "access_token": "what the token endpoint answered (24.…)",
    "bearer_token": f"an API key of version 2 (it begins with {BEARER_PREFIX.rstrip('/')})",
}


def match_key_format(value: str) -> KeyFormat | None:
    """Return the format of a value; None if it does not look like a key.

    Examples
    --------
    >>> match_key_format("ALTAK0123456789abcdef").description
    'an access key of an account'
    """
    return next((known for known in KEY_FORMATS if re.fullmatch(known.pattern, value)), None)


def variables_for(value: str) -> list[str]:
    """List the variables in which a value may belong; none if it does not look like a key."""
    matched = match_key_format(value)
    return matched.variables if matched else []


def check_key_formats(values: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Find keys that are in the variable of another kind of key.

    Parameters
    ----------
    values
        The variables that are set.
    settings
        The addresses tell whether the servers are Baidu's own: the keys of a gateway may have
        any format.
    """
    for name, variable in CREDENTIAL_VARIABLES.items():
        if variable in values:
            version = ApiVersion.V2 if name == "bearer_token" else ApiVersion.V1
            url = settings.url(version)
            yield from _check_key(name, values[variable], is_baidu=is_baidu(url))


def _check_key(field: str, value: str, *, is_baidu: bool) -> Iterator[Finding]:
    variable, matched = CREDENTIAL_VARIABLES[field], match_key_format(value)
    if matched is None and is_baidu:
        message = f"The value of {variable} does not have the format of any key of Qianfan"
        hint = "Copy the key once more from the console; is it still a placeholder?"
        yield Finding("Credentials", "note", message, hint)
    if matched is None or field in matched.fields:
        return
    target = matched.fields[0]
    place = CREDENTIAL_VARIABLES[target]
    if target in _COUNTERPARTS:
        place += f", with {CREDENTIAL_VARIABLES[_COUNTERPARTS[target]]}"
    state: State = "failed" if matched.is_certain or is_baidu else "note"
    message = f"{variable} holds what looks like {matched.description}"
    hint = f"It belongs in {place}. For {variable} take {_SOURCES[field]}."
    yield Finding("Credentials", state, message, hint)

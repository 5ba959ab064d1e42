"""What the keys of each kind look like, and whether each stands in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.finding import Finding, State


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """What keys of a kind look like.

    Attributes
    ----------
    name
        Of the kind.
    pattern
        That all of it fits.
    places
        The variables that it may stand in, the likeliest first.
    is_certain
        Whether no other key looks like it.
    """

    name: str
    pattern: str
    places: tuple[str, ...]
    is_certain: bool = True


#: The first that fits counts. Baidu's documents show keys of these forms, but promise none.
KEY_FORMATS = (
    KeyFormat("an API key of version 2", r"bce-v3/.+", ("QIANFAN_BEARER_TOKEN",)),
    KeyFormat("an access token", r"24\..{20,}", ("QIANFAN_ACCESS_TOKEN",)),
    KeyFormat("an access key of an account", r"ALTAK[-\w]{16,}", ("QIANFAN_ACCESS_KEY",)),
    KeyFormat(
        "a key of an account",
        r"[0-9a-f]{32}",
        ("QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY", "QIANFAN_SK"),
        is_certain=False,
    ),
    KeyFormat(
        "an API Key of an application", r"[A-Za-z0-9]{24}", ("QIANFAN_AK",), is_certain=False
    ),
    KeyFormat(
        "a Secret Key of an application",
        r"[A-Za-z0-9]{32}",
        ("QIANFAN_SK", "QIANFAN_SECRET_KEY"),
        is_certain=False,
    ),
)
_PAIRS = {"QIANFAN_AK": "QIANFAN_SK", "QIANFAN_ACCESS_KEY": "QIANFAN_SECRET_KEY"}


def match_key_format(value: str) -> KeyFormat | None:
    """Return what a value looks like, if it looks like a key at all."""
    return next((form for form in KEY_FORMATS if re.fullmatch(form.pattern, value)), None)


def variables_for(value: str) -> list[str]:
    """List the variables that a value may stand in; none if it does not look like a key."""
    form = match_key_format(value)
    return list(form.places) if form else []


def check_key_formats(values: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Find keys that stand in the place of another kind.

    Parameters
    ----------
    values
        Of the variables that are set.
    settings
        Say whether Baidu's own servers are asked: a gateway may make keys of any form.
    """
    for name in _SOURCES:
        if name in values:
            is_new = name == "QIANFAN_BEARER_TOKEN"
            base_url = settings.console_api_base_url if is_new else settings.base_url
            yield from _check_form(name, values[name], is_baidu=_is_baidu(base_url))


def _check_form(name: str, value: str, *, is_baidu: bool) -> Iterator[Finding]:
    form = match_key_format(value)
    if form is None and is_baidu:
        said = f"What {name} holds has not the form of any key of Qianfan's"
        todo = "Copy the key once more from the console; is it still a placeholder?"
        yield Finding("Credentials", "note", said, todo)
    if form is None or name in form.places:
        return
    place = form.places[0]
    pair = f", with {_PAIRS[place]}" if place in _PAIRS else ""
    said = f"{name} holds what looks like {form.name}"
    state: State = "failed" if form.is_certain or is_baidu else "note"
    yield Finding("Credentials", state, said, f"It belongs into {place}{pair}. {_source(name)}")


def _source(name: str) -> str:
    """Say where the key is found that was expected."""
    return f"For {name} take {_SOURCES[name]}."


_SOURCES = {
    "QIANFAN_AK": "the API Key (24 letters and digits) of an application of the console",
    "QIANFAN_SK": "the Secret Key (32 letters and digits) of the same application",
    "QIANFAN_ACCESS_KEY": "an access key of your account (ALTAK\u2026, or 32 hexadecimal digits)",
    "QIANFAN_SECRET_KEY": "the secret key (32 hexadecimal digits) of that access key",
    "QIANFAN_ACCESS_TOKEN": "what the token endpoint answered (24.\u2026)",
    "QIANFAN_BEARER_TOKEN": "an API key of version 2 (it begins with bce-v3)",
}


def _is_baidu(base_url: str) -> bool:
    return f".{urlsplit(base_url).hostname}".endswith(".baidubce.com")

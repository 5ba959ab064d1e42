"""JSON that may come from anybody: fields of the right type, or `InvalidRecord`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Numbers from this on are no counts: JavaScript, which saves notebooks, is exact up to here.
LARGEST_COUNT = 2**53 - 1


class InvalidRecord(Exception):  # noqa: N818  told to the user in other words
    """A record is not what this version writes; says why."""


def typed_field(written: Any, name: str, kind: Any, *, default: Any) -> Any:
    """Return a field, which is of a type, or a default where there is none."""
    if not isinstance(written, Mapping):
        raise InvalidRecord(f"there is no JSON object around {name!r}")
    value = written.get(name, default)
    if not isinstance(value, kind):
        raise InvalidRecord(f"{name!r} is missing or of the wrong type")
    return value


def bool_field(written: Any, name: str) -> bool:
    """Return a field that is true or false; false where there is none."""
    return bool(typed_field(written, name, bool, default=False))


def text_field(written: Any, name: str) -> str:
    """Return a text that can be written again; empty where there is none."""
    text = typed_field(written, name, str, default="")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRecord(f"{name!r} holds half of a character") from None
    return str(text)


def nonempty_field(written: Any, name: str) -> str:
    """Return a text that is not blank."""
    text = text_field(written, name)
    if not text.strip():
        raise InvalidRecord(f"{name!r} is missing or empty")
    return text


def count_field(written: Any, name: str) -> int:
    """Return a whole number from 0; 0 where there is none."""
    value = typed_field(written, name, int, default=0)
    if isinstance(value, bool) or not 0 <= value < LARGEST_COUNT:
        raise InvalidRecord(f"{name!r} is no count")
    return int(value)

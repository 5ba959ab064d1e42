"""JSON that may come from anybody: fields of the right type, or `Unreadable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan_magic.masking import mask_known

#: Numbers from this on are no counts: JavaScript, which saves notebooks, is exact up to here.
LARGEST_COUNT = 2**53 - 1


class Unreadable(Exception):  # noqa: N818  told to the user in other words
    """A record is not what this version writes; says why."""


def of_type(written: Any, name: str, kind: Any, *, default: Any) -> Any:
    """Return a field, which is of a type, or a default where there is none."""
    if not isinstance(written, Mapping):
        raise Unreadable(f"there is no JSON object around {name!r}")
    value = written.get(name, default)
    if not isinstance(value, kind):
        raise Unreadable(f"{name!r} is missing or of the wrong type")
    return value


def mark_of(written: Any, name: str) -> bool:
    """Return a field that is true or false; false where there is none."""
    return bool(of_type(written, name, bool, default=False))


def text_of(written: Any, name: str) -> str:
    """Return a text that can be written again; empty where there is none."""
    text = of_type(written, name, str, default="")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable(f"{name!r} holds half of a character") from None
    return str(text)


def said_of(written: Any, name: str) -> str:
    """Return a text that is not blank."""
    text = text_of(written, name)
    if not text.strip():
        raise Unreadable(f"{name!r} is missing or empty")
    return text


def count_of(written: Any, name: str) -> int:
    """Return a whole number from 0; 0 where there is none."""
    value = of_type(written, name, int, default=0)
    if isinstance(value, bool) or not 0 <= value < LARGEST_COUNT:
        raise Unreadable(f"{name!r} is no count")
    return int(value)


def short(name: str) -> str:
    """Write a name for a conversation, which may be a stranger's, in one line without a key."""
    line = " ".join(mask_known(name).split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "\u2026"


#: Characters of a name in a message.
LONGEST_NAME = 40

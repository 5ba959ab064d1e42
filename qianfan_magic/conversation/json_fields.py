"""Fields of untrusted JSON: values of the right type, or `InvalidRecord`."""

# msgspec was tried in place of this module (0.22, Python 3.11). It decodes a turn in 2.5 instead
# of 30 µs, but takes 14 ms to import and knows no rule for lone surrogates, NaN, integers of any
# size or the depth of `continues`. With these checks, and with its messages ("Expected `str`
# matching regex '\\S' - at `$.user`") put into words for users, it saved about 20 lines.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.types import LARGEST_COUNT
from qianfan_magic.language import tr

__all__ = [
    "InvalidRecord",
    "bool_field",
    "count_field",
    "nonempty_field",
    "text_field",
    "typed_field",
]


class InvalidRecord(Exception):  # noqa: N818  never reaches users, callers put it into words
    """A record that this version does not write; the message says why."""


def typed_field(written: Any, name: str, kind: Any, *, default: Any) -> Any:
    """Return a field of the given type, or the default if there is no such field."""
    if not isinstance(written, Mapping):
        raise InvalidRecord(tr("there is no JSON object around {name!r}", name=name))
    value = written.get(name, default)
    if not isinstance(value, kind):
        raise InvalidRecord(tr("{name!r} is missing or of the wrong type", name=name))
    return value


def bool_field(written: Any, name: str) -> bool:
    """Return a boolean field; False if it is missing."""
    return bool(typed_field(written, name, bool, default=False))


def text_field(written: Any, name: str) -> str:
    """Return a text field that UTF-8 can encode; empty if it is missing."""
    text = typed_field(written, name, str, default="")
    try:
        # json.loads accepts "\ud83d", a lone surrogate, which cannot be written into a file.
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRecord(
            tr("{name!r} holds half of a character (a lone surrogate)", name=name)
        ) from None
    return str(text)


def nonempty_field(written: Any, name: str) -> str:
    """Return a text field that is not blank."""
    text = text_field(written, name)
    if not text.strip():
        raise InvalidRecord(tr("{name!r} is missing or empty", name=name))
    return text


def count_field(written: Any, name: str) -> int:
    """Return a field that is a non-negative integer; 0 if it is missing."""
    value = typed_field(written, name, int, default=0)
    # bool is a subclass of int.
    if isinstance(value, bool) or not 0 <= value < LARGEST_COUNT:
        raise InvalidRecord(tr("{name!r} is not a count", name=name))
    return int(value)

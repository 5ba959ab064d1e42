"""The depth of JSON from outside."""

from __future__ import annotations

from typing import Any

__all__ = ["MAX_DEPTH", "is_too_deep", "json_as_text"]

#: Largest depth of nested lists and objects. Python's own limit for parsing, printing and encoding
#: depends on how deep the stack is at the time: JSON that was just parsed may be too deep to be
#: printed. Answers and arguments of functions have a few levels.
MAX_DEPTH = 100


def is_too_deep(value: Any) -> bool:
    """Tell whether a parsed JSON value is nested deeper than `MAX_DEPTH`.

    Examples
    --------
    >>> is_too_deep({"a": [1]})
    False
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
        ]
    return True


def json_as_text(value: Any) -> str:
    """Return a text as it is, and any other JSON value as Python prints it; empty if too deep.

    Examples
    --------
    >>> json_as_text("as-1"), json_as_text(7)
    ('as-1', '7')
    """
    return "" if is_too_deep(value) else str(value)

"""JSON values as Python source that is easy to read and that no text can break out of."""

from __future__ import annotations

from typing import Any

#: Lists and dicts that reach beyond this column are written one item a line.
_WIDTH = 80


def literal(value: Any, indent: int = 0) -> str:
    """Write a value as Python reads it.

    Parameters
    ----------
    value
        What JSON can hold.
    indent
        Of the line that the text will stand in.

    Returns
    -------
    str
        One expression; what is not printable is escaped.
    """
    if isinstance(value, dict):
        items = [f"{_string(key)}: {literal(item, indent + 4)}" for key, item in value.items()]
        return _bracketed(items, "{}", indent)
    if isinstance(value, (list, tuple)):
        return _bracketed([literal(item, indent + 4) for item in value], "[]", indent)
    if isinstance(value, str) and "\n" in value.rstrip("\n"):
        lines = [_string(line) for line in value.splitlines(keepends=True)]
        space = "\n" + " " * (indent + 4)
        return f"({space}{space.join(lines)}\n{' ' * indent})"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """Quote a text as ``repr`` does, but by double quotes where it would also take single ones."""
    return repr(text) if '"' in text else '"' + repr("'" + text)[2:]


def _bracketed(items: list[str], brackets: str, indent: int) -> str:
    """Put items between brackets, in one line if they are short, else one a line."""
    line = ", ".join(items)
    if indent + len(line) <= _WIDTH and "\n" not in line:
        return f"{brackets[0]}{line}{brackets[1]}"
    space = "\n" + " " * (indent + 4)
    rows = "".join(f"{space}{item}," for item in items)
    return f"{brackets[0]}{rows}\n{' ' * indent}{brackets[1]}"

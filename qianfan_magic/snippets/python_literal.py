"""JSON values as Python source that is easy to read and that no text can break out of.

`pprint` would be shorter, but it aligns nested values to their brackets, quotes with single quotes
and breaks texts at their spaces instead of their line breaks; its output is neither what a
formatter writes nor easy to edit.
"""

from __future__ import annotations

from typing import Any

__all__ = ["literal"]

#: Lists and dicts that would reach beyond this column are written with one item per line.
_WIDTH = 80


def literal(value: Any, indent: int = 0) -> str:
    r"""Write a JSON value as a Python expression.

    Parameters
    ----------
    value
        Anything that JSON can represent.
    indent
        Indentation of the line that the expression will stand in, in columns.

    Returns
    -------
    str
        One expression; characters that are not printable are escaped.

    Examples
    --------
    >>> print(literal({"role": "user", "content": "one\ntwo"}))
    {
        "role": "user",
        "content": (
            "one\n"
            "two"
        ),
    }
    """
    if isinstance(value, dict):
        items = [f"{_string(key)}: {literal(item, indent + 4)}" for key, item in value.items()]
        return _bracketed(items, "{}", indent)
    if isinstance(value, (list, tuple)):
        return _bracketed([literal(item, indent + 4) for item in value], "[]", indent)
    if isinstance(value, str) and "\n" in value.rstrip("\n"):
        lines = [_string(line) for line in value.splitlines(keepends=True)]
        margin = "\n" + " " * (indent + 4)
        return f"({margin}{margin.join(lines)}\n{' ' * indent})"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """Quote a text with double quotes, as formatters do; with single ones if it has double ones."""
    # repr chooses double quotes only for a text with a single quote, so one is put in and cut off.
    return repr(text) if '"' in text else '"' + repr("'" + text)[2:]


def _bracketed(items: list[str], brackets: str, indent: int) -> str:
    """Put items between brackets: on one line if they are short, else one per line."""
    line = ", ".join(items)
    if indent + len(line) <= _WIDTH and "\n" not in line:
        return f"{brackets[0]}{line}{brackets[1]}"
    margin = "\n" + " " * (indent + 4)
    rows = "".join(f"{margin}{item}," for item in items)
    return f"{brackets[0]}{rows}\n{' ' * indent}{brackets[1]}"

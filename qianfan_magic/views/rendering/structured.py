"""A JSON value as a readable table or nested list."""

from __future__ import annotations

import json
import unicodedata
from html import escape
from typing import Any

from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.style import scrollable

__all__ = ["structured_html", "structured_plain"]

#: Deepest level that is shown as a table or list; what is deeper is shown as JSON.
DEEPEST = 6
#: Largest number of empty cells of a list's table. Rows without common names, shown as a table,
#: would take HTML that grows with the square of their number.
MOST_GAPS = 1_000
#: Widest table in plain text, in columns of a terminal; a wider one becomes a list.
WIDEST = 100
#: Longest name or word, in characters, that is kept on one line.
LONGEST_HEAD = 24
# Styles stand on each cell: a saved notebook shows the table without a style sheet of ours, and
# the notebook's own aligns the text of a table right.
_CELL = "text-align: left; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere"
_SHORT = "text-align: left; vertical-align: top; white-space: nowrap"
_NUMBER = "text-align: right; vertical-align: top; white-space: nowrap"
_LIST = "margin: 0; padding-left: 1.4em"


def structured_html(value: Any, depth: int = 0) -> str:
    """Show a JSON value as HTML, all its texts escaped.

    A list of objects with simple values is a table, an object a table of two columns, any other
    list a numbered list.
    """
    if not (isinstance(value, dict | list) and value):
        return escape(_text(value))
    if depth >= DEEPEST:
        return escape(_text(json.dumps(value, ensure_ascii=False)))
    columns = _columns(value)
    if columns:
        head = "".join(map(_head, columns))
        rows = [[_value_cell(row.get(name, "")) for name in columns] for row in value]
        return _table("".join(cells) for cells in ([head], *rows))
    if isinstance(value, dict):
        return _table(
            _head(name) + _cell("td", structured_html(item, depth + 1), _CELL)
            for name, item in value.items()
        )
    items = "\n".join(f"<li>{structured_html(item, depth + 1)}</li>" for item in value)
    return f'<ol style="{_LIST}">\n{items}\n</ol>'


def structured_plain(value: Any) -> str:
    """Show a JSON value as plain text: a table if it is one and narrow, else a nested list."""
    return "\n".join(_lines(value, 0)) if isinstance(value, dict | list) and value else _text(value)


def _columns(value: Any) -> list[str]:
    """Return the columns of a list of objects with simple values; empty for all else.

    A list whose table would have more than `MOST_GAPS` empty cells is no table.
    """
    if not isinstance(value, list) or not all(isinstance(row, dict) and row for row in value):
        return []
    if any(isinstance(item, dict | list) for row in value for item in row.values()):
        return []
    columns = list(dict.fromkeys(name for row in value for name in row))
    gaps = len(columns) * len(value) - sum(map(len, value))
    return columns if gaps <= MOST_GAPS else []


def _table(rows: Any) -> str:
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return scrollable(f'<table style="margin: 0">\n<tbody>\n{lines}\n</tbody>\n</table>')


def _head(name: str) -> str:
    is_short = len(name) <= LONGEST_HEAD
    return _cell("th", escape(_text(name)), _SHORT if is_short else _CELL)


def _value_cell(value: Any) -> str:
    """Make a cell of a list's table; numbers stand right, and a short word is not divided."""
    is_word = isinstance(value, str) and len(value) <= LONGEST_HEAD and len(value.split()) == 1
    style = _NUMBER if _is_number(value) else _SHORT if is_word else _CELL
    return _cell("td", escape(_text(value)), style)


def _cell(tag: str, html: str, style: str) -> str:
    return f'<{tag} style="{style}">{html}</{tag}>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return a text as it is and any other value as JSON, without invisible characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return escape_invisible(text)


def _lines(value: Any, depth: int) -> list[str]:
    if depth >= DEEPEST:
        return [_text(json.dumps(value, ensure_ascii=False))]
    columns = _columns(value)
    table = _table_lines(value, columns) if columns else []
    if table:
        return table
    if isinstance(value, dict):
        pairs = [(f"{_text(name)}:", item) for name, item in value.items()]
    else:
        pairs = [("-", item) for item in value]
    return [line for head, item in pairs for line in _item_lines(head, item, depth)]


def _item_lines(head: str, item: Any, depth: int) -> list[str]:
    nested = isinstance(item, dict | list) and item
    below = _lines(item, depth + 1) if nested else _text(item).split("\n")
    if head == "-" or (len(below) == 1 and not nested):
        first, *rest = below
        return [f"{head} {first}".rstrip(), *(f"  {line}" for line in rest)]
    return [head, *(f"  {line}" for line in below)]


def _table_lines(rows: list[dict[str, Any]], columns: list[str]) -> list[str]:
    """Return the lines of a table; none if it is too wide or a text has several lines."""
    body = [[_text(row.get(name, "")) for name in columns] for row in rows]
    cells = [[_text(name) for name in columns], *body]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    if sum(widths) + 2 * len(widths) > WIDEST or any("\n" in text for row in cells for text in row):
        return []
    return [
        "  ".join(
            text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _width(text: str) -> int:
    """Return the columns that a text takes in a terminal: Chinese characters take two."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)

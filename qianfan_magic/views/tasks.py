"""Task lists in Markdown, as GitHub has them: ``- [x] done``.

The box is a letter: a page may have rules of its own for checkboxes.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

_TASK = re.compile(r"\[([ xX])\](?=\s)")
_OPENING = ["list_item_open", "paragraph_open", "inline"]


def tasks(parser: MarkdownIt) -> None:
    """Teach a parser to recognise task lists."""
    parser.core.ruler.after("inline", "tasks", _mark)


def _mark(state: StateCore) -> None:
    for place in range(len(state.tokens) - 2):
        item, _, inline = three = state.tokens[place : place + 3]
        if [token.type for token in three] != _OPENING or not inline.children:
            continue
        first, found = inline.children[0], _TASK.match(inline.content)
        if found and first.type == "text" and first.content.startswith(found[0]):
            box = "\u2610" if found[1] == " " else "\u2611"
            first.content = box + first.content[len(found[0]) :]
            item.attrs["style"] = "list-style-type:none"  # the box stands in the bullet's place

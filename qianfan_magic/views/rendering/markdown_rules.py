"""Rules that keep an answer from becoming much longer than it is when it is rendered.

A few kilobytes of Markdown can be megabytes of HTML: a table fills up rows that are too short, and
a reference to a long address is written out wherever it is used.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore

#: Of all tables of one answer together; what goes beyond stays as it was written.
MOST_CELLS = 10_000
#: Characters of the address and title of a reference; longer ones are links in place only.
LONGEST_REFERENCE = 500
_DELIMITERS = re.compile(r"[\s|:-]+")


def limits(parser: MarkdownIt) -> None:
    """Teach a parser these limits."""
    parser.block.ruler.at("table", _table, RuleOptionsType(alt=["paragraph", "reference"]))
    parser.core.ruler.after("block", "references", _drop_long_references)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if start + 1 >= end or not _DELIMITERS.fullmatch(_line(state, start + 1)):
        return False
    columns, cells = _line(state, start).count("|") + 1, state.env.get("cells", 0)
    # The table ends at the limit, so that more rows never change what the first ones are.
    if not table(state, start, min(end, start + (MOST_CELLS - cells) // columns), silent):
        return False
    if not silent:
        state.env["cells"] = cells + columns * (state.line - start)
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] : state.eMarks[number]]


def _drop_long_references(state: StateCore) -> None:
    known = state.env.get("references", {})
    for name, one in list(known.items()):
        if len(one["href"]) + len(one.get("title", "")) > LONGEST_REFERENCE:
            del known[name]


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

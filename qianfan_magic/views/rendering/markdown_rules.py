"""Markdown rules of our own: limits on what an answer can expand to, and task lists.

A few kilobytes of Markdown can become megabytes of HTML: a table pads short rows with empty cells,
and a reference repeats a long address wherever it is used.
"""

from __future__ import annotations

import re
from itertools import islice

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore

__all__ = ["limits", "tasks"]

#: Maximum number of cells of all tables of an answer together; further rows stay source text.
#: markdown-it-py 4 has a limit of its own only for the cells that pad a table (65,536).
MAX_CELLS = 10_000
#: Maximum length, in characters, of the address and title of a link reference definition.
MAX_REFERENCE = 500
_DELIMITERS = re.compile(r"[\s|:-]+")
_TASK = re.compile(r"\[([ xX])\](?=\s)")
_ITEM = ["list_item_open", "paragraph_open", "inline"]


def limits(parser: MarkdownIt) -> None:
    """Add the limits to a parser, as a markdown-it plugin."""
    parser.block.ruler.at("table", _table, RuleOptionsType(alt=["paragraph", "reference"]))
    parser.core.ruler.after("block", "references", _drop_long_references)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if start + 1 >= end or not _DELIMITERS.fullmatch(_line(state, start + 1)):
        return False
    columns, cells = _line(state, start).count("|") + 1, state.env.get("cells", 0)
    # The table ends at the limit, so that rows that arrive later do not change the first ones.
    if not table(state, start, min(end, start + (MAX_CELLS - cells) // columns), silent):
        return False
    if not silent:
        state.env["cells"] = cells + columns * (state.line - start)
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] : state.eMarks[number]]


def _drop_long_references(state: StateCore) -> None:
    references = state.env.get("references", {})
    # Those of earlier parts of the answer come first, and are not looked at again with each part.
    new = list(islice(reversed(references.items()), len(references) - state.env.get("known", 0)))
    for name, reference in new:
        if len(reference["href"]) + len(reference.get("title", "")) > MAX_REFERENCE:
            del references[name]


def tasks(parser: MarkdownIt) -> None:
    """Add task lists to a parser, as a markdown-it plugin: ``- [ ] open``, ``- [x] done``.

    mdit-py-plugins' ``tasklists`` (0.7) is not used, since it writes ``<input type="checkbox">`` as
    raw HTML: an answer must hold no form controls, so the sanitiser removes them and the task
    would lose its mark. Here the mark is a character.
    """
    parser.core.ruler.after("inline", "tasks", _mark_tasks)


def _mark_tasks(state: StateCore) -> None:
    for index in range(len(state.tokens) - 2):
        item, _, inline = tokens = state.tokens[index : index + 3]
        if [token.type for token in tokens] != _ITEM or not inline.children:
            continue
        first, found = inline.children[0], _TASK.match(inline.content)
        if found and first.type == "text" and first.content.startswith(found[0]):
            box = "\u2610" if found[1] == " " else "\u2611"
            first.content = box + first.content[len(found[0]) :]
            item.attrs["style"] = "list-style-type:none"  # the box replaces the bullet

"""Citations of a web search: marks such as ``^[1]^`` in an answer, and the sources below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from qianfan_magic.api.types import SearchResult
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.sanitize import sanitize

__all__ = ["citations", "plain_citations", "sources_html", "sources_lines"]

_MARK = re.compile(r"\^\[(\d{1,3})\]\^")


def citations(parser: MarkdownIt) -> None:
    """Let a Markdown parser show marks as small numbers, linked to the sources in its ``env``.

    ``env["sources"]`` has the addresses by number; a mark without one is a number without a link.
    """
    parser.inline.ruler.after("escape", "citation", _read_mark)
    parser.add_render_rule("citation", _write_mark)


def _read_mark(state: StateInline, silent: bool) -> bool:
    found = _MARK.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("citation", "", 0)
        token.content = found[1]
        token.meta = {"url": state.env.get("sources", {}).get(int(found[1]), "")}
    state.pos = found.end()
    return True


def _write_mark(_: Any, tokens: Sequence[Any], index: int, *__: Any) -> str:
    token = tokens[index]
    label, url = f"[{token.content}]", token.meta["url"]
    return f'<sup><a href="{escape(url)}">{label}</a></sup>' if url else f"<sup>{label}</sup>"


def plain_citations(text: str) -> str:
    """Write marks as ``[1]``, as they are read in plain text."""
    return _MARK.sub(r"[\1]", text)


def sources_html(sources: Sequence[SearchResult]) -> str:
    """Make the HTML of the sources, one a line; their addresses and titles are untrusted."""
    rows = (
        f'[{source.index}] <a href="{escape(source.url)}">{escape(_title(source))}</a>'
        f"{escape(_details(source))}"
        for source in sources
    )
    return sanitize("<br>\n".join(rows))


def sources_lines(sources: Sequence[SearchResult]) -> list[str]:
    """List the sources as plain text, one a line."""
    return [
        f"[{source.index}] {_title(source)}{_details(source)}: {_shown(source.url)}"
        for source in sources
    ]


def _title(source: SearchResult) -> str:
    return _shown(source.title or source.url)


def _details(source: SearchResult) -> str:
    return "".join(f" · {_shown(text)}" for text in (source.site, source.date) if text)


def _shown(text: str) -> str:
    return escape_invisible(mask_known(text))

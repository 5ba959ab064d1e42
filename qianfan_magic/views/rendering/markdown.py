"""Render a model's Markdown as HTML that can only be read.

A notebook trusts the outputs of a cell that was just run: JupyterLab runs the scripts of a
``text/html`` or ``text/markdown`` output and follows its ``javascript:`` links. So Markdown becomes
HTML in the kernel, in two steps neither of which has to be trusted alone: markdown-it-py with
``html`` off turns raw HTML into text, and nh3 sanitises what comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, paragraph
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from qianfan_magic.views.rendering.citations import citations
from qianfan_magic.views.rendering.cjk_emphasis import cjk_emphasis
from qianfan_magic.views.rendering.highlight import highlight, inline_colors
from qianfan_magic.views.rendering.markdown_rules import limits, tasks
from qianfan_magic.views.rendering.math import math_rules
from qianfan_magic.views.rendering.sanitize import WEB, is_image, sanitize

__all__ = [
    "block_starts",
    "code_blocks",
    "growing_code",
    "inert_markdown",
    "safe_parser",
    "to_html",
    "to_live_html",
]

#: Maximum nesting of lists and quotes. markdown-it-py 4 drops the text that is nested deeper than
#: its own limit of 20 (`maxNesting` of "commonmark"); a list takes two levels.
_MAX_LEVEL = 18
#: Blocks that the next line can still change: a link reference definition, whose title may begin
#: there, and a heading with an underline, which may turn out to be part of such a title.
_UNDECIDED = {("definition", ""), ("heading_open", "="), ("heading_open", "-")}


def to_html(text: str, sources: Mapping[int, str] | None = None) -> str:
    r"""Render an answer in Markdown as HTML that needs no style sheet.

    Parameters
    ----------
    text
        The answer, its invisible characters escaped.
    sources
        Addresses of the sources that its marks ``^[1]^`` cite, by number.

    Returns
    -------
    str
        Sanitised HTML, see `qianfan_magic.views.rendering.sanitize.sanitize`.

    Examples
    --------
    >>> to_html("The **wall** <script>alert(1)</script>")
    '<p>The <strong>wall</strong> &lt;script&gt;alert(1)&lt;/script&gt;</p>\n'
    """
    env = {"references": {}, "sources": sources or {}}
    return inline_colors(sanitize(_parser().render(text, env), styled=True))


def to_live_html(
    text: str,
    definitions: dict[str, Any] | None = None,
    sources: Mapping[int, str] | None = None,
    *,
    ended: bool = False,
) -> str:
    """Render a part of an answer for the live view, whose style sheet has the colors of code.

    Parameters
    ----------
    text
        The part.
    definitions
        Link reference definitions of earlier parts, by label; those of this part are added.
    sources
        As in `to_html`.
    ended
        Whether another part follows, so that nothing in this one is still arriving.
    """
    references = {} if definitions is None else definitions
    env = {"references": references, "ended": ended, "sources": sources or {}}
    env["known"] = len(references)
    return sanitize(_parser().render(text, env), styled=True)


def block_starts(text: str) -> list[int]:
    """Return the numbers of the lines, from 0, at which top-level blocks begin.

    Left out are blocks that more text may still join to the one before: a formula that is still
    arriving (it may turn out to be a paragraph), and a block directly below one of `_UNDECIDED`.
    """
    blocks = _top_level_blocks(text)
    undecided = {end for block, _, end in blocks if (block.type, block.markup) in _UNDECIDED}
    return [start for block, start, _ in blocks if not block.hidden and start not in undecided]


def growing_code(text: str) -> str:
    """Return the code of a text that is a single unclosed fenced block; else an empty string."""
    blocks = _top_level_blocks(text) if text.lstrip().startswith(("```", "~~~")) else []
    if len(blocks) != 1 or blocks[0][0].type != "fence":
        return ""
    fence, start, end = blocks[0]
    # A closed fence has one more line, that of the closing fence.
    return fence.content if end - start - 1 == len(fence.content.splitlines()) else ""


def _top_level_blocks(text: str) -> list[tuple[Token, int, int]]:
    """Return the opening token of each top-level block, its first line, and the line after it."""
    tokens: list[Token] = []
    _parser().block.parse(text, _parser(), {}, tokens)
    blocks = [token for token in tokens if token.level == 0 and token.nesting >= 0]
    return [(block, block.map[0], block.map[1]) for block in blocks if block.map]


def code_blocks(text: str) -> list[str]:
    """Return the contents of the fenced blocks of Markdown, also of those in lists and quotes."""
    return [token.content for token in _parser().parse(text) if token.type == "fence"]


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "highlight": highlight, "inline_definitions": True}
    parser = safe_parser(options).use(tasks).use(footnote_plugin, inline=False)
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def safe_parser(options: Mapping[str, Any]) -> MarkdownIt:
    """Make a parser of Markdown with formulas and citations, with few links and with limits.

    Parameters
    ----------
    options
        Options of markdown-it-py; ``html`` must be off.
    """
    parser = MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"]).use(math_rules).use(limits).use(citations)
    parser.use(cjk_emphasis)
    parser.block.ruler.before("table", "max_level", _paragraph_at_max_level)
    # Relative links are refused, too: they would lead into the Jupyter server, with its cookies.
    parser.validateLink = lambda url: bool(WEB.match(url)) or is_image(url)  # type: ignore[method-assign]
    return parser


def _paragraph_at_max_level(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """Take whatever is nested too deeply for a paragraph, so that no text is lost."""
    return not silent and state.level >= _MAX_LEVEL and paragraph(state, first, end, silent)


def _cell(renderer: Any, tokens: Sequence[Token], index: int, *rest: Any) -> str:
    """Align a table cell left unless the table says otherwise; JupyterLab's default is right."""
    tokens[index].attrs.setdefault("style", "text-align:left")
    return str(renderer.renderToken(tokens, index, *rest))


def _footnote_number(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    """Write a footnote's number without a link, whose target would need an id in the page."""
    return f"<sup>[{tokens[index].meta['id'] + 1}]</sup>"


_RULES = {
    "definition": lambda *_: "",
    "th_open": _cell,
    "td_open": _cell,
    "footnote_ref": _footnote_number,
    "footnote_block_open": lambda *_: "<hr>\n<ol>\n",
    "footnote_block_close": lambda *_: "</ol>\n",
    "footnote_open": lambda *_: "<li>",
    "footnote_close": lambda *_: "</li>\n",
    "footnote_anchor": lambda *_: "",
}

#: What a Markdown renderer that allows HTML could run, load or follow: tags, images, links that
#: do not plainly go to a web or mail address, and TeX commands that make links or styles.
_ACTIVE = re.compile(
    r"<[a-zA-Z/!?]|!\[|\](\(|:)\s*(?!https?://|mailto:)|\\(href|url|class|cssId|style|require)",
    re.IGNORECASE,
)


def inert_markdown(text: str) -> str:
    """Return Markdown that is harmless in a tool that renders it without sanitising.

    Markdown without active content is returned unchanged; any other as one fenced block.
    """
    if not _ACTIVE.search(text):
        return text
    # CommonMark 0.31, 4.5: only a fence that is at least as long as the opening one closes it.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"

"""A model's answer as HTML that can do nothing but be read.

Raw HTML in the answer is text (markdown-it-py with ``html`` off); what comes out is sanitised
once more (nh3), so that neither has to be trusted alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, paragraph
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from qianfan_magic.views.rendering.highlight import highlight, inline_colors
from qianfan_magic.views.rendering.markdown_rules import limits, tasks
from qianfan_magic.views.rendering.math import math_rules
from qianfan_magic.views.rendering.sanitize import WEB, is_image, sanitize

#: Levels of lists and quotes within each other; two below the parser's own limit (a list takes
#: two), at which it drops the rest of the text.
_DEEPEST = 18
#: A link's definition, whose title can stand in the next lines; and underlined headings: with
#: such a title they would be none.
_MAY_GO_ON = {("definition", ""), ("heading_open", "="), ("heading_open", "-")}


def to_html(text: str) -> str:
    """Render Markdown from a stranger, to stand by itself.

    Parameters
    ----------
    text
        An answer.

    Returns
    -------
    str
        HTML without scripts, ids, event attributes, and styles or classes of the answer's own;
        links go to ``http``, ``https`` and ``mailto`` only; see `qianfan_magic.views.rendering.sanitize`.
    """
    return inline_colors(to_live_html(text))


def to_live_html(
    text: str, definitions: dict[str, Any] | None = None, *, ended: bool = False
) -> str:
    """Render Markdown for the live view, whose style sheet has the colours of code.

    Parameters
    ----------
    text
        A part of an answer.
    definitions
        Of links, by name, in the parts before; those of this part are added.
    ended
        Whether another part follows, so that nothing in this one is still arriving.
    """
    known = {} if definitions is None else definitions
    return sanitize(_parser().render(text, {"references": known, "ended": ended}), styled=True)


def block_starts(text: str) -> list[int]:
    """Return the lines on which blocks begin that are not within another.

    Left out is what more text may join to the block before: a formula that is still arriving (it
    may turn out to be a paragraph), and what stands right below one of `_MAY_GO_ON`.
    """
    blocks = _outer_blocks(text)
    unsure = {end for block, _, end in blocks if (block.type, block.markup) in _MAY_GO_ON}
    return [start for block, start, _ in blocks if not block.hidden and start not in unsure]


def growing_code(text: str) -> str:
    """Return the code of a text that is one fenced block which has not ended; else nothing."""
    blocks = _outer_blocks(text) if text.lstrip().startswith(("```", "~~~")) else []
    if len(blocks) != 1 or blocks[0][0].type != "fence":
        return ""
    fence, start, end = blocks[0]
    return fence.content if end - start - 1 == len(fence.content.splitlines()) else ""


def _outer_blocks(text: str) -> list[tuple[Token, int, int]]:
    """Return the token that opens each block that is not within another, and its lines."""
    tokens: list[Token] = []
    _parser().block.parse(text, _parser(), {}, tokens)
    outer = [one for one in tokens if one.level == 0 and one.nesting >= 0]
    return [(one, one.map[0], one.map[1]) for one in outer if one.map]


def code_blocks(text: str) -> list[str]:
    """Return what is in the fenced blocks of Markdown, within lists and quotes too."""
    return [token.content for token in _parser().parse(text) if token.type == "fence"]


@cache
def _parser() -> MarkdownIt:
    options = {"html": False, "highlight": highlight, "inline_definitions": True}
    parser = MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"]).use(math_rules).use(tasks).use(limits)
    parser.use(footnote_plugin, inline=False)
    parser.block.ruler.before("table", "deepest", _deepest)
    # A link within this server, or beside this notebook, is none that an answer may make.
    parser.validateLink = lambda url: bool(WEB.match(url)) or is_image(url)  # type: ignore[method-assign]
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def _deepest(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    """Take what is nested too deeply for paragraphs, so that no text is lost."""
    return not silent and state.level >= _DEEPEST and paragraph(state, first, end, silent)


def _aligned(renderer: Any, tokens: Sequence[Token], place: int, *rest: Any) -> str:
    """Align a cell left unless the table says otherwise: JupyterLab would align it right."""
    tokens[place].attrs.setdefault("style", "text-align:left")
    return str(renderer.renderToken(tokens, place, *rest))


def _footnote_mark(_: Any, tokens: Sequence[Token], place: int, *__: Any) -> str:
    """Write a footnote's number without a link, which would need an id of its own in the page."""
    return f"<sup>[{tokens[place].meta['id'] + 1}]</sup>"


_RULES = {
    "definition": lambda *_: "",
    "th_open": _aligned,
    "td_open": _aligned,
    "footnote_ref": _footnote_mark,
    "footnote_block_open": lambda *_: "<hr>\n<ol>\n",
    "footnote_block_close": lambda *_: "</ol>\n",
    "footnote_open": lambda *_: "<li>",
    "footnote_close": lambda *_: "</li>\n",
    "footnote_anchor": lambda *_: "",
}

#: What a Markdown renderer that allows HTML could run, load or follow: tags, images, links that do
#: not plainly go to a web or mail address, and commands of TeX that make links or styles.
_ACTIVE = re.compile(
    r"<[a-zA-Z/!?]|!\[|\](\(|:)\s*(?!https?://|mailto:)|\\(href|url|class|cssId|style|require)",
    re.IGNORECASE,
)


def inert_markdown(text: str) -> str:
    """Return Markdown that is harmless in a tool that renders it without sanitising.

    An answer that holds nothing active is returned as it is; any other as a literal block.
    """
    if not _ACTIVE.search(text):
        return text
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"

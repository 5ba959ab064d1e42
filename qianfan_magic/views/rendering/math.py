r"""Mathematics in Markdown: ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]``.

The TeX itself is left to the page's own typesetter (MathJax in JupyterLab and nbconvert), which is
told to look nowhere else: what is not recognised here stays as it was written, ``$5`` included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

#: Of MathJax 3 and of the MathJax 2 in nbconvert's page.
IGNORED, TYPESET = ("mathjax_ignore tex2jax_ignore", "mathjax_process tex2jax_process")
#: Characters of one formula; a page would be busy for too long with more.
LONGEST = 2_000
#: Lines of one; the search for an end begins anew on every line that looks like a beginning.
_MOST_LINES = 100
_CLOSING = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_UNESCAPED = {
    closing: re.compile(rf"(?<!\\)(?:\\\\)*({re.escape(closing)})") for closing in _CLOSING.values()
}
_OPENING = re.compile(r"\$\$?|\\[(\[]")
_DISPLAYED = ("$$", r"\[")
#: Commands that make links, set styles, load packages, or change what commands mean in the rest
#: of the page: a formula with one of these is shown as it is written.
_REFUSED = re.compile(
    r"\\(href|url|class|cssId|style|data|unicode|bbox|mmlToken|enclose|texttip|mathtip|toggle"
    r"|require|setOptions|includegraphics|label|ref|eqref|csname|verb|char"
    r"|definecolor|[gex]?def|let|Newextarrow|(re|provide)?newcommand|(re)?newenvironment|renewcommand"
    r"|providecommand|Declare[a-zA-Z]*|declare[a-zA-Z]*|newtagform|renewtagform|usetagform)(?![a-z])",
)


def math_rules(parser: MarkdownIt) -> None:
    """Teach a parser to recognise mathematics."""
    parser.inline.ruler.before("escape", "mathematics", _inline)
    interrupts = RuleOptionsType(alt=["paragraph", "reference", "blockquote", "list"])
    parser.block.ruler.before("fence", "mathematics", _block, interrupts)
    parser.add_render_rule("mathematics", _render)
    parser.add_render_rule("mathematics_block", _render_block)


def _inline(state: StateInline, silent: bool) -> bool:
    found = _OPENING.match(state.src, state.pos)
    if found is None:
        return False
    opening = found[0]
    start = found.end()
    end = _find_closing(state.src, start, min(state.posMax, start + LONGEST), opening)
    if end < 0:
        return False
    if not silent:
        token = state.push("mathematics", "", 0)
        token.content, token.markup = state.src[start:end], opening
    state.pos = end + len(_CLOSING[opening])
    return True


def _find_closing(source: str, start: int, limit: int, opening: str) -> int:
    """Return where a formula ends, or -1. A single dollar follows Pandoc's rule: ``$5 or $6``."""
    found = _UNESCAPED[_CLOSING[opening]].search(source, start, limit)
    end = found.start(1) if found else -1
    if end < 0 or not source[start:end].strip():
        return -1
    if opening == "$":
        tight = not (source[start].isspace() or source[end - 1].isspace())
        return end if tight and not source[end + 1 : end + 2].isdigit() else -1
    return end


def _block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    r"""Recognise ``$$`` or ``\[`` at a line's beginning, up to the line that ends with its closing.

    One that the text ends in is taken for a formula that is still arriving. A blank line ends
    none: then it is a paragraph.
    """
    opening = _line(state, first)[:2]
    if opening not in _DISPLAYED or state.is_code_block(first):
        return False
    last = _last_line(state, first, end, _CLOSING[opening])
    if last < 0:
        return False
    if not silent:
        lines = [_line(state, number) for number in range(first, min(last + 1, end))]
        text = "\n".join(lines).rstrip()
        token = state.push("mathematics_block", "", 0)
        token.markup, token.map = opening, [first, min(last + 1, end)]
        token.content = text[2:-2] if last < end else text
        token.hidden = last >= end
        state.line = min(last + 1, end)
    return True


def _last_line(state: StateBlock, first: int, end: int, closing: str) -> int:
    """Return the line that closes a formula; `end` if the text ends before; -1 if none does."""
    for number in range(first, min(end, first + _MOST_LINES)):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return -1
        line = _line(state, number)[2:] if number == first else _line(state, number)
        if closing in line:
            empty = number == first and line.strip() == closing
            return number if line.rstrip().endswith(closing) and not empty else -1
    # A quote, too, may end before the text does; and a part of a text, before the next one.
    last = end >= len(state.bMarks) - 1 and not state.env.get("ended")
    return end if last and end - first <= _MOST_LINES else -1


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _render(_: Any, tokens: Sequence[Token], place: int, *__: Any) -> str:
    token = tokens[place]
    source = escape(f"{token.markup}{token.content}{_CLOSING[token.markup]}", quote=False)
    if len(token.content) > LONGEST or _REFUSED.search(token.content):
        return f"<code>{source}</code>"
    return f'<span class="{TYPESET}">{source}</span>'


def _render_block(renderer: Any, tokens: Sequence[Token], place: int, *rest: Any) -> str:
    token = tokens[place]
    if token.hidden:
        return f"<p>{escape(token.content, quote=False)}</p>\n"
    return f"<p>{_render(renderer, tokens, place, *rest)}</p>\n"

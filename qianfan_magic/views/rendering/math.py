r"""Formulas in Markdown: ``$…$``, ``$$…$$``, ``\(…\)`` and ``\[…\]``.

The TeX is left to the page's typesetter (MathJax in JupyterLab and nbconvert). Classes tell it to
typeset what is recognised here and nothing else, so that ``$5`` stays as it is.

mdit-py-plugins' ``dollarmath`` and ``texmath`` (0.7) are not used. While an answer arrives, they
take a formula without its end for a paragraph or, if a line begins with ``-``, for a list, and the
live view would close blocks that turn out to be a formula. They have no limit on a formula's
length, and accept any TeX command, those that make links included. ``dollarmath`` does not
recognise ``\(…\)`` and ``\[…\]``, and writes labels as ids into the page.
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

__all__ = ["IGNORED", "MAX_LENGTH", "TYPESET", "math_rules", "source_of"]

#: Classes that exclude an element from typesetting, and include it again. The first of each pair is
#: MathJax 3's (JupyterLab), the second MathJax 2's (nbconvert).
IGNORED, TYPESET = ("mathjax_ignore tex2jax_ignore", "mathjax_process tex2jax_process")
#: Maximum length of a formula in characters; a longer one would block the page for too long.
MAX_LENGTH = 2_000
#: Maximum number of lines of a formula. Every line that looks like a beginning starts a search for
#: the end, which without a limit takes quadratic time.
_MAX_LINES = 100
_CLOSING = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
_UNESCAPED = {
    closing: re.compile(rf"(?<!\\)(?:\\\\)*({re.escape(closing)})") for closing in _CLOSING.values()
}
_OPENING = re.compile(r"\$\$?|\\[(\[]")
_DISPLAYED = ("$$", r"\[")
#: MathJax commands that make links, set styles, load packages, or redefine commands for the rest of
#: the page: a formula with one of these is shown as source text.
_REFUSED = re.compile(
    r"\\(href|url|class|cssId|style|data|unicode|bbox|mmlToken|enclose|texttip|mathtip|toggle"
    r"|require|setOptions|includegraphics|label|ref|eqref|csname|verb|char"
    r"|definecolor|[gex]?def|let|Newextarrow|(re|provide)?newcommand|(re)?newenvironment|renewcommand"
    r"|providecommand|Declare[a-zA-Z]*|declare[a-zA-Z]*|newtagform|renewtagform|usetagform)(?![a-z])",
)


def math_rules(parser: MarkdownIt) -> None:
    """Add formulas to a parser, as a markdown-it plugin."""
    parser.inline.ruler.before("escape", "math", _inline)
    interrupts = RuleOptionsType(alt=["paragraph", "reference", "blockquote", "list"])
    parser.block.ruler.before("fence", "math", _block, interrupts)
    parser.add_render_rule("math", _render)
    parser.add_render_rule("math_block", _render_block)


def _inline(state: StateInline, silent: bool) -> bool:
    found = _OPENING.match(state.src, state.pos)
    if found is None:
        return False
    opening = found[0]
    start = found.end()
    end = _find_closing(state.src, start, min(state.posMax, start + MAX_LENGTH), opening)
    if end < 0:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content, token.markup = state.src[start:end], opening
    state.pos = end + len(_CLOSING[opening])
    return True


def _find_closing(source: str, start: int, limit: int, opening: str) -> int:
    """Return the index of a formula's closing delimiter, or -1 if there is none.

    For a single dollar Pandoc's rule decides (``tex_math_dollars``): no space behind the opening
    or before the closing one, and no digit behind the closing one, so that ``$5 or $6`` is text.
    """
    found = _UNESCAPED[_CLOSING[opening]].search(source, start, limit)
    end = found.start(1) if found else -1
    if end < 0 or not source[start:end].strip():
        return -1
    if opening == "$":
        tight = not (source[start].isspace() or source[end - 1].isspace())
        return end if tight and not source[end + 1 : end + 2].isdigit() else -1
    return end


def _block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    r"""Recognise a formula that starts with ``$$`` or ``\[`` and ends at the end of a line.

    If the text ends first, the formula is taken to be still arriving; its token is then `hidden`.
    A formula has no blank line: what has one is a paragraph.
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
        token = state.push("math_block", "", 0)
        token.markup, token.map = opening, [first, min(last + 1, end)]
        token.content = text[2:-2] if last < end else text
        token.hidden = last >= end
        state.line = min(last + 1, end)
    return True


def _last_line(state: StateBlock, first: int, end: int, closing: str) -> int:
    """Return the line with the closing delimiter; `end` if the text ends first; -1 if neither."""
    for number in range(first, min(end, first + _MAX_LINES)):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return -1
        line = _line(state, number)[2:] if number == first else _line(state, number)
        if closing in line:
            is_empty = number == first and line.strip() == closing
            return number if line.rstrip().endswith(closing) and not is_empty else -1
    # The end of a block quote is not the end of the text; nor is that of a part that is followed by
    # another (`ended`, see `to_live_html`).
    is_text_end = end >= len(state.bMarks) - 1 and not state.env.get("ended")
    return end if is_text_end and end - first <= _MAX_LINES else -1


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def source_of(token: Token) -> str:
    """Return a formula as the answer has it, with its delimiters."""
    if token.hidden:  # still arriving
        return token.content
    return f"{token.markup}{token.content}{_CLOSING[token.markup]}"


def _render(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    token = tokens[index]
    source = escape(source_of(token), quote=False)
    if len(token.content) > MAX_LENGTH or _REFUSED.search(token.content):
        return f"<code>{source}</code>"
    return f'<span class="{TYPESET}">{source}</span>'


def _render_block(renderer: Any, tokens: Sequence[Token], index: int, *rest: Any) -> str:
    token = tokens[index]
    if token.hidden:
        return f"<p>{escape(token.content, quote=False)}</p>\n"
    return f"<p>{_render(renderer, tokens, index, *rest)}</p>\n"

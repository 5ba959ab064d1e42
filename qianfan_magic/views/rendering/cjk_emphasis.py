"""Emphasis beside Chinese, Japanese and Korean text, where words have no spaces between them.

CommonMark 0.31.2 (6.2) lets ``**`` end emphasis after punctuation only where a space or more
punctuation follows: in ``**“测试”**的`` the reader sees the asterisks. The rules here are those of
the "CommonMark CJK-friendly Amendments" for Unicode 17,
https://github.com/tats-u/markdown-cjk-friendly/blob/main/specification.md: beside a CJK character
``*``, ``**`` and ``~~`` may both begin and end. ``_``, which stands within names, keeps its rule.
Text without CJK characters is rendered as before.
"""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

__all__ = ["CJK", "cjk_emphasis"]

#: The specification's "CJK character" as a character class: East Asian Width W, F or H (UAX #11)
#: without emoji, and the script Hangul. Not computed, since `unicodedata` has no emoji property,
#: and so that each version of Python renders an answer alike.
CJK = (
    "["
    "\u1100-\u11ff\u20a9\u2329-\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u2e99\u2e9b-\u2ef3"
    "\u2f00-\u2fd5\u2ff0-\u303e\u3041-\u3096\u3099-\u30ff\u3105-\u312f\u3131-\u318e"
    "\u3190-\u31e5\u31ef-\u321e\u3220-\u3247\u3250-\ua48c\ua490-\ua4c6\ua960-\ua97c"
    "\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe52"
    "\ufe54-\ufe66\ufe68-\ufe6b\uff01-\uffbe\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7"
    "\uffda-\uffdc\uffe0-\uffe6\uffe8-\uffee\U00016fe0-\U00016fe4\U00016ff0-\U00016ff6"
    "\U00017000-\U00018cd5\U00018cff-\U00018d1e\U00018d80-\U00018df2\U0001aff0-\U0001aff3"
    "\U0001aff5-\U0001affb\U0001affd-\U0001affe\U0001b000-\U0001b122\U0001b132"
    "\U0001b150-\U0001b152\U0001b155\U0001b164-\U0001b167\U0001b170-\U0001b2fb"
    "\U0001d300-\U0001d356\U0001d360-\U0001d376\U0001f200\U0001f202\U0001f210-\U0001f219"
    "\U0001f21b-\U0001f22e\U0001f230-\U0001f231\U0001f237\U0001f23b\U0001f240-\U0001f248"
    "\U0001f260-\U0001f265\U00020000-\U0003fffd"
    "]"
)
#: Variation selectors that can follow a character without making it an emoji.
_SELECTOR = "[\ufe00-\ufe0e]"
_SELECTED = re.compile(rf"(\S){_SELECTOR}\Z")
_IS_CJK = re.compile(CJK)
#: Text that ends in a CJK character: with a variation selector or without, a quotation mark with
#: the selector for its full-width form, or an ideographic variation selector.
_ENDS_IN_CJK = re.compile(
    f"(?:{CJK}{_SELECTOR}?|[\u2018\u2019\u201c\u201d]\ufe01|[\U000e0100-\U000e01ef])\\Z"
)


def cjk_emphasis(parser: MarkdownIt) -> None:
    """Let emphasis begin and end beside CJK characters, as a markdown-it plugin.

    Examples
    --------
    >>> MarkdownIt().use(cjk_emphasis).renderInline("**「测试」**的")
    '<strong>「测试」</strong>的'
    """

    def parse(text: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:
        """Do what `ParserInline.parse` does, which has no setting for the class of the state."""
        state = _State(text, md, env, tokens)
        md.inline.tokenize(state)
        for rule in md.inline.ruler2.getRules(""):
            rule(state)
        return state.tokens

    parser.inline.parse = parse  # type: ignore[assignment,method-assign]


class _State(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803
        """Return whether the delimiters at `start` can begin and end emphasis, and how many.

        `canSplitWord` is False for ``_`` only. The line's beginning and end count as spaces.
        """
        length = _run(self.src, start, self.posMax)
        end = start + length
        before = _character_before(self.src, start)
        after = self.src[end] if end < self.posMax else " "
        space_before, space_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
        if space_before or space_after:
            return Scanned(not space_after, not space_before, length)
        # Between punctuation and a word, delimiters belong to the word, unless it is a CJK one.
        begins, ends = _is_punctuation(before), _is_punctuation(after)
        if canSplitWord and (begins == ends or _is_beside_cjk(self.src, start, end)):
            return Scanned(can_open=True, can_close=True, length=length)
        return Scanned(begins, ends, length)


def _run(text: str, start: int, limit: int) -> int:
    """Return how often the character at `start` stands there."""
    end = start
    while end < limit and text[end] == text[start]:
        end += 1
    return end - start


def _character_before(text: str, position: int) -> str:
    """Return the character before a position, skipping a variation selector."""
    selected = _SELECTED.search(text[max(0, position - 2) : position])
    return selected[1] if selected else text[position - 1 : position] or " "


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


def _is_beside_cjk(text: str, start: int, end: int) -> bool:
    """Return whether a CJK character stands before `start` or at `end`."""
    before = text[max(0, start - 2) : start]
    return bool(_IS_CJK.match(text, end) or _ENDS_IN_CJK.search(before))

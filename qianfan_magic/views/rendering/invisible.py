"""Escape characters that a reader cannot see, or that change how text looks."""

from __future__ import annotations

import re

__all__ = ["escape_invisible"]

#: Control characters except newline and tab (in a terminal they move the cursor), bidirectional
#: controls (they reorder text, "Trojan Source", CVE-2021-42574), zero-width characters and Unicode
#: tags (they hide text), line and paragraph separators, and lone surrogates (they cannot be
#: encoded). The joiners U+200C and U+200D stay: emoji and several scripts need them. Tags stay
#: where they spell a region's flag (UTS #51, emoji tag sequences).
_HIDDEN = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_invisible(text: str) -> str:
    r"""Replace control, direction and invisible characters by Python escapes.

    Examples
    --------
    >>> print(escape_invisible("a\x1b[31m" + chr(0x202E) + "b"))
    a\x1b[31m\u202eb
    """
    return _HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    return found["flag"] or found[0].encode("unicode_escape").decode()

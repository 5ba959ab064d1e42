"""Characters that hide or turn text, written so that they are seen."""

from __future__ import annotations

import re

#: Control characters but newline and tab; halves of characters; those that turn the direction of
#: writing; and those that take no room. In a terminal they move the cursor, in a page they make
#: text look like other text or carry text that nobody sees. Joiners (U+200C, U+200D) stay: emoji
#: and several scripts are written with them. Tags stay where they spell a region's flag.
_HIDDEN = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_invisible(text: str) -> str:
    r"""Write control, direction and invisible characters so that they are seen: ``\x1b``."""
    return _HIDDEN.sub(_written, text.replace("\r\n", "\n"))


def _written(found: re.Match[str]) -> str:
    return found["flag"] or found[0].encode("unicode_escape").decode()

"""An answer that is still arriving, piece by piece: what is closed is rendered once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import block_starts, growing_code, to_live_html


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page needs to catch up.

    Attributes
    ----------
    closed
        HTML of the blocks that have closed since the frame before; to be appended.
    open
        HTML of the block that is still growing; takes the place of the one before.
    more
        Text to append to the open block's code in its place; None if `open` counts.
    """

    closed: str
    open: str
    more: str | None = None


class BlockStream:
    """Cuts a growing answer in Markdown into closed blocks and an open one.

    A block is closed when the next one begins on a whole line; half a line decides nothing,
    since ``2`` may become ``2. item``.
    """

    def __init__(self) -> None:
        self._source = ""  # from the open block on
        self._code = ""  # of the open block as the page has it, if that is a fence which grows
        self._definitions: dict[str, Any] = {}  # of links, in the closed blocks

    def frame(self, text: str) -> Frame:
        """Take in more of the answer, and say what has changed on the page."""
        self._source += text
        more = self._more_code()
        if more is not None:
            return Frame("", "", more)
        blocks = self._close() if "\n" in text else []
        # One by one, so that no block depends on which others came with it.
        closed = [to_live_html(block, self._definitions, ended=True) for block in blocks]
        shown = escape_invisible(self._source)
        self._code = growing_code(shown)
        return Frame("".join(closed), to_live_html(shown, dict(self._definitions)))

    def _more_code(self) -> str | None:
        """Return what a fence has grown by; None if the open block is none, or has ended."""
        before = self._code
        self._code = growing_code(escape_invisible(self._source)) if before else ""
        return self._code[len(before) :] if before and self._code.startswith(before) else None

    def _close(self) -> list[str]:
        """Cut off and return the blocks that are closed."""
        end = self._source.rfind("\n") + 1
        starts = [line for line in block_starts(escape_invisible(self._source[:end])) if line]
        lines = self._source.split("\n")
        self._source = "\n".join(lines[starts[-1] :]) if starts else self._source
        return [escape_invisible("\n".join(lines[a:b]) + "\n") for a, b in pairwise([0, *starts])]


class LetterStream:
    """An answer that is shown letter by letter: each piece is sent once."""

    def __init__(self) -> None:
        self._begun = False

    def frame(self, text: str) -> Frame:
        """Say what has changed on the page."""
        if self._begun:
            return Frame("", "", escape_invisible(text))
        text = text.lstrip("\n")
        self._begun = bool(text)
        return Frame("", preformatted(escape_invisible(text)))

"""An answer that is still arriving, piece by piece: what is closed is rendered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qianfan_magic.views.formats import preformatted
from qianfan_magic.views.markdown import outer_blocks, to_live_html
from qianfan_magic.views.visible import visible


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
        self._code = ""  # of the open block at the frame before, if that is a fence
        self._definitions: dict[str, Any] = {}  # of links, in the closed blocks

    def frame(self, text: str) -> Frame:
        """Take in more of the answer, and say what has changed on the page."""
        self._source += text
        closed = visible(self._close())
        if closed:
            self._code = ""
        shown = visible(self._source)
        more = self._more_code(shown)
        return Frame(
            to_live_html(closed, self._definitions) if closed else "",
            to_live_html(shown, dict(self._definitions)) if more is None else "",
            more,
        )

    def _close(self) -> str:
        """Cut off and return the source of the blocks that are closed."""
        end = self._source.rfind("\n") + 1
        if not end:
            return ""
        starts = [
            token.map[0]
            for token in outer_blocks(visible(self._source[:end]))
            if token.map and not token.hidden
        ]
        if len(starts) < 2:  # noqa: PLR2004  one block is the open one
            return ""
        lines = self._source.split("\n")
        closed = "\n".join(lines[: starts[-1]]) + "\n"
        self._source = "\n".join(lines[starts[-1] :])
        return closed

    def _more_code(self, shown: str) -> str | None:
        """Return what a fence has grown by; None if the open block must be sent whole."""
        blocks = outer_blocks(shown) if shown.lstrip().startswith(("```", "~~~")) else []
        fence = blocks[0] if len(blocks) == 1 and blocks[0].type == "fence" else None
        # The line that is arriving may be the fence's end: it waits until it is whole.
        if fence is None or shown.rstrip("\n").endswith(fence.markup):
            self._code = ""
            return None
        before, self._code = self._code, fence.content
        if before and fence.content.startswith(before.rstrip("\n")):
            return fence.content[len(before.rstrip("\n")) :]
        return None


class LetterStream:
    """An answer that is shown letter by letter: each piece is sent once."""

    def __init__(self) -> None:
        self._begun = False

    def frame(self, text: str) -> Frame:
        """Say what has changed on the page."""
        if self._begun:
            return Frame("", "", visible(text))
        text = text.lstrip("\n")
        self._begun = bool(text)
        return Frame("", preformatted(visible(text)))

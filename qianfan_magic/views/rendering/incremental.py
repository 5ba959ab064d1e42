"""Render an answer while it arrives, so that finished blocks are rendered and sent once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.long_text import (
    FORMATTED,
    PART,
    SLACK,
    first_part,
    part_html,
    rest_note_html,
)
from qianfan_magic.views.rendering.markdown import block_starts, growing_code, to_live_html

__all__ = ["BlockStream", "Frame", "LetterStream", "LongStream", "closed_blocks"]


@dataclass(frozen=True, slots=True)
class Frame:
    """What has changed on the page since the last frame.

    The page shows the HTML of all closed blocks and, behind them, that of one open block.

    Attributes
    ----------
    closed
        HTML of the blocks that have closed since; appended to the closed blocks for good.
    open
        HTML of the open block; replaces that of the last frame.
    more
        Text to append to the code of the open block, instead of `open`; None if `open` is used.
    """

    closed: str
    open: str
    more: str | None = None


class BlockStream:
    r"""Splits a growing answer in Markdown into closed blocks and an open one.

    Rendering the whole answer for every frame would take time, and send bytes, that grow with the
    square of its length. A top-level block (paragraph, list, table, fence) no longer changes once
    the next one has begun, so only the last, open block is rendered again. Only complete lines
    start a block: ``2`` may become ``2. item``, which belongs to the list before it. A code fence,
    often long, is not even rendered again: its new lines are appended to the code on the page.

    Parameters
    ----------
    sources
        Addresses of the sources that the answer cites, by number; they may be added while it
        arrives, and a mark that has been closed before stays a number without a link.

    Examples
    --------
    >>> stream = BlockStream()
    >>> stream.frame("# Walls\n\nThe **Great")
    Frame(closed='', open='<h1>Walls</h1>\n<p>The **Great</p>\n', more=None)
    >>> stream.frame(" Wall**\n")
    Frame(closed='<h1>Walls</h1>\n', open='<p>The <strong>Great Wall</strong></p>\n', more=None)
    """

    def __init__(self, sources: Mapping[int, str] | None = None) -> None:
        self._sources = {} if sources is None else sources
        self._source = ""  # Markdown of the open block
        self._code = ""  # code of the open block as the page has it, if it is an unclosed fence
        self._definitions: dict[str, Any] = {}  # link definitions in the closed blocks

    def frame(self, text: str) -> Frame:
        """Append a part of the answer, and return what has changed on the page."""
        self._source += text
        more = self._more_code()
        if more is not None:
            return Frame("", "", more)
        blocks = self._close() if "\n" in text else []
        # Blocks are rendered one by one, so that their HTML does not depend on how the stream was
        # split into chunks.
        closed = [
            to_live_html(block, self._definitions, self._sources, ended=True) for block in blocks
        ]
        visible = escape_invisible(self._source)
        self._code = growing_code(visible)
        grown = to_live_html(visible, dict(self._definitions), self._sources)
        return Frame("".join(closed), grown)

    def end(self) -> str:
        """End the text, and return the HTML of the open block as it stays."""
        html = to_live_html(
            escape_invisible(self._source), self._definitions, self._sources, ended=True
        )
        self._source = self._code = ""
        return html if html.strip() else ""

    def _more_code(self) -> str | None:
        """Return the new code of an open fence; None if the block is not an open fence."""
        before = self._code
        self._code = growing_code(escape_invisible(self._source)) if before else ""
        return self._code[len(before) :] if before and self._code.startswith(before) else None

    def _close(self) -> list[str]:
        """Remove the closed blocks from the source, and return them."""
        blocks = closed_blocks(self._source)
        self._source = self._source[sum(map(len, blocks)) :]
        return [escape_invisible(block) for block in blocks]


def closed_blocks(source: str) -> list[str]:
    r"""Return the top-level blocks at the beginning of growing Markdown that no longer change.

    Examples
    --------
    >>> closed_blocks("# Walls\n\nThe **Great\nWall**\n")
    ['# Walls\n\n']
    """
    end = source.rfind("\n") + 1
    starts = [line for line in block_starts(escape_invisible(source[:end])) if line]
    lines = source.split("\n")
    return ["\n".join(lines[a:b]) + "\n" for a, b in pairwise([0, *starts])]


class LetterStream:
    """Passes on an answer that is shown verbatim: a part is sent once, in a long answer twice.

    A browser lays out an element as a whole, so that a growing one takes time that grows with the
    square of its length. So a long text goes on in another element.
    """

    def __init__(self) -> None:
        self._open = ""  # text of the element that grows

    def frame(self, text: str) -> Frame:
        """Append a part of the answer, and return what has changed on the page."""
        is_new, closed = not self._open, ""
        text = text.lstrip("\n") if is_new else text
        self._open += text
        while (end := first_part(self._open, PART)) < len(self._open):
            closed += part_html(escape_invisible(self._open[:end]))
            self._open = self._open[end:]
        if closed:
            return Frame(closed, part_html(escape_invisible(self._open)))
        if is_new:
            return Frame("", preformatted(escape_invisible(text)))
        return Frame("", "", escape_invisible(text))

    def end(self) -> str:
        """End the text: what follows is shown in an element of its own."""
        self._open = ""
        return ""


class LongStream:
    """Formats the beginning of an answer while it arrives, and passes on the rest verbatim.

    Parameters
    ----------
    formatted
        Formats the beginning, as far as `long_text.FORMATTED`.
    """

    def __init__(self, formatted: BlockStream) -> None:
        self._formatted = formatted
        self._left = FORMATTED  # characters, before the next end of a line; may be negative
        self._rest: LetterStream | None = None

    def frame(self, text: str) -> Frame:
        """Append a part of the answer, and return what has changed on the page."""
        if self._rest is not None:
            return self._rest.frame(text)
        end = first_part(text, max(self._left, 0))
        self._left -= end
        frame = self._formatted.frame(text[:end])
        is_full = end < len(text) or (self._left <= 0 and text.endswith("\n"))
        if not is_full and self._left > -SLACK:
            return frame
        self._rest = LetterStream()
        rest = self._rest.frame(text[end:])
        closed = frame.closed + self._formatted.end() + rest_note_html() + rest.closed
        return Frame(closed, rest.open)

    def end(self) -> str:
        """End the text, and return the HTML of the open block as it stays, if it has changed."""
        return self._formatted.end() if self._rest is None else self._rest.end()

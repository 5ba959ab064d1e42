"""Views of a terminal that can show color and styles: Markdown is rendered with rich.

A terminal's text cannot be taken back. So an answer is written block by block (paragraph, list,
table, code), each when the next one has begun and it no longer changes. Below, a single line shows
the end of what is arriving, so that a long block does not look like a standstill; it is erased
before anything else is written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from qianfan_magic.api.types import Chunk
from qianfan_magic.views.plain import TerminalView
from qianfan_magic.views.rendering.answer import (
    ANSWER,
    NOTHING,
    THINKING,
    AnswerOutput,
    PlainOutput,
    for_display,
)
from qianfan_magic.views.rendering.calls import CallOutput
from qianfan_magic.views.rendering.formats import plain
from qianfan_magic.views.rendering.incremental import closed_blocks
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.terminal import TerminalMarkdown
from qianfan_magic.views.side_by_side import Columns

__all__ = ["MarkdownColumns", "MarkdownView", "make_console"]

#: Looking for finished blocks parses the open block again. It has to have grown by this factor
#: since the last time, or a list or a table of thousands of lines would take quadratic time.
_GROWTH = 1.05


def make_console() -> Console | None:
    """Return the terminal; None if standard output is none, or one that only shows letters."""
    if not sys.stdout.isatty():
        return None
    # `force_jupyter`: rich would otherwise look for a notebook. Nothing that an answer says is
    # taken for rich's own marks.
    console = Console(
        file=sys.stdout, force_jupyter=False, markup=False, emoji=False, highlight=False
    )
    return None if console.is_dumb_terminal else console


class _Writer:
    """Writes growing Markdown to a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._source = ""  # not yet written
        self._references: dict[str, Any] = {}  # link definitions in the written blocks
        self._has_new_line = False
        self._next_search = 0  # length of the source
        self.has_text = False

    def write(self, text: str) -> None:
        """Append a part of the answer, and write the blocks that are finished."""
        self._source += text
        self._has_new_line = self._has_new_line or "\n" in text
        if self._has_new_line and len(self._source) >= self._next_search:
            self._write_closed()
            self._has_new_line = False
            self._next_search = int(_GROWTH * len(self._source))
        # A paragraph is often one long line, so its end is shown.
        self.show(self._source.rstrip("\r\n").rpartition("\n")[2])

    def end(self, text: str = "") -> None:
        """Append the last part of the answer, and write what has not been written yet."""
        self._source += text
        self.show("")
        self._write_closed()
        if self._source.strip():
            self._print(self._source)
        self._source = ""

    def show(self, line: str) -> None:
        """Show the end of a line below the text, until something else is written."""
        width = self._console.width - 1
        shown = escape_invisible(line.replace("\t", " "))[-width:]
        while cell_len(shown) > width:
            shown = shown[1:]
        erase = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
        self._console.print(erase, Text(shown, style="dim"), sep="", end="", no_wrap=True)
        self._console.file.flush()

    def _write_closed(self) -> None:
        for block in closed_blocks(self._source):
            if block.strip():
                self.show("")
                self._print(block)
            # Only now: if Ctrl-C interrupts the line above, the block is written at the end.
            self._source = self._source[len(block) :]

    def _print(self, block: str) -> None:
        blank = [""] * self.has_text
        self._console.print(*blank, TerminalMarkdown(block, self._references), sep="\n")
        self.has_text = True


class MarkdownView(TerminalView):
    """Writes an answer in Markdown to a terminal; reasoning as it arrives.

    Parameters
    ----------
    console
        The terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._writer = _Writer(console)

    def _write(self, text: str, section: str) -> None:
        if section == THINKING:
            self._writer.end()
            super()._write(text, section)
            return
        if section != self._section:
            self._begin(section)
        self._writer.write(text)

    def show_call(self, call: CallOutput, number: int) -> None:
        """Write a call before it is made, and its result afterwards."""
        self._writer.end()
        self._has_text = self._has_text or self._writer.has_text
        super().show_call(call, number)

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Write the rest of the answer, and the notes below it."""
        del metadata
        self._writer.end()
        if self._has_text and self._section not in {"", ANSWER}:
            sys.stdout.write("\n")
        below = [f"[{escape_invisible(line)}]" for line in output.below(pace=True)]
        if below and (self._writer.has_text or self._has_text):
            self._console.print()
        for line in below:
            self._console.print(Text(line))


class MarkdownColumns:
    """Writes several answers to a terminal, each below a heading, when all are complete.

    Until then one line says how far each has come: text of several answers in turn is not legible.

    Parameters
    ----------
    console
        The terminal.
    titles
        The titles of the columns.
    """

    def __init__(self, console: Console, titles: Sequence[str]) -> None:
        self._console, self._titles = console, titles
        self._lengths = [0] * len(titles)
        self._progress = _Writer(console)

    def begin(self) -> None:
        """Do nothing: the terminal shows that the cell is running."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show how many characters of each answer have arrived."""
        self._lengths[column] += len(chunk.text) + len(chunk.reasoning)
        counts = zip(self._titles, self._lengths, strict=True)
        line = ", ".join(f"{title}: {length:,}" for title, length in counts)
        self._progress.show(f"Characters so far: {line}")

    def show_call(self, call: CallOutput, number: int) -> None:
        """Do nothing: a comparison calls no functions."""

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Refuse: a comparison calls no functions."""
        del call, number
        return False

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Write the answers."""
        del metadata
        self._progress.show("")
        if not isinstance(output, Columns):
            return
        for number, (title, answer) in enumerate(output.columns):
            if number:
                self._console.print()
            self._console.rule(Text(escape_invisible(title), style="bold"), align="left")
            self._write_answer(answer)
        for note in output.notes:
            self._console.print(f"[{escape_invisible(note)}]")

    def _write_answer(self, answer: AnswerOutput) -> None:
        if answer.reasoning:
            reasoning = for_display(answer.reasoning).strip()
            self._console.print(f"{THINKING}\n{reasoning}\n\n{ANSWER}")
        text = for_display(answer.text)
        if answer.form == "markdown":
            _Writer(self._console).end(text)
        else:
            self._console.print(Text(plain(text, answer.form)))
        self._console.print()
        for line in answer.below(pace=True):
            self._console.print(Text(f"[{escape_invisible(line)}]", style="dim"))

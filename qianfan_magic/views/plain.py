"""Views without a widget: a single final output, and text in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.types import Chunk
from qianfan_magic.views.consent import asked_in_words
from qianfan_magic.views.output_area import OutputArea
from qianfan_magic.views.rendering.answer import ANSWER, NOTHING, THINKING, PlainOutput
from qianfan_magic.views.rendering.calls import CallOutput
from qianfan_magic.views.rendering.invisible import escape_invisible

__all__ = ["FinalView", "TerminalColumns", "TerminalView"]


class FinalView:
    """Shows answers once, when they are complete: for a notebook that nobody watches.

    nbval keeps the first version of an updated output and compares it (0.11), so that any frames
    would make the saved notebook differ from run to run.

    Parameters
    ----------
    area
        The output area that shows the answers.
    """

    def __init__(self, area: OutputArea) -> None:
        self._area = area

    def begin(self) -> None:
        """Do nothing."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Do nothing."""

    def show_call(self, call: CallOutput, number: int) -> None:
        """Do nothing."""

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Refuse: nobody is there to be asked."""
        del call, number
        return False

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show the output, unless it is empty."""
        bundle = output.bundle()
        if bundle.keys() != {"text/plain"} or bundle["text/plain"]:
            self._area.put(bundle, metadata)


class TerminalView:
    """Writes an answer to a terminal as it arrives, with control characters escaped.

    Parameters
    ----------
    shows_pace
        Whether a person reads along. A program's output is the same each time without the pace.
    """

    def __init__(self, *, shows_pace: bool = True) -> None:
        self._shows_pace = shows_pace
        self._has_text = False  # in the current section
        self._held = ""
        self._section = ""
        self._calls = 0  # number of calls so far

    def begin(self) -> None:
        """Do nothing: the terminal shows that the cell is running."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Write a chunk, reasoning and answer each in a section of its own."""
        del column
        if chunk.reasoning:
            self._write(chunk.reasoning, THINKING)
        if chunk.text:
            # An answer without reasoning needs no heading.
            self._write(chunk.text, ANSWER if self._section else "")

    def _write(self, text: str, section: str) -> None:
        if section != self._section:
            self._begin(section)
        # A "\r" at the end may be the first half of "\r\n", and is escaped if it is not.
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        visible = escape_invisible(text.removesuffix("\r"))
        visible = visible if self._has_text else visible.lstrip("\n")
        self._has_text = self._has_text or bool(visible)
        sys.stdout.write(visible)
        sys.stdout.flush()

    def _begin(self, section: str) -> None:
        sys.stdout.write(f"\n\n{section}\n" if self._has_text else f"{section}\n")
        sys.stdout.flush()
        self._has_text, self._section, self._held = False, section, ""

    def show_call(self, call: CallOutput, number: int) -> None:
        """Write a call before it is made, and its result afterwards."""
        before, _, result = call.plain().partition("\n")
        if number == self._calls:
            self._calls += 1
            self._begin(before)
        elif call.state != "running":
            pace = f" ({call.pace})" if self._shows_pace and call.pace else ""
            sys.stdout.write(f"{result}{pace}")
            self._has_text = True
        sys.stdout.flush()

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Ask in a line below the call."""
        del call, number
        return asked_in_words()

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Write the notes below the answer."""
        del metadata
        below = output.below(pace=self._shows_pace)
        if not (self._has_text or below):
            return
        sys.stdout.write("".join(f"\n[{escape_invisible(line)}]" for line in below) + "\n")
        sys.stdout.flush()


class TerminalColumns:
    """Writes several answers to a terminal, one below the other, when all are complete."""

    def begin(self) -> None:
        """Do nothing."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Do nothing."""

    def show_call(self, call: CallOutput, number: int) -> None:
        """Do nothing: a comparison calls no functions."""

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Refuse: a comparison calls no functions."""
        del call, number
        return False

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Write the answers."""
        del metadata
        sys.stdout.write(output.bundle()["text/plain"] + "\n")
        sys.stdout.flush()

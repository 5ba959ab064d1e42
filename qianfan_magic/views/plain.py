"""Views without a widget: one final output, and text in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.types import Chunk
from qianfan_magic.views.output_area import OutputArea
from qianfan_magic.views.rendering.answer import ANSWER, NOTHING, THINKING, PlainOutput
from qianfan_magic.views.rendering.invisible import escape_invisible


class FinalView:
    """Shows answers once, when they are whole: for notebooks that nobody watches."""

    def __init__(self, place: OutputArea) -> None:
        self._place = place

    def begin(self) -> None:
        """Show nothing yet."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Wait for the rest."""

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show what there is, if anything."""
        bundle = shown.bundle()
        if bundle.keys() != {"text/plain"} or bundle["text/plain"]:
            self._place.put(bundle, metadata)


class TerminalView:
    """Writes an answer into a terminal as it arrives, control characters made visible."""

    def __init__(self) -> None:
        self._begun = False
        self._held = ""
        self._part = ""

    def begin(self) -> None:
        """Show nothing yet."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show more of the answer."""
        del column
        if chunk.reasoning:
            self._write(chunk.reasoning, THINKING)
        if chunk.text:
            self._write(chunk.text, ANSWER if self._part else "")

    def _write(self, text: str, part: str) -> None:
        """Go on with what is thought or answered, under a line of its own."""
        if part != self._part:
            sys.stdout.write(f"\n\n{part}\n" if self._begun else f"{part}\n")
            self._begun, self._part, self._held = False, part, ""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""  # perhaps half of a line's end
        text = text.removesuffix("\r")
        seen = escape_invisible(text) if self._begun else escape_invisible(text).lstrip("\n")
        self._begun = self._begun or bool(seen)
        sys.stdout.write(seen)
        sys.stdout.flush()

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show what stands under the answer."""
        del metadata
        below = shown.below()
        if not (self._begun or below):
            return
        sys.stdout.write("".join(f"\n[{escape_invisible(line)}]" for line in below) + "\n")
        sys.stdout.flush()


class TerminalColumns:
    """Writes several answers into a terminal, one below the other, when all are whole."""

    def begin(self) -> None:
        """Show nothing yet."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Wait for the rest."""

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show them."""
        del metadata
        sys.stdout.write(shown.bundle()["text/plain"] + "\n")
        sys.stdout.flush()

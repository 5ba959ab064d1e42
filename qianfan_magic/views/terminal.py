"""The view of an answer in Markdown for a terminal, by the package rich."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Chunk
from qianfan_magic.views.plain import TerminalView
from qianfan_magic.views.rendering.answer import ANSWER, NOTHING, PlainOutput
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import block_starts

__all__ = ["MarkdownView"]

#: Returns to the beginning of the line and clears it (ECMA-48: CR, EL).
_CLEAR_LINE = "\r\x1b[2K"


class MarkdownView(TerminalView):
    """Writes an answer to a terminal block by block, each when it is complete.

    A block (paragraph, list, table, code) can change as long as it grows, and what a terminal has
    scrolled away cannot be replaced. So a line that is overwritten says how much of the next block
    has come. Control characters of the answer are escaped; rich writes all others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(file=sys.stdout, highlight=False)
        self._source = ""  # Markdown that is not written yet
        self._is_counting = False

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Take a chunk, and write the blocks that it completes."""
        if chunk.reasoning:
            super().write(Chunk("", chunk.is_end, chunk.usage, chunk.raw, chunk.reasoning), column)
        if not chunk.text:
            return
        if self._section and not self._source:
            self._write("", ANSWER)
        self._has_text = True
        self._source += chunk.text
        if "\n" in chunk.text:
            self._write_blocks()
        if self._source.strip():
            self._is_counting = True
            self._out(f"{_CLEAR_LINE}… ≈ {estimate_tokens(self._source)} tokens")

    def _write_blocks(self) -> None:
        """Write all blocks but the last, which may still grow."""
        end = self._source.rfind("\n") + 1
        lines = self._source.split("\n")
        starts = block_starts(escape_invisible(self._source[:end]))
        if starts and starts[-1]:
            self._print("\n".join(lines[: starts[-1]]))
            self._source = "\n".join(lines[starts[-1] :])

    def _print(self, block: str) -> None:
        if self._is_counting:
            self._out(_CLEAR_LINE)
            self._is_counting = False
        if block.strip():
            self._console.print(Markdown(escape_invisible(block.strip("\n")), hyperlinks=False))
            self._out("\n")

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Write the last block, and the notes below the answer."""
        self._print(self._source)
        self._source = ""
        super().end(output, metadata)

    @staticmethod
    def _out(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

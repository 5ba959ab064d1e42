"""Chunks into a view: what is shown when an answer ends well, is stopped, or breaks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Protocol

from qianfan_magic.views.shown import Shown
from qianfan_magic.wire.types import Chunk


class View(Protocol):
    """A place where an answer grows and then stays."""

    def begin(self) -> None:
        """Show that the answer is waited for."""

    def write(self, text: str) -> None:
        """Show more of the answer."""

    def end(self, shown: Shown) -> None:
        """Show the end."""


class Play:
    """Shows one answer.

    Parameters
    ----------
    view
        Where.
    markdown
        Whether the answer is Markdown.

    Attributes
    ----------
    chunks : list of Chunk
        What has arrived, also when `run` raises.
    """

    def __init__(self, view: View, *, markdown: bool) -> None:
        self._view = view
        self._markdown = markdown
        self.chunks: list[Chunk] = []

    def run(self, chunks: Generator[Chunk]) -> None:
        """Show an answer as it arrives; `end` is then to be called.

        Parameters
        ----------
        chunks
            Closed in any case, and the connection with them.

        Raises
        ------
        KeyboardInterrupt
            Once what has arrived is shown for good, marked as stopped.
        QianfanError
            Likewise, as anything else that goes wrong, marked as broken off if there is text.
        """
        try:
            with closing(chunks):
                self._view.begin()
                for chunk in chunks:
                    self.chunks.append(chunk)
                    self._view.write(chunk.text)
        except KeyboardInterrupt:
            self.end("stopped")
            raise
        except BaseException:
            self.end(*["broken off"] * bool(self._text))
            raise

    def end(self, *notes: str) -> None:
        """Show the answer for good, with notes under it."""
        self._view.end(Shown(self._text, self._markdown, notes))

    @property
    def _text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

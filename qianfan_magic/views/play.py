"""Chunks into a view: what is shown when an answer ends well, is stopped, or breaks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

from qianfan_magic.api.types import Chunk
from qianfan_magic.views.rendering.answer import NOTHING, AnswerOutput, PlainOutput


class View(Protocol):
    """A place where answers grow, one or several side by side, and then stay."""

    def begin(self) -> None:
        """Show that an answer is waited for."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show more of an answer."""

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show the end; the metadata stays with it in the saved notebook."""


class Play:
    """Shows one answer.

    Parameters
    ----------
    view
        Where.
    form
        How: ``markdown``, ``text``, ``json`` or ``html``.
    asked
        The endpoint or model that answers.

    Attributes
    ----------
    chunks : list of Chunk
        What has arrived, also when `run` raises.
    """

    def __init__(self, view: View, *, form: str, asked: str) -> None:
        self._view = view
        self._form = form
        self._asked = asked
        self.chunks: list[Chunk] = []

    def run(self, chunks: Generator[Chunk]) -> None:
        """Show an answer as it arrives; `end` is then to be called.

        Parameters
        ----------
        chunks
            Closed in any case, and the connection with them.

        Raises
        ------
        KeyboardInterrupt, QianfanError
            If it is stopped, or goes wrong.
        """
        with closing(chunks):
            self._view.begin()
            for chunk in chunks:
                self.chunks.append(chunk)
                self._view.write(chunk)

    def end(
        self, state: str, notes: Sequence[str] = (), metadata: Mapping[str, Any] = NOTHING
    ) -> AnswerOutput:
        """Show the answer for good; return it as it is shown.

        Parameters
        ----------
        state
            ``done``, ``stopped`` or ``broken off``.
        notes
            Lines under it.
        metadata
            Stays with it in the saved notebook.
        """
        ended = shown(self.chunks, self._form, self._asked, state, notes)
        self._view.end(ended, metadata)
        return ended


def shown(
    chunks: Sequence[Chunk], form: str, asked: str, state: str, notes: Sequence[str]
) -> AnswerOutput:
    """Make the end of an answer of its chunks; nothing, if it broke off before the first word."""
    text = "".join(chunk.text for chunk in chunks)
    reasoning = "".join(chunk.reasoning for chunk in chunks)
    if state == "broken off" and not (text or reasoning or notes):
        return AnswerOutput("")
    tokens = chunks[-1].usage.completion_tokens if chunks else 0
    return AnswerOutput(text, form, tuple(notes), asked, state, tokens, reasoning)

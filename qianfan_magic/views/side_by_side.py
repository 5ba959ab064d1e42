"""Answers side by side, as they stay in the saved notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from qianfan_magic.views.rendering.answer import QUIET, AnswerOutput, wrap_answer
from qianfan_magic.views.rendering.invisible import escape_invisible

#: As many columns as there is room for; on a narrow page one below the other.
GRID = (
    "display: grid; gap: 1em 1.5em; "
    "grid-template-columns: repeat(auto-fit, minmax(min(100%, 13em), 1fr))"
)
#: Long words must not push a column into its neighbour.
CELL = "min-width: 0; overflow-x: auto"


class Ended(Protocol):
    """One of several answers that have ended."""

    title: str

    def shown(self) -> AnswerOutput:
        """Return it as it is to stay."""


def side_by_side(ended: Sequence[Ended], notes: Sequence[str]) -> Columns:
    """Put answers side by side, with notes on all of them."""
    return Columns([(one.title, one.shown()) for one in ended], notes)


@dataclass(frozen=True, slots=True)
class Columns:
    """The end of several answers, each under its title, and notes on all of them."""

    columns: Sequence[tuple[str, AnswerOutput]]
    notes: Sequence[str] = ()

    def bundle(self) -> dict[str, str]:
        """Make the plain output: ``text/html``, a grid, and ``text/plain``, one by one."""
        cells = [
            f'<div style="{CELL}">\n<p><strong>{escape(escape_invisible(title))}</strong></p>\n'
            f"{shown.html()}\n</div>"
            for title, shown in self.columns
        ]
        plain = [
            f"{escape_invisible(title)}\n\n{shown.bundle()['text/plain']}"
            for title, shown in self.columns
        ]
        grid = "\n".join(cells)
        notes = [escape_invisible(note) for note in self.notes]
        below = "".join(f'\n<p style="{QUIET}">{escape(note)}</p>' for note in notes)
        return {
            "text/html": wrap_answer(f'<div style="{GRID}">\n{grid}\n</div>{below}'),
            "text/plain": "\n\n".join(
                ["\n\n---\n\n".join(plain), *(f"[{note}]" for note in notes)]
            ),
        }

    def lines(self) -> list[str]:
        """List each answer's last line."""
        return [line for _, shown in self.columns for line in shown.lines()]

    def below(self) -> list[str]:
        """List nothing: a terminal shows the whole at once."""
        return []

"""Several answers side by side, as they stay in the saved notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qianfan_magic.views.rendering.answer import AnswerOutput, notes_html, wrap_answer
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.style import inline

__all__ = ["Columns", "most_in_a_row"]

#: Largest number of columns in a row, by their number: 2 + 2 and 3 + 3, never 3 + 1 or 5 + 1.
MOST_IN_A_ROW = {4: 2, 5: 3, 6: 3}


@dataclass(frozen=True, slots=True)
class Columns:
    """The output of several answers.

    Attributes
    ----------
    columns
        The title and the output of each answer.
    notes
        Lines below all of them.
    """

    columns: Sequence[tuple[str, AnswerOutput]]
    notes: Sequence[str] = ()

    def bundle(self) -> dict[str, str]:
        """Make the MIME bundle: ``text/html`` is a grid, ``text/plain`` has one after the other."""
        cells = [
            f'<div style="{inline("column")}">\n'
            f'<p style="{inline("title")}">{escape(escape_invisible(title))}</p>\n'
            f"{output.html()}\n</div>"
            for title, output in self.columns
        ]
        plain = [
            f"{escape_invisible(title)}\n\n{output.bundle()['text/plain']}"
            for title, output in self.columns
        ]
        grid = "\n".join(cells)
        notes = [escape_invisible(note) for note in self.notes]
        style = f"--most:{most_in_a_row(len(cells))};{inline('columns')}"
        return {
            "text/html": wrap_answer(f'<div style="{style}">\n{grid}\n</div>{notes_html(notes)}'),
            "text/plain": "\n\n".join(
                ["\n\n---\n\n".join(plain), *(f"[{note}]" for note in notes)]
            ),
        }

    def lines(self) -> list[tuple[str, str, str]]:
        """List the last line of each answer in parts."""
        return [line for _, output in self.columns for line in output.lines()]

    def call_paces(self) -> list[str]:
        """Return an empty list: a comparison calls no functions."""
        return []

    def below(self, *, pace: bool) -> list[str]:
        """Return an empty list: `TerminalColumns` writes the whole output at once."""
        del pace
        return []


def most_in_a_row(columns: int) -> int:
    """Return how many of several columns stand in a row at most."""
    return MOST_IN_A_ROW.get(columns, columns)

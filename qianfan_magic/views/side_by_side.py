"""Several answers side by side, as they stay in the saved notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qianfan_magic.views.rendering.answer import QUIET, AnswerOutput, wrap_answer
from qianfan_magic.views.rendering.invisible import escape_invisible

__all__ = ["Columns"]

#: As many columns as fit; on a narrow page they stand one below the other. The live view's
#: reply.css has the same grid, so that the page does not jump at the end.
GRID = (
    "display: grid; gap: 1em 1.5em; "
    "grid-template-columns: repeat(auto-fit, minmax(min(100%, 13em), 1fr))"
)
#: A grid item is by default as wide as its longest word, and would overlap its neighbour.
COLUMN = "min-width: 0; overflow-x: auto"


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
            f'<div style="{COLUMN}">\n<p><strong>{escape(escape_invisible(title))}</strong></p>\n'
            f"{output.html()}\n</div>"
            for title, output in self.columns
        ]
        plain = [
            f"{escape_invisible(title)}\n\n{output.bundle()['text/plain']}"
            for title, output in self.columns
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

    def lines(self) -> list[tuple[str, str, str]]:
        """List the last line of each answer in parts."""
        return [line for _, output in self.columns for line in output.lines()]

    def below(self, *, pace: bool) -> list[str]:
        """Return an empty list: `TerminalColumns` writes the whole output at once."""
        del pace
        return []

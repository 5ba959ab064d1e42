"""Answers side by side, as they stay in the saved notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qianfan_magic.views.shown import Shown, framed
from qianfan_magic.views.visible import visible

#: As many columns as there is room for; on a narrow page one below the other.
GRID = (
    "display: grid; gap: 1em 1.5em; "
    "grid-template-columns: repeat(auto-fit, minmax(min(100%, 13em), 1fr))"
)
#: Long words must not push a column into its neighbour.
CELL = "min-width: 0; overflow-x: auto"


@dataclass(frozen=True, slots=True)
class Columns:
    """The end of several answers, each under its title."""

    columns: Sequence[tuple[str, Shown]]

    def bundle(self) -> dict[str, str]:
        """Make the plain output: ``text/html``, a grid, and ``text/plain``, one by one."""
        cells = [
            f'<div style="{CELL}">\n<p><strong>{escape(visible(title))}</strong></p>\n'
            f"{shown.html()}\n</div>"
            for title, shown in self.columns
        ]
        plain = [
            f"{visible(title)}\n\n{shown.bundle()['text/plain']}" for title, shown in self.columns
        ]
        grid = "\n".join(cells)
        return {
            "text/html": framed(f'<div style="{GRID}">\n{grid}\n</div>'),
            "text/plain": "\n\n---\n\n".join(plain),
        }

    def lines(self) -> list[str]:
        """List each answer's last line."""
        return [line for _, shown in self.columns for line in shown.lines()]

    def below(self) -> list[str]:
        """List nothing: a terminal shows the whole at once."""
        return []

"""Which cell is running, and which of its runs that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.turn import Turn


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a cell.

    Attributes
    ----------
    cell
        The cell's id, which JupyterLab and VS Code send with each request to run it; empty in a
        terminal, and under nbclient, papermill and nbval.
    id
        The request's; empty in a terminal.
    """

    cell: str = ""
    id: str = ""

    def asked_earlier(self, step: Turn) -> bool:
        """Tell whether an earlier run of the same cell asked, in this step of a turn."""
        return bool(self.cell) and step.cell == self.cell and step.run != self.id

    def had_asked(self, turn: Turn) -> bool:
        """Tell whether an earlier run of the same cell asked, in any step of a turn."""
        return any(map(self.asked_earlier, turn.steps()))


def running(shell: InteractiveShell) -> Run:
    """Return the run that is under way."""
    get_parent = getattr(shell, "get_parent", None)
    parent = get_parent() if get_parent else {}
    cell = parent.get("metadata", {}).get("cellId", "")
    return Run(cell if isinstance(cell, str) else "", parent.get("header", {}).get("msg_id", ""))

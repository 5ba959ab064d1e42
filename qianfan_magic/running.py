"""Which cell is running, and which of its runs that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qianfan_magic.turn import Turn, digest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


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
    cell = _word(cell) if isinstance(cell, str) else ""
    return Run(cell, parent.get("header", {}).get("msg_id", ""))


def _word(cell: str) -> str:
    """Return an id that may stand in a saved notebook.

    VS Code sends an address, ``vscode-notebook-cell:/home/…/a.ipynb#W0sZmlsZQ``, which has the
    user's folders in it.
    """
    if not cell or CELL_ID.fullmatch(cell):
        return cell
    return digest(cell)


#: What a cell's id is, by the notebook format.
CELL_ID = re.compile(r"[-\w]{1,64}", re.ASCII)

"""What the magics and subcommands of one notebook share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qianfan_magic.conversation.turn import CELL_ID, CellRun, digest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def running(shell: InteractiveShell) -> CellRun:
    """Return the run that is under way."""
    get_parent = getattr(shell, "get_parent", None)
    parent = get_parent() if get_parent else {}
    cell = parent.get("metadata", {}).get("cellId", "")
    cell = _word(cell) if isinstance(cell, str) else ""
    return CellRun(cell, parent.get("header", {}).get("msg_id", ""))


def _word(cell: str) -> str:
    """Return an id that may stand in a saved notebook.

    VS Code sends an address, ``vscode-notebook-cell:/home/…/a.ipynb#W0sZmlsZQ``, which has the
    user's folders in it.
    """
    if not cell or CELL_ID.fullmatch(cell):
        return cell
    return digest(cell)

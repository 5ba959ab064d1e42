"""The saved notebook: its path, the order of its cells and the records in its outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import KEY, clock_of
from qianfan_magic.conversation.turn import CELL_ID
from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr

__all__ = ["FORMAT", "CellOrder", "Output", "notebook_path", "read_outputs"]

#: The ``nbformat`` that is read, in use since IPython 3 (2015); older notebooks hold no records.
#: The file is read without the nbformat package, which takes a second to import.
FORMAT = 4


@dataclass(frozen=True, slots=True)
class Output:
    """An output that carries a record.

    Attributes
    ----------
    place
        Position of its cell in the notebook, from 1.
    cell
        Id of its cell; empty in notebooks before format 4.5, which have none.
    record
        The record as it stands in the metadata, not validated.
    text
        The text that the output shows, its ``text/plain``.
    cells
        Ids of all cells of the notebook.
    """

    place: int
    cell: str
    record: Any
    text: str
    cells: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


def notebook_path(variables: Mapping[str, Any]) -> Path | None:
    """Return the path of this kernel's notebook, or None if the front end does not provide it.

    Parameters
    ----------
    variables
        The user's namespace. VS Code puts the path there as ``__vsc_ipynb_file__``; Jupyter Server
        puts it into the environment as ``JPY_SESSION_NAME``. nbclient, papermill and nbval set
        neither.

    Examples
    --------
    >>> notebook_path({"__vsc_ipynb_file__": "talk.ipynb"}).name
    'talk.ipynb'
    """
    named = variables.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    # A console's session has a name, too, which is not that of a notebook.
    return Path(named) if isinstance(named, str) and named.endswith(".ipynb") else None


def read_outputs(path: Path) -> list[Output]:
    """Read the outputs of a saved notebook that carry a record, from top to bottom.

    Raises
    ------
    QianfanError
        If the file cannot be read or is not a notebook.
    """
    try:
        target = path.expanduser()
        # Reading a device or a named pipe might never end.
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise _not_a_notebook(path, tr("it is not a file"))
        notebook = json.loads(target.read_bytes())
    except OSError as error:
        raise QianfanError(
            tr(
                "The notebook {path!r} cannot be read: {reason}",
                path=str(path),
                reason=error.strerror,
            ),
            hint=tr(
                "Save it, or give its path: %qianfan restore NOTEBOOK.ipynb. A kernel knows the "
                "name that its notebook had when it started."
            ),
        ) from None
    # ValueError: no JSON, or a null character in the path. RuntimeError: JSON nested too deep
    # (RecursionError), or "~" of an unknown user.
    except (ValueError, RuntimeError):
        raise _not_a_notebook(path, tr("it is not valid JSON")) from None
    if _mapping(notebook).get("nbformat") != FORMAT or not isinstance(notebook.get("cells"), list):
        raise _not_a_notebook(path, tr("it is not of format {format}", format=FORMAT))
    return list(_outputs(notebook))


def _not_a_notebook(path: Path, why: str) -> QianfanError:
    return QianfanError(
        tr("{path!r} is not a notebook: {why}", path=str(path), why=why),
        hint=tr("Give the path of a saved notebook: %qianfan restore NOTEBOOK.ipynb"),
    )


class CellOrder:
    """The order of the cells in the saved notebook; the file is read again when it has changed.

    Parameters
    ----------
    variables
        The user's namespace, see `notebook_path`.

    Attributes
    ----------
    clock
        The largest clock of any record that was seen in the notebook.
    recorded
        Ids of the cells that were seen with a record.
    is_lost
        Whether the notebook existed once and does no longer: it was renamed or moved.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._stamp: tuple[Any, ...] = ()
        self._cells: list[str] = []
        self._seen: set[str] = set()
        self.clock = 0
        self.recorded: set[str] = set()
        self.is_lost = False

    def below(self, cell: str, used: Collection[str] = ()) -> frozenset[str]:
        """Return the ids of the cells below a cell; empty if it is not in the saved notebook.

        Parameters
        ----------
        cell
            Id of the cell.
        used
            Ids of cells that have sent a request. Those that have never been saved were added
            after the last save, and are taken for the last cells of the notebook.
        """
        self.refresh()
        if not cell or cell not in self._cells:
            return frozenset()
        below = self._cells[self._cells.index(cell) + 1 :]
        return frozenset({*below, *(set(used) - self._seen)} - {""})

    def gone(self, cell: str) -> frozenset[str]:
        """Return the ids of cells that were saved once and have been deleted since.

        Parameters
        ----------
        cell
            The cell that is running. If it is not in the saved notebook, the file may be that of
            another notebook, and the result is empty.
        """
        return frozenset(self._seen - set(self._cells)) if cell in self._cells else frozenset()

    def refresh(self) -> None:
        """Read the notebook if it has changed; one that cannot be read has no order.

        This happens while a cell runs. A notebook of 200 answers (0.8 MB) takes about 3 ms, which
        is nothing beside the request that follows.
        """
        path = notebook_path(self._variables)
        try:
            if path is None:
                return
            self.is_lost = bool(self._seen) and not path.exists()
            found = path.stat()
            stamp = (path, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            # Set before reading, so that a damaged file is read only once.
            self._stamp, self._cells = stamp, []
            self._read(json.loads(path.read_bytes(), object_hook=_without_data))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return

    def _read(self, notebook: Any) -> None:
        self._cells = [_id(cell) for cell in notebook["cells"]]
        self._seen.update(self._cells)
        for output in _outputs(notebook):
            # Never removed again: a front end that saves the notebook while a cell runs saves it
            # without the outputs of that cell, whose last run did have a record.
            self.recorded.add(output.cell)
            with suppress(InvalidRecord):
                self.clock = max(self.clock, clock_of(output.record))


def _without_data(read: dict[str, Any]) -> dict[str, Any]:
    """Drop what an output shows as soon as it is read: it is most of a notebook."""
    read.pop("data", None)
    return read


def _outputs(notebook: Mapping[str, Any]) -> Iterator[Output]:
    cells = frozenset(map(_id, notebook["cells"])) - {""}
    for place, cell in enumerate(notebook["cells"], 1):
        for output in _list(_mapping(cell).get("outputs")):
            record = _mapping(_mapping(output).get("metadata")).get(KEY)
            if record is not None:
                # By nbformat's rule, a text is one string or a list of lines.
                text = _mapping(output.get("data")).get("text/plain", "")
                lines = [line for line in _list(text) if isinstance(line, str)]
                shown = text if isinstance(text, str) else "".join(lines)
                yield Output(place, _id(cell), record, shown, cells)


def _id(cell: Any) -> str:
    found = _mapping(cell).get("id")
    return found if isinstance(found, str) and CELL_ID.fullmatch(found) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

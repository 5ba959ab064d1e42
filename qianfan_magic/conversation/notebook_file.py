"""The notebook on disk: where it is, in which order its cells stand, what their outputs carry."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import KEY, clock_of
from qianfan_magic.conversation.turn import CELL_ID
from qianfan_magic.errors import QianfanError

#: Of notebooks, since 2014; older ones hold no metadata of ours. They are read without nbformat,
#: whose import alone takes a second.
FORMAT = 4


@dataclass(frozen=True, slots=True)
class Output:
    """An output that carries a record.

    Attributes
    ----------
    place
        Of its cell in the notebook, from 1.
    cell
        The id of its cell; empty in notebooks of before format 4.5.
    record
        As it stands there; not checked.
    text
        That is shown, in plain text.
    cells
        The ids of all cells of the notebook.
    """

    place: int
    cell: str
    record: Any
    text: str
    cells: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


def notebook_path(variables: Mapping[str, Any]) -> Path | None:
    """Return where the notebook of this kernel is saved, if its front end says so.

    Parameters
    ----------
    variables
        Of the notebook. VS Code puts the path into ``__vsc_ipynb_file__``, Jupyter's servers into
        the environment as JPY_SESSION_NAME; nbclient, papermill and nbval say nothing.
    """
    named = variables.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return Path(named) if isinstance(named, str) and named.endswith(".ipynb") else None


def read_outputs(path: Path) -> list[Output]:
    """Read the records of a saved notebook, from the top.

    Raises
    ------
    QianfanError
        If there is no such file, or it is no notebook.
    """
    try:
        target = path.expanduser()
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise _no_notebook(path, "it is no file")  # a device may have no end
        notebook = json.loads(target.read_bytes())
    except OSError as error:
        raise QianfanError(
            f"The notebook {str(path)!r} cannot be read: {error.strerror}",
            hint="Save it, or give its path: %qianfan restore NOTEBOOK.ipynb. A kernel knows the "
            "name that its notebook had when it started.",
        ) from None
    except (ValueError, RuntimeError):  # no JSON, deep JSON; no such home, no such path
        raise _no_notebook(path, "it is not written as one") from None
    if _dict(notebook).get("nbformat") != FORMAT or not isinstance(notebook.get("cells"), list):
        raise _no_notebook(path, f"it is not of format {FORMAT}")
    return list(_outputs(notebook))


def _no_notebook(path: Path, why: str) -> QianfanError:
    return QianfanError(
        f"{str(path)!r} is no notebook: {why}",
        hint="Give the path of a saved notebook: %qianfan restore NOTEBOOK.ipynb",
    )


class CellOrder:
    """In which order the cells of the saved notebook stand; read again when it has been saved.

    Parameters
    ----------
    variables
        Of the notebook, see `notebook_path`.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._stamp: tuple[Any, ...] = ()
        self._cells: list[str] = []
        self._seen: set[str] = set()
        #: The largest clock of a record in it.
        self.clock = 0
        #: The ids of cells with a record.
        self.recorded: set[str] = set()
        #: Whether the notebook was there once, and is no longer: it was renamed or moved.
        self.is_lost = False

    def below(self, cell: str, asked: Collection[str] = ()) -> frozenset[str]:
        """Return the ids of the cells below one; none, if that is not in the saved notebook.

        Parameters
        ----------
        cell
            The id of the one.
        asked
            Ids of cells that have asked: those that were never saved have been added since, and
            count as the last.
        """
        self.refresh()
        if not cell or cell not in self._cells:
            return frozenset()
        below = self._cells[self._cells.index(cell) + 1 :]
        return frozenset({*below, *(set(asked) - self._seen)} - {""})

    def gone(self, cell: str) -> frozenset[str]:
        """Return the ids of cells that were saved once, and are no longer there.

        None, if the cell that asks is not in the saved notebook: then that may be another one.
        """
        return frozenset(self._seen - set(self._cells)) if cell in self._cells else frozenset()

    def refresh(self) -> None:
        """Read the notebook if it has changed; one that cannot be read has no order."""
        path = notebook_path(self._variables)
        try:
            if path is None:
                return
            self.is_lost = bool(self._seen) and not path.exists()
            found = path.stat()
            stamp = (path, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            self._stamp, self._cells = stamp, []
            read = path.read_bytes()
            self._cells = _scan(read) if self._seen else []
            if not self._cells:
                self._parse(read)
            self._seen.update(self._cells)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return

    def _parse(self, read: bytes) -> None:
        notebook = json.loads(read)
        self._cells = [_id(cell) for cell in notebook["cells"]]
        outputs = list(_outputs(notebook))
        self.recorded = {output.cell for output in outputs}
        for output in outputs:
            with suppress(InvalidRecord):
                self.clock = max(self.clock, clock_of(output.record))


def _scan(read: bytes) -> list[str]:
    """Find the ids of the cells in the text of a notebook, as Jupyter writes it; else nothing.

    This is done while a cell runs: to read a notebook of 200 answers as JSON takes 5 ms, this half
    of one. Jupyter indents by one, so that what a cell holds stands behind three spaces, and no
    line within a text begins so, since there line ends are written as such.
    """
    cells = [found.decode() for found in _ID.findall(read)]
    return cells if len(cells) == len(_CELL.findall(read)) else []


_ID = re.compile(rb'\n   "id": "([-\w]+)"')
_CELL = re.compile(rb'\n   "cell_type": ')


def _outputs(notebook: Mapping[str, Any]) -> Iterator[Output]:
    cells = frozenset(map(_id, notebook["cells"])) - {""}
    for place, cell in enumerate(notebook["cells"], 1):
        for output in _list(_dict(cell).get("outputs")):
            record = _dict(_dict(output).get("metadata")).get(KEY)
            if record is not None:
                text = _dict(output.get("data")).get("text/plain", "")
                lines = [line for line in _list(text) if isinstance(line, str)]
                shown = text if isinstance(text, str) else "".join(lines)
                yield Output(place, _id(cell), record, shown, cells)


def _id(cell: Any) -> str:
    found = _dict(cell).get("id")
    return found if isinstance(found, str) and CELL_ID.fullmatch(found) else ""


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

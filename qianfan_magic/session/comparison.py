"""Several answers at the same time, each over a connection of its own."""

from __future__ import annotations

import threading
from contextlib import closing
from queue import SimpleQueue
from typing import TYPE_CHECKING

from qianfan_magic.errors import QianfanError
from qianfan_magic.interrupts import interruptible
from qianfan_magic.language import mark, tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qianfan_magic.api.types import Chunk
    from qianfan_magic.session.answer_stream import AnswerStream
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.views.factory import View
    from qianfan_magic.views.side_by_side import Columns

__all__ = ["columns_output", "read_side_by_side"]

#: The note below the answer that the user has chosen.
KEPT = mark("The conversation goes on from here.")
#: A column's index, with a chunk, with the error that ended it, or with None at its good end.
_Event = tuple[int, "Chunk | BaseException | None"]


def read_side_by_side(columns: Sequence[AnswerStream], view: View) -> None:
    """Read several answers to their ends and show them as they arrive.

    An answer that fails does not affect the others.

    Parameters
    ----------
    columns
        The answers.
    view
        Shows them; it is written to in this thread only, and ended by the caller.

    Raises
    ------
    KeyboardInterrupt
        After the connections are closed and the unfinished columns are marked as stopped.
    """
    events: SimpleQueue[_Event] = SimpleQueue()
    try:
        view.begin()
        for index, column in enumerate(columns):
            arguments = (index, column.sender, events)
            threading.Thread(target=_read, args=arguments, daemon=True).start()
        _show(columns, view, events)
    except KeyboardInterrupt:
        while not events.empty():  # chunks that have arrived, but are not shown yet
            _take(columns, *events.get())
        for column in columns:
            if column.state == "streaming":
                column.end("stopped")
                column.sender.abort()
        raise


def columns_output(
    columns: Sequence[AnswerStream], notes: Sequence[str], *, kept: int = 0
) -> Columns:
    """Return the answers as they stay in the notebook.

    Parameters
    ----------
    columns
        The answers.
    notes
        Notes on all of them.
    kept
        The number of the column, from 1, that the user has chosen; 0 for none.
    """
    from qianfan_magic.views.side_by_side import Columns

    return Columns(
        [
            (column.title, column.output([tr(KEPT)] * (number == kept)))
            for number, column in enumerate(columns, 1)
        ],
        notes,
    )


def _show(columns: Sequence[AnswerStream], view: View, events: SimpleQueue[_Event]) -> None:
    while any(column.state == "streaming" for column in columns):
        with interruptible():
            index, event = events.get()
        chunk = _take(columns, index, event)
        if chunk is not None:
            view.write(chunk, index)


def _take(
    columns: Sequence[AnswerStream], index: int, event: Chunk | BaseException | None
) -> Chunk | None:
    """Let a column take an event; return its chunk, if it is one."""
    column = columns[index]
    if event is None:
        column.end("done")
    elif isinstance(event, BaseException):
        column.end("broken off", event)
    else:
        column.add(event)
        return event
    return None


def _read(index: int, sender: RequestSender, events: SimpleQueue[_Event]) -> None:
    """Pass on what arrives in one column; runs in a thread of its own."""
    try:
        with closing(sender.chunks()) as chunks:
            for chunk in chunks:
                events.put((index, chunk))
    except QianfanError as error:
        events.put((index, error))
    except BaseException as error:  # noqa: BLE001  it is raised in the thread of the cell
        events.put((index, error))
    else:
        events.put((index, None))

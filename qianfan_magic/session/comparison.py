"""Several answers at once, each over a connection of its own."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from qianfan_magic.api.wire import read_reply
from qianfan_magic.errors import QianfanError, brief

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qianfan_magic.api.types import Chunk, Reply
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.views.play import View
    from qianfan_magic.views.rendering.answer import AnswerOutput


@dataclass(slots=True)
class Column:
    """One of several answers.

    Attributes
    ----------
    title
        What is different in it: ``temperature=0.5``.
    form
        How the answer is shown.
    sending
        The request.
    chunks
        What has arrived.
    state
        ``streaming``, ``done``, ``stopped`` or ``broken off``.
    error
        Why it broke off.
    """

    title: str
    form: str
    sending: RequestSender
    chunks: list[Chunk] = field(default_factory=list)
    state: str = "streaming"
    error: BaseException | None = None

    @property
    def reply(self) -> Reply:
        """What has arrived, as one answer."""
        return read_reply(self.chunks)

    def shown(self) -> AnswerOutput:
        """Return the answer as it is to stay."""
        from qianfan_magic.views.notes import left_out_note, reply_notes
        from qianfan_magic.views.play import shown

        notes = left_out_note(self.sending.fit)
        if self.error:
            hint = getattr(self.error, "hint", "")
            message = getattr(self.error, "message", str(self.error))
            notes = [f"{type(self.error).__name__}: {message}", *[hint] * bool(hint)]
        elif self.state == "done":
            notes = [*reply_notes(self.reply), *notes]
        return shown(self.chunks, self.form, self.sending.service.name, self.state, notes)


#: A column's number with a chunk of it, with what went wrong, or with None at its good end.
_News = tuple[int, "Chunk | BaseException | None"]


def run_side_by_side(columns: Sequence[Column], view: View) -> None:
    """Show several answers as they arrive; one that fails does not take the others down.

    Parameters
    ----------
    columns
        Their chunks, states and errors are filled in.
    view
        Is written to in this thread; to be ended by the caller.

    Raises
    ------
    KeyboardInterrupt
        Once the connections are closed, and the columns are marked as stopped.
    """
    news: SimpleQueue[_News] = SimpleQueue()
    try:
        view.begin()
        for number, column in enumerate(columns):
            reader = (number, column.sending, news)
            threading.Thread(target=_read, args=reader, daemon=True).start()
        _show(columns, view, news)
    except KeyboardInterrupt as stop:
        for column in columns:
            if column.state == "streaming":
                column.state = "stopped"
                column.chunks += column.sending.rest()
                column.sending.abort()
        raise brief(stop)  # noqa: B904  it is the same one


def _show(columns: Sequence[Column], view: View, news: SimpleQueue[_News]) -> None:
    while any(column.state == "streaming" for column in columns):
        number, came = news.get()
        column = columns[number]
        if came is None:
            column.state = "done"
        elif isinstance(came, BaseException):
            column.state, column.error = "broken off", came
            column.chunks += column.sending.rest()
        else:
            column.chunks.append(came)
            view.write(came, number)


def _read(number: int, sending: RequestSender, news: SimpleQueue[_News]) -> None:
    """Pass on what arrives in one column; runs in a thread of its own."""
    try:
        with closing(sending.chunks()) as chunks:
            for chunk in chunks:
                news.put((number, chunk))
    except QianfanError as error:
        news.put((number, error))
    except BaseException as error:  # noqa: BLE001  it is raised in the thread of the cell
        news.put((number, error))
    else:
        news.put((number, None))

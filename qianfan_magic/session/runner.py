"""One question on its way: where its answer is shown, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.types import Reply
from qianfan_magic.api.wire import read_reply
from qianfan_magic.errors import QianfanError
from qianfan_magic.masking import mask_known
from qianfan_magic.session.cell_request import CellRequest
from qianfan_magic.session.comparison import Column, run_side_by_side
from qianfan_magic.session.last_answer import LastAnswer, changes
from qianfan_magic.session.sender import RequestSender

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.session.session import Session
    from qianfan_magic.views.output_area import OutputArea
    from qianfan_magic.views.play import Play, View
    from qianfan_magic.views.rendering.answer import AnswerOutput


@dataclass(slots=True)
class Streamed:
    """One answer that has arrived, or as much of it as came before the user stopped it."""

    question: CellRequest
    sending: RequestSender
    play: Play
    stop: KeyboardInterrupt | None = None
    reply: Reply = field(init=False)

    def __post_init__(self) -> None:
        self.reply = read_reply(self.play.chunks)

    def end(self, *notes: str, metadata: Mapping[str, Any] | None = None) -> AnswerOutput:
        """Show it for good, with notes and what is saved with it."""
        from qianfan_magic.views.notes import left_out_note, reply_notes

        state = "stopped" if self.stop else "done"
        said = [] if self.stop else reply_notes(self.reply)
        said += left_out_note(self.sending.fit)
        return self.play.end(state, [*said, *notes], metadata or {})


class CellRunner:
    """Asks what the cells of one notebook ask.

    Parameters
    ----------
    shell
        Where the cells run.
    session
        What the notebook holds.
    """

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        self._shell = shell
        self._session = session

    def run(self, question: CellRequest) -> None:
        """Ask, show and keep.

        Raises
        ------
        KeyboardInterrupt
            What has arrived is shown, and kept in the conversation, marked as stopped.
        QianfanError
            If it fails, or is not what ``--format`` says.
        """
        from qianfan_magic.views.factory import make_output_area

        place = make_output_area(self._shell, question.ask.into)
        if question.ask.compare:
            self._compare(question, place)
        else:
            self._answer(question, place)

    def stream(self, question: CellRequest, place: OutputArea) -> Streamed:
        """Ask for one answer and show it as it arrives; how it ends is for the caller to show.

        Raises
        ------
        QianfanError
            If it fails; then its end is shown, marked as broken off if there is text.
        """
        from qianfan_magic.views.play import Play

        sending = self._sending(question)
        self._session.sent = [sending]
        view = self._view(question, sending.service.name, place)
        play = Play(view, form=question.shown_as, asked=sending.service.name)
        try:
            play.run(sending.chunks())
        except KeyboardInterrupt as stop:
            play.chunks += sending.rest()
            return Streamed(question, sending, play, stop)
        except BaseException:
            play.chunks += sending.rest()
            play.end("broken off")
            raise
        return Streamed(question, sending, play)

    def _answer(self, question: CellRequest, place: OutputArea) -> None:
        streamed = self.stream(question, place)
        reply, stop = streamed.reply, streamed.stop
        self._session.answered = answered = LastAnswer(question, place)
        metadata = answered.take(reply, streamed.sending, self._session, stopped=bool(stop))
        code = ["The code is in the next cell."] * (question.form == "code" and not stop)
        streamed.end(*changes(question, metadata), *code, metadata=metadata)
        if stop:
            raise stop
        self._bind(question, reply)
        if question.form == "code":
            from qianfan_magic.views.rendering.formats import extract_code

            self._shell.set_next_input(mask_known(extract_code(reply.text)))
        error = _json_error(question, reply)
        if error:
            raise error

    def _compare(self, question: CellRequest, place: OutputArea) -> None:
        """Ask for several answers at once; a chat goes on from the first, if there is one."""
        from qianfan_magic.views.rendering.answer import NOTHING
        from qianfan_magic.views.side_by_side import side_by_side

        columns = [
            Column(title, variant.shown_as, self._sending(variant))
            for title, variant in question.variants().items()
        ]
        self._session.sent = [column.sending for column in columns]
        view = self._view(question, {c.title: c.sending.service.name for c in columns}, place)
        said = question.conversation
        after = self._session.conversation(said.name) if said else None
        answered = LastAnswer(question, place, after, columns)
        self._session.answered = answered
        try:
            run_side_by_side(columns, view)
        finally:
            first, metadata = columns[0], NOTHING
            if not first.error:
                stopped = first.state == "stopped"
                metadata = answered.take(first.reply, first.sending, self._session, stopped=stopped)
                answered.kept = int(answered.took)
            view.end(side_by_side(columns, changes(question, metadata)), metadata)
        self._bind(question, [column.error or column.reply for column in columns])
        for number, column in enumerate(columns, 1):
            error = column.error or _json_error(question, column.reply)
            if error:
                raise _named(error, f"Column {number} ({column.title})")

    def _sending(self, question: CellRequest) -> RequestSender:
        sending = RequestSender(self._session.client, question, self._session.used)
        self._session.asked(sending.service.name)
        return sending

    def _view(
        self, question: CellRequest, columns: Mapping[str, str] | str, place: OutputArea
    ) -> View:
        from qianfan_magic.views.factory import make_view

        live = self._session.settings.live
        return make_view(self._shell, live, columns, form=question.shown_as, place=place)

    def _bind(self, question: CellRequest, value: Any) -> None:
        if question.ask.output:
            self._shell.user_ns[question.ask.output] = value


def _json_error(question: CellRequest, reply: Reply) -> QianfanError | None:
    """Say what is wrong with an answer that was to be JSON, if anything is."""
    from qianfan_magic.views.rendering.formats import pretty

    if question.form != "json":
        return None
    try:
        pretty(reply.text)
    except ValueError as error:
        return QianfanError(
            f"The answer is not JSON: {error}",
            hint="It is kept as it came. Ask for JSON and nothing else, or use --format text.",
        )
    return None


def _named(error: BaseException, where: str) -> BaseException:
    """Say which column an error is of."""
    if isinstance(error, QianfanError):
        error.message = f"{where}: {error.message}"
        error.args = (error.message,)
    return error

"""One question on its way: where its answer is shown, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qianfan_magic.conversation import Conversation, Turn
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.question import Question
from qianfan_magic.side_by_side import Column, run_side_by_side
from qianfan_magic.wire import read_reply
from qianfan_magic.wire.types import Reply

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.session import Session
    from qianfan_magic.views.place import Place
    from qianfan_magic.views.play import View
    from qianfan_magic.views.shown import Shown


@dataclass(slots=True)
class Answered:
    """What the last cell asked and got, in case it is to be asked again or exchanged.

    Attributes
    ----------
    question
        As it was asked.
    place
        Where its answer stands.
    turn
        That the conversation took; None if it took none.
    turns
        How many the conversation had then.
    columns
        Of a comparison.
    kept
        Which of them the conversation goes on from, from 1; 0 for none.
    """

    question: Question
    place: Place
    turn: Turn | None = None
    turns: int = 0
    columns: list[Column] | None = None
    kept: int = 0

    def take(self, reply: Reply, session: Session, *, stopped: bool = False) -> None:
        """Let the conversation take the answer, if there is one to take."""
        question, conversation = self.question, self.question.conversation
        if conversation is None:
            return
        kept = conversation.take(question.text, reply, stopped=stopped)
        if kept or not stopped:
            session.keep(conversation, question.options.get("system", ""))
        self.turn = conversation.turns[-1] if kept else None
        self.turns = len(conversation.turns)

    def before(self) -> Question:
        """Return the question with its conversation as it was before the answer."""
        conversation = self.question.conversation
        if conversation is None:
            return self.question
        said = (
            conversation.turns[:-1] if self.turn in conversation.turns[-1:] else conversation.turns
        )
        earlier = Conversation(conversation.name, conversation.system, list(said))
        return replace(self.question, conversation=earlier)

    def exchange(self, reply: Reply, session: Session) -> None:
        """Put another answer into the place of the one that the conversation took.

        Raises
        ------
        ParameterError
            If the conversation has gone on since, or has been forgotten.
        """
        conversation = self.question.conversation
        if conversation is None:
            return
        known = session.conversations.get(conversation.name)
        same = known is conversation or (known is None and not conversation.turns)
        last = conversation.turns[-1] if conversation.turns else None
        if not same or len(conversation.turns) != self.turns or (self.turn and last != self.turn):
            raise ParameterError(
                f"The conversation {conversation.name!r} has gone on since",
                hint="Only the answer to its last question can be exchanged.",
            )
        if self.turn:
            conversation.turns.pop()
        self.take(reply, session)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer: the reply, what is shown of it, and the user's stop if it was stopped."""

    reply: Reply
    shown: Shown
    stop: KeyboardInterrupt | None = None


class Asking:
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

    def run(self, question: Question) -> None:
        """Ask, show and keep.

        Raises
        ------
        KeyboardInterrupt
            What has arrived is shown, and kept in the conversation, marked as stopped.
        QianfanError
            If it fails, or is not what ``--format`` says.
        """
        from qianfan_magic.views.choose import make_place

        place = make_place(self._shell, question.ask.into)
        if question.ask.compare:
            self._compare(question, place)
        else:
            self._answer(question, place)

    def show(self, question: Question, place: Place) -> Outcome:
        """Ask for one answer and show it; a stop by the user is for the caller to raise."""
        from qianfan_magic.views.notes import reply_notes
        from qianfan_magic.views.play import Play

        client = self._session.client
        asked, notes = question.messages(client)
        chunks = client.ask(question.kind, asked, question.options, stream=question.ask.stream)
        endpoint = self._endpoint(question)
        play = Play(self._view(question, endpoint, place), form=question.shown_as, asked=endpoint)
        try:
            play.run(chunks)
        except KeyboardInterrupt as stop:
            return Outcome(read_reply(play.chunks), play.shown(state="stopped"), stop)
        reply = read_reply(play.chunks)
        code = ["The code is in the next cell."] * (question.form == "code")
        return Outcome(reply, play.end(*reply_notes(reply), *notes, *code))

    def _answer(self, question: Question, place: Place) -> None:
        outcome = self.show(question, place)
        reply = outcome.reply
        self._session.answered = answered = Answered(question, place)
        answered.take(reply, self._session, stopped=outcome.stop is not None)
        if outcome.stop:
            raise outcome.stop
        self._bind(question, reply)
        if question.form == "code":
            from qianfan_magic.views.formats import code_of

            self._shell.set_next_input(code_of(reply.text))
        error = _json_error(question, reply)
        if error:
            raise error

    def _compare(self, question: Question, place: Place) -> None:
        """Ask for several answers at once; a chat goes on from the first, if there is one."""
        columns = [self._column(*variant) for variant in question.variants().items()]
        view = self._view(question, {column.title: column.asked for column in columns}, place)
        said = question.conversation.turns if question.conversation else []
        answered = Answered(question, place, turns=len(said), columns=columns)
        self._session.answered = answered
        try:
            run_side_by_side(columns, view)
        finally:
            first = columns[0]
            if not first.error:
                stopped = first.state == "stopped"
                answered.take(first.reply, self._session, stopped=stopped)
                answered.kept = int(answered.turn is not None)
        self._bind(question, [column.error or column.reply for column in columns])
        for number, column in enumerate(columns, 1):
            error = column.error or _json_error(question, column.reply)
            if error:
                raise _named(error, f"Column {number} ({column.title})")

    def _column(self, title: str, question: Question) -> Column:
        client = self._session.client
        asked, notes = question.messages(client)
        call = client.call(question.kind, asked, question.options, stream=question.ask.stream)
        return Column(title, self._endpoint(question), question.shown_as, call, notes)

    def _endpoint(self, question: Question) -> str:
        endpoint, _ = self._session.client.service(question.kind, question.options)
        self._session.used(endpoint)
        return endpoint

    def _view(self, question: Question, columns: Mapping[str, str] | str, place: Place) -> View:
        from qianfan_magic.views.choose import make_view

        live = self._session.settings.live
        return make_view(self._shell, live, columns, form=question.shown_as, place=place)

    def _bind(self, question: Question, value: Any) -> None:
        if question.ask.output:
            self._shell.user_ns[question.ask.output] = value


def keep_column(answered: Answered, number: int, session: Session) -> None:
    """Let a conversation go on from another column of a comparison.

    Raises
    ------
    ParameterError
        If there is no such column, it has no answer, the cell was no chat, or the conversation
        has gone on since.
    """
    columns = answered.columns or []
    if not 1 <= number <= len(columns):
        raise ParameterError(
            f"There is no column {number}", hint=f"There are the columns 1 to {len(columns)}."
        )
    if answered.question.conversation is None:
        raise ParameterError(
            "A completion has no conversation to go on with",
            hint="Compare in a chat: %%qianfan_chat --compare.",
        )
    column = columns[number - 1]
    if column.error or not column.reply.text.strip():
        raise ParameterError(
            f"Column {number} has no answer to go on from", hint="%qianfan keep lists the columns."
        )
    answered.exchange(column.reply, session)
    answered.kept = number


def _json_error(question: Question, reply: Reply) -> QianfanError | None:
    """Say what is wrong with an answer that was to be JSON, if anything is."""
    from qianfan_magic.views.formats import pretty

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

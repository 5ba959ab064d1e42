"""What the last cell asked and got, and what the conversation keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.types import Reply
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.errors import ParameterError
from qianfan_magic.session.cell_request import CellRequest
from qianfan_magic.session.comparison import Column
from qianfan_magic.session.sender import RequestSender

if TYPE_CHECKING:
    from qianfan_magic.session.session import Session
    from qianfan_magic.views.output_area import OutputArea


@dataclass(slots=True)
class LastAnswer:
    """What the last cell asked and got, in case it is to be asked again or exchanged.

    Attributes
    ----------
    question
        As it was asked.
    place
        Where its answer stands.
    after
        The conversation, once it has taken the answer or not.
    columns
        Of a comparison.
    kept
        Which of them the conversation goes on from, from 1; 0 for none.
    took
        Whether the conversation has the answer.
    """

    question: CellRequest
    place: OutputArea
    after: Conversation | None = None
    columns: list[Column] | None = None
    kept: int = 0
    took: bool = False

    def take(
        self,
        reply: Reply,
        sent: RequestSender,
        session: Session,
        *,
        stopped: bool = False,
    ) -> Mapping[str, Any]:
        """Let the conversation take the answer, if there is one; return what is saved with it.

        Parameters
        ----------
        reply, sent
            The answer, and what was sent for it.
        session
            That keeps the conversations.
        stopped
            The user stopped the answer.
        """
        question = sent.question
        if question.conversation is None:
            return {}
        left_out = sent.fit.left_out
        after = question.taken(reply, left_out=left_out, model=sent.service.name, stopped=stopped)
        if after is None:
            self.after = session.conversation(question.conversation.name)
            return {}
        # What takes the place of another answer finds that the others have gone back already.
        if not (self.took or question.ask.append):
            others = session.others(after.name, question.run)
            session.keep(*(other.conversation for other in others))
        self.after = after
        self.took = not reply.need_clear_history
        session.keep(after)
        return session.record(after, run=question.run, last=int(self.took))

    def exchange(self, reply: Reply, sent: RequestSender, session: Session) -> Mapping[str, Any]:
        """Put another answer into the place of the one that the conversation took.

        Returns
        -------
        Mapping
            What is saved with it.

        Raises
        ------
        ParameterError
            If the conversation has gone on since, or has been forgotten.
        """
        if self.after is not None and session.conversation(self.after.name) != self.after:
            raise ParameterError(
                f"The conversation {self.after.name!r} has gone on since",
                hint="Only the answer to its last question can be exchanged.",
            )
        return self.take(reply, sent, session)


def keep_column(answered: LastAnswer, number: int, session: Session) -> Conversation:
    """Let a conversation go on from another column of a comparison; return it.

    Raises
    ------
    ParameterError
        If there is no such column, it has no answer, the cell was no chat, or the conversation
        has gone on since.
    """
    from qianfan_magic.views.side_by_side import side_by_side

    columns = answered.columns or []
    if not 1 <= number <= len(columns):
        raise ParameterError(
            f"There is no column {number}", hint=f"There are the columns 1 to {len(columns)}."
        )
    conversation = answered.question.conversation
    if conversation is None:
        raise ParameterError(
            "A completion has no conversation to go on with",
            hint="Compare in a chat: %%qianfan_chat --compare.",
        )
    column = columns[number - 1]
    if column.error or not column.reply.text.strip():
        raise ParameterError(
            f"Column {number} has no answer to go on from", hint="%qianfan keep lists the columns."
        )
    metadata = answered.exchange(column.reply, column.sending, session)
    answered.kept = number
    notes = changes(answered.question, metadata)
    answered.place.put(side_by_side(columns, notes).bundle(), metadata)
    return session.conversation(conversation.name)


def changes(question: CellRequest, metadata: Mapping[str, Any]) -> list[str]:
    """Say what the cell's earlier runs lose by this one, if the conversation was changed by it."""
    from qianfan_magic.views.notes import rewound_notes

    return rewound_notes(question.rewound, question.others) if metadata else []

"""The last cell's request and answer, which can be requested again or replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr
from qianfan_magic.session.comparison import columns_output

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.session.answer_stream import AnswerStream
    from qianfan_magic.session.cell_request import CellRequest
    from qianfan_magic.session.shown_answers import ShownAnswers
    from qianfan_magic.views.output_area import OutputArea

__all__ = ["LastAnswer", "cell_number", "change_notes", "keep_column"]


@dataclass(slots=True)
class LastAnswer:
    """What the last cell requested and got, so that it can be requested again or replaced.

    Attributes
    ----------
    request
        The request of the cell.
    area
        Where its answer is shown.
    number
        The number of the cell, as in ``In [3]``.
    after
        The conversation afterwards, with the answer or without it.
    columns
        The answers of a comparison; empty for a single answer.
    kept
        The number of the column that the conversation continues from, from 1; 0 for none.
    is_in_conversation
        Whether the conversation has the answer.
    """

    request: CellRequest
    area: OutputArea
    number: int
    after: Conversation | None = None
    columns: tuple[AnswerStream, ...] = ()
    kept: int = 0
    is_in_conversation: bool = False

    def add_to_conversation(
        self, answer: AnswerStream, store: ConversationStore
    ) -> Mapping[str, Any]:
        """Add an answer to its conversation, if it has one; return the record to save with it."""
        request, reply = answer.request, answer.reply
        if request.conversation is None:
            return {}
        after = request.updated_conversation(
            reply, left_out=answer.sender.fit.left_out, stopped=answer.state == "stopped"
        )
        if after is None:
            self.after = store.get(request.conversation.name)
            return {}
        # When an answer replaces another, the other conversations have been rewound already.
        if not (self.is_in_conversation or request.options.append):
            others = store.rewind_others(after.name, request.run)
            store.keep(*(other.conversation for other in others))
        self.after = after
        self.is_in_conversation = not reply.need_clear_history
        store.keep(after)
        return store.record(after, run=request.run, last=int(self.is_in_conversation))

    def replace_with(self, answer: AnswerStream, store: ConversationStore) -> Mapping[str, Any]:
        """Replace the answer in the conversation; return the record to save with the new one.

        Raises
        ------
        ParameterError
            If the conversation has been continued since, or forgotten.
        """
        if self.after is not None and store.get(self.after.name) != self.after:
            raise ParameterError(
                tr("The conversation {name!r} has been continued since", name=self.after.name),
                hint=tr("Only the answer to its last question can be replaced."),
            )
        return self.add_to_conversation(answer, store)


def cell_number(shell: InteractiveShell) -> int:
    """Return the number of the running cell, as in ``In [3]``.

    ``execution_count`` is that number, or the next one, as IPython's version may be.
    """
    return len(shell.history_manager.input_hist_parsed) - 1 if shell.history_manager else 0


def keep_column(
    last: LastAnswer, number: int, store: ConversationStore, shown: ShownAnswers | None
) -> Conversation:
    """Let a conversation continue from another column of a comparison; return it.

    Parameters
    ----------
    last
        The comparison.
    number
        The number of the column, from 1.
    store
        The conversations of the notebook.
    shown
        The answers on the page; the column is marked among them. None where nobody is watching:
        nbval compares the first version of an output.

    Raises
    ------
    ParameterError
        If there is no such column, if it has no answer, if the cell was not a chat, or if the
        conversation has been continued since.
    """
    columns = last.columns
    if not 1 <= number <= len(columns):
        raise ParameterError(
            tr("There is no column {number}", number=number),
            hint=tr("There are the columns 1 to {count}.", count=len(columns)),
        )
    conversation = last.request.conversation
    if conversation is None:
        raise ParameterError(
            tr("A completion has no conversation to continue"),
            hint=tr("Compare in a chat: %%qianfan_chat --compare."),
        )
    column = columns[number - 1]
    if column.has_failed or not column.reply.text.strip():
        raise ParameterError(
            tr("Column {number} has no answer to continue from", number=number),
            hint=tr("%qianfan keep lists the columns."),
        )
    record = last.replace_with(column, store)
    last.kept = number
    marked = number if shown is not None else 0
    output = columns_output(columns, change_notes(last.request, record), kept=marked)
    last.area.put(output.bundle(), record)
    if shown is not None:
        shown.remember(last, output, record)
    return store.get(conversation.name)


def change_notes(request: CellRequest, record: Mapping[str, Any]) -> list[str]:
    """Say which turns a cell has replaced or dropped, if it has changed the conversation."""
    from qianfan_magic.views.notes import rewound_notes

    return rewound_notes(request.rewound, request.others) if record else []

"""The answers that the page shows, each marked while no conversation has its turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.turn import Turn, short_name
from qianfan_magic.language import tr

if TYPE_CHECKING:
    from qianfan_magic.session.last_answer import LastAnswer
    from qianfan_magic.views.output_area import OutputArea
    from qianfan_magic.views.rendering.answer import AnswerOutput
    from qianfan_magic.views.side_by_side import Columns

__all__ = ["ShownAnswers"]

#: What tells turns apart: the id of the turn before it, and both texts. A restored turn has the
#: same; computing its id would take longer, and this is done after each cell.
_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Shown:
    """An answer on the page: where it stands, what it shows, and the turn that it belongs to."""

    area: OutputArea
    output: AnswerOutput | Columns
    record: Mapping[str, Any]
    conversation: str
    turn: Turn
    is_marked: bool = False


class ShownAnswers:
    """The answers that the page shows, each marked while no conversation has its turn.

    A cell that runs again replaces its turn and drops those after it, and so does ``%qianfan
    undo``; their outputs stay on the page, and would look as if the model still knew them.
    """

    def __init__(self) -> None:
        self._answers: list[_Shown] = []

    def remember(
        self, last: LastAnswer, output: AnswerOutput | Columns, record: Mapping[str, Any]
    ) -> None:
        """Remember the output of an answer that a conversation has; others are never marked.

        Outputs that it replaces, and those that the front end cleared when the cell ran again, are
        forgotten.
        """
        run = last.request.run
        self._answers = [
            answer
            for answer in self._answers
            if answer.area is not last.area and not run.asked_earlier(answer.turn)
        ]
        # An Output widget of --into may show something else by the time of a mark.
        if last.after and last.is_in_conversation and not last.request.options.into:
            name, turn = last.after.name, last.after.turns[-1]
            self._answers.append(_Shown(last.area, output, record, name, turn))

    def mark(self, conversations: Iterable[Conversation]) -> None:
        """Update the outputs whose turn was dropped, or is there again, since the last call."""
        if not self._answers:
            return
        known = {
            (conversation.name, *_key(step))
            for conversation in conversations
            for turn in conversation.turns
            for step in turn.steps()
        }
        for answer in reversed(self._answers):
            key = (answer.conversation, *_key(answer.turn))
            is_dropped = key not in known
            # An older output of the same words does not show this turn, but a forgotten one.
            known.discard(key)
            if is_dropped != answer.is_marked:
                answer.is_marked = is_dropped
                name = short_name(answer.conversation)
                note = tr("This turn is no longer in the conversation {name}.", name=name)
                notes = (*answer.output.notes, *[note] * is_dropped)
                answer.area.put(replace(answer.output, notes=notes).bundle(), answer.record)


def _key(turn: Turn) -> _Key:
    return turn.after, turn.user, turn.assistant

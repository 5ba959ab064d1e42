"""A conversation: its turns, which of them are sent, and going back to an earlier point."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Message
from qianfan_magic.conversation.turn import CellRun, Turn
from qianfan_magic.language import tr, trn

__all__ = ["Conversation", "Fit", "Rewound"]


@dataclass(frozen=True, slots=True)
class Fit:
    """The part of a conversation that is sent with a question.

    Attributes
    ----------
    messages
        Messages to send; the question is the last.
    left_out
        Number of the oldest turns that are not sent. They stay in the conversation.
    reason
        Why they are not, for a message; empty if all turns are sent.
    """

    messages: list[Message]
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rewound:
    """A conversation as it was before a cell, with the turns that were removed for that.

    Attributes
    ----------
    conversation
        The conversation before the cell.
    replaced
        Numbers, from 1, of the turns that earlier runs of the cell had added.
    dropped
        Numbers and labels of the other turns that were removed.
    gone
        Numbers and labels of the turns that were removed because their cells were deleted.
    is_unordered
        Whether the saved notebook, and with it the order of cells, has been lost just now.
    """

    conversation: Conversation
    replaced: tuple[int, ...] = ()
    dropped: tuple[tuple[int, str], ...] = ()
    gone: tuple[tuple[int, str], ...] = ()
    is_unordered: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A named sequence of turns. It is immutable: methods return a changed copy.

    Qianfan's rules for messages (user and assistant in turn beginning with the user, none of them
    empty, each call of a function followed by its result) hold by construction: a conversation
    holds whole turns only, and the next question is appended to them.

    Attributes
    ----------
    name
        The name that cells give with ``-n``.
    system
        The system message for the next request; empty for none.
    turns
        The turns, oldest first.

    Examples
    --------
    >>> conversation = Conversation("default").append(Turn("Hi", "Hello!"))
    >>> [message["role"] for message in conversation.messages("How are you?")]
    ['user', 'assistant', 'user']
    >>> conversation.truncate(0).turns
    ()
    """

    name: str
    system: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def head(self) -> str:
        """Id of the last turn; empty if there are no turns."""
        return self.turns[-1].id if self.turns else ""

    @property
    def counted(self) -> str:
        """The number of turns for a message: ``1 turn``, ``2 turns``."""
        return trn("{count} turn", "{count} turns", len(self.turns))

    def messages(self, question: str | None = None) -> list[Message]:
        """Return the messages of all turns, followed by a question if one is given."""
        return _messages(self.turns, question)

    def append(self, turn: Turn) -> Conversation:
        """Return it with one more turn, whose system message it takes over."""
        turns = (*self.turns, replace(turn, after=self.head))
        return replace(self, system=turn.system, turns=turns)

    def truncate(self, count: int) -> Conversation:
        """Return it as it was after a number of turns; for 0, it keeps its system message."""
        turns = self.turns[: max(count, 0)]
        return replace(self, turns=turns, system=turns[-1].system if turns else self.system)

    def rewind(
        self, run: CellRun, below: Collection[str] = (), *, to_continue: bool = False
    ) -> Rewound:
        """Go back to the point before a cell was run for the first time.

        Parameters
        ----------
        run
            The run that is about to send a request. The first turn that an earlier run of its cell
            added is removed, with all turns after it.
        below
            Ids of the cells below this one. A notebook is read from the top down, so the first
            turn of one of them is removed too, with all turns after it.
        to_continue
            The cell continues an unfinished answer. If that is the last turn, the conversation
            stays as it is; otherwise only what the cell itself added to the answer is removed.
        """
        turns = self.turns
        if to_continue and turns and turns[-1].is_unfinished and turns[-1].cell not in below:
            return Rewound(self)
        for index, turn in enumerate(turns):
            for number, step in enumerate(turn.steps()):
                own = run.asked_earlier(step) and not (to_continue and number == 0)
                if own or step.cell in below:
                    return self._cut(index, turn.steps()[:number], run)
        return Rewound(self)

    def without(self, cells: Collection[str]) -> tuple[Conversation, tuple[tuple[int, str], ...]]:
        """Remove the turns of deleted cells.

        Parameters
        ----------
        cells
            Ids of the deleted cells. A turn belongs to the cell that asked its question, even if
            another cell has continued its answer.

        Returns
        -------
        conversation : Conversation
            The conversation without these turns.
        removed : tuple
            Numbers, from 1, and labels of the turns that were removed.
        """
        owners = [turn.steps()[0].cell for turn in self.turns]
        numbered = list(zip(range(1, len(owners) + 1), self.turns, owners, strict=True))
        removed = tuple((number, turn.label) for number, turn, cell in numbered if cell in cells)
        remaining = tuple(turn for _, turn, cell in numbered if cell not in cells)
        system = remaining[-1].system if remaining else ""
        return (replace(self, turns=remaining, system=system), removed) if removed else (self, ())

    def without_calls(self) -> Conversation:
        """Return it as a model understands it that calls no functions: questions and answers."""
        return replace(self, turns=tuple(replace(turn, rounds=()) for turn in self.turns))

    def without_unsafe(self, ban_round: int | None, left_out: int) -> Conversation:
        """Remove the turns that the service asked to remove (``need_clear_history``).

        Parameters
        ----------
        ban_round
            Number of the unsafe turn among those that were sent, from 1; it is removed with all
            turns after it. -1 is the question that was just sent, which is not a turn yet
            (Dolly-12B's document). None, if the response has no such number, removes all turns.
        left_out
            Number of turns that were not sent.
        """
        if ban_round == -1:
            return self
        return self.truncate(left_out + ban_round - 1 if ban_round and ban_round > 0 else 0)

    def fit(
        self,
        question: str,
        card: Card | None,
        *,
        max_turns: int | None = None,
        min_turns: int = 0,
        drop: int = 0,
    ) -> Fit:
        """Choose the messages to send with a question: as many of the newest turns as fit.

        Parameters
        ----------
        question
            The next question; it is always sent.
        card
            The model's card, whose limits apply: exact characters, and tokens by Qianfan's rule of
            thumb. None for no limits.
        max_turns
            Largest number of turns to send; None for no such limit.
        min_turns
            Smallest number of turns to send, whatever their length; it takes precedence.
        drop
            How many turns fewer than fit are sent: the service has refused more, since it counts
            tokens exactly.
        """
        count, reason = _newest(self.turns, question + self.system, card, max_turns)
        if drop:
            count, reason = count - drop, tr("the service found more too long")
        count = min(max(count, min_turns), len(self.turns))
        left_out = len(self.turns) - count
        return Fit(_messages(self.turns[left_out:], question), left_out, reason * bool(left_out))

    def _cut(self, index: int, steps: list[Turn], run: CellRun) -> Rewound:
        """Rewind to the turns before an index, and of the turn at that index the given steps."""
        remaining = (*self.turns[:index], *steps[-1:])
        own, others = [], []
        for number, turn in enumerate(self.turns[index:], index + 1):
            if run.had_asked(turn):
                own.append(number)
            elif number > len(remaining):
                others.append((number, turn.label))
        system = remaining[-1].system if remaining else ""
        return Rewound(Conversation(self.name, system, remaining), tuple(own), tuple(others))


def _messages(turns: Collection[Turn], question: str | None) -> list[Message]:
    messages = [message for turn in turns for message in turn.messages()]
    if question is not None:
        messages.append({"role": "user", "content": question})
    return messages


def _newest(
    turns: tuple[Turn, ...], always: str, card: Card | None, max_turns: int | None
) -> tuple[int, str]:
    """Return how many of the newest turns fit, and which limit leaves out the others."""
    # Only newest turns without a gap: an answer must not follow another question.
    limits = list(_limits(always, card))
    for count, turn in enumerate(reversed(turns)):
        if count == max_turns:
            return count, tr("max_turns is {max_turns}", max_turns=max_turns)
        for limit in limits:
            limit.remaining -= limit.size(turn)
            if limit.remaining < 0:
                return count, limit.reason
    return len(turns), ""


@dataclass(slots=True)
class _Limit:
    """What remains of a model's limit, how much of it a turn takes, and its description."""

    remaining: int
    size: Callable[[Turn], int]
    reason: str


def _limits(always: str, card: Card | None) -> Iterator[_Limit]:
    if card and card.max_characters is not None:
        reason = tr(
            "{name} takes at most {max_characters:,} characters",
            name=card.name,
            max_characters=card.max_characters,
        )
        yield _Limit(card.max_characters - len(always), lambda turn: turn.characters, reason)
    if card and card.max_tokens is not None:
        reason = tr(
            "{name} takes at most {max_tokens:,} tokens", name=card.name, max_tokens=card.max_tokens
        )
        remaining = card.max_tokens - estimate_tokens(always)
        yield _Limit(remaining, lambda turn: turn.estimate, reason)

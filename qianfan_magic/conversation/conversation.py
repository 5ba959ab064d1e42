"""A conversation: turns, which of them go along, and nothing of widgets or networks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Message
from qianfan_magic.conversation.turn import CellRun, Turn


@dataclass(frozen=True, slots=True)
class Fit:
    """What of a conversation goes along with a question.

    Attributes
    ----------
    messages
        To be sent, the question the last.
    left_out
        How many of the oldest turns are not sent. They stay in the conversation.
    reason
        Why, in words for the reader; empty if all goes along.
    """

    messages: list[Message]
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rewound:
    """A conversation as it was before a cell, and what that drops.

    Attributes
    ----------
    conversation
        As it was.
    replaced
        Numbers, from 1, of the turns of the cell's own earlier run.
    dropped
        Numbers of the other turns that go, and how their questions begin.
    gone
        Likewise of those whose cells are no longer in the notebook.
    is_unordered
        The order of cells can no longer be told, and the reader has not heard of that.
    """

    conversation: Conversation
    replaced: tuple[int, ...] = ()
    dropped: tuple[tuple[int, str], ...] = ()
    gone: tuple[tuple[int, str], ...] = ()
    is_unordered: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of one name; a value, each change of which is another one.

    The service's rules (an odd number of messages, the user first, no content empty) hold by
    construction: only whole turns are kept, and a question is put behind them.

    Attributes
    ----------
    name
        By which cells find it.
    system
        How the model is to behave; empty leaves it to the service.
    turns
        The oldest first.
    """

    name: str
    system: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def head(self) -> str:
        """The id of the last turn; empty where there is none."""
        return self.turns[-1].id if self.turns else ""

    @property
    def counted(self) -> str:
        """How many turns there are, in words: ``1 turn``, ``2 turns``."""
        return f"{len(self.turns)} turn{'' if len(self.turns) == 1 else 's'}"

    def messages(self, question: str | None = None) -> list[Message]:
        """List what was said, and a question behind it if there is one."""
        return _messages(self.turns, question)

    def append(self, turn: Turn) -> Conversation:
        """Return it with one more turn, whose system text counts from then on."""
        turns = (*self.turns, replace(turn, after=self.head))
        return replace(self, system=turn.system, turns=turns)

    def truncate(self, count: int) -> Conversation:
        """Return it as it was after so many turns; with none, its system text stays."""
        turns = self.turns[: max(count, 0)]
        return replace(self, turns=turns, system=turns[-1].system if turns else self.system)

    def rewind(
        self, run: CellRun, below: Collection[str] = (), *, to_continue: bool = False
    ) -> Rewound:
        """Go back to before a cell was run.

        Parameters
        ----------
        run
            What is about to ask: what the cell's earlier runs asked goes, and all after it.
        below
            Ids of the cells that stand below it: what they asked was asked without it, and goes.
        to_continue
            The cell goes on with an unfinished answer: if that is the last, it stays as it is,
            else only what the cell itself added to it goes.
        """
        turns = self.turns
        if to_continue and turns and turns[-1].is_unfinished and turns[-1].cell not in below:
            return Rewound(self)
        for place, turn in enumerate(turns):
            for number, step in enumerate(turn.steps()):
                own = run.asked_earlier(step) and not (to_continue and number == 0)
                if own or step.cell in below:
                    return self._cut(place, turn.steps()[:number], run)
        return Rewound(self)

    def without(self, cells: Collection[str]) -> tuple[Conversation, tuple[tuple[int, str], ...]]:
        """Forget what cells asked that are gone; return the numbers of those turns, and names."""
        asked = [(number, turn, turn.steps()[0].cell) for number, turn in enumerate(self.turns, 1)]
        gone = tuple((number, turn.label) for number, turn, cell in asked if cell in cells)
        kept = tuple(turn for _, turn, cell in asked if cell not in cells)
        system = kept[-1].system if kept else ""
        return (replace(self, turns=kept, system=system), gone) if gone else (self, ())

    def without_unsafe(self, ban_round: int | None, left_out: int) -> Conversation:
        """Forget what the service asked to forget.

        Parameters
        ----------
        ban_round
            The unsafe turn among those that were sent, from 1: it goes, and those after it. -1 is
            the question that was just asked, which is no turn yet (Dolly-12B's document). None,
            where the service does not say, is all of them.
        left_out
            How many turns were not sent.
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
        """Choose what is sent with a question: the newest turns that there is room for.

        Parameters
        ----------
        question
            What is asked now; always sent.
        card
            Of the model, with its limits: exact characters, and tokens by Qianfan's own estimate.
        most
            So many turns at most; None for no such limit.
        least
            So many turns whatever their length.
        fewer
            So many less than would fit: the service counts otherwise.
        """
        kept, reason = _newest(self.turns, question + self.system, card, max_turns)
        if drop:
            kept, reason = kept - drop, "the service found more too long"
        kept = min(max(kept, min_turns), len(self.turns))
        left_out = len(self.turns) - kept
        return Fit(_messages(self.turns[left_out:], question), left_out, reason * bool(left_out))

    def _cut(self, place: int, steps: list[Turn], run: CellRun) -> Rewound:
        """Keep the turns before a place, and of the turn there what its first steps had made."""
        kept = (*self.turns[:place], *steps[-1:])
        own, others = [], []
        for number, turn in enumerate(self.turns[place:], place + 1):
            if run.had_asked(turn):
                own.append(number)
            elif number > len(kept):
                others.append((number, turn.label))
        system = kept[-1].system if kept else ""
        return Rewound(Conversation(self.name, system, kept), tuple(own), tuple(others))


def _messages(turns: Collection[Turn], question: str | None) -> list[Message]:
    said: list[Message] = []
    for turn in turns:
        said.append({"role": "user", "content": turn.content})
        said.append({"role": "assistant", "content": turn.assistant})
    if question is not None:
        said.append({"role": "user", "content": question})
    return said


def _newest(
    turns: tuple[Turn, ...], always: str, card: Card | None, max_turns: int | None
) -> tuple[int, str]:
    """Count the newest turns for which there is room, and say what ends them."""
    limits = list(_limits(always, card))
    for kept, turn in enumerate(reversed(turns)):
        if kept == max_turns:
            return kept, f"max_turns is {max_turns}"
        for limit in limits:
            limit.room -= limit.of(turn)
            if limit.room < 0:
                return kept, limit.reason
    return len(turns), ""


@dataclass(slots=True)
class _Limit:
    """How much room there still is, of what a turn takes, and how to call it."""

    room: int
    of: Callable[[Turn], int]
    reason: str


def _limits(always: str, card: Card | None) -> Iterator[_Limit]:
    if card and card.max_characters is not None:
        reason = f"{card.name} takes at most {card.max_characters:,} characters"
        yield _Limit(card.max_characters - len(always), lambda turn: turn.characters, reason)
    if card and card.max_tokens is not None:
        reason = f"{card.name} takes at most {card.max_tokens:,} tokens"
        room = card.max_tokens - estimate_tokens(always)
        yield _Limit(room, lambda turn: turn.estimate, reason)

"""A model of conversations, written from the guide's section "Conversations".

`History` is what a kernel's conversation and the records in a notebook are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qianfan_magic.conversation.conversation import Conversation


@dataclass(frozen=True)
class Step:
    """What one run of a cell adds: a question with its answer, or the rest of an answer.

    Attributes
    ----------
    cell
        Id of the cell.
    user, answer
        The question, empty if the cell continues an answer; and the text that arrived.
    stopped, truncated
        Whether the user or the service's limit ended the answer.
    system
        The system prompt with which it was requested.
    results
        What the functions returned that the model called before it answered.
    """

    cell: str
    user: str
    answer: str
    stopped: bool
    truncated: bool
    system: str
    results: tuple[str, ...] = ()

    @property
    def is_unfinished(self) -> bool:
        return self.stopped or self.truncated


#: A step with a question, and the steps that continued its answer.
Turn = tuple[Step, ...]


@dataclass(frozen=True)
class History:
    """One conversation: its system prompt and its turns."""

    system: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def is_unfinished(self) -> bool:
        return bool(self.turns) and self.turns[-1][-1].is_unfinished

    def rewind(self, is_dropped: Callable[[int, Step], bool]) -> History:
        """Drop the first step for which `is_dropped(number in its turn, step)`, and all after."""
        for index, turn in enumerate(self.turns):
            for number, step in enumerate(turn):
                if is_dropped(number, step):
                    rest = (*self.turns[:index], turn[:number]) if number else self.turns[:index]
                    return History(rest[-1][-1].system if rest else "", rest)
        return self

    def first(self, count: int) -> History:
        """Return the first turns."""
        turns = self.turns[:count]
        return History(turns[-1][-1].system if turns else self.system, turns)

    def add(self, step: Step, *, continues: bool) -> History:
        """Add a step to the last turn, or as a new turn."""
        if continues:
            return History(step.system, (*self.turns[:-1], (*self.turns[-1], step)))
        return History(step.system, (*self.turns, (step,)))

    def cells(self) -> list[list[str]]:
        """Return the ids of the cells of each turn."""
        return [[step.cell for step in turn] for turn in self.turns]

    def contents(self) -> list[str]:
        """Return the texts of all messages: question, calls and their results, answer, …"""
        return [text for turn in self.turns for text in messages(turn)]

    def comparable(self) -> tuple[str, list[tuple[Any, ...]]]:
        """Return what must be equal in the kernel, in the notebook's records and here."""
        return self.system, [
            (messages(turn), turn[-1].stopped, turn[-1].truncated, turn[-1].system)
            for turn in self.turns
        ]


def texts(turn: Turn) -> tuple[str, str]:
    """Return a turn's question and its whole answer."""
    return turn[0].user, "".join(step.answer for step in turn)


def messages(turn: Turn) -> list[str]:
    """Return the texts of a turn's messages; that of a call is empty."""
    question, answer = texts(turn)
    return [question, *(text for result in turn[0].results for text in ("", result)), answer]


def comparable(conversation: Conversation) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the same of a conversation of the package as `History.comparable`."""
    return conversation.system, [
        (messages(turn), turn[-1].stopped, turn[-1].truncated, turn[-1].system)
        for turn in history_of(conversation).turns
    ]


def history_of(conversation: Conversation) -> History:
    """Convert a conversation of the package."""
    turns = []
    for turn in conversation.turns:
        steps: list[Step] = []
        for step in turn.steps():
            rest = step.assistant.removeprefix("".join(each.answer for each in steps))
            calls = [call for one in step.rounds for call in one.calls] if not steps else []
            results = tuple(call.result for call in calls)
            ending = (step.stopped, step.truncated)
            steps.append(Step(step.cell, step.user, rest, *ending, step.system, results))
        turns.append(tuple(steps))
    return History(conversation.system, tuple(turns))

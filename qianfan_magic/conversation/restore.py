"""Conversations built again from the records in a saved notebook's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.notebook_file import Output
from qianfan_magic.conversation.record import Head, Record, is_edited, record_from_json
from qianfan_magic.conversation.turn import Turn, excerpt, short_name

#: So many turns that were left out are called by name.
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A turn that a notebook tells.

    Attributes
    ----------
    turn
        With the id of the cell that it stands in.
    number
        Its place in the conversation, from 1.
    clock
        Of its record.
    place
        Of its cell in the notebook, from 1.
    """

    turn: Turn
    number: int
    clock: int
    place: int


@dataclass(slots=True)
class Restoration:
    """What a notebook tells.

    Attributes
    ----------
    conversations
        By name, those without a turn among them.
    lines
        What was restored of each and what was not, for the reader.
    problems
        What cannot be read, or counts otherwise than it looks.
    clock
        The largest of the records.
    ids
        Of all turns that it tells, by conversation.
    """

    conversations: dict[str, Conversation] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    clock: int = 0
    ids: dict[str, set[str]] = field(default_factory=dict)

    @property
    def summary(self) -> list[str]:
        """What was restored, then what was not, then what else a reader should know."""
        first = [lines[0] for lines in self.lines.values()]
        more = [line for lines in self.lines.values() for line in lines[1:]]
        return [*first, *more, *self.problems]

    def lacks(self, conversation: Conversation) -> int:
        """Count the turns of a conversation that the notebook does not tell."""
        ids = self.ids.get(conversation.name, set())
        return sum(turn.id not in ids for turn in conversation.turns)


def restore(outputs: Sequence[Output]) -> Restoration:
    """Build the conversations again as they were when the last record was written.

    Parameters
    ----------
    outputs
        Of the notebook, from the top.
    """
    told = _Notebook()
    for output in outputs:
        told.read(output)
    restored = Restoration(problems=told.problems, clock=told.clock)
    for name, talk in told.talks.items():
        entries, head = talk.replay()
        turns = tuple(entry.turn for entry in entries)
        restored.conversations[name] = Conversation(name, head.system, turns)
        summary = talk.summary(entries, head)
        restored.lines[name] = [f"{short_name(name)}: {line}" for line in summary]
        restored.ids[name] = {*talk.known, *talk.steps}
    return restored


class _Notebook:
    """All that the records of a notebook tell."""

    def __init__(self) -> None:
        self.talks: dict[str, _Talk] = {}
        self.problems: list[str] = []
        self.clock = 0

    def read(self, output: Output) -> None:
        """Take in one record."""
        where = f"Cell {output.place}"
        try:
            record = record_from_json(output.record)
        except InvalidRecord as error:
            self.problems.append(f"{where}: its record was left out, since {error}.")
            return
        self.clock = max(self.clock, record.clock)
        self.problems += [f"{where}: a turn was left out: {why}." for why in record.unreadable]
        for name, head in record.heads.items():
            talk = self.talks.setdefault(name, _Talk())
            talk.heads.append((record.clock, output.place, head))
        for number, first in self._take_turns(record, output):
            self.problems.append(
                f"{where}: turn {number} stands in cell {first} too; it counts once."
            )
        if record.turns and is_edited(output.record, output.text):
            self.problems.append(
                f"{where}: the text that is shown was edited; the answer counts as it came."
            )

    def _take_turns(self, record: Record, output: Output) -> Iterable[tuple[int, int]]:
        """Keep the turns of a record; give the number and cell of those that were copied."""
        for told in record.turns:
            talk = self.talks[told.conversation]
            entry = Entry(_placed(told.turn, output), told.number, record.clock, output.place)
            first = talk.known.setdefault(told.id, entry)
            talk.known.setdefault(entry.turn.id, first)
            for step in entry.turn.steps()[:-1]:
                talk.steps.setdefault(step.id, replace(entry, turn=step))
            if first.place != output.place and first.clock == record.clock:
                yield told.number, first.place


@dataclass(slots=True)
class _Talk:
    """What the records tell of one conversation.

    Attributes
    ----------
    known
        Turns by their ids.
    steps
        Those that others complete, by their ids.
    heads
        Where it stood, with the clock of the record and the place of its cell.
    """

    known: dict[str, Entry] = field(default_factory=dict)
    steps: dict[str, Entry] = field(default_factory=dict)
    heads: list[tuple[int, int, Head]] = field(default_factory=list)

    def replay(self) -> tuple[list[Entry], Head]:
        """Follow the conversation from record to record; return its turns, and its last head."""
        entries: list[Entry] = []
        in_time = [head for *_, head in sorted(self.heads, key=lambda one: one[:2])]
        for head in in_time:
            entries = self._reach(entries, head)
        head = in_time[-1]
        return entries, replace(head, system=entries[-1].turn.system) if entries else head

    def summary(self, entries: Sequence[Entry], head: Head) -> Iterable[str]:
        """Say what was restored and what was not."""
        with_system = f", with the system text {excerpt(head.system)}" if head.system else ""
        yield f"{len(entries)} turn{'s' * (len(entries) != 1)} restored{with_system}."
        gone = [short_name(one.name) for entry in entries for one in entry.turn.pictures]
        if gone:
            called = ", ".join(gone[:MOST_NAMED]) + ", \u2026" * (len(gone) > MOST_NAMED)
            yield f"A notebook keeps no pictures: later questions go without {called}."
        numbers = [0, *(entry.number for entry in entries), head.count + 1]
        for number, following in pairwise(numbers):
            if following == number + 2:
                yield f"turn {number + 1} is missing from the notebook."
            elif following > number + 2:
                yield f"turns {number + 1} to {following - 1} are missing from the notebook."
        kept = {step.id for entry in entries for step in entry.turn.steps()}
        left = [one for one in dict.fromkeys(self.known.values()) if one.turn.id not in kept]
        if left:
            named = [f"turn {one.number} ({one.turn.label}, cell {one.place})" for one in left]
            more = [f"{len(left) - MOST_NAMED} more"] * (len(left) > MOST_NAMED)
            listed = ", ".join(named[:MOST_NAMED] + more)
            yield f"left out, since the conversation had gone back: {listed}."

    def _reach(self, entries: list[Entry], head: Head) -> list[Entry]:
        """Return the turns up to a head, from where the conversation stood before."""
        if entries and entries[-1].turn.id == head.id:
            return entries
        places = {entry: place for place, entry in enumerate(entries)}
        id_, number, behind = head.id, head.count, list[Entry]()
        entry = self._find(id_)
        while entry is not None and entry not in places:
            behind.append(entry)
            id_, number = entry.turn.after, entry.number - 1
            entry = self._find(id_)
        if entry is not None:
            before = entries[: places[entry] + 1]
        else:
            # The turn that should stand there is gone; those before it are as they were.
            before = [one for one in entries if id_ and one.number < number]
        return before + behind[::-1]

    def _find(self, id_: str) -> Entry | None:
        return self.known.get(id_) or self.steps.get(id_)


def _placed(turn: Turn, output: Output) -> Turn:
    """Return a turn with the id of the cell that it stands in; its steps likewise."""
    cell = turn.cell if turn.cell in output.cells else output.cell
    return replace(turn, cell=cell, continues=turn.continues and _placed(turn.continues, output))

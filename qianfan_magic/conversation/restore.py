"""Conversations rebuilt from the records in a saved notebook's outputs.

The heads of all records are followed in the order of their clocks, as if the requests were made
again: each head leads back through its turns (`Turn.after`) to one where the conversation stood
before. Outputs may be missing, copied, edited or forged; a turn is restored whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.notebook_file import Output
from qianfan_magic.conversation.record import Head, Record, record_from_json
from qianfan_magic.conversation.turn import Turn, excerpt, short_name
from qianfan_magic.language import tr, trn

__all__ = ["Entry", "Restoration", "restore"]

#: Largest number of turns that were left out, and of images, that the summary names.
_MAX_NAMED = 5
#: Largest number of problems that the summary names: a forged notebook may have any number.
_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A recorded turn, with where it was found.

    Attributes
    ----------
    turn
        The turn, with the id of the cell whose output holds it.
    number
        Its number in the conversation, from 1.
    clock
        Clock of its record.
    place
        Position of the cell in the notebook, from 1.
    """

    turn: Turn
    number: int
    clock: int
    place: int


@dataclass(slots=True)
class Restoration:
    """The conversations of a notebook.

    Attributes
    ----------
    conversations
        Conversations by name, including those without turns.
    lines
        For each of them, lines for the user: what was restored, then what was not.
    problems
        Further lines: which records are invalid, copied or edited.
    clock
        The largest clock of a record.
    ids
        Ids of all recorded turns by conversation, whether restored or not.
    """

    conversations: dict[str, Conversation] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    clock: int = 0
    ids: dict[str, set[str]] = field(default_factory=dict)

    @property
    def summary(self) -> list[str]:
        """Lines for the user: what was restored, what was not, and then problems."""
        restored = [lines[0] for lines in self.lines.values()]
        missing = [line for lines in self.lines.values() for line in lines[1:]]
        more = len(self.problems) - _MAX_PROBLEMS
        unnamed = [tr("… and {count} more of these.", count=more)] if more > 0 else []
        return [*restored, *missing, *self.problems[:_MAX_PROBLEMS], *unnamed]

    def lacks(self, conversation: Conversation) -> int:
        """Count the turns of a conversation that the notebook has no record of."""
        ids = self.ids.get(conversation.name, set())
        return sum(turn.id not in ids for turn in conversation.turns)


def restore(outputs: Sequence[Output]) -> Restoration:
    """Rebuild the conversations as they were when the last record was made.

    Parameters
    ----------
    outputs
        Outputs of the notebook, from top to bottom.

    Examples
    --------
    >>> restore([]).conversations
    {}
    """
    records = _Records()
    for output in outputs:
        records.read(output)
    restored = Restoration(problems=records.problems, clock=records.clock)
    for name, history in records.histories.items():
        entries, head = history.replay()
        turns = tuple(entry.turn for entry in entries)
        restored.conversations[name] = Conversation(name, head.system, turns)
        summary = history.summary(entries, head)
        restored.lines[name] = [f"{short_name(name)}: {line}" for line in summary]
        restored.ids[name] = {*history.known, *history.steps}
    return restored


class _Records:
    """All records of a notebook, sorted by conversation."""

    def __init__(self) -> None:
        self.histories: dict[str, _History] = {}
        self.problems: list[str] = []
        self.clock = 0

    def read(self, output: Output) -> None:
        """Add the record of an output."""
        where = f"Cell {output.place}"
        try:
            record = record_from_json(output.record, output.text)
        except InvalidRecord as error:
            self.problems.append(
                tr("{where}: its record was left out, since {error}.", where=where, error=error)
            )
            return
        self.clock = max(self.clock, record.clock)
        self.problems += [
            tr("{where}: a turn was left out: {why}.", where=where, why=why)
            for why in record.unreadable
        ]
        for name, head in record.heads.items():
            history = self.histories.setdefault(name, _History())
            history.heads.append((record.clock, output.place, head))
        for number, first in self._add_turns(record, output):
            self.problems.append(
                tr(
                    "{where}: turn {number} is in cell {first} too; it is restored once.",
                    where=where,
                    number=number,
                    first=first,
                )
            )

    def _add_turns(self, record: Record, output: Output) -> Iterable[tuple[int, int]]:
        """Add the turns of a record; yield the number and first cell of those that are copies."""
        for recorded in record.turns:
            history = self.histories[recorded.conversation]
            turn = _in_cell(recorded.turn, output)
            entry = Entry(turn, recorded.number, record.clock, output.place)
            first = history.known.setdefault(recorded.id, entry)
            # The ids differ where a key was not masked yet; turns may name it by either.
            history.known.setdefault(entry.turn.id, first)
            for step in entry.turn.steps()[:-1]:
                history.steps.setdefault(step.id, replace(entry, turn=step))
            # A copied cell has the clock of the original. With another clock, the turn was
            # recorded again, as --append and "%qianfan load" do.
            if first.place != output.place and first.clock == record.clock:
                yield recorded.number, first.place


@dataclass(slots=True)
class _History:
    """All records of one conversation.

    Attributes
    ----------
    known
        Turns by their ids.
    steps
        Unfinished turns that others continue, by their ids.
    heads
        Heads of the conversation, each with the clock of its record and the position of its cell.
    """

    known: dict[str, Entry] = field(default_factory=dict)
    steps: dict[str, Entry] = field(default_factory=dict)
    heads: list[tuple[int, int, Head]] = field(default_factory=list)

    def replay(self) -> tuple[list[Entry], Head]:
        """Follow the heads in the order of their clocks; return the turns and the last head."""
        entries: list[Entry] = []
        in_order = [head for *_, head in sorted(self.heads, key=lambda head: head[:2])]
        for head in in_order:
            entries = self._reach(entries, head)
        head = in_order[-1]
        # The last turn's own system message, which its id protects: a head is easily forged.
        return entries, replace(head, system=entries[-1].turn.system) if entries else head

    def summary(self, entries: Sequence[Entry], head: Head) -> Iterable[str]:
        """Yield a line on what was restored, then lines on what was not."""
        with_system = (
            tr(", with the system text {excerpt}", excerpt=excerpt(head.system))
            if head.system
            else ""
        )
        yield trn(
            "{count} turn restored{with_system}.",
            "{count} turns restored{with_system}.",
            len(entries),
            with_system=with_system,
        )
        images = [short_name(image.name) for entry in entries for image in entry.turn.pictures]
        if images:
            listed = ", ".join(images[:_MAX_NAMED]) + ", \u2026" * (len(images) > _MAX_NAMED)
            yield tr(
                "A notebook keeps no pictures: later questions go without {listed}.", listed=listed
            )
        yield from _gaps([0, *(entry.number for entry in entries), head.count + 1])
        restored = {step.id for entry in entries for step in entry.turn.steps()}
        known = dict.fromkeys(self.known.values())  # each entry once: it may have two ids
        left_out = [entry for entry in known if entry.turn.id not in restored]
        if left_out:
            named = [
                tr(
                    "turn {number} ({label}, cell {place})",
                    number=e.number,
                    label=e.turn.label,
                    place=e.place,
                )
                for e in left_out
            ]
            more = [f"{len(left_out) - _MAX_NAMED} more"] * (len(left_out) > _MAX_NAMED)
            listed = ", ".join(named[:_MAX_NAMED] + more)
            yield tr("left out, since the conversation had been rewound: {listed}.", listed=listed)

    def _reach(self, entries: list[Entry], head: Head) -> list[Entry]:
        """Return the turns up to a head, starting from those up to the head before it."""
        if entries and entries[-1].turn.id == head.id:
            return entries
        indices = {entry: index for index, entry in enumerate(entries)}
        id_, number, newer = head.id, head.count, list[Entry]()
        entry = self._find(id_)
        # Ends, since each entry is passed once: no turn can name itself through a digest.
        while entry is not None and entry not in indices:
            newer.append(entry)
            id_, number = entry.turn.after, entry.number - 1
            entry = self._find(id_)
        if entry is not None:
            older = entries[: indices[entry] + 1]
        else:
            # The output with the turn of this number is gone; the turns before it are unchanged.
            older = [existing for existing in entries if id_ and existing.number < number]
        return older + newer[::-1]

    def _find(self, id_: str) -> Entry | None:
        """Return a turn, or a step of one, by its id."""
        return self.known.get(id_) or self.steps.get(id_)


def _gaps(numbers: Sequence[int]) -> Iterable[str]:
    """Yield a line for each gap in a sequence of turn numbers."""
    for number, following in pairwise(numbers):
        if following == number + 2:
            yield tr("turn {number} is missing from the notebook.", number=number + 1)
        elif following > number + 2:
            yield tr(
                "turns {first} to {last} are missing from the notebook.",
                first=number + 1,
                last=following - 1,
            )


def _in_cell(turn: Turn, output: Output) -> Turn:
    """Return a turn and its steps with the id of a cell that the notebook has.

    The recorded cell may have been copied, and the original deleted; a notebook from before
    format 4.5 gets new ids when it is saved.
    """
    cell = turn.cell if turn.cell in output.cells else output.cell
    return replace(turn, cell=cell, continues=turn.continues and _in_cell(turn.continues, output))

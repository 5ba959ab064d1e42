"""Conversations as JSON: in the metadata of a notebook's outputs, and in a file of their own.

The output of an answer carries a record: the version of the format, the turns that the output
shows, the head of each conversation (its last turn) at that time, and a clock. A turn names the
one before it by a digest of the whole conversation up to there, as commits of Git do. So the
records of a notebook tell which turns belong together, in whatever order the cells were run.

The clock is a Lamport clock [1]_: each new record gets a larger number than all records that the
kernel has made or seen in the notebook. It orders records that no other clock orders, since a
notebook is edited on several computers, and its cells are run out of order. One extension: a
front end may hold records of an earlier kernel that were never saved, and that this one cannot
see. Therefore, where cells have ids, a kernel begins with the time in milliseconds instead of 0.
A forged record with a clock in the far future would win over all later ones, so a clock that is
ahead of this computer's time by more than `MAX_SKEW` is refused.

Records are untrusted, like all of a notebook: they are validated field by field.

.. [1] L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System",
   Communications of the ACM 21(7), 1978.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qianfan_magic.api.types import LARGEST_COUNT
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import (
    InvalidRecord,
    count_field,
    nonempty_field,
    text_field,
    typed_field,
)
from qianfan_magic.conversation.turn import Turn, short_name
from qianfan_magic.conversation.turn_json import (
    ShownText,
    masked_json,
    turn_beside,
    turn_from_json,
    turn_to_json,
)
from qianfan_magic.language import tr
from qianfan_magic.masking import mask_known

__all__ = [
    "KEY",
    "MAX_NAMES",
    "MAX_SKEW",
    "VERSION",
    "Head",
    "Record",
    "RecordedTurn",
    "check_version",
    "clock_of",
    "conversation_from_json",
    "conversation_to_json",
    "record_beside",
    "record_from_json",
    "record_to_json",
]

#: Version of the format of records and files. It changes only if an older reader would misread the
#: new format, not for fields that it may ignore.
VERSION = 1
#: Key of a record in an output's metadata, by the package's name as nbformat asks for.
KEY = "qianfan_magic"
#: Largest number of conversations that a record may name: each gets lines in the summary.
MAX_NAMES = 1_000
#: Largest number of milliseconds (one day) that a record's clock may be ahead of this computer's.
MAX_SKEW = 86_400_000


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a conversation when a record was made.

    Attributes
    ----------
    id
        Id of its last turn; empty if it had no turns.
    count
        Number of its turns.
    system
        Its system message.
    """

    id: str
    count: int
    system: str


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A turn in a record.

    Attributes
    ----------
    conversation
        Name of its conversation.
    number
        Its number in the conversation, from 1.
    id
        Its id, as recorded.
    turn
        The turn.
    """

    conversation: str
    number: int
    id: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one output.

    Attributes
    ----------
    clock
        Lamport clock, larger than that of all records before it.
    heads
        Heads of conversations by name.
    turns
        The recorded turns that are valid.
    unreadable
        For each invalid turn, what is wrong with it.
    """

    clock: int
    heads: Mapping[str, Head]
    turns: tuple[RecordedTurn, ...] = ()
    unreadable: tuple[str, ...] = ()


def record_to_json(
    clock: int, heads: Iterable[Conversation], recorded: Iterable[tuple[Conversation, int]]
) -> dict[str, Any]:
    """Return the metadata of an output with a record.

    Parameters
    ----------
    clock
        Lamport clock, larger than that of all records before.
    heads
        Conversations whose heads are recorded.
    recorded
        Turns to record, each as its conversation and its index there.
    """
    turns = []
    for conversation, index in recorded:
        turn = conversation.turns[index]
        position = {"conversation": conversation.name, "turn": index + 1, "id": turn.id}
        turns.append({**masked_json(position), **turn_to_json(turn)})
    systems = {turn["id"]: turn.get("system", "") for turn in turns}
    written: dict[str, Any] = {"version": VERSION, "clock": clock, "heads": {}}
    for conversation in heads:
        head = {"id": conversation.head, "turns": len(conversation.turns)}
        system = mask_known(conversation.system)
        # The turn that the head names has the system message, too.
        told = {} if system == systems.get(conversation.head, "") else {"system": system}
        written["heads"][mask_known(conversation.name)] = head | told
    return {KEY: {**written, "turns": turns} if turns else written}


def record_from_json(written: Any, shown: str = "") -> Record:
    """Return the record that `record_to_json` wrote; an invalid turn leaves the others.

    Parameters
    ----------
    written
        Untrusted JSON.
    shown
        The ``text/plain`` of the output that carries it.

    Raises
    ------
    InvalidRecord
        If it is of another version, or its clock or heads are invalid.
    """
    check_version(written)
    heads = typed_field(written, "heads", Mapping, default={})
    recorded, unreadable = [], []
    text = ShownText(shown)
    for turn in typed_field(written, "turns", list, default=[]):
        try:
            recorded.append(_recorded_turn(turn, text, heads))
        except InvalidRecord as error:
            unreadable.append(str(error))
    systems = {one.id: one.turn.system for one in recorded}
    if len(heads) > MAX_NAMES:
        raise InvalidRecord(tr("it names more than {max_names} conversations", max_names=MAX_NAMES))
    return Record(
        clock_of(written),
        {
            nonempty_field({"name": name}, "name"): _head(head, systems)
            for name, head in heads.items()
        },
        tuple(recorded),
        tuple(unreadable),
    )


def record_beside(shown: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an output, its turns without the texts that the output shows.

    Parameters
    ----------
    shown
        The output's ``text/plain``.
    metadata
        Metadata with a record, as `record_to_json` returns it; or none.
    """
    if not metadata.get(KEY, {}).get("turns"):
        return dict(metadata)
    record = metadata[KEY]
    return {KEY: {**record, "turns": [turn_beside(shown, turn) for turn in record["turns"]]}}


def check_version(written: Any) -> None:
    """Raise `InvalidRecord` for a record or file of another version."""
    version = written.get("version") if isinstance(written, Mapping) else None
    if version == VERSION and not isinstance(version, bool):
        return
    # A forged version may be of any length and type: it is named only if it can be one.
    known = type(version) is int and 0 < version < LARGEST_COUNT
    named = version if known else "(unknown)"
    raise InvalidRecord(
        tr(
            "it is of version {named}, and this package reads {version}",
            named=named,
            version=VERSION,
        )
    )


def conversation_to_json(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation as JSON for a file, with the data of its images."""
    written = {"name": conversation.name, "system": conversation.system}
    return {
        **masked_json(written),
        "turns": [turn_to_json(turn, whole=True) for turn in conversation.turns],
    }


def conversation_from_json(written: Any) -> Conversation:
    """Return the conversation that `conversation_to_json` wrote.

    Raises
    ------
    InvalidRecord
        If it or any of its turns is invalid; the message names the turn.
    """
    if not isinstance(written, Mapping):
        raise InvalidRecord(tr("a conversation is not a JSON object"))
    name = nonempty_field(written, "name")
    conversation = Conversation(name, text_field(written, "system"))
    for number, item in enumerate(typed_field(written, "turns", list, default=None), 1):
        try:
            turn = turn_from_json(item)
        except InvalidRecord as error:
            raise InvalidRecord(
                tr(
                    "turn {number} of {short_name!r}: {error}",
                    number=number,
                    short_name=short_name(name),
                    error=error,
                )
            ) from None
        if conversation.turns:
            # A file may be edited by hand; ids are then no longer those that `after` names.
            turn = replace(turn, after=conversation.head)
        turns = (*conversation.turns, turn)
        conversation = replace(conversation, system=turn.system, turns=turns)
    return conversation


def clock_of(written: Any) -> int:
    """Return the clock of a record; raise `InvalidRecord` if it is invalid or in the future."""
    clock = count_field(written, "clock")
    if clock > time.time_ns() // 1_000_000 + MAX_SKEW:
        raise InvalidRecord(tr("its clock is ahead of this computer's"))
    return clock


def _recorded_turn(written: Any, shown: ShownText, heads: Mapping[str, Any]) -> RecordedTurn:
    turn = turn_from_json(written, shown)
    id_, name = text_field(written, "id"), nonempty_field(written, "conversation")
    # The second id is that of a turn recorded before the package knew a key in its text, so that
    # nothing was masked.
    if id_ not in (turn.id, turn.digest(str)):
        raise InvalidRecord(tr("it, or the text of its output, has been edited"))
    if name not in heads:
        raise InvalidRecord(tr("its record has no head of its conversation"))
    return RecordedTurn(name, count_field(written, "turn"), id_, turn)


def _head(written: Any, systems: Mapping[str, str]) -> Head:
    id_, system = text_field(written, "id"), text_field(written, "system")
    return Head(id_, count_field(written, "turns"), system or systems.get(id_, ""))

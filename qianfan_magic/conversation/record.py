"""Conversations as JSON: in the metadata of a notebook's outputs, and in a file of their own.

An answer's output carries a record: the version of this form, the turns that it shows, the head
of each conversation (its last turn) as it was then, and a clock that counts the records. A turn
names the one before it by a digest of all that was said until then, so that a notebook's records
tell by themselves which of them belong together, in whatever order its cells were run.

What is read may come from anybody: it is checked, and nothing in it is believed to be small.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import (
    LARGEST_COUNT,
    InvalidRecord,
    count_field,
    nonempty_field,
    text_field,
    typed_field,
)
from qianfan_magic.conversation.turn import Turn, digest, short_name
from qianfan_magic.conversation.turn_json import masked_json, turn_from_json, turn_to_json
from qianfan_magic.masking import mask_known

#: Of records and files; raised when a reader of the old form would misread the new one.
VERSION = 1
#: The key in an output's metadata.
KEY = "qianfan_magic"
#: Conversations that a record tells of at most.
MOST_NAMES = 1_000
#: Milliseconds by which the clocks of two computers may differ.
LARGEST_SKEW = 86_400_000


@dataclass(frozen=True, slots=True)
class Head:
    """Where a conversation stood.

    Attributes
    ----------
    id
        Of its last turn; empty where it had none.
    count
        How many turns it had.
    system
        Its system text.
    """

    id: str
    count: int
    system: str


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A turn as a record tells it: of which conversation, the how manieth, and under which id."""

    conversation: str
    number: int
    id: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class Record:
    """What one output carries.

    Attributes
    ----------
    clock
        Larger than that of any record before it.
    heads
        By conversation.
    turns
        That it tells.
    unreadable
        Why others of its turns cannot be read.
    """

    clock: int
    heads: Mapping[str, Head]
    turns: tuple[RecordedTurn, ...] = ()
    unreadable: tuple[str, ...] = ()


def record_to_json(
    clock: int, heads: Iterable[Conversation], told: Iterable[tuple[Conversation, int]]
) -> dict[str, Any]:
    """Write a record.

    Parameters
    ----------
    clock
        Larger than that of any record before.
    heads
        The conversations whose heads it tells.
    told
        The turns that it tells: conversation and place in it, from 0.
    """
    turns = []
    for conversation, place in told:
        turn = conversation.turns[place]
        named = {"conversation": conversation.name, "turn": place + 1, "id": turn.id}
        turns.append({**masked_json(named), **turn_to_json(turn)})
    written: dict[str, Any] = {"version": VERSION, "clock": clock}
    written["heads"] = {
        mask_known(one.name): {
            "id": one.head,
            "turns": len(one.turns),
            "system": mask_known(one.system),
        }
        for one in heads
    }
    return {KEY: {**written, "turns": turns} if turns else written}


def record_from_json(written: Any) -> Record:
    """Read a record.

    Raises
    ------
    InvalidRecord
        If it is of another version, or not what `record_to_json` writes.
    """
    check_version(written)
    heads = typed_field(written, "heads", Mapping, default={})
    told, unreadable = [], []
    for turn in typed_field(written, "turns", list, default=[]):
        try:
            told.append(_told(turn, heads))
        except InvalidRecord as error:
            unreadable.append(str(error))
    if len(heads) > MOST_NAMES:
        raise InvalidRecord(f"it names more than {MOST_NAMES} conversations")
    return Record(
        clock_of(written),
        {nonempty_field({"name": name}, "name"): _head(head) for name, head in heads.items()},
        tuple(told),
        tuple(unreadable),
    )


def with_digest(metadata: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Add a digest of the text that is shown with a record, by which later edits are told."""
    return {KEY: {**metadata[KEY], "shown": digest(text)}} if metadata else {}


def is_edited(written: Mapping[str, Any], text: str) -> bool:
    """Tell whether the text that stands with a record is another than was shown."""
    return bool(written.get("shown", digest(text)) != digest(text))


def check_version(written: Any) -> None:
    """Refuse what another version of this package wrote."""
    version = written.get("version") if isinstance(written, Mapping) else None
    if version == VERSION and not isinstance(version, bool):
        return
    known = type(version) is int and 0 < version < LARGEST_COUNT
    named = version if known else "(unknown)"
    raise InvalidRecord(f"it is of version {named}, and this package reads {VERSION}")


def conversation_to_json(conversation: Conversation) -> dict[str, Any]:
    """Write a conversation down for a file of its own."""
    written = {"name": conversation.name, "system": conversation.system}
    return {
        **masked_json(written),
        "turns": [turn_to_json(turn, whole=True) for turn in conversation.turns],
    }


def conversation_from_json(written: Any) -> Conversation:
    """Read a conversation.

    Raises
    ------
    InvalidRecord
        Says what is wrong, and with which turn.
    """
    if not isinstance(written, Mapping):
        raise InvalidRecord("a conversation is no JSON object")
    name = nonempty_field(written, "name")
    read = Conversation(name, text_field(written, "system"))
    for number, one in enumerate(typed_field(written, "turns", list, default=None), 1):
        try:
            turn = turn_from_json(one)
        except InvalidRecord as error:
            raise InvalidRecord(f"turn {number} of {short_name(name)!r}: {error}") from None
        # Each names the one before it, also where somebody has edited the file.
        turn = replace(turn, after=read.head) if read.turns else turn
        read = replace(read, system=turn.system, turns=(*read.turns, turn))
    return read


def clock_of(written: Any) -> int:
    """Return the clock of a record, which does not run ahead of this computer's.

    A stranger's record with a clock from the future would win over all that is honest.
    """
    clock = count_field(written, "clock")
    if clock > time.time_ns() // 1_000_000 + LARGEST_SKEW:
        raise InvalidRecord("its clock is ahead of this computer's")
    return clock


def _told(written: Any, heads: Mapping[str, Any]) -> RecordedTurn:
    turn = turn_from_json(written)
    id_, name = text_field(written, "id"), nonempty_field(written, "conversation")
    # A text that was saved before a key in it was known is told as it was.
    if id_ not in (turn.id, turn.digest(str)):
        raise InvalidRecord("it has been edited by hand")
    if name not in heads:
        raise InvalidRecord("its record does not tell where the conversation stood")
    return RecordedTurn(name, count_field(written, "turn"), id_, turn)


def _head(written: Any) -> Head:
    return Head(
        text_field(written, "id"), count_field(written, "turns"), text_field(written, "system")
    )

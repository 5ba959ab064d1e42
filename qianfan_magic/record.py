"""Conversations as JSON: in the metadata of a notebook's outputs, and in a file of their own.

An answer's output carries a record: the version of this form, the turns that it shows, the head
of each conversation (its last turn) as it was then, and a clock that counts the records. A turn
names the one before it by a digest of all that was said until then, so that a notebook's records
tell by themselves which of them belong together, in whatever order its cells were run.

What is read may come from anybody: it is checked, and nothing in it is believed to be small.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qianfan_magic.checked import (
    LARGEST_COUNT,
    Unreadable,
    count_of,
    mark_of,
    of_type,
    said_of,
    short,
    text_of,
)
from qianfan_magic.conversation import Conversation
from qianfan_magic.masking import mask_known
from qianfan_magic.turn import Attached, Turn, digest

#: Of records and files; raised when a reader of the old form would misread the new one.
VERSION = 1
#: The key in an output's metadata.
KEY = "qianfan_magic"
#: Conversations that a record tells of at most.
MOST_NAMES = 1_000
#: Milliseconds by which the clocks of two computers may differ.
LARGEST_SKEW = 86_400_000
#: An answer goes on that often at most.
MOST_STEPS = 100


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
class Told:
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
    turns: tuple[Told, ...] = ()
    unreadable: tuple[str, ...] = ()


def turn_to_json(turn: Turn, *, whole: bool = False) -> dict[str, Any]:
    """Write a turn down, without what is empty; a key that it quotes is masked.

    Parameters
    ----------
    turn
        To be written.
    whole
        With its pictures; else only what they are called goes into the notebook.
    """
    tokens = dict(zip(("prompt", "completion"), turn.tokens, strict=True))
    written = {
        "system": turn.system,
        "user": turn.user,
        "assistant": turn.assistant,
        "reasoning": turn.reasoning,
        "pictures": [
            {"name": one.name, "digest": one.digest} | ({"url": one.url} if whole else {})
            for one in turn.pictures
        ],
        "stopped": turn.stopped,
        "truncated": turn.truncated,
        "model": turn.model,
        "parameters": dict(turn.parameters),
        "tokens": tokens if any(turn.tokens) else {},
        "cell": turn.cell,
        "after": turn.after,
        "continues": turn_to_json(turn.continues, whole=whole) if turn.continues else {},
    }
    empty: tuple[Any, ...] = ("", {}, [], False)
    return {name: _masked(value) for name, value in written.items() if value not in empty}


def turn_from_json(written: Any, steps: int = MOST_STEPS) -> Turn:
    """Read a turn.

    Parameters
    ----------
    written
        As `turn_to_json` writes it.
    steps
        How often its answer may have gone on.

    Raises
    ------
    Unreadable
        If anything is missing or of the wrong type.
    """
    if not isinstance(written, Mapping):
        raise Unreadable("it is no JSON object")
    tokens = of_type(written, "tokens", Mapping, default={})
    continues = written.get("continues")
    if continues and not steps:
        raise Unreadable(f"its answer goes on more than {MOST_STEPS} times")
    return Turn(
        said_of(written, "user"),
        said_of(written, "assistant"),
        stopped=mark_of(written, "stopped"),
        truncated=mark_of(written, "truncated"),
        system=text_of(written, "system"),
        model=text_of(written, "model"),
        cell=text_of(written, "cell"),
        after=text_of(written, "after"),
        reasoning=text_of(written, "reasoning"),
        pictures=tuple(map(_picture, of_type(written, "pictures", list, default=[]))),
        parameters=_parameters(written),
        tokens=(count_of(tokens, "prompt"), count_of(tokens, "completion")),
        continues=turn_from_json(continues, steps - 1) if continues else None,
    )


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
        turns.append({**_masked(named), **turn_to_json(turn)})
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
    Unreadable
        If it is of another version, or not what `record_to_json` writes.
    """
    check_version(written)
    heads = of_type(written, "heads", Mapping, default={})
    told, unreadable = [], []
    for turn in of_type(written, "turns", list, default=[]):
        try:
            told.append(_told(turn, heads))
        except Unreadable as error:
            unreadable.append(str(error))
    if len(heads) > MOST_NAMES:
        raise Unreadable(f"it names more than {MOST_NAMES} conversations")
    return Record(
        clock_of(written),
        {said_of({"name": name}, "name"): _head(head) for name, head in heads.items()},
        tuple(told),
        tuple(unreadable),
    )


def sealed(metadata: Mapping[str, Any], text: str) -> dict[str, Any]:
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
    raise Unreadable(f"it is of version {named}, and this package reads {VERSION}")


def conversation_to_json(conversation: Conversation) -> dict[str, Any]:
    """Write a conversation down for a file of its own."""
    written = {"name": conversation.name, "system": conversation.system}
    return {
        **_masked(written),
        "turns": [turn_to_json(turn, whole=True) for turn in conversation.turns],
    }


def conversation_from_json(written: Any) -> Conversation:
    """Read a conversation.

    Raises
    ------
    Unreadable
        Says what is wrong, and with which turn.
    """
    if not isinstance(written, Mapping):
        raise Unreadable("a conversation is no JSON object")
    name = said_of(written, "name")
    read = Conversation(name, text_of(written, "system"))
    for number, one in enumerate(of_type(written, "turns", list, default=None), 1):
        try:
            turn = turn_from_json(one)
        except Unreadable as error:
            raise Unreadable(f"turn {number} of {short(name)!r}: {error}") from None
        # Each names the one before it, also where somebody has edited the file.
        turn = replace(turn, after=read.head) if read.turns else turn
        read = replace(read, system=turn.system, turns=(*read.turns, turn))
    return read


def clock_of(written: Any) -> int:
    """Return the clock of a record, which does not run ahead of this computer's.

    A stranger's record with a clock from the future would win over all that is honest.
    """
    clock = count_of(written, "clock")
    if clock > time.time_ns() // 1_000_000 + LARGEST_SKEW:
        raise Unreadable("its clock is ahead of this computer's")
    return clock


def _told(written: Any, heads: Mapping[str, Any]) -> Told:
    turn = turn_from_json(written)
    id_, name = text_of(written, "id"), said_of(written, "conversation")
    # A text that was saved before a key in it was known is told as it was.
    if id_ not in (turn.id, turn.digest(str)):
        raise Unreadable("it has been edited by hand")
    if name not in heads:
        raise Unreadable("its record does not tell where the conversation stood")
    return Told(name, count_of(written, "turn"), id_, turn)


def _head(written: Any) -> Head:
    return Head(text_of(written, "id"), count_of(written, "turns"), text_of(written, "system"))


def _picture(written: Any) -> Attached:
    if not isinstance(written, Mapping):
        raise Unreadable("a picture of it is no JSON object")
    url = text_of(written, "url")
    if url and not re.fullmatch(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", url):
        raise Unreadable("a picture of it has an address that is no data")
    return Attached(said_of(written, "name"), said_of(written, "digest"), url)


def _masked(value: Any) -> Any:
    """Mask the keys that a JSON value quotes, however deep."""
    if isinstance(value, str):
        return mask_known(value)
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list | tuple) else value


def _parameters(written: Any) -> dict[str, Any]:
    """Read parameters, which are numbers and texts, or lists of texts."""
    parameters = of_type(written, "parameters", Mapping, default={})
    read: dict[str, Any] = {}
    for name, value in parameters.items():
        text_of({"name": name}, "name")
        if isinstance(value, list):
            read[name] = [text_of({"stop": one}, "stop") for one in value]
        elif isinstance(value, str):
            read[name] = text_of(parameters, name)
        elif isinstance(value, int | float) and abs(value) < LARGEST_COUNT:
            read[name] = value
        else:
            raise Unreadable(f"the parameter {short(name)} is neither number nor text")
    return read

"""A turn as JSON; what is read may come from anybody, and is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from qianfan_magic.masking import mask_known
from qianfan_magic.turn import Attached, Turn

#: An answer goes on that often at most.
MOST_STEPS = 100


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
    return {name: masked_json(value) for name, value in written.items() if value not in empty}


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


def _picture(written: Any) -> Attached:
    if not isinstance(written, Mapping):
        raise Unreadable("a picture of it is no JSON object")
    url = text_of(written, "url")
    if url and not re.fullmatch(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", url):
        raise Unreadable("a picture of it has an address that is no data")
    return Attached(said_of(written, "name"), said_of(written, "digest"), url)


def masked_json(value: Any) -> Any:
    """Mask the keys that a JSON value quotes, however deep."""
    if isinstance(value, str):
        return mask_known(value)
    if isinstance(value, dict):
        return {name: masked_json(one) for name, one in value.items()}
    return [masked_json(one) for one in value] if isinstance(value, list | tuple) else value


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

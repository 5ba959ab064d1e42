"""A turn as JSON; what is read may come from anybody, and is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qianfan_magic.conversation.json_fields import (
    LARGEST_COUNT,
    InvalidRecord,
    bool_field,
    count_field,
    nonempty_field,
    text_field,
    typed_field,
)
from qianfan_magic.conversation.turn import ImageAttachment, Turn, short_name
from qianfan_magic.masking import mask_known

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
    InvalidRecord
        If anything is missing or of the wrong type.
    """
    if not isinstance(written, Mapping):
        raise InvalidRecord("it is no JSON object")
    tokens = typed_field(written, "tokens", Mapping, default={})
    continues = written.get("continues")
    if continues and not steps:
        raise InvalidRecord(f"its answer goes on more than {MOST_STEPS} times")
    return Turn(
        nonempty_field(written, "user"),
        nonempty_field(written, "assistant"),
        stopped=bool_field(written, "stopped"),
        truncated=bool_field(written, "truncated"),
        system=text_field(written, "system"),
        model=text_field(written, "model"),
        cell=text_field(written, "cell"),
        after=text_field(written, "after"),
        reasoning=text_field(written, "reasoning"),
        pictures=tuple(map(_picture, typed_field(written, "pictures", list, default=[]))),
        parameters=_parameters(written),
        tokens=(count_field(tokens, "prompt"), count_field(tokens, "completion")),
        continues=turn_from_json(continues, steps - 1) if continues else None,
    )


def _picture(written: Any) -> ImageAttachment:
    if not isinstance(written, Mapping):
        raise InvalidRecord("a picture of it is no JSON object")
    url = text_field(written, "url")
    if url and not re.fullmatch(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", url):
        raise InvalidRecord("a picture of it has an address that is no data")
    return ImageAttachment(nonempty_field(written, "name"), nonempty_field(written, "digest"), url)


def masked_json(value: Any) -> Any:
    """Mask the keys that a JSON value quotes, however deep."""
    if isinstance(value, str):
        return mask_known(value)
    if isinstance(value, dict):
        return {name: masked_json(one) for name, one in value.items()}
    return [masked_json(one) for one in value] if isinstance(value, list | tuple) else value


def _parameters(written: Any) -> dict[str, Any]:
    """Read parameters, which are numbers and texts, or lists of texts."""
    parameters = typed_field(written, "parameters", Mapping, default={})
    read: dict[str, Any] = {}
    for name, value in parameters.items():
        text_field({"name": name}, "name")
        if isinstance(value, list):
            read[name] = [text_field({"stop": one}, "stop") for one in value]
        elif isinstance(value, str):
            read[name] = text_field(parameters, name)
        elif isinstance(value, int | float) and abs(value) < LARGEST_COUNT:
            read[name] = value
        else:
            raise InvalidRecord(f"the parameter {short_name(name)} is neither number nor text")
    return read

"""Turns as JSON. What is read is untrusted: it is validated field by field.

A notebook's output shows most of what its record would repeat: the answer and its reasoning. There
a turn has, for example, ``"assistant_at": "12..518"`` instead of ``assistant``: the text stands in
the output's ``text/plain``, from character 12 to before character 518. The id of the turn, which
is a digest, shows whether it still stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.types import LARGEST_COUNT, ToolCall, ToolRound
from qianfan_magic.api.wire.search_results import read_search_results, search_result_json
from qianfan_magic.conversation.json_fields import (
    InvalidRecord,
    bool_field,
    count_field,
    nonempty_field,
    text_field,
    typed_field,
)
from qianfan_magic.conversation.turn import ImageAttachment, Turn, short_name
from qianfan_magic.language import tr
from qianfan_magic.masking import mask_known

__all__ = [
    "MAX_STEPS",
    "ShownText",
    "masked_json",
    "turn_beside",
    "turn_from_json",
    "turn_to_json",
]

#: Largest number of times that an answer may be continued. Reading is recursive, and a forged
#: record may be nested as deep as Python's stack.
MAX_STEPS = 100
#: Fields whose text an output may show.
_SHOWN = ("assistant", "reasoning")
_PLACE = re.compile("([0-9]{1,9})[.][.]([0-9]{1,9})")
#: How many times its length an output's text may be taken in all, for an answer that was continued
#: holds it once for each step; and characters that may be taken beyond, of short texts.
_TIMES_TAKEN, _TAKEN_BEYOND = 10, 1_000_000


class ShownText:
    """The text of an output, whose parts stand for texts of the turns recorded there.

    A forged record may name the same long part for thousands of turns, so that a small file would
    fill the memory. Therefore all parts together are limited.

    Parameters
    ----------
    text
        The output's ``text/plain``.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = _TIMES_TAKEN * len(text) + _TAKEN_BEYOND

    def part(self, start: int, end: int) -> str:
        """Return a part of the text; raise `InvalidRecord` if there is none, or too many."""
        if end > len(self._text):
            raise InvalidRecord(tr("the text of its output has been edited"))
        self._left -= max(end - start, 0)
        if self._left < 0:
            raise InvalidRecord(tr("its record holds the text of its output too many times"))
        return self._text[start:end]


def turn_to_json(turn: Turn, *, whole: bool = False) -> dict[str, Any]:
    """Return a turn as JSON, without empty fields and with known secrets masked.

    Parameters
    ----------
    turn
        The turn.
    whole
        Include the data of its images. A notebook gets only their names and digests, since each
        image would be saved again with every record.

    Examples
    --------
    >>> turn_to_json(Turn("Who built it?", "The Ming."))
    {'user': 'Who built it?', 'assistant': 'The Ming.'}
    """
    tokens = dict(zip(("prompt", "completion"), turn.tokens, strict=True))
    written = {
        "system": turn.system,
        "user": turn.user,
        "assistant": turn.assistant,
        "reasoning": turn.reasoning,
        "sources": [search_result_json(source) for source in turn.sources],
        "pictures": [
            {"name": image.name, "digest": image.digest} | ({"url": image.url} if whole else {})
            for image in turn.pictures
        ],
        "rounds": [_round_json(one) for one in turn.rounds],
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


def turn_beside(shown: str, written: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return the JSON of a turn without what an output shows anyway.

    Parameters
    ----------
    shown
        The output's ``text/plain``.
    written
        The turn, as `turn_to_json` wrote it.

    Examples
    --------
    >>> turn_beside("[Answer]\n\nThe Ming.", {"user": "Who built it?", "assistant": "The Ming."})
    {'user': 'Who built it?', 'assistant_at': '10..19'}
    """
    shorter: dict[str, Any] = {}
    for name, value in written.items():
        if name == "continues":
            shorter[name] = turn_beside(shown, value)
        elif name in _SHOWN and value in shown:
            start = shown.index(value)
            shorter[f"{name}_at"] = f"{start}..{start + len(value)}"
        else:
            shorter[name] = value
    return shorter


def turn_from_json(written: Any, shown: str | ShownText = "", steps: int = MAX_STEPS) -> Turn:
    """Return the turn that `turn_to_json` wrote; unknown fields are ignored.

    Parameters
    ----------
    written
        Untrusted JSON.
    shown
        The text of the output that it was read from.
    steps
        How many continuations its answer may still have.

    Raises
    ------
    InvalidRecord
        If a field is missing or of the wrong type.
    """
    if not isinstance(written, Mapping):
        raise InvalidRecord(tr("it is not a JSON object"))
    shown = ShownText(shown) if isinstance(shown, str) else shown
    tokens = typed_field(written, "tokens", Mapping, default={})
    continues = written.get("continues")
    if continues and not steps:
        raise InvalidRecord(
            tr("its answer was continued more than {max_steps} times", max_steps=MAX_STEPS)
        )
    return Turn(
        nonempty_field(written, "user"),
        nonempty_field({"assistant": _shown_field(written, "assistant", shown)}, "assistant"),
        stopped=bool_field(written, "stopped"),
        truncated=bool_field(written, "truncated"),
        system=text_field(written, "system"),
        model=text_field(written, "model"),
        cell=text_field(written, "cell"),
        after=text_field(written, "after"),
        reasoning=_shown_field(written, "reasoning", shown),
        sources=read_search_results({"search_results": written.get("sources")}),
        pictures=tuple(map(_image, typed_field(written, "pictures", list, default=[]))),
        rounds=tuple(map(_round, typed_field(written, "rounds", list, default=[]))),
        parameters=_parameters(written),
        tokens=(count_field(tokens, "prompt"), count_field(tokens, "completion")),
        continues=turn_from_json(continues, shown, steps - 1) if continues else None,
    )


def _shown_field(written: Mapping[str, Any], name: str, shown: ShownText) -> str:
    """Return a text field, or the text at the place in the output that stands for it."""
    place = text_field(written, f"{name}_at")
    if not place:
        return text_field(written, name)
    found = _PLACE.fullmatch(place)
    if found is None:
        raise InvalidRecord(tr("'{name}_at' is not a place in a text", name=name))
    start, end = map(int, found.groups())
    return text_field({name: shown.part(start, end)}, name)


def _image(written: Any) -> ImageAttachment:
    if not isinstance(written, Mapping):
        raise InvalidRecord(tr("one of its pictures is not a JSON object"))
    url = text_field(written, "url")
    # The URL is sent to the service and shown as HTML: it must neither lead elsewhere nor end the
    # attribute.
    if url and not re.fullmatch(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", url):
        raise InvalidRecord(tr("one of its pictures has an address that is not image data"))
    return ImageAttachment(nonempty_field(written, "name"), nonempty_field(written, "digest"), url)


def _round_json(one: ToolRound) -> dict[str, Any]:
    calls = [
        {"id": call.id, "name": call.name, "arguments": call.arguments, "result": call.result}
        | ({"error": True} if call.is_error else {})
        for call in one.calls
    ]
    return {"calls": calls} | ({"text": one.text} if one.text else {})


def _round(written: Any) -> ToolRound:
    calls = [
        ToolCall(
            nonempty_field(call, "name"),
            text_field(call, "arguments"),
            nonempty_field(call, "result"),
            nonempty_field(call, "id"),
            is_error=bool_field(call, "error"),
        )
        for call in typed_field(written, "calls", list, default=[])
    ]
    if not calls:
        raise InvalidRecord(tr("one of its rounds of calls is empty"))
    if len({call.id for call in calls}) < len(calls):
        raise InvalidRecord(tr("two of its calls have the same id"))
    return ToolRound(tuple(calls), text_field(written, "text"))


def masked_json(value: Any) -> Any:
    """Return a JSON value in which all known secrets are masked, at any depth."""
    if isinstance(value, str):
        return mask_known(value)
    if isinstance(value, dict):
        return {name: masked_json(inner) for name, inner in value.items()}
    return [masked_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def _parameters(written: Any) -> dict[str, Any]:
    """Return parameters, each of them a number, a string or a list of strings."""
    parameters = typed_field(written, "parameters", Mapping, default={})
    read: dict[str, Any] = {}
    for name, value in parameters.items():
        _text(name)
        if isinstance(value, list):
            read[name] = [_text(item) for item in value]
        elif isinstance(value, str):
            read[name] = _text(value)
        # NaN fails the comparison: it is not JSON, and front ends refuse to save it.
        elif isinstance(value, int | float) and abs(value) < LARGEST_COUNT:
            read[name] = value
        else:
            raise InvalidRecord(
                tr(
                    "the parameter {short_name} is neither a number nor a text",
                    short_name=short_name(name),
                )
            )
    return read


def _text(value: Any) -> str:
    # The parameter's own name, which may be of any length, does not go into the message.
    return text_field({"parameter": value}, "parameter")

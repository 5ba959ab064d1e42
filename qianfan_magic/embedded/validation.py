"""What both versions of the API refuse, each with its own codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qianfan_magic.api.catalogue.parameters import PARAMETERS, is_supported
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.embedded.faults import Refusal
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCodes:
    """What a version of the API calls the faults of a body.

    Attributes
    ----------
    version
        Of the API.
    no_json
        It cannot be read.
    missing
        It is no object, or lacks what is asked.
    wrong
        A value has the wrong type or is out of range.
    characters, tokens
        There are too many.
    """

    version: ApiVersion
    no_json: int | str
    missing: int | str
    wrong: int | str
    characters: int | str
    tokens: int | str


def read_json(sent: bytes, codes: ErrorCodes) -> dict[str, Any]:
    """Read a body, which must be an object."""
    try:
        body = json.loads(sent)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no JSON text
    except (ValueError, RecursionError):
        raise Refusal(codes.no_json, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise Refusal(codes.missing, "Invalid Argument")
    return body


def read_bool(body: Mapping[str, Any], name: str, codes: ErrorCodes) -> bool:
    """Read a switch, which is off where it is absent."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refusal(codes.wrong, f"the type of {name} must be bool")
    return value


def read_text(text: Any, name: str, codes: ErrorCodes) -> str:
    """Read a prompt or a content."""
    if text is None:
        raise Refusal(codes.missing, f"Invalid Argument: {name} is required")
    if not isinstance(text, str):
        raise Refusal(codes.wrong, f"the type of {name} must be string")
    if not text.strip():
        raise Refusal(codes.wrong, f"{name} can not be empty")
    return text


def read_list(messages: Any, codes: ErrorCodes) -> list[dict[str, Any]]:
    """Read a list of at least one message, none of them looked at."""
    if messages is None:
        raise Refusal(codes.missing, "Invalid Argument: messages is required")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise Refusal(codes.wrong, "the type of messages must be list of message")
    if not messages:
        raise Refusal(codes.wrong, "messages can not be empty")
    return messages


def read_parameters(body: Mapping[str, Any], kind: Kind, codes: ErrorCodes) -> dict[str, Any]:
    """Check what the table knows; like the service, pass over what it does not.

    Returns
    -------
    dict
        By the table's names.
    """
    read = {}
    for parameter in PARAMETERS:
        if not is_supported(parameter, kind, codes.version):
            continue
        row = parameter.within(codes.version)
        name = parameter.support[codes.version].wire or parameter.name
        if name not in body:
            continue
        try:
            read[row.name] = row.check(body[name])
        except ParameterError:
            raise Refusal(codes.wrong, f"{name} must be {row.range}") from None
    return read


def check_length(question: ServerRequest, codes: ErrorCodes) -> None:
    """Hold a question against the limits of its model's card."""
    card = question.card
    if card.max_characters and question.characters > card.max_characters:
        raise Refusal(codes.characters, f"the max input characters is {card.max_characters}")
    tokens = sum(map(estimate_tokens, question.texts))
    if card.max_tokens and tokens > card.max_tokens:
        raise Refusal(codes.tokens, f"the max input tokens is {card.max_tokens}")

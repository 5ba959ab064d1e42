"""Validation that both versions share; each responds with its own error codes.

It is as strict as the API documents, and like the service ignores unknown fields. Every function
here raises a `ServiceError` with one of the given `ErrorCodes` for an invalid value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qianfan_magic.api.catalogue.parameters import PARAMETERS, is_supported
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.errors import ParameterError

__all__ = [
    "ErrorCodes",
    "check_length",
    "parse_json_object",
    "read_bool",
    "read_messages",
    "read_parameters",
    "read_text",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCodes:
    """The error codes of one API version for an invalid body.

    Attributes
    ----------
    version
        The API version.
    malformed
        The body is not JSON.
    missing
        The body is not an object, or a required field is missing.
    invalid
        A value has the wrong type or is out of range.
    too_many_characters, too_many_tokens
        The texts exceed a limit of the model.
    """

    version: ApiVersion
    malformed: int | str
    missing: int | str
    invalid: int | str
    too_many_characters: int | str
    too_many_tokens: int | str


def parse_json_object(content: bytes, codes: ErrorCodes) -> dict[str, Any]:
    """Parse a body, which must be a JSON object."""
    try:
        body = json.loads(content)
        # Python's parser accepts a lone surrogate ("\ud800"); UTF-8 cannot encode it.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ServiceError(codes.malformed, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise ServiceError(codes.missing, "Invalid Argument")
    return body


def read_bool(body: Mapping[str, Any], name: str, codes: ErrorCodes) -> bool:
    """Return a Boolean field; False, the default, if it is absent."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise ServiceError(codes.invalid, f"the type of {name} must be bool")
    return value


def read_text(text: Any, name: str, codes: ErrorCodes) -> str:
    """Return a required text, such as a prompt or a message's content, that is not blank."""
    if text is None:
        raise ServiceError(codes.missing, f"Invalid Argument: {name} is required")
    if not isinstance(text, str):
        raise ServiceError(codes.invalid, f"the type of {name} must be string")
    if not text.strip():
        raise ServiceError(codes.invalid, f"{name} can not be empty")
    return text


def read_messages(messages: Any, codes: ErrorCodes) -> list[dict[str, Any]]:
    """Return a list of at least one message; the messages themselves are not validated."""
    if messages is None:
        raise ServiceError(codes.missing, "Invalid Argument: messages is required")
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise ServiceError(codes.invalid, "the type of messages must be list of message")
    if not messages:
        raise ServiceError(codes.invalid, "messages can not be empty")
    return messages


def read_parameters(body: Mapping[str, Any], kind: Kind, codes: ErrorCodes) -> dict[str, Any]:
    """Validate the parameters that the service supports, and ignore all other fields.

    Returns
    -------
    dict
        Parameters by their names in the table, which may differ from those in the body.
    """
    parameters = {}
    for row in PARAMETERS:
        if not is_supported(row, kind, codes.version):
            continue
        parameter = row.within(codes.version)
        name = row.support[codes.version].wire or row.name
        if name not in body:
            continue
        try:
            parameters[row.name] = parameter.check(body[name])
        except ParameterError:
            raise ServiceError(codes.invalid, f"{name} must be {parameter.range}") from None
    return parameters


def check_length(request: ServerRequest, codes: ErrorCodes) -> None:
    """Raise a `ServiceError` if a request exceeds its model's limits."""
    card = request.card
    if card.max_characters and request.characters > card.max_characters:
        message = f"the max input characters is {card.max_characters}"
        raise ServiceError(codes.too_many_characters, message)
    tokens = sum(map(estimate_tokens, request.texts))
    if card.max_tokens and tokens > card.max_tokens:
        raise ServiceError(codes.too_many_tokens, f"the max input tokens is {card.max_tokens}")

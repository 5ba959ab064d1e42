"""Validation of version 2's requests, by its API documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from qianfan_magic.api.catalogue.cards import Card, package_cards
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire.v2 import ROLES
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.images import ReceivedImage, read_image
from qianfan_magic.embedded.request import ServerRequest, ToolResult
from qianfan_magic.embedded.validation import (
    ErrorCodes,
    check_length,
    parse_json_object,
    read_bool,
    read_messages,
    read_parameters,
    read_text,
)

__all__ = ["CODES", "models_of", "parse_request"]

_CARDS = {
    card.model or card.name: card for card in package_cards() if card.version == ApiVersion.V2
}
CODES = ErrorCodes(
    version=ApiVersion.V2,
    malformed="malformed_json",
    missing="invalid_argument",
    invalid="invalid_argument",
    too_many_characters="characters_too_long",
    too_many_tokens="tokens_too_long",
)
#: Within messages, the service has a code of its own.
_MESSAGE_CODES = replace(CODES, missing="invalid_messages", invalid="invalid_messages")
#: Names of a JSON schema, as OpenAI's document of ``response_format`` states them.
SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Types of the parameters that the table describes only as JSON.
_TYPES: dict[str, Any] = {"tools": list, "tool_choice": str | dict}


def models_of(cards: Iterable[Card] = ()) -> dict[str, Card]:
    """Return the models that are served, by the names that requests use.

    They are the service's, without those that have ended; or the engine's own alone, since its
    answers must not bear another model's name.
    """
    own = {card.name: card for card in cards if card.version == ApiVersion.V2}
    return own or {name: card for name, card in _CARDS.items() if card.ends is None}


def parse_request(
    kind: Kind, content: bytes, seed: int, cards: Iterable[Card] = ()
) -> ServerRequest:
    """Validate a request.

    Parameters
    ----------
    kind
        The kind of service that the path stands for.
    content
        The body.
    seed
        The server's seed.
    cards
        Cards of the engine's own model, which is then the only one.

    Raises
    ------
    ServiceError
        With the service's error code and HTTP status code.
    """
    body = parse_json_object(content, CODES)
    card = _read_model(body.get("model"), kind, models_of(cards))
    stream = read_bool(body, "stream", CODES)
    include_usage = _read_stream_options(body, stream=stream)
    schema = _read_schema(body.get("response_format"))
    if kind == "chat":
        texts = _read_messages(body.get("messages"), card) | {"tools": _read_tools(body)}
        if texts["tools"] and card.tools is False:
            raise ServiceError(CODES.invalid, "the model does not support tools")
        body = _to_table(body, card)
    else:
        texts = {"messages": (read_text(body.get("prompt"), "prompt", CODES),)}
    parameters = read_parameters(body, kind, CODES)
    asked = parameters.get("enable_thinking", card.defaults.get("enable_thinking"))
    thinks = card.thinks == "always" or bool(card.thinks and asked)
    request = ServerRequest(
        card=card,
        kind=kind,
        parameters=parameters,
        seed=seed,
        stream=stream,
        include_usage=include_usage,
        schema=schema if kind == "chat" else None,
        thinks=thinks and not texts.get("prefix"),  # an answer that has begun was thought about
        **texts,
    )
    check_length(request, CODES)
    return request


def _read_model(name: Any, kind: Kind, models: Mapping[str, Card]) -> Card:
    if not isinstance(name, str) or not name:
        raise ServiceError("invalid_model", "model is empty")
    if name in _CARDS and _CARDS[name].ends is not None:
        raise ServiceError("model_offline", "The model has been taken offline.", 403)
    if name not in models:
        message = "The model does not exist or you do not have access to it."
        if len(models) == 1:
            message = f"This server has {next(iter(models))} alone: leave -m out"
        raise ServiceError("invalid_model", message, 401)
    if kind not in models[name].kinds:
        raise ServiceError("invalid_model", f"The model does not support {kind}")
    return models[name]


def _read_stream_options(body: dict[str, Any], *, stream: bool) -> bool:
    """Return whether the last chunk is to contain the token usage."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise ServiceError(CODES.invalid, "stream_options is allowed only when stream is true")
    if not isinstance(options, dict):
        raise ServiceError(CODES.invalid, "the type of stream_options must be object")
    return read_bool(options, "include_usage", CODES)


def _read_tools(body: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Validate ``tools``; return the functions that they declare."""
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise ServiceError(CODES.invalid, "the type of tools is wrong")
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in tools]
    for function in functions:
        if not (isinstance(function, dict) and isinstance(function.get("name"), str)):
            raise ServiceError(CODES.invalid, "tools must be functions with a name")
    return tuple(function for function in functions if function)


def _read_schema(value: Any) -> dict[str, Any] | None:
    """Validate ``response_format`` of the type ``json_schema``; return the schema."""
    if not isinstance(value, dict) or value.get("type") != "json_schema":
        return None
    described = value.get("json_schema")
    if not isinstance(described, dict):
        raise ServiceError(CODES.invalid, "the type of json_schema must be object")
    name = described.get("name")
    if not isinstance(name, str) or not SCHEMA_NAME.fullmatch(name):
        raise ServiceError(CODES.invalid, "json_schema.name must match [A-Za-z0-9_-]{1,64}")
    if not isinstance(described.get("schema"), dict):
        raise ServiceError(CODES.invalid, "the type of json_schema.schema must be object")
    read_bool(described, "strict", CODES)
    return dict(described["schema"])


def _to_table(body: dict[str, Any], card: Card) -> dict[str, Any]:
    """Return a chat's body with its structured parameters as the parameter table has them.

    Reasoning is enabled by ``enable_thinking`` or by ``thinking``, depending on the model, which
    ignores the other of the two.
    """
    flat = dict(body)
    if "response_format" in body:
        flat["response_format"] = _type_of(body, "response_format")
        if flat["response_format"] == "json_schema":  # not in the table: `ServerRequest.schema`
            del flat["response_format"]
    if "web_search" in body:
        flat |= _read_web_search(body["web_search"])
    if card.thinks == "thinking":
        flat.pop("enable_thinking", None)
        if "thinking" in body:
            state = _type_of(body, "thinking")
            if state not in ("enabled", "disabled"):  # a tuple: the state may not be hashable
                raise ServiceError(CODES.invalid, "thinking.type must be enabled or disabled")
            flat["enable_thinking"] = state == "enabled"
    flat.pop("system", None)  # version 2 has a message instead of the table's parameter
    for name, type_ in _TYPES.items():
        if name in body and not isinstance(body[name], type_):
            raise ServiceError(CODES.invalid, f"the type of {name} is wrong")
    return flat


def _read_web_search(value: Any) -> dict[str, Any]:
    """Return the parameters of a web search as the parameter table has them."""
    if not isinstance(value, dict):
        raise ServiceError(CODES.invalid, "the type of web_search is wrong")
    for name in ("enable", "enable_citation", "enable_trace"):
        read_bool(value, name, CODES)
    fields = {name: value[name] for name in ("search_mode", "search_number") if name in value}
    return {"web_search": bool(value.get("enable")), **fields}


def _type_of(body: dict[str, Any], name: str) -> Any:
    if not isinstance(body[name], dict):
        raise ServiceError(CODES.invalid, f"the type of {name} must be object")
    return body[name].get("type")


def _read_messages(value: Any, card: Card) -> dict[str, Any]:
    """Validate messages; return the fields of `ServerRequest` that they determine."""
    messages = read_messages(value, _MESSAGE_CODES)
    contents = [_read_message(message, number) for number, message in enumerate(messages)]
    prefix = ""
    if _read_prefix(messages[-1], card):
        prefix = contents.pop()[0]
        messages = messages[:-1]
    if not messages or messages[-1]["role"] not in {"user", "tool"}:
        raise ServiceError(_MESSAGE_CODES.invalid, "the last message must be of user or tool")
    if not card.sees and any(images for _, images in contents):
        raise ServiceError(CODES.invalid, "the model does not support image_url")
    has_system = messages[0]["role"] == "system"
    texts = tuple(text for text, _ in contents)
    return {
        "system": texts[0] if has_system else "",
        "messages": texts[1:] if has_system else texts,
        "images": contents[-1][1],
        "prefix": prefix,
        "tool_results": _tool_results(messages, texts),
    }


def _tool_results(messages: list[dict[str, Any]], texts: tuple[str, ...]) -> tuple[ToolResult, ...]:
    """Return the results of calls at the end; each follows the message that asked for it."""
    count = 0
    while messages[-1 - count]["role"] == "tool":
        count += 1
        if count == len(messages):
            raise ServiceError(_MESSAGE_CODES.invalid, "a tool message follows a call")
    if not count:
        return ()
    listed = messages[-1 - count].get("tool_calls") or []
    calls = {str(call.get("id")): call.get("function") for call in listed if isinstance(call, dict)}
    results = []
    for message, text in zip(messages[-count:], texts[len(texts) - count :], strict=True):
        call = calls.get(message["tool_call_id"])
        if not isinstance(call, dict):
            raise ServiceError(_MESSAGE_CODES.invalid, "a tool message follows its call")
        results.append(ToolResult(str(call.get("name")), str(call.get("arguments")), text))
    return tuple(results)


def _read_prefix(message: dict[str, Any], card: Card) -> bool:
    """Return whether a message is the beginning of the answer."""
    if message["role"] != "assistant" or not read_bool(message, "prefix", _MESSAGE_CODES):
        return False
    if not card.prefix:
        raise ServiceError(CODES.invalid, "the model does not support prefix")
    read_text(message.get("content"), "content", _MESSAGE_CODES)
    return True


def _read_message(message: dict[str, Any], number: int) -> tuple[str, tuple[ReceivedImage, ...]]:
    """Return the text and the images of a message."""
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or (role == "system" and number > 0):
        raise ServiceError(_MESSAGE_CODES.invalid, f"the role of message {number} is wrong")
    if role == "tool":
        read_text(message.get("tool_call_id"), "tool_call_id", _MESSAGE_CODES)
    if role == "assistant" and not content and _has_tool_calls(message):
        return "", ()
    if not isinstance(content, list):
        return read_text(content, "content", _MESSAGE_CODES), ()
    if not content:
        raise ServiceError(_MESSAGE_CODES.invalid, "content can not be empty")
    parts = [_read_part(part, role) for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts), tuple(part for part in parts if isinstance(part, ReceivedImage))


def _has_tool_calls(message: dict[str, Any]) -> bool:
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise ServiceError(_MESSAGE_CODES.invalid, "the type of tool_calls must be list")
    return bool(calls)


def _read_part(part: Any, role: str) -> str | ReceivedImage:
    type_ = part.get("type") if isinstance(part, dict) else None
    if type_ == "text":
        return read_text(part.get("text"), "text", _MESSAGE_CODES)
    if type_ == "image_url" and role == "user":
        image = part.get("image_url")
        return read_image(image.get("url") if isinstance(image, dict) else None)
    message = f"the role {role} does not allow a content part of this type"
    raise ServiceError(_MESSAGE_CODES.invalid, message)

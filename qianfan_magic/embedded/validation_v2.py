"""What version 2 refuses, with its code, its status and in its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qianfan_magic.api.catalogue.cards import CARDS, Card
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire.v2 import ROLES
from qianfan_magic.embedded.faults import Refusal
from qianfan_magic.embedded.images import ReceivedImage, read_image
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.validation import (
    ErrorCodes,
    check_length,
    read_bool,
    read_json,
    read_list,
    read_parameters,
    read_text,
)

#: The models that are served, by their names on the wire.
MODELS = {card.model or card.name: card for card in CARDS if card.version == ApiVersion.V2}
CODES = ErrorCodes(
    version=ApiVersion.V2,
    no_json="malformed_json",
    missing="invalid_argument",
    wrong="invalid_argument",
    characters="characters_too_long",
    tokens="tokens_too_long",
)


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A checked body: what is asked, and how it is to be answered."""

    question: ServerRequest
    stream: bool
    include_usage: bool


def read_question(kind: Kind, sent: bytes, seed: int) -> ParsedRequest:
    """Check a body by the rules of the service's documents.

    Raises
    ------
    Refusal
        With the code, status and words of the service.
    """
    body = read_json(sent, CODES)
    card = _read_model(body.get("model"), kind)
    stream = read_bool(body, "stream", CODES)
    include_usage = _read_stream_options(body, stream=stream)
    if kind == "chat":
        asked = _read_messages(body.get("messages"), card)
    else:
        asked = {"messages": (read_text(body.get("prompt"), "prompt", CODES),)}
    flat = _flat(body, card) if kind == "chat" else body
    parameters = read_parameters(flat, kind, CODES)
    question = ServerRequest(
        card=card,
        kind=kind,
        parameters=parameters,
        seed=seed,
        thinks=card.thinks == "always" or bool(card.thinks and parameters.get("enable_thinking")),
        **asked,
    )
    check_length(question, CODES)
    return ParsedRequest(question, stream, include_usage)


def _read_model(name: Any, kind: Kind) -> Card:
    if not isinstance(name, str) or not name:
        raise Refusal("invalid_model", "model is empty")
    if name not in MODELS:
        described = "The model does not exist or you do not have access to it."
        raise Refusal("invalid_model", described, 401)
    if kind not in MODELS[name].kinds:
        raise Refusal("invalid_model", f"The model does not support {kind}")
    return MODELS[name]


def _read_stream_options(body: dict[str, Any], *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise Refusal(CODES.wrong, "stream_options is allowed only when stream is true")
    if not isinstance(options, dict):
        raise Refusal(CODES.wrong, "the type of stream_options must be object")
    return read_bool(options, "include_usage", CODES)


def _flat(body: dict[str, Any], card: Card) -> dict[str, Any]:
    """Check what has a shape of its own, and write it as the table has it.

    Each model knows one of the two switches for thinking, and passes over the other.
    """
    flat = dict(body)
    if "response_format" in body:
        flat["response_format"] = _type_in(body, "response_format")
    if card.thinks == "thinking":
        flat.pop("enable_thinking", None)
        if "thinking" in body:
            state = _type_in(body, "thinking")
            if state not in ("enabled", "disabled"):  # not of a set: it may have no hash
                raise Refusal(CODES.wrong, "thinking.type must be enabled or disabled")
            flat["enable_thinking"] = state == "enabled"
    flat.pop("system", None)  # a message, and no parameter
    for name, shape in _SHAPES.items():
        if name in body and not isinstance(body[name], shape):
            raise Refusal(CODES.wrong, f"the type of {name} is wrong")
    return flat


#: Of what the table knows only as JSON.
_SHAPES: dict[str, Any] = {"web_search": dict, "tools": list, "tool_choice": str | dict}


def _type_in(body: dict[str, Any], name: str) -> Any:
    if not isinstance(body[name], dict):
        raise Refusal(CODES.wrong, f"the type of {name} must be object")
    return body[name].get("type")


def _read_messages(sent: Any, card: Card) -> dict[str, Any]:
    """Check messages; return what `ServerRequest` keeps of them."""
    try:
        messages = read_list(sent, CODES)
        read = [_read_message(message, place) for place, message in enumerate(messages)]
    except Refusal as refused:
        is_ours = refused.error_code == CODES.wrong
        code = "invalid_messages" if is_ours else refused.error_code
        raise Refusal(code, refused.error_msg) from None
    if messages[-1]["role"] not in {"user", "tool"}:
        raise Refusal("invalid_messages", "the last message must be of user or tool")
    if not card.sees and any(pictures for _, pictures in read):
        raise Refusal("invalid_argument", "the model does not support image_url")
    has_system = messages[0]["role"] == "system"
    texts = tuple(text for text, _ in read)
    return {
        "system": texts[0] if has_system else "",
        "messages": texts[1:] if has_system else texts,
        "pictures": read[-1][1],
    }


def _read_message(message: dict[str, Any], place: int) -> tuple[str, tuple[ReceivedImage, ...]]:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or (role == "system" and place):
        raise Refusal("invalid_messages", f"the role of message {place} is wrong")
    if role == "tool":
        read_text(message.get("tool_call_id"), "tool_call_id", CODES)
    if role == "assistant" and not content and _has_calls(message):
        return "", ()
    if not isinstance(content, list):
        return read_text(content, "content", CODES), ()
    if not content:
        raise Refusal("invalid_messages", "content can not be empty")
    parts = [_read_part(part, role) for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts), tuple(part for part in parts if isinstance(part, ReceivedImage))


def _has_calls(message: dict[str, Any]) -> bool:
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise Refusal("invalid_messages", "the type of tool_calls must be list")
    return bool(calls)


def _read_part(part: Any, role: str) -> str | ReceivedImage:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return read_text(part.get("text"), "text", CODES)
    if kind == "image_url" and role == "user":
        image = part.get("image_url")
        return read_image(image.get("url") if isinstance(image, dict) else None)
    raise Refusal("invalid_messages", f"a part of content has a type that {role} may not have")

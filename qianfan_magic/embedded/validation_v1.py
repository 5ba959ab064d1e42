"""Validation of version 1's requests, by the API documents of its models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qianfan_magic.api.catalogue.cards import Card, package_cards
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire import v1
from qianfan_magic.embedded.faults import ServiceError
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

__all__ = ["CODES", "MODELS", "parse_request"]

#: The models that are served, by the last part of their endpoints' names: when a model is
#: deployed, Qianfan's console puts a prefix before it (``ngxxxol8_dolly_12b``).
MODELS = {
    card.endpoint or card.key: card
    for card in package_cards()
    if card.version == ApiVersion.V1
    and (
        card.key in {"dolly_12b", "starcoder", "aquilacode_multi", "stablelm_alpha_7b"}
        or card.tools
    )
}
_KINDS: dict[str, Kind] = {folder: kind for kind, folder in v1.FOLDERS.items()}
CODES = ErrorCodes(
    version=ApiVersion.V1,
    malformed=336002,
    missing=336001,
    invalid=336003,
    too_many_characters=336007,
    too_many_tokens=336103,
)


def parse_request(
    folder: str, endpoint: str, content: bytes, seed: int, cards: Iterable[Card] = ()
) -> ServerRequest:
    """Validate a request.

    Parameters
    ----------
    folder, endpoint
        The last two parts of the path.
    content
        The body.
    seed
        The server's seed.
    cards
        Cards of the engine's own model, which is then the only one.

    Raises
    ------
    ServiceError
        With the service's error code.
    """
    kind = _KINDS[folder]
    own = [card for card in cards if card.version == ApiVersion.V1]
    served = {card.endpoint: card for card in own} or MODELS
    card = next((card for name, card in served.items() if endpoint.endswith(name)), None)
    if card is None or kind not in card.kinds:
        raise ServiceError(336005, "API name not exist")
    body = parse_json_object(content, CODES)
    stream = read_bool(body, "stream", CODES)
    parameters = read_parameters(body, kind, CODES)
    if kind == "chat":
        functions = _read_functions(body) if card.tools else ()
        texts = _read_messages(body.get("messages"), with_functions=bool(card.tools))
        texts |= {"tools": functions}
        parameters |= _read_choice(body, functions)
    else:
        texts = {"messages": (read_text(body.get("prompt"), "prompt", CODES),)}
    request = ServerRequest(
        card=card, kind=kind, parameters=parameters, seed=seed, stream=stream, **texts
    )
    check_length(request, CODES)
    return request


def _read_functions(body: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    functions = body.get("functions") or []
    if not isinstance(functions, list):
        raise ServiceError(CODES.invalid, "the type of functions is wrong")
    for function in functions:
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ServiceError(CODES.invalid, "functions must have a name")
    return tuple(functions)


def _read_choice(body: dict[str, Any], functions: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    choice = body.get("tool_choice")
    if not functions or choice is None:
        return {}
    named = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(named, dict) or named.get("name") not in [one["name"] for one in functions]:
        raise ServiceError(CODES.invalid, "tool_choice must name one of the functions")
    return {"tool_choice": choice}


def _read_messages(value: Any, *, with_functions: bool) -> dict[str, Any]:
    """Validate messages, whose roles must alternate, the user or a function first.

    Returns
    -------
    dict
        The fields of `ServerRequest` that they determine.
    """
    messages = read_messages(value, CODES)
    count = len(messages)
    if count % 2 == 0:
        raise ServiceError(336006, f"the length of messages must be an odd number, now {count}")
    texts = []
    for number, message in enumerate(messages):
        role = message.get("role")
        is_result = number % 2 == 0 and number > 0 and role == "function" and with_functions
        if role != ("assistant" if number % 2 else "user") and not is_result:
            raise ServiceError(336006, f"the role of message {number} is wrong")
        call = message.get("function_call") if role == "assistant" and with_functions else None
        if is_result and not isinstance(messages[number - 1].get("function_call"), dict):
            raise ServiceError(336006, f"message {number} is a result without a call")
        empty = call and not message.get("content")
        texts.append("" if empty else read_text(message.get("content"), "content", CODES))
    results: tuple[ToolResult, ...] = ()
    if messages[-1]["role"] == "function":
        call = messages[-2]["function_call"]
        results = (ToolResult(str(call.get("name")), str(call.get("arguments")), texts[-1]),)
    return {"messages": tuple(texts), "tool_results": results}

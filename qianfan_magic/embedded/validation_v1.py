"""Validation of version 1's requests, by the API documents of its models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qianfan_magic.api.catalogue.cards import Card, package_cards
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire import v1
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.request import ServerRequest
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
    card.key: card
    for card in package_cards()
    if card.key in {"dolly_12b", "starcoder", "aquilacode_multi", "stablelm_alpha_7b"}
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
    served = own or MODELS.values()
    card = next((card for card in served if endpoint.endswith(card.key)), None)
    if card is None or kind not in card.kinds:
        raise ServiceError(336005, "API name not exist")
    body = parse_json_object(content, CODES)
    stream = read_bool(body, "stream", CODES)
    if kind == "chat":
        messages = _read_messages(body.get("messages"))
    else:
        messages = (read_text(body.get("prompt"), "prompt", CODES),)
    request = ServerRequest(
        card=card,
        kind=kind,
        messages=messages,
        parameters=read_parameters(body, kind, CODES),
        seed=seed,
        stream=stream,
    )
    check_length(request, CODES)
    return request


def _read_messages(value: Any) -> tuple[str, ...]:
    """Return the contents of messages, whose roles must alternate, the user first."""
    messages = read_messages(value, CODES)
    count = len(messages)
    if count % 2 == 0:
        raise ServiceError(336006, f"the length of messages must be an odd number, now {count}")
    for number, message in enumerate(messages):
        if message.get("role") != ("assistant" if number % 2 else "user"):
            raise ServiceError(336006, f"the role of message {number} is wrong")
    return tuple(read_text(message.get("content"), "content", CODES) for message in messages)

"""What version 1 refuses, with its code and in its words; as strict as the documents say."""

from __future__ import annotations

from typing import Any

from qianfan_magic.api.catalogue.cards import CARDS
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.embedded.faults import Refusal
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

#: The models that are served, by the end of their address; the console puts a prefix before it.
MODELS = {
    card.key: card
    for card in CARDS
    if card.key in {"dolly_12b", "starcoder", "aquilacode_multi", "stablelm_alpha_7b"}
}
FOLDERS: dict[str, Kind] = {"chat": "chat", "completions": "completion"}
CODES = ErrorCodes(
    version=ApiVersion.V1,
    no_json=336002,
    missing=336001,
    wrong=336003,
    characters=336007,
    tokens=336103,
)


def read_question(folder: str, endpoint: str, sent: bytes, seed: int) -> tuple[ServerRequest, bool]:
    """Check a body by the rules of the model's document.

    Returns
    -------
    question : Question
    stream : bool

    Raises
    ------
    Refusal
        With the code and words of the service.
    """
    kind = FOLDERS[folder]
    card = next((card for key, card in MODELS.items() if endpoint.endswith(key)), None)
    if card is None or kind not in card.kinds:
        raise Refusal(336005, "API name not exist")
    body = read_json(sent, CODES)
    stream = read_bool(body, "stream", CODES)
    if kind == "chat":
        texts = _read_messages(body.get("messages"))
    else:
        texts = (read_text(body.get("prompt"), "prompt", CODES),)
    parameters = read_parameters(body, kind, CODES)
    question = ServerRequest(card=card, kind=kind, messages=texts, parameters=parameters, seed=seed)
    check_length(question, CODES)
    return question, stream


def _read_messages(sent: Any) -> tuple[str, ...]:
    messages = read_list(sent, CODES)
    if len(messages) % 2 == 0:
        raise Refusal(336006, f"the length of messages must be an odd number, now {len(messages)}")
    for place, message in enumerate(messages):
        if message.get("role") != ("assistant" if place % 2 else "user"):
            raise Refusal(336006, f"the role of message {place} is wrong")
    return tuple(read_text(message.get("content"), "content", CODES) for message in messages)

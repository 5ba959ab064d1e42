"""What version 1 refuses, with its code and in its words; as strict as the documents say."""

from __future__ import annotations

from typing import Any

from qianfan_magic.cards import CARDS
from qianfan_magic.embedded.checks import (
    Codes,
    check_length,
    read_bool,
    read_json,
    read_list,
    read_parameters,
    read_text,
)
from qianfan_magic.embedded.question import Question
from qianfan_magic.embedded.refused import Refused
from qianfan_magic.parameter import Kind

#: The models that are served, by the end of their address; the console puts a prefix before it.
MODELS = {
    card.key: card
    for card in CARDS
    if card.key in {"dolly_12b", "starcoder", "aquilacode_multi", "stablelm_alpha_7b"}
}
FOLDERS: dict[str, Kind] = {"chat": "chat", "completions": "completion"}
CODES = Codes(
    version=1, no_json=336002, missing=336001, wrong=336003, characters=336007, tokens=336103
)


def read_question(folder: str, endpoint: str, sent: bytes, seed: int) -> tuple[Question, bool]:
    """Check a body by the rules of the model's document.

    Returns
    -------
    question : Question
    stream : bool

    Raises
    ------
    Refused
        With the code and words of the service.
    """
    kind = FOLDERS[folder]
    card = next((card for key, card in MODELS.items() if endpoint.endswith(key)), None)
    if card is None or kind not in card.kinds:
        raise Refused(336005, "API name not exist")
    body = read_json(sent, CODES)
    stream = read_bool(body, "stream", CODES)
    if kind == "chat":
        texts = _read_messages(body.get("messages"))
    else:
        texts = (read_text(body.get("prompt"), "prompt", CODES),)
    parameters = read_parameters(body, kind, CODES)
    question = Question(card=card, kind=kind, messages=texts, parameters=parameters, seed=seed)
    check_length(question, CODES)
    return question, stream


def _read_messages(sent: Any) -> tuple[str, ...]:
    messages = read_list(sent, CODES)
    if len(messages) % 2 == 0:
        raise Refused(336006, f"the length of messages must be an odd number, now {len(messages)}")
    for place, message in enumerate(messages):
        if message.get("role") != ("assistant" if place % 2 else "user"):
            raise Refused(336006, f"the role of message {place} is wrong")
    return tuple(read_text(message.get("content"), "content", CODES) for message in messages)

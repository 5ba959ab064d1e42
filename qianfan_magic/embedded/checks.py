"""What the service refuses, with its code and in its words; as strict as the documents say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from qianfan_magic.auth import canonical_request, sign
from qianfan_magic.catalogue import CARDS, Card, estimate_tokens
from qianfan_magic.embedded.question import Question
from qianfan_magic.errors import ParameterError
from qianfan_magic.parameters import PARAMETERS

#: The models that are served, by the end of their address; the console puts a prefix before it.
MODELS = {
    card.key: card
    for card in CARDS
    if card.key in {"dolly_12b", "starcoder", "aquilacode_multi", "stablelm_alpha_7b"}
}
FOLDERS = {"chat": "chat", "completions": "completion"}
#: Seconds a token lives, as the service's do: 30 days.
TOKEN_LIFE = 2_592_000


class Refused(Exception):  # noqa: N818  an answer of the service, not an error of the server
    """The service says no."""

    def __init__(self, error_code: int, error_msg: str) -> None:
        super().__init__(error_msg)
        self.error_code = error_code
        self.error_msg = error_msg


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one server, made at its start; they are good for nothing else."""

    ak: str = field(default_factory=lambda: token_hex(12))
    sk: str = field(default_factory=lambda: token_hex(16))
    access_key: str = field(default_factory=lambda: "ALTAK" + token_hex(11))
    secret_key: str = field(default_factory=lambda: token_hex(16))


@dataclass(slots=True)
class Door:
    """Lets in who has the keys.

    Attributes
    ----------
    keys
        That are required.
    token_life
        Seconds.
    tokens
        Those given out, with the time each expires at.
    """

    keys: Keys = field(default_factory=Keys)
    token_life: float = TOKEN_LIFE
    tokens: dict[str, float] = field(default_factory=dict)

    def give_token(self, client_id: str, client_secret: str) -> dict[str, Any]:
        """Answer the token endpoint: a token, or RFC 6749's ``error``."""
        if client_id != self.keys.ak:
            return {"error": "invalid_client", "error_description": "unknown client id"}
        if client_secret != self.keys.sk:
            described = "Client authentication failed"
            return {"error": "invalid_client", "error_description": described}
        now = time.time()
        token = f"24.{token_hex(16)}.{self.token_life:.0f}.{now + self.token_life:.0f}.282335-1"
        self.tokens[token] = now + self.token_life
        return {"access_token": token, "expires_in": int(self.token_life)}

    def check_token(self, token: str) -> None:
        """Refuse a token that was not given out, or has expired."""
        if not token:
            raise Refused(100, "Invalid parameter")
        if token not in self.tokens:
            raise Refused(110, "Access token invalid or no longer valid")
        if self.tokens[token] <= time.time():
            raise Refused(111, "Access token expired")

    def check_signature(
        self, authorization: str, address: tuple[str, str, str], headers: Mapping[str, str]
    ) -> None:
        """Refuse a request whose signature is wrong or too old; `address`: method, path, query."""
        try:
            version, access_key, date, seconds, names, signature = authorization.split("/")
            signed = {name: headers[name] for name in names.split(";")}
            then = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            age = abs(time.time() - then.timestamp())
            expired = age > int(seconds)
        except (ValueError, KeyError):
            raise Refused(14, "IAM Certification failed") from None
        prefix = f"{version}/{access_key}/{date}/{seconds}"
        expected = sign(self.keys.secret_key, prefix, canonical_request(*address, signed))
        ours = version == "bce-auth-v1" and access_key == self.keys.access_key
        if expired or not ours or signature != expected or "host" not in signed:
            raise Refused(14, "IAM Certification failed")


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
    if card is None or card.kind != kind:
        raise Refused(336005, "API name not exist")
    body = _read_json(sent)
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise Refused(336003, "the type of stream must be bool")
    if kind == "chat":
        texts = _read_messages(body.get("messages"))
    else:
        texts = (_read_text(body.get("prompt"), "prompt"),)
    question = Question(
        card=card, messages=texts, parameters=_read_parameters(body, card), seed=seed
    )
    _check_length(question)
    return question, stream


def _read_json(sent: bytes) -> dict[str, Any]:
    try:
        body = json.loads(sent)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no JSON text
    except (ValueError, RecursionError):
        raise Refused(336002, "Invalid JSON") from None
    if not isinstance(body, dict):
        raise Refused(336001, "Invalid Argument")
    return body


def _read_text(text: Any, name: str) -> str:
    if text is None:
        raise Refused(336001, f"Invalid Argument: {name} is required")
    if not isinstance(text, str):
        raise Refused(336003, f"the type of {name} must be string")
    if not text.strip():
        raise Refused(336003, f"{name} can not be empty")
    return text


def _read_messages(messages: Any) -> tuple[str, ...]:
    if messages is None:
        raise Refused(336001, "Invalid Argument: messages is required")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise Refused(336003, "the type of messages must be list of message")
    if not messages:
        raise Refused(336003, "messages can not be empty")
    if len(messages) % 2 == 0:
        raise Refused(336006, f"the length of messages must be an odd number, now {len(messages)}")
    for place, message in enumerate(messages):
        if message.get("role") != ("assistant" if place % 2 else "user"):
            raise Refused(336006, f"the role of message {place} is wrong")
    return tuple(_read_text(message.get("content"), "content") for message in messages)


def _read_parameters(body: dict[str, Any], card: Card) -> dict[str, Any]:
    """Check what the table knows; like the service, pass over what it does not."""
    read = {}
    for parameter in PARAMETERS:
        name = parameter.wire or parameter.name
        if name not in body or card.kind not in parameter.kinds:
            continue
        try:
            read[parameter.name] = parameter.check(body[name])
        except ParameterError:
            raise Refused(336003, f"{name} must be {parameter.range}") from None
    return read


def _check_length(question: Question) -> None:
    card = question.card
    if card.max_characters and question.characters > card.max_characters:
        raise Refused(336007, f"the max input characters is {card.max_characters}")
    tokens = sum(estimate_tokens(text) for text in question.messages)
    if card.max_tokens and tokens > card.max_tokens:
        raise Refused(336103, f"the max input tokens is {card.max_tokens}")

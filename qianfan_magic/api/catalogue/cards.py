"""Model cards: the limits and abilities of each known model.

To add a model, add a table to ``models.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.language import tr

__all__ = [
    "CHAT",
    "Card",
    "embedded_cards",
    "ended_hint",
    "key_of",
    "package_cards",
    "read_cards_document",
]

#: Value of `Card.kinds` for a model that only chats.
CHAT: tuple[Kind, ...] = ("chat",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Limits and abilities of one model.

    Attributes
    ----------
    name
        The name as Qianfan writes it; ``-m`` ignores case and takes ``_`` for ``-``.
    kinds
        ``"chat"``, ``"completion"`` or both.
    version
        Version of the API that serves the model.
    endpoint
        Version 1: the preset endpoint, or empty if the owner who publishes the model chooses it.
        Version 2: the model's endpoint in version 1, used if there are only keys for that.
    model
        Version 2: the model's name in requests, if it differs from `name`.
    max_characters
        Largest number of characters of all messages, or of the prompt; None if no document
        states it.
    max_tokens
        Largest number of input tokens, as the service counts them; None likewise.
    sees
        Whether the model accepts pictures.
    thinks
        The request field that makes the model think before it answers, ``"enable_thinking"`` or
        ``"thinking"``; ``"always"`` if it always does; empty if it cannot.
    json
        Whether the model accepts ``response_format``, to answer in JSON.
    schema
        Whether it also accepts a JSON schema there (``json_schema``).
    search
        Whether the model can search the web (``web_search``).
    prefix
        Whether the model continues a last message of the assistant (``prefix``).
    effort
        Whether the model accepts ``reasoning_effort``.
    tools
        Whether the model can ask for calls of functions; None if no document says so. Without
        one, models of version 2 are taken to, and those of version 1 not.
    defaults
        Values that the service uses for parameters that a request leaves out, by name.
    label
        What the line below an answer says instead of the name; set for the models that only the
        embedded server has.
    ends
        The day from which the service no longer offers the model; None if none is announced.
    successor
        The model that takes its place; empty if there is none.
    source
        Where the facts are from: documents with the days on which they were read, or ``"yours"``
        for a card of the user's own.
    """

    name: str
    kinds: tuple[Kind, ...]
    version: ApiVersion = ApiVersion.V1
    endpoint: str = ""
    model: str = ""
    max_characters: int | None = None
    max_tokens: int | None = None
    sees: bool = False
    thinks: str = ""
    json: bool = False
    schema: bool = False
    search: bool = False
    prefix: bool = False
    effort: bool = False
    tools: bool | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""
    ends: date | None = None
    successor: str = ""
    source: str = ""

    @property
    def key(self) -> str:
        """The normalised name, such as ``dolly_12b``."""
        return key_of(self.name)


def key_of(name: str) -> str:
    """Return a model's name in the normalised form by which it is found.

    Examples
    --------
    >>> key_of("ERNIE-5.1")
    'ernie_5_1'
    """
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


@cache
def package_cards() -> tuple[Card, ...]:
    """Return the cards of the service's models, from ``models.toml`` beside this module.

    Examples
    --------
    >>> next(card.max_characters for card in package_cards() if card.name == "Dolly-12B")
    4800
    """
    return tuple(card for card in _all_cards() if not card.label)


@cache
def embedded_cards() -> tuple[Card, ...]:
    """Return the cards of the models that only the embedded server has; no list names them."""
    return tuple(card for card in _all_cards() if card.label)


@cache
def _all_cards() -> tuple[Card, ...]:
    # Imported late: `%load_ext` needs no card yet.
    import tomllib

    text = files("qianfan_magic.api.catalogue").joinpath("models.toml").read_text("utf-8")
    return read_cards_document(tomllib.loads(text))


def read_cards_document(document: Mapping[str, Any]) -> tuple[Card, ...]:
    """Build the cards of a document like ``models.toml``.

    Raises
    ------
    TypeError, KeyError
        If a model has an unknown field, or a source that the document does not list.
    """
    return tuple(_card(row, document["sources"]) for row in document["models"])


def ended_hint(card: Card | None, today: date) -> str:
    """Say that a model has ended, and what takes its place; empty if it has not.

    Examples
    --------
    >>> card = Card(name="old", kinds=CHAT, ends=date(2026, 9, 29), successor="new")
    >>> ended_hint(card, date(2026, 9, 29))
    'The service no longer offers old since 2026-09-29: use new. '
    """
    if card is None or card.ends is None or today < card.ends:
        return ""
    ended = tr("The service no longer offers {name} since {day}", name=card.name, day=card.ends)
    use = tr(": use {name}", name=card.successor) if card.successor else ""
    return f"{ended}{use}. "


def _card(row: Mapping[str, Any], sources: Mapping[str, Any]) -> Card:
    read = [sources[name] for name in row["sources"]]
    fields = {name: value for name, value in row.items() if name != "sources"} | {
        "version": ApiVersion(row["version"]),
        "kinds": tuple(row["kinds"]),
        "source": "; ".join(f"{source['title']}, {source['date']}" for source in read),
    }
    return Card(**fields)

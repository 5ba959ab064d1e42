"""Answers, as both versions send them: truncated to a number of tokens, and split into chunks."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.request import ServerRequest

__all__ = ["Answer", "Ending", "truncate"]

#: A Chinese character, line ends, or a word with the spaces after it.
_TOKENS = re.compile(r"[\u3000-\u9fff\uff00-\uffef]|\n+|[^\s\u3000-\u9fff\uff00-\uffef]+[ \t]*|\s+")
#: Characters of an answer's id.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz0123456789"
#: Largest number of tokens per chunk.
_MAX_CHUNK_TOKENS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended that a model has generated.

    Attributes
    ----------
    finish_reason
        ``"stop"``, or ``"length"`` if it reached the largest number of tokens.
    stop_text
        The stop text that ended it; empty if none did.
    prompt_tokens, completion_tokens
        Tokens as the model counts them.
    """

    finish_reason: str
    stop_text: str
    prompt_tokens: int
    completion_tokens: int


class Answer(ABC):
    """An answer to one request, to be sent whole or in chunks.

    Parameters
    ----------
    request
        The request; it seeds the id and the chunk sizes.

    Attributes
    ----------
    prompt_tokens : int
        Estimated tokens of the request.
    """

    def __init__(self, request: ServerRequest) -> None:
        self._request = request
        self._random = request.random()
        self._id = "as-" + "".join(self._random.choices(_ALPHABET, k=10))
        self._created = int(time.time())
        self.prompt_tokens = sum(map(estimate_tokens, request.texts))

    @property
    @abstractmethod
    def completion_tokens(self) -> int:
        """Estimated tokens of the answer."""

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """Return the answer as one JSON object."""

    @abstractmethod
    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the answer as the events of a stream."""

    @abstractmethod
    def generated_chunk(self, text: str, number: int) -> dict[str, Any]:
        """Return an event with what a model has just generated; the first has the number 0."""

    @abstractmethod
    def finish(self, text: str, ending: Ending) -> None:
        """Take over the whole text that a model has generated, and how it ended."""

    @abstractmethod
    def last_chunk(self, number: int) -> dict[str, Any]:
        """Return the event that follows the chunks of a finished answer."""

    def _split(self, text: str) -> list[str]:
        """Split a text into pieces of one to four tokens; an empty text is one empty piece."""
        tokens = _TOKENS.findall(text) or [""]
        pieces = []
        while tokens:
            count = self._random.randint(1, _MAX_CHUNK_TOKENS)
            pieces.append("".join(tokens[:count]))
            del tokens[:count]
        return pieces


def truncate(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """Truncate a text to a number of tokens; None is no limit.

    Returns
    -------
    text : str
    is_truncated : bool
    """
    if max_tokens is None or estimate_tokens(text) <= max_tokens:
        return text, False
    beginning = ""
    for token in _TOKENS.findall(text):
        if estimate_tokens(beginning + token) > max_tokens:
            break
        beginning += token
    return beginning, True

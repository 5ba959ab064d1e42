"""What the answers of both versions share: where they are cut, and into which pieces."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.request import ServerRequest

#: A word with the space behind it, one Chinese character, or one line's end.
_TOKENS = re.compile(r"[\u3000-\u9fff\uff00-\uffef]|\n+|[^\s\u3000-\u9fff\uff00-\uffef]+[ \t]*|\s+")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz0123456789"


class Answer(ABC):
    """One answer, whole or in chunks.

    Parameters
    ----------
    question
        That is answered.
    """

    def __init__(self, question: ServerRequest) -> None:
        self._question = question
        self._random = question.random()
        self._id = "as-" + "".join(self._random.choices(_ALPHABET, k=10))
        self._created = int(time.time())
        self.prompt_tokens = sum(map(estimate_tokens, question.texts))

    @property
    @abstractmethod
    def completion_tokens(self) -> int:
        """The tokens that were written."""

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """Give the answer in one piece."""

    @abstractmethod
    def chunks(self) -> Iterator[dict[str, Any]]:
        """Give the answer as the events of a stream."""

    def _pieces(self, text: str) -> list[str]:
        tokens = _TOKENS.findall(text) or [""]
        pieces = []
        while tokens:
            count = self._random.randint(1, 4)
            pieces.append("".join(tokens[:count]))
            del tokens[:count]
        return pieces


def first_tokens(text: str, limit: int | None) -> tuple[str, bool]:
    """Cut a text to so many tokens, if there is a limit; tell whether that cut anything."""
    if limit is None or estimate_tokens(text) <= limit:
        return text, False
    kept = ""
    for token in _TOKENS.findall(text):
        if estimate_tokens(kept + token) > limit:
            break
        kept += token
    return kept, True

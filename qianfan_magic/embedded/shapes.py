"""Answers in the shapes of the API documents, field for field."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from qianfan_magic.catalogue import estimate_tokens
from qianfan_magic.embedded.question import Question

#: A word with the space behind it, one Chinese character, or one line's end.
_TOKENS = re.compile(r"[\u3000-\u9fff\uff00-\uffef]|\n+|[^\s\u3000-\u9fff\uff00-\uffef]+[ \t]*|\s+")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz0123456789"


class Answer:
    """One answer, whole or in chunks.

    Parameters
    ----------
    question
        That is answered.
    text
        By the engine; ``stop`` and ``max_tokens`` of the question cut it here.
    """

    def __init__(self, question: Question, text: str) -> None:
        self._question = question
        self._random = question.random()
        self._id = "as-" + "".join(self._random.choices(_ALPHABET, k=10))
        self._created = int(time.time())
        self._text, self._truncated = _cut(text, question.parameters)
        self._prompt_tokens = sum(estimate_tokens(message) for message in question.messages)

    def whole(self) -> dict[str, Any]:
        """Give the answer in one piece."""
        tokens = sum(map(estimate_tokens, self._pieces()))
        return self._shape({}, self._text, self._usage(tokens, tokens), last=True)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Give the answer as the events of a stream."""
        pieces = self._pieces()
        so_far = 0
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            tokens = estimate_tokens(piece)
            so_far += tokens
            if self._question.card.kind == "chat":  # Dolly-12B counts at the end only
                usage = self._usage(so_far, so_far) if last else self._usage(0, 0)
            else:  # the others count each chunk alone
                usage = self._usage(tokens, so_far)
            yield self._shape({"sentence_id": number, "is_end": last}, piece, usage, last=last)

    def _pieces(self) -> list[str]:
        tokens = _TOKENS.findall(self._text) or [""]
        pieces = []
        while tokens:
            count = self._random.randint(1, 4)
            pieces.append("".join(tokens[:count]))
            del tokens[:count]
        return pieces

    def _shape(
        self, place: dict[str, Any], text: str, usage: dict[str, int], *, last: bool
    ) -> dict[str, Any]:
        """Write the fields in the order of the documents' examples."""
        chat = self._question.card.kind == "chat"
        kind = "chat.completion" if chat else "completion"
        shape = {"id": self._id, "object": kind, "created": self._created, **place}
        if not chat:
            return {**shape, "result": text, "is_safe": 1, "usage": usage}
        truncated = self._truncated and last
        if place:  # in a stream is_truncated stands before the text, in a whole answer behind it
            shape |= {"is_truncated": truncated, "result": text, "need_clear_history": False}
        else:
            shape |= {"result": text, "is_truncated": truncated, "need_clear_history": False}
        return {**shape, "usage": usage}

    def _usage(self, completion: int, so_far: int) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self._prompt_tokens + so_far,
        }


def _cut(text: str, parameters: dict[str, Any]) -> tuple[str, bool]:
    """Stop where `stop` says, and at `max_tokens`; tell whether the latter cut anything."""
    for stop in parameters.get("stop", []):
        end = text.find(stop)
        text = text if end < 0 else text[: end + len(stop)]
    limit = parameters.get("max_tokens")
    if limit is None or estimate_tokens(text) <= limit:
        return text, False
    kept = ""
    for token in _TOKENS.findall(text):
        if estimate_tokens(kept + token) > limit:
            break
        kept += token
    return kept, True

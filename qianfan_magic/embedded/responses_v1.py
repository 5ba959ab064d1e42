"""Answers of version 1 in the shapes of its API documents, field for field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Answer, first_tokens


class AnswerV1(Answer):
    """One answer of version 1.

    Parameters
    ----------
    question
        That is answered.
    text
        By the engine; ``stop`` and ``max_tokens`` of the question cut it here.
    """

    def __init__(self, question: ServerRequest, text: str) -> None:
        super().__init__(question)
        for stop in question.parameters.get("stop", []):
            end = text.find(stop)
            text = text if end < 0 else text[: end + len(stop)]
        self._text, self._truncated = first_tokens(text, question.parameters.get("max_tokens"))

    @cached_property
    def _cut(self) -> list[str]:
        return self._pieces(self._text)

    @property
    def completion_tokens(self) -> int:
        """The tokens that were written."""
        return estimate_tokens(self._text)

    def whole(self) -> dict[str, Any]:
        """Give the answer in one piece."""
        tokens = self.completion_tokens
        return self._shape({}, self._text, self._usage(tokens, tokens), last=True)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Give the answer as the events of a stream."""
        so_far, text = 0, ""
        for number, piece in enumerate(self._cut):
            last = number == len(self._cut) - 1
            text += piece
            before, so_far = so_far, estimate_tokens(text)
            tokens = so_far - before
            if self._question.kind == "chat":  # Dolly-12B counts at the end only
                usage = self._usage(so_far, so_far) if last else self._usage(0, 0)
            else:  # the others count each chunk alone
                usage = self._usage(tokens, so_far)
            yield self._shape({"sentence_id": number, "is_end": last}, piece, usage, last=last)

    def _shape(
        self, place: dict[str, Any], text: str, usage: dict[str, int], *, last: bool
    ) -> dict[str, Any]:
        """Write the fields in the order of the documents' examples."""
        chat = self._question.kind == "chat"
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
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + so_far,
        }

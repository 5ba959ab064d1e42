"""Answers in the format of version 1, field for field as in its API documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Answer, Ending, truncate

__all__ = ["AnswerV1"]


class AnswerV1(Answer):
    """An answer in the format of version 1.

    Parameters
    ----------
    request
        The request; its ``stop`` and ``max_tokens`` are applied to the text.
    text
        The engine's answer.
    call
        Name and arguments of the function that the answer asks to call instead.
    """

    def __init__(
        self, request: ServerRequest, text: str, call: tuple[str, str] | None = None
    ) -> None:
        super().__init__(request)
        name, arguments = call or ("", "")
        self._call = {"function_call": {"name": name, "arguments": arguments}} if call else {}
        for stop in request.parameters.get("stop", []):
            start, found, _ = text.partition(stop)
            text = start + found  # version 1 includes the stop text in the answer
        self._text, self._is_truncated = truncate(text, request.parameters.get("max_tokens"))
        self._completion_tokens = estimate_tokens(self._text)
        self._stop_text = ""

    @property
    def completion_tokens(self) -> int:
        """Estimated tokens of the answer."""
        return self._completion_tokens

    def finish(self, text: str, ending: Ending) -> None:
        """Take over the whole text that a model has generated, and how it ended."""
        self._stop_text = ending.stop_text
        self._text, self._is_truncated = text + ending.stop_text, ending.finish_reason == "length"
        self.prompt_tokens = ending.prompt_tokens
        self._completion_tokens = ending.completion_tokens

    def whole(self) -> dict[str, Any]:
        """Return the answer as one JSON object."""
        tokens = self.completion_tokens
        return self._payload({}, self._text, self._usage(tokens, tokens), is_last=True)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the answer as the events of a stream."""
        tokens, text = 0, ""
        pieces = self._split(self._text)
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            text += piece
            tokens_before, tokens = tokens, estimate_tokens(text)
            # The documents' examples differ: Dolly-12B reports completion tokens in the last
            # chunk only, StableLM-Alpha-7B reports those of each chunk.
            if self._request.kind == "chat":
                usage = self._usage(tokens, tokens) if is_last else self._usage(0, 0)
            else:
                usage = self._usage(tokens - tokens_before, tokens)
            position = {"sentence_id": number, "is_end": is_last}
            yield self._payload(position, piece, usage, is_last=is_last)

    def generated_chunk(self, text: str, number: int) -> dict[str, Any]:
        """Return an event with what a model has just generated; tokens come with the last."""
        position = {"sentence_id": number, "is_end": False}
        unknown = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return self._payload(position, text, unknown, is_last=False)

    def last_chunk(self, number: int) -> dict[str, Any]:
        """Return the event with the tokens, and with the stop text, which is part of the answer."""
        position, tokens = {"sentence_id": number, "is_end": True}, self.completion_tokens
        return self._payload(position, self._stop_text, self._usage(tokens, tokens), is_last=True)

    def _payload(
        self, position: dict[str, Any], text: str, usage: dict[str, int], *, is_last: bool
    ) -> dict[str, Any]:
        """Return the fields in the order of the documents' examples."""
        is_chat = self._request.kind == "chat"
        kind = "chat.completion" if is_chat else "completion"
        payload = {"id": self._id, "object": kind, "created": self._created, **position}
        if not is_chat:
            return {**payload, "result": text, "is_safe": 1, "usage": usage}
        is_truncated = self._is_truncated and is_last
        # In a chunk is_truncated precedes the text, in a whole answer it follows it.
        if position:
            payload |= {"is_truncated": is_truncated, "result": text}
        else:
            payload |= {"result": text, "is_truncated": is_truncated}
        call = self._call if is_last else {}
        return {**payload, "need_clear_history": False, **call, "usage": usage}

    def _usage(self, completion_tokens: int, tokens_so_far: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + tokens_so_far,
        }

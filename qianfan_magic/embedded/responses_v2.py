"""Answers and errors of version 2 in the shapes of its documents, field for field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.responses import Answer, first_tokens
from qianfan_magic.embedded.validation_v2 import ParsedRequest

#: Of which type an error's code is (error page Om9b4yj3w); `invalid_request_error` if none fits.
_TYPES = {
    r".*rate_limit_exceeded|Offline_batch_reasoning_refused": "rate_limit_exceeded",
    r".*_unsafe": "unsafe_request",
    r"account_overdue|model_offline|no_parameter_permission": "access_denied",
    r".*internal_error": "Internal_error",
}
#: What stands in the choice and not beside it.
_OF_THE_CHOICE = {"flag", "ban_round"}


def error(code: int | str, message: str, trace: str) -> dict[str, Any]:
    """Write an error; `trace` is its id."""
    word = str(code)
    types = (type_ for pattern, type_ in _TYPES.items() if re.fullmatch(pattern, word))
    said = {"code": word, "message": message, "type": next(types, "invalid_request_error")}
    return {"error": said, "id": trace}


def models(names: Iterable[str]) -> dict[str, Any]:
    """Write the list of models."""
    listed = [{"id": name, "object": "model", "owned_by": "", "created": 0} for name in names]
    return {"object": "list", "data": listed}


def with_fields(payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Put fields into an answer or a chunk, each where the service has it."""
    inner = {name: value for name, value in fields.items() if name in _OF_THE_CHOICE}
    outer = {name: value for name, value in fields.items() if name not in _OF_THE_CHOICE}
    choices = [{**choice, **inner} for choice in payload["choices"]]
    return {**payload, "choices": choices, **outer}


class AnswerV2(Answer):
    """One answer of version 2.

    Parameters
    ----------
    asked
        The question, and how it is to be answered.
    text, reasoning
        By the engine; ``stop``, ``thinking_budget`` and ``max_tokens`` of the question cut them
        here, the last of which counts both (note to the service's model list).
    """

    def __init__(self, asked: ParsedRequest, text: str, reasoning: str) -> None:
        question = asked.question
        super().__init__(question)
        self._include_usage = asked.include_usage
        for stop in question.parameters.get("stop", []):
            text = text.partition(stop)[0]
        limit = question.parameters.get("max_tokens")
        thought, _ = first_tokens(reasoning, question.parameters.get("thinking_budget"))
        self._reasoning, was_cut = first_tokens(thought, limit)
        self._reasoning_tokens = estimate_tokens(self._reasoning)
        left = limit if limit is None else 0 if was_cut else limit - self._reasoning_tokens
        self._text, cut_here = first_tokens(text, left)
        self._finish_reason = "length" if was_cut or cut_here else "stop"

    @property
    def completion_tokens(self) -> int:
        """The tokens that were written or thought."""
        return estimate_tokens(self._text) + self._reasoning_tokens

    def whole(self) -> dict[str, Any]:
        """Give the answer in one piece."""
        ended = {"finish_reason": self._finish_reason, "flag": 0}
        if self._question.kind == "completion":
            return self._shape({"text": self._text, **ended}) | {"usage": self._usage()}
        message = {"role": "assistant", "content": self._text}
        if self._question.thinks:
            message["reasoning_content"] = self._reasoning
        return self._shape({"message": message, **ended}) | {"usage": self._usage()}

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Give the answer as the events of a stream, what was thought first."""
        if self._question.kind == "completion":
            said: list[dict[str, Any]] = [{"text": piece} for piece in self._pieces(self._text)]
            end: dict[str, Any] = {"text": ""}
        else:
            said = [{"delta": delta} for delta in self._deltas()]
            end = {"delta": {"content": ""}}
        for choice in said:
            yield self._shape({**choice, "flag": 0}, ".chunk")
        end |= {"finish_reason": self._finish_reason, "flag": 0}
        usage = {"usage": self._usage()} if self._include_usage else {}
        yield self._shape(end, ".chunk") | usage

    def _deltas(self) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        if self._reasoning:
            pieces = self._pieces(self._reasoning)
            deltas += ({"content": None, "reasoning_content": piece} for piece in pieces)
        if self._text or not deltas:
            deltas += ({"content": piece} for piece in self._pieces(self._text))
        deltas[0]["role"] = "assistant"
        return deltas

    def _shape(self, choice: dict[str, Any], suffix: str = "") -> dict[str, Any]:
        chat = self._question.kind == "chat"
        return {
            "id": self._id,
            "object": f"chat.completion{suffix}" if chat else "text_completion",
            "created": self._created,
            "model": self._question.card.model or self._question.card.name,
            "choices": [{"index": 0, **choice}],
        }

    def _usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
        if self._question.thinks:
            usage["completion_tokens_details"] = {"reasoning_tokens": self._reasoning_tokens}
        return usage

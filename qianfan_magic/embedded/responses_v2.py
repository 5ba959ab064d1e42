"""Answers and errors in the format of version 2, field for field as in its API documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Answer, Ending, truncate

__all__ = ["AnswerV2", "error", "model_list", "with_fields"]

#: An error's type, by a pattern of its code (the document of error codes, Om9b4yj3w).
_ERROR_TYPES = {
    r".*rate_limit_exceeded|Offline_batch_reasoning_refused": "rate_limit_exceeded",
    r".*_unsafe": "unsafe_request",
    r"account_overdue|model_offline|no_parameter_permission": "access_denied",
    r".*internal_error": "Internal_error",
}
_DEFAULT_ERROR_TYPE = "invalid_request_error"
#: Fields of a choice; all others are fields of the answer.
_CHOICE_FIELDS = {"flag", "ban_round"}


def error(code: int | str, message: str, request_id: str) -> dict[str, Any]:
    """Return the body of an error response."""
    word = str(code)
    types = (type_ for pattern, type_ in _ERROR_TYPES.items() if re.fullmatch(pattern, word))
    type_ = next(types, _DEFAULT_ERROR_TYPE)
    return {"error": {"code": word, "message": message, "type": type_}, "id": request_id}


def model_list(names: Iterable[str]) -> dict[str, Any]:
    """Return the list of models."""
    models = [{"id": name, "object": "model", "owned_by": "", "created": 0} for name in names]
    return {"object": "list", "data": models}


def with_fields(payload: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer or a chunk with fields added where the service has them."""
    of_choice = {name: value for name, value in fields.items() if name in _CHOICE_FIELDS}
    of_answer = {name: value for name, value in fields.items() if name not in _CHOICE_FIELDS}
    choices = [{**choice, **of_choice} for choice in payload["choices"]]
    return {**payload, "choices": choices, **of_answer}


#: What a web search finds: pages that exist for examples (RFC 2606).
_PAGES = (
    ("https://www.example.com/", "Example Domain", "example.com", "2026-01-15"),
    ("https://www.example.org/", "Another page for examples", "example.org", ""),
    ("https://www.example.net/", "A third one", "example.net", "2025-12-01"),
)


def _search(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sources of a web search; empty if none is requested."""
    if not parameters.get("web_search"):
        return []
    names = ("url", "title", "site_name", "datetime")
    pages = _PAGES[: parameters.get("search_number", len(_PAGES))]
    return [
        {"index": number} | dict(zip(names, page, strict=True))
        for number, page in enumerate(pages, 1)
    ]


class AnswerV2(Answer):
    """An answer in the format of version 2.

    Parameters
    ----------
    request
        The request; its ``stop``, ``thinking_budget`` and ``max_tokens`` are applied here.
        ``max_tokens`` limits reasoning and answer together (note to the service's model list), as
        ``max_completion_tokens`` does.
    text, reasoning
        The engine's answer and reasoning.
    calls
        Functions to call in place of an answer: name and arguments, JSON as text.
    """

    def __init__(
        self,
        request: ServerRequest,
        text: str,
        reasoning: str,
        calls: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(request)
        parameters = request.parameters
        for stop in parameters.get("stop", []):
            text = text.partition(stop)[0]  # version 2 leaves the stop text out of the answer
        max_tokens = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
        reasoning, _ = truncate(reasoning, parameters.get("thinking_budget"))
        self._reasoning, reasoning_is_truncated = truncate(reasoning, max_tokens)
        self._reasoning_tokens = estimate_tokens(self._reasoning)
        if max_tokens is not None:
            max_tokens = 0 if reasoning_is_truncated else max_tokens - self._reasoning_tokens
        self._text, text_is_truncated = truncate(text, max_tokens)
        is_truncated = reasoning_is_truncated or text_is_truncated
        self._finish_reason = "length" if is_truncated else "stop"
        self._calls: list[dict[str, Any]] = [
            {
                "id": f"call_{self._id}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for number, (name, arguments) in enumerate(calls)
        ]
        if self._calls and not is_truncated:
            self._finish_reason = "tool_calls"
        self._completion_tokens = estimate_tokens(self._text) + self._reasoning_tokens
        self._completion_tokens += sum(estimate_tokens(arguments) for _, arguments in calls)
        self._search_results = _search(parameters)
        if not is_truncated:
            self._text += "".join(f"^[{row['index']}]^" for row in self._search_results)

    @property
    def completion_tokens(self) -> int:
        """Estimated tokens of the reasoning and the answer."""
        return self._completion_tokens

    def finish(self, text: str, ending: Ending) -> None:
        """Take over the whole text that a model has generated, and how it ended."""
        self._text, self._finish_reason = text, ending.finish_reason
        self.prompt_tokens = ending.prompt_tokens
        self._completion_tokens = ending.completion_tokens

    def whole(self) -> dict[str, Any]:
        """Return the answer as one JSON object."""
        end = {"finish_reason": self._finish_reason, "flag": 0}
        if self._request.kind == "completion":
            return self._payload({"text": self._text, **end}) | {"usage": self._usage()}
        message: dict[str, Any] = {"role": "assistant", "content": self._text}
        if self._calls:
            message["tool_calls"] = self._calls
        if self._request.thinks:
            message["reasoning_content"] = self._reasoning
        payload = self._payload({"message": message, **end}) | {"usage": self._usage()}
        return payload | self._found()

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the answer as the events of a stream, the reasoning first."""
        if self._request.kind == "completion":
            choices: list[dict[str, Any]] = [{"text": piece} for piece in self._split(self._text)]
        else:
            choices = [{"delta": delta} for delta in self._deltas()]
        found = self._found()
        for choice in choices:
            yield self._payload({**choice, "flag": 0}, ".chunk") | found
            found = {}
        yield self.last_chunk(len(choices)) | found

    def generated_chunk(self, text: str, number: int) -> dict[str, Any]:
        """Return an event with what a model has just generated."""
        role = {} if number else {"role": "assistant"}
        is_chat = self._request.kind == "chat"
        choice = {"delta": {"content": text, **role}} if is_chat else {"text": text}
        return self._payload({**choice, "flag": 0}, ".chunk")

    def last_chunk(self, number: int) -> dict[str, Any]:
        """Return the event with the finish reason, which comes without text."""
        del number
        is_chat = self._request.kind == "chat"
        end: dict[str, Any] = {"delta": {"content": ""}} if is_chat else {"text": ""}
        end |= {"finish_reason": self._finish_reason, "flag": 0}
        usage = {"usage": self._usage()} if self._request.include_usage else {}
        return self._payload(end, ".chunk") | usage

    def _found(self) -> dict[str, Any]:
        """Return the sources of a web search, as a field beside the choices."""
        return {"search_results": self._search_results} if self._search_results else {}

    def _deltas(self) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        if self._reasoning:
            pieces = self._split(self._reasoning)
            deltas += ({"content": None, "reasoning_content": piece} for piece in pieces)
        if self._text or not (deltas or self._calls):
            deltas += ({"content": piece} for piece in self._split(self._text))
        deltas += self._call_deltas()
        deltas[0]["role"] = "assistant"
        return deltas

    def _call_deltas(self) -> Iterator[dict[str, Any]]:
        """Yield the calls: of each its name first, then its arguments in pieces."""
        for index, call in enumerate(self._calls):
            function = call["function"]
            begun = {**call, "index": index, "function": {**function, "arguments": ""}}
            yield {"content": None, "tool_calls": [begun]}
            for piece in self._split(function["arguments"]):
                more = {"index": index, "function": {"arguments": piece}}
                yield {"content": None, "tool_calls": [more]}

    def _payload(self, choice: dict[str, Any], suffix: str = "") -> dict[str, Any]:
        is_chat = self._request.kind == "chat"
        return {
            "id": self._id,
            "object": f"chat.completion{suffix}" if is_chat else "text_completion",
            "created": self._created,
            "model": self._request.card.model or self._request.card.name,
            "choices": [{"index": 0, **choice}],
        }

    def _usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
        if self._request.thinks:
            usage["completion_tokens_details"] = {"reasoning_tokens": self._reasoning_tokens}
        return usage

"""The keyword arguments of the client's methods, so that an editor completes and checks them.

The names, types and kinds are those of `qianfan_magic.api.catalogue.parameters.PARAMETERS`; a
test compares the two, since a type checker cannot read a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

__all__ = ["ChatOptions", "CompletionOptions"]


class _CommonOptions(TypedDict, total=False):
    """What both kinds of request take; None leaves a parameter to the service.

    ``endpoint`` and ``model`` name the service, by default those of the settings; ``timeout`` is
    in seconds without a byte, ``retries`` the number of attempts in total.
    """

    endpoint: str | None
    model: str | None
    timeout: float | None
    retries: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    penalty_score: float | None
    stop: list[str] | None
    max_tokens: int | None
    user_id: str | None


class ChatOptions(_CommonOptions, total=False):
    """The options of a chat request.

    ``schema`` is a JSON schema (a dict), a pydantic model or a dataclass that the answer has to
    fit; see `qianfan_magic.api.structured`. ``tools`` are functions, or declarations as in
    OpenAI's API; ``tool_choice`` may be the name of one.
    """

    max_completion_tokens: int | None
    seed: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    enable_thinking: bool | None
    thinking_budget: int | None
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh", "max"] | None
    web_search: bool | dict[str, Any] | None
    search_mode: Literal["auto", "required"] | None
    search_number: int | None
    system: str | None
    schema: Any
    response_format: Literal["text", "json_object"] | None
    disable_search: bool | None
    enable_citation: bool | None
    tools: Sequence[Callable[..., Any] | dict[str, Any]] | None
    tool_choice: str | dict[str, Any] | None


class CompletionOptions(_CommonOptions, total=False):
    """The options of a completion request."""

    suffix: str | None

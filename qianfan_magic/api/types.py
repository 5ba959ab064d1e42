"""Answers, as every version of the API gives them; frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal, TypedDict

Kind = Literal["chat", "completion"]
BOTH: tuple[Kind, ...] = ("chat", "completion")


class ApiVersion(IntEnum):
    """A version of the API: version 1 has endpoints, version 2 the shape of OpenAI's API."""

    V1 = 1
    V2 = 2


#: Stands for ``data: [DONE]``, the end of a stream of version 2.
DONE: Mapping[str, Any] = MappingProxyType({})
#: What is asked: a text, or parts of which some are pictures (version 2).
Content = str | list[dict[str, Any]]


class Message(TypedDict):
    """One message of a conversation: ``role`` is ``user`` or ``assistant``."""

    role: str
    content: Content


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the service counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer that is still arriving.

    Attributes
    ----------
    text
        What is new; may be empty.
    is_end
        Whether it is the last.
    usage
        Tokens so far.
    raw
        The service's own JSON.
    reasoning
        What is new of the model's thinking, before the answer (version 2).
    """

    text: str
    is_end: bool
    usage: Usage
    raw: Mapping[str, Any] = field(repr=False)
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Attributes
    ----------
    text
        The answer, exactly as it came.
    id
        The service's name for it.
    usage
        Tokens of the question and the answer.
    is_truncated
        The answer stopped at a limit.
    need_clear_history
        The service found the conversation unsafe and asks to forget it.
    ban_round
        The turn it objects to, from 1; -1 is the current question; None if it objects to none.
    is_safe
        False if the input was found unsafe; None if the service did not say.
    finish_reason
        Why it ended, in the service's word; may be empty.
    raw
        The service's own JSON; of a stream, that of its last chunk.
    reasoning
        What the model thought before it answered; empty if it did not, or keeps it to itself.
    """

    text: str
    id: str = ""
    usage: Usage = field(default_factory=Usage)
    is_truncated: bool = False
    need_clear_history: bool = False
    ban_round: int | None = None
    is_safe: bool | None = None
    finish_reason: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reasoning: str = field(default="", repr=False)


#: More tokens than this are no count.
LARGEST_COUNT = 2**63


def token_count(usage: Mapping[str, Any], name: str) -> int:
    """Return a count of tokens as a service writes it; 0 if it is none."""
    count = usage.get(name)
    if isinstance(count, int) and 0 <= count < LARGEST_COUNT:
        return count
    return int(count) if isinstance(count, float) and 0 <= count < LARGEST_COUNT else 0

"""Answers, as every version of the API gives them; frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict


class Message(TypedDict):
    """One message of a conversation: ``role`` is ``user`` or ``assistant``."""

    role: str
    content: str


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
    """

    text: str
    is_end: bool
    usage: Usage
    raw: Mapping[str, Any] = field(repr=False)


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

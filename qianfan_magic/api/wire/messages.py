"""Checks of prompts and messages that both versions of the API share; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.parameters import check_text
from qianfan_magic.api.catalogue.resolver import check_length
from qianfan_magic.errors import ParameterError

__all__ = ["check_content", "check_list", "check_prompt", "role_of"]


def check_list(messages: Any) -> Sequence[Any]:
    """Return the messages if they are a list with at least one item.

    Raises
    ------
    ParameterError
        If they are not.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ParameterError(
            "messages must be a list of at least one message",
            hint='Such as [{"role": "user", "content": "hi"}].',
        )
    return messages


def role_of(message: Any) -> Any:
    """Return the role of a message; None if it has none or is not a mapping."""
    return message.get("role") if isinstance(message, Mapping) else None


def check_content(content: Any, number: int) -> str:
    """Return content that is text, of the message with this number; raise as `check_text` does."""
    return check_text(content, f"The content of message {number}")


def check_prompt(prompt: Any, card: Card | None) -> str:
    """Return a prompt that is text and no longer than the model's card allows.

    Raises
    ------
    ParameterError
        As `check_text` and `check_length` do.
    """
    check_length(len(check_text(prompt, "The prompt")), card)
    return str(prompt)

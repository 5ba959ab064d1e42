"""Checks of prompts and messages that both versions of the API share; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan_magic.api.catalogue.cards import Card, package_cards
from qianfan_magic.api.catalogue.parameters import check_text
from qianfan_magic.api.catalogue.resolver import check_length
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr

__all__ = ["begins_answer", "check_content", "check_list", "check_prompt", "no_prefix", "role_of"]


def check_list(messages: Any) -> Sequence[Any]:
    """Return the messages if they are a list with at least one item.

    Raises
    ------
    ParameterError
        If they are not.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ParameterError(
            tr("messages must be a list of at least one message"),
            hint=tr('Such as [{"role": "user", "content": "hi"}].'),
        )
    return messages


def role_of(message: Any) -> Any:
    """Return the role of a message; None if it has none or is not a mapping."""
    return message.get("role") if isinstance(message, Mapping) else None


def begins_answer(message: Any) -> bool:
    """Tell whether a message is the beginning of an answer that the model is to go on from."""
    return role_of(message) == "assistant" and message.get("prefix") is True


def no_prefix(name: str) -> ParameterError:
    """Return the error for a service that does not go on from the beginning of an answer."""
    able = [card.name for card in package_cards() if card.prefix]
    return ParameterError(
        tr(
            "{name} does not go on from the beginning of an answer (--prefix; in a "
            "message, prefix)",
            name=name,
        ),
        hint=tr("Leave it out, or ask one that does: {able}.", able=", ".join(able)),
    )


def check_content(content: Any, number: int) -> str:
    """Return content that is text, of the message with this number; raise as `check_text` does."""
    return check_text(content, tr("The content of message {number}", number=number))


def check_prompt(prompt: Any, card: Card | None) -> str:
    """Return a prompt that is text and no longer than the model's card allows.

    Raises
    ------
    ParameterError
        As `check_text` and `check_length` do.
    """
    check_length(len(check_text(prompt, tr("The prompt"))), card)
    return str(prompt)

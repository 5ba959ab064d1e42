"""A request that the embedded server has checked, as an engine sees it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from qianfan_magic.catalogue import Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes
    ----------
    card
        The model that is asked.
    messages
        Of a chat, the texts by turns, the user's first; of a completion, the prompt alone.
    parameters
        Those that were sent, by the table's names.
    seed
        The same seed and texts give the same answer in the same chunks.
    """

    card: Card
    messages: tuple[str, ...]
    parameters: dict[str, Any]
    seed: int

    @property
    def text(self) -> str:
        """What is asked now."""
        return self.messages[-1]

    @property
    def characters(self) -> int:
        """The length of all messages together."""
        return sum(len(message) for message in self.messages)

    def random(self) -> Random:
        """Give the random numbers of this question."""
        return Random(f"{self.seed}\0{self.card.name}\0" + "\0".join(self.messages))  # noqa: S311

"""A request that the embedded server has checked, as an engine sees it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import Kind
from qianfan_magic.embedded.images import ReceivedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """What is asked.

    Attributes
    ----------
    card
        The model that is asked.
    kind
        ``"chat"`` or ``"completion"``.
    messages
        Of a chat, the texts by turns, the user's first; of a completion, the prompt alone.
    parameters
        Those that were sent, by the table's names.
    seed
        The same seed and texts give the same answer in the same chunks.
    system
        Version 2: the text of the system's message.
    pictures
        Version 2: those of the last message.
    thinks
        Version 2: whether the model is to think before it answers.
    """

    card: Card
    kind: Kind
    messages: tuple[str, ...]
    parameters: dict[str, Any]
    seed: int
    system: str = ""
    pictures: tuple[ReceivedImage, ...] = ()
    thinks: bool = False

    @property
    def text(self) -> str:
        """What is asked now."""
        return self.messages[-1]

    @property
    def suffix(self) -> str:
        """What comes behind the text that a completion is to write."""
        return str(self.parameters.get("suffix", ""))

    @property
    def json(self) -> bool:
        """Whether the answer is to be JSON; a model that cannot does not know the parameter."""
        return self.card.json and self.parameters.get("response_format") == "json_object"

    @property
    def texts(self) -> tuple[str, ...]:
        """All that counts towards the model's limits."""
        return (*self.messages, self.system, self.suffix)

    @property
    def characters(self) -> int:
        """The length of all texts together."""
        return sum(map(len, self.texts))

    def random(self) -> Random:
        """Give the random numbers of this question."""
        seed = self.parameters.get("seed", self.seed)
        return Random(f"{seed}\0{self.card.name}\0" + "\0".join(self.messages))  # noqa: S311

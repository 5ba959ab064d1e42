"""A validated request, as the engines receive it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import Kind
from qianfan_magic.embedded.images import ReceivedImage

__all__ = ["ServerRequest", "ToolResult"]


class ToolResult(NamedTuple):
    """A call that the last answer asked for: its name, its arguments as JSON, and its result."""

    name: str
    arguments: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """A validated request, in terms that both versions of the API share.

    Attributes
    ----------
    card
        The requested model.
    kind
        ``"chat"`` or ``"completion"``.
    messages
        Texts of a chat's messages in order, without the system message; of a completion, its
        prompt alone.
    parameters
        Request parameters, by their names in the parameter table.
    seed
        Seed for this request; equal seeds and texts give the same answer in the same chunks.
    stream
        Whether the answer is sent as a stream of chunks.
    include_usage
        Whether the last chunk of a stream contains the token usage (version 2).
    system
        Text of the system message (version 2).
    images
        Images of the last message (version 2).
    schema
        The JSON schema that the answer has to fit (version 2); None if there is none.
    thinks
        Whether the model reasons before it answers (version 2).
    prefix
        Beginning of the answer, from which the model is to go on (version 2).
    tools
        The functions that the model may call, as the request declares them.
    tool_results
        The results of the calls that the last answer asked for; empty before.
    """

    card: Card
    kind: Kind
    messages: tuple[str, ...]
    parameters: dict[str, Any]
    seed: int
    stream: bool = False
    include_usage: bool = False
    system: str = ""
    images: tuple[ReceivedImage, ...] = ()
    schema: dict[str, Any] | None = None
    thinks: bool = False
    prefix: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    tool_results: tuple[ToolResult, ...] = ()

    @property
    def prompt(self) -> str:
        """The last message of a chat, or the prompt of a completion."""
        return self.messages[-1]

    @property
    def suffix(self) -> str:
        """The text after the gap that a completion fills; may be empty."""
        return str(self.parameters.get("suffix", ""))

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON; models without JSON mode ignore the parameter."""
        return self.card.json and self.parameters.get("response_format") == "json_object"

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that count towards the model's input limits."""
        return (*self.messages, self.system, self.suffix, self.prefix)

    @property
    def characters(self) -> int:
        """Number of characters in all texts together."""
        return sum(map(len, self.texts))

    def random(self) -> Random:
        """Return a random number generator that is seeded by this request alone."""
        # Not of the server: the answer must not depend on the requests before this one.
        seed = self.parameters.get("seed", self.seed)
        return Random(f"{seed}\0{self.card.name}\0" + "\0".join(self.messages))  # noqa: S311

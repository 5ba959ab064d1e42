"""Engines: they write the texts of the embedded server's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qianfan_magic.embedded.engines import reasoning, scripted
from qianfan_magic.embedded.request import ServerRequest

__all__ = ["SCRIPTED", "Engine"]


@dataclass(frozen=True, slots=True)
class Engine:
    """Two functions of a request; calling the engine calls the first.

    Attributes
    ----------
    answer
        Returns the text of the answer.
    reasoning
        Returns the reasoning that precedes it, for a request with `ServerRequest.thinks`.
    """

    answer: Callable[[ServerRequest], str]
    reasoning: Callable[[ServerRequest], str]

    def __call__(self, request: ServerRequest) -> str:
        """Return the text of the answer."""
        return self.answer(request)


#: The engine that knows some answers by heart.
SCRIPTED = Engine(scripted.answer, reasoning.reasoning)

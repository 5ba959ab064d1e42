"""What writes the embedded server's answers: an engine makes texts of a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qianfan_magic.embedded.engines import reasoning, scripted

if TYPE_CHECKING:
    from qianfan_magic.embedded.request import ServerRequest


@dataclass(frozen=True, slots=True)
class Engine:
    """Two functions of a question; called, it answers.

    Attributes
    ----------
    answer
        Returns what is said.
    reasoning
        Returns what is thought before, if the question asks to think.
    """

    answer: Callable[[ServerRequest], str]
    reasoning: Callable[[ServerRequest], str]

    def __call__(self, question: ServerRequest) -> str:
        """Return what is said."""
        return self.answer(question)


ENGINES = {"scripted": Engine(scripted.answer, reasoning.reasoning)}

"""What writes the embedded server's answers: one function from a question to a text each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qianfan_magic.embedded.engines.scripted import answer as scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from qianfan_magic.embedded.question import Question

ENGINES: dict[str, Callable[[Question], str]] = {"scripted": scripted}

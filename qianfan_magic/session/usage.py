"""What the cells of a notebook have used so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from qianfan_magic.api.types import Usage


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """One answer, whole or not.

    Attributes
    ----------
    model
        The endpoint or model that answered.
    usage
        As the service counted.
    first
        Seconds until the first of it came.
    streamed
        Seconds from then to its end; 0 for an answer that came in one piece.
    """

    model: str
    usage: Usage
    first: float
    streamed: float


@dataclass(frozen=True, slots=True)
class Total:
    """All answers of one model.

    Attributes
    ----------
    model
        The endpoint or model.
    calls
        Answers.
    prompt_tokens, completion_tokens
        In and out, as the service counted them.
    first_token
        Seconds to the first of an answer: the median.
    tokens_per_second
        Of the streamed answers, from the first token on; None where nothing was streamed.
    """

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    first_token: float
    tokens_per_second: float | None


def totals_by_model(used: Iterable[AnswerStats]) -> list[dict[str, Any]]:
    """Add up by model, in the order in which they were asked first; see `Total`."""
    by_model: dict[str, list[AnswerStats]] = {}
    for one in used:
        by_model.setdefault(one.model, []).append(one)
    return [asdict(_total(model, ones)) for model, ones in by_model.items()]


def _total(model: str, ones: list[AnswerStats]) -> Total:
    streamed = [one for one in ones if one.streamed > 0]
    seconds = sum(one.streamed for one in streamed)
    tokens = sum(one.usage.completion_tokens for one in streamed)
    return Total(
        model=model,
        calls=len(ones),
        prompt_tokens=sum(one.usage.prompt_tokens for one in ones),
        completion_tokens=sum(one.usage.completion_tokens for one in ones),
        first_token=median(one.first for one in ones),
        tokens_per_second=tokens / seconds if streamed else None,
    )

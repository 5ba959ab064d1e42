"""Statistics of the answers so far, which ``%qianfan usage`` shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from qianfan_magic.api.types import Usage

__all__ = ["AnswerStats", "Total", "totals_by_model"]


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """Statistics of one answer, complete or not.

    Attributes
    ----------
    model
        The endpoint or model that answered.
    usage
        Numbers of tokens, as the service counted them.
    first
        Seconds until its first chunk arrived.
    streamed
        Seconds from the first chunk to the end; 0 for an answer that arrived in one piece.
    """

    model: str
    usage: Usage
    first: float
    streamed: float


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over all answers of one model.

    Attributes
    ----------
    model
        The endpoint or model.
    calls
        Number of answers.
    prompt_tokens, completion_tokens
        Numbers of tokens, as the service counted them.
    first_token
        Median of the seconds until an answer's first chunk arrived.
    tokens_per_second
        Rate of the streamed answers from their first chunk on; None if no answer was streamed.
    """

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    first_token: float
    tokens_per_second: float | None


def totals_by_model(stats: Iterable[AnswerStats]) -> list[dict[str, Any]]:
    """Add up statistics by model, in the order in which the models were first used.

    Returns
    -------
    list of dict
        The fields of a `Total` for each model.

    Examples
    --------
    >>> stats = [AnswerStats("ernie-5.1", Usage(5, 40, 45), first=0.5, streamed=2.0)]
    >>> totals_by_model(stats)[0]["tokens_per_second"]
    20.0
    """
    by_model: dict[str, list[AnswerStats]] = {}
    for answer in stats:
        by_model.setdefault(answer.model, []).append(answer)
    return [asdict(_total(model, answers)) for model, answers in by_model.items()]


def _total(model: str, answers: list[AnswerStats]) -> Total:
    streamed = [answer for answer in answers if answer.streamed > 0]
    seconds = sum(answer.streamed for answer in streamed)
    tokens = sum(answer.usage.completion_tokens for answer in streamed)
    return Total(
        model=model,
        calls=len(answers),
        prompt_tokens=sum(answer.usage.prompt_tokens for answer in answers),
        completion_tokens=sum(answer.usage.completion_tokens for answer in answers),
        first_token=median(answer.first for answer in answers),
        tokens_per_second=tokens / seconds if streamed else None,
    )

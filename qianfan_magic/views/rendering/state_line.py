"""The line below an answer, the same in every view: model · state · tokens · pace · parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qianfan_magic.language import tr, trn
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.invisible import escape_invisible

__all__ = [
    "AnswerHead",
    "duration_text",
    "join_parts",
    "pace_text",
    "parameters_text",
    "tokens_text",
    "value_text",
]

#: Milliseconds of a second, from which on seconds are shown.
SECOND = 1000
#: Shortest time, in seconds, over which a rate in tokens a second says anything.
SHORTEST = 0.2
#: Largest number of characters of a value; a list of stop texts may be long.
LONGEST_VALUE = 40


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What is known of an answer before it arrives.

    Attributes
    ----------
    service
        Name of the endpoint or model.
    parameters
        The parameters that are set, see `parameters_text`.
    title
        The title of its column; empty for a single answer.
    """

    service: str
    parameters: str = ""
    title: str = ""


def join_parts(*parts: str) -> str:
    """Join the parts of the line, without the empty ones."""
    return " \u00b7 ".join(part for part in parts if part)


def tokens_text(count: int, sign: str = "") -> str:
    """Write a number of tokens; empty for 0, which stands for an unknown number.

    Examples
    --------
    >>> tokens_text(1), tokens_text(1200, "≈ ")
    ('1 token', '≈ 1,200 tokens')
    """
    return trn("{sign}{count:,} token", "{sign}{count:,} tokens", count, sign=sign) if count else ""


def pace_text(first: float, count: int, seconds: float, sign: str = "") -> str:
    """Write how fast an answer came.

    Parameters
    ----------
    first
        Seconds until its first piece arrived.
    count
        Number of its tokens; 0 if unknown.
    seconds
        Seconds from its first piece to its last.
    sign
        Stands before the rate if the number of tokens is an estimate.

    Examples
    --------
    >>> pace_text(0.32, 130, 2.5)
    'first token after 320 ms · 52 tokens/s'
    >>> pace_text(1.25, 0, 2.5)
    'first token after 1.2 s'
    """
    after = duration_text(first)
    has_rate = count and seconds >= SHORTEST
    rate = tr("{sign}{rate:,.0f} tokens/s", sign=sign, rate=count / seconds) if has_rate else ""
    return join_parts(tr("first token after {after}", after=after), rate)


def duration_text(seconds: float) -> str:
    """Write a short time, in milliseconds or seconds.

    Examples
    --------
    >>> duration_text(0.32), duration_text(1.25)
    ('320 ms', '1.2 s')
    """
    milliseconds = round(seconds * 1000)
    return f"{seconds:.1f} s" if milliseconds >= SECOND else f"{milliseconds} ms"


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Write the parameters that are set.

    Examples
    --------
    >>> parameters_text({"temperature": 0.3, "stop": ["END"]})
    "temperature=0.3, stop=['END']"
    """
    texts = ((name, value_text(value)) for name, value in parameters.items())
    return ", ".join(
        f"{name}={text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + '…'}"
        for name, text in texts
    )


def value_text(value: Any) -> str:
    """Write a value as ``%qianfan params`` takes it, with a list's texts in quotes.

    Known secrets in it are masked: the line stays in the saved notebook.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return escape_invisible(mask_known(value if isinstance(value, str) else repr(value)))

"""Suggestions for names that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from qianfan_magic.language import tr

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """Ask whether a similar name was meant.

    Parameters
    ----------
    name
        What was written.
    known
        The names that exist; letter case is ignored when they are compared.
    most
        Largest number of names to suggest.

    Returns
    -------
    str
        A question; empty if no name is similar.

    Examples
    --------
    >>> did_you_mean("temprature", ["temperature", "top_p"])
    'Did you mean temperature?'
    """
    by_lower: dict[str, str] = {}
    for one in known:
        by_lower.setdefault(one.lower(), one)
    close = difflib.get_close_matches(name.lower(), by_lower, most)
    return (
        tr("Did you mean {names}?", names=", ".join(by_lower[one] for one in close))
        if close
        else ""
    )

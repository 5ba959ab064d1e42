"""What was used so far, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.table import table_bundle

HEADS = ("model", "answers", "tokens in", "tokens out", "first token, median", "tokens/s")


def usage_bundle(totals: Sequence[Mapping[str, Any]], left: Sequence[str] = ()) -> dict[str, str]:
    """Make the plain output of the sums by model, see `qianfan_magic.session.usage.Total`.

    Parameters
    ----------
    totals
        By model.
    left
        What the service's limits left at its last answer.
    """
    if not totals:
        return AnswerOutput("Nothing has been answered yet.").bundle()
    notes = [f"The service's limits leave {', '.join(left)}."] if left else []
    return table_bundle(HEADS, [_row(total) for total in totals], numbers=HEADS[1:], notes=notes)


def _row(total: Mapping[str, Any]) -> tuple[str, ...]:
    pace = total["tokens_per_second"]
    return (
        total["model"],
        f"{total['calls']:,}",
        f"{total['prompt_tokens']:,}",
        f"{total['completion_tokens']:,}",
        f"{total['first_token']:.2f} s",
        "" if pace is None else f"{pace:,.0f}",
    )

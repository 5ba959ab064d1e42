"""What was used so far, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from qianfan_magic.views.mathematics import IGNORED
from qianfan_magic.views.shown import Shown
from qianfan_magic.views.visible import visible

HEADS = ("model", "answers", "tokens in", "tokens out", "first token, median", "tokens/s")


def usage_bundle(totals: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Make the plain output of the sums by model, see `qianfan_magic.usage.Total`."""
    if not totals:
        return Shown("Nothing has been answered yet.").bundle()
    rows = [HEADS, *map(_row, totals)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    plain = "\n".join("  ".join(map(_padded, row, widths)).rstrip() for row in rows)
    head = "".join(_cell("th", text, text) for text in HEADS)
    body = [
        "".join(_cell("td", *pair) for pair in zip(row, HEADS, strict=True)) for row in rows[1:]
    ]
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    html = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
    return {"text/html": f'<div class="{IGNORED}">\n{html}\n</div>', "text/plain": plain}


def _row(total: Mapping[str, Any]) -> tuple[str, ...]:
    pace = total["tokens_per_second"]
    return (
        visible(total["model"]),
        f"{total['calls']:,}",
        f"{total['prompt_tokens']:,}",
        f"{total['completion_tokens']:,}",
        f"{total['first_token']:.2f} s",
        "" if pace is None else f"{pace:,.0f}",
    )


def _padded(text: str, width: int) -> str:
    return f"{text:<{width}}"


def _cell(tag: str, text: str, head: str) -> str:
    side = "left" if head == HEADS[0] else "right"
    return f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>'

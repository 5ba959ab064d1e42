"""A table as plain output."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.answer import QUIET
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import IGNORED

#: Columns of so short texts keep each in one line, as does the first, which names the row.
SHORT, LONGEST_NAME = 12, 30


def table_bundle(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> dict[str, str]:
    """Make the plain output of a table, ``text/html`` and ``text/plain``.

    Parameters
    ----------
    heads
        Of the columns.
    rows
        Texts, as many each as there are heads.
    numbers
        The heads whose columns stand to the right.
    notes
        Lines under it.
    """
    seen = [[escape_invisible(mask_known(text)) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *seen, strict=True)]
    plain = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *seen)
    ]
    styles = [
        "text-align:right" if head in numbers else f"text-align:left{_held(place, width)}"
        for place, (head, width) in enumerate(zip(heads, widths, strict=True))
    ]
    head, *body = (
        "".join(
            f'<{tag} style="{style}">{escape(text)}</{tag}>'
            for text, style in zip(row, styles, strict=True)
        )
        for tag, row in (("th", heads), *(("td", row) for row in seen))
    )
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    html = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
    below = "".join(f'\n<p style="{QUIET}">{escape(escape_invisible(note))}</p>' for note in notes)
    return {
        "text/html": f'<div class="{IGNORED}" style="overflow-x: auto">\n{html}{below}\n</div>',
        "text/plain": "\n".join([*plain, *(f"[{escape_invisible(note)}]" for note in notes)]),
    }


def _held(place: int, width: int) -> str:
    """Style a column of so long texts so that it holds each in one line, if it is to."""
    return "; white-space:nowrap" * (width <= (SHORT if place else LONGEST_NAME))

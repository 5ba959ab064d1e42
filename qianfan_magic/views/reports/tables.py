"""Reports that are tables: what the doctor found, the model catalogue, and the token usage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.doctor.finding import MARKS, Finding
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import IGNORED
from qianfan_magic.views.rendering.style import inline

__all__ = ["USAGE_HEADERS", "doctor_bundle", "models_bundle", "table_bundle", "usage_bundle"]

DOCTOR_HEADERS = ("", "checked", "found", "what to do")
MODELS_HEADERS = ("model", "kind", "API", "flags", "characters", "tokens", "can")
USAGE_HEADERS = ("model", "answers", "tokens in", "tokens out", "first token, median", "tokens/s")

#: Widest columns, in characters, whose cells are not wrapped: the first column names the row and
#: may be wider than the others.
NOWRAP_WIDTH, NOWRAP_FIRST_WIDTH = 12, 30


def table_bundle(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> dict[str, str]:
    """Make the MIME bundle of a table, ``text/html`` and ``text/plain``.

    Parameters
    ----------
    headers
        The columns' headers.
    rows
        The cells' texts, row by row; each row has one for each header.
    numbers
        Headers of the columns that are aligned right.
    notes
        Lines below the table.
    """
    cells = [[escape_invisible(mask_known(text)) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    lines = [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (headers, *cells)
    ]
    styles = [
        "text-align:right" if header in numbers else f"text-align:left{_nowrap(index, width)}"
        for index, (header, width) in enumerate(zip(headers, widths, strict=True))
    ]
    below = [escape_invisible(note) for note in notes]
    html = _table_html(headers, cells, styles)
    html += "".join(
        f'\n<p style="{inline("line")};{inline("below")}">{escape(note)}</p>' for note in below
    )
    return {
        "text/html": f'<div class="{IGNORED}" style="{inline("table")}">\n{html}\n</div>',
        "text/plain": "\n".join([*lines, *(f"[{note}]" for note in below)]),
    }


def _table_html(
    headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]
) -> str:
    # Styles stand on each cell: a saved notebook shows the table without a style sheet of ours.
    head, *body = (
        "".join(
            f'<{tag} style="{style}">{escape(text)}</{tag}>'
            for text, style in zip(row, styles, strict=True)
        )
        for tag, row in (("th", headers), *(("td", row) for row in rows))
    )
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _nowrap(index: int, width: int) -> str:
    """Return the style that keeps a narrow column's cells on one line; empty for a wide column."""
    return "; white-space:nowrap" * (width <= (NOWRAP_WIDTH if index else NOWRAP_FIRST_WIDTH))


def doctor_bundle(findings: Sequence[Finding]) -> dict[str, str]:
    """Make the MIME bundle of the doctor's findings.

    The ``text/plain`` is what ``qianfan-magic doctor`` prints on the command line.
    """
    rows = [
        (MARKS[finding.state], finding.subject, finding.message, finding.hint)
        for finding in findings
    ]
    bundle = table_bundle(DOCTOR_HEADERS, rows)
    lines = [line for finding in findings for line in finding.lines]
    return bundle | {"text/plain": "\n".join(lines)}


def models_bundle(
    cards: Iterable[Card], listed: Collection[str] | None, notes: Sequence[str]
) -> dict[str, str]:
    """Make the MIME bundle of the model catalogue.

    Parameters
    ----------
    cards
        All model cards in effect.
    listed
        Names of the models that API version 2 lists; None if it was not queried.
    notes
        Lines below the table.
    """
    known = {card.model or card.name for card in cards if card.version == ApiVersion.V2}
    rows = [(_order(card), [*_model_row(card, listed), _end(card)]) for card in cards]
    rows += [
        ((-2, False, name.lower()), [name, "", "2", "-m", "", "", "", "yes", ""])
        for name in set(listed or ()) - known
    ]
    rows.sort()
    headers = [*MODELS_HEADERS, *["listed"] * (listed is not None), "ended"]
    # Version 2 has no limits in characters, and a server of one's own no models that ended.
    shown = [
        index
        for index, header in enumerate(headers)
        if header not in {"characters", "ended"} or any(row[index] for _, row in rows)
    ]
    cells = [[row[index] for index in shown] for _, row in rows]
    headers = [headers[index] for index in shown]
    return table_bundle(headers, cells, numbers=("characters", "tokens"), notes=notes)


def _order(card: Card) -> tuple[int, bool, str]:
    """Return the key that sorts version 2 first, and in each version the living models."""
    return (-card.version, card.ends is not None, card.name.lower())


def _end(card: Card) -> str:
    """Return the day on which a model ends or ended, and what takes its place."""
    if card.ends is None:
        return ""
    return f"{card.ends}, now {card.successor}" if card.successor else str(card.ends)


def _model_row(card: Card, listed: Collection[str] | None) -> list[str]:
    """Return the cells of a model's row, in the order of `MODELS_HEADERS`."""
    needs_endpoint = card.version == ApiVersion.V1 and not card.endpoint
    row = [
        card.name,
        ", ".join(card.kinds),
        str(card.version),
        "-m, -e" if needs_endpoint else "-m",
        _limit(card.max_characters),
        _limit(card.max_tokens),
        ", ".join(_abilities(card)),
    ]
    if listed is not None:
        is_listed = (card.model or card.name) in listed
        row.append("" if card.version == ApiVersion.V1 else "yes" if is_listed else "no")
    return row


def _limit(limit: int | None) -> str:
    return "" if limit is None else f"{limit:,}"


def _abilities(card: Card) -> list[str]:
    thinks = "always thinks" if card.thinks == "always" else "think"
    abilities = {
        thinks: bool(card.thinks),
        "see": card.sees,
        "search": card.search,
        "JSON": card.json,
    }
    return [name for name, is_given in abilities.items() if is_given]


def usage_bundle(totals: Sequence[Mapping[str, Any]], left: Sequence[str] = ()) -> dict[str, str]:
    """Make the MIME bundle of the usage so far.

    Parameters
    ----------
    totals
        One total for each model, with the keys of `qianfan_magic.session.usage.Total`.
    left
        What the service's rate limits still allow, from its last response.
    """
    if not totals:
        return AnswerOutput("Nothing has been answered yet.").bundle()
    notes = [f"The service's limits leave {', '.join(left)}."] if left else []
    rows = [_usage_row(total) for total in totals]
    return table_bundle(USAGE_HEADERS, rows, numbers=USAGE_HEADERS[1:], notes=notes)


def _usage_row(total: Mapping[str, Any]) -> tuple[str, ...]:
    speed = total["tokens_per_second"]
    return (
        total["model"],
        f"{total['calls']:,}",
        f"{total['prompt_tokens']:,}",
        f"{total['completion_tokens']:,}",
        f"{total['first_token']:.2f} s",
        "" if speed is None else f"{speed:,.0f}",
    )

"""Reports that are tables: what the doctor found, the model catalogue, and the token usage."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlsplit

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.doctor.finding import MARKS, Finding, summary
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.answer import line_html, message_bundle, wrap_answer
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.style import inline, scrollable

__all__ = [
    "USAGE_HEADERS",
    "Section",
    "doctor_bundle",
    "models_bundle",
    "plain_lines",
    "rows_html",
    "sections_bundle",
    "table_bundle",
    "usage_bundle",
]

DOCTOR_HEADERS = ("", "checked", "found", "what to do")
MODELS_HEADERS = (
    *("model", "default", "kind", "needs", "characters", "tokens", "can", "listed", "ended"),
)
#: What the columns of the models mean.
NOTE = (
    "A cell names a model with -m. default: what cells without -m ask. characters, tokens: the "
    "most that a request may have. can think: --enable-thinking; see: -i; search: --web-search. "
    "listed: whether your keys reach it."
)
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
        The columns' headers; empty for a table without.
    rows
        The cells' texts, row by row; each row has one for each header.
    numbers
        Headers of the columns that are aligned right.
    notes
        Lines below the table.
    """
    below = [escape_invisible(note) for note in notes]
    html = rows_html(headers, rows, numbers)
    html += "".join(map(line_html, below))
    plain = [*plain_lines(headers, rows), *(f"[{note}]" for note in below)]
    return {"text/html": wrap_answer(html), "text/plain": "\n".join(plain)}


def plain_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table as lines of text, with columns of equal width; without headers if empty."""
    lines = [headers, *_shown(rows)] if headers else _shown(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]


def rows_html(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> str:
    """Write a table as HTML; the parameters are those of `table_bundle`."""
    cells = _shown(rows)
    columns = zip(*([headers, *cells] if headers else cells), strict=True)
    widths = [max(map(len, column)) for column in columns]
    titles = headers or [""] * len(widths)
    # Styles stand on each cell: a saved notebook shows the table without a style sheet of ours.
    styles = [
        "text-align:right" if title in numbers else f"text-align:left{_nowrap(index, width)}"
        for index, (title, width) in enumerate(zip(titles, widths, strict=True))
    ]
    head = f"<thead>{_row_html('th', headers, styles)}</thead>\n" if headers else ""
    lines = "\n".join(_row_html("td", row, styles) for row in cells)
    body = f"{head}<tbody>\n{lines}\n</tbody>"
    return scrollable(f'<table style="{inline("grid")}">\n{body}\n</table>')


def _shown(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape_invisible(mask_known(text)) for text in row] for row in rows]


def _row_html(tag: str, row: Sequence[str], styles: Sequence[str]) -> str:
    cells = []
    for text, style in zip(row, styles, strict=True):
        element = tag if text else "td"  # a screen reader would announce an empty header
        cells.append(f'<{element} style="{style}">{escape(text)}</{element}>')
    return f"<tr>{''.join(cells)}</tr>"


def _nowrap(index: int, width: int) -> str:
    """Return the style that keeps a narrow column's cells on one line; empty for a wide column."""
    return "; white-space:nowrap" * (width <= (NOWRAP_WIDTH if index else NOWRAP_FIRST_WIDTH))


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a heading, one of several in a report.

    Attributes
    ----------
    heading
        Its heading.
    headers, rows, numbers
        As in `table_bundle`.
    """

    heading: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()


def sections_bundle(
    sections: Iterable[Section], *, title: str = "", lead: str = "", notes: Sequence[str] = ()
) -> dict[str, str]:
    """Make the MIME bundle of several tables below each other; those without rows are left out."""
    html = [f'<p style="{inline("title")}">{escape(title)}</p>'] if title else []
    html += [line_html(lead)] if lead else []
    plain = [text for text in (title, lead) if text]
    for section in sections:
        if not section.rows:
            continue
        table = rows_html(section.headers, section.rows, section.numbers)
        html.append(f'<p style="{inline("section")}">{escape(section.heading)}</p>\n{table}')
        plain.append("\n".join([section.heading, *plain_lines(section.headers, section.rows)]))
    html += map(line_html, notes)
    plain += [f"[{note}]" for note in notes]
    bundle = {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}
    return {kind: escape_invisible(text) for kind, text in bundle.items()}


def doctor_bundle(findings: Sequence[Finding]) -> dict[str, str]:
    """Make the MIME bundle of the doctor's findings, with one sentence on all of them first.

    The ``text/plain`` is what ``qianfan-magic doctor`` prints on the command line.
    """
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for number, one in enumerate(findings):
        row = (MARKS[one.state], one.subject, one.message, one.hint)
        # The addresses of one server that answers share a row.
        is_server = one.subject == "Server" and one.state == "ok"
        host = urlsplit(one.message.partition(" ")[0]).netloc if is_server else str(number)
        before = rows.get((one.subject, host))
        rows[one.subject, host] = (*row[:2], f"{before[2]}; {row[2]}", row[3]) if before else row
    sentence = summary(findings)
    lead = wrap_answer(f'<p style="{inline("title")}">{sentence}</p>')
    table = table_bundle(DOCTOR_HEADERS, list(rows.values()))
    lines = [line for finding in findings for line in finding.lines]
    return {
        "text/html": f"{lead}\n{table['text/html']}",
        "text/plain": "\n".join([sentence, *lines]),
    }


def models_bundle(
    cards: Iterable[Card],
    listed: Collection[str] | None,
    notes: Sequence[str],
    defaults: Mapping[Kind, str],
) -> dict[str, str]:
    """Make the MIME bundle of the model catalogue, each version in a table of its own.

    Parameters
    ----------
    cards
        All model cards in effect.
    listed
        Names of the models that API version 2 lists; None if it was not queried.
    notes
        Lines below the tables.
    defaults
        By kind, the name of the service that a cell without flags asks.
    """
    cards = sorted(cards, key=lambda card: (card.ends is not None, card.name.lower()))
    new = [card for card in cards if card.version == ApiVersion.V2]
    old = [card for card in cards if card.version == ApiVersion.V1]
    unknown = sorted(set(listed or ()) - {card.model or card.name for card in new}, key=str.lower)
    new_rows = [{"model": name, "listed": "yes"} for name in unknown]
    new_rows += [_model_row(card, listed) for card in new]
    old_rows = [_model_row(card, None) for card in old]
    for row in (*new_rows, *old_rows):
        row["default"] = ", ".join(kind for kind, name in defaults.items() if name == row["model"])
    told = [NOTE] if new_rows or old_rows else []
    sections = [_models_section("Version 2", new_rows), _models_section("Version 1", old_rows)]
    return sections_bundle(sections, notes=[*told, *notes])


def _models_section(heading: str, rows: Sequence[Mapping[str, str]]) -> Section:
    """Make a section of models, without the columns that would be empty."""
    headers = [name for name in MODELS_HEADERS if any(row.get(name) for row in rows)]
    cells = [[row.get(name, "") for name in headers] for row in rows]
    return Section(heading, headers, cells, ("characters", "tokens"))


def _end(card: Card) -> str:
    """Return the day on which a model ends or ended, and what takes its place."""
    if card.ends is None:
        return ""
    return f"{card.ends}, now {card.successor}" if card.successor else str(card.ends)


def _model_row(card: Card, listed: Collection[str] | None) -> dict[str, str]:
    """Return the cells of a model's row by header."""
    needs_endpoint = card.version == ApiVersion.V1 and not card.endpoint
    is_listed = listed is not None and (card.model or card.name) in listed
    return {
        "model": card.name,
        "kind": ", ".join(card.kinds),
        "needs": "-e" if needs_endpoint else "",
        "characters": _limit(card.max_characters),
        "tokens": _limit(card.max_tokens),
        "can": ", ".join(_abilities(card)),
        "listed": "" if listed is None else "yes" if is_listed else "no",
        "ended": _end(card),
    }


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
        return message_bundle("Nothing has been answered yet.")
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

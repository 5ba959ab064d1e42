"""The table of faults in the documentation, made from what cells did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from support.fault_matrix import Outcome
from support.faulty_answers import Case

FAULT_WORDS = {
    "close": "the connection is closed",
    "reset": "the connection is reset",
    "silence": "nothing more comes",
    "garbage": "bytes that are no HTTP",
    "flood": "bytes without end",
    "short": "the framing ends the body",
    "gzip": "damaged compression",
}
POINT_WORDS = {
    "connection": "when connecting",
    "request": "after the request",
    "head": "in the head",
    "body": "before the body",
    "part": "in its first event",
    "between": "between events",
    "end": "before its end",
}
HEADER = ("what happens", "where", "error", "what it says to do", "shown", "requests")
Row = tuple[str, ...]


def fault_table(outcomes: Mapping[Case, Outcome]) -> str:
    """Write the table; what all kinds and versions share is one row."""
    sections: dict[str, list[Row]] = {}
    for case, outcome in outcomes.items():
        sections.setdefault(_section(case), []).append(_row(case, outcome))
    return f"{len(outcomes)} responses were tried.\n\n" + "\n\n".join(
        f"## {title}\n\n{_markdown([HEADER, ('---',) * len(HEADER), *_merged(rows)])}"
        for title, rows in sections.items()
    )


def _section(case: Case) -> str:
    if case.point == "odd":
        return "Odd HTTP"
    if case.scheme == "https":
        return "Instead of TLS"
    is_stream = case.is_stream and case.target == "answer"
    return "Streamed answers" if is_stream else "Whole answers, and responses with a token"


def _markdown(rows: Iterable[Row]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(case: Case, outcome: Outcome) -> Row:
    what = FAULT_WORDS.get(case.fault, case.fault)
    where = POINT_WORDS.get(case.point, "")
    if not (case.is_stream and case.target == "answer"):
        where = where.replace("first event", "middle")
    error = outcome.error
    if error is None:
        return (what, where, "none", "", "the answer", str(outcome.requests))
    said = re.sub(r"\d[\d,]* (bytes|characters)", r"… \1", getattr(error, "message", ""))
    shown = "what had arrived" if case.arrived else "nothing"
    return (
        what,
        where,
        f"`{type(error).__name__}`: {said}",
        outcome.hint,
        shown,
        str(outcome.requests),
    )


def _merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Join the rows that differ in nothing but the place of the fault."""
    distinct = list(dict.fromkeys(rows))
    keyed = sorted(distinct, key=lambda row: _order(distinct, row))
    for (what, *rest), group in groupby(keyed, key=lambda row: (row[0], *row[2:])):
        places = ", ".join(dict.fromkeys(row[1] for row in group))
        yield (what, places, *rest)


def _order(rows: list[Row], row: Row) -> int:
    """Return the place of the first row that differs from this one in its place alone."""
    return next(n for n, one in enumerate(rows) if (one[0], one[2:]) == (row[0], row[2:]))

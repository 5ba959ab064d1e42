"""A request and what came back, as the service's own debugging page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from qianfan_magic.api.http.exchange import Exchange, events_of, exchange_to_dict, masked
from qianfan_magic.views.rendering.answer import wrap_answer
from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible

#: So many events of a stream are shown from its beginning and from its end.
FIRST, LAST = 6, 3
#: A whole answer is shown up to so many characters.
LONGEST = 20_000
#: A title stands nearer to its own text than to the one before.
TITLE = "margin: 1.2em 0 0.3em 0; font-weight: bold; font-size: 90%"


def request_bundle(exchange: Exchange, which: str = "") -> dict[str, str]:
    """Make the plain output of a request and its answer.

    Parameters
    ----------
    exchange
        What went out and came back.
    which
        Of several requests.
    """
    told = exchange_to_dict(exchange)
    parts: list[tuple[str, str]] = [(which, "")] if which else []
    parts.append(("Sent", told["request"] or "Nothing: it failed before."))
    lines = [_line(number, attempt) for number, attempt in enumerate(told["attempts"], 1)]
    parts.append(("1 attempt" if len(lines) == 1 else f"{len(lines)} attempts", "\n".join(lines)))
    if told["status"] is not None:
        head = "\n".join(f"{name}: {value}" for name, value in told["headers"].items())
        parts.append(("Came back", f"{head}\n\n{_shortened(exchange)}"))
    if told["seconds"] is not None:
        first = "" if told["first"] is None else f"first piece after {told['first']:.3f} s, "
        parts.append((f"Times: {first}all after {told['seconds']:.3f} s", ""))
    return _bundle([(title, escape_invisible(text)) for title, text in parts])


def _bundle(parts: Sequence[tuple[str, str]]) -> dict[str, str]:
    html = [
        f'<p style="{TITLE}">{escape(title)}</p>\n{preformatted(text) if text else ""}'
        for title, text in parts
    ]
    plain = [f"--- {title}" + (f"\n\n{text}" if text else "") for title, text in parts]
    return {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}


def _line(number: int, attempt: Mapping[str, Any]) -> str:
    came = "no answer" if attempt["status"] is None else f"HTTP {attempt['status']}"
    said = f"{number}. at {attempt['begun']:.3f} s: {came} after {attempt['took']:.3f} s"
    return f"{said}: {attempt['error']}" if attempt["error"] else said


def _shortened(exchange: Exchange) -> str:
    pieces = events_of(exchange)
    left_out = len(pieces) - FIRST - LAST
    if left_out > 1:
        pieces = [*pieces[:FIRST], f"(… {left_out:,} more events …)\n\n", *pieces[-LAST:]]
    text = masked("".join(pieces)).rstrip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"

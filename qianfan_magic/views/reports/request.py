"""Report of ``%qianfan request``: a request and its response, as on Baidu's debugging page."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from typing import Any

from qianfan_magic.api.http.exchange import Exchange, events_of, exchange_to_dict, masked
from qianfan_magic.views.rendering.answer import wrap_answer
from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.style import inline

__all__ = ["request_bundle"]

#: Number of events of a stream that are shown from its beginning and from its end.
FIRST_EVENTS, LAST_EVENTS = 6, 3
#: Maximum number of characters of a response that are shown.
MAX_BODY = 20_000


def request_bundle(exchange: Exchange, which: str = "") -> dict[str, str]:
    """Make the MIME bundle of a request and its response, with secrets masked.

    Parameters
    ----------
    exchange
        The recorded request and response.
    which
        Title that distinguishes it from other requests of the same cell; empty for a single one.
    """
    recorded = exchange_to_dict(exchange, whole=False)
    sections: list[tuple[str, str]] = [(which, "")] if which else []
    sections.append(("Sent", recorded["request"] or "Nothing: it failed before it was sent."))
    attempts = [_attempt(number, each) for number, each in enumerate(recorded["attempts"], 1)]
    count = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
    sections.append((count, "\n".join(attempts)))
    if recorded["status"] is not None:
        headers = "\n".join(f"{name}: {value}" for name, value in recorded["headers"].items())
        sections.append(("Came back", f"{headers}\n\n{_shortened_body(exchange)}"))
    if recorded["seconds"] is not None:
        first = recorded["first"]
        first_piece = "" if first is None else f"first piece after {first:.3f} s, "
        sections.append((f"Times: {first_piece}all after {recorded['seconds']:.3f} s", ""))
    return _bundle([(title, escape_invisible(text)) for title, text in sections])


def _bundle(sections: Sequence[tuple[str, str]]) -> dict[str, str]:
    html = [
        f'<p style="{inline("section")}">{escape(title)}</p>\n{preformatted(text) if text else ""}'
        for title, text in sections
    ]
    plain = [f"--- {title}" + (f"\n\n{text}" if text else "") for title, text in sections]
    return {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}


def _attempt(number: int, attempt: Mapping[str, Any]) -> str:
    result = "no answer" if attempt["status"] is None else f"HTTP {attempt['status']}"
    line = f"{number}. at {attempt['begun']:.3f} s: {result} after {attempt['took']:.3f} s"
    return f"{line}: {attempt['error']}" if attempt["error"] else line


def _shortened_body(exchange: Exchange) -> str:
    events = events_of(exchange)
    shown = list(islice(events, FIRST_EVENTS))
    count, last = 0, deque[str](maxlen=LAST_EVENTS + 1)
    for count, event in enumerate(events, 1):  # noqa: B007  their number
        last.append(event)
    if count > LAST_EVENTS + 1:
        last[0] = f"(… {count - LAST_EVENTS:,} more events …)\n\n"
    # The whole is masked: a secret may be split between two events.
    text = masked("".join([*shown, *last])).rstrip()
    return text if len(text) <= MAX_BODY else f"{text[:MAX_BODY]} …"

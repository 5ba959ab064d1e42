"""The sources of a web search that an answer cites; pure.

Source: Qianfan's document of version 2. ``search_results`` stands beside the choices, or under
``search_info``. What it holds is untrusted: the pages themselves write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan_magic.api.types import SearchResult
from qianfan_magic.api.wire.encoding import join_surrogates

__all__ = ["read_search_results", "search_result_json"]

#: Largest number of sources, and of characters of each of their texts; more is cut off. The
#: service allows 28 sources.
MAX_RESULTS, MAX_TEXT, MAX_URL = 50, 300, 2_000
#: Exclusive limit of a source's number: marks have at most three digits.
INDEX_LIMIT = 1_000


def read_search_results(payload: Mapping[str, Any]) -> tuple[SearchResult, ...]:
    """Return the sources in a chunk or a whole response, by their numbers; empty if it has none.

    Sources without a number or a web address are left out, and of two with the same number the
    second.

    Examples
    --------
    >>> row = {"index": 1, "url": "https://example.com/a", "title": "A page"}
    >>> read_search_results({"choices": [], "search_results": [row]})[0].title
    'A page'
    """
    rows = payload.get("search_results")
    info = payload.get("search_info")
    if rows is None and isinstance(info, Mapping):
        rows = info.get("search_results")
    found: dict[int, SearchResult] = {}
    for row in rows if isinstance(rows, list) else ():
        result = _read(row) if isinstance(row, Mapping) else None
        if result and len(found) < MAX_RESULTS:
            found.setdefault(result.index, result)
    return tuple(found[index] for index in sorted(found))


def search_result_json(result: SearchResult) -> dict[str, Any]:
    """Return a source as the service writes it, without empty fields."""
    fields = {
        "index": result.index,
        "url": result.url,
        "title": result.title,
        "site_name": result.site,
        "datetime": result.date,
    }
    return {name: value for name, value in fields.items() if value}


def _read(row: Mapping[str, Any]) -> SearchResult | None:
    index, url = row.get("index"), _text(row, "url", limit=MAX_URL + 1)
    is_number = isinstance(index, int) and not isinstance(index, bool) and 0 < index < INDEX_LIMIT
    is_web = url.lower().startswith(("http://", "https://")) and len(url) <= MAX_URL
    if not is_number or not is_web or any(letter.isspace() for letter in url):
        return None
    return SearchResult(
        index=row["index"],
        url=url,
        title=_text(row, "title"),
        site=_text(row, "site_name"),
        date=_text(row, "datetime") or _text(row, "date"),
    )


def _text(row: Mapping[str, Any], name: str, limit: int = MAX_TEXT) -> str:
    """Return a text on one line, cut to a limit; empty if the field is no text."""
    value = row.get(name)
    # Half of a character, as JSON may bring it, could not be saved in a notebook.
    whole, _ = join_surrogates("", value, last=True) if isinstance(value, str) else ("", "")
    return " ".join(whole.split())[:limit]

"""The formats in which an answer can be shown: Markdown, verbatim text, JSON and HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape

from qianfan_magic.api.fenced_json import read_json
from qianfan_magic.views.rendering.highlight import highlight, inline_colors
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.long_text import rest_html, split_long
from qianfan_magic.views.rendering.markdown import code_blocks, to_html
from qianfan_magic.views.rendering.sanitize import sanitize
from qianfan_magic.views.rendering.structured import structured_html, structured_plain
from qianfan_magic.views.rendering.style import inline

__all__ = [
    "body",
    "extract_code",
    "is_json",
    "plain",
    "preformatted",
    "pretty",
    "without_fence",
]


def body(text: str, form: str, sources: Mapping[int, str] | None = None) -> str:
    """Render an answer as HTML.

    Parameters
    ----------
    text
        The answer, its invisible characters escaped. If it is very long, only its beginning is
        formatted, see `long_text`, and nothing in any other format than Markdown.
    form
        ``markdown``, ``text``, ``json``, ``schema`` (JSON as a table or list) or ``html``. JSON
        that cannot be parsed is shown verbatim.
    sources
        Addresses of the sources that Markdown cites, by number.
    """
    text, rest = split_long(text)
    if rest:
        form = form if form == "markdown" else "text"
        return f"{body(text, form, sources)}\n{rest_html(rest)}"
    if form == "markdown":
        return to_html(text, sources)
    if form == "html":
        return sanitize(without_fence(text))
    if form == "json" and is_json(text):
        code = highlight(pretty(text), "json") or escape(pretty(text), quote=False)
        return inline_colors(f"<pre><code>{code}</code></pre>")
    if form == "schema" and is_json(text):
        return structured_html(read_json(text).value)
    return preformatted(text.strip("\n"))


def plain(text: str, form: str) -> str:
    """Render an answer as plain text, for a terminal or a diff."""
    if form == "schema" and is_json(text):
        return structured_plain(read_json(text).value)
    return pretty(text) if form == "json" and is_json(text) else text.strip("\n")


def preformatted(text: str) -> str:
    """Render a text verbatim as HTML, with long lines wrapped."""
    return f'<pre style="{inline("verbatim")}">{escape(text)}</pre>'


def without_fence(text: str) -> str:
    """Return the content of a fenced block if it is the whole answer; else the answer."""
    blocks = code_blocks(text)
    if len(blocks) != 1:
        return text
    # The fence is taken whole: its shorter beginnings would each be compared with all of the text.
    fence = rf"\s*(`{{3,}}+|~{{3,}}+)[^\n]*\n{re.escape(blocks[0])}\s*\1[`~]*\s*"
    return blocks[0] if re.fullmatch(fence, text) else text


def extract_code(text: str) -> str:
    """Return the code of all fenced blocks of an answer; the whole answer if it has none."""
    blocks = [block.rstrip("\n") for block in code_blocks(escape_invisible(text))]
    return "\n\n".join(blocks) or escape_invisible(text).strip("\n")


def pretty(text: str) -> str:
    """Format JSON with one value per line; a fence, and words around it, are removed.

    Raises
    ------
    ValueError
        If the text is not JSON (RFC 8259, which has no ``NaN``); the message says where.
    """
    value = read_json(text).value
    # An escape sequence in JSON can stand for an invisible character.
    return escape_invisible(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def is_json(text: str) -> bool:
    """Tell whether `pretty` can format a text."""
    try:
        pretty(text)
    except ValueError:
        return False
    return True

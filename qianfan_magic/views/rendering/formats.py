"""The forms in which an answer can be shown."""

from __future__ import annotations

import json
import re
from html import escape
from typing import NoReturn

from qianfan_magic.views.rendering.highlight import highlight, inline_colors
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import code_blocks, to_html
from qianfan_magic.views.rendering.sanitize import sanitize

#: JupyterLab's own style would break words and indent the block.
LETTERS = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; margin: 0"


def body(text: str, form: str) -> str:
    """Make the HTML of an answer.

    Parameters
    ----------
    text
        The answer, hidden characters made visible.
    form
        ``markdown``, ``text``, ``json`` or ``html``.
    """
    if form == "markdown":
        return to_html(text)
    if form == "html":
        return sanitize(without_fence(text))
    if form == "json" and is_json(text):
        marked = highlight(pretty(text), "json") or escape(pretty(text), quote=False)
        return inline_colors(f"<pre><code>{marked}</code></pre>")
    return preformatted(text.strip("\n"))


def plain(text: str, form: str) -> str:
    """Make the plain text of an answer, for a terminal or a diff."""
    return pretty(text) if form == "json" and is_json(text) else text.strip("\n")


def preformatted(text: str) -> str:
    """Show a text letter by letter, long lines wrapped."""
    return f'<pre style="{LETTERS}">{escape(text)}</pre>'


def without_fence(text: str) -> str:
    """Return what is in the fence if the whole answer is one fenced block, else the answer."""
    blocks = code_blocks(text)
    if len(blocks) != 1:
        return text
    fence = rf"\s*(`{{3,}}|~{{3,}})[^\n]*\n{re.escape(blocks[0])}\s*\1[`~]*\s*"
    return blocks[0] if re.fullmatch(fence, text) else text


def extract_code(text: str) -> str:
    """Return every fenced block of an answer, or the whole of it where there is none."""
    blocks = [block.rstrip("\n") for block in code_blocks(escape_invisible(text))]
    return "\n\n".join(blocks) or escape_invisible(text).strip("\n")


def pretty(text: str) -> str:
    """Write JSON with one value a line.

    Raises
    ------
    ValueError
        If it is none (RFC 8259: no ``NaN``); says where.
    """
    try:
        read = json.loads(without_fence(text), parse_constant=_refuse)
        # An escape in JSON can stand for a hidden character.
        return escape_invisible(json.dumps(read, ensure_ascii=False, indent=2, allow_nan=False))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_json(text: str) -> bool:
    """Tell whether `pretty` can write it."""
    try:
        pretty(text)
    except ValueError:
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")

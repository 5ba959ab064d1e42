"""Colours for code: Pygments' tokens in the colours of the notebook's own theme."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

#: Characters of one block; lexers are regular expressions, some of them slow where the text is
#: made to be, and the text is a stranger's.
LONGEST = 5_000
#: By Pygments' own names.
LANGUAGES = {
    *("bash", "console", "diff", "docker", "go", "html", "ini", "java", "javascript", "json"),
    *("c", "cpp", "csharp", "css", "julia", "kotlin", "lua", "make", "matlab", "perl", "php"),
    *("powershell", "pycon", "python", "r", "ruby", "rust", "scala", "sql", "swift", "tex"),
    *("toml", "typescript", "xml", "yaml"),
}
#: What people and models call them besides, where Pygments does not know or means another.
_ALIASES = {"ipython": "python", "jsonc": "json", "shell": "bash", "zsh": "bash", "latex": "tex"}
#: JupyterLab's variables, as its editor uses them in the light and in the dark theme; the classes
#: are Pygments' short names.
COLOURS = {
    "k": "color:var(--jp-mirror-editor-keyword-color);font-weight:bold",
    "s": "color:var(--jp-mirror-editor-string-color)",
    "m": "color:var(--jp-mirror-editor-number-color)",
    "c": "color:var(--jp-mirror-editor-comment-color);font-style:italic",
    "nb": "color:var(--jp-mirror-editor-builtin-color)",
    "nd": "color:var(--jp-mirror-editor-def-color)",
    "nt": "color:var(--jp-mirror-editor-tag-color)",
    "ow": "color:var(--jp-mirror-editor-keyword-color);font-weight:bold",
    "gd": "color:var(--jp-error-color1)",
    "gi": "color:var(--jp-success-color1)",
}
#: Names of functions and classes where they are defined.
_SAME = {"nf": "nd", "nc": "nd"}
_SPAN = re.compile(rf'<span class="({"|".join(COLOURS)})">')


def highlight(code: str, language: str, _: str = "") -> str:
    """Mark the tokens of code; markdown-it's option of this name.

    Returns
    -------
    str
        HTML with ``<span class="k">`` and its kin (see `COLOURS`); empty, which leaves the code
        as it is, where the language is not known or the code longer than `LONGEST`.
    """
    lexer = _lexer(language.lower()) if len(code) <= LONGEST else None
    if lexer is None:
        return ""
    marked: list[tuple[str, str]] = []
    for kind, text in lexer.get_tokens(code):
        short = _short(kind)
        if marked and marked[-1][0] == short:
            marked[-1] = (short, marked[-1][1] + text)
        else:
            marked.append((short, text))
    return "".join(_span(short, escape(text, quote=False)) for short, text in marked)


def coloured(html: str) -> str:
    """Write the colours into HTML that is to stand without a style sheet.

    Parameters
    ----------
    html
        Sanitised, so that what looks like a tag is one.
    """
    return _SPAN.sub(lambda found: f'<span style="{COLOURS[found[1]]}">', html)


def style_sheet(selector: str) -> str:
    """Write the colours as rules for what stands inside a selector."""
    return "\n".join(f"{selector} .{short} {{ {rule} }}" for short, rule in COLOURS.items())


def _span(short: str, text: str) -> str:
    return f'<span class="{short}">{text}</span>' if short and text.strip() else text


@cache
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(_ALIASES.get(language, language), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return lexer if not LANGUAGES.isdisjoint(lexer.aliases) else None


@cache
def _short(kind: _TokenType) -> str:
    """Return the class of a token, empty where it keeps the text's own colour."""
    from pygments.token import STANDARD_TYPES

    for one in reversed(kind.split()):
        short = STANDARD_TYPES.get(one, "")
        if _SAME.get(short, short) in COLOURS:
            return _SAME.get(short, short)
    return ""

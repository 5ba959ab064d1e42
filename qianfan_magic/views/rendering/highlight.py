"""Colours for code: Pygments' tokens in the colours of the notebook's own theme."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

#: Characters of one block, by Pygments' names of languages. Lexers are regular expressions, some
#: of them slow where the text is made to be, and the text is a stranger's: at these lengths none
#: of some thousand such texts took more than 0.3 s (Pygments 2.21). Left out are those that take
#: hours with 200 characters: perl, php, scala, docker and console among them.
LONGEST = {
    **dict.fromkeys(("diff", "json", "powershell", "ruby", "rust", "sql", "swift", "tex"), 10_000),
    **dict.fromkeys(("go", "html", "javascript", "kotlin", "lua", "toml", "xml", "yaml"), 4_000),
    **dict.fromkeys(("css", "ini", "java", "julia", "make", "matlab"), 3_000),
    **dict.fromkeys(("pycon", "python", "r", "typescript"), 3_000),
    **dict.fromkeys(("bash", "c", "cpp", "csharp"), 1_500),
}
#: Text on which one rule of bash's lexer doubles its time with each backslash.
_SLOW_BASH = re.compile(r"\$'")
#: What people and models call them besides.
_ALIASES = {
    **dict.fromkeys(("sh", "shell", "zsh", "shell-session"), "bash"),
    **dict.fromkeys(("py", "python3", "ipython", "py3"), "python"),
    **dict.fromkeys(("js", "jsx", "node", "mjs"), "javascript"),
    **dict.fromkeys(("ts", "tsx"), "typescript"),
    **dict.fromkeys(("c++", "cc", "hpp"), "cpp"),
    **dict.fromkeys(("mysql", "postgresql", "sqlite"), "sql"),
    **dict.fromkeys(("ps1", "pwsh"), "powershell"),
    **dict.fromkeys(("latex", "katex"), "tex"),
    **dict.fromkeys(("cfg", "dosini", "properties"), "ini"),
    **dict.fromkeys(("makefile", "mk"), "make"),
    "h": "c",
    "c#": "csharp",
    "cs": "csharp",
    "golang": "go",
    "rb": "ruby",
    "rs": "rust",
    "jl": "julia",
    "kt": "kotlin",
    "yml": "yaml",
    "jsonc": "json",
    "patch": "diff",
    "svg": "xml",
}
#: JupyterLab's variables, as its editor uses them in the light and in the dark theme; the classes
#: are Pygments' short names.
COLORS = {
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
_SPAN = re.compile(rf'<span class="({"|".join(COLORS)})">')


def highlight(code: str, language: str, _: str = "") -> str:
    """Mark the tokens of code; markdown-it's option of this name.

    Returns
    -------
    str
        HTML with ``<span class="k">`` and its kin (see `COLORS`); empty, which leaves the code
        as it is, where the language is none of `LONGEST` or the code longer than it says.
    """
    name = _ALIASES.get(language.lower(), language.lower())
    if name not in LONGEST or len(code) > LONGEST[name]:
        return ""
    if name == "bash" and _SLOW_BASH.search(code):
        return ""
    lexer = _lexer(name)
    marked: list[tuple[str, str]] = []
    for kind, text in lexer.get_tokens(code):
        short = _short(kind)
        if marked and marked[-1][0] == short:
            marked[-1] = (short, marked[-1][1] + text)
        else:
            marked.append((short, text))
    return "".join(_span(short, escape(text, quote=False)) for short, text in marked)


def inline_colors(html: str) -> str:
    """Write the colours into HTML that is to stand without a style sheet.

    Parameters
    ----------
    html
        Sanitised, so that what looks like a tag is one.
    """
    return _SPAN.sub(lambda found: f'<span style="{COLORS[found[1]]}">', html)


def style_sheet(selector: str) -> str:
    """Write the colours as rules for what stands inside a selector."""
    return "\n".join(f"{selector} .{short} {{ {rule} }}" for short, rule in COLORS.items())


def _span(short: str, text: str) -> str:
    return f'<span class="{short}">{text}</span>' if short and text.strip() else text


@cache
def _lexer(name: str) -> Lexer:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


@cache
def _short(kind: _TokenType) -> str:
    """Return the class of a token, empty where it keeps the text's own colour."""
    from pygments.token import STANDARD_TYPES

    for one in reversed(kind.split()):
        short = STANDARD_TYPES.get(one, "")
        if _SAME.get(short, short) in COLORS:
            return _SAME.get(short, short)
    return ""

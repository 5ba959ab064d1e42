"""Syntax highlighting: Pygments' tokens in the colors of the notebook's own theme."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from qianfan_magic.views.rendering.style import inline

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from pygments.token import _TokenType

__all__ = [
    "COLORS",
    "LANGUAGE_CLASSES",
    "MAX_LENGTHS",
    "color_variables",
    "highlight",
    "inline_colors",
    "style_sheet",
]

#: Maximum length of a block in characters, by Pygments' name of the language; other languages are
#: not highlighted. Lexers are regular expressions, some of which backtrack catastrophically on
#: hostile text: up to these lengths none of some thousand such texts took more than 0.3 s
#: (Pygments 2.21). Perl, php, scala, docker, console and others are left out: for them hours are
#: possible with 200 characters.
MAX_LENGTHS = {
    **dict.fromkeys(("diff", "json", "powershell", "ruby", "rust", "sql", "swift", "tex"), 10_000),
    **dict.fromkeys(("go", "html", "javascript", "kotlin", "lua", "toml", "xml", "yaml"), 4_000),
    **dict.fromkeys(("css", "ini", "java", "julia", "make", "matlab"), 3_000),
    **dict.fromkeys(("pycon", "python", "r", "typescript"), 3_000),
    **dict.fromkeys(("bash", "c", "cpp", "csharp"), 1_500),
}
#: After ``$'`` one rule of Pygments' bash lexer takes twice as long with each backslash.
_SLOW_BASH = re.compile(r"\$'")
#: Further names of these languages, as people and models write them behind a fence.
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
#: Classes that markdown-it gives to code in these languages.
LANGUAGE_CLASSES = {f"language-{name}" for name in (*MAX_LENGTHS, *_ALIASES)}
#: Colors by Pygments' short class name. The CSS variables are those of JupyterLab's editor, which
#: differ between the light and the dark theme; nbconvert's page defines them, too. On other pages
#: the color after the variable applies, which suits light and dark ones.
COLORS = {
    "k": "var(--jp-mirror-editor-keyword-color,#2f9e44)",
    "s": "var(--jp-mirror-editor-string-color,#c2552d)",
    "m": "var(--jp-mirror-editor-number-color,#0c8599)",
    "c": "var(--jp-mirror-editor-comment-color,#868e96)",
    "nb": "var(--jp-mirror-editor-builtin-color,#2f9e44)",
    "nd": "var(--jp-mirror-editor-def-color,#3b7dd8)",
    "nt": "var(--jp-mirror-editor-tag-color,#2f9e44)",
    "ow": "var(--jp-mirror-editor-keyword-color,#2f9e44)",
    "gd": "var(--jp-error-color1,#c2552d)",
    "gi": "var(--jp-success-color1,#2f9e44)",
}
#: HTML elements of the classes that are bold or italic; all others are spans.
_ELEMENTS = {"k": "b", "ow": "b", "c": "i"}
#: Further styles of these elements.
_STYLES = {"b": ";font-weight:bold", "i": ";font-style:italic"}
#: Classes that have the color of another: names of functions and classes in their definitions.
_SAME = {"nf": "nd", "nc": "nd"}
#: What `highlight` writes. Its text has no tags; the sanitiser leaves no such class elsewhere.
_SPAN = re.compile(rf'<span class="({"|".join(COLORS)})">([^<]*)</span>')
#: What `inline_colors` writes.
_COLORED = re.compile(r'<(?:b|i|span) style="color:var\(--(\w+)\)">')


def highlight(code: str, language: str, _: str = "") -> str:
    """Highlight code; the signature is that of markdown-it's option of this name.

    Returns
    -------
    str
        HTML with ``<span class="k">`` for keywords and so on (see `COLORS`). An empty string, on
        which markdown-it shows the code unchanged, if the language is not in `MAX_LENGTHS` or the
        code is too long.

    Examples
    --------
    >>> highlight("if x < 1:", "python")
    '<span class="k">if</span> x &lt; <span class="m">1</span>:'
    """
    name = _ALIASES.get(language.lower(), language.lower())
    if name not in MAX_LENGTHS or len(code) > MAX_LENGTHS[name]:
        return ""
    if name == "bash" and _SLOW_BASH.search(code):
        return ""
    lexer = _lexer(name)
    spans: list[tuple[str, str]] = []
    for kind, text in lexer.get_tokens(code):
        css_class = _class_of(kind)
        if spans and spans[-1][0] == css_class:
            spans[-1] = (css_class, spans[-1][1] + text)
        else:
            spans.append((css_class, text))
    return "".join(_span(css_class, escape(text, quote=False)) for css_class, text in spans)


def inline_colors(html: str) -> str:
    """Write the look of code as inline styles, for HTML that is shown without our style sheet.

    A notebook keeps one color for each colored word. So each names a short CSS variable, which
    `color_variables` defines once for all of them.

    Parameters
    ----------
    html
        Sanitised HTML, in which whatever looks like a tag is one.

    Examples
    --------
    >>> inline_colors('<span class="k">if</span>')
    '<b style="color:var(--k)">if</b>'
    """

    def colored(found: re.Match[str]) -> str:
        element = _ELEMENTS.get(found[1], "span")
        return f'<{element} style="color:var(--{found[1]})">{found[2]}</{element}>'

    opening = f'<pre style="{inline("code")}"><code style="{inline("coded")}"'
    return _SPAN.sub(colored, html).replace("<pre><code", opening)


def color_variables(html: str) -> str:
    """Return the definitions of the CSS variables that colored HTML uses, as inline style.

    Examples
    --------
    >>> color_variables('<b style="color:var(--k)">if</b>')
    '; --k:var(--jp-mirror-editor-keyword-color,#2f9e44)'
    """
    used = set(_COLORED.findall(html))
    return "".join(f"; --{name}:{color}" for name, color in COLORS.items() if name in used)


def style_sheet(selector: str) -> str:
    """Return the colors as CSS rules for the descendants of a selector.

    Examples
    --------
    >>> style_sheet(".answer").splitlines()[1]
    '.answer .s { color:var(--jp-mirror-editor-string-color,#c2552d) }'
    """
    return "\n".join(
        f"{selector} .{name} {{ color:{color}{_STYLES.get(_ELEMENTS.get(name, ''), '')} }}"
        for name, color in COLORS.items()
    )


def _span(css_class: str, text: str) -> str:
    return f'<span class="{css_class}">{text}</span>' if css_class and text.strip() else text


@cache
def _lexer(name: str) -> Lexer:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


@cache
def _class_of(kind: _TokenType) -> str:
    """Return the CSS class of a token type, or of its closest ancestor that has a color."""
    from pygments.token import STANDARD_TYPES

    for ancestor in reversed(kind.split()):
        css_class = STANDARD_TYPES.get(ancestor, "")
        css_class = _SAME.get(css_class, css_class)
        if css_class in COLORS:
            return css_class
    return ""

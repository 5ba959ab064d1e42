"""Render Markdown in a terminal, with rich (the extra ``terminal``).

rich reads Markdown with markdown-it-py, but drops raw HTML and the addresses of images, and lets
through the control characters that entities such as ``&#x202e;`` stand for. So a parser of our own
reads the text, and its tokens, changed where rich does not know them, are what rich renders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, MarkdownElement, TableElement
from rich.segment import Segment
from rich.syntax import Syntax

from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import safe_parser
from qianfan_magic.views.rendering.math import source_of

__all__ = ["TerminalMarkdown"]


class _Code(CodeBlock):
    """Code in color, without the padding that would be copied with it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True)


class TerminalMarkdown(Markdown):
    """A block of an answer, for ``rich.console.Console.print``.

    Parameters
    ----------
    text
        The Markdown. Characters that are invisible or control the terminal are escaped.
    references
        Link reference definitions of earlier blocks, by label; those of this one are added.

    Examples
    --------
    >>> block = TerminalMarkdown("- the [wall](https://e.example)", {})
    >>> Console(width=40).print(block)  # doctest: +NORMALIZE_WHITESPACE
     • the wall (https://e.example)
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "table_open": TableElement,
    }

    def __init__(self, text: str, references: dict[str, Any]) -> None:
        super().__init__("", hyperlinks=False)
        env = {"references": references, "ended": True}
        self.parsed = list(_known(_parser().parse(escape_invisible(text), env)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the block, without the empty line that rich 15 writes before a list."""
        rendered = iter(super().__rich_console__(console, options))
        first = next(rendered, Segment(""))
        if first != Segment.line():
            yield first
        yield from rendered


@cache
def _parser() -> MarkdownIt:
    return safe_parser({"html": False, "inline_definitions": True})


def _known(tokens: Iterable[Token]) -> Iterator[Token]:
    """Change the tokens to those that rich knows."""
    for token in tokens:
        token.content = escape_invisible(token.content)
        token.attrs = {
            name: escape_invisible(value) if isinstance(value, str) else value
            for name, value in token.attrs.items()
        }
        if token.type in _CHANGES:
            yield from _CHANGES[token.type](token)
            continue
        if token.children:
            token.children = list(_known(token.children))
        # rich would show the address of an automatic link twice.
        if token.markup != "autolink":
            yield token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=escape_invisible(content))


def _image(token: Token) -> Sequence[Token]:
    """Write an image as a link: a terminal shows the words, and where it is."""
    address = Token("link_open", "a", 1, attrs={"href": token.attrs.get("src", "")})
    return address, _text(token.content), Token("link_close", "a", -1)


def _paragraph(content: str) -> Sequence[Token]:
    inline = Token("inline", "", 0, children=[_text(content)])
    return Token("paragraph_open", "p", 1), inline, Token("paragraph_close", "p", -1)


_CHANGES = {
    "image": _image,
    "math": lambda token: [_text(source_of(token))],
    "math_block": lambda token: [Token("fence", "code", 0, content=source_of(token), info="tex")],
    "citation": lambda token: [_text(f"[{token.content}]")],
    # An address that is used by a later block only, or by none, would be lost.
    "definition": lambda token: _paragraph(f"[{token.meta['label']}]: {token.meta['url']}"),
}

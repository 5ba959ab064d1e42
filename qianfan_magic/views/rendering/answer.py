"""The output of an answer: what is shown at its end and stays in the saved notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any, Protocol

from qianfan_magic.api.types import SearchResult
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.calls import RoundOutput
from qianfan_magic.views.rendering.citations import plain_citations, sources_html, sources_lines
from qianfan_magic.views.rendering.formats import body, plain
from qianfan_magic.views.rendering.highlight import color_variables
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.long_text import FORMATTED
from qianfan_magic.views.rendering.markdown import inert_markdown
from qianfan_magic.views.rendering.math import IGNORED
from qianfan_magic.views.rendering.state_line import join_parts, tokens_text
from qianfan_magic.views.rendering.style import inline

__all__ = [
    "ANSWER",
    "NOTHING",
    "THINKING",
    "AnswerOutput",
    "PlainOutput",
    "folded",
    "for_display",
    "line_html",
    "message_bundle",
    "notes_html",
    "wrap_answer",
]

#: How an answer ended.
STATES = (mark("done"), mark("stopped"), mark("broken off"))
#: Empty metadata; immutable, since it is a default argument.
NOTHING: Mapping[str, Any] = MappingProxyType({})
#: Headings in plain text of the reasoning, and of the answer after it.
THINKING, ANSWER = "[Thinking]", "[Answer]"
#: `IGNORED` keeps the page from typesetting anything that is not marked as a formula.
OPENING = f'<div class="qianfan-answer {IGNORED}" style="{inline("edge")};{inline("frame")}'


#: A line feed before a blank line.
_BEFORE_BLANK = re.compile(r"\n(?=[ \t]*\n)")


class PlainOutput(Protocol):
    """The final output of a view: that of one answer, or of several side by side."""

    def bundle(self) -> dict[str, str]:
        """Make the MIME bundle that stays in the saved notebook."""

    def lines(self) -> list[tuple[str, str, str]]:
        """List the last line of each answer in three parts, of which the second is not saved.

        They are who answered, how it ended and how long it is; its pace; and its parameters.
        """

    def call_paces(self) -> list[str]:
        """List how long each call of a function took; shown, but not saved."""

    def below(self, *, pace: bool) -> list[str]:
        """List the lines that a terminal has to write below the text."""


@dataclass(frozen=True, slots=True)
class AnswerOutput:
    """The output of one answer.

    Attributes
    ----------
    text
        The text that has arrived.
    form
        Format: ``markdown``, ``json``, ``schema``, ``html``, or ``text`` (verbatim).
    notes
        Lines below the text, for example that it was cut off.
    service
        Name of the endpoint or model that answered.
    state
        ``done``, ``stopped`` or ``broken off``.
    tokens
        Tokens of the answer as the service counts them; 0 if unknown.
    parameters
        The parameters that it was requested with, see `parameters_text`.
    pace
        How fast it came, see `pace_text`; shown, but not saved.
    reasoning
        The model's reasoning before the answer; shown folded above it.
    sources
        The sources of a web search that the answer cites; listed below it.
    rounds
        The calls of functions that the model asked for before; each a folded line above it.

    Examples
    --------
    >>> output = AnswerOutput("It is **old**.", "markdown", service="ernie-4.0", state="done")
    >>> output.line
    'ernie-4.0 · done'
    >>> sorted(output.bundle())
    ['text/html', 'text/markdown', 'text/plain']
    """

    text: str
    form: str = "text"
    notes: tuple[str, ...] = ()
    service: str = ""
    state: str = ""
    tokens: int = 0
    reasoning: str = ""
    sources: tuple[SearchResult, ...] = ()
    parameters: str = ""
    pace: str = ""
    rounds: tuple[RoundOutput, ...] = ()

    @property
    def line(self) -> str:
        """Who answered, how it ended, how long it is, and the parameters.

        Times and ids are left out, so that a notebook that runs again has the same outputs.
        """
        return join_parts(self._head, self.parameters)

    @property
    def _head(self) -> str:
        return join_parts(self.service, tr(self.state), tokens_text(self.tokens))

    def bundle(self) -> dict[str, str]:
        """Make the MIME bundle.

        Returns
        -------
        dict
            ``text/html`` (sanitised), ``text/plain`` and, for Markdown that is not very long,
            ``text/markdown`` (inert: JupyterLab prefers the HTML, but other tools may render the
            Markdown unsanitised).
        """
        below = self._below
        if not (self.text or self.reasoning or self.rounds or below):
            return {"text/plain": ""}
        text = for_display(self.text)
        marks = [f"[{line}]" for line in below]
        if self.sources:
            marks.insert(0, "\n".join(sources_lines(self.sources)))
        reasoning = for_display(self.reasoning).strip()
        head = [THINKING, reasoning] if self.reasoning else []
        head += [part for one in self.rounds for part in one.plain()]
        head += [ANSWER] if head and (text or not self.rounds) else []
        shown = [self._plain(text)] if text or not self.rounds else []
        bundle = {
            "text/html": wrap_answer(self.html()),
            "text/plain": "\n\n".join([*head, *shown, *marks]),
        }
        if self.form == "markdown" and len(text) <= FORMATTED:
            # Notes may quote a question or an error message of the service.
            calls = [call.plain() for one in self.rounds for call in one.calls]
            parts = [*calls, text, *marks]
            bundle["text/markdown"] = "\n\n".join(map(inert_markdown, parts))
        return bundle

    def html(self) -> str:
        """Make the HTML of the reasoning, the answer, and the lines below it."""
        line = [escape_invisible(self.line)] if self.line else []
        below = "".join([notes_html(map(escape_invisible, self.notes)), *map(line_html, line)])
        reasoning = folded(for_display(self.reasoning).strip()) + "\n" if self.reasoning else ""
        urls = {source.index: source.url for source in self.sources}
        text = body(for_display(self.text), self.form, urls).rstrip()
        rounds = "".join(one.html(self.form) for one in self.rounds)
        return reasoning + rounds + text + self._sources_html() + below

    def _plain(self, text: str) -> str:
        shown = plain(text, self.form)
        return plain_citations(shown) if self.sources else shown

    def _sources_html(self) -> str:
        if not self.sources:
            return ""
        return f'\n<div style="{inline("line")}">\n{sources_html(self.sources).rstrip()}\n</div>'

    @property
    def _below(self) -> list[str]:
        return [escape_invisible(line) for line in (*self.notes, self.line) if line]

    def lines(self) -> list[tuple[str, str, str]]:
        """Return the last line, as a list of one."""
        return [(escape_invisible(self._head), self.pace, escape_invisible(self.parameters))]

    def call_paces(self) -> list[str]:
        """List how long each call took."""
        return [call.pace for one in self.rounds for call in one.calls]

    def below(self, *, pace: bool) -> list[str]:
        """List the sources, the notes, and the last line, with the pace if that is wanted."""
        line = join_parts(*self.lines()[0]) if pace else self.line
        return [*sources_lines(self.sources), *self.notes, *[line] * bool(line)]


def for_display(text: str) -> str:
    """Mask the secrets that a text may quote, and escape its invisible characters."""
    return escape_invisible(mask_known(text))


def folded(text: str) -> str:
    """Make the HTML of a model's reasoning: folded, below a line that opens it.

    ``reply.js`` finds it by the class, to leave it open where the reader has opened it.
    """
    return (
        f'<details class="qianfan-thoughts" style="{inline("thoughts")}">'
        f'<summary style="{inline("unfold")}">{tr("Thinking")}</summary>\n'
        f'<div style="{inline("thought")}">{escape(text)}</div>\n</details>'
    )


def message_bundle(text: str) -> dict[str, str]:
    """Make the MIME bundle of a message of ours."""
    if not text:
        return {"text/plain": ""}
    shown = for_display(text)
    lines = "<br>\n".join(escape(line) for line in shown.split("\n"))
    html = wrap_answer(f'<p style="{inline("message")}">{lines}</p>')
    return {"text/html": html, "text/plain": shown}


def notes_html(notes: Iterable[str]) -> str:
    """Make the HTML of notes, which a reader should not miss."""
    return "".join(f'\n<p style="{inline("note")}">{escape(note)}</p>' for note in notes)


def line_html(line: str) -> str:
    """Make the HTML of the line below an answer, or of a caption."""
    return f'\n<p style="{inline("line")}">{escape(line)}</p>'


def wrap_answer(html: str) -> str:
    """Wrap sanitised HTML in the element by which ``reply.js`` recognises an answer.

    A blank line, as code may have it, would end the HTML where it stands in Markdown, as
    ``nbconvert --to markdown`` writes it: what follows would be read as Markdown. So its line feed
    is written as a character reference.
    """
    return f'{OPENING}{color_variables(html)}">\n{_BEFORE_BLANK.sub("&#10;", html)}\n</div>'

"""An answer as it is shown at its end, and stays in the saved notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any, Protocol

from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.formats import LETTERS, body, plain
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import inert_markdown
from qianfan_magic.views.rendering.math import IGNORED

#: Metadata of an output that carries none.
NOTHING: Mapping[str, Any] = MappingProxyType({})
QUIET = "opacity: 0.7; font-size: 90%"
#: A heading stands close to what it is of.
LABEL = f"{QUIET}; margin-top: 1.2em; margin-bottom: 0.2em"
#: What a model thought stands apart from what it says.
FOLDED = "margin: 0 0 0.8em 0; padding-left: 0.8em; border-left: 3px solid rgba(128, 128, 128, 0.5)"
SUMMARY = "cursor: pointer; opacity: 0.75"
THOUGHT = f"{LETTERS}; margin-top: 0.4em; opacity: 0.75"
#: In plain text, above either.
THINKING, ANSWER = "[Thinking]", "[Answer]"
#: What an answer draws stays within it; the page typesets only what is marked as mathematics.
OPENING = f'<div class="qianfan-answer {IGNORED}" style="contain: content; overflow-x: auto">'


class PlainOutput(Protocol):
    """What can stand at the end of a view: one answer, or several side by side."""

    def bundle(self) -> dict[str, str]:
        """Make the plain output that stays in the saved notebook."""

    def lines(self) -> list[str]:
        """List each answer's last line: who answered, and how it ended."""

    def below(self) -> list[str]:
        """List what a terminal, where the text itself stands already, is still to say."""


@dataclass(frozen=True, slots=True)
class AnswerOutput:
    """The end of an answer.

    Attributes
    ----------
    text
        All that arrived.
    form
        ``markdown``, ``json``, ``html``; or ``text``, letter by letter.
    notes
        Lines under it, such as that it was cut off.
    asked
        The endpoint or model that answered.
    state
        ``done``, ``stopped`` or ``broken off``.
    tokens
        Of the answer, as the service counts; 0 if it does not say.
    reasoning
        What the model thought before it; folded away above it.
    """

    text: str
    form: str = "text"
    notes: tuple[str, ...] = ()
    asked: str = ""
    state: str = ""
    tokens: int = 0
    reasoning: str = ""

    @property
    def line(self) -> str:
        """What does not change from run to run: who answered, how it ended, how long it is."""
        tokens = f"{self.tokens:,} token{'s' * (self.tokens != 1)}" if self.tokens else ""
        return " \u00b7 ".join(part for part in (self.asked, self.state, tokens) if part)

    def bundle(self) -> dict[str, str]:
        """Make the plain output.

        Returns
        -------
        dict
            ``text/html`` (sanitised), ``text/plain`` and, of Markdown, ``text/markdown`` (inert).
        """
        below = [escape_invisible(line) for line in (*self.notes, self.line) if line]
        if not (self.text or self.reasoning or below):
            return {"text/plain": ""}
        seen = self._seen
        thoughts = [THINKING, _told(self.reasoning).strip(), ANSWER] if self.reasoning else []
        marks = [f"[{line}]" for line in below]
        made = {
            "text/html": wrap_answer(self.html()),
            "text/plain": "\n\n".join([*thoughts, plain(seen, self.form), *marks]),
        }
        if self.form == "markdown":
            made["text/markdown"] = "\n\n".join([inert_markdown(seen), *marks])
        return made

    def html(self) -> str:
        """Make the HTML of the answer and of what stands under it."""
        lines = [escape_invisible(line) for line in (*self.notes, self.line) if line]
        below = "".join(f'\n<p style="{QUIET}">{escape(line)}</p>' for line in lines)
        thoughts = folded(_told(self.reasoning).strip()) + "\n" if self.reasoning else ""
        return thoughts + body(self._seen, self.form).rstrip() + below

    @property
    def _seen(self) -> str:
        """The text as it stays."""
        return _told(self.text)

    def lines(self) -> list[str]:
        """List the one line."""
        return [escape_invisible(self.line)]

    def below(self) -> list[str]:
        """List the notes, and the state if it is not the good one."""
        return [*self.notes, *[self.state] * (self.state not in {"", "done"})]


def _told(text: str) -> str:
    """Return a text as it stays, without the keys that it may quote."""
    return escape_invisible(mask_known(text))


def folded(text: str) -> str:
    """Fold away what a model thought, under a line that opens it.

    By the class the page finds it; no style sheet is needed.
    """
    return (
        f'<details class="qianfan-thoughts" style="{FOLDED}">'
        f'<summary style="{SUMMARY}">Thinking</summary>\n'
        f'<div style="{THOUGHT}">{escape(text)}</div>\n</details>'
    )


def wrap_answer(html: str) -> str:
    """Put sanitised HTML into the element by which the page knows it for an answer."""
    return f"{OPENING}\n{html}\n</div>"

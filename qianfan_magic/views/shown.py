"""An answer as it is shown: its text and what stands under it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from qianfan_magic.views.markdown import inert_markdown, to_html, visible

QUIET = "opacity: 0.7; font-size: 90%"
#: JupyterLab's own style would break words and indent the block.
LETTERS = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; margin: 0"


@dataclass(frozen=True, slots=True)
class Shown:
    """The end of an answer.

    Attributes
    ----------
    text
        All that arrived.
    markdown
        Whether it is Markdown; else it is shown letter by letter.
    notes
        Lines under it, such as that it was stopped.
    """

    text: str
    markdown: bool
    notes: tuple[str, ...] = ()

    def bundle(self) -> dict[str, str]:
        """Make the plain output that stays in the saved notebook.

        Returns
        -------
        dict
            ``text/html`` (sanitised), ``text/plain`` and, of Markdown, ``text/markdown`` (inert).
        """
        if not (self.text or self.notes):
            return {"text/plain": ""}
        seen = visible(self.text)
        body = to_html(seen) if self.markdown else preformatted(seen.strip("\n"))
        notes = [visible(note) for note in self.notes]
        below = "".join(f'\n<p style="{QUIET}">{escape(note)}</p>' for note in notes)
        marks = [f"[{note}]" for note in notes]
        made = {
            "text/html": body.rstrip() + below,
            "text/plain": "\n\n".join([seen.strip("\n"), *marks]),
        }
        if self.markdown:
            made["text/markdown"] = "\n\n".join([inert_markdown(seen), *marks])
        return made


def preformatted(text: str) -> str:
    """Show a text letter by letter, long lines wrapped."""
    return f'<pre style="{LETTERS}">{escape(text)}</pre>'

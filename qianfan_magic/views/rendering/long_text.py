"""Very long answers: how much is formatted, and how the rest is shown, so that a page stays usable.

JupyterLab 4.6 in Chromium cannot be used for half a minute after 5 MB of Markdown have become half
a million elements, and takes 25 MB of the notebook's file for them.
"""

from __future__ import annotations

from html import escape

from qianfan_magic.language import tr
from qianfan_magic.views.rendering.style import inline

__all__ = [
    "FORMATTED",
    "PART",
    "SLACK",
    "first_part",
    "part_html",
    "rest_html",
    "rest_note_html",
    "split_long",
]

#: Characters of an answer that are formatted, up to the end of a line. The longest answers of the
#: service's models are shorter: 64,000 tokens.
FORMATTED = 200_000
#: Characters in one element of the rest: a browser lays out an element as a whole.
PART = 20_000
#: How many characters more, to the end of a line.
SLACK = 10_000


def first_part(text: str, least: int) -> int:
    r"""Return how long a text's first part is: to the end of the line after a number of characters.

    It is at most `SLACK` characters longer than that; if the text is too short, all of it.

    Examples
    --------
    >>> first_part("The\nGreat\nWall\n", 5), first_part("The Great", 5)
    (10, 9)
    """
    end = text.find("\n", max(least - 1, 0), least + SLACK)
    return end + 1 if end >= 0 else min(len(text), least + SLACK)


def split_long(text: str) -> tuple[str, str]:
    """Split an answer into the part that is formatted and the rest, which is mostly empty."""
    end = first_part(text, FORMATTED)
    return text[:end], text[end:]


def part_html(text: str) -> str:
    """Make the HTML of a part of the rest, an element of its own."""
    return f'<pre style="{inline("part")}">{escape(text)}</pre>'


def rest_note_html() -> str:
    """Make the HTML of the line that says in the live view why formatting ends."""
    note = tr("The answer is very long: what follows is shown as plain text.")
    return f'<p style="{inline("note")}">{escape(note)}</p>\n'


def rest_html(text: str) -> str:
    """Make the HTML of the rest of an answer: folded, below a line that opens it."""
    line = tr("{count:,} more characters, as plain text", count=len(text))
    shown = ""
    while text:
        end = first_part(text, PART)
        shown += part_html(text[:end])
        text = text[end:]
    return (
        f'<details style="{inline("rest")}"><summary style="{inline("unfold")}">'
        f"{escape(line)}</summary>\n{shown}</details>"
    )

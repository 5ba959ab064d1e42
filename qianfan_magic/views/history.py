"""A conversation, as a reader would like to see it."""

from __future__ import annotations

from html import escape

from qianfan_magic.conversation import Conversation, Turn
from qianfan_magic.views.formats import preformatted
from qianfan_magic.views.markdown import to_html
from qianfan_magic.views.shown import QUIET, framed
from qianfan_magic.views.visible import visible


def history_bundle(conversation: Conversation) -> dict[str, str]:
    """Make the plain output of a conversation: who said what, turn by turn."""
    title = f"Conversation {visible(conversation.name)}: {count_turns(conversation)}"
    system = f"System: {visible(conversation.system)}" if conversation.system else ""
    heads = [line for line in (title, system) if line]
    html = [f'<p style="{QUIET}">{escape(line)}</p>' for line in heads]
    plain = list(heads)
    for number, turn in enumerate(conversation.turns, 1):
        label = f"{number}. user"
        answer = f"{number}. assistant{_mark(turn)}"
        html += [_label(label), preformatted(visible(turn.user))]
        html += [_label(answer), to_html(visible(turn.assistant))]
        plain += [f"{label}: {visible(turn.user)}", f"{answer}: {visible(turn.assistant).strip()}"]
    return {"text/html": framed("\n".join(html)), "text/plain": "\n\n".join(plain)}


def count_turns(conversation: Conversation) -> str:
    """Say how many turns there are: ``1 turn``, ``2 turns``."""
    count = len(conversation.turns)
    return f"{count} turn{'' if count == 1 else 's'}"


def _label(text: str) -> str:
    return f'<p style="{QUIET}">{escape(text)}</p>'


def _mark(turn: Turn) -> str:
    marks = ["stopped"] * turn.stopped + ["truncated"] * turn.truncated
    return f" ({', '.join(marks)})" if marks else ""

"""A conversation, as a reader would like to see it."""

from __future__ import annotations

from html import escape

from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn, short_name
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.answer import LABEL, QUIET, wrap_answer
from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import to_html


def history_bundle(conversation: Conversation, fit: Fit) -> dict[str, str]:
    """Make the plain output of a conversation: who said what, turn by turn.

    Parameters
    ----------
    conversation
        To be shown.
    fit
        What of it goes along with the next question: a line tells where it is cut.
    """
    title = (
        f"Conversation {escape_invisible(short_name(conversation.name))}: {conversation.counted}"
    )
    system = f"System: {_told(conversation.system)}" if conversation.system else ""
    heads = [line for line in (title, system) if line]
    html = [f'<p style="{QUIET}">{escape(line)}</p>' for line in heads]
    plain = list(heads)
    for number, turn in enumerate(conversation.turns, 1):
        if number == fit.left_out + 1 > 1:
            cut = f"Cut here: what stands above is no longer sent, since {fit.reason}."
            html.append(f"<hr>\n{_label(cut)}")
            plain.append(f"--- {cut}")
        label = f"{number}. user{_with_pictures(turn)}"
        answer = f"{number}. assistant{_mark(turn)}"
        html += [_label(label), preformatted(_told(turn.user))]
        html += [_label(answer), to_html(_told(turn.assistant))]
        plain += [f"{label}: {_told(turn.user)}", f"{answer}: {_told(turn.assistant).strip()}"]
    if conversation.turns and fit.left_out == len(conversation.turns):
        cut = f"None of it is sent any more, since {fit.reason}."
        html.append(_label(cut))
        plain.append(cut)
    return {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}


def _told(text: str) -> str:
    return escape_invisible(mask_known(text))


def _label(text: str) -> str:
    return f'<p style="{LABEL}">{escape(text)}</p>'


def _with_pictures(turn: Turn) -> str:
    """Say which pictures went along, and which of them are no longer there to be sent again."""
    named = [
        f"{_told(one.name)}{'' if one.url else ', not sent any more'}" for one in turn.pictures
    ]
    return f" ({'; '.join(named)})" if named else ""


def _mark(turn: Turn) -> str:
    _, tokens = turn.tokens
    marks = ["stopped"] * turn.stopped + ["truncated"] * turn.truncated
    marks += [f"{tokens:,} tokens"] * bool(tokens)
    return f" ({', '.join(marks)})" if marks else ""

"""Report of ``%qianfan history``: a conversation, turn by turn."""

from __future__ import annotations

from html import escape

from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn, short_name
from qianfan_magic.views.rendering.answer import LABEL, QUIET, for_display, wrap_answer
from qianfan_magic.views.rendering.citations import sources_html, sources_lines
from qianfan_magic.views.rendering.formats import preformatted
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import to_html
from qianfan_magic.views.rendering.state_line import parameters_text, tokens_text

__all__ = ["history_bundle"]


def history_bundle(conversation: Conversation, fit: Fit) -> dict[str, str]:
    """Make the MIME bundle of a conversation.

    Parameters
    ----------
    conversation
        The conversation.
    fit
        Which of its turns are sent with the next question; a line marks where the others end.
    """
    title = (
        f"Conversation {escape_invisible(short_name(conversation.name))}: {conversation.counted}"
    )
    system = f"System: {for_display(conversation.system)}" if conversation.system else ""
    heads = [line for line in (title, system) if line]
    html = [f'<p style="{QUIET}">{escape(line)}</p>' for line in heads]
    plain = list(heads)
    for number, turn in enumerate(conversation.turns, 1):
        if number == fit.left_out + 1 > 1:
            cut = f"Cut here: the turns above are no longer sent, since {fit.reason}."
            html.append(f"<hr>\n{_label(cut)}")
            plain.append(f"--- {cut}")
        # Only the answer is Markdown; a question is shown as it was typed.
        question, answer = for_display(turn.user), for_display(turn.assistant)
        user_label = f"{number}. user{_images(turn)}"
        assistant_label = f"{number}. assistant{_marks(turn)}"
        html += [_label(user_label), preformatted(question)]
        urls = {source.index: source.url for source in turn.sources}
        html += [_label(assistant_label), to_html(answer, urls)]
        plain += [f"{user_label}: {question}", f"{assistant_label}: {answer.strip()}"]
        if turn.sources:
            html.append(f'<div style="{QUIET}">\n{sources_html(turn.sources).rstrip()}\n</div>')
            plain.append("\n".join(sources_lines(turn.sources)))
    if conversation.turns and fit.left_out == len(conversation.turns):
        cut = f"No turn is sent any more, since {fit.reason}."
        html.append(_label(cut))
        plain.append(cut)
    return {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}


def _label(text: str) -> str:
    return f'<p style="{LABEL}">{escape(text)}</p>'


def _images(turn: Turn) -> str:
    """List the images of a question, and which of them cannot be sent again."""
    names = [
        f"{for_display(image.name)}{'' if image.url else ', not sent any more'}"
        for image in turn.pictures
    ]
    return f" ({'; '.join(names)})" if names else ""


def _marks(turn: Turn) -> str:
    _, tokens = turn.tokens
    marks = ["stopped"] * turn.stopped + ["truncated"] * turn.truncated
    marks += [text for text in (tokens_text(tokens), parameters_text(turn.parameters)) if text]
    return f" ({', '.join(marks)})" if marks else ""

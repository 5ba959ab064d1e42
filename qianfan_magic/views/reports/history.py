"""Report of ``%qianfan history``: a conversation, turn by turn."""

from __future__ import annotations

from html import escape

from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn, short_name
from qianfan_magic.language import tr
from qianfan_magic.views.rendering.answer import for_display, line_html, notes_html, wrap_answer
from qianfan_magic.views.rendering.calls import RoundOutput
from qianfan_magic.views.rendering.citations import sources_html, sources_lines
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import to_html
from qianfan_magic.views.rendering.state_line import parameters_text, tokens_text
from qianfan_magic.views.rendering.style import inline

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
    title = tr(
        "Conversation {name}: {turns}",
        name=escape_invisible(short_name(conversation.name)),
        turns=conversation.counted,
    )
    system = f"System: {for_display(conversation.system)}" if conversation.system else ""
    heads = [line for line in (title, system) if line]
    html = [line_html(line) for line in heads]
    plain = list(heads)
    for number, turn in enumerate(conversation.turns, 1):
        if number == fit.left_out + 1 > 1:
            cut = tr(
                "Cut here: the turns above are no longer sent, since {reason}.", reason=fit.reason
            )
            html.append(notes_html([cut]))
            plain.append(f"--- {cut}")
        # Only the answer is Markdown; a question is shown as it was typed.
        question, answer = for_display(turn.user), for_display(turn.assistant)
        user_label = f"{number}. user{_images(turn)}"
        assistant_label = f"{number}. assistant{_marks(turn)}"
        html += [_speaker(f"{number}. user", _images(turn))]
        html += [f'<div style="{inline("quote")}">{escape(question)}</div>']
        urls = {source.index: source.url for source in turn.sources}
        rounds = [RoundOutput.of(one) for one in turn.rounds]
        html += [_speaker(f"{number}. assistant", _marks(turn))]
        html += [one.html("markdown") for one in rounds] + [to_html(answer, urls)]
        plain += [f"{user_label}: {question}", *(part for one in rounds for part in one.plain())]
        plain += [f"{assistant_label}: {answer.strip()}"]
        if turn.sources:
            sources = sources_html(turn.sources).rstrip()
            html.append(f'<div style="{inline("line")}">\n{sources}\n</div>')
            plain.append("\n".join(sources_lines(turn.sources)))
    if conversation.turns and fit.left_out == len(conversation.turns):
        cut = tr("No turn is sent any more, since {reason}.", reason=fit.reason)
        html.append(notes_html([cut]))
        plain.append(cut)
    return {"text/html": wrap_answer("\n".join(html)), "text/plain": "\n\n".join(plain)}


def _speaker(name: str, marks: str) -> str:
    quiet = f'<span style="{inline("aside")}">{escape(marks)}</span>' if marks else ""
    return f'<p style="{inline("section")}">{name}{quiet}</p>'


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

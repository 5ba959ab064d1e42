"""What one cell asks, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qianfan_magic.conversation import Conversation
from qianfan_magic.flags import Ask
from qianfan_magic.parameter import Kind
from qianfan_magic.wire.types import Message

if TYPE_CHECKING:
    from qianfan_magic.client import QianfanClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one cell asks.

    Attributes
    ----------
    kind
        ``"chat"`` or ``"completion"``.
    text
        The cell's.
    options
        For the client: from flags, sliders and ``%config``.
    form
        How the answer is to be shown: one of ``FORMATS``.
    ask
        The flags.
    conversation
        That a chat goes on with; None for a completion.
    """

    kind: Kind
    text: str
    options: dict[str, Any]
    form: str
    ask: Ask
    conversation: Conversation | None = None

    @property
    def shown_as(self) -> str:
        """How the view shows it: code for the next cell is shown as usual too."""
        return usual_form(self.kind) if self.form == "code" else self.form

    def variants(self) -> dict[str, Question]:
        """Return the questions of a comparison, each by its title."""
        varied = {}
        for title, changed in self.ask.compare.items():
            # Who is asked is named by the endpoint and the model together.
            named = {"endpoint", "model"} if changed.keys() & {"endpoint", "model"} else set()
            kept = {name: value for name, value in self.options.items() if name not in named}
            varied[title] = replace(self, options=kept | dict(changed))
        return varied

    def describe(self, client: QianfanClient) -> str:
        """Write down what would be sent, secrets masked; nothing is."""
        written = []
        for title, question in (self.variants() or {"": self}).items():
            asked, _ = question.messages(client)
            request = client.prepare(
                question.kind, asked, question.options, stream=question.ask.stream
            )
            written.append(f"{title}\n\n" * bool(title) + client.describe(request))
        return "\n\n---\n\n".join(written)

    def messages(self, client: QianfanClient) -> tuple[str | list[Message], list[str]]:
        """Return what is sent, and a note if not all of the conversation fits."""
        from qianfan_magic.views.notes import left_out_note

        if self.conversation is None:
            return self.text, []
        _, card = client.service(self.kind, self.options)
        messages, left_out = self.conversation.fit(self.text, card)
        return messages, left_out_note(left_out, card.max_characters if card else None)


def usual_form(kind: Kind) -> str:
    """Return how an answer is shown if nobody says otherwise."""
    return "markdown" if kind == "chat" else "text"

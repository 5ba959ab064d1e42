"""A conversation: turns, what of them still fits, and nothing of widgets or networks."""

from __future__ import annotations

from dataclasses import dataclass, field

from qianfan_magic.catalogue import Card
from qianfan_magic.wire.types import Message, Reply


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer; there is no turn without both.

    Attributes
    ----------
    user, assistant
        What was said.
    stopped
        The answer was stopped by the user and is not whole.
    truncated
        The answer stopped at a limit of the service.
    """

    user: str
    assistant: str
    stopped: bool = False
    truncated: bool = False


@dataclass(slots=True)
class Conversation:
    """The turns of one name.

    The service's rules (an odd number of messages, the user first, no content empty) hold by
    construction: only whole turns are kept, and a question is put behind them.

    Attributes
    ----------
    name
        By which cells find it.
    system
        How the model is to behave; empty leaves it to the service.
    turns
        The oldest first.
    """

    name: str
    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def messages(self, question: str | None = None) -> list[Message]:
        """List what was said, and a question behind it if there is one."""
        said: list[Message] = []
        for turn in self.turns:
            said.append({"role": "user", "content": turn.user})
            said.append({"role": "assistant", "content": turn.assistant})
        if question is not None:
            said.append({"role": "user", "content": question})
        return said

    def fit(self, question: str, card: Card | None) -> tuple[list[Message], int]:
        """Choose what is sent with a question: the newest turns that the card has room for.

        Parameters
        ----------
        question
            What is asked now; always sent.
        card
            Of the model; None or no limit sends everything.

        Returns
        -------
        messages : list of Message
        left_out : int
            How many of the oldest turns are not sent. They stay in the conversation.
        """
        limit = card.max_characters if card else None
        room = float("inf") if limit is None else limit - len(question)
        kept = 0
        for turn in reversed(self.turns):
            room -= len(turn.user) + len(turn.assistant)
            if room < 0:
                break
            kept += 1
        left_out = len(self.turns) - kept
        return self.messages(question)[2 * left_out :], left_out

    def take(self, question: str, reply: Reply, *, stopped: bool = False) -> bool:
        """Keep a turn, if there is an answer to keep.

        Parameters
        ----------
        question
            As it was sent.
        reply
            One that asks to forget the conversation (``need_clear_history``) empties it.
        stopped
            The user stopped the answer.

        Returns
        -------
        bool
            Whether it was kept.
        """
        if reply.need_clear_history:
            self.turns.clear()
            return False
        if not reply.text.strip():
            return False
        self.turns.append(Turn(question, reply.text, stopped, reply.is_truncated))
        return True

"""What one cell asks, before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.catalogue.parameters import SHAPING
from qianfan_magic.api.catalogue.token_estimate import is_chinese
from qianfan_magic.api.types import Kind, Message, Reply
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.turn import CellRun, ImageAttachment, Turn, with_images
from qianfan_magic.errors import ParameterError
from qianfan_magic.session.cell_options import CellOptions

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.session.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
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
    pictures
        That go along with it.
    rewound
        The conversation that a chat goes on with, as it was before its cell; None for a completion.
    others
        Other conversations in which an earlier run of the cell asked, without that.
    continues
        The unfinished turn, the last of the conversation, whose answer is to go on.
    most
        Turns that are sent at most; None for no such limit.
    run
        Of the cell.
    """

    kind: Kind
    text: str
    options: dict[str, Any]
    form: str
    ask: CellOptions
    pictures: Sequence[ImageAttachment] = ()
    rewound: Rewound | None = None
    others: Sequence[Rewound] = ()
    continues: Turn | None = None
    max_turns: int | None = None
    run: CellRun = field(default_factory=CellRun)

    @property
    def conversation(self) -> Conversation | None:
        """That a chat goes on with."""
        return self.rewound.conversation if self.rewound else None

    def within(self, session: Session, run: CellRun, max_turns: int | None) -> CellRequest:
        """Return the question as one of a conversation, as that was before the cell.

        Parameters
        ----------
        session
            That keeps the conversations.
        run
            Of the cell.
        most
            Turns that are sent at most; None for no such limit.

        Raises
        ------
        ParameterError
            If an answer is to go on, and the last one is whole, or there is none.
        """
        name, continues = self.ask.conversation, self.ask.continues
        rewound, others = Rewound(session.conversation(name)), list[Rewound]()
        if not self.ask.append:
            rewound, others = session.rewind(name, run, to_continue=continues)
        conversation = rewound.conversation
        system = conversation.system if self.ask.system is None else self.ask.system
        last = _unfinished(conversation) if continues else None
        return replace(
            self,
            text=_go_on(self.text, last) if last else self.text,
            options=self.options | ({"system": system} if system else {}),
            rewound=rewound,
            others=others,
            continues=last,
            max_turns=max_turns,
            run=run,
        )

    @property
    def shown_as(self) -> str:
        """How the view shows it: code for the next cell is shown as usual too."""
        return default_format(self.kind) if self.form == "code" else self.form

    def variants(self) -> dict[str, CellRequest]:
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
            asked = question.asked(question.fit(client))
            options = question.sent_options(client)
            request = client.prepare(question.kind, asked, options, stream=question.ask.stream)
            written.append(f"{title}\n\n" * bool(title) + client.describe(request))
        return "\n\n---\n\n".join(written)

    def sent_options(self, client: QianfanClient) -> dict[str, Any]:
        """Return the options; an answer that is to be JSON is asked for as such if it can be."""
        if self.form != "json" or self.kind != "chat":
            return self.options
        can = client.service(self.kind, self.options).can_json
        return ({"response_format": "json_object"} if can else {}) | self.options

    def fit(self, client: QianfanClient, *, drop: int = 0) -> Fit:
        """Choose what of the conversation is sent; ``drop`` turns than there is room for."""
        if self.conversation is None:
            return Fit([])
        card = client.service(self.kind, self.options).card
        conversation = replace(self.conversation, system=self.options.get("system", ""))
        min_turns = int(self.continues is not None)
        return conversation.fit(
            self.text, card, max_turns=self.max_turns, min_turns=min_turns, drop=drop
        )

    def asked(self, fit: Fit) -> str | list[Message]:
        """Return what is sent: a prompt, or messages."""
        if self.conversation is None:
            return self.text
        last: Message = {"role": "user", "content": with_images(self.text, self.pictures)}
        return [*fit.messages[:-1], last]

    def taken(
        self, reply: Reply, *, left_out: int, model: str, stopped: bool = False
    ) -> Conversation | None:
        """Return the conversation with the answer, or without what the service finds unsafe.

        Parameters
        ----------
        reply
            The whole answer, also where only its end was asked for.
        left_out
            How many turns of the conversation were not sent.
        model
            Who answered.
        stopped
            The user stopped the answer.

        Returns
        -------
        Conversation or None
            None if there is nothing to take: it stays as it was before the cell.
        """
        conversation = self.conversation
        if conversation is None:
            return None
        if reply.need_clear_history:
            return conversation.without_unsafe(reply.ban_round, left_out)
        if not reply.text.strip():
            return None
        if self.continues:
            conversation = conversation.truncate(len(conversation.turns) - 1)
        return conversation.append(self._turn(reply, model, stopped=stopped))

    def _turn(self, reply: Reply, model: str, *, stopped: bool) -> Turn:
        shaping = {r.name: self.options[r.name] for r in SHAPING if r.name in self.options}
        return Turn(
            self.continues.user if self.continues else self.text,
            reply.text,
            stopped=stopped,
            truncated=reply.is_truncated,
            system=self.options.get("system", ""),
            model=model,
            parameters=shaping,
            tokens=(reply.usage.prompt_tokens, reply.usage.completion_tokens),
            cell=self.run.cell,
            run=self.run.id,
            continues=self.continues,
            reasoning=reply.reasoning,
            pictures=self.continues.pictures if self.continues else tuple(self.pictures),
        )


def _unfinished(conversation: Conversation) -> Turn:
    last = conversation.turns[-1] if conversation.turns else None
    if last is None or not last.is_unfinished:
        state = "has no answer yet" if last is None else "ends with a whole answer"
        raise ParameterError(
            f"--continue: the conversation {conversation.name!r} {state}",
            hint="It goes on with an answer that was cut off at a limit, or stopped.",
        )
    return last


#: What asks for the rest, in the question's language.
GO_ON = "Go on exactly where you stopped; repeat nothing."
GO_ON_CHINESE = "请从停下的地方继续"


def _go_on(text: str, turn: Turn) -> str:
    """Return what asks for the rest of an answer: the cell's own words, if it has other ones."""
    if text.strip() and text != turn.user:
        return text
    return GO_ON_CHINESE if is_chinese(turn.user) else GO_ON


def default_format(kind: Kind) -> str:
    """Return how an answer is shown if nobody says otherwise."""
    return "markdown" if kind == "chat" else "text"

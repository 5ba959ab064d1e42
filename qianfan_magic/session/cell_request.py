"""The request of one cell, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.catalogue.parameters import SHAPING
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.catalogue.token_estimate import is_chinese
from qianfan_magic.api.structured import Schema
from qianfan_magic.api.tools import Tool, later_choice
from qianfan_magic.api.types import Kind, Message, Reply, ToolRound
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import CellRun, ImageAttachment, Turn, with_images
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import mark, tr
from qianfan_magic.session.cell_options import CellOptions

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient

__all__ = ["CellRequest", "default_format"]

#: Question that requests the rest of an unfinished answer, in the language of the first question.
CONTINUE = "Go on exactly where you stopped; repeat nothing."
CONTINUE_CHINESE = "请从停下的地方继续"
_CONTINUATIONS = (CONTINUE, CONTINUE_CHINESE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """What one cell asks for, with everything resolved that decides how it is sent.

    Attributes
    ----------
    kind
        The kind of request.
    text
        The text of the cell.
    service
        Where the request goes; of a comparison of services, the first one.
    parameters
        Request parameters, timeout and retries, from flags, sliders and ``%config``.
    options
        The flags of the cell.
    format
        How the answer is to be shown, one of `FORMATS`, or ``"schema"`` as a table or list.
    services
        The service of each column of a comparison whose columns use different ones, by title.
    schema
        The schema that the answer has to fit; None for any answer.
    images
        The images that are sent with the text.
    rewound
        The conversation of a chat as it was before its cell ran; None for a completion.
    others
        Other conversations in which an earlier run of the cell took part, without its turns.
    continues
        The last turn of the conversation if its unfinished answer is to be continued.
    max_turns
        Maximum number of earlier turns that are sent; None for no such limit.
    run
        The run of the cell.
    tools
        The functions that the model may call, by name.
    rounds
        The calls that it has asked for so far, with their results; they follow the question.
    """

    kind: Kind
    text: str
    service: Service
    parameters: dict[str, Any]
    options: CellOptions
    format: str
    services: Mapping[str, Service] = field(default_factory=dict)
    schema: Schema | None = None
    images: Sequence[ImageAttachment] = ()
    rewound: Rewound | None = None
    others: Sequence[Rewound] = ()
    continues: Turn | None = None
    max_turns: int | None = None
    run: CellRun = field(default_factory=CellRun)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    rounds: tuple[ToolRound, ...] = ()

    @property
    def conversation(self) -> Conversation | None:
        """The conversation that a chat continues; None for a completion."""
        return self.rewound.conversation if self.rewound else None

    @property
    def view_format(self) -> str:
        """How the view shows the answer: code for the next cell is shown in the usual format."""
        return default_format(self.kind) if self.format == "code" else self.format

    def within(
        self, store: ConversationStore, run: CellRun, max_turns: int | None = None
    ) -> CellRequest:
        """Return the request as the next message of its conversation.

        Parameters
        ----------
        store
            The conversations of the notebook.
        run
            The run of the cell; what earlier runs of the cell asked is replaced.
        max_turns
            Maximum number of earlier turns that are sent; None for no such limit.

        Raises
        ------
        ParameterError
            If an answer is to be continued and there is no unfinished one.
        """
        name, continues = self.options.conversation, self.options.continues
        rewound, others = Rewound(store.get(name)), list[Rewound]()
        if not self.options.append:
            rewound, others = store.rewind(name, run, to_continue=continues)
        conversation = rewound.conversation
        system = conversation.system if self.options.system is None else self.options.system
        last = _unfinished_turn(conversation) if continues else None
        return replace(
            self,
            text=_continuation(self.text, last) if last else self.text,
            parameters=self.parameters | ({"system": system} if system else {}),
            rewound=rewound,
            others=others,
            continues=last,
            max_turns=max_turns,
            run=run,
        )

    def variants(self) -> dict[str, CellRequest]:
        """Return the requests of a comparison by their titles; empty for a single answer."""
        return {
            title: replace(
                self,
                service=self.services.get(title, self.service),
                parameters=self.parameters
                | {k: v for k, v in changed.items() if k not in {"endpoint", "model"}},
            )
            for title, changed in self.options.compare.items()
        }

    def describe(self, client: QianfanClient) -> str:
        """Return what would be sent, with secrets masked; nothing is sent."""
        described = []
        for title, variant in (self.variants() or {"": self}).items():
            request = client.prepare(
                variant.kind,
                variant.content(variant.fit()),
                variant.sent_parameters,
                service=variant.service,
                stream=variant.options.stream,
            )
            described.append(f"{title}\n\n" * bool(title) + client.describe(request))
        return "\n\n---\n\n".join(described)

    @property
    def shaping(self) -> dict[str, Any]:
        """The parameters that shape the answer, as far as they are set: no texts, no timeouts."""
        names = [parameter.name for parameter in SHAPING]
        return {name: self.parameters[name] for name in names if name in self.parameters}

    @property
    def sent_parameters(self) -> dict[str, Any]:
        """The options that are sent, with those of ``--tool``, ``--schema``, ``--format json``."""
        parameters = self._tool_parameters | self.parameters
        if self.schema:
            return parameters | {"schema": self.schema}
        asks_for_json = self.format == "json" and self.kind == "chat" and self.service.can_json
        return ({"response_format": "json_object"} if asks_for_json else {}) | parameters

    @property
    def _tool_parameters(self) -> dict[str, Any]:
        if not self.tools:
            return {}
        choice = self.options.tool_choice
        choice = later_choice(choice) if self.rounds else choice
        declared = [dict(tool.declaration) for tool in self.tools.values()]
        return {"tools": declared} | ({"tool_choice": choice} if choice else {})

    @property
    def turn_rounds(self) -> tuple[ToolRound, ...]:
        """The calls that belong to the answer, also those before it was continued."""
        return self.continues.rounds if self.continues else self.rounds

    @property
    def _sent_rounds(self) -> tuple[ToolRound, ...]:
        return self.turn_rounds if self.service.can_call else ()

    @property
    def beginning(self) -> str:
        """The text that the answer begins with, before what the service sends now."""
        return self.continues.assistant if self.continues else self.options.prefix or ""

    @property
    def has_prefix(self) -> bool:
        """Whether `beginning` is sent as the beginning of the answer (``prefix``).

        An unfinished answer is, where the model's card has that; otherwise, and if the cell has a
        text of its own, a further question asks for the rest.
        """
        if self.continues is None:
            return self.options.prefix is not None
        card = self.service.card
        return card is not None and card.prefix and self.text in _CONTINUATIONS

    def fit(self, *, drop: int = 0) -> Fit:
        """Choose the earlier turns that are sent, `drop` fewer than would fit."""
        if self.conversation is None:
            return Fit([])
        conversation, question = self._asked()
        conversation = replace(conversation, system=self.parameters.get("system", ""))
        if not self.service.can_call:
            conversation = conversation.without_calls()
        return conversation.fit(
            question + (self.schema.text_for(self.service) if self.schema else ""),
            self.service.card,
            max_turns=self.max_turns,
            min_turns=int(self.continues is not None and not self.has_prefix),
            drop=drop,
        )

    def _asked(self) -> tuple[Conversation, str]:
        """Return the turns before the question that is asked, and all text that follows them."""
        conversation = self.conversation or Conversation("")
        if self.continues and not self.has_prefix:
            return conversation, self.text
        called = "".join(text for one in self._sent_rounds for text in one.texts)
        if not self.continues:
            return conversation, self.text + called + (self.beginning if self.has_prefix else "")
        earlier = conversation.truncate(len(conversation.turns) - 1)
        return earlier, self.continues.user + called + self.beginning

    def content(self, fit: Fit) -> str | list[Message]:
        """Return what is sent: the prompt of a completion, or the messages of a chat."""
        if self.conversation is None:
            return self.text
        question = with_images(self.text, self.images)
        if self.continues and self.has_prefix:
            question = self.continues.content
        asked: list[Message] = [*fit.messages[:-1], {"role": "user", "content": question}]
        if self.has_prefix or not self.continues:
            asked += [message for one in self._sent_rounds for message in one.messages()]
        if self.has_prefix:
            asked.append({"role": "assistant", "content": self.beginning, "prefix": True})
        return asked

    def updated_conversation(
        self, reply: Reply, *, left_out: int, stopped: bool = False
    ) -> Conversation | None:
        """Return the conversation with the answer, or without what the service found unsafe.

        Parameters
        ----------
        reply
            The whole answer, also if only its end was requested now.
        left_out
            Number of turns of the conversation that were not sent.
        stopped
            Whether the user stopped the answer.

        Returns
        -------
        Conversation or None
            None if there is nothing to add: the conversation stays as it was before the cell.
        """
        conversation = self.conversation
        if conversation is None:
            return None
        if reply.need_clear_history:
            if self.continues and self.has_prefix and reply.ban_round == -1:
                # The current question is that of the unfinished answer, so its turn goes.
                return conversation.truncate(len(conversation.turns) - 1)
            return conversation.without_unsafe(reply.ban_round, left_out)
        if not reply.text.strip():
            return None
        if self.continues:
            conversation = conversation.truncate(len(conversation.turns) - 1)
        return conversation.append(self._turn(reply, stopped=stopped))

    def _turn(self, reply: Reply, *, stopped: bool) -> Turn:
        return Turn(
            self.continues.user if self.continues else self.text,
            reply.text,
            stopped=stopped,
            truncated=reply.is_truncated,
            system=self.parameters.get("system", ""),
            model=self.service.name,
            parameters=self.shaping,
            tokens=(reply.usage.prompt_tokens, reply.usage.completion_tokens),
            cell=self.run.cell,
            run=self.run.id,
            continues=self.continues,
            reasoning=reply.reasoning,
            sources=reply.search_results,
            pictures=self.continues.pictures if self.continues else tuple(self.images),
            rounds=self.turn_rounds,
        )


def _unfinished_turn(conversation: Conversation) -> Turn:
    last = conversation.turns[-1] if conversation.turns else None
    if last is None or not last.is_unfinished:
        problem = mark("--continue: the conversation {name!r} ends with a whole answer")
        if last is None:
            problem = mark("--continue: the conversation {name!r} has no answer yet")
        raise ParameterError(
            tr(problem, name=conversation.name),
            hint=tr("It continues an answer that was cut off at a limit, or stopped."),
        )
    return last


def _continuation(text: str, turn: Turn) -> str:
    """Return the question that requests the rest of an answer: the cell's text, if it is new."""
    if text.strip() and text != turn.user:
        return text
    return CONTINUE_CHINESE if is_chinese(turn.user) else CONTINUE


def default_format(kind: Kind) -> str:
    """Return how an answer is shown if neither a flag nor ``%config`` says otherwise."""
    return "markdown" if kind == "chat" else "text"

"""One answer: while it arrives, and as it ended. A comparison has one for each column."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.tools import DEFAULT_ROUNDS, asked_calls, make_call, refused, rounds_error
from qianfan_magic.api.types import Chunk, Reply, ToolCall, ToolRound, Usage
from qianfan_magic.api.wire import reply_builder
from qianfan_magic.interrupts import interruptible, interruptible_items
from qianfan_magic.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qianfan_magic.api.wire.reply import ReplyBuilder
    from qianfan_magic.session.cell_request import CellRequest
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.views.factory import View
    from qianfan_magic.views.rendering.answer import AnswerOutput
    from qianfan_magic.views.rendering.calls import CallOutput, RoundOutput
    from qianfan_magic.views.rendering.state_line import AnswerHead

__all__ = ["AnswerStream", "State"]

State = Literal["streaming", "done", "stopped", "broken off"]


@dataclass
class AnswerStream:
    """Collects an answer and says how it ended.

    Attributes
    ----------
    sender
        Sends the request; after calls of functions, the request that followed the last of them.
    title
        The title of the column, such as ``temperature=0.5``; empty for a single answer.
    state
        ``"streaming"`` while it arrives; then ``"done"``, ``"stopped"`` by the user, or
        ``"broken off"`` by an error.
    error
        The error, if it broke off.
    interrupt
        The interrupt, if the user stopped it.
    senders
        The senders of all requests so far.
    """

    sender: RequestSender
    title: str = ""
    state: State = "streaming"
    error: BaseException | None = None
    interrupt: KeyboardInterrupt | None = None
    senders: list[RequestSender] = field(init=False)
    _builder: ReplyBuilder = field(init=False, repr=False)
    _earlier: list[Reply] = field(default_factory=list, repr=False)
    _rounds: list[RoundOutput] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.senders = [self.sender]
        self._builder = reply_builder(self.request.service.version)

    @property
    def request(self) -> CellRequest:
        """The request that is answered."""
        return self.sender.request

    @property
    def has_failed(self) -> bool:
        """Whether an error ended the answer."""
        return self.state == "broken off"

    @cached_property
    def reply(self) -> Reply:
        """Everything that arrived; to be used once the answer has ended.

        The reasoning and the tokens are those of all replies, the text is that of the last.
        """
        reply = self._builder.build()
        if not self._earlier:
            return reply
        replies = [*self._earlier, reply]
        return replace(
            reply,
            reasoning="".join(one.reasoning for one in replies),
            usage=_sum([one.usage for one in replies]),
        )

    def add(self, chunk: Chunk) -> None:
        """Append the next chunk."""
        self._builder.add(chunk)

    def end(self, state: State, error: BaseException | None = None) -> None:
        """Record how the answer ended, and append the text that masking held back until then."""
        self.state, self.error = state, error
        self._rounds = [one.ended() for one in self._rounds]
        held_back = None if state == "done" else self.sender.held_back()
        if held_back:
            self.add(held_back)

    def read(self, view: View, rich: Callable[[Any], Mapping[str, str]] = lambda _: {}) -> None:
        """Read the answer to its end and show it as it arrives.

        An interrupt ends it as stopped and is stored in `interrupt`; any other error is raised.
        The functions that the model asks for are called in between, in this thread.

        Parameters
        ----------
        view
            Shows the answer.
        rich
            Returns how the value of a call is shown, see `CallOutput`.
        """
        try:
            view.begin()
            self._read_reply(view)
            reply = self._builder.build()
            while reply.tool_calls and self.request.tools:
                self.sender = self.sender.after(self._make_calls(reply, view, rich))
                self.senders.append(self.sender)
                self._read_reply(view)
                reply = self._builder.build()
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            self.end("stopped")
        except BaseException as error:
            self.end("broken off", error)
            raise
        else:
            self.end("done")

    def _read_reply(self, view: View) -> None:
        """Read the reply to one request."""
        gap = "\n\n" if any(one.reasoning for one in self._earlier) else ""
        with closing(self.sender.chunks()) as chunks:
            for chunk in interruptible_items(chunks):
                shown = chunk
                if gap and chunk.reasoning:
                    shown, gap = chunk._replace(reasoning=gap + chunk.reasoning), ""
                self.add(shown)
                view.write(shown)

    def _make_calls(
        self, reply: Reply, view: View, rich: Callable[[Any], Mapping[str, str]]
    ) -> ToolRound:
        """Make the calls that a reply asks for, one after the other."""
        from qianfan_magic.views.rendering.calls import RoundOutput

        most = self.request.options.max_rounds or DEFAULT_ROUNDS
        if len(self.senders) >= most:
            raise rounds_error(most, tr("Raise --max-rounds, or ask for less at once."))
        # Such a reply is no answer: if the user stops now, there is none.
        self._builder = reply_builder(self.request.service.version)
        self._earlier.append(reply)
        self._rounds.append(RoundOutput(reply.text))
        made = [self._make_call(asked, view, rich) for asked in asked_calls(reply)]
        return ToolRound(tuple(made), reply.text)

    def _make_call(
        self, asked: ToolCall, view: View, rich: Callable[[Any], Mapping[str, str]]
    ) -> ToolCall:
        """Make one call, which is shown before and after it."""
        from qianfan_magic.views.rendering.calls import CallOutput

        number = sum(len(one.calls) for one in self._rounds)
        shown: Mapping[str, str] = {}
        asks = self.request.options.confirm
        output = CallOutput(asked.name, asked.arguments, "asked" if asks else "running")
        self._show_call(output, number, view)
        try:
            if asks and not _is_allowed(view, output, number):
                made, seconds = refused(asked, "the user did not allow this call"), 0.0
            else:
                if asks:
                    self._show_call(replace(output, state="running"), number, view)
                started = time.monotonic()
                with interruptible():
                    made = make_call(asked, self.request.tools)
                    seconds = time.monotonic() - started
                    shown = rich(made.value)
        except BaseException:
            self._show_call(replace(output, state="stopped"), number, view)
            raise
        output = replace(CallOutput.of(made.call), rich=shown, seconds=seconds)
        self._show_call(output, number, view)
        return made.call

    def _show_call(self, output: CallOutput, number: int, view: View) -> None:
        """Show a call, in the place of what was shown of it before."""
        last = self._rounds[-1]
        others = last.calls[: number - sum(len(one.calls) for one in self._rounds[:-1])]
        self._rounds[-1] = replace(last, calls=(*others, output))
        view.show_call(output, number)

    def output(self, notes: Sequence[str] = ()) -> AnswerOutput:
        """Return the answer as it stays in the notebook, with further notes below it."""
        from qianfan_magic.views.rendering.answer import AnswerOutput

        reply, notes = self.reply, (*self._notes(), *notes)
        if self.has_failed and not (reply.text or reply.reasoning or self._rounds or notes):
            return AnswerOutput("")
        return AnswerOutput(
            reply.text,
            self.request.view_format,
            notes,
            self.request.service.label,
            self.state,
            reply.usage.completion_tokens,
            reply.reasoning,
            reply.search_results,
            self.head.parameters,
            self._pace(),
            tuple(self._rounds),
        )

    @property
    def head(self) -> AnswerHead:
        """What is known of the answer before it arrives; its title says what its column varies."""
        from qianfan_magic.views.rendering.state_line import AnswerHead, parameters_text

        request = self.request
        varied = request.options.compare.get(self.title, {})
        common = {name: value for name, value in request.shaping.items() if name not in varied}
        return AnswerHead(request.service.label, parameters_text(common), self.title)

    def _pace(self) -> str:
        from qianfan_magic.views.rendering.state_line import pace_text

        stats = self.sender.answer_stats
        if stats is None:
            return ""
        count, sign = stats.usage.completion_tokens, ""
        if not count:  # the service does not say
            count, sign = estimate_tokens(self.reply.text + self.reply.reasoning), "\u2248 "
        return pace_text(stats.first, count, stats.streamed, sign)

    def _notes(self) -> list[str]:
        """Return notes on how the answer ended, what it lacks, and which turns were not sent."""
        from qianfan_magic.views.notes import left_out_note, reply_notes, words_note

        if self.has_failed:  # a single answer's error is shown as the cell's traceback
            return _error_lines(self.error) if self.title else []
        notes = reply_notes(self.reply) if self.state == "done" else []
        if self.request.format in {"json", "schema"}:
            notes += words_note(self.reply.text)
        return notes + left_out_note(self.sender.fit)


def _is_allowed(view: View, call: CallOutput, number: int) -> bool:
    with interruptible():
        return view.confirm(call, number)


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(*map(sum, zip(*usages, strict=True)))


def _error_lines(error: BaseException | None) -> list[str]:
    message, hint = getattr(error, "message", str(error)), getattr(error, "hint", "")
    return [f"{type(error).__name__}: {message}", *[hint] * bool(hint)]

"""One answer: while it arrives, and as it ended. A comparison has one for each column."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.wire import reply_builder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qianfan_magic.api.types import Chunk, Reply
    from qianfan_magic.api.wire.reply import ReplyBuilder
    from qianfan_magic.session.cell_request import CellRequest
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.views.factory import View
    from qianfan_magic.views.rendering.answer import AnswerOutput
    from qianfan_magic.views.rendering.state_line import AnswerHead

__all__ = ["AnswerStream", "State"]

State = Literal["streaming", "done", "stopped", "broken off"]


@dataclass
class AnswerStream:
    """Collects an answer and says how it ended.

    Attributes
    ----------
    sender
        Sends the request.
    title
        The title of the column, such as ``temperature=0.5``; empty for a single answer.
    state
        ``"streaming"`` while it arrives; then ``"done"``, ``"stopped"`` by the user, or
        ``"broken off"`` by an error.
    error
        The error, if it broke off.
    interrupt
        The interrupt, if the user stopped it.
    """

    sender: RequestSender
    title: str = ""
    state: State = "streaming"
    error: BaseException | None = None
    interrupt: KeyboardInterrupt | None = None
    _builder: ReplyBuilder = field(init=False, repr=False)

    def __post_init__(self) -> None:
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
        """Everything that arrived; to be used once the answer has ended."""
        return self._builder.build()

    def add(self, chunk: Chunk) -> None:
        """Append the next chunk."""
        self._builder.add(chunk)

    def end(self, state: State, error: BaseException | None = None) -> None:
        """Record how the answer ended, and append the text that masking held back until then."""
        self.state, self.error = state, error
        held_back = None if state == "done" else self.sender.held_back()
        if held_back:
            self.add(held_back)

    def read(self, view: View) -> None:
        """Read the answer to its end and show it as it arrives.

        An interrupt ends it as stopped and is stored in `interrupt`; any other error is raised.
        """
        try:
            with closing(self.sender.chunks()) as chunks:
                view.begin()
                for chunk in chunks:
                    self.add(chunk)
                    view.write(chunk)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            self.end("stopped")
        except BaseException as error:
            self.end("broken off", error)
            raise
        else:
            self.end("done")

    def output(self, notes: Sequence[str] = ()) -> AnswerOutput:
        """Return the answer as it stays in the notebook, with further notes below it."""
        from qianfan_magic.views.rendering.answer import AnswerOutput

        reply, notes = self.reply, (*self._notes(), *notes)
        if self.has_failed and not (reply.text or reply.reasoning or notes):
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


def _error_lines(error: BaseException | None) -> list[str]:
    message, hint = getattr(error, "message", str(error)), getattr(error, "hint", "")
    return [f"{type(error).__name__}: {message}", *[hint] * bool(hint)]

"""One question on its way to the service, shorter if that finds it too long, and what it took."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from qianfan_magic.api.catalogue.resolver import did_you_mean
from qianfan_magic.api.types import Chunk, Usage
from qianfan_magic.errors import APIError
from qianfan_magic.masking import MaskedStream
from qianfan_magic.session.usage import AnswerStats

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.config.settings import Settings
    from qianfan_magic.api.http.call import Call
    from qianfan_magic.api.http.exchange import Exchange
    from qianfan_magic.conversation.conversation import Fit
    from qianfan_magic.conversation.turn import Turn
    from qianfan_magic.session.cell_request import CellRequest


class RequestSender:
    """Sends a question with as much of its conversation as fits.

    Parameters
    ----------
    client
        That asks.
    question
        What is asked.
    used
        Where each request that was answered is written down.

    Attributes
    ----------
    question : Question
    fit : Fit
        What is sent.
    service : Service
        Who is asked.
    """

    def __init__(
        self, client: QianfanClient, question: CellRequest, used: list[AnswerStats]
    ) -> None:
        self._client = client
        self.question = question
        self._used = used
        self._fewer = 0
        self._aborted = False
        self._begun = False
        self._text, self._reasoning = MaskedStream(), MaskedStream()
        self._usage = Usage()
        self.service = client.service(question.kind, question.options)
        self._prepare()

    @property
    def settings(self) -> Settings:
        """Those that it is sent with."""
        return self._client.settings

    @property
    def exchange(self) -> Exchange:
        """What went out last, and came back."""
        return self._call.exchange

    def abort(self) -> None:
        """End the connection from another thread than the one that reads."""
        self._aborted = True
        self._call.abort()

    def chunks(self) -> Generator[Chunk]:
        """Give the answer as it arrives; of an answer that goes on, what there was comes first.

        Raises
        ------
        APIError
            If it is too long even with the question alone; else as `Call.chunks` does.
        """
        while True:
            try:
                yield from self._timed()
            except APIError as error:
                if error.error_code == "invalid_model":
                    cards = self._client.catalogue.cards
                    error.hint = did_you_mean(self.service.name, cards) + error.hint
                if self._begun or self._aborted or not error.is_too_long:
                    raise
                if not self._shorten():
                    error.hint = "It was sent without the conversation at last: shorten the cell."
                    raise
            else:
                return

    def _prepare(self) -> None:
        question, client = self.question, self._client
        self.fit: Fit = question.fit(client, drop=self._fewer)
        options = question.sent_options(client)
        asked = question.asked(self.fit)
        self._call: Call = client.call(question.kind, asked, options, stream=question.ask.stream)

    def _shorten(self) -> bool:
        """Send one turn less; tell whether there was one to spare."""
        before = self.fit.left_out
        self._fewer += 1
        self._prepare()
        if self._aborted:
            self._call.abort()
        return self.fit.left_out > before

    def _timed(self) -> Iterator[Chunk]:
        begun = time.monotonic()
        first, chunk, count = 0.0, None, 0
        try:
            with closing(self._call.chunks()) as chunks:
                for chunk in chunks:
                    first = first or time.monotonic() - begun
                    count += 1
                    yield self._joined(self._masked(chunk))
                    self._begun = True
        finally:
            if chunk is not None:
                took = time.monotonic() - begun
                streamed = took - first if count > 1 else 0.0
                self._used.append(AnswerStats(self.service.name, chunk.usage, first, streamed))

    def rest(self) -> list[Chunk]:
        """Return what is held back of an answer that ended early, if anything."""
        text, reasoning = self._text.rest(), self._reasoning.rest()
        return [Chunk(text, False, self._usage, {}, reasoning)] if text or reasoning else []  # noqa: FBT003

    def _masked(self, chunk: Chunk) -> Chunk:
        """Mask the keys that an answer quotes: a notebook is shown to others."""
        self._usage = chunk.usage
        thought = chunk.is_end or bool(chunk.text)  # what follows is the answer
        return replace(
            chunk,
            text=self._text.feed(chunk.text, last=chunk.is_end),
            reasoning=self._reasoning.feed(chunk.reasoning, last=thought),
        )

    def _joined(self, chunk: Chunk) -> Chunk:
        """Put what an unfinished answer had before what goes on with it."""
        before = self.question.continues
        if before is None:
            return chunk
        usage = _added(chunk.usage, before)
        if self._begun:
            return replace(chunk, usage=usage)
        text, thought = before.assistant + chunk.text, before.reasoning + chunk.reasoning
        return replace(chunk, text=text, reasoning=thought, usage=usage)


def _added(usage: Usage, before: Turn) -> Usage:
    _, tokens = before.tokens
    return Usage(usage.prompt_tokens, usage.completion_tokens + tokens, usage.total_tokens + tokens)

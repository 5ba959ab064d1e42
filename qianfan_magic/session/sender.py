"""Sending one request of a cell, with fewer earlier turns if the service finds it too long."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from qianfan_magic.api.catalogue.resolver import suggested_model
from qianfan_magic.api.types import Chunk, Usage
from qianfan_magic.errors import APIError
from qianfan_magic.language import tr
from qianfan_magic.masking import MaskedStream, mask_known
from qianfan_magic.session.beginning import Beginning
from qianfan_magic.session.usage import AnswerStats

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.config.settings import Settings
    from qianfan_magic.api.http.call import Call
    from qianfan_magic.api.http.exchange import Exchange
    from qianfan_magic.api.types import ToolRound
    from qianfan_magic.conversation.conversation import Fit
    from qianfan_magic.conversation.turn import Turn
    from qianfan_magic.session.cell_request import CellRequest

__all__ = ["RequestSender"]


class RequestSender:
    """Sends a request with as much of its conversation as fits.

    Parameters
    ----------
    client
        Sends the request.
    request
        The request of a cell, or of one column of a comparison.
    stats
        The statistics of each answer are appended to this list.
    drop
        Number of earlier turns to leave out, beyond what the limits of the card demand.

    Attributes
    ----------
    fit : Fit
        The messages that are sent, and how many earlier turns are not.
    answer_stats : AnswerStats or None
        Times and tokens of the answer, once it has ended.
    """

    def __init__(
        self,
        client: QianfanClient,
        request: CellRequest,
        stats: list[AnswerStats],
        drop: int = 0,
    ) -> None:
        self._client = client
        self.request = request
        self._stats = stats
        self._drop = drop
        self._is_aborted = False
        self._has_chunks = False
        self._masked_text, self._masked_reasoning = MaskedStream(), MaskedStream()
        self._beginning = Beginning(mask_known(request.beginning))
        self._usage = Usage()
        self.answer_stats: AnswerStats | None = None
        self._prepare()

    @property
    def settings(self) -> Settings:
        """The settings that the request is sent with."""
        return self._client.settings

    @property
    def exchange(self) -> Exchange:
        """The last request that was sent, its attempts and the response."""
        return self._call.exchange

    def after(self, made: ToolRound) -> RequestSender:
        """Return the sender of the next request: the results of calls go back to the model."""
        request = replace(self.request, rounds=(*self.request.rounds, made))
        return RequestSender(self._client, request, self._stats, self._drop)

    def abort(self) -> None:
        """Close the connection from another thread than the one that reads it."""
        self._is_aborted = True
        self._call.abort()

    def chunks(self) -> Generator[Chunk]:
        """Yield the answer as it arrives, after the text that an unfinished answer had before.

        Raises
        ------
        APIError
            If the request is too long even without earlier turns; otherwise as `Call.chunks`.
        """
        while True:
            try:
                yield from self._attempt()
            except APIError as error:
                if error.error_code == "invalid_model":
                    cards = self._client.catalogue.cards
                    error.hint = suggested_model(self.request.service.name, cards) + error.hint
                if self._has_chunks or self._is_aborted or not error.is_too_long:
                    raise
                if not self._shorten():
                    error.hint = tr(
                        "It is too long even without the conversation: shorten the cell."
                    )
                    raise
            else:
                return

    def held_back(self) -> Chunk | None:
        """Return the text that is still held back if an answer ended early, if any."""
        text, reasoning = self._masked_text.rest(), self._masked_reasoning.rest()
        # The text of an unfinished answer stays, even if only thoughts have arrived now. A part
        # of a repetition does not.
        is_old = self.request.continues is not None and self._has_chunks
        text = self._beginning.feed(text, last=is_old and not self._beginning.has_begun)
        if not (text or reasoning):
            return None
        return Chunk(text, is_end=False, usage=self._usage, raw={}, reasoning=reasoning)

    def _prepare(self) -> None:
        request = self.request
        self.fit: Fit = request.fit(drop=self._drop)
        self._call: Call = self._client.start(
            request.kind,
            request.content(self.fit),
            request.sent_parameters,
            service=request.service,
            stream=request.options.stream,
        )

    def _shorten(self) -> bool:
        """Drop a quarter of the earlier turns, at least one; return False if there was none left.

        One at a time would be 1,980 refused requests where 20 of 2,000 turns fit; so it is 17, and
        at least three quarters of those that fit are sent.
        """
        before, conversation = self.fit.left_out, self.request.conversation
        sent = len(conversation.turns) - before if conversation else 0
        self._drop += max(1, sent // 4)
        self._prepare()
        if self._is_aborted:
            self._call.abort()
        return self.fit.left_out > before

    def _attempt(self) -> Iterator[Chunk]:
        """Send the request once, and measure the times of its answer."""
        started_at = time.monotonic()
        first_after, chunk, count = 0.0, None, 0
        try:
            with closing(self._call.chunks()) as chunks:
                for chunk in chunks:
                    first_after = first_after or time.monotonic() - started_at
                    count += 1
                    continued = self._continued(self._masked(chunk))
                    self._has_chunks = True  # before an interrupt can come while it is shown
                    yield continued
        finally:
            if chunk is not None:
                seconds = time.monotonic() - started_at
                streamed = seconds - first_after if count > 1 else 0.0
                name = self.request.service.name
                self.answer_stats = AnswerStats(name, chunk.usage, first_after, streamed)
                self._stats.append(self.answer_stats)

    def _masked(self, chunk: Chunk) -> Chunk:
        """Mask keys that an answer quotes: notebooks are shared."""
        self._usage = chunk.usage
        reasoning_ends = chunk.is_end or bool(chunk.text)  # the answer follows it
        return chunk._replace(
            text=self._masked_text.feed(chunk.text, last=chunk.is_end),
            reasoning=self._masked_reasoning.feed(chunk.reasoning, last=reasoning_ends),
        )

    def _continued(self, chunk: Chunk) -> Chunk:
        """Put the text that the answer begins with before it, and what an unfinished one had."""
        if not self.request.beginning:
            return chunk
        chunk = chunk._replace(text=self._beginning.feed(chunk.text, last=chunk.is_end))
        before = self.request.continues
        if before is None:
            return chunk
        usage = _added_usage(chunk.usage, before)
        if self._has_chunks:
            return chunk._replace(usage=usage)
        return chunk._replace(reasoning=before.reasoning + chunk.reasoning, usage=usage)


def _added_usage(usage: Usage, before: Turn) -> Usage:
    _, tokens = before.tokens
    return usage._replace(
        completion_tokens=usage.completion_tokens + tokens,
        total_tokens=usage.total_tokens + tokens,
    )

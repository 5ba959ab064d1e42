"""One question on its way: attempts until the first chunk is there, then the rest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice

import requests
import tenacity

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.exchange import Attempt, Exchange, Request
from qianfan_magic.api.http.http_errors import ADDRESS
from qianfan_magic.api.http.response import (
    abort_response,
    is_stream,
    read_payloads,
    release_connection,
)
from qianfan_magic.api.types import Chunk
from qianfan_magic.api.wire import WIRES
from qianfan_magic.api.wire.encoding import join_surrogates
from qianfan_magic.errors import APIError, QianfanError, StreamError, TokenExpiredError, brief


class Call:
    """One request with its retries.

    Parameters
    ----------
    connection
        Where it goes.
    request
        What is asked.
    settings
        Attempts, waits and time-outs.

    Attributes
    ----------
    exchange : Exchange
        What went out and came back.
    """

    def __init__(self, connection: Connection, request: Request, settings: Settings) -> None:
        self._connection = connection
        self._request = request
        self._settings = settings
        self.exchange = Exchange(request)
        self._renewed = False
        self._response: requests.Response | None = None
        self._aborted = False

    def abort(self) -> None:
        """End the connection from another thread than the one that reads.

        An answer that has not begun is not read once it comes.
        """
        self._aborted = True
        if self._response is not None:
            abort_response(self._response)

    def chunks(self) -> Generator[Chunk]:
        """Give the answer as it arrives; a whole answer is one chunk.

        Raises
        ------
        StreamError
            If the stream breaks or ends before the answer does; ``partial`` has the text.
        APIError, TransportError
            As the service says, or the network.
        """
        arrived: list[str] = []
        ended = False
        try:
            first, rest = self._attempts()(self._begin)
            with closing(rest):
                for chunk in chain(first, rest):
                    arrived.append(chunk.text)
                    yield chunk
                    ended = chunk.is_end
        except KeyboardInterrupt as stop:
            raise brief(stop)  # noqa: B904  it is the same one
        except (StreamError, APIError) as error:
            error.partial = "".join(arrived)
            raise
        finally:
            self.exchange.took = self.exchange.elapsed()
        if ended:
            return
        raise StreamError(
            "The stream ended before the answer did" if arrived else "The stream was empty",
            partial="".join(arrived),
            hint="Run the cell again.",
        )

    def _begin(self) -> tuple[list[Chunk], Generator[Chunk]]:
        """Send, and wait for the first chunk, if any; a token that is refused is replaced, once."""
        self._check_wanted()
        attempt = Attempt(self.exchange.elapsed())
        self.exchange.attempts.append(attempt)
        self.exchange.received.clear()
        try:
            return self._attempt(attempt)
        except TokenExpiredError as error:
            version, sent = self._request.version, attempt.sent
            if self._renewed or sent is None or not self._connection.renew(version, sent):
                error.hint = self._connection.auth(version).refused_hint or error.hint
                raise
        self._renewed = True
        return self._begin()

    def _attempt(self, attempt: Attempt) -> tuple[list[Chunk], Generator[Chunk]]:
        try:
            attempt.sent = self._connection.prepare(self._request)
            response = self._connection.send(attempt.sent, self._settings.retry_timeout)
            self._response = attempt.response = response
            attempt.took = self.exchange.elapsed() - attempt.begun
            if self._aborted:
                response.close()
            self._check_wanted()
            rest = _read(response, self.exchange)
            first = list(islice(rest, 1))
        except (QianfanError, KeyboardInterrupt) as error:
            attempt.error = error
            attempt.took = attempt.took or self.exchange.elapsed() - attempt.begun
            raise
        self.exchange.first = self.exchange.elapsed()
        return first, rest

    def _check_wanted(self) -> None:
        if self._aborted:
            raise StreamError("The answer is no longer waited for")

    def _attempts(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.retry_count),
            retry=tenacity.retry_if_exception(self._may_pass),
            wait=self._wait,
            reraise=True,
        )

    def _may_pass(self, error: BaseException) -> bool:
        # A server that asks for more patience than the settings have is not asked again.
        patient = (
            not self._aborted
            and isinstance(error, QianfanError)
            and (error.retry_after or 0) <= self._settings.retry_max_wait
        )
        return patient and error.retryable  # type: ignore[attr-defined]

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, QianfanError) else None
        longest = self._settings.retry_max_wait
        backoff = tenacity.wait_exponential(
            multiplier=self._settings.backoff_factor, max=longest
        ) + tenacity.wait_random(0, self._settings.retry_jitter)
        return max(asked or 0.0, min(backoff(state), longest))


def _read(response: requests.Response, exchange: Exchange) -> Generator[Chunk]:
    chunk: Chunk | None = None
    held, held_thought, whole = "", "", not is_stream(response)
    wire = WIRES[exchange.request.version]
    read_chunk = wire.read_chunk
    with closing(read_payloads(response, wire, exchange.received.append)) as payloads:
        for payload in payloads:
            try:
                chunk = read_chunk(payload, chunk, whole=whole)
            except ValueError as error:
                raise StreamError(
                    f"The answer is not the protocol: {error}",
                    hint=f"Is {ADDRESS} the service itself?",
                ) from None
            text, held = join_surrogates(held, chunk.text, last=chunk.is_end)
            thought = chunk.reasoning
            if thought or held_thought:
                ends = chunk.is_end or bool(text)
                thought, held_thought = join_surrogates(held_thought, thought, last=ends)
            same = text == chunk.text and thought == chunk.reasoning
            yield chunk if same else replace(chunk, text=text, reasoning=thought)
            if chunk.is_end:
                release_connection(response, payloads)
                return

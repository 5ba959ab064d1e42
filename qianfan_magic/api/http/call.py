"""One request with its retries: attempts until the first chunk arrives, then the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import chain, islice

import requests
import tenacity

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.exchange import Attempt, Exchange, Request
from qianfan_magic.api.http.http_errors import ADDRESS
from qianfan_magic.api.http.received import Received
from qianfan_magic.api.http.response import open_body, read_payloads
from qianfan_magic.api.http.urllib3_workarounds import abort_response, release_connection
from qianfan_magic.api.types import ApiVersion, Chunk
from qianfan_magic.api.wire import WIRES
from qianfan_magic.api.wire.answer_ids import AnswerIds
from qianfan_magic.api.wire.encoding import join_surrogates
from qianfan_magic.api.wire.growing_text import GrowingText
from qianfan_magic.api.wire.thinking import ThinkSplitter
from qianfan_magic.errors import (
    APIError,
    QianfanError,
    RateLimitError,
    StreamError,
    TokenExpiredError,
)
from qianfan_magic.interrupts import short_interrupt
from qianfan_magic.language import tr
from qianfan_magic.masking import log

__all__ = ["Call"]

_NOT_FOUND = 404


class Call:
    """One request with its retries.

    Parameters
    ----------
    connection
        Sends the request.
    request
        What to send.
    settings
        Number of attempts, waits between them, and time-outs.
    model_hint
        Put before the hint of an error that says that there is no such model.

    Attributes
    ----------
    exchange : Exchange
        The record of what was sent and received.
    is_paced : bool
        Whether the caller itself waits where the service refuses a request for its limits.
    on_refusal
        Called with the seconds that the service asks for, or None, when it refuses a request for
        its limits and it will be sent again.
    """

    def __init__(
        self,
        connection: Connection,
        request: Request,
        settings: Settings,
        *,
        model_hint: str = "",
    ) -> None:
        self._connection = connection
        self._request = request
        self._settings = settings
        self._model_hint = model_hint
        self.exchange = Exchange(request)
        self._renewed = False
        self._response: requests.Response | None = None
        self._aborted = False
        self.is_paced = False
        self.on_refusal: Callable[[float | None], object] = lambda _: None

    @property
    def settings(self) -> Settings:
        """The settings that it is sent with."""
        return self._settings

    def abort(self) -> None:
        """End the connection, from another thread than the one that reads the answer.

        A response that has not begun yet is closed as soon as it comes.
        """
        self._aborted = True
        if self._response is not None:
            abort_response(self._response)

    def chunks(self) -> Generator[Chunk]:
        """Send the request and yield the answer as it arrives; a whole answer is one chunk.

        A request is sent again only as long as nothing of the answer has been yielded.

        Raises
        ------
        StreamError
            If the stream breaks or ends before the answer does; ``partial`` has the text so far.
        APIError, TransportError
            If the service reports an error or the network fails.
        """
        arrived = GrowingText()
        chunk: Chunk | None = None
        try:
            with short_interrupt():
                first, rest = self._retrying()(self._attempt)
                with closing(rest):
                    for chunk in chain(first, rest):
                        arrived.append(chunk.text)
                        yield chunk
        except (StreamError, APIError) as error:
            error.partial = str(arrived)
            if isinstance(error, APIError) and _is_missing_model(error):
                error.hint = self._model_hint + error.hint
            raise
        finally:
            self.exchange.took = self.exchange.elapsed()
        if chunk and chunk.is_end:
            return
        hint = tr("Run the cell again.")
        if chunk:
            problem = tr("The stream ended before the answer did")
            raise StreamError(problem, partial=str(arrived), hint=hint)
        hint = f"{hint} {tr('Is its address the service itself, and not a login page or a proxy?')}"
        raise StreamError(tr("The stream was empty"), hint=hint)

    def _attempt(self) -> tuple[list[Chunk], Generator[Chunk]]:
        """Send the request and wait for the first chunk; replace a refused token once."""
        self._check_not_aborted()
        attempt = Attempt(self.exchange.elapsed())
        self.exchange.attempts.append(attempt)
        self.exchange.received = Received()
        try:
            return self._send(attempt)
        except TokenExpiredError as error:
            version, sent = self._request.version, attempt.sent
            timeout = self._settings.retry_timeout
            if self._renewed or not sent or not self._connection.renew(version, sent, timeout):
                error.hint = self._connection.auth(version).refused_hint or error.hint
                raise
        log.debug("The service refused the token; the request is sent again with another one")
        self._renewed = True
        return self._attempt()

    def _send(self, attempt: Attempt) -> tuple[list[Chunk], Generator[Chunk]]:
        """Send the request; return the first chunk, in a list that may be empty, and the rest."""
        try:
            timeout = self._settings.retry_timeout
            attempt.sent = self._connection.prepare(self._request, timeout)
            response = self._connection.send(attempt.sent, timeout)
            self._response = attempt.response = response
            attempt.took = self.exchange.elapsed() - attempt.begun
            # `abort` may have been called before there was a response to abort.
            if self._aborted:
                response.close()
            self._check_not_aborted()
            rest = _read_chunks(response, self.exchange)
            first = list(islice(rest, 1))
        except (QianfanError, KeyboardInterrupt) as error:
            attempt.error = error
            attempt.took = attempt.took or self.exchange.elapsed() - attempt.begun
            raise
        self.exchange.first = self.exchange.elapsed()
        return first, rest

    def _check_not_aborted(self) -> None:
        if self._aborted:
            raise StreamError(tr("The request was aborted"))

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.retry_count),
            retry=tenacity.retry_if_exception(self._is_retryable),
            wait=self._seconds_to_wait,
            before_sleep=self._before_retry,
            reraise=True,
        )

    def _is_retryable(self, error: BaseException) -> bool:
        # No retry where the server asks for a longer wait than the settings allow.
        return (
            not self._aborted
            and isinstance(error, QianfanError)
            and error.retryable
            and not (self.is_paced and isinstance(error, RateLimitError))
            and (error.retry_after or 0) <= self._settings.retry_max_wait
        )

    def _seconds_to_wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        retry_after = error.retry_after if isinstance(error, QianfanError) else None
        longest = self._settings.retry_max_wait
        backoff = tenacity.wait_exponential(
            multiplier=self._settings.backoff_factor, max=longest
        ) + tenacity.wait_random(0, self._settings.retry_jitter)
        return max(retry_after or 0.0, min(backoff(state), longest))

    def _before_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        message = error.message if isinstance(error, QianfanError) else ""
        log.debug("Attempt %d failed: %s; retry in %.1f s", state.attempt_number, message, seconds)
        if isinstance(error, RateLimitError):
            self.on_refusal(error.retry_after)


def _is_missing_model(error: APIError) -> bool:
    return error.error_code in {"invalid_model", "model_offline"} or error.status == _NOT_FOUND


def _read_chunks(response: requests.Response, exchange: Exchange) -> Generator[Chunk]:
    """Yield the chunks of a response, without characters that are split between two of them."""
    chunk: Chunk | None = None
    request = exchange.request
    wire = WIRES[request.version]
    read_chunk = wire.read_chunk
    body = open_body(response, asked_stream=bool(request.body.get("stream")))
    exchange.is_stream, whole = body.is_stream, not body.is_stream
    # Halves of surrogate pairs, held back until the other half arrives.
    held, held_reasoning = "", ""
    has_thoughts = request.version == ApiVersion.V2 and request.kind == "chat"
    splitter = ThinkSplitter(whole=whole) if has_thoughts else None
    ids = AnswerIds()
    with closing(read_payloads(body, wire, exchange.received.append)) as payloads:
        for payload in payloads:
            try:
                chunk = read_chunk(payload, chunk, whole=whole)
                text, reasoning = chunk.text, chunk.reasoning
                if (text or reasoning) and payload.get("id") != ids.newest:
                    ids.add(payload.get("id"))
            except ValueError as error:
                raise StreamError(
                    tr("The answer violates the protocol: {error}", error=error),
                    hint=tr("Is {address} the service itself?", address=ADDRESS),
                ) from None
            if splitter is not None:
                text, reasoning = _split(splitter, chunk)
                splitter = None if splitter.is_done else splitter
            if held or not text.isascii():
                text, held = join_surrogates(held, text, last=chunk.is_end)
            if reasoning or held_reasoning:
                is_last = chunk.is_end or bool(text)  # the answer's text follows the reasoning
                reasoning, held_reasoning = join_surrogates(held_reasoning, reasoning, last=is_last)
            is_same = text == chunk.text and reasoning == chunk.reasoning
            yield chunk if is_same else chunk._replace(text=text, reasoning=reasoning)
            if chunk.is_end:
                release_connection(response, payloads)
                return


def _split(splitter: ThinkSplitter, chunk: Chunk) -> tuple[str, str]:
    """Return the text and the reasoning of a chunk whose text may have begun with reasoning."""
    if chunk.reasoning:  # the service has parted them itself
        held = splitter.stop()
        return held + chunk.text, chunk.reasoning
    reasoning, text = splitter.feed(chunk.text, last=chunk.is_end)
    return text, reasoning

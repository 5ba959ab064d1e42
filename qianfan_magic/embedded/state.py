"""The state of an embedded server, which its request handlers share."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from math import inf

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.auth import Authenticator
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Ending

__all__ = ["Generate", "RateLimits", "ReceivedRequest", "ServerState"]

#: Yields the pieces of an answer's text, and at last how it ended.
Generate = Callable[[ServerRequest], AsyncGenerator["str | Ending"]]
#: Requests and tokens per minute that the headers claim as limits, by the last part of their names.
LIMITS = {"Requests": 3_000, "Input-Tokens": 300_000, "Output-Tokens": 100_000}
#: Seconds after which the counts start from zero.
PERIOD = 60.0


@dataclass(slots=True)
class ReceivedRequest:
    """A request as the server received it.

    Attributes
    ----------
    method, body
        As received.
    path
        Without the query, which contains version 1's access token.
    headers
        As received. They may contain a token, so the repr leaves them out.
    sent
        Number of chunks sent in response.
    closed_early
        Whether the client closed the connection before the response was complete.
    """

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes
    sent: int = 0
    closed_early: bool = False


@dataclass(slots=True)
class RateLimits:
    """Counts requests and tokens for the rate limit headers, and refuses requests beyond a quota.

    Attributes
    ----------
    quota
        How many requests a minute are answered, spread evenly: at most the share of one second at
        once. None answers all, whatever the headers say.
    clock
        A monotonic clock, in seconds.
    """

    quota: int | None = None
    clock: Callable[[], float] = time.monotonic
    _started_at: float = 0.0
    _used: dict[str, int] = field(default_factory=dict)
    _next_at: float = -inf  # when the next request is due if they come evenly

    def count(
        self, prompt_tokens: int, completion_tokens: int, version: ApiVersion
    ) -> dict[str, str]:
        """Count one request and return the rate limit headers of its response.

        Returns
        -------
        dict
            ``X-Ratelimit-Limit-…`` and ``X-Ratelimit-Remaining-…``. Version 2 counts the tokens
            of prompts and answers separately, version 1 together.
        """
        if not self._used or self.clock() - self._started_at >= PERIOD:
            self._started_at, self._used = self.clock(), dict.fromkeys(LIMITS, 0)
        for name, used in zip(LIMITS, (1, prompt_tokens, completion_tokens), strict=True):
            self._used[name] += used
        limits, remaining = self._limits, self._remaining()
        if version == ApiVersion.V1:
            limits, remaining = _with_token_sum(limits), _with_token_sum(remaining)
        headers = {f"X-Ratelimit-Limit-{name}": str(n) for name, n in limits.items()}
        return headers | {f"X-Ratelimit-Remaining-{name}": str(n) for name, n in remaining.items()}

    def seconds_over(self) -> float:
        """Count a request against the quota; return the seconds that it came too early, or 0."""
        if self.quota is None:
            return 0.0
        now, apart = self.clock(), PERIOD / self.quota
        at_once = max(1.0, self.quota / PERIOD)
        allowed_at = max(self._next_at, now - at_once * apart + apart)
        if allowed_at > now + 1e-9:
            return allowed_at - now
        self._next_at = allowed_at + apart
        return 0.0

    @property
    def _limits(self) -> dict[str, int]:
        return LIMITS | ({"Requests": self.quota} if self.quota else {})

    def _remaining(self) -> dict[str, int]:
        return {name: max(limit - self._used[name], 0) for name, limit in self._limits.items()}


def _with_token_sum(counts: dict[str, int]) -> dict[str, int]:
    tokens = counts["Input-Tokens"] + counts["Output-Tokens"]
    return {"Requests": counts["Requests"], "Tokens": tokens}


@dataclass(slots=True, kw_only=True)
class ServerState:
    """What the handlers of one server read and write.

    Attributes
    ----------
    engine
        Returns the text of the answer to a request.
    reasoning
        Returns the model's reasoning, for a request with `ServerRequest.thinks`.
    generate
        Generates the answer to a request piece by piece, in place of `engine`; None if no model
        does.
    cards
        Cards of the engine's own model.
    seed
        Seed of the answers, for requests that bring none.
    pace
        Seconds between two chunks of a stream.
    delay
        Seconds before an answer begins.
    authenticator
        Issues and checks credentials.
    rate_limits
        Counts for the rate limit headers.
    faults
        Faults that have not been injected yet, in order.
    received
        All requests since the server started, in order.
    """

    engine: Callable[[ServerRequest], str]
    reasoning: Callable[[ServerRequest], str]
    generate: Generate | None = None
    cards: tuple[Card, ...] = ()
    seed: int = 0
    pace: float = 0.0
    delay: float = 0.0
    authenticator: Authenticator = field(default_factory=Authenticator)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    faults: deque[Fault] = field(default_factory=deque)
    received: list[ReceivedRequest] = field(default_factory=list)

    def take_fault(self, path: str) -> Fault | None:
        """Remove and return the first fault that applies to a path, if there is one."""
        fault = next((fault for fault in self.faults if fault.path in path), None)
        if fault:
            self.faults.remove(fault)
        return fault

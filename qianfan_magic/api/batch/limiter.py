"""Keep the requests of all processes of a user within the limits of a service.

The service names its limits in the headers of its answers (``X-Ratelimit-Limit-…``), in requests
and tokens a minute. Requests are spread evenly: the generic cell rate algorithm (ITU-T I.371) of
pyrate-limiter says when the next one is due. It needs one number for each limit, which all
processes share in a file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.batch.slots import Slots
from qianfan_magic.api.http.json_cache import JsonCache

if TYPE_CHECKING:
    from pyrate_limiter import Rate

__all__ = ["RateLimiter", "limiter_of"]

#: Share of a limit that is used: clocks differ, and others may ask with the same key.
SHARE = 0.95
#: Milliseconds of a minute, over which the limits are.
MINUTE = 60_000
#: Seconds to wait after a refusal that names no time: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Milliseconds from now after which no place can be: a clock was wrong.
FURTHEST = 3_600_000
#: Units of limits, by the last part of the headers' names.
UNITS = ("Requests", "Tokens", "Input-Tokens", "Output-Tokens")
#: Weight of the newest answer in the estimate of the next one's tokens.
NEWEST = 0.1
#: Largest limit that is taken for one.
_LARGEST = 10**12


class RateLimiter:
    """Says when the next request is due.

    Until the first answer has named the limits, requests are due at once.

    Parameters
    ----------
    path
        The file that all processes share; None for this process alone.

    Attributes
    ----------
    slots : Slots
        How many requests of this process may be under way.

    Examples
    --------
    >>> limiter = RateLimiter()
    >>> limiter.reserve(tokens=10)
    0.0
    >>> limiter.learn({"X-Ratelimit-Limit-Requests": "60"})
    >>> 0.9 < limiter.reserve(tokens=10) < 1.2
    True
    """

    def __init__(self, path: Path | None = None) -> None:
        self._cache = JsonCache(path) if path else None
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {}
        self._pause = FIRST_PAUSE
        self._answer_tokens = 0.0
        self.slots = Slots()

    def reserve(self, tokens: int) -> float:
        """Take the next place for a request; return the seconds until then.

        Parameters
        ----------
        tokens
            Tokens of its prompt; its answer is taken to be as long as those before.
        """
        from pyrate_limiter import GCRA

        algorithm, weights = GCRA(), self._weights(tokens)
        with self._shared() as state:
            now = _now()
            due = max(now, int(state.get("closed_until", 0)))
            places = dict(state.get("places", {}))
            for unit, limit in state.get("limits", {}).items():
                rate = _rate(limit)
                weight = max(1, min(weights[unit], rate.burst))
                before = (places.get(unit, 0),)
                after, decision = algorithm.step([rate], before, due, weight)
                if not decision.allowed:
                    due += decision.retry_after_ms or 1
                    after, _ = algorithm.step([rate], before, due, weight)
                places[unit] = after[0]
            state["places"] = places
        return max(0, due - now) / 1000

    def learn(self, headers: Mapping[str, str], answer_tokens: int = 0) -> None:
        """Take the limits from the headers of an answer, and how long answers are."""
        self._answer_tokens += NEWEST * (answer_tokens - self._answer_tokens)
        named = {unit: headers.get(f"X-Ratelimit-Limit-{unit}", "") for unit in UNITS}
        limits = {
            unit: int(text)
            for unit, text in named.items()
            if text.isascii()
            and text.isdecimal()
            and len(text) <= len(str(_LARGEST))
            and int(text) > 0
        }
        self._pause = FIRST_PAUSE
        self.slots.grow()
        # Read without the lock first: the limits change hardly ever.
        if limits and limits != self._state.get("limits"):
            with self._shared() as state:
                # What was sent before counts, too: nothing more may come at once.
                known, now = state.get("places", {}), _now() * 1000
                for unit, limit in limits.items():
                    rate = _rate(limit)
                    full = now + rate.burst * ceil(rate.interval * 1000 / rate.limit)
                    known[unit] = max(full, known.get(unit, 0))
                state["places"] = known
                state["limits"] = limits

    def per_second(self, tokens: int) -> float | None:
        """Return how many requests of this size the limits allow a second; None if unknown."""
        weights, limits = self._weights(tokens), self._state.get("limits", {})
        rates = [SHARE * limit / 60 / max(1, weights[unit]) for unit, limit in limits.items()]
        return min(rates, default=None)

    def refused(self, retry_after: float | None) -> float:
        """Let nobody ask for a while, since the service has refused a request.

        Parameters
        ----------
        retry_after
            The seconds that the service asks for; None if it names none. The pause is then one
            second, and twice as long if a request is refused after it, up to a minute; and fewer
            requests are under way at once from then on.

        Returns
        -------
        float
            The seconds of the pause.
        """
        with self._shared() as state:
            left = int(state.get("closed_until", 0)) - _now()
            if left > 0 and not retry_after:  # of those that were under way when it was closed
                return left / 1000
            seconds = min(retry_after or self._pause, LONGEST_PAUSE)
            state["closed_until"] = _now() + max(left, ceil(seconds * 1000))
        if not retry_after:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self.slots.shrink()
        return seconds

    def _weights(self, tokens: int) -> dict[str, int]:
        """Return what a request counts for, by unit."""
        answer = int(self._answer_tokens)
        return dict(zip(UNITS, (1, tokens + answer, tokens, answer), strict=True))

    @contextmanager
    def _shared(self) -> Iterator[dict[str, Any]]:
        """Keep other threads and processes out of the ``with`` block; what it changes is stored."""
        with self._lock:
            if self._cache is None:
                yield self._state
                return
            with self._cache.lock():
                self._state = _checked(self._cache.read()) or self._state
                yield self._state
                self._cache.write(self._state)


def _rate(limit: int) -> Rate:
    """Return the rate for a limit; what belongs to one second may come at once."""
    from pyrate_limiter import Rate  # 30 ms that `%load_ext` need not wait for

    return Rate(max(1, int(limit * SHARE)), MINUTE, burst=max(1, ceil(limit / 60)))


def _checked(state: Any) -> dict[str, Any]:
    """Return a state that was read from a file; empty if it is none, or far in the future."""
    if not isinstance(state, dict):
        return {}
    limits, places = state.get("limits", {}), state.get("places", {})
    until = state.get("closed_until", 0)
    if not (isinstance(limits, dict) and isinstance(places, dict) and limits.keys() <= set(UNITS)):
        return {}
    numbers = [until, *limits.values(), *places.values()]
    if not all(type(number) is int and number >= 0 for number in numbers):
        return {}
    latest = _now() + FURTHEST
    if until > latest or any(place // 1000 > latest for place in places.values()):
        return {"limits": limits}
    return state


def _now() -> int:
    """Return the time in milliseconds; processes have no other clock in common."""
    return time.time_ns() // 1_000_000


_limiters: dict[tuple[Path | None, str], RateLimiter] = {}
_limiters_lock = threading.Lock()


def limiter_of(folder: Path | None, owner: str) -> RateLimiter:
    """Return the limiter of a service; there is one for all threads of this process.

    Parameters
    ----------
    folder
        Where its file is, which other processes share; None for none.
    owner
        A digest of the service, the account and the model.
    """
    path = folder / f"limits-{owner}.json" if folder else None
    with _limiters_lock:
        return _limiters.setdefault((path, owner), RateLimiter(path))

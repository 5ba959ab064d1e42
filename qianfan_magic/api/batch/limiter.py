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
from typing import Any

from qianfan_magic.api.http.json_cache import JsonCache

__all__ = ["RateLimiter", "limiter_of"]

#: Share of a limit that is used: clocks differ, and others may ask with the same key.
SHARE = 0.95
#: Milliseconds of a minute, over which the limits are.
MINUTE = 60_000
#: Seconds to wait after a refusal that names no time: first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Milliseconds from now after which no place can be: a clock was wrong.
FURTHEST = 3_600_000
#: By unit of a limit: whether it counts tokens.
UNITS = {"Requests": False, "Tokens": True, "Input-Tokens": True, "Output-Tokens": True}
#: Largest limit that is taken for one.
_LARGEST = 10**12


class RateLimiter:
    """Says when the next request is due.

    Until the first answer has named the limits, requests are due at once.

    Parameters
    ----------
    path
        The file that all processes share; None for this process alone.

    Examples
    --------
    >>> limiter = RateLimiter()
    >>> limiter.learn({"X-Ratelimit-Limit-Requests": "60"})
    >>> limiter.reserve(tokens=10)
    0.0
    >>> 0.9 < limiter.reserve(tokens=10) < 1.1
    True
    """

    def __init__(self, path: Path | None = None) -> None:
        self._cache = JsonCache(path) if path else None
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {}
        self._pause = FIRST_PAUSE

    def reserve(self, tokens: int) -> float:
        """Take the next place for a request; return the seconds until then."""
        import pyrate_limiter as pyrate  # 30 ms that `%load_ext` need not wait for

        algorithm = pyrate.GCRA()
        with self._shared() as state:
            now = _now()
            due = max(now, int(state.get("closed_until", 0)))
            places = dict(state.get("places", {}))
            for unit, limit in state.get("limits", {}).items():
                at_once = max(1, ceil(limit / 60))
                rate = pyrate.Rate(max(1, int(limit * SHARE)), MINUTE, burst=at_once)
                weight = min(tokens, at_once) if UNITS[unit] else 1
                before = (places.get(unit, 0),)
                after, decision = algorithm.step([rate], before, due, max(weight, 1))
                if not decision.allowed:
                    due += decision.retry_after_ms or 1
                    after, _ = algorithm.step([rate], before, due, max(weight, 1))
                places[unit] = after[0]
            state["places"] = places
        return max(0, due - now) / 1000

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take the limits from the headers of an answer."""
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
        # Read without the lock first: the limits change hardly ever.
        if limits and limits != self._state.get("limits"):
            with self._shared() as state:
                state["limits"] = limits

    def refused(self, retry_after: float | None) -> float:
        """Let nobody ask for a while, since the service has refused a request.

        Parameters
        ----------
        retry_after
            The seconds that the service asks for; None if it names none. The pause is then one
            second, and twice as long each time that another request is refused, up to a minute.

        Returns
        -------
        float
            The seconds of the pause.
        """
        seconds = min(retry_after or self._pause, LONGEST_PAUSE)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        with self._shared() as state:
            until = _now() + ceil(seconds * 1000)
            state["closed_until"] = max(until, int(state.get("closed_until", 0)))
        return seconds

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


def _checked(state: Any) -> dict[str, Any]:
    """Return a state that was read from a file; empty if it is none, or far in the future."""
    if not isinstance(state, dict):
        return {}
    limits, places = state.get("limits", {}), state.get("places", {})
    until = state.get("closed_until", 0)
    if not (
        isinstance(limits, dict) and isinstance(places, dict) and limits.keys() <= UNITS.keys()
    ):
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

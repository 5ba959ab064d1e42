"""How much may be asked in a minute, as the headers of an answer say; nothing is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

LIMITS = {"Requests": 3_000, "Input-Tokens": 300_000, "Output-Tokens": 100_000}
SECONDS = 60.0


@dataclass(slots=True)
class RateLimits:
    """Counts what was used since the beginning of the minute.

    Attributes
    ----------
    clock
        Seconds that never go back.
    """

    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _used: dict[str, int] = field(default_factory=dict)

    def use(self, prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
        """Count one request; return what is left, by the names of the headers."""
        if not self._used or self.clock() - self._since >= SECONDS:
            self._since, self._used = self.clock(), dict.fromkeys(LIMITS, 0)
        used = zip(LIMITS, (1, prompt_tokens, completion_tokens), strict=True)
        for name, count in used:
            self._used[name] += count
        return {name: max(limit - self._used[name], 0) for name, limit in LIMITS.items()}


def headers(left: dict[str, int], limits: dict[str, int] = LIMITS) -> dict[str, str]:
    """Write the headers ``X-Ratelimit-Limit-…`` and ``X-Ratelimit-Remaining-…``."""
    written = {f"X-Ratelimit-Limit-{name}": str(limit) for name, limit in limits.items()}
    return written | {f"X-Ratelimit-Remaining-{name}": str(n) for name, n in left.items()}


def v1_headers(left: dict[str, int]) -> dict[str, str]:
    """Write those of version 1, which counts all tokens together."""
    both = ("Input-Tokens", "Output-Tokens")
    limits = {"Requests": LIMITS["Requests"], "Tokens": sum(LIMITS[name] for name in both)}
    rest = {"Requests": left["Requests"], "Tokens": sum(left[name] for name in both)}
    return headers(rest, limits)

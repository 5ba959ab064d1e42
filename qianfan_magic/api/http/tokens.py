"""Access and bearer tokens: how long they stay valid, and how processes share one.

A token of the service lives for 30 days and costs one request, so it is stored in memory and in a
`JsonCache`; of all threads and processes that need the same one, a single one fetches it.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from qianfan_magic.api.http.json_cache import LOCK_TIMEOUT, JsonCache
from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr
from qianfan_magic.masking import log, remember

__all__ = [
    "MAX_LIFETIME",
    "RENEW_BEFORE",
    "StaticToken",
    "Token",
    "TokenProvider",
    "TokenSource",
    "check_token",
]

#: Seconds before its expiry at which a token is replaced, so that no request is sent with one
#: that expires on its way.
RENEW_BEFORE = 600

#: Longest credible lifetime of a token in seconds. The service gives 30 days; a cache entry that
#: claims more than this is damaged.
MAX_LIFETIME = 400 * 86_400


@dataclass(frozen=True, slots=True)
class Token:
    """An access or bearer token; the times are in seconds since 1970."""

    access_token: str
    obtained_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"Token(***, expires_at={self.expires_at:.0f})"

    def is_fresh(self, now: float) -> bool:
        """Return whether the token can be sent: valid for ten more minutes, times credible."""
        # A token from the future was written before the clock was set back.
        credible = self.obtained_at <= now and self.expires_at - self.obtained_at <= MAX_LIFETIME
        return credible and now < self.expires_at - RENEW_BEFORE


class TokenProvider(Protocol):
    """Source of the tokens of an authentication method.

    Attributes
    ----------
    refused_hint : str
        What the user can do about a token that the service refuses; empty where it is replaced.
    """

    refused_hint: str

    def get(self, timeout: float | None = None) -> str:
        """Return the token to send; fetching it may take that many seconds."""
        ...

    def renew(self, refused: str, timeout: float | None = None) -> bool:
        """Replace a token that the service refused; return False if that is impossible."""
        ...


class StaticToken:
    """A token that was obtained elsewhere and cannot be renewed.

    Parameters
    ----------
    token
        The token.
    refused_hint
        What the user can do if the service refuses it.
    """

    def __init__(self, token: str, refused_hint: str = "") -> None:
        self._token = token
        self.refused_hint = refused_hint

    def get(self, timeout: float | None = None) -> str:
        """Return the token."""
        del timeout
        return self._token

    def renew(self, refused: str, timeout: float | None = None) -> bool:
        """Return False: there is no other token."""
        del refused, timeout
        return False


class TokenSource:
    """Fetches the token of one pair of keys, as seldom as possible.

    Parameters
    ----------
    fetch
        Requests a token, with a time-out in seconds; returns it and its lifetime in seconds.
    path
        The cache file that processes share; None keeps the token in memory only.
    clock
        Returns the seconds since 1970.
    timeout
        Seconds that getting a token may take if `get` and `renew` are not told; 0: no limit.

    Examples
    --------
    >>> tokens = iter(["24.first", "24.second"])
    >>> source = TokenSource(lambda timeout: (next(tokens), 2_592_000.0), None)
    >>> source.get(), source.get()
    ('24.first', '24.first')
    >>> source.renew("24.first"), source.get()
    (True, '24.second')
    """

    refused_hint = ""

    def __init__(
        self,
        fetch: Callable[[float], tuple[str, float]],
        path: Path | None,
        clock: Callable[[], float] = time.time,
        timeout: float = 60.0,
    ) -> None:
        self._fetch = fetch
        self._cache = JsonCache(path) if path else None
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._failure: tuple[float, QianfanError] | None = None  # of the last fetch, and when

    def get(self, timeout: float | None = None) -> str:
        """Return a token that is valid for at least ten more minutes.

        Raises
        ------
        TransportError, APIError
            If it cannot be fetched.
        """
        return self._get("", timeout)

    def renew(self, refused: str, timeout: float | None = None) -> bool:
        """Replace a token that the service refused, unless a thread or process already has."""
        self._get(refused, timeout)
        return True

    def _get(self, refused: str, timeout: float | None) -> str:
        seconds = self._timeout if timeout is None else timeout
        begun = time.monotonic()
        with self._lock:
            if self._token is None or not self._is_usable(self._token, refused):
                self._raise_failure_since(begun)
                try:
                    self._token = self._fetch_alone(refused, seconds)
                except QianfanError as error:
                    self._failure = (time.monotonic(), error)
                    raise
            return self._token.access_token

    def _raise_failure_since(self, begun: float) -> None:
        """Raise the error of a fetch that failed while this thread waited for it.

        So threads that wait for a server that does not answer do not ask it one after the other.
        """
        if self._failure and self._failure[0] >= begun:
            raise copy.copy(self._failure[1])

    def _fetch_alone(self, refused: str, seconds: float) -> Token:
        """Return another process's token, or fetch one while the others wait.

        The wait for a process that fetches one, but does not come to an end, takes at most half
        of the time.
        """
        begun = time.monotonic()
        longest = min(LOCK_TIMEOUT, seconds / 2) if seconds else LOCK_TIMEOUT
        with self._cache.lock(longest) if self._cache else nullcontext():
            waited = time.monotonic() - begun
            left = max(seconds - waited, seconds / 2)
            return self._cached(refused) or self._fetch_new(left)

    def _is_usable(self, token: Token, refused: str) -> bool:
        return token.access_token != refused and token.is_fresh(self._clock())

    def _cached(self, refused: str) -> Token | None:
        token = _parse_token(self._cache.read()) if self._cache else None
        if token is None:
            return None
        remember(token.access_token)
        return token if self._is_usable(token, refused) else None

    def _fetch_new(self, timeout: float) -> Token:
        access_token, expires_in = self._fetch(timeout)
        remember(access_token)
        log.debug("Got a new token, valid for %.0f s", expires_in)
        now = self._clock()
        token = Token(access_token, now, now + expires_in)
        if self._cache:
            self._cache.write(asdict(token))
        return token


def check_token(value: object) -> str:
    """Return a token that can be sent in a URL or header, or raise a ValueError."""
    if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
        raise ValueError(tr("not a token"))
    return value


def _parse_token(value: Any) -> Token | None:
    """Read a cache entry; None if it is missing or damaged."""
    try:
        return Token(
            check_token(value["access_token"]),
            float(value["obtained_at"]),
            float(value["expires_at"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None

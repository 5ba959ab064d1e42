"""Access and bearer tokens: how long they are good, and how many processes share one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qianfan_magic.atomic_write import write_json
from qianfan_magic.masking import log, remember

#: Seconds before its expiry from which a token is taken anew.
RENEW_BEFORE = 600


#: Seconds a process waits for another that is fetching the token; then it fetches its own.
LOCK_WAIT = 30.0


#: Seconds a token may be claimed to live (the service gives 30 days); more is a broken cache.
LONGEST_LIFE = 400 * 86_400


@dataclass(frozen=True, slots=True)
class Token:
    """An access or bearer token; times in seconds since 1970."""

    access_token: str
    obtained_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"Token(***, expires_at={self.expires_at:.0f})"

    def is_fresh(self, now: float) -> bool:
        """Tell whether it can be used: not about to expire, and not from a clock that jumped."""
        sane = self.obtained_at <= now and self.expires_at - self.obtained_at <= LONGEST_LIFE
        return sane and now < self.expires_at - RENEW_BEFORE


def check_token(found: object) -> str:
    """Return a token that can stand in an address, or raise a ValueError."""
    if not isinstance(found, str) or not found or not (found.isascii() and found.isprintable()):
        raise ValueError("it is no token")
    return found


class TokenFile:
    """One token on disk, in a file that only its owner reads; no failure of it is an error.

    Parameters
    ----------
    folder
        Made with mode 0700 where it is missing.
    digest
        Names the file; of the keys and the server, so that others' tokens are never taken.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._path = folder / f"token-{digest}.json"

    def read(self) -> Token | None:
        """Return the token, or None if there is none that can be read."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            token = Token(
                check_token(kept["access_token"]),
                float(kept["obtained_at"]),
                float(kept["expires_at"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            log.info(
                "The token cache cannot be used (%s); a token is fetched", type(error).__name__
            )
            return None
        remember(token.access_token)
        return token

    def write(self, token: Token) -> None:
        """Put the token there in one step, or not at all."""
        write_json(self._path, asdict(token))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from fetching a token meanwhile, where the disk allows it."""
        from filelock import FileLock, Timeout

        held = FileLock(self._path.with_suffix(".lock"), timeout=LOCK_WAIT)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.acquire()
        except (OSError, NotImplementedError, Timeout) as error:
            log.info("The token cache cannot be locked (%s)", type(error).__name__)
        try:
            yield
        finally:
            held.release()


class TokenSource:
    """Gives the access token of one pair of keys; asks for it as seldom as it can.

    Parameters
    ----------
    fetch
        Asks the service; returns the token and how many seconds it lives.
    file
        Where processes share it; None keeps it in memory only.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[str, float]],
        file: TokenFile | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def get(self, *, instead_of: str = "") -> str:
        """Return a token that is good for ten more minutes at least.

        Parameters
        ----------
        instead_of
            A token that the service no longer takes; any other known one will do.
        """
        with self._lock:
            if self._usable(self._token, instead_of):
                return self._token.access_token  # type: ignore[union-attr]
            with self._file.lock() if self._file else contextlib.nullcontext():
                kept = self._file.read() if self._file else None
                self._token = kept if self._usable(kept, instead_of) else self._new()
            return self._token.access_token  # type: ignore[union-attr]

    def _usable(self, token: Token | None, instead_of: str) -> bool:
        return bool(token and token.access_token != instead_of and token.is_fresh(self._clock()))

    def _new(self) -> Token:
        access_token, expires_in = self._fetch()
        remember(access_token)
        now = self._clock()
        token = Token(access_token, now, now + expires_in)
        if self._file:
            self._file.write(token)
        return token


def token_digest(*parts: str) -> str:
    """Name a cache file after the keys it belongs to, without giving them away."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

"""How long to read a stream whose answer has ended and whose connection has not."""

from __future__ import annotations

import time
from contextlib import suppress

import requests

from qianfan_magic.api.http.urllib3_workarounds import socket_of

__all__ = ["Grace"]

#: Seconds to wait for the token counts and ``[DONE]`` after the model has ended its answer.
GRACE = 2.0


class Grace:
    """The time that a stream may take to end once its answer has.

    Some servers send ``finish_reason`` and then no ``[DONE]``, but nothing, or comments for ever.

    Parameters
    ----------
    response
        The stream.

    Attributes
    ----------
    has_begun : bool
        Whether the answer has ended.
    """

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.has_begun = False
        self._ends = 0.0
        self._timeout: float | None = None  # the socket's own

    def change(self, is_finished: bool) -> None:
        """Let the time run once the answer has ended; stop it if the answer goes on."""
        if is_finished and not self.has_begun:
            self._begin()
        elif self.has_begun and not is_finished:
            self.end()

    def _begin(self) -> None:
        self.has_begun = True
        self._ends = time.monotonic() + GRACE
        sock = socket_of(self._response)
        self._timeout = sock.gettimeout() if sock else None
        self._set_timeout(GRACE)

    def end(self) -> None:
        """Read on as before."""
        self.has_begun = False
        self._set_timeout(None)

    def is_over(self) -> bool:
        """Return whether the time has passed; if not, the next read waits only for its rest."""
        left = self._ends - time.monotonic()
        if left > 0:
            self._set_timeout(left)
        return left <= 0

    def _set_timeout(self, seconds: float | None) -> None:
        """Limit the wait for the next bytes to that many seconds; None: to the time-out alone."""
        both = [limit for limit in (seconds, self._timeout) if limit is not None]
        sock = socket_of(self._response)
        if sock:
            with suppress(OSError):  # closed meanwhile
                sock.settimeout(min(both, default=None))

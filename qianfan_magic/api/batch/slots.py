"""How many requests may be under way at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

__all__ = ["Slots"]

#: What is left of the number after a refusal, and how many times that number of requests must
#: succeed before it grows by one.
DECREASE, ROUNDS = 0.5, 10
#: Seconds between two looks at whether a request that waits is still wanted.
_INTERVAL = 0.1


class Slots:
    """Bounds the requests of this process by what the service takes at once.

    A service may serve few requests at the same time and refuse the others, without a word on how
    many it takes. The number is found as TCP finds its window (RFC 5681): a refusal makes it
    smaller by a factor, success lets it grow slowly.

    Examples
    --------
    >>> slots = Slots()
    >>> with slots.one(threading.Event()):
    ...     slots.most
    inf
    """

    def __init__(self) -> None:
        self.most = inf
        self._under_way = 0
        self._waiting: deque[object] = deque()  # those that came first are first
        self._changed = threading.Condition()

    @contextmanager
    def one(self, stopped: threading.Event) -> Iterator[None]:
        """Wait for a slot, unless `stopped` is set meanwhile, and occupy it in the ``with`` block.

        Whoever waits longest is next.

        Parameters
        ----------
        stopped
            Set when the request is not wanted any more.
        """
        with self._changed:
            place = object()
            self._waiting.append(place)
            try:
                while not (stopped.is_set() or self._is_next(place)):
                    self._changed.wait(_INTERVAL)
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _is_next(self, place: object) -> bool:
        return self._waiting[0] is place and self._under_way < self.most

    def shrink(self) -> None:
        """Take fewer from now on: the service has refused one of those that are under way."""
        with self._changed:
            self.most = max(1.0, int(DECREASE * min(self.most, self._under_way)))

    def grow(self) -> None:
        """Count a success."""
        with self._changed:
            self.most += 1 / (ROUNDS * self.most)
            self._changed.notify_all()

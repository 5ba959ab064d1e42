"""The names of the models that version 2 of the API offers, requested once a day."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qianfan_magic.api.http.json_cache import JsonCache

__all__ = ["A_DAY", "ModelList"]

#: Seconds for which a list stays valid.
A_DAY = 86_400


class ModelList:
    """The names of the models that one key may use.

    Parameters
    ----------
    fetch
        Requests the names.
    path
        The cache file; None keeps the list in memory only.
    clock
        Returns the seconds since 1970.
    """

    def __init__(
        self,
        fetch: Callable[[], list[str]],
        path: Path | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._cache = JsonCache(path) if path else None
        self._clock = clock
        self._list: tuple[float, list[str]] | None = None  # when it was fetched, and the names

    def get(self, *, fresh: bool = False) -> list[str]:
        """Return the names in alphabetical order.

        Parameters
        ----------
        fresh
            Request the list even if one of the last day is known.
        """
        if not fresh:
            if not self._is_current(self._list):
                self._list = self._cached()
            if self._list is not None and self._is_current(self._list):
                return self._list[1]
        fetched_at, names = self._list = (self._clock(), self._fetch())
        if self._cache:
            self._cache.write({"asked_at": fetched_at, "models": names})
        return names

    def _is_current(self, models: tuple[float, list[str]] | None) -> bool:
        # A list from the future was written before the clock was set back.
        return models is not None and 0 <= self._clock() - models[0] < A_DAY

    def _cached(self) -> tuple[float, list[str]] | None:
        value: Any = self._cache.read() if self._cache else None
        try:
            names = value["models"]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                return None
            return float(value["asked_at"]), names
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

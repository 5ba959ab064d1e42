"""What version 2 lists as its models: asked once a day."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from qianfan_magic.atomic_write import write_json

#: Seconds for which a list counts.
A_DAY = 86_400


class ModelList:
    """The names of the models that one key may ask.

    Parameters
    ----------
    fetch
        Asks the service.
    path
        Where it is kept; None keeps it in memory only.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        fetch: Callable[[], list[str]],
        path: Path | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._path = path
        self._clock = clock
        self._kept: tuple[float, list[str]] | None = None

    def get(self, *, fresh: bool = False) -> list[str]:
        """Return the names, in alphabetical order.

        Parameters
        ----------
        fresh
            Ask even if a list of the last day is there.
        """
        if not fresh and (self._counts(self._kept) or self._counts(self._read())):
            return self._kept[1] if self._kept else []
        self._kept = (self._clock(), self._fetch())
        self._write()
        return self._kept[1]

    def _counts(self, kept: tuple[float, list[str]] | None) -> bool:
        if kept is None or not 0 <= self._clock() - kept[0] < A_DAY:
            return False
        self._kept = kept
        return True

    def _read(self) -> tuple[float, list[str]] | None:
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            names = kept["models"]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                return None
            return float(kept["asked_at"]), names
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def _write(self) -> None:
        """Put the list there in one step, or not at all."""
        if self._path is not None and self._kept is not None:
            write_json(self._path, {"asked_at": self._kept[0], "models": self._kept[1]})

"""What the doctor finds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qianfan_magic.errors import QianfanError, one_line

State = Literal["ok", "note", "failed"]
MARKS: dict[State, str] = {"ok": "ok", "note": "--", "failed": "!!"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; its texts are masked and one line each.

    Attributes
    ----------
    what
        The name of the thing.
    state
        ``ok``; ``note`` if it may be meant so; ``failed`` if it cannot be.
    said
        What was found.
    todo
        What to do about it; there is always something if it failed.
    """

    what: str
    state: State
    said: str
    todo: str = ""

    def __post_init__(self) -> None:
        for name in ("what", "said", "todo"):
            object.__setattr__(self, name, one_line(getattr(self, name)))

    @classmethod
    def of(cls, what: str, error: QianfanError, state: State = "failed") -> Finding:
        """Tell of an error: what happened, and what to do."""
        return cls(what, state, error.message, error.hint)

    @property
    def lines(self) -> list[str]:
        """What a terminal shows: one line, and below it what to do."""
        line = f"{MARKS[self.state]}  {self.what}: {self.said}"
        return [line, f"    → {self.todo}"] if self.todo else [line]


def display_path(path: Path, folder: Path) -> str:
    """Write a path as a reader knows it: from the folder, or from the home folder ``~``."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
    if whole.is_relative_to(folder):
        return str(whole.relative_to(folder))
    try:
        home = Path.home()
    except RuntimeError:  # this process has none
        return str(whole)
    return str("~" / whole.relative_to(home)) if whole.is_relative_to(home) else str(whole)

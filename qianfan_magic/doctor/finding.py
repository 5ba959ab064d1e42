"""The result of one check of the doctor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qianfan_magic.errors import QianfanError, one_line

__all__ = ["MARKS", "Finding", "State", "display_path", "summary"]

State = Literal["ok", "note", "failed"]
#: The mark that a terminal and the table show for each state.
MARKS: dict[State, str] = {"ok": "ok", "note": "note", "failed": "fix"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. Its texts are one line each, with every known secret masked.

    Attributes
    ----------
    subject
        What was checked, for example ``"Proxy"``.
    state
        ``"ok"``; ``"note"`` for something unusual that may be intended; ``"failed"`` for
        something that cannot work.
    message
        What was found.
    hint
        How to correct it; never empty if the check failed.

    Examples
    --------
    >>> Finding("Server", "failed", "connection refused", "Check QIANFAN_BASE_URL.").lines
    ['fix   Server: connection refused', '      → Check QIANFAN_BASE_URL.']
    """

    subject: str
    state: State
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("subject", "message", "hint"):
            object.__setattr__(self, name, one_line(getattr(self, name)))

    @classmethod
    def of(cls, subject: str, error: QianfanError, state: State = "failed") -> Finding:
        """Make a finding of an error, with its message and its hint."""
        return cls(subject, state, error.message, error.hint)

    @property
    def lines(self) -> list[str]:
        """The lines that a terminal shows: the message, then the hint."""
        line = f"{MARKS[self.state]:<4}  {self.subject}: {self.message}"
        return [line, f"      → {self.hint}"] if self.hint else [line]


def summary(findings: Iterable[Finding]) -> str:
    """Say in one sentence whether anything has to be done.

    Examples
    --------
    >>> summary([Finding("Proxy", "ok", "none"), Finding("Server", "failed", "no answer", "Wait.")])
    '1 thing needs your attention: Server.'
    """
    failed = [finding.subject for finding in findings if finding.state == "failed"]
    if not failed:
        return "All is well."
    things = "1 thing needs" if len(failed) == 1 else f"{len(failed)} things need"
    return f"{things} your attention: {', '.join(dict.fromkeys(failed))}."


def display_path(path: Path, folder: Path) -> str:
    """Shorten a path: relative to `folder`, or to the home folder as ``~``, where it is below."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
    if absolute.is_relative_to(folder):
        return str(absolute.relative_to(folder))
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the user database
        return str(absolute)
    return str("~" / absolute.relative_to(home)) if absolute.is_relative_to(home) else str(absolute)

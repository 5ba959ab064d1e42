"""Replacement of a text file in one step, so that no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["write_text"]

#: Permissions of a new file: its content may be private, so only its owner may read it.
_NEW_FILE_MODE = 0o600


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write text to a file in one step: the file is complete or stays as it was.

    Parameters
    ----------
    path
        The file; its folder must exist.
    text
        The content, written as UTF-8.
    mode
        Permissions of the file. By default an existing file keeps its own, and a new one gets
        0o600.

    Raises
    ------
    OSError
        If the file cannot be written.
    UnicodeEncodeError
        If the text contains half of a surrogate pair.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "note.txt"
    ...     write_text(path, "first")
    ...     write_text(path, "second")
    ...     path.read_text(encoding="utf-8")
    'second'
    """
    # The temporary file is in the same folder: a rename across file systems is not atomic.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".qianfan-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(_existing_mode(path) if mode is None else mode)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _existing_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE_MODE

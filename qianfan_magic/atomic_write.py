"""Files in the user's cache folder; no failure of one is an error."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from qianfan_magic.masking import log


def write_json(path: Path, value: Any) -> None:
    """Put a value there in one step, readable by its owner alone, or not at all."""
    written: str | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600.
        handle, written = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
        Path(written).replace(path)
    except OSError as error:
        log.info("%s could not be kept (%s)", path.name, type(error).__name__)
        if written:
            with contextlib.suppress(OSError):
                Path(written).unlink()


#: Permissions of a new file: what it holds is private, so only its owner may read it.
_NEW_FILE = 0o600


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Replace a file by a text in one step: readers see the old file or the new one.

    Parameters
    ----------
    path
        The file; its folder must exist.
    text
        The new content, encoded as UTF-8.
    mode
        Permissions of the file; by default those of the existing file, else 0o600.

    Raises
    ------
    OSError
        If the file cannot be written; then it is as it was.
    """
    # In the same folder: os.replace is atomic only within a file system.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".qianfan-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        if mode is None:
            mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:  # a KeyboardInterrupt must not leave the temporary file either
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise

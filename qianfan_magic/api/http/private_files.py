"""Folders and files of the cache, which hold tokens: only their owner may have them.

The files are created so that nobody else may read them. That is not enough where another user of
the computer owns the folder or may write to it: they could put a file, or a link, in the place of
ours, and what is written there would be theirs.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from qianfan_magic.language import tr

__all__ = ["create_folder", "read_text", "why_refused"]

_FOLDER_MODE = 0o700
#: Permission bits by which others than the owner may write.
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
#: A link is not followed, and a named pipe without a writer is empty instead of being waited for.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def why_refused(folder: Path) -> str:
    """Say why nothing may be stored in a folder, continuing a sentence about it.

    Returns
    -------
    str
        Empty if the folder is the user's alone to write to, or is not there yet.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     why_refused(Path(folder))
    ''
    """
    try:
        found = folder.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(found.st_mode):
        return tr("is a symbolic link")
    return _why_not_own(found)


def _why_not_own(found: os.stat_result) -> str:
    if os.name != "posix":  # Windows has other permissions, and reports these as open to all
        return ""
    if found.st_uid != os.geteuid():
        return tr("belongs to another user")
    if found.st_mode & _WRITABLE:
        mode = f"{stat.S_IMODE(found.st_mode):o}"
        return tr("can be written to by other users (mode {mode})", mode=mode)
    return ""


def create_folder(folder: Path) -> None:
    """Create a folder that only the user may use, unless it is there.

    Raises
    ------
    OSError
        If it cannot be created, or is refused.
    """
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    if reason := why_refused(folder):
        raise PermissionError(f"the folder {reason}")


def read_text(path: Path) -> str:
    """Return the text of a file, unless it is a link, no file, or another user's to write to.

    Raises
    ------
    OSError
        If the file cannot be read, or is refused.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    with open(path, encoding="utf-8", opener=_open_own) as stream:
        return stream.read()


def _open_own(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _PLAIN)
    found = os.fstat(descriptor)
    reason = _why_not_own(found) if stat.S_ISREG(found.st_mode) else "is no file"
    if reason:
        os.close(descriptor)
        raise PermissionError(f"it {reason}")
    return descriptor

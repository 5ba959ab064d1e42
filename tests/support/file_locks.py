"""Which process holds a lock on a file, as Linux tells it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def owner_of(lock: Path, ids: Collection[int]) -> int:
    """Return which of these processes holds the lock on a file.

    Raises
    ------
    LookupError
        If none does.
    """
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and words[5].rpartition(":")[2] == inode and int(words[4]) in ids:
            return int(words[4])
    raise LookupError(f"nobody holds {lock.name}")

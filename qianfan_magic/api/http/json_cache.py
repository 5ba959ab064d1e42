"""JSON files in the user's cache folder, which several processes share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qianfan_magic import atomic_write
from qianfan_magic.api.http.private_files import create_folder, read_text
from qianfan_magic.masking import log

__all__ = ["LOCK_TIMEOUT", "JsonCache"]

#: Seconds to wait for another process that holds the lock; then its work is done twice.
LOCK_TIMEOUT = 30.0

#: The files hold tokens: only their owner may read them.
_FILE_MODE = 0o600


class JsonCache:
    """One JSON value on disk; no failure to read, write or lock it is an error.

    A cache only saves requests: where the disk is read-only or full, the file is damaged, or others
    may write to the folder, the package works without it and says so in its log.

    Parameters
    ----------
    path
        The file. Its folder is created where it is missing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = JsonCache(Path(folder) / "models.json")
    ...     with cache.lock():
    ...         before = cache.read()
    ...         cache.write({"models": ["ernie-4.5"]})
    ...     before, cache.read()
    (None, {'models': ['ernie-4.5']})
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Any:
        """Return the value, or None if the file is missing, unreadable or not JSON."""
        try:
            return json.loads(read_text(self._path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.info("The cache %s cannot be read (%s)", self._path.name, type(error).__name__)
            return None

    def write(self, value: Any) -> None:
        """Replace the value in one step, or leave the file as it is."""
        try:
            create_folder(self._path.parent)
            atomic_write.write_text(self._path, json.dumps(value), mode=_FILE_MODE)
        except OSError as error:
            log.info("The cache %s cannot be written (%s)", self._path.name, type(error).__name__)

    @contextlib.contextmanager
    def lock(self, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
        """Keep other processes out of the ``with`` block, where the file system can lock.

        Parameters
        ----------
        timeout
            Seconds to wait for another process; then the block is run all the same.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self._path.with_suffix(".lock"), timeout=timeout)
        try:
            create_folder(self._path.parent)
            lock.acquire()
        except (OSError, NotImplementedError, Timeout) as error:
            log.info("The cache %s cannot be locked (%s)", self._path.name, type(error).__name__)
        try:
            yield
        finally:
            lock.release()

"""Reading of the small text files beside a notebook, which may be a stranger's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from qianfan_magic.language import tr

__all__ = ["MAX_BYTES", "read_text"]

#: Largest size of a file: the parsers take quadratic time for some texts.
MAX_BYTES = 65_536


def read_text(path: Path) -> str:
    """Return the text of a small UTF-8 file, with or without a byte order mark.

    Raises
    ------
    OSError
        If it cannot be read, is too large, or is a device or a named pipe, whose reading might
        never end.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, tr("it is not a file"))
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content.decode("utf-8-sig")

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

"""Whether tokens can be kept, so that they are not asked for again and again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import user_cache
from qianfan_magic.doctor.finding import Finding, display_path


def check_cache(settings: Settings, folder: Path) -> Finding:
    """Look at the folder where tokens and lists are kept; nothing is left there."""
    if settings.disable_cache:
        return Finding("Tokens", "ok", "kept in memory only, as QIANFAN_DISABLE_CACHE says")
    path = settings.cache_dir or user_cache()
    place = display_path(path, folder)
    if not _is_writable(path):
        said = f"{place} cannot be written to: each kernel asks for tokens of its own"
        todo = "Name another folder in QIANFAN_CACHE_DIR, or set QIANFAN_DISABLE_CACHE=true."
        return Finding("Tokens", "failed" if settings.cache_dir else "note", said, todo)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0
    if os.name == "posix" and mode & 0o077:
        said = f"kept in {place}, whose list others on this computer may see (mode {mode:o})"
        return Finding("Tokens", "note", said, f"chmod 700 {place}")
    return Finding("Tokens", "ok", f"kept in {place}")


def _is_writable(path: Path) -> bool:
    """Try it; a folder that is not there yet is made in one that can be written to."""
    nearest = next((one for one in (path, *path.parents) if one.exists()), path)
    if nearest != path:
        return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            return True
    except OSError:
        return False

"""Check whether tokens can be stored between kernels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import cache_folder
from qianfan_magic.api.http.private_files import why_refused
from qianfan_magic.doctor.finding import Finding, display_path

__all__ = ["check_cache"]

_ANOTHER = "Name another folder in QIANFAN_CACHE_DIR, or set QIANFAN_DISABLE_CACHE=true."


def check_cache(settings: Settings, folder: Path) -> Finding:
    """Check the folder in which tokens and model lists are stored; leave nothing in it.

    Parameters
    ----------
    settings
        Its ``cache_dir`` and ``disable_cache`` choose the folder.
    folder
        The notebook's folder, relative to which the path is shown.
    """
    if settings.disable_cache:
        return Finding("Tokens", "ok", "kept in memory only (QIANFAN_DISABLE_CACHE)")
    path = cache_folder(settings)
    shown = display_path(path, folder)
    if reason := why_refused(path):
        message = f"{shown} {reason}, so it is not used: each kernel requests tokens of its own"
        hint = f"chmod 700 {shown}, or name a folder of your own, not a link, in QIANFAN_CACHE_DIR."
        return Finding("Tokens", "failed", message, hint)
    if not _is_writable(path):
        message = f"{shown} cannot be written to: each kernel requests tokens of its own"
        return Finding("Tokens", "failed" if settings.cache_dir else "note", message, _ANOTHER)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0
    # The files have mode 600 whatever the folder's is, so this reveals no more than their names.
    if os.name == "posix" and mode & 0o077:
        message = f"stored in {shown}, whose files other users of this computer can list"
        return Finding("Tokens", "note", f"{message} (mode {mode:o})", f"chmod 700 {shown}")
    return Finding("Tokens", "ok", f"stored in {shown}")


def _is_writable(path: Path) -> bool:
    """Tell whether files can be created in a folder, or the folder itself if it is missing."""
    nearest = next((parent for parent in (path, *path.parents) if parent.exists()), path)
    if nearest != path:
        return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    try:
        # os.access ignores read-only mounts on some systems: create a file.
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            return True
    except OSError:
        return False

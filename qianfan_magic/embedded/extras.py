"""Packages that only the demo needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
    pass


def missing(error: ImportError) -> QianfanError:
    """Say which package the demo lacks, and what to install."""
    return QianfanError(
        f"The demo needs the package {error.name}",
        hint="Install it with: python -m pip install 'qianfan-magic[demo]'",
    )

"""Output that is there at once: plain text, and bundles made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qianfan_magic.views.place import UnderCell
from qianfan_magic.views.shown import NOTHING, Shown


def show(text: str, metadata: Mapping[str, Any] = NOTHING) -> None:
    """Show plain text, which the page wraps between words; the metadata is saved with it."""
    publish(Shown(text.rstrip()).bundle(), metadata)


def publish(bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
    """Show a bundle under the cell that runs."""
    UnderCell().put(bundle, metadata)

"""Output that is there at once: plain text, and bundles made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show(text: str, metadata: Mapping[str, Any] | None = None) -> None:
    """Show plain text, which the page wraps between words; the metadata is saved with it."""
    # What renders takes a tenth of a second to import; %load_ext does not need it yet.
    from qianfan_magic.views.rendering.answer import AnswerOutput

    publish(AnswerOutput(text.rstrip()).bundle(), metadata)


def publish(bundle: dict[str, str], metadata: Mapping[str, Any] | None = None) -> None:
    """Show a bundle under the cell that runs."""
    from qianfan_magic.views.output_area import CellOutput

    CellOutput().put(bundle, metadata or {})

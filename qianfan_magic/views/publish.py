"""Show finished output under the running cell: plain text, or a MIME bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["publish", "show", "show_verbatim"]


def show(text: str, metadata: Mapping[str, Any] | None = None) -> None:
    """Show a message of ours, in the face in which answers are set.

    Parameters
    ----------
    text
        What to show; its lines stay lines.
    metadata
        Metadata of the output, saved with it in the notebook.
    """
    # The renderer takes 0.1 s to import; %load_ext does not need it yet.
    from qianfan_magic.views.rendering.answer import message_bundle

    publish(message_bundle(text.rstrip()), metadata)


def show_verbatim(text: str) -> None:
    """Show a program, or a request, as it is."""
    from qianfan_magic.views.rendering.answer import AnswerOutput

    publish(AnswerOutput(text.rstrip()).bundle())


def publish(bundle: dict[str, str], metadata: Mapping[str, Any] | None = None) -> None:
    """Show a MIME bundle as an output of the running cell."""
    from qianfan_magic.views.output_area import CellOutput

    CellOutput().put(bundle, metadata or {})

"""What the widgets have in common: they leave nothing behind, and say in words what they are."""

from __future__ import annotations

import re
from pathlib import Path

import anywidget
import traitlets

__all__ = ["TransientWidget", "compact"]

#: Comments of CSS, and lines of JavaScript that are comments.
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)


class TransientWidget(anywidget.AnyWidget):
    """A widget that is never saved: at its end plain output takes its place.

    It has no model of a layout (`ipywidgets.Layout`), which would stay open in the kernel and on
    the page when the widget is closed.

    Attributes
    ----------
    instead
        What is shown where there are no widgets.
    """

    instead = ""
    layout = traitlets.Any(None).tag(sync=True)  # ipywidgets' own trait makes a Layout

    def __repr__(self) -> str:
        """Return the words that front ends without widgets show."""
        return self.instead


def compact(path: Path) -> str:
    """Read a script or a style sheet without its comments and indentation.

    It is part of a widget's state, and so is sent anew with every answer.
    """
    lines = _COMMENT.sub("", path.read_text("utf-8")).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip())

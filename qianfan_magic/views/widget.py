"""What the widgets have in common: they leave nothing behind, and say in words what they are."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["TransientWidget"]


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

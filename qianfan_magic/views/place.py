"""Where an answer is shown: under its cell, or inside an Output widget of the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from IPython.core.display_functions import publish_display_data
from IPython.display import display

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, Output


class Place(Protocol):
    """Holds a widget for a while, and plain output from then on.

    Attributes
    ----------
    keeps
        Whether it keeps the widget instead, as it is at its end.
    """

    keeps: bool

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""

    def put(self, bundle: dict[str, str]) -> None:
        """Show plain output, in the widget's place if there is one."""


class UnderCell:
    """The output of the cell that runs."""

    keeps = False

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        self._handle = display(widget, display_id=True)

    def put(self, bundle: dict[str, str]) -> None:
        """Show plain output; may be called again, from another cell too."""
        if self._handle is None:
            publish_display_data(bundle)
        else:
            self._handle.update(bundle, raw=True)


class InOutput:
    """An `ipywidgets.Output`, whose content the answer takes the place of.

    JupyterLab ignores ``update_display_data`` in there, so its outputs are set.
    """

    keeps = False

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        made = widget._repr_mimebundle_()
        self.put(made[0] if isinstance(made, tuple) else made)  # with metadata, or without

    def put(self, bundle: dict[str, str]) -> None:
        """Show plain output."""
        self._output.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)

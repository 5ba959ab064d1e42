"""Where an answer is shown: under its cell, or inside an Output widget of the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from IPython.display import display

from qianfan_magic.conversation.record import with_digest
from qianfan_magic.views.rendering.answer import NOTHING

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, Output

    from qianfan_magic.views.panel import Panel


class OutputArea(Protocol):
    """Holds a widget for a while, and plain output from then on.

    Attributes
    ----------
    keeps
        Whether it keeps the widget instead, as it is at its end.
    """

    keeps: bool

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show plain output, in the place of what is there; the metadata is saved with it."""


class CellOutput:
    """The output of the cell that runs."""

    keeps = False

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        self._handle = display(widget, display_id=True)

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show plain output; may be called again, from another cell too."""
        metadata = with_digest(metadata, bundle["text/plain"])
        if self._handle is None:
            self._handle = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            self._handle.update(bundle, raw=True, metadata=metadata)


class TerminalOutput:
    """A terminal, in which nothing that stands can be exchanged."""

    keeps = False

    def show(self, widget: DOMWidget) -> None:
        """Show nothing."""

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show nothing."""


class WidgetOutput:
    """An `ipywidgets.Output`, whose content the answer takes the place of.

    JupyterLab ignores ``update_display_data`` in there, so its outputs are set. What an Output
    holds is no output of the notebook, so the metadata stays under the cell, with nothing to see.
    """

    keeps = False

    def __init__(self, output: Output) -> None:
        self._output = output
        self._record = CellOutput()

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        made = widget._repr_mimebundle_()
        self._set(made[0] if isinstance(made, tuple) else made)  # with metadata, or without

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show plain output."""
        self._set(bundle)
        if metadata:
            self._record.put({"text/plain": ""}, metadata)

    def _set(self, bundle: dict[str, str]) -> None:
        self._output.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)


class PanelOutput:
    """The place beside the sliders, which keeps the widget of an answer when it is whole."""

    keeps = True

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._widget: DOMWidget | None = None

    def show(self, widget: DOMWidget) -> None:
        """Show a widget in the place of the one before."""
        self.close()
        self._widget = widget
        self._panel.reply = widget.model_id

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Leave the widget: the panel is no part of the saved notebook."""

    def close(self) -> None:
        """Show nothing, and leave no widget behind."""
        if self._widget:
            self._panel.reply = ""
            self._widget.close()
            self._widget = None

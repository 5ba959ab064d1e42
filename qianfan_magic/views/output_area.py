"""Output areas: where a cell's answer is shown.

Jupyter shows an output as a *MIME bundle*: a dictionary from MIME types to the same content in
several formats, of which the front end renders the richest one that it knows and the notebook file
keeps all. A ``display_data`` message appends a bundle to the cell's outputs; with a ``display_id``,
a later ``update_display_data`` message of the same id replaces that output, wherever it stands.

A widget is such a bundle, too, but its content is only the id of a model that lives in the kernel
and on the page. Once the kernel is gone, a saved widget reopens as "Error displaying widget: model
not found", even if the bundle has a ``text/html`` beside it (JupyterLab 4.6, ipywidgets 8.1). So a
widget is only shown while an answer arrives, and plain HTML and text replace it at the end: that
survives saving, nbconvert, and a web host's preview.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from IPython.display import display

from qianfan_magic.conversation.record import record_beside
from qianfan_magic.language import mark, tr
from qianfan_magic.views.rendering.answer import NOTHING

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, Output

    from qianfan_magic.views.offer import Offer
    from qianfan_magic.views.panel import Panel

__all__ = [
    "CellOutput",
    "OutputArea",
    "PanelOutput",
    "PanelTable",
    "TerminalOutput",
    "WidgetOutput",
]

#: The note below the table of an older panel.
RETIRED = mark("The panel of a later cell has the controls.")


class OutputArea(Protocol):
    """A place for one output: at first a widget, perhaps, then the plain output that stays.

    Attributes
    ----------
    keeps_widget
        Whether the widget stays at the end of the answer and no plain output replaces it.
    """

    keeps_widget: bool

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show a MIME bundle in place of the current output.

        Parameters
        ----------
        bundle
            Plain output: MIME types and their content.
        metadata
            Metadata of the output, which the notebook file keeps.
        """


class CellOutput:
    """An output of the running cell.

    It remembers its ``display_id``, so that it can be replaced later, even while another cell runs.
    """

    keeps_widget = False

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        self._handle = display(widget, display_id=True)

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show a MIME bundle; replace the earlier output of this object, if there is one."""
        metadata = record_beside(bundle["text/plain"], metadata)
        if self._handle is None:
            self._handle = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            self._handle.update(bundle, raw=True, metadata=metadata)


class TerminalOutput:
    """A terminal: text is written as it arrives, and nothing written can be replaced."""

    keeps_widget = False

    def show(self, widget: DOMWidget) -> None:
        """Do nothing: a terminal has no widgets."""

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Do nothing: `TerminalView` has written the text already."""


class WidgetOutput:
    """An `ipywidgets.Output`, a widget that shows outputs; the answer replaces its content.

    Its trait ``outputs`` is set, since JupyterLab 4.6 ignores ``update_display_data`` messages for
    an output inside an Output widget. The notebook file does not keep what an Output shows, so the
    metadata is recorded in an empty output of the cell.

    Parameters
    ----------
    output
        The widget.
    """

    keeps_widget = False

    def __init__(self, output: Output) -> None:
        self._output = output
        self._record = CellOutput()

    def show(self, widget: DOMWidget) -> None:
        """Show a widget."""
        result = widget._repr_mimebundle_()
        # IPython allows a bundle, or a bundle with its metadata.
        self._set(result[0] if isinstance(result, tuple) else result)

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Show a MIME bundle in the Output, and record the metadata under the cell."""
        self._set(bundle)
        if metadata:
            self._record.put({"text/plain": ""}, metadata)

    def _set(self, bundle: dict[str, str]) -> None:
        self._output.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)


class PanelTable:
    """The output of one ``%qianfan params``: the panel at first, then a table of its values.

    Parameters
    ----------
    panel
        The panel; its `current` is the class of the table.
    offer
        What the model takes.
    values
        The values, by parameter name.
    """

    def __init__(self, panel: Panel, offer: Offer, values: Mapping[str, Any]) -> None:
        self._offer, self._values, self._class = offer, dict(values), panel.current
        self._is_settled = self._is_retired = False
        self._lock = threading.Lock()  # the page's messages come in a thread of their own
        self._area = CellOutput()
        self._area.show(panel)

    def settle(self) -> None:
        """Put the table in the place of the widget; the page shows the controls instead of it."""
        with self._lock:
            self._is_settled = True
            self._put()

    def update(self, values: Mapping[str, Any]) -> None:
        """Write other values into the table; a widget that stays shows them by itself."""
        with self._lock:
            is_changed, self._values = values != self._values, dict(values)
            if is_changed and self._is_settled:
                self._put()

    def retire(self, values: Mapping[str, Any]) -> None:
        """Leave a table of the values without controls: a newer panel has them."""
        with self._lock:
            self._values, self._is_retired = dict(values), True
            self._area.put(self._offer.bundle(self._values, note=tr(RETIRED)))

    def _put(self) -> None:
        if not self._is_retired:
            self._area.put(self._offer.bundle(self._values, panel=self._class))


class PanelOutput:
    """The area beside the sliders, where "Again" shows its answer.

    No plain output replaces the widget here: the panel is drawn by the page and is no part of the
    saved notebook.

    Parameters
    ----------
    panel
        The panel of sliders.
    """

    keeps_widget = True

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._widget: DOMWidget | None = None

    def show(self, widget: DOMWidget) -> None:
        """Show a widget in place of the current one."""
        self.close()
        self._widget = widget
        self._panel.reply = widget.model_id

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Do nothing: the widget stays."""

    def close(self) -> None:
        """Close the widget, if there is one."""
        if self._widget:
            self._panel.reply = ""
            self._widget.close()
            self._widget = None

"""The widget that shows an answer while it arrives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from qianfan_magic.views.shown import Shown

_HERE = Path(__file__).parent
#: Seconds between two messages to the page. A message costs some 550 bytes whatever it
#: carries, and the eye sees no more than ten to twenty a second.
INTERVAL = 0.08


class LiveReply(anywidget.AnyWidget):
    """An answer that grows; it is sent in deltas, so its cost is linear in the answer."""

    _esm = _HERE / "reply.js"
    _css = _HERE / "reply.css"
    waiting_for = traitlets.Unicode().tag(sync=True)


class LiveView:
    """Shows an answer in a widget, and at its end puts plain output into the widget's place.

    Parameters
    ----------
    waiting_for
        What is shown until the first text is there.
    """

    def __init__(self, waiting_for: str) -> None:
        self._widget = LiveReply(waiting_for=waiting_for)
        self._handle: Any = display(self._widget, display_id=True)
        self._held: list[str] = []
        self._sent_at = -INTERVAL

    def write(self, text: str) -> None:
        """Show more of the answer, at once or with what comes within a twelfth of a second."""
        self._held.append(text)
        now = time.monotonic()
        if now - self._sent_at >= INTERVAL and any(self._held):
            self._widget.send({"delta": "".join(self._held)})
            self._held.clear()
            self._sent_at = now

    def end(self, shown: Shown) -> None:
        """Put plain output into the widget's place; leave no widget behind."""
        self._handle.update(shown.bundle(), raw=True)
        self._widget.close()

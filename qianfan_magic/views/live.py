"""The widget that shows an answer while it arrives."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from qianfan_magic.views.blocks import BlockStream, Frame, LetterStream
from qianfan_magic.views.shown import Shown

_HERE = Path(__file__).parent
#: Seconds between two frames at least. A message costs some 550 bytes whatever it carries, and
#: the eye sees no more than ten to twenty a second.
INTERVAL = 0.1
#: A frame waits until its bytes are at most so many times those of its new text: a block that
#: is sent again and again while it grows would otherwise cost the square of its length.
MOST_REPEATED = 4
#: But no text waits longer than this, in seconds.
LONGEST_HELD = 1.0


class LiveReply(anywidget.AnyWidget):
    """An answer that grows."""

    _esm = _HERE / "reply.js"
    _css = _HERE / "reply.css"
    asked = traitlets.Unicode().tag(sync=True)


class LiveView:
    """Shows an answer in a widget, and at its end puts plain output into the widget's place.

    Parameters
    ----------
    asked
        The endpoint, shown under the answer while it arrives.
    markdown
        Whether the answer is rendered as Markdown while it arrives.
    """

    def __init__(self, asked: str, *, markdown: bool) -> None:
        self._stream = BlockStream() if markdown else LetterStream()
        self._widget = LiveReply(asked=asked)
        self._handle: Any = None
        self._held = ""
        self._open = 0  # characters of the open block at the frame before
        self._sent_at = -LONGEST_HELD
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """Show the widget, which says that the answer is waited for."""
        if self._handle is None:
            self._handle = display(self._widget, display_id=True)

    def write(self, text: str) -> None:
        """Show more of the answer, at once or together with what comes in the next tenth."""
        self.begin()
        with self._lock:
            self._held += text
            self._show()

    def end(self, shown: Shown) -> None:
        """Put plain output into the widget's place; leave no widget behind."""
        self.begin()
        with self._lock:
            self._held = ""
            if self._timer:
                self._timer.cancel()
        self._handle.update(shown.bundle(), raw=True)
        self._widget.close()

    def _show(self) -> None:
        """Send what is held if it is due; else see to it that it will be sent."""
        if not self._held:
            return
        passed = time.monotonic() - self._sent_at
        worth = self._open <= MOST_REPEATED * len(self._held)
        wait = (INTERVAL if worth else LONGEST_HELD) - passed
        if wait <= 0:
            frame: Frame = self._stream.frame(self._held)
            self._widget.send(asdict(frame))
            self._held, self._open, self._sent_at = "", len(frame.open), time.monotonic()
        elif self._timer is None:
            # The stream may pause now: what is held must not wait for its next chunk.
            self._timer = threading.Timer(wait, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            self._show()

"""The widget that shows answers while they arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Chunk
from qianfan_magic.views.output_area import OutputArea
from qianfan_magic.views.rendering.answer import NOTHING, PlainOutput
from qianfan_magic.views.rendering.highlight import style_sheet
from qianfan_magic.views.rendering.incremental import BlockStream, LetterStream
from qianfan_magic.views.rendering.invisible import escape_invisible

_HERE = Path(__file__).parent
#: Seconds between two messages at least. One costs some 550 bytes whatever it carries, and the
#: eye sees no more than ten to twenty a second.
INTERVAL = 0.1
#: A frame waits until its bytes are at most so many times those of its new text: a block that
#: is sent again and again while it grows would otherwise cost the square of its length.
MOST_REPEATED = 4
#: So much of it must be the same before only the rest is sent.
LEAST_KEPT = 16
#: But no text waits longer than this, in seconds,
LONGEST_HELD = 1.0
#: unless an answer is made so that rendering it would take more than this share of the kernel.
LARGEST_SHARE = 0.1


class LiveReply(anywidget.AnyWidget):
    """Answers that grow, in one column each.

    What has arrived goes to the page in custom messages and is no part of the widget's state: the
    state would hold all of it, and be sent whole.
    """

    _esm = _HERE / "reply.js"
    _css = (_HERE / "reply.css").read_text() + style_sheet(".qianfan-reply")
    asked = traitlets.List(traitlets.Unicode(), help="Who answers, by column.").tag(sync=True)
    titles = traitlets.List(traitlets.Unicode(), help="Of the columns.").tag(sync=True)


class LiveColumn:
    """One answer that grows: what of it the page has, and what is held back for a moment."""

    def __init__(self, number: int, *, markdown: bool) -> None:
        self._number = number
        self._stream = BlockStream() if markdown else LetterStream()
        self._begun = time.monotonic()
        self._first = 0.0  # when the first chunk came
        self._held = ""
        self._thoughts = ""  # held back, too
        self._open = ""  # the open block as the page has it
        self._sent = -LONGEST_HELD
        self._took = 0.0  # seconds that the frame before took to make
        self._tokens = 0
        self._estimate = 0

    def take(self, chunk: Chunk) -> None:
        """Hold a chunk until the next frame."""
        self._first = self._first or time.monotonic()
        self._held += chunk.text
        self._thoughts += chunk.reasoning
        self._tokens = max(self._tokens, chunk.usage.completion_tokens)

    def wait(self) -> float | None:
        """Return after how many seconds a frame is due, 0 or less if now; None if never."""
        if not (self._held or self._thoughts):
            return None
        worth = len(self._open) <= MOST_REPEATED * len(self._held)
        pause = max(INTERVAL if worth else LONGEST_HELD, self._took / LARGEST_SHARE)
        return pause - (time.monotonic() - self._sent)

    def frame(self) -> dict[str, Any]:
        """Return what the page needs to catch up, in as few bytes as there are news."""
        now = time.monotonic()
        # Some services count only at the end (Dolly-12B).
        self._estimate += estimate_tokens(self._held) + estimate_tokens(self._thoughts)
        thoughts, self._thoughts = self._thoughts, ""
        made = self._stream.frame(self._held)
        before, self._held, self._open, self._sent = self._open, "", made.open, now
        self._took = time.monotonic() - now
        frame: dict[str, Any] = {"column": self._number} if self._number else {}
        frame |= {"thinking": escape_invisible(thoughts)} if thoughts else {}
        frame |= {"closed": made.closed} if made.closed else {}
        frame |= changed(before, made.open) if made.more is None else {"more": made.more}
        frame |= {"tokens": self._tokens} if self._tokens else {"about": self._estimate}
        took, first = round(now - self._first, 1), round(self._first - self._begun, 1)
        return frame | {"took": took, "first": first}


def changed(before: str, after: str) -> dict[str, Any]:
    """Say how the open block has changed: how much of it stays, and what comes behind that.

    The page counts as JavaScript does, in units of UTF-16.
    """
    same, most = 0, min(len(before), len(after))
    while same < most:  # halving: as strings compare fast, and characters one by one do not
        end = (same + most + 1) // 2
        same, most = (end, most) if before[same:end] == after[same:end] else (same, end - 1)
    if same < LEAST_KEPT:
        return {"open": after}
    return {"keep": len(after[:same].encode("utf-16-le")) // 2, "open": after[same:]}


class LiveView:
    """Shows answers in a widget, and at their end puts plain output into the widget's place.

    Parameters
    ----------
    place
        Where.
    asked
        Who answers, by column.
    titles
        Of the columns; none for one answer.
    markdown
        Whether they are rendered as Markdown while they arrive.
    """

    def __init__(
        self, place: OutputArea, asked: Sequence[str], titles: Sequence[str] = (), *, markdown: bool
    ) -> None:
        self._place = place
        self.widget = LiveReply(
            asked=list(map(escape_invisible, asked)), titles=list(map(escape_invisible, titles))
        )
        self._columns = [LiveColumn(number, markdown=markdown) for number in range(len(asked))]
        self._shown = False
        self._sent = -INTERVAL
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """Show the widget, which says that the answer is waited for."""
        if not self._shown:
            self._shown = True
            self._place.show(self.widget)

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show more of an answer, at once or together with what comes in the next tenth."""
        self.begin()
        with self._lock:
            self._columns[column].take(chunk)
            self._send()

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Put plain output into the widget's place; leave no widget behind."""
        self.begin()
        with self._lock:
            if self._timer:
                self._timer.cancel()
            frames = [c.frame() for c in self._columns if c.wait() is not None]
            self._columns = []
        if self._place.keeps:
            self.widget.send({"frames": frames, "end": shown.lines()})
            return
        self.widget.send({"end": shown.lines()})
        self._place.put(shown.bundle(), metadata)
        self.widget.close()

    def _send(self) -> None:
        """Send what is due; else see to it that it will be sent."""
        waits = [column.wait() for column in self._columns]
        held = [wait for wait in waits if wait is not None]
        if not held:
            return
        wait = max(min(held), self._sent + INTERVAL - time.monotonic())
        if wait <= 0:
            due = [c for c, w in zip(self._columns, waits, strict=True) if w is not None and w <= 0]
            self.widget.send({"frames": [column.frame() for column in due]})
            self._sent = time.monotonic()
        elif self._timer is None:
            # The stream may pause now: what is held must not wait for its next chunk.
            self._timer = threading.Timer(wait, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            self._send()

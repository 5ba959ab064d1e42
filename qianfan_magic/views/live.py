"""The widget that shows answers while they arrive."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import traitlets

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Chunk
from qianfan_magic.api.wire.search_results import read_search_results
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import mask_known
from qianfan_magic.views.consent import asked_in_words, wait_for_click
from qianfan_magic.views.output_area import OutputArea
from qianfan_magic.views.rendering.answer import NOTHING, PlainOutput
from qianfan_magic.views.rendering.calls import CallOutput
from qianfan_magic.views.rendering.highlight import style_sheet
from qianfan_magic.views.rendering.incremental import BlockStream, LetterStream, LongStream
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.state_line import AnswerHead, join_parts, pace_text, tokens_text
from qianfan_magic.views.rendering.style import STYLE_SHEET
from qianfan_magic.views.side_by_side import most_in_a_row
from qianfan_magic.views.widget import TransientWidget, compact

__all__ = ["LiveColumn", "LiveReply", "LiveView", "delta"]

_HERE = Path(__file__).parent
#: Minimum seconds between two messages to the page. A message costs some 550 bytes whatever it
#: carries (ipykernel 7.4), and the eye sees no more than ten to twenty changes a second.
INTERVAL = 0.1
#: A frame may come after `INTERVAL` only if the open block's HTML is at most this many times as
#: long as the new text, since much of the block may have to be sent again. Bytes sent per byte of
#: an answer that arrives in 100 chunks of 8 characters a second, with and without this rule
#: (frames only): prose 7.9 and 9.4; headings, lists, tables and code 8.7 and 11.5.
MAX_REPEAT = 4
#: Seconds that new text may wait because of `MAX_REPEAT`.
MAX_DELAY = 1.0
#: Largest share of the kernel's time for rendering frames; takes precedence over `MAX_DELAY`. It
#: does not matter for ordinary answers and bounds hostile ones: of 16,000 lines of ``\[a`` that
#: arrive in 8 s, all take 5 s to render with it, and a third takes 30 s without.
MAX_RENDER_SHARE = 0.1
#: Shortest common prefix, in characters, for which only the rest of the open block is sent.
MIN_PREFIX = 16


class LiveReply(TransientWidget):
    """The widget of one or several growing answers; its JavaScript is ``reply.js``.

    The text goes to the page in custom messages and is no part of the widget's state: a trait is
    synchronised as a whole, so that the bytes sent would grow with the square of the answer.
    """

    instead = mark("An answer is arriving; it needs a front end with widgets.")
    _esm = compact(_HERE / "reply.js")
    _css = "\n".join(
        [compact(STYLE_SHEET), compact(_HERE / "reply.css"), style_sheet(".qianfan-reply")]
    )
    services = traitlets.List(
        traitlets.Unicode(), help="Name of the endpoint or model, for each column."
    ).tag(sync=True)
    parameters = traitlets.List(
        traitlets.Unicode(), help="The parameters that are set, for each column."
    ).tag(sync=True)
    most_in_a_row = traitlets.Int(1, help="Largest number of columns side by side.").tag(sync=True)
    titles = traitlets.List(
        traitlets.Unicode(), help="Title of each column; empty for a single answer."
    ).tag(sync=True)


class LiveColumn:
    """One growing answer: buffers its chunks and makes frames of them.

    Parameters
    ----------
    index
        Index of the column, from 0.
    markdown
        Whether the answer is rendered as Markdown while it arrives.
    """

    def __init__(self, index: int, *, markdown: bool) -> None:
        self._index = index
        self._sources: dict[int, str] = {}  # addresses of cited sources by number
        self._stream = LongStream(BlockStream(self._sources)) if markdown else LetterStream()
        self._started = time.monotonic()
        self._first = 0.0  # time of the first chunk
        self._text = ""  # not yet sent
        self._reasoning = ""  # not yet sent
        self._open = ""  # HTML of the open block as the page has it
        self._sent = -MAX_DELAY  # time of the last frame
        self._render_seconds = 0.0  # time that the last frame took
        self._tokens = 0
        self._estimate = 0
        self._figures = ""

    def take(self, chunk: Chunk) -> None:
        """Buffer a chunk until the next frame."""
        self._first = self._first or time.monotonic()
        self._text += chunk.text
        self._reasoning += chunk.reasoning
        self._tokens = max(self._tokens, chunk.usage.completion_tokens)
        self._sources |= {one.index: one.url for one in read_search_results(chunk.raw)}

    def wait(self) -> float | None:
        """Return the seconds until a frame is due, 0 or less if it is; None if nothing is new."""
        if not (self._text or self._reasoning):
            return None
        is_cheap = len(self._open) <= MAX_REPEAT * len(self._text)
        pause = max(INTERVAL if is_cheap else MAX_DELAY, self._render_seconds / MAX_RENDER_SHARE)
        return pause - (time.monotonic() - self._sent)

    def frame(self) -> dict[str, Any]:
        """Return the message that brings the page up to date; ``reply.js`` reads it.

        Returns
        -------
        dict
            Index of the column (``column``, left out for 0); new reasoning (``thinking``); HTML of
            newly closed blocks (``closed``); the open block, either as a difference (see `delta`)
            or as text to append to its code (``more``); and tokens and pace so far (``figures``).
        """
        now = time.monotonic()
        self._estimate += estimate_tokens(self._text) + estimate_tokens(self._reasoning)
        change = self._stream.frame(self._text)
        frame: dict[str, Any] = {"column": self._index} if self._index else {}
        frame |= {"thinking": escape_invisible(self._reasoning)} if self._reasoning else {}
        frame |= {"closed": change.closed} if change.closed else {}
        frame |= (
            {"more": change.more} if change.more is not None else delta(self._open, change.open)
        )
        # Some services count tokens only in the last event (Dolly-12B).
        count, sign = (self._tokens, "") if self._tokens else (self._estimate, "\u2248 ")
        pace = pace_text(self._first - self._started, count, now - self._first, sign)
        self._text, self._reasoning, self._open, self._sent = "", "", change.open, now
        self._render_seconds = time.monotonic() - now
        self._figures = join_parts(tokens_text(count, sign), pace)
        return frame | {"figures": self._figures}

    def call_frames(self, call: CallOutput, number: int) -> list[dict[str, Any]]:
        """Return the messages that show a call, below all text that has arrived.

        Returns
        -------
        list of dict
            Frames as of `frame`, which close the open block before a new call; and one with the
            number of the call (``number``), its HTML (``call``), and what the page says of the
            answer meanwhile (``status``).
        """
        frames = [self.frame()] if self.wait() is not None else []
        column: dict[str, Any] = {"column": self._index} if self._index else {}
        status = tr("waiting …")
        if call.state in {"asked", "running"}:
            status = tr("calling {name}", name=escape_invisible(mask_known(call.name)))
            last, self._open = self._stream.end(), ""
            frames += [column | {"closed": last, "open": "", "figures": self._figures}] * bool(last)
        shown = {"number": number, "call": call.html(pace=True), "status": status}
        return [*frames, column | shown]


def delta(before: str, after: str) -> dict[str, Any]:
    """Return the difference between two versions of the open block's HTML.

    Returns
    -------
    dict
        ``open``, the text behind the common prefix, and ``keep``, the length of that prefix in
        UTF-16 code units, in which JavaScript counts. ``keep`` is left out where the prefix is
        shorter than `MIN_PREFIX` and ``open`` is the whole.

    Examples
    --------
    >>> delta("<p>The Great Wall is", "<p>The Great Wall is long")
    {'keep': 20, 'open': ' long'}
    >>> delta("<p>a", "<h1>a")
    {'open': '<h1>a'}
    """
    prefix = _common_prefix(before, after)
    if prefix < MIN_PREFIX:
        return {"open": after}
    return {"keep": len(after[:prefix].encode("utf-16-le")) // 2, "open": after[prefix:]}


def _common_prefix(first: str, second: str) -> int:
    """Return the length of the common prefix.

    Bisecting compares slices in C: 0.01 ms for 20,000 characters, one by one 1 ms
    (`os.path.commonprefix` too).
    """
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class LiveView:
    """Shows answers in a widget, and replaces the widget by plain output at their end.

    Parameters
    ----------
    area
        The output area that shows the widget and, after it, the plain output.
    heads
        What is known of each answer; one without a title stands alone.
    markdown
        Whether answers are rendered as Markdown while they arrive.
    widget
        The widget, if there is one already; it has the names and titles.
    kernel
        The kernel that a click of the page can reach while a cell is running; None if none can.
    """

    def __init__(
        self,
        area: OutputArea,
        heads: Sequence[AnswerHead],
        *,
        markdown: bool,
        widget: LiveReply | None = None,
        kernel: Any = None,
    ) -> None:
        self._area, self._kernel = area, kernel
        self.widget = widget or LiveReply(
            services=[escape_invisible(head.service) for head in heads],
            parameters=[escape_invisible(head.parameters) for head in heads],
            titles=[escape_invisible(head.title) for head in heads if head.title],
            most_in_a_row=most_in_a_row(len(heads)),
        )
        self._columns = [LiveColumn(index, markdown=markdown) for index in range(len(heads))]
        self._is_shown = False
        self._sent = -INTERVAL  # time of the last message
        self._lock = threading.Lock()  # the timer's thread sends, too
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """Show the widget, which says that it is waiting for the answer."""
        if not self._is_shown:
            self._is_shown = True
            self._area.show(self.widget)

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show a chunk of an answer, at once or with what arrives in the next `INTERVAL`."""
        self.begin()
        with self._lock:
            self._columns[column].take(chunk)
            self._send()

    def show_call(self, call: CallOutput, number: int) -> None:
        """Show a call of a function at once, below all that has arrived."""
        self.begin()
        with self._lock:
            self.widget.send({"frames": self._columns[0].call_frames(call, number)})

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Ask by two buttons beside the call; where the page can have none, by ``input()``."""
        del call
        if self._kernel is None:
            return asked_in_words()
        allow, refuse = token_hex(), token_hex()
        self.widget.send({"frames": [{"ask": number, "allow": allow, "refuse": refuse}]})
        return wait_for_click(self._kernel, allow, refuse)

    def end(self, output: PlainOutput, metadata: Mapping[str, Any] = NOTHING) -> None:
        """Replace the widget by plain output, and close it."""
        self.begin()
        with self._lock:
            if self._timer:
                self._timer.cancel()
            frames = [column.frame() for column in self._columns if column.wait() is not None]
            self._columns = []
        if self._area.keeps_widget:
            self.widget.send({"frames": frames, "end": output.lines()})
            return
        # The message comes first, so that the page can keep its height and selection while the
        # outputs change (`preparePlainOutput` in reply.js). The widget is closed last: JupyterLab
        # 4.6 then logs no error.
        self.widget.send({"end": output.lines(), "paces": output.call_paces()})
        self._area.put(output.bundle(), metadata)
        self.widget.close()

    def _send(self) -> None:
        """Send the frames that are due, or start a timer for the next one."""
        waits = [column.wait() for column in self._columns]
        waiting = [wait for wait in waits if wait is not None]
        if not waiting:
            return
        wait = max(min(waiting), self._sent + INTERVAL - time.monotonic())
        if wait <= 0:
            due = [c for c, w in zip(self._columns, waits, strict=True) if w is not None and w <= 0]
            self.widget.send({"frames": [column.frame() for column in due]})
            self._sent = time.monotonic()
        elif self._timer is None:
            # The stream may pause now: buffered text must not wait for the next chunk.
            self._timer = threading.Timer(wait, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            self._send()

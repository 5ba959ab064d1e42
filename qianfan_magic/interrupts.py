"""What happens when the user interrupts a cell: where it stops, and what it shows.

Python raises a KeyboardInterrupt between any two instructions of the main thread. Hardly any code
can be left in the middle of each of its lines: a widget is open and nobody knows it, a turn is in
the conversation and not in the notebook. So the signal of a cell is held, and is let through where
the cell waits or runs the user's own functions.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar

from qianfan_magic.language import mark, tr

__all__ = ["hold_interrupts", "interruptible", "interruptible_items", "short_interrupt"]

Item = TypeVar("Item")

#: What an interrupted cell shows.
STOPPED = mark("Stopped. What had arrived is kept.")


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Hold back SIGINT while the ``with`` block runs, but in the `interruptible` parts of it.

    A signal that was held takes effect where the next of them begins, else after the block. Only
    the main thread receives signals; in others, and where SIGINT is ignored, nothing changes.
    """
    previous = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and callable(previous)):
        yield
        return
    gate = _Gate(previous)
    outer, _Gate.current = _Gate.current, gate
    signal.signal(signal.SIGINT, gate.receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        _Gate.current = outer
    gate.let_through()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT through while the ``with`` block runs, although `hold_interrupts` holds it.

    Raises
    ------
    KeyboardInterrupt
        Within the block, or before it if the signal was held until then.
    """
    gate = _Gate.current
    if gate is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        gate.is_open = True
        gate.let_through()
        yield
    finally:
        gate.is_open = False


def interruptible_items(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items of an iterable; `interruptible` is only the wait for each of them."""
    remaining, end = iter(items), object()
    while True:
        with interruptible():
            item: Any = next(remaining, end)
        if item is end:
            return
        yield item


class _Gate:
    """Holds a signal until it may pass."""

    current: _Gate | None = None  # of the main thread

    def __init__(self, previous: Callable[[int, FrameType | None], Any]) -> None:
        self._previous = previous
        self._is_waiting = False
        self.is_open = False

    def receive(self, _: int, frame: FrameType | None) -> None:
        """Take a signal, as its handler."""
        self._is_waiting = True
        if self.is_open:
            self.is_open = False  # the exception may come before the end of the block says so
            self._pass(frame)

    def let_through(self) -> None:
        """Pass on the signal that waits, if there is one."""
        if self._is_waiting:
            self._pass(sys._getframe(1))  # noqa: SLF001  what a handler is called with

    def _pass(self, frame: FrameType | None) -> None:
        self._is_waiting = False
        self._previous(signal.SIGINT, frame)


def short_interrupt(message: str = STOPPED) -> _ShortInterrupt:
    """Let a KeyboardInterrupt that leaves a ``with`` block, or a function, end in one line.

    The frames inside are removed from its traceback: those of requests and urllib3 tell a user
    nothing, and ``%xmode Verbose`` would show their variables, keys among them. The result is a
    context manager, and a decorator as well (but not of a generator function, whose body runs
    only after it has returned).

    Parameters
    ----------
    message
        What IPython shows in place of the traceback. The exception's name is left out: to stop is
        no error.
    """
    return _ShortInterrupt(message)


class _ShortInterrupt(AbstractContextManager[None], ContextDecorator):
    # Not a generator with @contextmanager: that one restores the original traceback.
    def __init__(self, message: str) -> None:
        self._message = message

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del traceback  # this frame is in the new traceback, and would keep the old one reachable
        if isinstance(error, KeyboardInterrupt):
            lines = [tr(self._message)]
            # IPython shows these lines instead of a traceback, as for `QianfanError`.
            error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
            raise error.with_traceback(None)

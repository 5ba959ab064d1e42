"""Where an interrupt takes effect, and what it shows."""

from __future__ import annotations

import signal
import threading
import traceback
from typing import Any

import pytest

from qianfan_magic.interrupts import (
    hold_interrupts,
    interruptible,
    interruptible_items,
    short_interrupt,
)


@pytest.fixture(autouse=True)
def _python_s_own_handler():
    """As in a kernel; an event loop of another test may have left its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_stop() -> None:
    signal.raise_signal(signal.SIGINT)


# --- where it takes effect


def test_interrupt_is_held_until_the_end_of_the_block():
    reached = False
    with pytest.raises(KeyboardInterrupt), hold_interrupts():  # noqa: PT012  its end raises
        press_stop()
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_takes_effect_at_once_where_it_may():
    steps: list[str] = []
    with hold_interrupts():
        try:
            with interruptible():
                press_stop()
                steps.append("after it")
        except KeyboardInterrupt:
            steps.append("interrupted")
        press_stop()  # the way out of the part is closed again
        steps.append("held")
        with pytest.raises(KeyboardInterrupt), interruptible():
            steps.append("never")
    assert steps == ["interrupted", "held"]


def test_items_that_have_come_are_handled_to_their_end():
    handled: list[int] = []
    with hold_interrupts(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        for item in interruptible_items([1, 2, 3]):
            if item == 2:
                press_stop()
            handled.append(item)
    assert handled == [1, 2]


def test_error_of_the_block_is_raised_although_an_interrupt_was_held():
    with pytest.raises(ValueError, match="broken"), hold_interrupts():  # noqa: PT012
        press_stop()
        raise ValueError("broken")


def test_blocks_within_each_other_hold_until_the_outer_one_ends():
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():  # noqa: PT012
        with hold_interrupts():
            press_stop()
            steps.append("inner")
        steps.append("outer")
    assert steps == ["inner", "outer"]


def test_other_threads_are_left_alone():
    seen: list[Any] = []

    def run() -> None:
        with hold_interrupts(), interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


# --- what it shows


def raise_below(error):
    secret = "in a frame"  # noqa: F841  a variable that a verbose traceback would show
    raise error


def test_short_interrupt_ends_in_one_line_without_the_frames_below():
    stop = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught, short_interrupt("Stopped."):
        raise_below(stop)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert caught.value is stop
    assert caught.value.__context__ is None
    interrupt: Any = caught.value
    assert interrupt._render_traceback_() == ["Stopped."]
    assert "raise_below" not in names


def test_short_interrupt_decorates_a_function():
    with pytest.raises(KeyboardInterrupt) as caught:
        short_interrupt("Stopped.")(raise_below)(KeyboardInterrupt())
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    interrupt: Any = caught.value
    assert interrupt._render_traceback_() == ["Stopped."]
    assert "raise_below" not in names


def test_short_interrupt_does_not_change_other_errors():
    with pytest.raises(ValueError, match="other") as caught, short_interrupt():
        raise_below(ValueError("other"))
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "raise_below" in names
    assert not hasattr(caught.value, "_render_traceback_")

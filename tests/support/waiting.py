"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds; only a test that fails waits so long


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until it holds, at most for long."""
    deadline = time.monotonic() + patience
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()

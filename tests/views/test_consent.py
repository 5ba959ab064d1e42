"""Clicks that reach the kernel while a cell is running, over its real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session

from qianfan_magic.views.consent import wait_for_click


@pytest.fixture
def kernel() -> Iterator[Any]:
    """Return what of a kernel is used, and a function that sends what a page sends."""
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as ours,
        context.socket(zmq.DEALER) as page,
    ):
        ours.linger = page.linger = 0
        port = ours.bind_to_random_port("tcp://127.0.0.1")
        page.connect(f"tcp://127.0.0.1:{port}")
        session = Session(key=b"made-up")

        def click(value: str) -> None:
            session.send(page, "input_reply", {"status": "ok", "value": value})

        yield SimpleNamespace(stdin_socket=ours, session=session, click=click)


def test_click_of_an_earlier_call_does_not_count(kernel):
    for answer, is_allowed in (("yes-2", True), ("no-2", False)):
        for value in ("yes-1", "", "yes", answer):
            kernel.click(value)
        assert wait_for_click(kernel, "yes-2", "no-2") is is_allowed

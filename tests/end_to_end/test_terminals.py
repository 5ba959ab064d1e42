"""Answers in a real terminal: `jupyter console`, and IPython without a kernel."""

from __future__ import annotations

import pytest
from support.terminal import typing_into

from qianfan_magic.embedded.faults import Fault

pytestmark = pytest.mark.kernel
WALL = "Tell me about the Great Wall of China."


def test_console_shows_an_answer_as_it_arrives_until_it_is_stopped(tmp_path):
    with typing_into("jupyter console --simple-prompt", tmp_path) as console:
        console.server.fail(Fault(after=20, end="silence"))
        console.chat(WALL)
        console.wait_for("The **Great")
        console.interrupt()
        console.wait_for("[stopped]")
        console.type("%qianfan history")
        assert "(stopped): The **Great" in " ".join(console.rest().split())

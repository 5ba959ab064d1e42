"""Answers in a real terminal: `jupyter console`, and IPython without a kernel."""

from __future__ import annotations

import re

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
        console.wait_for("\nStopped.")
        console.type("%qianfan history")
        assert "(stopped): The **Great" in " ".join(console.rest().split())


@pytest.fixture(scope="module")
def ipython(tmp_path_factory):
    """Return IPython without a kernel in a terminal of 60 columns."""
    with typing_into("ipython --simple-prompt", tmp_path_factory.mktemp("ipython"), 60) as terminal:
        yield terminal


def lines_at_the_end(written: str) -> list[str]:
    """Return the lines that stay in a terminal, without their styles."""
    lines = [line.rpartition("\r\x1b[2K")[2] for line in written.split("\r\n")]
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in lines]


def test_terminal_renders_each_block_when_it_is_finished(ipython):
    ipython.server.fail(Fault(after=25, end="silence"))
    ipython.chat(WALL)
    ipython.wait_for("The \x1b[1mGreat Wall of China\x1b[0m is not one wall")
    ipython.interrupt()
    ipython.wait_for("\x1b[3m7th century BC\x1b[0m")
    ipython.wait_for("\nStopped.")


def test_terminal_shows_code_in_color_within_its_width(ipython):
    parameters = "--temperature 0.25 --penalty-score 1.25"  # a long line below the answer
    ipython.chat("What is the theorem of Pythagoras?", parameters)
    written = ipython.rest()
    assert "hypotenuse" in written
    lines = lines_at_the_end(written)
    assert "def hypotenuse(a, b):" in lines
    assert max(map(len, lines)) <= 60
    assert re.search(r"m(def)\x1b\[0m", written)  # in a color of its own


def test_comparison_in_a_terminal_has_a_heading_for_each_answer(ipython):
    ipython.chat(WALL, "--compare temperature=0.2,0.7")
    lines = lines_at_the_end(ipython.rest())
    headings = [line.partition(" ─")[0] for line in lines if " ─" in line]
    assert headings == ["temperature=0.2", "temperature=0.7"]
    assert len([line for line in lines if "7th century BC" in line]) == 2
    assert max(map(len, lines)) <= 60


def test_terminal_asks_before_a_call(ipython):
    ipython.type("def add(x: int, y: int) -> int: return x + y")
    for answer, result in (("y", "→ 7"), ("", "→ Error: the user did not allow this call")):
        ipython.chat("Add 3 and 4", "-m ernie-5.1 --tool add --confirm")
        ipython.wait_for("[Call] add(x=3, y=4)")
        ipython.answer("Make this call? [y/N] ", answer)
        ipython.wait_for(result)

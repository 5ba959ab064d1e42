"""Calls of functions in JupyterLab: shown before they are made, agreed to, saved.

`HandServer` asks for a call when the test says so, and a function waits until a file is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.hand_server import HandServer
from support.page import turns_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.jupyterlab import Lab, OpenAndRun, OpenNotebook

    Ask = Callable[..., OpenNotebook]

CALL = ".qianfan-call"
ASK = "%%qianfan_chat -m ernie-5.1 --tool look_up"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that the function waits for."""
    return tmp_path / "gate"


@pytest.fixture
def ask(
    lab: Lab,
    open_notebook: OpenAndRun,
    hand: HandServer,
    gate: Path,
    request: pytest.FixtureRequest,
) -> Ask:
    """Run cells that ask the server by hand; do not wait for them."""
    function = f"""
import pathlib, time

def look_up(city: str) -> str:
    "Look a city up."
    while not pathlib.Path({str(gate)!r}).exists():
        time.sleep(0.02)
    return "<b>21</b> degrees in " + city"""

    def ask_cells(*cells: str, **look: object) -> OpenNotebook:
        path = lab.write(f"{request.node.name}.ipynb", hand.setup() + function, *cells)
        notebook = open_notebook(path, **look)
        notebook.run_all()
        return notebook

    return ask_cells


def test_call_is_shown_before_it_is_made_and_stays_where_it_was(
    ask: Ask, hand: HandServer, gate: Path
) -> None:
    notebook = ask(f"{ASK}\nHow warm is it?")
    hand.say("Let me **see**.")
    hand.call("look_up", city="Xi'an")
    call = notebook.output(1).locator(CALL)
    expect(call).to_contain_text('look_up(city="Xi\'an") → running …')
    expect(notebook.page.locator(".qianfan-state")).to_contain_text("calling look_up")
    call.locator("summary").click()
    gate.touch()
    result = "look_up(city=\"Xi'an\") → <b>21</b> degrees in Xi'an · "
    expect(call.locator("summary")).to_contain_text(result)
    hand.say("It is **warm**.")
    hand.end()
    notebook.wait_idle()
    answer = notebook.output(1).locator(".qianfan-answer")
    expect(answer.locator(f"{CALL} summary")).to_contain_text(result)  # with the time, in the page
    assert answer.locator(CALL).evaluate("call => call.open")
    expect(answer.locator("strong")).to_have_text(["see", "warm"])
    assert answer.evaluate("e => e.querySelectorAll('b').length") == 0
    notebook.save()
    [output] = json.loads(notebook.path.read_text("utf-8"))["cells"][1]["outputs"]
    html = "".join(output["data"]["text/html"])
    assert "degrees in Xi&#x27;an</summary>" in html  # without it in the file
    [turn] = turns_of(output)
    assert [call.result for one in turn.rounds for call in one.calls] == [
        "<b>21</b> degrees in Xi'an"
    ]


def test_confirm_makes_the_calls_that_the_user_allows(
    ask: Ask, hand: HandServer, gate: Path
) -> None:
    gate.touch()
    notebook = ask(f"{ASK} --confirm\nHow warm is it?")
    hand.call("look_up", city="Xi'an")
    call = notebook.output(1).locator(CALL)
    expect(call.first).to_contain_text("waiting for you …")
    notebook.screenshot("confirm")
    notebook.page.get_by_role("button", name="Make this call").click()
    expect(call.first).to_contain_text("21")
    hand.call("look_up", city="Paris")
    notebook.page.get_by_role("button", name="Do not").click()
    expect(call.nth(1)).to_contain_text("Error: the user did not allow this call")
    hand.say("Warm here.")
    hand.end()
    notebook.wait_idle()
    told = [
        message["content"] for message in hand.seen[-1]["messages"] if message["role"] == "tool"
    ]
    assert told == ["<b>21</b> degrees in Xi'an", "Error: the user did not allow this call"]


def test_stop_while_the_user_is_asked_makes_no_call(ask: Ask, hand: HandServer, gate: Path) -> None:
    gate.touch()
    notebook = ask(f"{ASK} --confirm\nHow warm is it?", "print('went on')")
    hand.call("look_up", city="Xi'an")
    notebook.page.get_by_role("button", name="Make this call").wait_for()
    notebook.page.get_by_role("button", name="Stop", exact=True).click()
    notebook.wait_idle()
    expect(notebook.output(1).locator(CALL)).to_contain_text("→ stopped")
    assert len(hand.seen) == 1

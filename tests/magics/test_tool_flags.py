"""Functions of the notebook that the model calls: ``--tool`` and the flags beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.notebook import Notebook, assert_fails_cleanly
from support.requests_seen import V2, bodies, dry_run_body

from qianfan_magic import ParameterError, QianfanError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.masking import remember

FUNCTIONS = '''
from typing import Literal

made = []

def add(x: float, y: float) -> float:
    """Add two numbers."""
    made.append((x, y))
    return x + y

def weather(city: str, unit: Literal["C", "F"] = "C") -> dict:
    """Look up the weather."""
    return {"city": city, "degrees": 21, "unit": unit}

def fail(x: int) -> float:
    """Fail."""
    return x / 0

async def later(x: int) -> str:
    """Answer later."""
    import asyncio
    await asyncio.sleep(0)
    return f"later {x}"

def leave() -> None:
    """Stop the cell, as the user does."""
    raise KeyboardInterrupt
'''
CHAT = "%%qianfan_chat -m ernie-5.1"


@pytest.fixture
def tools(notebook: Notebook) -> Notebook:
    """A notebook with functions."""
    notebook.run(FUNCTIONS)
    return notebook


def asks(*calls: tuple[str, str], text: str = "", reasoning: str = "") -> Fault:
    """Let version 2 ask for calls, whatever functions the request declares."""
    listed = [
        {"index": n, "id": f"c{n}", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    delta = {"content": text, "reasoning_content": reasoning, "tool_calls": listed}
    event = f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\ndata: [DONE]\n\n"
    headers = {"Content-Type": "text/event-stream"}
    return Fault(path=V2, headers=headers, body=event.encode())


def says(text: str, reasoning: str = "") -> Fault:
    """Let version 2 answer."""
    delta = {"content": text, "reasoning_content": reasoning}
    event = f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\ndata: [DONE]\n\n"
    headers = {"Content-Type": "text/event-stream"}
    return Fault(path=V2, headers=headers, body=event.encode())


def roles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["role"] for message in messages]


# --- the rounds


@pytest.mark.parametrize("flags", ["", "--no-stream"])
def test_model_calls_functions_and_answers(tools, flags):
    shown = tools.run(
        f"{CHAT} {flags} --tool add --tool weather -o reply\nAdd 3 and 4, and the weather in Xian"
    )
    assert "[Call] add(x=3, y=4)\n→ 7.0" in shown
    assert '[Call] weather(city="Xian")\n→ {"city":"Xian","degrees":21,"unit":"C"}' in shown
    answer = 'The result is 7.0, and {"city":"Xian","degrees":21,"unit":"C"}.'
    assert f"[Answer]\n{answer}" in shown
    assert tools.bound("reply")[0].text == answer
    first, second = bodies(tools.server)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["add", "weather"]
    assert roles(second["messages"]) == ["user", "assistant", "tool", "tool"]


def test_calls_belong_to_the_turn_and_go_along_with_later_questions(tools):
    tools.run(f"{CHAT} --tool add\nAdd 3 and 4", f"{CHAT}\nThank you")
    [asked] = tools.turns()[0].rounds
    assert [(call.name, call.result) for call in asked.calls] == [("add", "7.0")]
    assert roles(bodies(tools.server)[-1]["messages"]) == [
        *("user", "assistant", "tool", "assistant"),
        "user",
    ]
    assert "[Call] add(x=3, y=4)\n→ 7.0" in tools.run("%qianfan history").replace("\n\n→", "\n→")


def test_model_without_calls_gets_the_questions_and_answers_alone(tools):
    tools.run(f"{CHAT} --tool add\nAdd 3 and 4", "%%qianfan_chat -e dolly_12b\nThank you")
    assert roles(tools.bodies[-1]["messages"]) == ["user", "assistant", "user"]


def test_version_1_calls_where_the_card_has_it(tools):
    shown = tools.run("%%qianfan_chat -e completions --tool add\nAdd 3 and 4")
    assert "[Answer]\nThe result is 7.0." in shown
    first, second = tools.bodies
    assert [function["name"] for function in first["functions"]] == ["add"]
    assert second["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "add", "arguments": '{"x": 3, "y": 4}'},
        },
        {"role": "function", "name": "add", "content": "7.0"},
    ]
    error, _ = tools.fail("%%qianfan_chat -e dolly_12b --tool add\nAdd 3 and 4")
    assert isinstance(error, ParameterError)
    assert "dolly_12b asks for no calls" in error.message
    assert "ERNIE-4.0-8K" in error.hint


def test_exception_of_a_function_is_shown_and_told(tools):
    shown = tools.run(f"{CHAT} --tool fail\nPlease fail 3")
    assert "→ Error: ZeroDivisionError: division by zero" in shown
    assert "Error: ZeroDivisionError" in bodies(tools.server)[-1]["messages"][-1]["content"]


def test_async_function_is_awaited(tools):
    assert "[Call] later(x=3)\n→ later 3" in tools.run(f"{CHAT} --tool later\nlater 3")


def test_interrupt_in_a_function_stops_all(tools):
    error, shown = tools.fail(f"{CHAT} --tool leave --tool add\nleave, then add 1 and 2")
    assert isinstance(error, KeyboardInterrupt)
    assert "[Call] leave()\n→ stopped" in shown
    assert tools.bound("made")[0] == []
    assert tools.turns() == []


def test_name_that_was_not_given_is_never_called(tools):
    tools.server.faults += [asks(("leave", "{}"), ("exec", '{"x": "made.append(1)"}'))]
    shown = tools.run(f"{CHAT} --tool add\nhi")
    assert "[Call] leave()\n→ Error: there is no function 'leave'" in shown
    assert "→ Error: there is no function 'exec'" in shown
    assert tools.bound("made")[0] == []


def test_model_that_goes_on_asking_is_an_error_after_the_rounds(tools):
    tools.server.faults += [asks(("add", '{"x": 1, "y": 2}'))] * 4
    error, shown = tools.fail(f"{CHAT} --tool add --max-rounds 3\nhi")
    assert isinstance(error, QianfanError)
    assert "after 3 rounds" in error.message
    assert shown.count("[Call] add(x=1, y=2)") == 2
    assert tools.turns() == []


def test_thoughts_of_all_rounds_are_shown_and_tokens_are_added_up(tools):
    tools.server.faults += [
        asks(("add", '{"x": 1, "y": 2}'), text="I add.", reasoning="First."),
        says("It is 3.", reasoning="Then."),
    ]
    shown = tools.run(f"{CHAT} --tool add -o reply\nhi")
    assert tools.bound("reply")[0].reasoning == "First.\n\nThen."
    assert shown.index("I add.") < shown.index("[Call]") < shown.index("It is 3.")
    assert tools.turns()[0].rounds[0].text == "I add."


def test_choice_is_of_the_first_request_alone(tools):
    for choice, sent in (
        ("add", {"type": "function", "function": {"name": "add"}}),
        ("required", "required"),
    ):
        tools.run("%qianfan reset", f"{CHAT} --tool add --tool-choice {choice}\nhi 3 4")
        first, second = bodies(tools.server)[-2:]
        assert (first["tool_choice"], second["tool_choice"]) == (sent, "auto"), choice


def test_key_in_a_result_goes_nowhere(tools):
    remember("a-key-of-the-user")
    tools.run('def key() -> str:\n    "A key."\n    return "a-key-of-the-user"')
    shown = tools.run(f"{CHAT} --tool key\nkey")
    assert "→ ***" in shown
    assert "a-key-of-the-user" not in shown + json.dumps(bodies(tools.server))


# --- which functions


def test_setting_names_the_functions_of_every_chat(tools):
    tools.run("%config QianfanMagics.tools = ['add']")
    assert "→ 7.0" in tools.run(f"{CHAT}\nAdd 3 and 4")
    named = dry_run_body(tools, f"{CHAT} --tool weather --dry-run\nhi")["tools"]
    assert [tool["function"]["name"] for tool in named] == ["weather"]
    for flags in ("-m ernie-5.1 --compare temperature=0.1,0.9", "-e dolly_12b"):
        shown = tools.run(f"%%qianfan_chat {flags} --dry-run\nhi")
        assert '"messages"' in shown, flags
        assert '"tools"' not in shown, flags


def test_name_in_the_notebook_is_that_which_the_model_is_told(tools):
    tools.run("plus = add")
    assert "[Call] plus(x=3, y=4)" in tools.run(f"{CHAT} --tool plus\n3 plus 4")


def test_flags_that_make_no_sense_are_errors(tools):
    for flags, words in (
        ("--tool ad", "has no function 'ad'"),
        ("--tool made", "has no function 'made'"),
        ("--tool-choice required", "--tool-choice needs a function"),
        ("--max-rounds 3", "--max-rounds needs a function"),
        ("--confirm", "--confirm needs a function"),
        ("--tool add --tool-choice ad", "'ad' is none of the functions"),
        ("--tool add --max-rounds 0", "--max-rounds is 0"),
        ("--tool add --compare temperature=0.1,0.9", "--tool and --compare exclude"),
        ("--tool add --continue", "--tool and --continue exclude"),
        ("--tool add --prefix It", "--tool and --prefix exclude"),
        ("--tool add --confirm", "nobody is there to be asked"),
    ):
        assert_fails_cleanly(tools, f"{CHAT} {flags}\nhi", words, ParameterError)


def test_functions_of_an_mcp_server_are_called_beside_those_of_the_notebook(tools):
    script = Path(__file__).parents[1] / "support" / "mcp_server.py"
    command = f"command = {json.dumps(sys.executable)}\nargs = [{json.dumps(str(script))}]"
    (tools.folder / "qianfan.toml").write_text(f"[qianfan.mcp.numbers]\n{command}", "utf-8")
    shown = tools.run(f"{CHAT} --mcp numbers --tool weather\nhalf of 8, and the weather in Xian")
    assert "[Call] half(x=8)\n→ 4" in shown
    assert '[Call] weather(city="Xian")' in shown
    for flags, words in (
        ("--mcp numbers --tool add", "Two of the functions are named add"),
        ("--mcp nubmers", "no table"),
        ("--mcp numbers --compare seed=1,2", "--mcp and --compare exclude"),
    ):
        assert_fails_cleanly(tools, f"{CHAT} {flags}\nhi", words)


def test_tab_offers_the_functions_of_the_notebook(tools):
    assert tools.complete("%%qianfan_chat --tool ") == ["add", "weather", "fail", "later", "leave"]
    assert "required" in tools.complete("%%qianfan_chat --tool-choice r")


# --- looking at it


def test_request_shows_the_last_round(tools):
    tools.run(f"{CHAT} --tool add\nAdd 3 and 4")
    shown = tools.run("%qianfan request")
    assert "Request 2 of 2" in shown
    assert '"role": "tool", "content": "7.0"' in shown
    assert '"role": "tool"' not in tools.run("%qianfan request 1")

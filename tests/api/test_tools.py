"""Functions that a model may call: how they are described, called, and told of."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import pytest

from qianfan_magic import ParameterError, QianfanClient, QianfanError, Reply
from qianfan_magic.api.tools import (
    MAX_CALLS,
    MAX_RESULT,
    asked_calls,
    declarations,
    make_call,
    read_tools,
)
from qianfan_magic.api.types import ToolCall
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.masking import remember


@dataclass
class Place:
    city: str
    country: str = "China"


def weather(
    place: Place, unit: Literal["C", "F"] = "C", days: int | None = None
) -> dict[str, object]:
    """Look up the weather.

    Of the next days, too.

    Parameters
    ----------
    place
        Where.
    days
        How many days.
    """
    return {"city": place.city, "country": place.country, "unit": unit, "days": days}


def add(x: float, y: float) -> float:
    """Add two numbers.

    Args:
        x: The first.
        y: The second.
    """
    return x + y


async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


def call(function, arguments: str) -> str:
    asked = ToolCall(function.__name__, arguments, "", "a")
    return make_call(asked, read_tools([function])).call.result


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def client(server):
    with QianfanClient(server.settings()) as made:
        yield made


# --- describing


def test_function_is_described_by_its_signature_and_docstring():
    [declared] = declarations([weather])
    function = declared["function"]
    assert function["name"] == "weather"
    assert function["description"] == "Look up the weather.\n\nOf the next days, too."
    schema = function["parameters"]
    assert schema["required"] == ["place"]
    assert schema["properties"]["days"]["description"] == "How many days."
    assert schema["properties"]["unit"]["enum"] == ["C", "F"]
    assert schema["$defs"]["Place"]["required"] == ["city"]
    assert "title" not in schema["properties"]["days"]  # it would repeat the name
    assert declarations([add])[0]["function"]["parameters"]["properties"]["y"]["description"] == (
        "The second."
    )


def test_argument_that_cannot_be_described_is_named():
    def untyped(x): ...

    def many(*cities: str): ...

    def strange(stream: QianfanClient): ...

    def unknown(x: Missing): ...  # type: ignore[name-defined]  # noqa: F821

    for function, words in (
        (untyped, "argument x of untyped has no type"),
        (many, "argument cities of many has no name"),
        (strange, "argument stream of strange has a type"),
        (unknown, "annotations of unknown cannot be read"),
        (lambda: 1, "not a function with a name"),
        ("weather", "not a function with a name"),
    ):
        with pytest.raises(ParameterError, match=words):
            read_tools([function])


def test_name_that_a_model_cannot_write_is_refused():
    with pytest.raises(ParameterError, match="cannot call '天气' by its name") as caught:
        read_tools({"天气": add})
    assert "weather = 天气" in caught.value.hint


def test_two_functions_of_one_name_are_refused():
    with pytest.raises(ParameterError, match="named add"):
        read_tools([add, add])


def test_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "docstring_parser", None)
    with pytest.raises(ParameterError) as caught:
        read_tools([add])
    assert "docstring_parser" in caught.value.message
    assert "qianfan-magic[tools]" in caught.value.hint


# --- calling


def test_arguments_arrive_as_the_annotations_say():
    assert call(weather, '{"place": {"city": "Xi\'an"}}') == (
        '{"city":"Xi\'an","country":"China","unit":"C","days":null}'
    )


def test_arguments_that_do_not_fit_are_told_to_the_model():
    for arguments, words in (
        ('{"x": 1}', "y: Field required"),
        ('{"x": 1, "y": "much"}', "y: Input should be a valid number"),
        ('{"x": 1, "y": 2, "z": 3}', "z: Extra inputs are not permitted"),
        ("{", "Invalid JSON"),
    ):
        assert call(add, arguments).startswith("Error: ValueError: "), arguments
        assert words in call(add, arguments), arguments


def test_exception_is_told_to_the_model_but_not_an_interrupt():
    def divide(x: int) -> float:
        return 1 / x

    def stop() -> None:
        raise KeyboardInterrupt

    assert call(divide, '{"x": 0}') == "Error: ZeroDivisionError: division by zero"
    with pytest.raises(KeyboardInterrupt):
        call(stop, "")


def test_exception_that_quotes_a_known_key_is_masked():
    remember("a-key-of-the-user")

    def fail() -> None:
        raise ValueError("a-key-of-the-user is wrong")

    assert call(fail, "") == "Error: ValueError: *** is wrong"


def test_async_function_is_awaited_with_and_without_a_running_loop():
    async def in_a_loop() -> str:
        return call(wait, '{"seconds": 0}')

    with ThreadPoolExecutor(1) as thread:  # in this one another test may have left a loop running
        assert thread.submit(call, wait, '{"seconds": 0}').result() == "waited"
        assert thread.submit(lambda: asyncio.run(in_a_loop())).result() == "waited"


def test_long_result_is_cut_with_a_note():
    def read() -> str:
        return "x" * (MAX_RESULT + 1)

    assert call(read, "").endswith(f"x\n({MAX_RESULT:,} of {MAX_RESULT + 1:,} characters)")


def test_function_that_was_not_given_is_never_called():
    made = make_call(ToolCall("exec", "{}", "", "a"), read_tools([add])).call
    assert (made.result, made.is_error) == ("Error: there is no function 'exec'", True)


def test_table_is_told_as_json():
    frame = pd.DataFrame({"city": ["Xi'an"], "people": [13_000_000]})

    def pick() -> pd.DataFrame:
        return frame

    assert call(pick, "") == '[{"city":"Xi\'an","people":13000000}]'


def test_half_of_a_character_goes_no_further():
    def half() -> str:
        return "half \ud83d"

    assert call(half, "") == "half ?"
    asked = {"id": "", "function": {"name": "add", "arguments": '{"x": "\ud83d"}'}}
    [read] = asked_calls(Reply(text="", tool_calls=(asked,)))
    assert (read.arguments, read.id) == ('{"x": "?"}', "call_1")


def test_calls_have_a_name_and_an_id_of_their_own_whatever_a_server_sends():
    asked = [
        {"id": id_, "function": {"name": name, "arguments": "{}"}}
        for id_, name in (("a", "add"), ("a", "add"), (" ", " "), ("b", ""))
    ]
    calls = asked_calls(Reply(text="", tool_calls=(*asked, *[asked[0]] * 200)))
    assert [call.id for call in calls[:4]] == ["a", "call_2", "call_3", "b"]
    assert [call.name for call in calls[:4]] == ["add", "add", "(no name)", "(no name)"]
    assert len(calls) == len({call.id for call in calls}) == MAX_CALLS


def test_interrupt_cancels_an_async_function():
    ended = threading.Event()

    async def hang() -> None:
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        call(hang, "")
    assert ended.wait(10)


# --- the client


def test_chat_returns_the_calls_that_the_model_asks_for(client):
    reply = client.chat(ask("Add 3 and 4"), tools=[add, weather])
    [asked] = reply.tool_calls
    assert asked["function"] == {"name": "add", "arguments": '{"x": 3, "y": 4}'}
    assert reply.finish_reason == "tool_calls"


def test_choice_names_a_function(client):
    reply = client.chat(ask("Hello 5 6"), tools=[weather, add], tool_choice="add")
    assert [asked["function"]["name"] for asked in reply.tool_calls] == ["add"]


def test_run_returns_the_answer_after_the_calls(client, server):
    reply = client.run(ask("Add 3 and 4, please"), tools=[add, wait])
    assert reply.text == "The result is 7.0."
    assert b'"role": "tool", "content": "7.0"' in server.seen[-1].body


def test_choice_demands_a_call_of_the_first_request_alone(client):
    reply = client.run(ask("Hello 5 6"), tools=[add], tool_choice="required")
    assert reply.text == "The result is 11.0."


def test_run_that_does_not_end_is_an_error(client):
    with pytest.raises(QianfanError, match="after 1 rounds"):
        client.run(ask("Add 3 and 4"), tools=[add], max_rounds=1)
    with pytest.raises(ParameterError, match="must be from 1 to 100"):
        client.run(ask("Add 3 and 4"), tools=[add], max_rounds=0)


def test_schema_is_checked_of_the_answer_alone(client, server):
    schema = {"type": "object", "properties": {"sum": {"type": "number"}}}
    before = len(server.seen)
    with pytest.raises(QianfanError, match="not JSON"):  # what the scripted answer is
        client.run(ask("Add 3 and 4"), tools=[add], schema=schema)
    assert len(server.seen) == before + 2  # the first reply asked for a call

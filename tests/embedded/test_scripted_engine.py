"""What the scripted engine answers: the documents' own questions, a few more, and any other."""

from __future__ import annotations

import ast
import base64
import io
import json
from typing import Any

import pytest
from PIL import Image
from support.embedded_client import (
    AQUILA,
    DEEPSEEK,
    DOLLY,
    ERNIE,
    SEEING,
    SERVICES,
    STABLELM,
    STARCODER,
    WALL,
    user,
    v1_messages,
)

MAX_MIN = "python计算数组最大值最小值"
HOW_LONG = "How long is it?"
BAT = "A bat and a ball cost $1.10. The bat costs $1.00 more than the ball. What does it cost?"
SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "Hello."}


def run(program: str) -> dict[str, Any]:
    """Execute a program and return its names."""
    names: dict[str, Any] = {}
    exec(compile(program, "answer", "exec"), names)
    return names


# --- the documents' questions


def test_greeting_is_returned(v1):
    assert v1.ask(DOLLY, "hi")["result"].strip().startswith(("Hi", "Hello"))


def test_places_are_introduced(v1):
    assert "Great Wall of China" in v1.ask(DOLLY, WALL)["result"]
    messages = v1_messages(WALL, "It is a wall.", "Please introduce Beijing")
    assert "capital of China" in v1.ask(DOLLY, messages)["result"]


def test_sentence_about_beijing_is_completed(v1):
    text = v1.ask(STABLELM, "Introduce the city Beijing")["result"]
    assert text.startswith(", ")
    assert "China" in text


def test_maximum_and_minimum_are_a_function_that_works(v1):
    for service in (STARCODER, AQUILA):
        program = v1.ask(service, MAX_MIN)["result"]
        function = run(program)[ast.parse(program).body[0].name]
        assert sorted(function([3, 1, 4, 1, 5, 9, 2, 6])) == [1, 9], service


# --- conversations


def test_question_is_understood_from_earlier_messages_only(v1):
    for introduction in ((WALL, "A wall."), ("请介绍长城", "长城是一道墙。")):
        answer = v1.ask(DOLLY, v1_messages(*introduction, HOW_LONG))
        assert "21,196" in answer["result"], introduction
    assert "21,196" not in v1.ask(DOLLY, HOW_LONG)["result"]


def test_system_message_is_not_a_turn(v2):
    assert "21,196" in v2.ask_text([SYSTEM, user(WALL), ASSISTANT, user(HOW_LONG)])
    first = [SYSTEM, user("Hello?"), ASSISTANT, user("What was my first question?")]
    assert "“Hello?”" in v2.ask_text(first)


@pytest.mark.parametrize(
    ("question", "truncate", "parameters"),
    [(WALL, {"max_tokens": 20}, {}), (BAT, {"stop": ["If"]}, {"enable_thinking": True})],
)
def test_truncated_answer_is_continued(v2, question, truncate, parameters):
    beginning = v2.ask_text(question, **truncate, **parameters)
    messages = [user(question), {"role": "assistant", "content": beginning}, user("Go on")]
    assert beginning + v2.ask_text(messages) == v2.ask_text(question, **parameters)


def test_beginning_of_an_answer_is_gone_on_from(v2):
    thinking = {"thinking": {"type": "enabled"}}
    for question, parameters in ((WALL, {}), (BAT, {}), (BAT, thinking), ("Will it rain?", {})):
        whole = v2.ask_text(question, DEEPSEEK, **parameters)
        beginning = {"role": "assistant", "content": whole[:30], "prefix": True}
        message = v2.ask([user(question), beginning], DEEPSEEK, **parameters)["choices"][0]
        assert whole[:30] + message["message"]["content"] == whole, question
        assert "reasoning_content" not in message["message"], question


def test_any_other_beginning_is_followed_by_a_description(v2):
    beginning = {"role": "assistant", "content": "Well, ", "prefix": True}
    assert "not a language model" in v2.ask_text([user(WALL), beginning], DEEPSEEK)


# --- any other question


def test_any_other_question_is_answered_by_a_description_of_the_request(v1):
    for name, service in SERVICES.items():
        text = v1.ask(service, "Will it rain?", temperature=0.2, top_k=5)["result"]
        assert "not a language model" in text
        assert name in text
        assert "13 characters" in text
        assert "temperature=0.2, top_k=5" in text


def test_description_is_the_same_in_version_2(v2):
    text = v2.ask_text([SYSTEM, user("Will it rain?")], temperature=0.2)
    assert ERNIE in text
    assert "13 characters" in text
    assert "temperature=0.2" in text


def test_description_in_a_completion_is_a_comment(v1, v2):
    """So that the prompt and its completion remain a valid program."""
    run(v1.ask(STARCODER, "x = 1")["result"])
    text = v2.complete("x = 1\n", suffix="y = 2")["choices"][0]["text"]
    assert run("x = 1\n" + text + "y = 2")["y"] == 2


# --- filling the gap before a suffix


def test_gap_is_filled_so_that_the_function_works(v2):
    for prompt, suffix in (
        ("def fahrenheit(celsius):\n", "    return result\n"),
        ("def fahrenheit(celsius):", "\n    return result\n"),
        ("def fahrenheit(celsius):\n    ", "\n    return result"),
        ("def fahrenheit(celsius):", "    return result"),
        ("def fahrenheit(celsius):\n    ", "return warm"),
        ('def fahrenheit(celsius: float) -> float:\n    """Convert."""\n', "    return result"),
        ("def fahrenheit(celsius):", ""),
    ):
        parameters = {"suffix": suffix} if suffix else {}
        text = v2.complete(prompt, **parameters)["choices"][0]["text"]
        function = run(prompt + text + suffix)["fahrenheit"]
        assert [function(celsius) for celsius in (0, 100)] == [32, 212], (prompt, suffix)


# --- reasoning


@pytest.mark.parametrize(
    ("question", "thought", "tempting", "right"),
    [
        (BAT, "x + (x + 1.00) = 1.10", "**10 cents**", "**5 cents**"),
        ("Which is larger, 9.11 or 9.9?", "9.90", "**9.9**", "**9.9**"),
        ("鸡兔同笼, 35 头 94 足", "12", "**23**", "**23**"),
    ],
)
def test_puzzle_is_answered_with_and_without_reasoning(v2, question, thought, tempting, right):
    message = v2.ask(question, enable_thinking=True)["choices"][0]["message"]
    assert thought in message["reasoning_content"]
    assert right in message["content"]
    assert tempting in v2.ask_text(question)


def test_reasoning_about_any_other_question_quotes_it(v2):
    for question in ("Will it {rain}?", "会下雨吗？"):
        message = v2.ask(question, enable_thinking=True)["choices"][0]["message"]
        assert question in message["reasoning_content"]


# --- JSON

JSON = {"response_format": {"type": "json_object"}}


def test_answer_is_json_on_request(v2):
    rivers = json.loads(v2.ask_text("Name the two longest rivers of China", **JSON))["rivers"]
    assert [river["name"] for river in rivers] == ["长江", "黄河"]
    for question in ("Will it rain?", "hi", 'Say "x"'):
        answer = json.loads(v2.ask_text(question, **JSON))["answer"]
        assert "not a language model" in answer, question


def test_response_format_text_is_the_default(v2):
    assert v2.ask_text("hi", response_format={"type": "text"}) == v2.ask_text("hi")


# --- images


def image(name: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (31, 17), "red").save(content, name)
    return content.getvalue()


def with_images(*urls: str, text: str = "What is this?") -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return user([*parts, {"type": "text", "text": text}] if text else parts)


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_image_is_described_by_its_format_and_size(v2):
    content = image()
    text = v2.ask_text([with_images(data_url(content))], SEEING)
    assert "scripted engine" in text
    assert "cannot see" in text
    assert f"a PNG of 31 by 17 pixels ({len(content)} bytes)" in text
    assert text == v2.ask_text([with_images(data_url(content), text="")], SEEING)


def test_images_are_counted(v2):
    messages = [with_images(data_url(image()), data_url(image("GIF")))]
    assert "2 pictures" in v2.ask_text(messages, SEEING)


def test_image_is_described_in_json(v2):
    answer = json.loads(v2.ask_text([with_images(data_url(image()))], SEEING, **JSON))["answer"]
    assert "31 by 17" in answer


def test_image_at_a_url_is_not_fetched(v2):
    text = v2.ask_text([with_images(f"{v2.server.base_url}/cat.png")], SEEING)
    assert "does not open" in text
    assert len(v2.server.seen) == 1


def test_earlier_image_is_not_described(v2):
    messages = [with_images(data_url(image())), ASSISTANT, user(WALL)]
    assert "Great Wall" in v2.ask_text(messages, SEEING)

"""Validation of version 2's requests, against its API documents."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image
from support.embedded_client import CODER, DEEPSEEK, ERNIE, PLAIN, SEEING, THINKER, user, v2_body

from qianfan_magic.api.catalogue.cards import embedded_cards
from qianfan_magic.api.catalogue.parameters import PARAMETERS, is_supported
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.embedded.engines import tool_calls
from qianfan_magic.embedded.faults import ServiceError
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.validation_v2 import parse_request
from qianfan_magic.errors import ParameterError

ACCEPTED = (200, "")
BAD_ARGUMENT, BAD_MESSAGES = (400, "invalid_argument"), (400, "invalid_messages")


def parse(body: Any, kind: Kind = "chat") -> ServerRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_request(kind, content, seed=0)


def verdict(body: Any, kind: Kind = "chat") -> tuple[int, int | str]:
    """Return the status and error code of the response to a body."""
    try:
        parse(body, kind)
    except ServiceError as error:
        return error.status, error.error_code
    return ACCEPTED


def completion(**parameters: Any) -> dict[str, Any]:
    return {"model": CODER, "prompt": "x"} | parameters


# --- models


def test_unknown_model_is_rejected():
    for model in ("nothing", "ERNIE-5.1", "ernie_5_1", "Dolly-12B", "ernie-5.1 "):
        assert verdict(v2_body("hi", model)) == (401, "invalid_model"), model


def test_body_without_a_model_is_rejected():
    for model in (None, "", 1, ["ernie-5.1"]):
        assert verdict(v2_body("hi") | {"model": model}) == (400, "invalid_model"), model


def test_chat_model_is_rejected_for_completions():
    assert verdict({"model": ERNIE, "prompt": "x"}, "completion") == (400, "invalid_model")


# --- bodies


def test_body_that_is_not_json_is_rejected():
    for body in (b"", b"{", b"hi", b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000):
        assert verdict(body) == (400, "malformed_json"), body[:20]


def test_body_that_is_not_an_object_is_rejected():
    for body in ([], "text", 1, None):
        assert verdict(body) == BAD_ARGUMENT, body


def test_stream_must_be_a_bool():
    for value in (1, "true", None):
        assert verdict(v2_body("hi") | {"stream": value}) == BAD_ARGUMENT, value


def test_stream_options_are_validated():
    streamed = v2_body("hi") | {"stream": True}
    for options in (True, [], {"include_usage": 1}):
        assert verdict(streamed | {"stream_options": options}) == BAD_ARGUMENT, options
    options = {"stream_options": {"include_usage": True}}
    assert parse(streamed | options).include_usage
    assert verdict(v2_body("hi") | options) == BAD_ARGUMENT  # for streams only


def test_unknown_fields_are_ignored():
    fields = {"extra_parameters": {"request_source": "qianfan_py_sdk_v0.4.12.3"}, "top_k": -1}
    assert parse(v2_body("hi") | fields).parameters == {}


# --- messages and prompts

ASSISTANT = {"role": "assistant", "content": "Hello."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
CALL = {"role": "assistant", "content": None, "tool_calls": CALLS}
TOOL = {"role": "tool", "content": "5", "tool_call_id": "1"}
TEXT_PARTS = [{"type": "text", "text": "hi"}, {"type": "text", "text": "you"}]

VALID_MESSAGES = {
    "one": ([user("hi")], ("hi",)),
    "system first": ([SYSTEM, user("hi")], ("hi",)),
    "turns": ([user("hi"), ASSISTANT, user("you")], ("hi", "Hello.", "you")),
    "even number": ([user("hi"), user("you")], ("hi", "you")),
    "tool": ([user("hi"), CALL, TOOL], ("hi", "", "5")),
    "parts": ([user(TEXT_PARTS)], ("hi\nyou",)),
}


def test_valid_messages_are_accepted():
    for name, (messages, texts) in VALID_MESSAGES.items():
        request = parse(v2_body(messages))
        assert request.messages == texts, name
        assert request.system == ("Be brief." if name == "system first" else ""), name


def test_call_that_failed_is_asked_for_again_as_its_error_suggests():
    asked = {"id": "1", "function": {"name": "f", "arguments": '{"city": "Pekin", "day": 2}'}}
    call = {"role": "assistant", "content": "", "tool_calls": [asked]}
    declared = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    for text, again in (
        ("Error: LookupError: did you mean 'Beijing'?", '{"city": "Beijing", "day": 2}'),
        ("Error: did you mean Pekin?", None),
        ("Error: no such city", None),
        ("It asks: did you mean Beijing?", None),
    ):
        result = {"role": "tool", "tool_call_id": "1", "content": text}
        request = parse(v2_body([user("f"), call, result]) | declared)
        assert tool_calls.calls(request) == ([("f", again)] if again else []), text


def test_tools_of_a_model_without_them_are_refused():
    cards = [card for card in embedded_cards() if card.version == ApiVersion.V2]
    body = v2_body("hi", cards[0].name) | {
        "tools": [{"type": "function", "function": {"name": "f"}}]
    }
    with pytest.raises(ServiceError, match="does not support tools"):
        parse_request("chat", json.dumps(body).encode(), 0, cards)


INVALID_MESSAGES = {
    "none": None,
    "string": "hi",
    "empty": [],
    "string as message": ["hi"],
    "system only": [SYSTEM],
    "system later": [user("hi"), SYSTEM, user("hi")],
    "unknown role": [{"role": "function", "content": "hi"}],
    "no role": [{"content": "hi"}],
    "list as role": [{"role": [], "content": "hi"}],
    "assistant last": [user("hi"), ASSISTANT],
    "no content": [{"role": "user"}],
    "null": [user(None)],
    "number": [user(1)],
    "blank": [user(" \n\r\f")],
    "blank before": [user(" "), ASSISTANT, user("hi")],
    "blank assistant": [user("hi"), {"role": "assistant", "content": ""}, user("hi")],
    "string as tool calls": [user("hi"), CALL | {"tool_calls": "x"}, TOOL],
    "tool without id": [user("hi"), CALL, {"role": "tool", "content": "5"}],
    "tool with the id of no call": [user("hi"), CALL, TOOL | {"tool_call_id": "2"}],
    "tool after an answer": [user("hi"), ASSISTANT, TOOL],
    "call that is no object": [user("hi"), CALL | {"tool_calls": [1, {"id": ["1"]}]}, TOOL],
    "no parts": [user([])],
    "string as part": [user(["hi"])],
    "unknown part": [user([{"type": "audio", "text": "hi"}])],
    "blank part": [user([{"type": "text", "text": " "}])],
    "part without text": [user([{"type": "text"}])],
}


def test_invalid_messages_are_rejected():
    for name, messages in INVALID_MESSAGES.items():
        assert verdict(v2_body("hi") | {"messages": messages}) == BAD_MESSAGES, name


def test_invalid_prompt_is_rejected():
    for prompt in (None, 1, "", " \n", ["x"]):
        assert verdict(completion(prompt=prompt), "completion") == BAD_ARGUMENT, prompt


def test_tokens_are_limited_by_the_model():
    assert verdict(v2_body("城" * 119_000)) == ACCEPTED
    for messages in ([user("hi " * 100_000)], [SYSTEM, user("城" * 119_000)]):
        assert verdict(v2_body(messages)) == (400, "tokens_too_long"), messages[0]["role"]


# --- parameters

#: Validated by the tests below, since the body has another structure than the table.
STRUCTURED = {"system", "response_format", "tools", "tool_choice"}
STRUCTURED |= {"web_search", "search_mode", "search_number"}
#: Each is valid for some parameters and invalid for others.
VALUES: list[Any] = [None, True, "text", "END", 0, 1, 1.0, 1.5, -2.1, 10_000, {}, [], [1], [None]]
VALUES += [["a" * 20] * 4, ["a"] * 5, ["长" * 21]]


def assert_validated_by_the_table(kind: Kind, model: str) -> None:
    for row in PARAMETERS:
        if row.name in STRUCTURED or not is_supported(row, kind, ApiVersion.V2):
            continue
        parameter = row.within(ApiVersion.V2)
        wire_name = row.support[ApiVersion.V2].wire or row.name
        bounds = [bound for bound in (parameter.minimum, parameter.maximum) if bound]
        for value in VALUES + [bound + step for bound in bounds for step in (-1, 0, 0.01, 1)]:
            body = v2_body("hi", model) | {"prompt": "x", wire_name: value}
            try:
                expected = parameter.check(value)
            except ParameterError:
                assert verdict(body, kind) == BAD_ARGUMENT, body
            else:
                assert parse(body, kind).parameters == {row.name: expected}, body


def test_parameters_are_validated_by_the_table():
    assert_validated_by_the_table("chat", ERNIE)
    assert_validated_by_the_table("completion", CODER)


def test_error_message_has_the_range():
    with pytest.raises(ServiceError) as caught:
        parse(v2_body("hi") | {"temperature": 2})
    assert caught.value.error_msg == "temperature must be a number in (0, 1]"


def test_beginning_of_the_answer_is_validated():
    messages = [user("hi"), ASSISTANT | {"prefix": True}]
    request = parse(v2_body(messages, DEEPSEEK))
    assert (request.prefix, request.messages) == ("Hello.", ("hi",))
    assert verdict(v2_body(messages, ERNIE)) == BAD_ARGUMENT
    for wrong in (
        messages[1:],
        [user("hi"), ASSISTANT | {"prefix": False}],
        [user("hi"), ASSISTANT | {"prefix": "yes"}],
        [user("hi"), ASSISTANT | {"prefix": True, "content": " "}],
        [user("hi"), ASSISTANT, ASSISTANT | {"prefix": True}],
    ):
        assert verdict(v2_body(wrong, DEEPSEEK)) == BAD_MESSAGES, wrong


def test_structured_parameters_are_validated():
    for valid in (
        {"response_format": {"type": "text"}},
        {"web_search": {"enable": True, "search_mode": "required", "search_number": 28}},
        {"tools": [], "tool_choice": "auto"},
        {"thinking": {"type": "nonsense"}},  # a parameter of other models
    ):
        assert verdict(v2_body("hi") | valid) == ACCEPTED, valid
    for invalid in (
        {"response_format": "json_object"},
        {"response_format": {}},
        {"response_format": {"type": "xml"}},
        {"web_search": True},
        {"web_search": {"enable": "yes"}},
        {"web_search": {"enable": True, "search_mode": "never"}},
        {"web_search": {"enable": True, "search_number": 29}},
        {"tools": {}},
        {"tool_choice": 1},
    ):
        assert verdict(v2_body("hi") | invalid) == BAD_ARGUMENT, invalid


def test_parameters_of_chats_are_ignored_in_completions():
    for name in ("penalty_score", "response_format", "thinking", "tools"):
        body = {"model": "qwen3-coder-30b-a3b-instruct", "prompt": "x", name: 9}
        assert verdict(body, "completion") == ACCEPTED, name


# --- whether the model reasons

ON = {ERNIE: {"enable_thinking": True}, DEEPSEEK: {"thinking": {"type": "enabled"}}}
OFF = {ERNIE: {"enable_thinking": False}, DEEPSEEK: {"thinking": {"type": "disabled"}}}


def test_model_thinks_if_its_own_parameter_says_so():
    for model, parameters in ON.items():
        assert parse(v2_body("hi", model) | parameters).thinks, model
    for model, parameters in OFF.items():
        assert not parse(v2_body("hi", model) | parameters).thinks, model


def test_model_ignores_the_parameter_of_another():
    both = ON[ERNIE] | ON[DEEPSEEK]
    for model, parameters in {ERNIE: ON[DEEPSEEK], DEEPSEEK: ON[ERNIE], PLAIN: both}.items():
        assert not parse(v2_body("hi", model) | parameters).thinks, model


def test_model_does_not_think_by_default():
    for model in (ERNIE, DEEPSEEK, PLAIN, SEEING):
        assert not parse(v2_body("hi", model)).thinks, model


def test_model_that_thinks_by_default_can_be_told_not_to():
    body = v2_body("hi", "ernie-5.0-thinking-preview")
    assert parse(body).thinks
    assert not parse(body | OFF[ERNIE]).thinks


def test_model_that_always_thinks_cannot_be_told_not_to():
    for parameters in ({}, OFF[ERNIE], OFF[DEEPSEEK]):
        assert parse(v2_body("hi", THINKER) | parameters).thinks, parameters


def test_thinking_has_a_type():
    for value in (True, {}, {"type": "on"}, {"type": ["enabled"]}):
        assert verdict(v2_body("hi", DEEPSEEK) | {"thinking": value}) == BAD_ARGUMENT, value


# --- images


def image(name: str = "PNG", size: tuple[int, int] = (31, 17), **options: Any) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, "red").save(content, name, **options)
    return content.getvalue()


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def with_images(*urls: Any) -> dict[str, Any]:
    return user([{"type": "image_url", "image_url": {"url": url}} for url in urls])


def with_size(width: int, height: int) -> str:
    return data_url(image(size=(width, height)))


def test_format_and_size_of_an_image_are_read():
    for name, options in (
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),  # the extended format
        ("GIF", {}),
        ("BMP", {}),
    ):
        content = image(name, **options)
        (read,) = parse(v2_body([with_images(data_url(content))], SEEING)).images
        assert read.format.upper() == name, options
        assert (read.width, read.height, read.size) == (31, 17, len(content)), (name, options)


def test_invalid_image_is_rejected():
    png = image()
    invalid = {
        "number": 1,
        "null": None,
        "path": "/tmp/cat.png",
        "file": "file:///tmp/cat.png",
        "URL without a host": "https://",
        "no base64": "data:image/png;base64,*",
        "truncated base64": data_url(png)[:-1],
        "not base64": "data:image/png,abc",
        "text/plain": data_url(png, "text/plain"),
        "empty": data_url(b""),
        "text": data_url(b"hello, this is no picture at all"),
        "first bytes of a PNG": data_url(png[:12]),
        "JPEG without a frame": data_url(image("JPEG")[:30]),
        "PDF": data_url(b"%PDF-1.7 " + bytes(64)),
        "too small": with_size(4, 100),
        "too wide": with_size(6_000, 5),
        "too many bytes": data_url(png + bytes(10 * 1024 * 1024)),
    }
    for name, url in invalid.items():
        body = v2_body([with_images(url)], SEEING)
        assert verdict(body) == (400, "invalid_image_url"), name


def test_image_within_the_limits_is_accepted():
    png = image()
    ten_megabytes = data_url(png + bytes(10 * 1024 * 1024 - len(png)))
    for name, url in {
        "smallest": with_size(5, 5),
        "widest": with_size(5_999, 5),
        "10 MB": ten_megabytes,
    }.items():
        assert verdict(v2_body([with_images(url)], SEEING)) == ACCEPTED, name


def test_only_models_that_see_accept_images():
    picture = with_images(data_url(image()))
    for messages in ([picture], [picture, ASSISTANT, user("hi")]):
        assert verdict(v2_body(messages, SEEING)) == ACCEPTED
        assert verdict(v2_body(messages, PLAIN)) == BAD_ARGUMENT


def test_only_the_user_may_send_images():
    for role in ("system", "assistant"):
        messages = [with_images(data_url(image())) | {"role": role}, user("hi")]
        assert verdict(v2_body(messages, SEEING)) == BAD_MESSAGES, role


# --- response_format with a schema


def schema_format(described: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": described}


def test_schema_is_read_from_the_response_format():
    described = {"name": "city", "schema": {"type": "array"}, "strict": True}
    body = v2_body("hi") | {"response_format": schema_format(described)}
    assert parse(body).schema == {"type": "array"}
    assert parse(v2_body("hi")).schema is None


def test_response_format_with_a_malformed_schema_is_refused():
    for described in (
        None,
        {},
        {"name": "a b", "schema": {}},
        {"name": "x" * 65, "schema": {}},
        {"name": "a", "schema": []},
        {"name": "a"},
        {"name": "a", "schema": {}, "strict": "yes"},
    ):
        body = v2_body("hi") | {"response_format": schema_format(described)}
        assert verdict(body) == BAD_ARGUMENT, described

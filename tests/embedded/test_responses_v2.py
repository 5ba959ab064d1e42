"""Responses of version 2, field for field as in its API documents."""

from __future__ import annotations

import json
from typing import Any

from support.embedded_client import (
    CHAT,
    CODER,
    COMPLETION,
    DEEPSEEK,
    ERNIE,
    MODELS,
    THINKER,
    WALL,
    V2Client,
    user,
    v2_body,
    v2_error,
    v2_text,
)

BAT = "A bat and a ball cost $1.10. The bat costs $1.00 more than the ball. What does it cost?"
END = {"index": 0, "finish_reason": "stop", "flag": 0}

# --- errors, methods and paths


def test_error_has_the_documents_format(v2):
    response = v2.post(v2_body("hi") | {"temperature": 0})
    assert response.status_code == 400
    error = response.json()
    assert error.pop("id").startswith("as-")
    message = "temperature must be a number in (0, 1]"
    type_ = "invalid_request_error"
    assert error == {"error": {"code": "invalid_argument", "message": message, "type": type_}}


def test_other_methods_are_rejected(v2):
    rejected = (405, "method_not_supported")
    for path in (CHAT, COMPLETION):
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert v2_error(v2.send(method, path)) == rejected, (method, path)
    assert v2_error(v2.post({}, MODELS)) == rejected


def test_unknown_path_is_not_found(v2):
    for path in ("/v2/", "/v2/chat", "/v2/chat/completions/", "/v2/models/x"):
        assert v2.post(v2_body("hi"), path).status_code == 404, path


def test_malformed_form_is_rejected_in_the_format_of_this_version(v2):
    headers = {"Authorization": v2.authorization, "Content-Type": "multipart/form-data"}
    assert v2_error(v2.post(v2_body("hi"), headers=headers)) == (400, "invalid_argument")


# --- the list of models


def test_models_of_this_version_are_listed(v2):
    response = v2.send("GET", MODELS).json()
    assert response["object"] == "list"
    assert {"id": ERNIE, "object": "model", "owned_by": "", "created": 0} in response["data"]
    names = {model["id"].lower() for model in response["data"]}
    assert not names & {"dolly-12b", "starcoder"}


def test_every_listed_model_answers(v2):
    names = [model["id"] for model in v2.send("GET", MODELS).json()["data"]]
    assert len(names) > 3
    for name in names:
        assert v2.ask("hi", name).get("model") == name


# --- whole answers


def test_whole_chat_has_the_documents_fields_in_order(v2):
    answer = v2.ask("hi")
    assert list(answer) == ["id", "object", "created", "model", "choices", "usage"]
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    message = choice.pop("message")
    assert choice == END
    assert list(message) == ["role", "content"]
    assert message["role"] == "assistant"


def test_whole_completion_has_the_documents_fields(v2):
    answer = v2.complete("def is_prime(n):")
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert "return True" in choice.pop("text")
    assert choice == END


def test_answer_does_not_begin_with_a_space(v2):
    assert not v2.ask_text(WALL)[0].isspace()


# --- streams


def test_stream_consists_of_events_and_ends_with_done(v2):
    for body, path in ((v2_body(WALL), CHAT), ({"model": CODER, "prompt": "x"}, COMPLETION)):
        response = v2.post(body | {"stream": True}, path)
        assert response.headers["Content-Type"].startswith("text/event-stream"), path
        events = response.text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""], path
        assert events.count("data: [DONE]") == 1, path


def test_chunks_have_the_documents_fields(v2):
    chunks = v2.stream(WALL)
    assert len(chunks) > 10
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    for number, chunk in enumerate(chunks):
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["model"] == ERNIE
        (choice,) = chunk["choices"]
        assert choice["flag"] == 0
        assert choice["delta"].get("role") == ("assistant" if number == 0 else None)
        is_last = number == len(chunks) - 1
        assert choice.get("finish_reason") == ("stop" if is_last else None)


def test_chunks_of_a_chat_add_up_to_the_whole_answer(v2):
    assert v2_text(v2.stream(WALL)) == v2.ask_text(WALL)


def test_chunks_of_a_completion_add_up_to_the_whole_answer(v2):
    body = {"model": CODER, "prompt": "def is_prime(n):"}
    chunks = [json.loads(event) for event in v2.events(body, COMPLETION)[:-1]]
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text == v2.complete("def is_prime(n):")["choices"][0]["text"]


# --- usage


def test_stream_has_no_usage_by_default(v2):
    for options in ({}, {"stream_options": {"include_usage": False}}):
        for chunk in v2.stream(WALL, **options):
            assert "usage" not in chunk, options


def test_usage_is_in_the_last_chunk_on_request(v2):
    *others, last = v2.stream(WALL, stream_options={"include_usage": True})
    assert last["usage"] == v2.ask(WALL)["usage"]
    assert not any("usage" in chunk for chunk in others)


def test_total_is_the_sum(v2):
    prompt, completion, total = v2.ask(WALL)["usage"].values()
    assert completion > 0
    assert prompt + completion == total


def test_system_message_is_counted(v2):
    system = {"role": "system", "content": "Be brief."}
    alone, both = (v2.ask(messages)["usage"] for messages in ([user("hi")], [system, user("hi")]))
    assert both["prompt_tokens"] > alone["prompt_tokens"]


# --- stop, max_tokens and seed


def test_answer_excludes_the_stop_text(v2):
    whole = v2.ask_text(WALL)
    assert v2.ask_text(WALL, stop=["BC"]) == whole.partition("BC")[0]
    assert v2.ask_text(WALL, stop=["BC", "wall"]) == whole.partition("wall")[0]


def test_stop_text_gives_the_finish_reason_stop(v2):
    assert v2.ask(WALL, stop=["BC"])["choices"][0]["finish_reason"] == "stop"


def test_answer_is_truncated_to_max_tokens(v2):
    answer = v2.ask(WALL, max_tokens=10)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert 0 < answer["usage"]["completion_tokens"] <= 10
    (choice,) = v2.complete("def is_prime(n):", max_tokens=5)["choices"]
    assert choice["finish_reason"] == "length"


def test_stream_is_truncated_like_the_whole_answer(v2):
    chunks = v2.stream(WALL, max_tokens=10)
    assert v2_text(chunks) == v2.ask_text(WALL, max_tokens=10)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_seed_of_the_request_takes_precedence_over_that_of_the_server(make_v2):
    clients = [make_v2(seed=seed) for seed in range(6)]
    assert len({client.ask_text("hi") for client in clients}) > 1
    assert len({client.ask_text("hi", seed=5) for client in clients}) == 1


# --- reasoning


def think(v2: V2Client, **parameters: Any) -> dict[str, Any]:
    return v2.ask(BAT, enable_thinking=True, **parameters)


def reasoning_tokens(answer: dict[str, Any]) -> int:
    return answer["usage"]["completion_tokens_details"]["reasoning_tokens"]


def test_reasoning_is_sent_if_the_model_thinks(v2):
    for model, parameters in (
        (ERNIE, {"enable_thinking": True}),
        (DEEPSEEK, {"thinking": {"type": "enabled"}}),
        (THINKER, {}),
    ):
        (choice,) = v2.ask(BAT, model, **parameters)["choices"]
        assert "x + (x + 1.00) = 1.10" in choice["message"]["reasoning_content"], model


def test_no_reasoning_is_sent_otherwise(v2):
    answer = v2.ask(BAT)
    assert "reasoning_content" not in answer["choices"][0]["message"]
    assert "completion_tokens_details" not in answer["usage"]
    body = {"model": "qwen3-coder-30b-a3b-instruct", "prompt": "x", "thinking": {"type": "enabled"}}
    assert "completion_tokens_details" not in v2.post(body, COMPLETION).json()["usage"]


def test_reasoning_precedes_the_answer_in_a_stream(v2):
    deltas = [chunk["choices"][0]["delta"] for chunk in v2.stream(BAT, enable_thinking=True)]
    is_reasoning = ["reasoning_content" in delta for delta in deltas]
    assert is_reasoning == sorted(is_reasoning, reverse=True)
    assert {d["content"] for d in deltas if "reasoning_content" in d} == {None}
    assert deltas[0]["role"] == "assistant"


def test_chunks_add_up_to_the_whole_answer_and_its_reasoning(v2):
    chunks = v2.stream(BAT, enable_thinking=True)
    texts = {name: v2_text(chunks, name) for name in ("content", "reasoning_content")}
    assert think(v2)["choices"][0]["message"] == {"role": "assistant"} | texts


def test_reasoning_is_counted_as_a_part_of_the_completion(v2):
    answer = think(v2)
    assert 100 < reasoning_tokens(answer) < answer["usage"]["completion_tokens"]


def test_thinking_budget_truncates_the_reasoning_only(v2):
    answer = think(v2, thinking_budget=100)
    assert 90 <= reasoning_tokens(answer) <= 100
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == think(v2)["choices"][0]["message"]["content"]


def test_max_tokens_limits_reasoning_and_answer_together(v2):
    answer = think(v2, max_tokens=50)
    assert think(v2, max_completion_tokens=50)["choices"] == answer["choices"]
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == ""
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] <= 50


def test_stream_that_is_truncated_in_the_reasoning_has_no_answer(v2):
    chunks = v2.stream(BAT, enable_thinking=True, max_tokens=50)
    assert v2_text(chunks) == ""
    assert v2_text(chunks, "reasoning_content")


def test_stop_text_does_not_apply_to_reasoning(v2):
    message = think(v2, stop=["cents"])["choices"][0]["message"]
    assert "cents" in message["reasoning_content"]
    assert "cents" not in message["content"]

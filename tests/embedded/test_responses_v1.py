"""Responses of version 1, field for field as in the API documents' examples."""

from __future__ import annotations

import time
from itertools import accumulate
from typing import Any

import pytest
from support.embedded_client import (
    DOLLY,
    SERVICES,
    STABLELM,
    STARCODER,
    V1_PREFIX,
    WALL,
    V1Client,
    v1_body,
    v1_messages,
)

MAX_MIN = "python计算数组最大值最小值"
BEIJING = "Introduce the city Beijing"
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["result"] for chunk in chunks)


# --- errors


def test_error_has_a_code_and_a_message_but_status_200(v1):
    response = v1.post(DOLLY, {"messages": []})
    assert response.status_code == 200
    assert response.json() == {"error_code": 336003, "error_msg": "messages can not be empty"}


def test_methods_other_than_post_are_rejected(v1):
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert v1.send(method, V1_PREFIX + DOLLY).json()["error_code"] == 336101, method


def test_unknown_path_is_rejected(v1):
    for path in ("/", "/nothing", V1_PREFIX, f"{V1_PREFIX}/chat/", f"{V1_PREFIX}/x/y"):
        assert v1.send("POST", path).json()["error_code"] == 3, path


def test_content_type_of_the_request_is_ignored(v1):
    """The documents' examples call curl -d, which sends a form's content type."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "result" in v1.post(STARCODER, {"prompt": "x"}, headers=headers).json()


def test_malformed_form_is_rejected_in_json_without_logging_the_token(v1, caplog):
    """It is tornado that rejects it, and logs its URL."""
    headers = {"Content-Type": "multipart/form-data"}
    response = v1.post(STARCODER, {"prompt": "x"}, headers=headers)
    assert response.headers["Content-Type"].startswith("application/json")
    assert v1.token not in caplog.text


# --- whole answers and chunks

WHOLE_CHAT = "id object created result is_truncated need_clear_history usage"
WHOLE_COMPLETION = "id object created result is_safe usage"
CHUNK_CHAT = "id object created sentence_id is_end is_truncated result need_clear_history usage"
CHUNK_COMPLETION = "id object created sentence_id is_end result is_safe usage"


def assert_common_fields(payload: dict[str, Any], service: str) -> None:
    assert payload["object"] == ("chat.completion" if service == DOLLY else "completion")
    letters = payload["id"].removeprefix("as-")
    assert len(letters) == 10
    assert letters.isalnum()
    assert abs(payload["created"] - time.time()) < 60
    usage = payload["usage"]
    assert list(usage) == ["prompt_tokens", "completion_tokens", "total_tokens"]


@each_service
def test_whole_answer_has_the_documents_fields_in_order(v1, service):
    answer = v1.ask(service, "hi")
    assert list(answer) == (WHOLE_CHAT if service == DOLLY else WHOLE_COMPLETION).split()
    assert_common_fields(answer, service)
    if service == DOLLY:
        assert answer["is_truncated"] is False
        assert answer["need_clear_history"] is False
    else:
        assert answer["is_safe"] == 1


@each_service
def test_chunks_have_the_documents_fields_in_order(v1, service):
    chunks = v1.stream(service, "hi")
    fields = (CHUNK_CHAT if service == DOLLY else CHUNK_COMPLETION).split()
    for number, chunk in enumerate(chunks):
        assert list(chunk) == fields
        assert_common_fields(chunk, service)
        assert chunk["sentence_id"] == number
        assert chunk["is_end"] is (number == len(chunks) - 1)
    assert len({chunk["id"] for chunk in chunks}) == 1


@each_service
def test_chunks_add_up_to_the_whole_answer(v1, service):
    chunks, answer = v1.stream(service, MAX_MIN), v1.ask(service, MAX_MIN)
    assert text_of(chunks) == answer["result"]
    assert chunks[-1]["usage"]["total_tokens"] == answer["usage"]["total_tokens"]


def test_stream_consists_of_data_lines(v1):
    body = v1_body(DOLLY, WALL) | {"stream": True}
    response = v1.post(DOLLY, body)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = response.content.decode().removesuffix("\n\n").split("\n\n")
    assert len(events) > 10
    for event in events:
        assert event.startswith('data: {"id":')


def test_chunks_arrive_one_by_one(make_v1):
    v1 = make_v1(pace=3_600)  # the second chunk never comes
    body = v1_body(DOLLY, WALL) | {"stream": True}
    with v1.post(DOLLY, body, stream=True) as response:
        assert b'"sentence_id": 0' in next(response.iter_lines())


# --- usage


@each_service
def test_total_is_the_sum_in_a_whole_answer(v1, service):
    prompt, completion, total = v1.ask(service, WALL)["usage"].values()
    assert prompt + completion == total


def test_dolly_reports_completion_tokens_in_the_last_chunk_only(v1):
    *usages, last = [chunk["usage"] for chunk in v1.stream(DOLLY, WALL)]
    for usage in usages:
        assert usage["completion_tokens"] == 0
        assert usage["total_tokens"] == usage["prompt_tokens"] == last["prompt_tokens"]
    assert last["completion_tokens"] > 0
    assert last["total_tokens"] == last["prompt_tokens"] + last["completion_tokens"]


def test_stablelm_reports_the_tokens_of_each_chunk(v1):
    """As in its document's example: 5 + 67 = 72, and 72 + 24 = 96."""
    usages = [chunk["usage"] for chunk in v1.stream(STABLELM, BEIJING)]
    counts = [usage["completion_tokens"] for usage in usages]
    totals = list(accumulate(counts, initial=usages[0]["prompt_tokens"]))[1:]
    assert [usage["total_tokens"] for usage in usages] == totals
    assert 0 < max(counts) < sum(counts)


def test_tokens_are_counted_as_the_document_estimates(v1):
    """Chinese characters + words * 1.3: StarCoder's document."""
    for prompt, tokens in {"计算数组": 4, "a b c d e f g h i j": 13}.items():
        assert v1.ask(STARCODER, prompt)["usage"]["prompt_tokens"] == tokens, prompt


def test_all_messages_of_a_chat_are_counted(v1):
    question = "How long is it?"
    alone = v1.ask(DOLLY, question)["usage"]["prompt_tokens"]
    later = v1.ask(DOLLY, v1_messages(WALL, "A wall.", question))["usage"]["prompt_tokens"]
    assert later > alone


# --- seeds


def test_equal_seeds_give_equal_chunks(make_v1):
    first, second = make_v1(seed=7), make_v1(seed=7)
    for service in SERVICES.values():
        texts = [chunk["result"] for chunk in first.stream(service, WALL)]
        for client in (first, second):
            assert [chunk["result"] for chunk in client.stream(service, WALL)] == texts, service


def test_other_seeds_give_other_answers_and_chunks(make_v1):
    clients = [make_v1(seed=seed) for seed in range(8)]
    assert len({client.ask(DOLLY, "hi")["result"] for client in clients}) > 1
    assert len({len(client.stream(DOLLY, WALL)) for client in clients}) > 1


# --- stop and max_output_tokens


def prime(v1: V1Client, **parameters: Any) -> str:
    return v1.ask(STARCODER, "def is_prime(n):", **parameters)["result"]


def test_answer_includes_the_stop_text(v1):
    before, stop, _ = prime(v1).partition("return")
    assert prime(v1, stop=["return"]) == before + stop
    assert text_of(v1.stream(DOLLY, WALL, stop=["BC"])).endswith("BC")


def test_first_of_several_stop_texts_ends_the_answer(v1):
    for stop in (["return", "divisor"], ["divisor", "return"]):
        text = prime(v1, stop=stop)
        assert text.count("divisor") + text.count("return") == 1, stop


def test_stop_text_that_does_not_occur_changes_nothing(v1):
    assert prime(v1, stop=["nonsense"]) == prime(v1)


def test_answer_with_a_stop_text_is_not_truncated(v1):
    assert v1.ask(DOLLY, WALL, stop=["BC"])["is_truncated"] is False


def test_answer_is_truncated_to_max_output_tokens(v1):
    whole, truncated = v1.ask(DOLLY, WALL), v1.ask(DOLLY, WALL, max_output_tokens=10)
    assert truncated["is_truncated"] is True
    assert 0 < truncated["usage"]["completion_tokens"] <= 10
    assert truncated["result"]
    assert whole["result"].startswith(truncated["result"])


def test_answer_within_max_output_tokens_is_whole(v1):
    assert v1.ask(DOLLY, WALL, max_output_tokens=2_048) == v1.ask(DOLLY, WALL)


def test_only_the_last_chunk_is_truncated(v1):
    *others, last = v1.stream(DOLLY, WALL, max_output_tokens=10)
    assert last["is_truncated"] is True
    assert {chunk["is_truncated"] for chunk in others} == {False}

"""Faults: what `EmbeddedServer.fail` injects into responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from support.embedded_client import (
    DOLLY,
    IAM,
    MODELS,
    STARCODER,
    WALL,
    V1Client,
    V2Client,
    v1_body,
    v2_body,
    v2_error,
)
from support.waiting import until

from qianfan_magic.embedded.faults import Fault

STREAM = v1_body(DOLLY, WALL) | {"stream": True}
#: What requests raises, before and after the first chunk.
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def error_code(v1: V1Client) -> int:
    return v1.ask(DOLLY, "hi").get("error_code", 0)


# --- which request is hit


def test_each_fault_hits_one_request_in_order(v1):
    v1.server.fail(Fault(error_code=1), Fault(error_code=2))
    assert [error_code(v1) for _ in range(3)] == [1, 2, 0]
    assert not v1.server.faults


def test_fault_may_be_appended_to_the_list_of_faults(v1):
    v1.server.faults += [Fault(error_code=1)]
    assert [error_code(v1) for _ in range(2)] == [1, 0]


def test_fault_hits_the_models_of_version_1_by_default(v1, v2):
    assert v1.token
    for server in (v1.server, v2.server):
        server.fail(Fault(status=500))
    assert v1.request_token().status_code == 200
    assert v2_error(v2.post(v2_body("hi"))) == (200, "")
    assert v1.post(DOLLY, v1_body(DOLLY, "hi")).status_code == 500


def test_fault_with_a_path_hits_this_path_only(v1, v2):
    assert v1.token
    v1.server.fail(Fault(status=500, path="/oauth/"))
    assert "result" in v1.ask(STARCODER, "x")
    assert [v1.request_token().status_code for _ in range(2)] == [500, 200]

    for path in (IAM, MODELS):
        v2.server.fail(Fault(status=503, body=b"", path=path))
        assert v2.post(v2_body("hi")).status_code == 200, path
        assert v2.send("GET", path).status_code == 503, path
    assert v2.send("GET", MODELS).status_code == 200


# --- errors


def test_error_has_the_format_of_version_1(v1):
    v1.server.fail(Fault(error_code=336100, error_msg="too many people"))
    assert v1.ask(DOLLY, "hi") == {"error_code": 336100, "error_msg": "too many people"}


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("rpm_rate_limit_exceeded", "rate_limit_exceeded"),
        ("Offline_batch_reasoning_refused", "rate_limit_exceeded"),
        ("system_unsafe", "unsafe_request"),
        ("account_overdue", "access_denied"),
        ("internal_error", "Internal_error"),
        ("characters_too_long", "invalid_request_error"),
    ],
)
def test_error_of_version_2_has_its_type(v2, code, type_):
    v2.server.fail(Fault(error_code=code, error_msg="Words", status=429, path="/v2/"))
    response = v2.post(v2_body("hi"))
    assert response.status_code == 429
    assert response.json()["error"] == {"code": code, "message": "Words", "type": type_}


def test_fault_sends_a_status_with_headers_and_a_body(v1):
    v1.server.fail(Fault(status=503, headers={"Retry-After": "3"}, body=b"<h1>Busy</h1>"))
    response = v1.post(DOLLY, v1_body(DOLLY, "hi"))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "3"
    assert response.content == b"<h1>Busy</h1>"


# --- in the middle of a stream


def test_error_in_a_stream_of_version_1_is_bare_json(v1):
    v1.server.fail(Fault(error_code=336000, error_msg="x", after=2))
    first, second, error = v1.raw_stream(DOLLY, WALL).split("\n\n")
    assert first.startswith("data: ")
    assert second.startswith("data: ")
    assert json.loads(error) == {"error_code": 336000, "error_msg": "x"}


def test_error_in_a_stream_of_version_2_is_an_event(v2):
    v2.server.fail(Fault(error_code="internal_error", after=2, path="/v2/"))
    events = v2.events(v2_body(WALL))
    assert len(events) == 3
    assert json.loads(events[-1])["error"]["code"] == "internal_error"


def test_body_is_sent_after_some_chunks(v1, v2):
    v1.server.fail(Fault(body=b"data: {bro", after=2))
    v2.server.fail(Fault(body=b"data: {bro", after=2, path="/v2/"))
    for raw in (
        v1.raw_stream(DOLLY, WALL),
        v2.post(v2_body(WALL) | {"stream": True}).text,
    ):
        assert raw.count("data: ") == 3
        assert raw.endswith("\n\ndata: {bro")


# --- the end of the connection


def post_stream(client: V1Client | V2Client, **options: Any) -> None:
    if isinstance(client, V1Client):
        client.post(DOLLY, STREAM, **options)
    else:
        client.post(v2_body(WALL) | {"stream": True}, **options)


def test_connection_ends_early(v1, v2):
    assert v1.token
    for client, path in ((v1, "/ai_custom/"), (v2, "/v2/")):
        for end in ("close", "reset"):
            for after in (0, 2):
                client.server.fail(Fault(end=end, after=after, path=path))
                with pytest.raises(BROKEN) as caught:
                    post_stream(client)
                is_reset = "ConnectionResetError" in repr(caught.value)
                assert is_reset is (end == "reset"), (path, end, after)
                assert client.server.seen[-1].sent == after, (path, end)


def test_connection_falls_silent_until_the_client_closes_it(v1):
    assert v1.token
    for after in (0, 2):
        v1.server.fail(Fault(end="silence", after=after))
        with pytest.raises((requests.ConnectionError, requests.Timeout)):
            post_stream(v1, timeout=0.2)
        assert until(lambda: v1.server.seen[-1].closed_early), after
        assert v1.server.seen[-1].sent == after


# --- fields


def test_fields_are_added_to_whole_answers_and_chunks_of_version_1(v1):
    fields = {"need_clear_history": True, "ban_round": -1}
    v1.server.fail(Fault(fields=fields), Fault(fields=fields))
    for payload in (v1.ask(DOLLY, "hi"), *v1.stream(DOLLY, "hi")):
        assert payload.items() >= fields.items()


def test_fields_are_added_to_answers_and_choices_of_version_2(v2):
    of_choice, of_answer = {"flag": 2, "ban_round": -1}, {"need_clear_history": True}
    fault = Fault(fields=of_choice | of_answer, path="/v2/")
    v2.server.fail(fault, fault)
    for payload in (v2.ask("hi"), *v2.stream("hi")):
        assert payload.items() >= of_answer.items()
        assert payload["choices"][0].items() >= of_choice.items()
        assert not payload.keys() & of_choice.keys()


def test_stream_with_added_fields_is_complete(v2):
    v2.server.fail(Fault(fields={"flag": 1}, path="/v2/"))
    assert v2.events(v2_body("hi"))[-1] == "[DONE]"

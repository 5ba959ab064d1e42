"""Errors of servers that do not write them as Qianfan does: their words, and the class of each."""

from __future__ import annotations

import json

import pytest
from support.raw_server import Answer, json_answer, stream_answer

from qianfan_magic import APIError, AuthError, QianfanError, RateLimitError, TransportError

HELLO = [{"role": "user", "content": "hi"}]
BEARER = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"


def error_of(client) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        client.chat(HELLO, model="ernie-5.1")
    return caught.value


def text_answer(text: str, status: int, kind: str = "text/plain") -> Answer:
    return Answer(status=status, headers={"Content-Type": kind}, pieces=[text.encode()])


#: Bodies that say "no luck" without an error of Qianfan's.
BODIES = {
    "event": 'data: {"error": {"message": "no luck", "code": null}}\n\n',
    "event with a name": 'event: error\ndata: {"error": "no luck"}\n\n',
    "msg": '{"code": null, "msg": "no luck"}',
    "message": '{"message": "no luck"}',
    "detail": '{"detail": "no luck"}',
    "FastAPI": '{"detail": [{"loc": ["body"], "msg": "no luck", "type": "missing"}]}',
    "a list": '[{"error": {"message": "no luck"}}]',
    "JSON text": '"no luck"',
    "plain text": "no luck\n",
}


def test_error_says_the_server_s_words_and_its_class_follows_the_status(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    classes = {401: AuthError, 403: AuthError, 429: RateLimitError, 400: APIError, 404: APIError}
    for name, body in BODIES.items():
        for status, kind in classes.items():
            raw_server.script += [text_answer(body, status)]
            error = error_of(client)
            assert type(error) is kind, (name, status)
            assert "no luck" in error.message, (name, status)
            assert error.status == status, (name, status)
            assert error.hint, (name, status)


def test_words_of_a_server_that_is_busy_are_said_and_it_is_asked_again(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=2)
    for name, body in BODIES.items():
        raw_server.script += [text_answer(body, 503)] * 2
        assert "no luck" in error_of(client).message, name
        assert not raw_server.script, name


def test_words_are_masked_cut_and_on_one_line(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    words = f"refused:\n{BEARER}\x1b[2J " + "x" * 9_000
    for body in (words, json.dumps({"detail": words})):
        raw_server.script += [text_answer(body, 400)]
        error = error_of(client)
        assert "refused: " in error.message
        assert BEARER not in str(error)
        assert error.message.isprintable()
        assert len(error.message) <= 500


def test_page_and_empty_body_are_not_the_service_s(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    page = "<!DOCTYPE html><html><head><title>Log in &amp; go</title></head><p>secret</p></html>"
    for kind in ("text/html", "text/plain"):
        raw_server.script += [text_answer(page, 403, kind)]
        error = error_of(client)
        assert type(error) is TransportError, kind
        assert '"Log in & go"' in error.message, kind
        assert "secret" not in error.message, kind
    for answer in (Answer(status=401), json_answer({}, status=401)):
        raw_server.script += [answer]
        assert type(error_of(client)) is TransportError, answer


def test_error_event_of_a_stream_says_the_server_s_words(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    for data in ('{"message": "no luck"}', "no luck", '{"error": {"message": "no luck"}}'):
        raw_server.script += [stream_answer(f"event: error\ndata: {data}\n\n".encode())]
        with pytest.raises(APIError, match="no luck"):
            list(client.stream_chat(HELLO, model="ernie-5.1"))

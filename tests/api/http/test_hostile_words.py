"""What a hostile server says, wherever an error quotes it: shown in one harmless, short line."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from support.raw_server import Answer, event, json_answer, stream_answer

from qianfan_magic import QianfanError

HELLO = [{"role": "user", "content": "hi"}]
BEARER = {"bearer_token": "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"}
PAIR = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}
ACCOUNT = {"access_key": "ALTAK-EXAMPLE0123456789", "secret_key": "0123456789abcdef0123"}
#: Escapes of terminals, HTML, Markdown, characters that hide or turn text.
SLY = (
    "\x1b[2J\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x9b1m\u202eabc\u2066\u200b\ufeff\u2028\r"
    "<script>alert(1)</script> ![x](https://evil.example/p.png) \0\U000e0041 "
)
LONG = SLY + "x y " * 250_000
#: A message and a hint.
LONGEST = 1_200


@dataclass(frozen=True, slots=True, kw_only=True)
class OddReason(Answer):
    """An answer whose status line has a hostile reason."""

    def head(self) -> bytes:
        return Answer.head(self).replace(b"Scripted", b"\x1b[2J<b>\xff " * 50)


def page(text: str, status: int, kind: str) -> Answer:
    return Answer(status=status, headers={"Content-Type": kind}, pieces=[text.encode()])


def answers(words: str) -> dict[str, Answer]:
    """Answers of version 2 whose errors quote the words."""
    error = {"error": {"code": words, "message": words, "type": words}, "id": words}
    places = [{"loc": [words, words], "msg": words}] * 9
    found = {
        f"{kind}, {status}": page(words, status, kind)
        for kind in ("text/plain", "text/html", "application/json")
        for status in (200, 401, 503)
    }
    return found | {
        "an error": json_answer(error),
        "an error of a status": json_answer(error, status=429),
        "a text": json_answer({"error": words}, status=400),
        "details": json_answer({"detail": places}, status=422),
        "a title": page(f"<title>{words}</title>", 200, "text/html"),
        "an event": stream_answer({"choices": [{"delta": {"content": words[:9]}}]}, error),
        "an event of errors": stream_answer(b"event: error\n" + event({"message": words})),
        "an event that is no JSON": stream_answer(b"data: " + json.dumps(words).encode() + b"\n\n"),
    }


def check(error: QianfanError, name: str) -> None:
    attributes = ("message", "hint", "error_msg", "error_code", "request_id", "__cause__")
    texts = [str(error), *error._render_traceback_(), repr(error.args[0])]
    texts += [str(getattr(error, attribute, "")) for attribute in attributes]
    for text in texts:
        assert text.replace("\n", "").isprintable(), name
        assert len(text) <= LONGEST, name


def error_of(client, method: str, name: str) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        pytest.fail(f"{name}: {list(getattr(client, method)(HELLO, model='ernie-5.1'))}")
    return caught.value


def test_words_of_the_service_are_one_harmless_short_line(raw_server, make_client):
    client = make_client(**BEARER, retry_count=1)
    for words in (SLY, LONG):
        for name, answer in answers(words).items():
            raw_server.script += [answer]
            check(error_of(client, "stream_chat", name), name)


def test_words_of_the_token_endpoints_are_one_harmless_short_line(raw_server, make_client):
    for words in (SLY, LONG):
        raw_server.tokens += [json_answer({"error": words, "error_description": words}, status=401)]
        raw_server.bearers += [json_answer({"code": words, "message": words}, status=403)]
        for version, keys in enumerate((PAIR, ACCOUNT)):
            client = make_client(**keys, retry_count=1)
            with pytest.raises(QianfanError) as caught:
                client.chat(HELLO, **({"model": "ernie-5.1"} if version else {"endpoint": "ep"}))
            check(caught.value, str(version))
    assert len(raw_server.token_requests) == len(raw_server.bearer_requests) == 2


def test_words_of_headers_are_one_harmless_short_line(raw_server, make_client):
    sly = "\x1b[2J<b>\xff " * 50
    client = make_client(**BEARER, retry_count=1)
    for name, answer in {
        "reason": OddReason(status=500),
        "type": page("x", 200, sly),
        "location": Answer(
            status=302, headers={"Location": "http://\x1b\x9b.example/?access_token=24.a"}
        ),
        "delay": Answer(status=429, headers={"Retry-After": sly}),
    }.items():
        raw_server.script += [answer]
        check(error_of(client, "chat", name), name)
    headers = {"X-Bce-Error-Code": sly, "X-Bce-Error-Message": sly}
    raw_server.bearers += [Answer(status=403, headers=headers)]
    check(error_of(make_client(**ACCOUNT, retry_count=1), "chat", "IAM"), "IAM")

"""Answers that a proxy or a network has changed or written itself: read, or said to be so."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import product

import pytest
from support.raw_server import Answer, event, json_answer, stream_answer

from qianfan_magic import QianfanError

HELLO = [{"role": "user", "content": "hi"}]
BEARER = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"
LOGIN = f"<html><head><title>Hotel Wi-Fi</title></head><body>{BEARER}</body></html>".encode()
WHOLE = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
JSON = json.dumps(WHOLE).encode()
EVENTS = event({"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]})
EVENTS += b"data: [DONE]\n\n"
SCRIPT = b"<script src='http://provider.example/x.js'></script>\n"
BOM = b"\xef\xbb\xbf"


def page(body: bytes, kind: str, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers={"Content-Type": kind, **named}, pieces=[body])


READABLE = {
    "another type": page(JSON, "text/html"),
    "gzip": page(gzip.compress(JSON), "application/json", Content_Encoding="gzip"),
    "deflate": page(zlib.compress(JSON), "application/json", Content_Encoding="deflate"),
    "byte order mark": page(BOM + JSON, "application/json"),
    "byte order mark before events": page(BOM + EVENTS, "text/event-stream"),
    "script before events": page(SCRIPT + EVENTS, "text/event-stream"),
    "script after events": page(EVENTS + SCRIPT, "text/event-stream"),
    "events at once": page(EVENTS, "text/event-stream"),
    "events in other chunks": stream_answer(*(bytes([byte]) for byte in EVENTS)),
    "another end of line": page(EVENTS.replace(b"\n", b"\r\n"), "text/event-stream"),
    "one more header": json_answer(WHOLE, headers={"X-Corporate": "checked"}),
}
UNREADABLE = {
    "login page": page(LOGIN, "text/html"),
    "login page as JSON": page(LOGIN, "application/json"),
    "login page as events": page(LOGIN, "text/event-stream"),
    "login page of a network": page(LOGIN, "text/html", 511),
    "proxy's password": page(LOGIN, "text/html", 407, Proxy_Authenticate="Basic"),
    "proxy's password in words": page(b"authenticate first", "text/plain", 407),
    "proxy's error": page(b"<title>502 Bad Gateway</title>", "text/html", 502),
    "proxy's error in words": page(b"upstream timed out", "text/plain", 504),
    "page that blocks": page(LOGIN, "text/html", 403),
    "nothing": Answer(status=204),
    "script after JSON": page(JSON + SCRIPT, "application/json"),
    "prefix": page(b")]}',\n" + JSON, "application/json"),
    "cut": page(JSON[:20], "application/json"),
    "cut before its length": page(JSON[:20], "application/json", Content_Length="99"),
    "compressed and not said": page(gzip.compress(JSON), "application/json"),
    "compressed events and not said": page(gzip.compress(EVENTS), "text/event-stream"),
    "said and not compressed": page(JSON, "application/json", Content_Encoding="gzip"),
    "not in chunks": page(JSON, "application/json", Transfer_Encoding="chunked"),
}


def ask(client, method: str) -> str:
    answer = getattr(client, method)(HELLO, model="ernie-5.1")
    return answer.text if method == "chat" else "".join(chunk.text for chunk in answer)


def test_answer_that_a_proxy_has_rewritten_is_read(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    for (name, answer), method in product(READABLE.items(), ("chat", "stream_chat")):
        raw_server.script += [answer]
        assert ask(client, method) == "hello", (name, method)


def test_error_of_what_a_proxy_has_written_says_so_without_a_key(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    for (name, answer), method in product(UNREADABLE.items(), ("chat", "stream_chat")):
        raw_server.script += [answer]
        with pytest.raises(QianfanError) as caught:
            pytest.fail(f"{name}: {ask(client, method)}")
        said = str(caught.value).lower()
        assert "proxy" in said or "log in" in said, (name, method)
        assert BEARER not in f"{caught.value} {caught.value.__cause__}", (name, method)

"""Streams of the kinds that servers send, each with what the client must read in it.

`tests/data/streams` has a file ``NAME.sse`` for each kind, and ``NAME.json`` with what is expected:
``text``, ``reasoning``, ``usage``, ``finish_reason`` and, where there are any, ``tool_calls``. It
may name other ``content_types`` and ``ends`` of the connection to try. Adding a kind is adding the
two files.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw_server import Answer, stream_answer

from qianfan_magic import StreamError
from qianfan_magic.api.http.grace import GRACE
from qianfan_magic.api.types import ApiVersion, Reply
from qianfan_magic.api.wire import read_reply

STREAMS = sorted((Path(__file__).parent.parent / "data/streams").glob("*.sse"))
HELLO = [{"role": "user", "content": "hi"}]
BEARER = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"


class Pause(threading.Event):
    """A moment in which the server sends nothing."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return super().wait(0.02)


#: More comments than a client waits for.
COMMENTS = [piece for _ in range(500) for piece in (b": ping\n\n", Pause())]


def expected_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


def answers(path: Path, pieces: list[bytes]) -> Iterator[tuple[str, Answer]]:
    """Give the answers to try for a stream: each content type, each end of the connection."""
    expected = expected_of(path)
    for kind in expected.get("content_types", ["text/event-stream"]):
        for end in expected.get("ends", ["close"]):
            for framing in ("chunked", "close"):
                comments: list[Any] = COMMENTS if end == "comments" else []
                yield (
                    f"{path.name}, {kind}, {framing}, {end}",
                    Answer(
                        headers={"Content-Type": kind} if kind else {},
                        pieces=[*pieces, *comments],
                        framing=framing,
                        end="silent" if comments else end,
                    ),
                )


def as_expected(reply: Reply) -> dict[str, Any]:
    usage = {name: count for name, count in reply.usage._asdict().items() if count}
    found = {"text": reply.text, "reasoning": reply.reasoning, "usage": usage}
    found |= {"finish_reason": reply.finish_reason}
    return found | ({"tool_calls": list(reply.tool_calls)} if reply.tool_calls else {})


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_stream_is_read_as_expected(raw_server, make_client, monkeypatch, path):
    monkeypatch.setattr("qianfan_magic.api.http.grace.GRACE", 0.2)
    whole = path.read_bytes()
    expected = expected_of(path)
    known = {"about", "content_types", "ends"}
    expected = {name: value for name, value in expected.items() if name not in known}
    client = make_client(bearer_token=BEARER, retry_count=1)
    for pieces in ([whole], [whole[i : i + 1] for i in range(len(whole))]):
        for name, answer in answers(path, pieces):
            raw_server.script += [answer]
            chunks = client.stream_chat(HELLO, model="ernie-5.1")
            assert as_expected(read_reply(chunks, ApiVersion.V2)) == expected, name


def test_connection_of_a_stream_without_end_is_closed(raw_server, make_client, monkeypatch):
    monkeypatch.setattr("qianfan_magic.api.http.grace.GRACE", 0.1)
    client = make_client(bearer_token=BEARER)
    for ends in ("silent", "comments"):
        path = next(path for path in STREAMS if ends in expected_of(path).get("ends", []))
        for name, answer in answers(path, [path.read_bytes()]):
            raw_server.script += [answer, answer]
            for _ in range(2):
                assert list(client.stream_chat(HELLO, model="ernie-5.1")), name
    assert len(raw_server.connections) == len(raw_server.requests)
    assert raw_server.hung_up.wait(10)


def event_of(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "as-1", "choices": [choice]}).encode() + b"\n\n"


def text_of(client, **options: Any) -> str:
    chunks = client.stream_chat(HELLO, model="ernie-5.1", **options)
    return "".join(chunk.text for chunk in chunks)


def test_stream_without_finish_reason_is_broken(raw_server, make_client):
    client = make_client(bearer_token=BEARER, retry_count=1)
    for reason in (None, "", "normal"):
        raw_server.script += [stream_answer(event_of({"content": "a"}, reason))]
        with pytest.raises(StreamError, match="ended before the answer") as caught:
            text_of(client)
        assert caught.value.partial == "a", reason


def test_grace_is_not_longer_than_the_time_out(raw_server, make_client):
    end = event_of({"content": "a"}, "stop")
    raw_server.script += [stream_answer(end, end="silent")]
    began = time.monotonic()
    assert text_of(make_client(bearer_token=BEARER), timeout=0.1) == "a"
    assert time.monotonic() - began < GRACE


def test_text_after_finish_reason_stops_the_grace(raw_server, make_client, monkeypatch):
    monkeypatch.setattr("qianfan_magic.api.http.grace.GRACE", 0.1)
    more = threading.Event()
    late = threading.Timer(0.4, more.set)
    pieces = [event_of({"content": "a"}, "stop"), event_of({"content": "b"}), more]
    pieces += [event_of({"content": "c"}, "stop"), b"data: [DONE]\n\n"]
    raw_server.script += [stream_answer(*pieces)]
    late.start()
    assert text_of(make_client(bearer_token=BEARER)) == "abc"


def test_done_ends_at_once_and_leaves_the_connection_as_it_was(raw_server, make_client):
    stream = stream_answer(event_of({"content": "a"}, "stop"), b"data: [DONE]\n\n", end="keep")
    raw_server.script += [stream, stream]
    client = make_client(bearer_token=BEARER)
    assert [text_of(client), text_of(client)] == ["a", "a"]
    assert len(raw_server.connections) == 1

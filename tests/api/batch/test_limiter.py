"""Keeping within the limits of a service: one place after the other, for all processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from math import inf
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_server import json_answer, stream_answer
from support.waiting import until

from qianfan_magic.api.batch.limiter import FURTHEST, LONGEST_PAUSE, RateLimiter, limiter_of

REQUESTS = "X-Ratelimit-Limit-Requests"
HELLO = [{"role": "user", "content": "hi"}]


def limited(path: Path | None = None, **headers: str) -> RateLimiter:
    limiter = RateLimiter(path)
    limiter.learn({name.replace("_", "-"): value for name, value in headers.items()})
    return limiter


def file_of(folder: Path) -> dict[str, object]:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text("utf-8"))


def test_requests_are_due_at_once_until_the_limits_are_known():
    assert [RateLimiter().reserve(10) for _ in range(100)] == [0.0] * 100


@given(st.integers(60, 6_000), st.integers(1, 300))
def test_requests_of_a_minute_stay_below_the_limit(limit, count):
    limiter = limited(**{REQUESTS: str(limit)})
    due = [limiter.reserve(1) for _ in range(count)]
    # Nothing more comes at once, since others may have asked before; then it is spread evenly.
    per_second = limit / 60
    assert min(due) > 0
    assert max(due) >= (count - 1) / per_second


def known(path: Path, limits: dict[str, int]) -> RateLimiter:
    """Return a limiter that another process has told the limits, long ago."""
    path.write_text(json.dumps({"limits": limits}), "utf-8")
    return RateLimiter(path)


def test_tokens_of_the_prompt_count_beside_requests(tmp_path):
    # 100 of each a second
    limiter = known(tmp_path / "limits.json", {"Requests": 6_000, "Input-Tokens": 6_000})
    assert limiter.reserve(100) == 0
    assert 0.9 < limiter.reserve(100) < 1.2
    # A prompt of more than the share of a second waits for all of it, but not for ever.
    assert limiter.reserve(1_000_000) < 4


def test_answers_are_taken_to_be_as_long_as_those_before(tmp_path):
    limiter = known(tmp_path / "limits.json", {"Output-Tokens": 6_000})
    for _ in range(100):
        limiter.learn({}, answer_tokens=50)
    assert [limiter.reserve(1) for _ in range(2)] == [0, 0]
    assert 0.3 < limiter.reserve(1) < 0.7


def test_refusal_closes_the_service_for_all():
    limiter = limited(**{REQUESTS: "6000"})
    limiter.refused(3)
    assert 2.5 < limiter.reserve(1) <= 3
    assert limiter.refused(10_000) == LONGEST_PAUSE


def test_pauses_grow_until_an_answer_comes(monkeypatch):
    limiter, now = RateLimiter(), [0]
    monkeypatch.setattr("qianfan_magic.api.batch.limiter._now", lambda: now[0])

    def refused_after_the_pause() -> float:
        now[0] += 60_000
        return limiter.refused(None)

    assert [refused_after_the_pause() for _ in range(4)] == [1, 2, 4, 8]
    limiter.learn({})
    assert refused_after_the_pause() == 1


def test_requests_that_are_refused_together_are_one_pause():
    limiter = RateLimiter()
    assert limiter.refused(None) == 1
    assert all(0 < limiter.refused(None) <= 1 for _ in range(20))


def test_fewer_requests_are_under_way_after_a_refusal_that_names_no_time():
    limiter = RateLimiter()
    with ExitStack() as under_way:
        for _ in range(8):
            under_way.enter_context(limiter.slots.one(Event()))
        limiter.refused(5)
        assert limiter.slots.most == inf
        limiter = RateLimiter()
        for _ in range(8):
            under_way.enter_context(limiter.slots.one(Event()))
        limiter.refused(None)
    assert limiter.slots.most == 4
    for _ in range(46):  # some ten answers for each of the four
        limiter.learn({})
    assert 5 <= limiter.slots.most < 5.1


def test_request_waits_for_a_slot_until_it_is_not_wanted():
    limiter, stopped = RateLimiter(), Event()
    with limiter.slots.one(stopped):
        limiter.slots.shrink()
        waiting = Thread(target=lambda: limiter.slots.one(stopped).__enter__())
        waiting.start()
        assert waiting.is_alive()
        stopped.set()
        waiting.join(30)
    assert not waiting.is_alive()


def test_slot_goes_to_the_request_that_waits_longest():
    slots, wanted, served = RateLimiter().slots, Event(), []

    def ask(number: int) -> None:
        with slots.one(wanted):
            served.append(number)

    with slots.one(wanted):
        slots.shrink()
        threads = [Thread(target=ask, args=[number]) for number in range(5)]
        for count, thread in enumerate(threads, 1):
            thread.start()
            assert until(lambda count=count: len(slots._waiting) == count)
    with slots.one(wanted):  # comes last, though the slot is free at this moment
        served.append("last")
    for thread in threads:
        thread.join(30)
    assert served == [*range(5), "last"]


def test_whole_reply_of_a_client_waits_for_a_slot_and_a_stream_does_not(raw_server, make_client):
    raw_server.script += [
        stream_answer({"result": "b", "is_end": True}),
        json_answer({"result": "a"}),
    ]
    client = make_client()
    slots = client._limiter(client.service("chat", {"endpoint": "ep"})).slots
    replies = []
    with slots.one(Event()):
        slots.shrink()
        asking = Thread(target=lambda: replies.append(client.chat(HELLO, endpoint="ep").text))
        asking.start()
        assert until(lambda: len(slots._waiting) == 1)
        assert raw_server.requests == []
        assert [chunk.text for chunk in client.stream_chat(HELLO, endpoint="ep")] == ["b"]
        assert replies == []
    asking.join(30)
    assert replies == ["a"]


def test_refused_reply_of_a_client_lets_fewer_be_under_way(raw_server, make_client):
    refusal = json_answer({"error_code": 18, "error_msg": "Open api qps request limit reached"})
    raw_server.script += [refusal, json_answer({"result": "a"})]
    client = make_client()
    slots = client._limiter(client.service("chat", {"endpoint": "ep"})).slots
    assert slots.most == inf
    assert client.chat(HELLO, endpoint="ep").text == "a"
    assert 1 <= slots.most < 2


def test_headers_that_are_no_limits_are_ignored():
    for value in ("", "many", "-1", "0", "1e9", "9" * 5_000, "٣"):
        limiter = limited(**{REQUESTS: value})
        assert [limiter.reserve(1) for _ in range(5)] == [0.0] * 5, value[:9]


def test_file_that_is_damaged_or_of_the_future_is_not_believed(tmp_path):
    late = (int(time.time() * 1000) + 2 * FURTHEST) * 1000
    for content in (
        "",
        "[]",
        '{"limits": 1}',
        '{"limits": {"Requests": -1}}',
        '{"limits": {"Pages": 1}}',
        '{"closed_until": "x"}',
        json.dumps({"limits": {"Requests": 60}, "places": {"Requests": late}}),
        json.dumps({"closed_until": late}),
    ):
        (tmp_path / "limits.json").write_text(content, "utf-8")
        assert RateLimiter(tmp_path / "limits.json").reserve(1) == 0, content


RESERVE = """
import sys, pathlib
from qianfan_magic.api.batch.limiter import RateLimiter
limiter = RateLimiter(pathlib.Path(sys.argv[1]))
print([limiter.reserve(1) for _ in range(30)][-1])
"""


@pytest.mark.kernel
def test_processes_share_one_limit(tmp_path):
    path = tmp_path / "limits.json"
    limited(path, **{REQUESTS: "600"})  # 10 a second
    command = [sys.executable, "-c", RESERVE, str(path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    begun = time.monotonic()
    last = max(float(process.communicate()[0]) for process in running)
    # 60 places, ten a second.
    assert last + (time.monotonic() - begun) > 5.5
    assert file_of(tmp_path)["limits"] == {"Requests": 600}


def test_service_has_one_limiter_in_a_process(tmp_path):
    assert limiter_of(tmp_path, "a") is limiter_of(tmp_path, "a")
    assert limiter_of(tmp_path, "a") is not limiter_of(tmp_path, "b")
    limiter_of(tmp_path, "a").refused(1)
    assert [file.stat().st_mode & 0o777 for file in tmp_path.glob("*.json")] == [0o600]

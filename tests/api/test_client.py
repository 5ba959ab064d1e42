"""The client against a real server: requests, retries, streams, proxies."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import multiprocessing
import socket
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from support.raw_server import Answer, RawServer, json_answer, stream_answer

from qianfan_magic import (
    APIError,
    ParameterError,
    QianfanClient,
    QianfanError,
    RateLimitError,
    Reply,
    SettingsError,
    StreamError,
    TransportError,
)
from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.client import AHEAD
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"})
FIRST = {"result": "he", "is_end": False}
LAST = {"result": "llo", "is_end": True}
STREAM = stream_answer(FIRST, LAST)
RESET = Answer(status=0, end="reset")
#: Error codes by whether the API's documents say to try again.
RETRYABLE = [1, 2, 4, 15, 18, 336000, 336100, 336501, 336502]
PERMANENT = [3, 6, 13, 14, 17, 19, 336001, 336002, 336003, 336004, 336005, 336006, 336007, 336101]
PERMANENT += [336103, 999999]


def refusal(code: int, **rest) -> Answer:
    return json_answer({"error_code": code, "error_msg": "scripted"}, **rest)


def bodies(server: RawServer) -> list[dict]:
    return [json.loads(seen.body) for seen in server.requests]


def question(way: str) -> Any:
    return HELLO if way.endswith("chat") else "hi"


def ask(client: QianfanClient, way: str = "chat", **options) -> str:
    """Call one of the four methods; return the text of the answer."""
    answer = getattr(client, way)(question(way), **options)
    return "".join(c.text for c in answer) if way.startswith("stream") else answer.text


#: The client's methods, with an answer to each.
WAYS = {"chat": OK, "complete": OK, "stream_chat": STREAM, "stream_complete": STREAM}
CHATS = ("chat", "stream_chat")

# --- requests and answers


def test_request_is_a_post_of_json_and_its_answer_is_the_text(raw_server, make_client):
    cases = [
        ("chat", "/chat/chat_ep", {"messages": HELLO}),
        ("stream_chat", "/chat/chat_ep", {"messages": HELLO, "stream": True}),
        ("complete", "/completions/complete_ep", {"prompt": "hi"}),
        ("stream_complete", "/completions/complete_ep", {"prompt": "hi", "stream": True}),
    ]
    for way, path, body in cases:
        raw_server.script += [WAYS[way]]
        assert ask(make_client(), way) == "hello", way
        seen = raw_server.requests[-1]
        assert seen.method == "POST", way
        assert seen.path == "/rpc/2.0/ai_custom/v1/wenxinworkshop" + path
        assert seen.headers["content-type"] == "application/json", way
        assert json.loads(seen.body) == body


def test_endpoint_or_model_of_a_call_overrides_the_settings(raw_server, make_client):
    cases = [({"endpoint": "other_ep"}, "other_ep"), ({"model": "ERNIE-Speed"}, "ernie_speed")]
    for option, path in cases:
        raw_server.script += [OK]
        ask(make_client(), **option)
        assert raw_server.requests[-1].path.endswith(f"/chat/{path}"), option


COMMON = {
    "temperature": 0.5,
    "top_p": 0.25,
    "top_k": 3,
    "penalty_score": 1.5,
    "stop": ["a", "b"],
    "user_id": "me",
}
OF_CHAT = {
    "system": "be brief",
    "response_format": "json_object",
    "disable_search": True,
    "enable_citation": False,
}


def test_parameters_are_in_the_body(raw_server, make_client):
    for way, answer in WAYS.items():
        raw_server.script += [answer]
        parameters = COMMON | OF_CHAT if way.endswith("chat") else COMMON
        ask(make_client(), way, **parameters)
        body = bodies(raw_server)[-1]
        assert {name: body.get(name) for name in parameters} == parameters, way
    raw_server.script += [OK]
    ask(make_client(), max_tokens=5)
    assert bodies(raw_server)[-1] == {"messages": HELLO, "max_output_tokens": 5}


def test_option_that_is_none_is_left_to_the_settings(raw_server, make_client):
    raw_server.script += [OK]
    names = [*COMMON, *OF_CHAT, "endpoint", "model", "timeout", "retries"]
    ask(make_client(), **dict.fromkeys(names))
    assert bodies(raw_server) == [{"messages": HELLO}]


def test_invalid_option_is_refused_before_anything_is_sent(raw_server, make_client):
    client = make_client()
    for options in [
        {"temperature": 0},
        {"top_k": 0},
        {"stop": ["a"] * 5},
        {"nonsense": 1},
        {"endpoint": "a/b"},
        {"timeout": -1},
        {"retries": 0},
    ]:
        for way in WAYS:
            with pytest.raises(ParameterError):
                # A stream is refused at the call, not when it is read.
                pytest.fail(f"{way}: {getattr(client, way)(question(way), **options)}, {options}")
    assert raw_server.requests == []


def test_invalid_messages_are_refused_before_anything_is_sent(raw_server, make_client):
    client = make_client()
    too_long = [{"role": "user", "content": "x" * 4801}]
    for messages in [[], HELLO * 2, [{"role": "assistant", "content": "hi"}], too_long]:
        with pytest.raises(ParameterError):
            pytest.fail(f"{client.chat(messages, endpoint='my_dolly_12b')} to {messages}")
    assert raw_server.requests == []


def test_missing_credentials_are_refused_before_anything_is_sent(raw_server):
    client = QianfanClient(Settings(base_url=raw_server.url))
    with pytest.raises(SettingsError):
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests == []


def test_settings_come_from_the_environment_and_arguments_override_them(raw_server, monkeypatch):
    raw_server.script += [OK, OK]
    monkeypatch.setenv("QIANFAN_BASE_URL", raw_server.url)
    monkeypatch.setenv("QIANFAN_ACCESS_TOKEN", "24.environment")
    with QianfanClient() as client:
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests[0].query == {"access_token": "24.environment"}
    monkeypatch.setenv("QIANFAN_BASE_URL", "http://qianfan.invalid")
    with QianfanClient(access_token="24.argument", base_url=raw_server.url) as client:
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests[1].query == {"access_token": "24.argument"}


def test_answers_reuse_their_connection(raw_server, make_client):
    whole = json_answer({"result": "hello"}, end="keep")
    stream = stream_answer(FIRST, LAST, end="keep")
    client = make_client()
    for way, answer in (("chat", whole), ("stream_chat", stream)) * 3:
        raw_server.script += [answer]
        assert ask(client, way) == "hello"
    assert len(raw_server.connections) == 1


# --- retries


def test_retryable_error_is_retried(raw_server, make_client):
    client = make_client()
    for code in RETRYABLE:
        error = json.dumps({"error_code": code, "error_msg": "scripted"}).encode()
        for way, first in (
            ("chat", refusal(code)),
            ("stream_chat", refusal(code)),
            ("stream_chat", stream_answer(error)),
        ):
            raw_server.script += [first, WAYS[way]]
            assert ask(client, way) == "hello", (code, first)


def test_permanent_error_is_not_retried(raw_server, make_client):
    client = make_client()
    for code, way in product(PERMANENT, CHATS):
        raw_server.script += [refusal(code)]
        raw_server.requests.clear()
        with pytest.raises(APIError) as caught:
            ask(client, way)
        assert caught.value.error_code == code
        assert len(raw_server.requests) == 1, (code, way)


def test_retryable_status_is_retried(raw_server, make_client):
    client = make_client()
    for status, way in product([429, 500, 502, 503, 504], CHATS):
        raw_server.script += [Answer(status=status), WAYS[way]]
        assert ask(client, way) == "hello", (status, way)
    # The JSON of a gateway is not the service's.
    foreign: list[dict] = [{}, {"error": "busy"}, {"error": {"message": "busy"}}]
    for status, body in product([429, 503], foreign):
        raw_server.script += [json_answer(body, status=status), OK]
        assert ask(client) == "hello", (status, body)


def test_permanent_status_is_not_retried(raw_server, make_client):
    client = make_client()
    for status, way in product([400, 401, 403, 404, 405, 501], CHATS):
        raw_server.script += [Answer(status=status)]
        raw_server.requests.clear()
        with pytest.raises(TransportError):
            ask(client, way)
        assert len(raw_server.requests) == 1, (status, way)


def test_permanent_status_with_a_gateway_s_json_is_no_stream_error(raw_server, make_client):
    client = make_client()
    for status in [400, 401, 403, 404]:
        raw_server.script += [json_answer({"error": "no"}, status=status)]
        with pytest.raises(QianfanError) as caught:
            ask(client)
        assert not isinstance(caught.value, StreamError), status


def test_connection_that_breaks_before_the_answer_is_retried(raw_server, make_client):
    silent = Answer(status=0, end="silent")
    cases = [
        ("chat", RESET),
        ("stream_chat", RESET),
        ("chat", Answer(status=0)),
        ("chat", silent),
        ("stream_chat", stream_answer(end="reset")),
    ]
    for way, first in cases:
        raw_server.script += [first, WAYS[way]]
        timeout = 0.1 if first is silent else 60
        assert ask(make_client(), way, timeout=timeout) == "hello", (way, first)


def test_number_of_attempts_is_that_of_the_call_or_of_the_settings(raw_server, make_client):
    for options, attempts in (({}, 4), ({"retries": 2}, 2)):
        raw_server.requests.clear()
        raw_server.script += [refusal(2)] * attempts + [OK]
        with pytest.raises(APIError):
            ask(make_client(retry_count=4), **options)
        assert len(raw_server.requests) == attempts
        raw_server.script.clear()


def test_last_error_is_raised(raw_server, make_client):
    raw_server.script += [Answer(status=500), RESET, refusal(336100)]
    with pytest.raises(APIError, match="336100"):
        ask(make_client(retry_count=3))


def test_same_body_goes_out_again(raw_server, make_client):
    raw_server.script += [refusal(2), OK]
    ask(make_client(), temperature=0.5)
    assert bodies(raw_server)[0] == bodies(raw_server)[1]


def test_nothing_is_retried_once_a_chunk_has_arrived(raw_server, make_client):
    error = json.dumps({"error_code": 336100, "error_msg": "scripted"}).encode()
    taken = threading.Event()
    for rest, end, kind in (
        ([taken], "close", StreamError),
        ([taken], "reset", StreamError),
        ([error], "close", APIError),
    ):
        taken.clear()
        raw_server.requests.clear()
        raw_server.script += [stream_answer(FIRST, *rest, end=end)]
        chunks = make_client().stream_chat(HELLO)
        next(chunks)
        taken.set()
        with pytest.raises(kind):
            next(chunks)
        assert len(raw_server.requests) == 1, (end, kind)


# --- how long it waits


@pytest.fixture
def waits(monkeypatch):
    """Record the waits between attempts instead of waiting."""
    seconds = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=seconds.append))
    return seconds


def test_waits_double_up_to_the_limit_of_the_settings(raw_server, make_client, waits):
    for factor, limit, seconds in ((0.5, 60.0, [0.5, 1, 2]), (5.0, 7.0, [5, 7, 7])):
        raw_server.script += [refusal(2)] * 3 + [OK]
        ask(make_client(retry_count=4, backoff_factor=factor, retry_max_wait=limit))
        assert waits == seconds
        waits.clear()


def test_jitter_does_not_extend_the_longest_wait(raw_server, make_client, waits):
    raw_server.script += [refusal(2), OK]
    ask(make_client(retry_jitter=86_400.0, retry_max_wait=7.0))
    assert waits[0] <= 7


BUSY = [
    lambda headers: refusal(336501, headers=headers),
    lambda headers: refusal(336501, headers=headers, status=429),
    lambda headers: Answer(status=503, headers=headers),
]


def test_wait_is_that_of_retry_after(raw_server, make_client, waits):
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for busy in BUSY:
        for value, low, high in (("7", 7, 7), ("1.5", 1.5, 1.5), (date, 3000, 3600)):
            raw_server.script += [busy({"Retry-After": value}), OK]
            ask(make_client(retry_max_wait=3600.0))
            assert low <= waits.pop() <= high, (busy({}), value)


def test_invalid_retry_after_is_ignored(raw_server, make_client, waits):
    client = make_client()
    for value in ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5", "", "1e9"]:
        raw_server.script += [Answer(status=503, headers={"Retry-After": value}), OK]
        ask(client)
        assert waits.pop() == 0, value


def test_server_that_asks_for_a_longer_wait_than_allowed_is_not_retried(raw_server, make_client):
    for busy in BUSY:
        raw_server.requests.clear()
        raw_server.script += [busy({"Retry-After": "61"})]
        with pytest.raises(QianfanError) as caught:
            ask(make_client(retry_max_wait=60.0))
        assert len(raw_server.requests) == 1, busy({})
        assert caught.value.retry_after == 61, busy({})


def test_rate_limit_is_an_error_of_its_own(raw_server, make_client):
    raw_server.script += [refusal(336502)]
    with pytest.raises(RateLimitError):
        ask(make_client(), retries=1)


# --- silence


def test_silence_in_a_stream_raises_with_the_text_so_far_and_closes_the_connection(
    raw_server, make_client
):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    with pytest.raises(StreamError, match="silent") as caught:
        ask(make_client(), "stream_chat", timeout=0.2)
    assert caught.value.partial == "he"
    assert raw_server.hung_up.wait(10)


def test_silence_before_or_in_a_whole_answer_is_a_timeout(raw_server, make_client):
    client = make_client()
    half = json_answer({}, headers={"Content-Length": "99"}, end="silent")
    for answer in [Answer(status=0, end="silent"), half]:
        raw_server.script += [answer]
        with pytest.raises(TransportError, match="in time"):
            ask(client, timeout=0.1, retries=1)


def test_timeout_of_zero_waits_for_the_server(raw_server, make_client):
    gate = threading.Event()
    raw_server.script += [stream_answer(FIRST, gate, LAST)]
    chunks = make_client(retry_timeout=0.0).stream_chat(HELLO)
    next(chunks)
    gate.set()
    assert next(chunks).text == "llo"


@pytest.fixture
def unreachable_url():
    """The address of a port that accepts no connection because its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(0)
            caller.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}"
        for caller in callers:
            caller.close()


def test_connecting_times_out_even_where_silence_does_not(
    make_client, monkeypatch, unreachable_url
):
    monkeypatch.setattr("qianfan_magic.api.http.session.CONNECT_TIMEOUT", 0.1)
    with pytest.raises(TransportError) as caught:
        ask(make_client(base_url=unreachable_url), timeout=0, retries=1)
    assert "connect timeout=0.1" in str(caught.value.__cause__)


def test_timeout_of_connecting_does_not_apply_to_silence(raw_server, make_client, monkeypatch):
    monkeypatch.setattr("qianfan_magic.api.http.session.CONNECT_TIMEOUT", 0.05)

    def answer(_seen) -> Answer:
        threading.Event().wait(0.2)  # longer than connecting may take
        return OK

    raw_server.script += [answer]
    assert ask(make_client(), retries=1) == "hello"


# --- streams


def test_chunk_is_yielded_as_soon_as_it_arrives(raw_server, make_client):
    for framing in ("chunked", "close", "length"):
        taken = threading.Event()
        raw_server.script += [stream_answer(FIRST, taken, LAST, framing=framing)]
        chunks = make_client().stream_chat(HELLO)
        first = next(chunks)  # the server sends no more before this is there
        taken.set()
        (second,) = chunks
        assert (first.text, second.text) == ("he", "llo"), framing
        assert not first.is_end, framing
        assert second.is_end, framing


def test_event_that_arrives_in_two_pieces_is_one(raw_server, make_client):
    first = b'data: {"result": "he"}\n\ndata: {"result": "llo", "is_end": true, "more":\n'
    raw_server.script += [stream_answer(first, b"data: {}}\n\n")]
    assert ask(make_client(), "stream_chat") == "hello"


def test_stream_without_its_end_is_a_stream_error(raw_server, make_client):
    cut = stream_answer(FIRST, framing="length", headers={"Content-Length": 999})
    for answer, text in [(stream_answer(FIRST), "he"), (cut, "he"), (stream_answer(), "")]:
        raw_server.script += [answer] * 3  # an empty one is retried
        with pytest.raises(StreamError) as caught:
            ask(make_client(), "stream_chat")
        assert caught.value.partial == text, answer
        raw_server.script.clear()


def test_error_in_the_middle_of_a_stream_is_raised_with_the_text_so_far(raw_server, make_client):
    error = {"error_code": 336501, "error_msg": "too many"}
    bare = json.dumps(error).encode()
    lost: dict = {"framing": "length", "headers": {"Content-Length": 999}}
    cases = [(error, {}), (bare, {}), (bare + b"\n", {}), (bare + b"\n\n", {}), (bare, lost)]
    for piece, rest in cases:
        raw_server.script += [stream_answer(FIRST, piece, **rest)]
        with pytest.raises(APIError, match="too many") as caught:
            ask(make_client(), "stream_chat")
        assert caught.value.partial == "he", (piece, rest)


def test_leaving_a_stream_closes_its_connection(raw_server, make_client):
    for framing in ("chunked", "close"):
        raw_server.hung_up.clear()
        raw_server.script += [stream_answer(FIRST, framing=framing, end="silent")]
        chunks = make_client().stream_chat(HELLO)
        next(chunks)
        chunks.close()
        assert raw_server.hung_up.wait(10), framing
    raw_server.hung_up.clear()
    raw_server.script += [stream_answer(FIRST, end="silent")]
    for _ in make_client().stream_chat(HELLO):
        break
    assert raw_server.hung_up.wait(10)


def test_interrupt_closes_the_connection_and_shows_no_variables(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    chunks = make_client().stream_chat(HELLO)
    next(chunks)
    with pytest.raises(KeyboardInterrupt) as caught:  # as a notebook keeps the last error
        chunks.throw(KeyboardInterrupt)
    assert raw_server.hung_up.wait(5), caught
    interrupt: Any = caught.value
    shown = interrupt._render_traceback_()
    assert shown == ["Stopped. What had arrived is kept."]


def test_stream_that_is_not_read_sends_nothing(raw_server, make_client):
    make_client().stream_chat(HELLO).close()
    assert raw_server.requests == []


def test_reference_to_an_error_does_not_keep_the_connection_open(raw_server, make_client):
    raw_server.script += [stream_answer({"no": "result"}, end="silent")]
    with pytest.raises(StreamError) as caught:
        ask(make_client(), "stream_chat")
    assert raw_server.hung_up.wait(5), caught


def test_answer_may_be_whole_or_a_stream_whatever_was_requested(raw_server, make_client):
    for way, answer in (("stream_chat", OK), ("chat", STREAM)):
        raw_server.script += [answer]
        assert ask(make_client(), way) == "hello", way


# --- proxies


@pytest.fixture
def proxy():
    with RawServer() as server:
        server.script += [OK]
        yield server


def test_proxy_of_the_environment_is_used(proxy, monkeypatch):
    for variable in ("HTTP_PROXY", "QIANFAN_PROXY"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, proxy.url)
            with QianfanClient(access_token="24.t", base_url="http://qianfan.invalid") as client:
                client.chat(HELLO, endpoint="ep")
        target = proxy.requests[-1].target
        assert target.startswith("http://qianfan.invalid/rpc/"), variable
        proxy.script += [OK]
    assert len(proxy.requests) == 2


def test_token_is_fetched_through_the_proxy(make_client, proxy):
    client = make_client(base_url="http://qianfan.invalid", proxy=proxy.url, ak="a" * 9, sk="b" * 9)
    ask(client)
    assert proxy.token_requests[0].target.startswith("http://qianfan.invalid/oauth/")


def test_proxy_of_the_settings_overrides_the_environment(make_client, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ask(make_client(base_url="http://qianfan.invalid", proxy=proxy.url))
    assert len(proxy.requests) == 1


def test_proxy_of_the_environment_can_be_disabled(raw_server, make_client, proxy, monkeypatch):
    for variables, settings in (
        ({"HTTP_PROXY": proxy.url}, {"proxy": ""}),
        ({"ALL_PROXY": proxy.url}, {"proxy": ""}),
        ({"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"}, {}),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            raw_server.script += [OK]
            ask(make_client(**settings))
        assert proxy.requests == [], variables


def test_unusable_proxy_is_named(make_client):
    client = make_client(base_url="http://qianfan.invalid", proxy="http://127.0.0.1:1")
    with pytest.raises(TransportError, match="proxy"):
        ask(client)
    for proxy in ["foo bar", "ftp://a", "socks5://127.0.0.1:9", "http://"]:
        with pytest.raises(TransportError) as caught:
            make_client(proxy=proxy).chat(HELLO)
        assert "QIANFAN_PROXY" in caught.value.hint, proxy


# --- many


def test_map_yields_replies_in_order(raw_server, make_client):
    second_is_sent = threading.Event()

    def answer(seen) -> Answer:
        prompt = json.loads(seen.body)["prompt"]
        if prompt == "1":
            second_is_sent.wait(10)
        else:
            second_is_sent.set()
        return json_answer({"result": prompt})

    raw_server.script += [answer] * 3
    assert [reply.text for reply in make_client().map(["1", "2", "3"])] == ["1", "2", "3"]


def test_prompts_of_map_may_have_no_end_and_wait_for_the_limits():
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        server.quota = 1_200  # 20 a second, and 20 at once
        prompts = (f"# {number}" for number in itertools.count())
        replies = list(itertools.islice(client.map(prompts, workers=4), 40))
        assert [type(reply) for reply in replies] == [Reply] * 40
        assert len(server.seen) <= 40 + 4 * AHEAD


def test_refusal_lets_all_threads_wait():
    refusal = Fault(
        status=429, error_code="rpm_rate_limit_exceeded", headers={"Retry-After": "1"}, path="/v2/"
    )
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        server.fail(refusal)
        answered: list[float] = []
        engine = server.engine

        def note(request: Any) -> str:
            answered.append(time.monotonic())
            return engine(request)

        server.engine, begun = note, time.monotonic()
        replies = list(client.map([f"# {n}" for n in range(8)], workers=2))
        assert [type(reply) for reply in replies] == [Reply] * 8
        # No thread sends one in the second, after which all go on.
        assert max(later - at for at, later in itertools.pairwise([begun, *answered])) > 0.9


def test_executor_sends_the_requests_with_one_token():
    context = multiprocessing.get_context("spawn")
    with EmbeddedServer() as server, ProcessPoolExecutor(2, context) as pool:
        keys = server.authenticator.keys
        settings = replace(server.settings(), credentials=Credentials(ak=keys.ak, sk=keys.sk))
        with QianfanClient(settings) as client:
            prompts = [f"# {n}" for n in range(6)]
            replies = list(client.map(prompts, executor=pool, endpoint="starcoder"))
            server.fail(Fault(error_code=111, error_msg="Access token expired"))
            replies += client.map(["# again"], executor=pool, endpoint="starcoder")
        assert [type(reply) for reply in replies] == [Reply] * 7
        assert sum("/oauth/" in seen.path for seen in server.seen) == 2


def test_failure_of_the_executor_is_an_error_in_its_place():
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    pool.shutdown()
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        replies = list(client.map(["# 1", "# 2"], executor=pool, endpoint="starcoder"))
    assert [type(reply) for reply in replies] == [TransportError] * 2
    assert "RuntimeError: cannot schedule new futures" in str(replies[0])


def test_amap_yields_what_map_does():
    async def ask(client: QianfanClient) -> list[str]:
        return [reply.text async for reply in client.amap(["# 1", "# 2"], workers=2)]

    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        with ThreadPoolExecutor(1) as thread:  # another test may have left a loop running here
            texts = thread.submit(lambda: asyncio.run(ask(client))).result()
        assert texts == [reply.text for reply in client.map(["# 1", "# 2"])]


def test_map_refuses_what_makes_no_sense(make_client):
    for prompts, options, words in (
        ("one text", {}, "prompts is a str"),
        (["hi"], {"workers": 0}, "workers is 0"),
    ):
        with pytest.raises(ParameterError, match=words):
            list(make_client().map(prompts, **options))


def test_map_yields_an_error_in_its_place(raw_server, make_client):
    def answer(seen) -> Answer:
        prompt = json.loads(seen.body)["prompt"]
        return refusal(336003) if prompt == "2" else json_answer({"result": prompt})

    raw_server.script += [answer] * 3
    one, two, invalid, three = make_client().map(["1", "2", "", "3"])
    assert (one.text, three.text) == ("1", "3")
    assert type(two) is APIError
    assert type(invalid) is ParameterError
    assert len(raw_server.requests) == 3


def test_map_completes_texts_and_chats_messages(raw_server, make_client):
    raw_server.script += [OK, OK]
    list(make_client().map(["hi", HELLO]))
    assert {seen.path.split("/")[-2] for seen in raw_server.requests} == {"chat", "completions"}


def test_map_of_nothing_is_empty(make_client):
    assert list(make_client().map([])) == []


def test_missing_end_of_a_complete_stream_is_not_waited_for(raw_server, make_client):
    end = b'data: {"result": "llo", "is_end": true}\n\n'
    raw_server.script += [stream_answer(FIRST, end, end="silent")]
    assert ask(make_client(), "stream_chat", timeout=0) == "hello"
    assert raw_server.hung_up.wait(10)


def test_forked_processes_do_not_share_a_connection():
    fork = multiprocessing.get_context("fork")
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        client.complete("warm")  # opens a connection that all of them inherit
        answers = fork.Queue()

        def ask_of_length(length: int) -> None:
            answers.put((length, client.complete("x" * length).text))

        processes = [fork.Process(target=ask_of_length, args=(n,)) for n in range(1, 9)]
        for process in processes:
            process.start()
        received = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
    assert [n for n, text in received if f"received {n} characters" not in text] == []


def test_decompression_bomb_is_not_read(raw_server, make_client):
    packed = gzip.compress(b'{"result": "' + b"a" * 40_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    raw_server.script += [Answer(headers=headers, pieces=[packed])] * 3
    with pytest.raises(TransportError, match="larger than 33,554,432 bytes"):
        make_client(retry_count=1).chat(HELLO, endpoint="ep")


def test_base_url_applies_to_version_2_too():
    for end in ("", "/v2"):
        client = QianfanClient(bearer_token="made-up", base_url=f"https://gateway.example{end}")
        request = client.prepare("chat", HELLO, {"model": "ernie-5.1"})
        assert request.url == "https://gateway.example/v2/chat/completions", end


def test_key_for_another_computer_without_tls_is_a_warning_once_for_each_address():
    keys = {"v2": Credentials(bearer_token="bce-v3/x"), "v1": Credentials(ak="a", sk="b")}
    for name, url, count in (
        ("v2", "http://gateway.example/v1", 1),
        ("v2", "http://gateway.example/v1", 0),  # it has been said
        ("v2", "https://other.example/v1", 0),
        ("v2", "http://127.0.0.1:8000/v1", 0),
        ("v1", "http://old.example", 1),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            QianfanClient(Settings(credentials=keys[name], base_url=url, console_api_base_url=url))
        assert [url in str(warning.message) for warning in caught] == [True] * count, url


def test_error_of_a_model_that_has_ended_names_the_day_and_the_successor():
    today = datetime.now(UTC).date()
    for days, is_named in ((-1, True), (0, True), (2, False)):
        ends = today + timedelta(days=days)
        card = Card(
            name="old", kinds=("chat",), version=ApiVersion.V2, ends=ends, successor="ernie-5.1"
        )
        with EmbeddedServer() as server:
            client = QianfanClient(server.settings(), catalogue=Catalogue([card]))
            with client, pytest.raises(APIError) as caught:
                client.chat([{"role": "user", "content": "hi"}], model="old")
        named = f"no longer offers old since {ends}: use ernie-5.1" in caught.value.hint
        assert named == is_named, days

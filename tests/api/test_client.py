"""The client against a real server: requests, retries, streams, proxies."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from support.raw_server import Answer, RawServer, json_answer, stream_answer

from qianfan_magic import (
    APIError,
    ParameterError,
    QianfanClient,
    QianfanError,
    RateLimitError,
    SettingsError,
    StreamError,
    TokenExpiredError,
    TransportError,
)
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.embedded.server import EmbeddedServer

HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"})
FIRST = {"result": "he", "is_end": False}
LAST = {"result": "llo", "is_end": True}
STREAM = stream_answer(FIRST, LAST)
RESET = Answer(status=0, end="reset")
#: The codes by what the API's documents say to do about them.
PASSING = [1, 2, 4, 15, 18, 336000, 336100, 336501, 336502]
LASTING = [3, 6, 13, 14, 17, 19, 336001, 336002, 336003, 336004, 336005, 336006, 336007, 336101]
LASTING += [336103, 999999]


def refusal(code: int, **rest) -> Answer:
    return json_answer({"error_code": code, "error_msg": "scripted"}, **rest)


def bodies(server: RawServer) -> list[dict]:
    return [json.loads(seen.body) for seen in server.requests]


def ask(client: QianfanClient, kind: str = "chat", **options) -> str:
    """Ask in one of the four ways; return the text."""
    asked = HELLO if kind.endswith("chat") else "hi"
    answer = getattr(client, kind)(asked, **options)
    return "".join(c.text for c in answer) if kind.startswith("stream") else answer.text


WAYS = {"chat": OK, "complete": OK, "stream_chat": STREAM, "stream_complete": STREAM}
BOTH = pytest.mark.parametrize("way", ["chat", "stream_chat"])

# --- what goes out, what comes back


@pytest.mark.parametrize("way", WAYS)
def test_answer_is_the_text(raw_server, make_client, way):
    raw_server.script += [WAYS[way]]
    assert ask(make_client(), way) == "hello"


@pytest.mark.parametrize("way", WAYS)
def test_request_is_a_post_of_json(raw_server, make_client, way):
    raw_server.script += [WAYS[way]]
    ask(make_client(), way)
    seen = raw_server.requests[0]
    assert seen.method == "POST"
    assert seen.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("way", "path"),
    [
        ("chat", "/chat/chat_ep"),
        ("stream_chat", "/chat/chat_ep"),
        ("complete", "/completions/complete_ep"),
        ("stream_complete", "/completions/complete_ep"),
    ],
)
def test_path_is_the_services(raw_server, make_client, way, path):
    raw_server.script += [WAYS[way]]
    ask(make_client(), way)
    assert raw_server.requests[0].path == "/rpc/2.0/ai_custom/v1/wenxinworkshop" + path


def test_endpoint_of_a_call_wins_over_the_settings(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(), endpoint="other_ep")
    assert raw_server.requests[0].path.endswith("/chat/other_ep")


def test_model_with_a_preset_address_needs_no_endpoint(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(), model="ERNIE-Speed")
    assert raw_server.requests[0].path.endswith("/chat/ernie_speed")


@pytest.mark.parametrize(
    ("way", "body"),
    [
        ("chat", {"messages": HELLO}),
        ("stream_chat", {"messages": HELLO, "stream": True}),
        ("complete", {"prompt": "hi"}),
        ("stream_complete", {"prompt": "hi", "stream": True}),
    ],
)
def test_body_holds_no_more_than_was_asked(raw_server, make_client, way, body):
    raw_server.script += [WAYS[way]]
    ask(make_client(), way)
    assert bodies(raw_server) == [body]


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


@pytest.mark.parametrize(("name", "value"), (COMMON | OF_CHAT).items())
@BOTH
def test_parameter_of_a_chat_reaches_the_body(raw_server, make_client, way, name, value):
    raw_server.script += [WAYS[way]]
    ask(make_client(), way, **{name: value})
    assert bodies(raw_server)[0][name] == value


@pytest.mark.parametrize(("name", "value"), COMMON.items())
@pytest.mark.parametrize("way", ["complete", "stream_complete"])
def test_parameter_of_a_completion_reaches_the_body(raw_server, make_client, way, name, value):
    raw_server.script += [WAYS[way]]
    ask(make_client(), way, **{name: value})
    assert bodies(raw_server)[0][name] == value


def test_max_tokens_has_the_wires_name(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(), max_tokens=5)
    assert bodies(raw_server) == [{"messages": HELLO, "max_output_tokens": 5}]


@pytest.mark.parametrize("name", [*COMMON, *OF_CHAT, "endpoint", "model", "timeout", "retries"])
def test_option_that_is_none_is_left_to_the_settings(raw_server, make_client, name):
    raw_server.script += [OK]
    ask(make_client(), **{name: None})
    assert bodies(raw_server) == [{"messages": HELLO}]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"top_k": 0},
        {"stop": ["a"] * 5},
        {"nonsense": 1},
        {"endpoint": "a/b"},
        {"timeout": -1},
        {"retries": 0},
    ],
)
def test_wrong_option_is_refused_before_anything_is_sent(raw_server, make_client, way, options):
    with pytest.raises(ParameterError):
        ask(make_client(), way, **options)
    assert raw_server.requests == []


@pytest.mark.parametrize("messages", [[], HELLO * 2, [{"role": "assistant", "content": "hi"}]])
def test_messages_out_of_order_are_refused_before_anything_is_sent(
    raw_server, make_client, messages
):
    with pytest.raises(ParameterError):
        make_client().chat(messages)
    assert raw_server.requests == []


def test_text_longer_than_the_card_allows_is_not_sent(raw_server, make_client):
    with pytest.raises(ParameterError):
        make_client().chat([{"role": "user", "content": "x" * 4801}], endpoint="my_dolly_12b")
    assert raw_server.requests == []


def test_wrong_option_of_a_stream_is_refused_at_the_call(make_client):
    with pytest.raises(ParameterError):
        make_client().stream_chat(HELLO, temperature=2)


def test_missing_credentials_are_refused_before_anything_is_sent(raw_server):
    client = QianfanClient(Settings(base_url=raw_server.url))
    with pytest.raises(SettingsError):
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests == []


def test_settings_come_from_the_environment(raw_server, monkeypatch):
    raw_server.script += [OK]
    monkeypatch.setenv("QIANFAN_BASE_URL", raw_server.url)
    monkeypatch.setenv("QIANFAN_ACCESS_TOKEN", "24.environment")
    with QianfanClient() as client:
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests[0].query == {"access_token": "24.environment"}


def test_arguments_win_over_the_environment(raw_server, monkeypatch):
    raw_server.script += [OK]
    monkeypatch.setenv("QIANFAN_BASE_URL", "http://qianfan.invalid")
    monkeypatch.setenv("QIANFAN_ACCESS_TOKEN", "24.environment")
    with QianfanClient(access_token="24.argument", base_url=raw_server.url) as client:
        client.chat(HELLO, endpoint="ep")
    assert raw_server.requests[0].query == {"access_token": "24.argument"}


def test_whole_answer_leaves_its_connection_for_the_next(raw_server, make_client):
    kept = json_answer({"result": "hello"}, end="keep")
    raw_server.script += [kept, kept]
    client = make_client()
    ask(client)
    ask(client)
    assert len(raw_server.connections) == 1


# --- retries


@pytest.mark.parametrize("code", PASSING)
@BOTH
def test_passing_error_is_retried(raw_server, make_client, way, code):
    raw_server.script += [refusal(code), WAYS[way]]
    assert ask(make_client(), way) == "hello"


@pytest.mark.parametrize("code", PASSING)
def test_passing_error_in_the_place_of_a_stream_is_retried(raw_server, make_client, code):
    error = json.dumps({"error_code": code, "error_msg": "scripted"}).encode()
    raw_server.script += [stream_answer(error), STREAM]
    assert ask(make_client(), "stream_chat") == "hello"


@pytest.mark.parametrize("code", LASTING)
@BOTH
def test_lasting_error_is_not_retried(raw_server, make_client, way, code):
    raw_server.script += [refusal(code), WAYS[way]]
    with pytest.raises(APIError) as caught:
        ask(make_client(), way)
    assert caught.value.error_code == code
    assert len(raw_server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@BOTH
def test_passing_status_is_retried(raw_server, make_client, way, status):
    raw_server.script += [Answer(status=status), WAYS[way]]
    assert ask(make_client(), way) == "hello"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", [{}, {"error": "busy"}, {"error": {"message": "busy"}}])
def test_passing_status_with_a_gateways_json_is_retried(raw_server, make_client, status, body):
    raw_server.script += [json_answer(body, status=status), OK]
    assert ask(make_client()) == "hello"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
@BOTH
def test_lasting_status_is_not_retried(raw_server, make_client, way, status):
    raw_server.script += [Answer(status=status), WAYS[way]]
    with pytest.raises(TransportError):
        ask(make_client(), way)
    assert len(raw_server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_lasting_status_with_a_gateways_json_is_no_broken_stream(raw_server, make_client, status):
    raw_server.script += [json_answer({"error": "no"}, status=status)]
    with pytest.raises(QianfanError) as caught:
        ask(make_client())
    assert not isinstance(caught.value, StreamError)


@BOTH
def test_reset_connection_is_retried(raw_server, make_client, way):
    raw_server.script += [RESET, WAYS[way]]
    assert ask(make_client(), way) == "hello"


def test_connection_closed_without_an_answer_is_retried(raw_server, make_client):
    raw_server.script += [Answer(status=0), OK]
    assert ask(make_client()) == "hello"


def test_silence_before_the_answer_is_retried(raw_server, make_client):
    raw_server.script += [Answer(status=0, end="silent"), OK]
    assert ask(make_client(), timeout=0.1) == "hello"


def test_stream_that_breaks_before_its_first_chunk_is_retried(raw_server, make_client):
    raw_server.script += [stream_answer(end="reset"), STREAM]
    assert ask(make_client(), "stream_chat") == "hello"


def test_attempts_are_no_more_than_the_settings_say(raw_server, make_client):
    raw_server.script += [refusal(2)] * 9
    with pytest.raises(APIError):
        ask(make_client(retry_count=4))
    assert len(raw_server.requests) == 4


def test_retries_of_a_call_win_over_the_settings(raw_server, make_client):
    raw_server.script += [refusal(2)] * 9
    with pytest.raises(APIError):
        ask(make_client(retry_count=4), retries=2)
    assert len(raw_server.requests) == 2


def test_last_error_is_the_one_that_is_raised(raw_server, make_client):
    raw_server.script += [Answer(status=500), RESET, refusal(336100)]
    with pytest.raises(APIError, match="336100"):
        ask(make_client(retry_count=3))


def test_same_body_goes_out_again(raw_server, make_client):
    raw_server.script += [refusal(2), OK]
    ask(make_client(), temperature=0.5)
    assert bodies(raw_server)[0] == bodies(raw_server)[1]


@pytest.mark.parametrize("end", ["close", "reset"])
def test_nothing_is_retried_once_a_chunk_has_arrived(raw_server, make_client, end):
    taken = threading.Event()
    raw_server.script += [stream_answer(FIRST, taken, end=end), STREAM]
    chunks = make_client().stream_chat(HELLO)
    next(chunks)
    taken.set()
    with pytest.raises(StreamError):
        next(chunks)
    assert len(raw_server.requests) == 1


def test_passing_error_in_the_middle_is_not_retried(raw_server, make_client):
    error = json.dumps({"error_code": 336100, "error_msg": "scripted"}).encode()
    raw_server.script += [stream_answer(FIRST, error), STREAM]
    with pytest.raises(APIError):
        ask(make_client(), "stream_chat")
    assert len(raw_server.requests) == 1


# --- how long it waits


@pytest.fixture
def waits(monkeypatch):
    """Record the waits between attempts in the place of waiting."""
    seconds = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=seconds.append))
    return seconds


def test_waits_double(raw_server, make_client, waits):
    raw_server.script += [refusal(2)] * 3 + [OK]
    ask(make_client(retry_count=4, backoff_factor=0.5))
    assert waits == [0.5, 1, 2]


def test_waits_are_no_longer_than_the_settings_allow(raw_server, make_client, waits):
    raw_server.script += [refusal(2)] * 3 + [OK]
    ask(make_client(retry_count=4, backoff_factor=5.0, retry_max_wait=7.0))
    assert waits == [5, 7, 7]


BUSY = [
    lambda headers: refusal(336501, headers=headers),
    lambda headers: refusal(336501, headers=headers, status=429),
    lambda headers: Answer(status=503, headers=headers),
]


@pytest.mark.parametrize("busy", BUSY)
def test_wait_is_the_seconds_that_the_server_asks_for(raw_server, make_client, waits, busy):
    raw_server.script += [busy({"Retry-After": "7"}), OK]
    ask(make_client())
    assert waits == [7]


@pytest.mark.parametrize("busy", BUSY)
def test_wait_lasts_until_the_date_that_the_server_names(raw_server, make_client, waits, busy):
    until = datetime.now(UTC) + timedelta(hours=1)
    raw_server.script += [busy({"Retry-After": format_datetime(until, usegmt=True)}), OK]
    ask(make_client(retry_max_wait=3600.0))
    assert 3000 < waits[0] <= 3600


@pytest.mark.parametrize("sent", ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5", "", "1e9"])
def test_retry_after_that_says_nothing_is_passed_over(raw_server, make_client, waits, sent):
    raw_server.script += [Answer(status=503, headers={"Retry-After": sent}), OK]
    ask(make_client())
    assert waits == [0]


@pytest.mark.parametrize("busy", BUSY)
def test_server_that_asks_for_too_much_patience_is_not_asked_again(raw_server, make_client, busy):
    raw_server.script += [busy({"Retry-After": "61"}), OK]
    with pytest.raises(QianfanError):
        ask(make_client(retry_max_wait=60.0))
    assert len(raw_server.requests) == 1


def test_error_tells_how_long_the_server_asks_to_wait(raw_server, make_client):
    raw_server.script += [refusal(336502, headers={"Retry-After": "61"})]
    with pytest.raises(RateLimitError) as caught:
        ask(make_client(retry_max_wait=60.0))
    assert caught.value.retry_after == 61


# --- silence


def test_silence_in_a_stream_is_a_stream_error_with_what_arrived(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    with pytest.raises(StreamError, match="silent") as caught:
        ask(make_client(), "stream_chat", timeout=1)
    assert caught.value.partial == "he"


def test_silence_closes_the_connection(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    with pytest.raises(StreamError):
        ask(make_client(), "stream_chat", timeout=1)
    assert raw_server.hung_up.wait(10)


def test_silence_before_an_answer_says_that_it_was_too_slow(raw_server, make_client):
    raw_server.script += [Answer(status=0, end="silent")]
    with pytest.raises(TransportError, match="in time"):
        ask(make_client(), timeout=0.1, retries=1)


def test_silence_in_a_whole_answer_says_that_it_was_too_slow(raw_server, make_client):
    raw_server.script += [json_answer({}, headers={"Content-Length": "99"}, end="silent")]
    with pytest.raises(TransportError, match="in time"):
        ask(make_client(), timeout=0.1, retries=1)


def test_timeout_of_zero_waits_for_the_server(raw_server, make_client):
    gate = threading.Event()
    raw_server.script += [stream_answer(FIRST, gate, LAST)]
    chunks = make_client(retry_timeout=0.0).stream_chat(HELLO)
    next(chunks)
    gate.set()
    assert next(chunks).text == "llo"


@pytest.fixture
def deaf_url():
    """Name a port whose queue of connections is full, so that the next finds no ear."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(0)
            caller.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}"
        for caller in callers:
            caller.close()


def test_time_to_connect_is_bounded_even_without_a_bound_on_silence(
    make_client, monkeypatch, deaf_url
):
    monkeypatch.setattr("qianfan_magic.api.http.session.CONNECT_TIMEOUT", 0.1)
    with pytest.raises(TransportError) as caught:
        ask(make_client(base_url=deaf_url), timeout=0, retries=1)
    assert "connect timeout=0.1" in str(caught.value.__cause__)


def test_bound_on_connecting_is_no_bound_on_silence(raw_server, make_client, monkeypatch):
    monkeypatch.setattr("qianfan_magic.api.http.session.CONNECT_TIMEOUT", 0.05)

    def answer(_seen) -> Answer:
        threading.Event().wait(0.2)  # longer than connecting may take
        return OK

    raw_server.script += [answer]
    assert ask(make_client(), retries=1) == "hello"


# --- streams


def test_chunks_are_the_events(raw_server, make_client):
    raw_server.script += [STREAM]
    chunks = list(make_client().stream_chat(HELLO))
    assert [(c.text, c.is_end) for c in chunks] == [("he", False), ("llo", True)]


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_text_is_handed_on_as_soon_as_it_is_there(raw_server, make_client, framing):
    taken = threading.Event()
    raw_server.script += [stream_answer(FIRST, taken, LAST, framing=framing)]
    chunks = make_client().stream_chat(HELLO)
    first = next(chunks).text  # the server sends no more before this is there
    taken.set()
    assert first == "he"
    assert next(chunks).text == "llo"


def test_event_whose_lines_come_in_different_pieces_is_one(raw_server, make_client):
    first = b'data: {"result": "he"}\n\ndata: {"result": "llo", "is_end": true, "more":\n'
    raw_server.script += [stream_answer(first, b"data: {}}\n\n")]
    assert ask(make_client(), "stream_chat") == "hello"


def test_stream_ends_with_its_last_chunk_though_the_server_stays(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, LAST, end="silent")]
    assert ask(make_client(), "stream_chat") == "hello"


def test_stream_without_its_last_chunk_is_a_stream_error(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST)]
    with pytest.raises(StreamError) as caught:
        ask(make_client(), "stream_chat")
    assert caught.value.partial == "he"


def test_stream_that_is_cut_is_a_stream_error(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, framing="length", headers={"Content-Length": 999})]
    with pytest.raises(StreamError) as caught:
        ask(make_client(), "stream_chat")
    assert caught.value.partial == "he"


def test_empty_stream_is_a_stream_error(raw_server, make_client):
    raw_server.script += [stream_answer()]
    with pytest.raises(StreamError):
        ask(make_client(), "stream_chat")


@pytest.mark.parametrize("newline", [b"", b"\n", b"\n\n"])
def test_bare_error_in_the_middle_is_an_api_error_with_what_arrived(
    raw_server, make_client, newline
):
    error = json.dumps({"error_code": 336501, "error_msg": "too many"}).encode()
    raw_server.script += [stream_answer(FIRST, error + newline)]
    with pytest.raises(APIError, match="too many") as caught:
        ask(make_client(), "stream_chat")
    assert caught.value.partial == "he"


def test_error_event_in_the_middle_is_an_api_error(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, {"error_code": 336501, "error_msg": "too many"})]
    with pytest.raises(APIError, match="too many"):
        ask(make_client(), "stream_chat")


def test_error_before_the_connection_is_lost_is_the_one_that_is_raised(raw_server, make_client):
    error = json.dumps({"error_code": 336501, "error_msg": "too many"}).encode()
    cut = stream_answer(FIRST, error, framing="length", headers={"Content-Length": 999})
    raw_server.script += [cut]
    with pytest.raises(APIError, match="too many"):
        ask(make_client(), "stream_chat")


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_closing_the_iterator_closes_the_connection(raw_server, make_client, framing):
    raw_server.script += [stream_answer(FIRST, framing=framing, end="silent")]
    chunks = make_client().stream_chat(HELLO)
    next(chunks)
    chunks.close()
    assert raw_server.hung_up.wait(10)


def test_leaving_the_loop_closes_the_connection(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    for _ in make_client().stream_chat(HELLO):
        break
    assert raw_server.hung_up.wait(10)


def test_interrupt_closes_the_connection(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    chunks = make_client().stream_chat(HELLO)
    next(chunks)
    with pytest.raises(KeyboardInterrupt) as kept:  # as a notebook keeps the last error
        chunks.throw(KeyboardInterrupt)
    assert raw_server.hung_up.wait(5), kept


def test_stream_that_is_not_read_sends_nothing(raw_server, make_client):
    make_client().stream_chat(HELLO).close()
    assert raw_server.requests == []


def test_error_that_is_kept_does_not_keep_the_connection(raw_server, make_client):
    raw_server.script += [stream_answer({"no": "result"}, end="silent")]
    with pytest.raises(StreamError) as kept:
        ask(make_client(), "stream_chat")
    assert raw_server.hung_up.wait(5), kept


def test_whole_answer_to_a_question_for_a_stream_is_taken(raw_server, make_client):
    raw_server.script += [OK]
    assert ask(make_client(), "stream_chat") == "hello"


def test_stream_in_answer_to_a_question_for_a_whole_is_read_to_its_end(raw_server, make_client):
    raw_server.script += [STREAM]
    assert ask(make_client()) == "hello"


# --- proxies


@pytest.fixture
def proxy():
    with RawServer() as server:
        server.script += [OK]
        yield server


def test_proxy_of_the_environment_is_used(make_client, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask(make_client(base_url="http://qianfan.invalid"))
    assert proxy.requests[0].target.startswith("http://qianfan.invalid/rpc/")


def test_proxy_of_the_settings_is_used(make_client, proxy):
    ask(make_client(base_url="http://qianfan.invalid", proxy=proxy.url))
    assert proxy.requests[0].target.startswith("http://qianfan.invalid/rpc/")


def test_proxy_of_qianfans_variable_is_used(proxy, monkeypatch):
    monkeypatch.setenv("QIANFAN_PROXY", proxy.url)
    with QianfanClient(access_token="24.token", base_url="http://qianfan.invalid") as client:
        client.chat(HELLO, endpoint="ep")
    assert proxy.requests[0].target.startswith("http://qianfan.invalid/rpc/")


def test_token_is_fetched_through_the_proxy(make_client, proxy):
    client = make_client(base_url="http://qianfan.invalid", proxy=proxy.url, ak="a" * 9, sk="b" * 9)
    ask(client)
    assert proxy.token_requests[0].target.startswith("http://qianfan.invalid/oauth/")


def test_proxy_of_the_settings_wins_over_the_environment(make_client, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    ask(make_client(base_url="http://qianfan.invalid", proxy=proxy.url))
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_empty_proxy_goes_past_the_environments(
    raw_server, make_client, proxy, monkeypatch, variable
):
    monkeypatch.setenv(variable, proxy.url)
    raw_server.script += [OK]
    ask(make_client(proxy=""))
    assert proxy.requests == []


def test_host_of_no_proxy_is_asked_directly(raw_server, make_client, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    raw_server.script += [OK]
    ask(make_client())
    assert proxy.requests == []


def test_proxy_out_of_reach_is_named(make_client):
    client = make_client(base_url="http://qianfan.invalid", proxy="http://127.0.0.1:1")
    with pytest.raises(TransportError, match="proxy"):
        ask(client)


# --- many


def test_map_gives_replies_in_order(raw_server, make_client):
    later_is_asked = threading.Event()

    def answer(seen) -> Answer:
        prompt = json.loads(seen.body)["prompt"]
        if prompt == "1":
            later_is_asked.wait(10)
        else:
            later_is_asked.set()
        return json_answer({"result": prompt})

    raw_server.script += [answer] * 3
    assert [reply.text for reply in make_client().map(["1", "2", "3"])] == ["1", "2", "3"]


def test_map_gives_an_error_in_its_place(raw_server, make_client):
    def answer(seen) -> Answer:
        prompt = json.loads(seen.body)["prompt"]
        return refusal(336003) if prompt == "2" else json_answer({"result": prompt})

    raw_server.script += [answer] * 3
    one, two, three = make_client().map(["1", "2", "3"])
    assert one.text == "1"
    assert type(two) is APIError
    assert three.text == "3"


def test_map_refuses_one_without_sending_it(raw_server, make_client):
    raw_server.script += [OK]
    wrong, _right = make_client().map(["", "hi"])
    assert type(wrong) is ParameterError
    assert len(raw_server.requests) == 1


def test_map_completes_texts_and_chats_messages(raw_server, make_client):
    raw_server.script += [OK, OK]
    list(make_client().map(["hi", HELLO]))
    assert {seen.path.split("/")[-2] for seen in raw_server.requests} == {"chat", "completions"}


def test_map_of_nothing_is_empty(make_client):
    assert list(make_client().map([])) == []


def connections(client: QianfanClient) -> int:
    """Count how many connections a client has opened to its server."""
    address = client.settings.base_url
    pools = client._connection._session.get_adapter(address).poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())  # noqa: SIM118  no dict


def test_streams_use_their_connection_again():
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        for _ in range(5):
            list(client.stream_complete("def is_prime(n):"))
        assert connections(client) == 1


def test_connection_that_stays_open_behind_the_end_is_not_waited_for(raw_server, make_client):
    end = b'data: {"result": "llo", "is_end": true}\n\n'
    raw_server.script += [stream_answer(FIRST, end, end="silent")]
    assert ask(make_client(), "stream_chat", timeout=0) == "hello"
    assert raw_server.hung_up.wait(10)


def test_processes_that_are_forked_do_not_share_a_connection():
    fork = multiprocessing.get_context("fork")
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        client.complete("warm")  # opens a connection that all of them inherit
        answers = fork.Queue()

        def ask_of_length(length: int) -> None:
            answers.put((length, client.complete("x" * length).text))

        processes = [fork.Process(target=ask_of_length, args=(n,)) for n in range(1, 9)]
        for process in processes:
            process.start()
        said = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
    assert [n for n, text in said if f"received {n} characters" not in text] == []


def test_interrupt_of_a_program_shows_no_variables(raw_server, make_client):
    raw_server.script += [stream_answer(FIRST, end="silent")]
    chunks = make_client().stream_chat(HELLO)
    next(chunks)
    with pytest.raises(KeyboardInterrupt) as stopped:
        chunks.throw(KeyboardInterrupt())
    assert stopped.value._render_traceback_() == [f"KeyboardInterrupt: {KEPT}"]


KEPT = "stopped; what had arrived is kept"


@pytest.mark.parametrize("proxy", ["foo bar", "ftp://a", "socks5://127.0.0.1:9", "http://"])
def test_impossible_proxy_is_named(make_client, proxy):
    with pytest.raises(TransportError) as caught:
        make_client(proxy=proxy).chat(HELLO)
    assert "QIANFAN_PROXY" in caught.value.hint


def test_given_token_that_is_refused_says_to_fetch_another(raw_server, make_client):
    raw_server.script += [refusal(110)]
    with pytest.raises(TokenExpiredError) as caught:
        make_client().chat(HELLO)
    assert "QIANFAN_ACCESS_TOKEN" in caught.value.hint


def test_small_file_that_unpacks_to_a_large_answer_is_not_read(raw_server, make_client):
    packed = gzip.compress(b'{"result": "' + b"a" * 40_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    raw_server.script += [Answer(headers=headers, pieces=[packed])] * 3
    with pytest.raises(TransportError, match="larger than 33,554,432 bytes"):
        make_client(retry_count=1).chat(HELLO, endpoint="ep")


@pytest.mark.parametrize("end", ["", "/v2"])
def test_base_url_of_a_program_is_that_of_version_2_too(end):
    client = QianfanClient(bearer_token="made-up", base_url=f"https://gateway.example{end}")
    request = client.prepare("chat", HELLO, {"model": "ernie-5.1"})
    assert request.url == "https://gateway.example/v2/chat/completions"

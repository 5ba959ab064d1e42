"""What is shown of a request is what went over the wire, and what came back is written down."""

from __future__ import annotations

import json
import re
from contextlib import closing

import pytest
import requests
from support.raw_server import Answer, Seen, json_answer, stream_answer

from qianfan_magic import (
    APIError,
    AuthError,
    RateLimitError,
    SettingsError,
    StreamError,
    TokenExpiredError,
    TransportError,
)
from qianfan_magic.api.http.exchange import Request, exchange_to_dict, http_text, masked

BEARER = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"
SIGNING = {"access_key": "ALTAKEXAMPLE0123456789", "secret_key": "SKEXAMPLE0123456789abcdef"}
PAIR = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}
#: Each way to be let in, with the version that takes it.
LET_IN = {
    "given access token": (1, {"access_token": "24.given-0123456789abcdef"}),
    "fetched access token": (1, PAIR),
    "signature": (1, SIGNING),
    "given bearer token": (2, {"bearer_token": BEARER}),
    "fetched bearer token": (2, SIGNING),
    "with an application": (2, {"bearer_token": BEARER, "app_id": "app-7"}),
}
SERVICES = {
    (1, "chat"): {"endpoint": "ep"},
    (1, "completion"): {"endpoint": "我的服务_1"},
    (2, "chat"): {"model": "ernie-5.1"},
    (2, "completion"): {"model": "deepseek-v3.2"},
}
TEXTS = {
    "English": "hi",
    "Chinese": "\u957f\u57ce\u6709\u591a\u957f\uff1f\uff08\u516c\u91cc\uff09",
    "emoji": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a request": "POST /x HTTP/1.1\r\nHost: evil\r\n\r\n{}",
    "JSON": '"}], "messages": [{"role": "user"}]\\',
    "controls": "a\0b\x1b[31m\x7f\t\n\r\n\x85\u2028\u2029\u202e\ufeff",
    "HTML": "</script><b onload='x'>&amp;",
    "percent": "%2e%2e/?access_token=&a=b#c",
    "long": "\u57ce" * 3_000,
}
WAYS = pytest.mark.parametrize("let_in", LET_IN.values(), ids=LET_IN)
KINDS = pytest.mark.parametrize("kind", ["chat", "completion"])


def sent_as(kind, text):
    return [{"role": "user", "content": text}] if kind == "chat" else text


def fine(version, kind):
    if version == 1:
        return json_answer({"result": "hello"})
    piece = {"message": {"content": "hello"}} if kind == "chat" else {"text": "hello"}
    return json_answer({"choices": [piece]})


def text_of(seen: Seen) -> str:
    """Write what came in as `http_text` does: the lines of the head without their returns."""
    head, body = seen.raw[: -len(seen.body) or None], seen.body
    return head.replace(b"\r\n", b"\n").decode("latin-1") + body.decode()


def mask_by_hand(text: str) -> str:
    """Mask the places where credentials stand in a head, and nothing else."""
    head, _, body = text.partition("\n\n")
    head = re.sub(r"(?<=\?access_token=)[^ ]+", "***", head)
    head = re.sub(r"(?<=\nAuthorization: bce-auth-v1/).+", "***", head)
    head = re.sub(r"(?<=\nAuthorization: Bearer ).+", "***", head)
    return f"{head}\n\n{body}"


def without_date(text: str) -> str:
    """Mask the time of a signature, which is not known before it is sent."""
    return re.sub(r"(?<=\nx-bce-date: ).+", "***", text)


def prepared(client, version, kind, text="hi", *, stream=False, **options):
    asked = sent_as(kind, text)
    return client.prepare(kind, asked, SERVICES[version, kind] | options, stream=stream)


def called(client, version, kind, text="hi", *, stream=False, **options):
    return client.start(kind, sent_as(kind, text), SERVICES[version, kind] | options, stream=stream)


def run(call):
    """Let a call come to its end; give the error it ends with, or None."""
    try:
        with closing(call.chunks()) as chunks:
            list(chunks)
    except Exception as error:  # noqa: BLE001  whichever it is, the exchange is looked at
        return error
    return None


# --- what is shown is what is sent


@WAYS
@KINDS
@pytest.mark.parametrize("stream", [False, True])
def test_description_is_what_goes_over_the_wire(raw_server, make_client, let_in, kind, stream):
    version, keys = let_in
    raw_server.script += [fine(version, kind)]
    client = make_client(**keys)
    described = client.describe(prepared(client, version, kind, stream=stream))
    assert run(called(client, version, kind, stream=stream)) is None
    assert described == without_date(mask_by_hand(text_of(raw_server.requests[0])))


@WAYS
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_description_of_any_text_is_what_goes_over_the_wire(raw_server, make_client, let_in, text):
    version, keys = let_in
    raw_server.script += [fine(version, "chat")]
    client = make_client(**keys)
    described = client.describe(prepared(client, version, "chat", text))
    assert run(called(client, version, "chat", text)) is None
    assert described == without_date(mask_by_hand(text_of(raw_server.requests[0])))


@WAYS
@KINDS
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_kept_of_a_request_is_what_went_out(raw_server, make_client, let_in, kind, text):
    version, keys = let_in
    raw_server.script += [fine(version, kind)]
    call = called(make_client(**keys), version, kind, text)
    assert run(call) is None
    assert http_text(call.exchange.attempts[0].sent) == text_of(raw_server.requests[0])


@WAYS
def test_description_has_no_secret(raw_server, make_client, let_in):
    version, keys = let_in
    client = make_client(**keys)
    described = client.describe(prepared(client, version, "chat"))
    secrets = [value for name, value in keys.items() if name != "app_id"]
    assert ("***" in described, [s for s in secrets if s in described]) == (True, [])


@WAYS
def test_description_sends_nothing_and_writes_nothing(raw_server, make_client, tmp_path, let_in):
    version, keys = let_in
    client = make_client(**keys)
    client.describe(prepared(client, version, "chat"))
    asked = [raw_server.requests, raw_server.token_requests, raw_server.bearer_requests]
    assert (asked, list(tmp_path.rglob("token*"))) == ([[], [], []], [])


@WAYS
def test_description_after_an_answer_is_that_before(raw_server, make_client, let_in):
    version, keys = let_in
    raw_server.script += [fine(version, "chat")]
    client = make_client(**keys)
    request = prepared(client, version, "chat")
    before = client.describe(request)
    assert run(called(client, version, "chat")) is None
    assert client.describe(request) == before


def test_description_reads_as_a_request(raw_server, make_client):
    client = make_client(bearer_token=BEARER, app_id="app-7")
    lines = client.describe(prepared(client, 2, "chat", stream=True)).split("\n")
    blank = lines.index("")
    assert lines[0] == "POST /v2/chat/completions HTTP/1.1"
    assert lines[1] == f"Host: {raw_server.url.removeprefix('http://')}"
    assert {"Authorization: Bearer ***", "appid: app-7"} <= set(lines[:blank])
    assert "Content-Type: application/json" in lines[:blank]
    assert json.loads("\n".join(lines[blank + 1 :])) == {
        "model": "ernie-5.1",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_description_of_version_1_has_the_masked_token_in_its_address(make_client):
    client = make_client(access_token="24.given-0123456789abcdef")
    first = client.describe(prepared(client, 1, "completion")).partition("\n")[0]
    place = (
        "/rpc/2.0/ai_custom/v1/wenxinworkshop/completions/%E6%88%91%E7%9A%84%E6%9C%8D%E5%8A%A1_1"
    )
    assert first == f"POST {place}?access_token=*** HTTP/1.1"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h:80/x", "h"),
        ("https://h:443/x", "h"),
        ("https://h:80/x", "h:80"),
        ("http://h:8080/x", "h:8080"),
        ("http://[::1]:8080/x", "[::1]:8080"),
    ],
)
def test_host_without_the_scheme_s_own_port(url, host):
    """As http.client sends it: the port only if it is another one than the scheme's."""
    asked = requests.Request("POST", url, data=b"{}").prepare()
    assert http_text(asked).split("\n")[1] == f"Host: {host}"


def test_length_is_that_of_the_body_in_bytes(raw_server, make_client):
    client = make_client(bearer_token=BEARER)
    described = client.describe(prepared(client, 2, "chat", TEXTS["Chinese"]))
    head, _, body = described.partition("\n\n")
    assert f"Content-Length: {len(body.encode())}" in head.split("\n")


def test_secret_in_the_question_is_masked_in_the_description_only(raw_server, make_client):
    raw_server.script += [fine(2, "chat")]
    client = make_client(bearer_token=BEARER)
    text = f"is {BEARER} mine?"
    described = client.describe(prepared(client, 2, "chat", text))
    assert run(called(client, 2, "chat", text)) is None
    assert (BEARER in described, "is *** mine?" in described) == (False, True)
    assert json.loads(raw_server.requests[0].body)["messages"][0]["content"] == text


def test_data_of_a_picture_is_left_out_of_the_description_only(raw_server, make_client):
    raw_server.script += [fine(2, "chat")]
    client = make_client(bearer_token=BEARER)
    address = "data:image/png;base64," + "iVBORw0KGgo+/" * 1_000 + "=="
    asked = [{"type": "image_url", "image_url": {"url": address}}]
    request = client.prepare("chat", sent_as("chat", asked), {"model": "ernie-5.0"})
    assert '{"url": "data:image/png;base64,***"}' in client.describe(request)
    assert run(client.start("chat", sent_as("chat", asked), {"model": "ernie-5.0"})) is None
    sent = json.loads(raw_server.requests[0].body)
    assert sent["messages"][0]["content"] == asked


@pytest.mark.parametrize("version", [1, 2])
def test_description_wants_credentials_of_the_version(make_client, version):
    other = {1: {"bearer_token": BEARER}, 2: {"access_token": "24.x"}}[version]
    client = make_client(**other)
    with pytest.raises(SettingsError, match=f"version {version}"):
        client.describe(prepared(client, version, "chat"))


@pytest.mark.parametrize("app_id", ["\u5e94\u7528", "a\nb", "a\r\nX: y"])
def test_application_that_no_header_can_carry_is_told_by_its_name(make_client, app_id):
    with pytest.raises(SettingsError, match="QIANFAN_APP_ID"):
        make_client(bearer_token=BEARER, app_id=app_id).chat(
            sent_as("chat", "hi"), model="ernie-5.1"
        )


def test_request_holds_no_secret(make_client):
    client = make_client(access_token="24.given-0123456789abcdef")
    request = prepared(client, 1, "chat")
    assert "given" not in repr(request)
    assert request.url.endswith("/wenxinworkshop/chat/ep")


def test_request_says_what_is_asked(raw_server, make_client):
    request = prepared(make_client(bearer_token=BEARER), 2, "completion", "def f(", suffix="\n")
    assert request == Request(
        version=2,
        kind="completion",
        service="deepseek-v3.2",
        base_url=raw_server.url,
        url=raw_server.url + "/v2/completions",
        body={"model": "deepseek-v3.2", "prompt": "def f(", "suffix": "\n"},
    )


# --- what came back


def refusal(code="invalid_iam_token", status=401):
    return json_answer({"error": {"code": code, "message": "no"}}, status=status)


def streamed(*texts, end=b"data: [DONE]\n\n"):
    frames = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    return stream_answer(*frames, *([end] if end else []))


def statuses(exchange):
    # A response whose status is an error counts as false.
    there = [attempt.response for attempt in exchange.attempts]
    return [None if response is None else response.status_code for response in there]


def errors(exchange):
    return [attempt.error and type(attempt.error) for attempt in exchange.attempts]


def test_answered_request_is_one_attempt(raw_server, make_client):
    raw_server.script += [fine(2, "chat")]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert (statuses(call.exchange), errors(call.exchange)) == ([200], [None])


def test_exchange_has_nothing_before_it_begins(make_client):
    exchange = called(make_client(bearer_token=BEARER), 2, "chat").exchange
    assert (exchange.attempts, exchange.received) == ([], [])
    assert (exchange.first, exchange.took) == (None, None)


def test_each_attempt_is_written_down(raw_server, make_client):
    raw_server.script += [
        Answer(status=0, end="reset"),
        refusal("rpm_rate_limit_exceeded", 429),
        refusal("internal_error", 500),
        fine(2, "chat"),
    ]
    call = called(make_client(bearer_token=BEARER), 2, "chat", retries=4)
    assert run(call) is None
    assert statuses(call.exchange) == [None, 429, 500, 200]
    assert errors(call.exchange) == [TransportError, RateLimitError, APIError, None]


def test_last_attempt_has_the_error_that_is_raised(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500)] * 2
    call = called(make_client(bearer_token=BEARER), 2, "chat", retries=2)
    error = run(call)
    assert statuses(call.exchange) == [500, 500]
    assert call.exchange.attempts[-1].error is error


def test_request_with_another_token_is_another_attempt(raw_server, make_client):
    raw_server.script += [refusal(), fine(2, "chat")]
    call = called(make_client(**SIGNING), 2, "chat")
    assert run(call) is None
    assert statuses(call.exchange) == [401, 200]
    assert errors(call.exchange) == [TokenExpiredError, None]
    sent = [attempt.sent.headers["Authorization"] for attempt in call.exchange.attempts]
    assert sent == [seen.headers["authorization"] for seen in raw_server.requests]
    assert len(set(sent)) == 2


def test_attempt_without_a_token_has_sent_nothing(raw_server, make_client):
    raw_server.bearers += [json_answer({"code": "NotFound", "message": "no"}, status=401)]
    call = called(make_client(**SIGNING), 2, "chat")
    assert isinstance(run(call), AuthError)
    (attempt,) = call.exchange.attempts
    assert (attempt.sent, attempt.response, type(attempt.error)) == (None, None, AuthError)


def test_attempts_follow_each_other(raw_server, make_client):
    raw_server.script += [Answer(status=500), Answer(status=503), fine(2, "chat")]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    exchange = call.exchange
    begun = [attempt.begun for attempt in exchange.attempts]
    ended = [attempt.begun + attempt.took for attempt in exchange.attempts]
    times = [time for pair in zip(begun, ended, strict=True) for time in pair]
    assert times == sorted(times)
    assert 0 <= begun[0] <= times[-1] <= exchange.first <= exchange.took


def test_whole_answer_is_kept_as_it_came(raw_server, make_client):
    piece = b'{ "choices": [{"message": {"content": "\\u4f60"}}],\n "x": 1.0 }'
    raw_server.script += [Answer(headers={"Content-Type": "application/json"}, pieces=[piece])]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert call.exchange.received == [piece.decode()]


def test_events_of_a_stream_are_kept_as_they_came(raw_server, make_client):
    raw_server.script += [streamed("\u4f60", "\u597d")]
    call = called(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    *frames, end = call.exchange.received
    found = [json.loads(frame)["choices"][0]["delta"]["content"] for frame in frames]
    assert (found, end) == (["\u4f60", "\u597d"], "[DONE]")


def test_only_the_last_attempt_s_answer_is_kept(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500), streamed("a")]
    call = called(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    assert "internal_error" not in "".join(call.exchange.received)


def test_error_is_kept_as_it_came(raw_server, make_client):
    raw_server.script += [refusal("invalid_messages", 400)]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert isinstance(run(call), APIError)
    assert json.loads(call.exchange.received[0])["error"]["code"] == "invalid_messages"


def test_what_arrived_of_a_broken_stream_is_kept(raw_server, make_client):
    raw_server.script += [streamed("a", "b", end=b"")]
    call = called(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert isinstance(run(call), StreamError)
    assert (len(call.exchange.received), statuses(call.exchange)) == (2, [200])
    assert call.exchange.took is not None


def test_stream_that_is_left_is_timed(raw_server, make_client):
    raw_server.script += [streamed("a", "b")]
    call = called(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    with closing(call.chunks()) as chunks:
        next(chunks)
    assert call.exchange.first <= call.exchange.took


def test_headers_of_the_answer_are_there(raw_server, make_client):
    limits = {"X-Ratelimit-Remaining-Requests": "59", "X-Ratelimit-Limit-Requests": "60"}
    choices = {"choices": [{"message": {"content": "x"}}]}
    raw_server.script += [json_answer(choices, headers=limits)]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    headers = call.exchange.attempts[0].response.headers
    assert {name: headers[name] for name in limits} == limits


@pytest.mark.parametrize("keys", [{"bearer_token": BEARER}, SIGNING], ids=["given", "fetched"])
def test_repr_of_an_exchange_has_no_secret(raw_server, make_client, keys):
    raw_server.script += [refusal("internal_error", 500), fine(2, "chat")]
    call = called(make_client(**keys), 2, "chat")
    assert run(call) is None
    secrets = [*keys.values(), raw_server.requests[0].headers["authorization"].split()[-1]]
    assert [secret for secret in secrets if secret in repr(call.exchange)] == []


# --- all there is to know, for those who ask


@WAYS
def test_what_is_told_of_a_request_is_what_went_out(raw_server, make_client, let_in):
    version, keys = let_in
    raw_server.script += [fine(version, "chat")]
    call = called(make_client(**keys), version, "chat", TEXTS["Chinese"])
    assert run(call) is None
    told = exchange_to_dict(call.exchange)["request"]
    assert told == mask_by_hand(text_of(raw_server.requests[0]))


def test_all_of_an_exchange_is_told(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500), fine(2, "chat")]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    told = exchange_to_dict(call.exchange)
    assert [attempt["status"] for attempt in told["attempts"]] == [500, 200]
    assert "internal_error" in told["attempts"][0]["error"]
    assert (told["status"], told["headers"]["Content-Type"]) == (200, "application/json")
    assert json.loads(told["response"])["choices"][0]["message"]["content"] == "hello"
    assert 0 <= told["first"] <= told["seconds"]


def test_events_are_told_as_they_came(raw_server, make_client):
    raw_server.script += [streamed("a", "b")]
    call = called(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    events = exchange_to_dict(call.exchange)["response"].split("\n\n")
    assert (len(events), events[-2:]) == (4, ["data: [DONE]", ""])


def test_exchange_that_has_not_begun_can_be_told(make_client):
    told = exchange_to_dict(called(make_client(bearer_token=BEARER), 2, "chat").exchange)
    assert (told["request"], told["attempts"], told["status"]) == ("", [], None)


def test_what_the_service_echoes_is_told_masked(raw_server, make_client):
    def echo(seen):
        said = {"content": seen.headers["authorization"]}
        return json_answer({"choices": [{"message": said}]}, headers={"X-Echo": BEARER})

    raw_server.script += [echo]
    call = called(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert BEARER not in repr(exchange_to_dict(call.exchange))


def test_cookie_of_a_server_is_told_nowhere(raw_server, make_client):
    """A gateway's cookie lets in whoever has it."""
    choices = {"choices": [{"message": {"content": "x"}}]}
    cookie = {"Set-Cookie": "session=opensesame0123; Path=/"}
    raw_server.script += [json_answer(choices, headers=cookie), fine(2, "chat")]
    client = make_client(bearer_token=BEARER)
    calls = [called(client, 2, "chat") for _ in range(2)]
    assert [run(call) for call in calls] == [None, None]
    told = [exchange_to_dict(call.exchange) for call in calls]
    assert "opensesame" not in repr(told) + client.describe(prepared(client, 2, "chat"))


# --- masking by itself


@pytest.mark.parametrize("length", [63, 64, 100_000])
def test_only_long_data_is_left_out(length):
    found = masked('"data:image/png;base64,' + "A" * length + '"')
    assert ("AAAA" in found) is (length < 64)


@pytest.mark.parametrize(
    "text", ["data:,hello", "data:image/png;base64", "https://x/" + "A" * 200, "A" * 5_000]
)
def test_what_is_no_data_stays(text):
    assert masked(text) == text


def test_body_has_a_line_for_each_message_and_chinese_as_it_is(raw_server, make_client):
    raw_server.script += [fine(2, "chat")]
    run(called(make_client(bearer_token=BEARER), 2, "chat", TEXTS["Chinese"]))
    lines = raw_server.requests[0].body.decode().split("\n")
    message = f'    {{"role": "user", "content": "{TEXTS["Chinese"]}"}}'
    assert (lines[0], message in lines, lines[-1]) == ("{", True, "}")

"""The record of a request and its answer: what is shown is what went over the wire."""

from __future__ import annotations

import json
import re
from contextlib import closing
from itertools import product

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
from qianfan_magic.api.http.exchange import Request, events_of, exchange_to_dict, http_text, masked

BEARER = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"
SIGNING = {"access_key": "ALTAKEXAMPLE0123456789", "secret_key": "SKEXAMPLE0123456789abcdef"}
PAIR = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}
#: Each way of authentication: the version of the API and the credentials.
CREDENTIALS = {
    "static access token": (1, {"access_token": "24.given-0123456789abcdef"}),
    "fetched access token": (1, PAIR),
    "signature": (1, SIGNING),
    "static bearer token": (2, {"bearer_token": BEARER}),
    "fetched bearer token": (2, SIGNING),
    "with an application": (2, {"bearer_token": BEARER, "app_id": "app-7"}),
}
SERVICES = {
    (1, "chat"): {"endpoint": "ep"},
    (1, "completion"): {"endpoint": "我的服务_1"},
    (2, "chat"): {"model": "ernie-5.1"},
    (2, "completion"): {"model": "qwen3-coder-30b-a3b-instruct"},
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
EACH_AUTHENTICATION = pytest.mark.parametrize(
    ("version", "keys"), CREDENTIALS.values(), ids=CREDENTIALS
)


def content_of(kind, text):
    return [{"role": "user", "content": text}] if kind == "chat" else text


def answer_of(version, kind):
    if version == 1:
        return json_answer({"result": "hello"})
    choice = {"message": {"content": "hello"}} if kind == "chat" else {"text": "hello"}
    return json_answer({"choices": [choice]})


def text_of(seen: Seen) -> str:
    """Format a received request as `http_text` does: the lines of its head end in line feeds."""
    head, body = seen.raw[: -len(seen.body) or None], seen.body
    return head.replace(b"\r\n", b"\n").decode("latin-1") + body.decode()


def mask_credentials(text: str) -> str:
    """Mask the places of a head where credentials are, and nothing else."""
    head, _, body = text.partition("\n\n")
    head = re.sub(r"(?<=\?access_token=)[^ ]+", "***", head)
    head = re.sub(r"(?<=\nAuthorization: bce-auth-v1/).+", "***", head)
    head = re.sub(r"(?<=\nAuthorization: Bearer ).+", "***", head)
    return f"{head}\n\n{body}"


def mask_date(text: str) -> str:
    """Mask the time of a signature, which is not known before it is sent."""
    return re.sub(r"(?<=\nx-bce-date: ).+", "***", text)


def request_of(client, version, kind, text="hi", *, stream=False, **options):
    content = content_of(kind, text)
    return client.prepare(kind, content, SERVICES[version, kind] | options, stream=stream)


def call_of(client, version, kind, text="hi", *, stream=False, **options):
    options = SERVICES[version, kind] | options
    return client.start(kind, content_of(kind, text), options, stream=stream)


def run(call):
    """Let a call come to its end; return the error it ends with, or None."""
    try:
        with closing(call.chunks()) as chunks:
            list(chunks)
    except Exception as error:  # noqa: BLE001  tests look at the exchange, whatever it ends with
        return error
    return None


# --- what is shown is what is sent


@EACH_AUTHENTICATION
def test_description_and_record_are_what_goes_over_the_wire(raw_server, make_client, version, keys):
    client = make_client(**keys)
    for kind, stream in product(["chat", "completion"], [False, True]):
        raw_server.script += [answer_of(version, kind)]
        request = request_of(client, version, kind, stream=stream)
        described = client.describe(request)
        call = call_of(client, version, kind, stream=stream)
        assert run(call) is None
        wire, case = text_of(raw_server.requests[-1]), (kind, stream)
        assert http_text(call.exchange.attempts[0].sent) == wire, case
        assert exchange_to_dict(call.exchange)["request"] == mask_credentials(wire), case
        assert described == mask_date(mask_credentials(wire)), case
        assert client.describe(request) == described, case  # also once a token is there


@pytest.mark.parametrize("version", [1, 2])
def test_any_text_is_shown_as_it_is_sent(raw_server, make_client, version):
    client = make_client(access_token="24.given-0123456789abcdef")
    if version == 2:
        client = make_client(bearer_token=BEARER)
    for (name, text), kind in product(TEXTS.items(), ["chat", "completion"]):
        raw_server.script += [answer_of(version, kind)]
        described = client.describe(request_of(client, version, kind, text))
        call = call_of(client, version, kind, text)
        assert run(call) is None
        wire = text_of(raw_server.requests[-1])
        assert http_text(call.exchange.attempts[0].sent) == wire, (name, kind)
        assert described == mask_credentials(wire), (name, kind)


@EACH_AUTHENTICATION
def test_description_fetches_no_token_and_shows_no_secret(
    raw_server, make_client, tmp_path, version, keys
):
    client = make_client(**keys)
    described = client.describe(request_of(client, version, "chat"))
    assert "***" in described
    assert [keys[name] for name in keys if name != "app_id" and keys[name] in described] == []
    assert raw_server.requests + raw_server.token_requests + raw_server.bearer_requests == []
    assert list(tmp_path.rglob("token*")) == []


def test_description_reads_as_a_request(raw_server, make_client):
    client = make_client(bearer_token=BEARER, app_id="app-7")
    lines = client.describe(request_of(client, 2, "chat", stream=True)).split("\n")
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
    first = client.describe(request_of(client, 1, "completion")).partition("\n")[0]
    place = (
        "/rpc/2.0/ai_custom/v1/wenxinworkshop/completions/%E6%88%91%E7%9A%84%E6%9C%8D%E5%8A%A1_1"
    )
    assert first == f"POST {place}?access_token=*** HTTP/1.1"


def test_host_has_no_default_port():
    """As http.client sends it."""
    for url, host in {
        "http://h:80/x": "h",
        "https://h:443/x": "h",
        "https://h:80/x": "h:80",
        "http://h:8080/x": "h:8080",
        "http://[::1]:8080/x": "[::1]:8080",
    }.items():
        prepared = requests.Request("POST", url, data=b"{}").prepare()
        assert http_text(prepared).split("\n")[1] == f"Host: {host}"


def test_described_length_is_the_body_s_in_bytes(raw_server, make_client):
    client = make_client(bearer_token=BEARER)
    described = client.describe(request_of(client, 2, "chat", TEXTS["Chinese"]))
    head, _, body = described.partition("\n\n")
    assert f"Content-Length: {len(body.encode())}" in head.split("\n")


def test_secret_in_the_question_is_masked_in_the_description_only(raw_server, make_client):
    raw_server.script += [answer_of(2, "chat")]
    client = make_client(bearer_token=BEARER)
    text = f"is {BEARER} mine?"
    described = client.describe(request_of(client, 2, "chat", text))
    assert run(call_of(client, 2, "chat", text)) is None
    assert BEARER not in described
    assert "is *** mine?" in described
    assert json.loads(raw_server.requests[0].body)["messages"][0]["content"] == text


def test_data_of_an_image_is_masked_in_the_description_only(raw_server, make_client):
    raw_server.script += [answer_of(2, "chat")]
    client = make_client(bearer_token=BEARER)
    address = "data:image/png;base64," + "iVBORw0KGgo+/" * 1_000 + "=="
    content = [{"type": "image_url", "image_url": {"url": address}}]
    request = client.prepare("chat", content_of("chat", content), {"model": "ernie-5.0"})
    assert '{"url": "data:image/png;base64,***"}' in client.describe(request)
    assert run(client.start("chat", content_of("chat", content), {"model": "ernie-5.0"})) is None
    sent = json.loads(raw_server.requests[0].body)
    assert sent["messages"][0]["content"] == content


@pytest.mark.parametrize("version", [1, 2])
def test_description_needs_credentials_of_the_version(make_client, version):
    other = {1: {"bearer_token": BEARER}, 2: {"access_token": "24.x"}}[version]
    client = make_client(**other, console_api_base_url="https://elsewhere.example/v2")
    with pytest.raises(SettingsError, match=f"version {version}"):
        client.describe(request_of(client, version, "chat"))


def test_application_that_no_header_can_carry_names_its_variable(make_client):
    for app_id in ["\u5e94\u7528", "a\nb", "a\r\nX: y"]:
        with pytest.raises(SettingsError, match="QIANFAN_APP_ID"):
            make_client(bearer_token=BEARER, app_id=app_id)


def test_request_holds_no_secret(make_client):
    client = make_client(access_token="24.given-0123456789abcdef")
    request = request_of(client, 1, "chat")
    assert "given" not in repr(request)
    assert request.url.endswith("/wenxinworkshop/chat/ep")


def test_request_has_service_and_body(raw_server, make_client):
    request = request_of(make_client(bearer_token=BEARER), 2, "completion", "def f(", suffix="\n")
    assert request == Request(
        version=2,
        kind="completion",
        service="qwen3-coder-30b-a3b-instruct",
        base_url=raw_server.url + "/v2",
        url=raw_server.url + "/v2/completions",
        body={"model": "qwen3-coder-30b-a3b-instruct", "prompt": "def f(", "suffix": "\n"},
    )


# --- the record of attempts and answers


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


def test_answered_request_has_one_attempt(raw_server, make_client):
    raw_server.script += [answer_of(2, "chat")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert statuses(call.exchange) == [200]
    assert errors(call.exchange) == [None]


def test_exchange_has_nothing_before_it_begins(make_client):
    exchange = call_of(make_client(bearer_token=BEARER), 2, "chat").exchange
    assert exchange.attempts == []
    assert list(exchange.received) == []
    assert exchange.first is None
    assert exchange.took is None


def test_each_attempt_is_recorded(raw_server, make_client):
    raw_server.script += [
        Answer(status=0, end="reset"),
        refusal("rpm_rate_limit_exceeded", 429),
        refusal("internal_error", 500),
        answer_of(2, "chat"),
    ]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", retries=4)
    assert run(call) is None
    assert statuses(call.exchange) == [None, 429, 500, 200]
    assert errors(call.exchange) == [TransportError, RateLimitError, APIError, None]


def test_last_attempt_has_the_error_that_is_raised(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500)] * 2
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", retries=2)
    error = run(call)
    assert statuses(call.exchange) == [500, 500]
    assert call.exchange.attempts[-1].error is error


def test_request_with_another_token_is_another_attempt(raw_server, make_client):
    raw_server.script += [refusal(), answer_of(2, "chat")]
    call = call_of(make_client(**SIGNING), 2, "chat")
    assert run(call) is None
    assert statuses(call.exchange) == [401, 200]
    assert errors(call.exchange) == [TokenExpiredError, None]
    sent = [attempt.sent.headers["Authorization"] for attempt in call.exchange.attempts]
    assert sent == [seen.headers["authorization"] for seen in raw_server.requests]
    assert len(set(sent)) == 2


def test_attempt_without_a_token_has_sent_nothing(raw_server, make_client):
    raw_server.bearers += [json_answer({"code": "NotFound", "message": "no"}, status=401)]
    call = call_of(make_client(**SIGNING), 2, "chat")
    assert isinstance(run(call), AuthError)
    (attempt,) = call.exchange.attempts
    assert attempt.sent is None
    assert attempt.response is None
    assert type(attempt.error) is AuthError


def test_attempts_do_not_overlap(raw_server, make_client):
    raw_server.script += [Answer(status=500), Answer(status=503), answer_of(2, "chat")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    exchange = call.exchange
    begun = [attempt.begun for attempt in exchange.attempts]
    ended = [attempt.begun + attempt.took for attempt in exchange.attempts]
    times = [time for pair in zip(begun, ended, strict=True) for time in pair]
    assert times == sorted(times)
    assert 0 <= begun[0] <= times[-1] <= exchange.first <= exchange.took


def test_whole_answer_is_recorded_as_received(raw_server, make_client):
    piece = b'{ "choices": [{"message": {"content": "\\u4f60"}}],\n "x": 1.0 }'
    raw_server.script += [Answer(headers={"Content-Type": "application/json"}, pieces=[piece])]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert list(events_of(call.exchange)) == [piece.decode()]


def test_events_of_a_stream_are_recorded_as_received(raw_server, make_client):
    raw_server.script += [streamed("\u4f60", "\u597d")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    *frames, end = events_of(call.exchange)
    payloads = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    found = [payload["choices"][0]["delta"]["content"] for payload in payloads]
    assert found == ["\u4f60", "\u597d"]
    assert end == "data: [DONE]\n\n"


def test_only_the_last_attempt_s_answer_is_recorded(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500), streamed("a")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    assert "internal_error" not in "".join(events_of(call.exchange))


def test_error_is_recorded_as_received(raw_server, make_client):
    raw_server.script += [refusal("invalid_messages", 400)]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert isinstance(run(call), APIError)
    (body,) = events_of(call.exchange)
    assert json.loads(body)["error"]["code"] == "invalid_messages"


def test_broken_stream_is_recorded_until_it_breaks(raw_server, make_client):
    raw_server.script += [streamed("a", "b", end=b"")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert isinstance(run(call), StreamError)
    assert len(list(events_of(call.exchange))) == 2
    assert statuses(call.exchange) == [200]
    assert call.exchange.took is not None


def test_stream_that_is_left_is_timed(raw_server, make_client):
    raw_server.script += [streamed("a", "b")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    with closing(call.chunks()) as chunks:
        next(chunks)
    assert call.exchange.first <= call.exchange.took


def test_headers_of_the_answer_are_recorded(raw_server, make_client):
    limits = {"X-Ratelimit-Remaining-Requests": "59", "X-Ratelimit-Limit-Requests": "60"}
    choices = {"choices": [{"message": {"content": "x"}}]}
    raw_server.script += [json_answer(choices, headers=limits)]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    headers = call.exchange.attempts[0].response.headers
    assert {name: headers[name] for name in limits} == limits


@pytest.mark.parametrize("keys", [{"bearer_token": BEARER}, SIGNING], ids=["static", "fetched"])
def test_repr_of_an_exchange_has_no_secret(raw_server, make_client, keys):
    raw_server.script += [refusal("internal_error", 500), answer_of(2, "chat")]
    call = call_of(make_client(**keys), 2, "chat")
    assert run(call) is None
    secrets = [*keys.values(), raw_server.requests[0].headers["authorization"].split()[-1]]
    assert [secret for secret in secrets if secret in repr(call.exchange)] == []


# --- the record as plain values


def test_record_has_attempts_and_the_last_response(raw_server, make_client):
    raw_server.script += [refusal("internal_error", 500), answer_of(2, "chat")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    record = exchange_to_dict(call.exchange)
    assert [attempt["status"] for attempt in record["attempts"]] == [500, 200]
    assert "internal_error" in record["attempts"][0]["error"]
    assert record["status"] == 200
    assert record["headers"]["Content-Type"] == "application/json"
    assert json.loads(record["response"])["choices"][0]["message"]["content"] == "hello"
    assert 0 <= record["first"] <= record["seconds"]


def test_record_has_the_events_as_received(raw_server, make_client):
    raw_server.script += [streamed("a", "b")]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat", stream=True)
    assert run(call) is None
    events = exchange_to_dict(call.exchange)["response"].split("\n\n")
    assert len(events) == 4
    assert events[-2:] == ["data: [DONE]", ""]


def test_record_of_an_exchange_that_has_not_begun_is_empty(make_client):
    record = exchange_to_dict(call_of(make_client(bearer_token=BEARER), 2, "chat").exchange)
    assert record["request"] == ""
    assert record["attempts"] == []
    assert record["status"] is None


def test_secret_that_the_service_echoes_is_masked(raw_server, make_client):
    def echo(seen):
        message = {"content": seen.headers["authorization"]}
        return json_answer({"choices": [{"message": message}]}, headers={"X-Echo": BEARER})

    raw_server.script += [echo]
    call = call_of(make_client(bearer_token=BEARER), 2, "chat")
    assert run(call) is None
    assert BEARER not in repr(exchange_to_dict(call.exchange))


def test_cookie_is_neither_recorded_nor_sent_back(raw_server, make_client):
    """A gateway's session cookie is a credential."""
    choices = {"choices": [{"message": {"content": "x"}}]}
    cookie = {"Set-Cookie": "session=opensesame0123; Path=/"}
    raw_server.script += [json_answer(choices, headers=cookie), answer_of(2, "chat")]
    client = make_client(bearer_token=BEARER)
    calls = [call_of(client, 2, "chat") for _ in range(2)]
    assert [run(call) for call in calls] == [None, None]
    record = [exchange_to_dict(call.exchange) for call in calls]
    assert "opensesame" not in repr(record) + client.describe(request_of(client, 2, "chat"))


def test_body_has_a_line_for_each_message_and_chinese_as_it_is(raw_server, make_client):
    raw_server.script += [answer_of(2, "chat")]
    run(call_of(make_client(bearer_token=BEARER), 2, "chat", TEXTS["Chinese"]))
    lines = raw_server.requests[0].body.decode().split("\n")
    message = f'    {{"role": "user", "content": "{TEXTS["Chinese"]}"}}'
    assert lines[0] == "{"
    assert message in lines
    assert lines[-1] == "}"


# --- masking by itself


def test_only_long_data_of_an_image_is_masked():
    for length, is_masked in {63: False, 64: True, 100_000: True}.items():
        text = masked('"data:image/png;base64,' + "A" * length + '"')
        assert ("AAAA" not in text) is is_masked, length


def test_text_that_is_no_data_url_is_not_masked():
    for text in ["data:,hello", "data:image/png;base64", "https://x/" + "A" * 200, "A" * 5_000]:
        assert masked(text) == text

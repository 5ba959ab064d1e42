"""Version 2 of the embedded server over real HTTP, asked with requests alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.state import RateLimits
from qianfan_magic.embedded.server import EmbeddedServer

PATIENCE = 20.0  # seconds; only a test that fails waits so long
CHAT, COMPLETION, MODELS = "/v2/chat/completions", "/v2/completions", "/v2/models"
IAM = "/v1/BCE-BEARER/token"
OLD_CHAT = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/dolly_12b"
#: Told to think by enable_thinking, by thinking, always, not at all; with eyes; both kinds.
ERNIE, DEEPSEEK, THINKER = "ernie-5.1", "deepseek-v4-pro", "ernie-x1.1"
PLAIN, SEEING, CODER = "ernie-4.5-turbo-128k", "ernie-4.5-turbo-vl", "qwen3-coder-30b-a3b-instruct"
WALL = "Please introduce The Great Wall"
BAT = "A bat and a ball cost $1.10. The bat costs $1.00 more than the ball. What does it cost?"


class Wire:
    """Asks one server as the documents' curl does."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.authorization = f"Bearer {server.authenticator.keys.bearer_token}"

    def send(self, method: str, path: str, **given: Any) -> requests.Response:
        options = {"headers": {"Authorization": self.authorization}, "timeout": PATIENCE} | given
        return self.session.request(method, self.server.base_url + path, **options)

    def post(self, body: Any, path: str = CHAT, **given: Any) -> requests.Response:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, data=sent, **given)

    def ask(self, asked: str | list, model: str = ERNIE, **parameters: Any) -> dict[str, Any]:
        return self.post(chat(asked, model) | parameters).json()

    def say(self, asked: str | list, model: str = ERNIE, **parameters: Any) -> str:
        return self.ask(asked, model, **parameters)["choices"][0]["message"]["content"]

    def complete(self, prompt: str, **parameters: Any) -> dict[str, Any]:
        return self.post({"model": CODER, "prompt": prompt} | parameters, COMPLETION).json()

    def events(self, body: dict[str, Any], path: str = CHAT) -> list[str]:
        raw = self.post(body | {"stream": True}, path).content.decode("utf-8")
        return [event.removeprefix("data: ") for event in raw.split("\n\n") if event]

    def stream(self, asked: str | list, model: str = ERNIE, **more: Any) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events(chat(asked, model) | more)[:-1]]

    def refusal(self, body: Any, path: str = CHAT, **given: Any) -> tuple[int, str]:
        """Give the status and the code of an error."""
        answer = self.post(body, path, **given)
        return answer.status_code, answer.json().get("error", {}).get("code", "")


def chat(asked: str | list, model: str = ERNIE) -> dict[str, Any]:
    messages = asked if isinstance(asked, list) else [user(asked)]
    return {"model": model, "messages": messages}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def joined(chunks: list[dict[str, Any]], field: str = "content") -> str:
    return "".join(chunk["choices"][0]["delta"].get(field) or "" for chunk in chunks)


@pytest.fixture
def make_wire() -> Iterator[Callable[..., Wire]]:
    with ExitStack() as servers:
        yield lambda **given: Wire(servers.enter_context(EmbeddedServer(**given)))


@pytest.fixture
def wire(make_wire) -> Wire:
    return make_wire()


def until(condition: Callable[[], bool]) -> bool:
    """Wait until it holds, at most for long."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


# --- IAM gives bearer tokens for signed requests (bce-auth-v1, written down from its document)


def iam(wire: Wire, query: str = "expireInSeconds=3600", **changed: Any) -> requests.Response:
    """Ask for a token as the keys' owner does, unless changed."""
    keys = wire.server.authenticator.keys
    given = {"key": keys.access_key, "secret": keys.secret_key, "at": datetime.now(UTC)} | changed
    date = given["at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"host": wire.server.base_url.removeprefix("http://"), "x-bce-date": date}
    headers |= given.get("more", {})
    names = given.get("names", sorted(headers))
    prefix = f"bce-auth-v1/{given['key']}/{date}/300"
    lines = "\n".join(f"{name}:{quote(headers[name], safe='')}" for name in names)
    canonical = f"GET\n{IAM}\n{given.get('signed_query', query)}\n{lines}"
    signature = digest(digest(given["secret"], prefix), canonical)
    sent = headers | {"Authorization": f"{prefix}/{';'.join(names)}/{signature}"}
    return wire.send("GET", f"{IAM}?{query}" if query else IAM, headers=sent)


def digest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def lifetime(given: dict[str, str]) -> float:
    begins, ends = (datetime.fromisoformat(given[n]) for n in ("createTime", "expireTime"))
    return (ends - begins).total_seconds()


def test_signed_request_gives_a_bearer_token(wire):
    assert iam(wire).json()["token"].startswith("bce-v3/ALTAK-")


def test_bearer_token_comes_with_the_documented_fields(wire):
    given = iam(wire).json()
    names = ["userId", "token", "status", "createTime", "expireTime"]
    assert (list(given), given["status"]) == (names, "enable")


def test_times_are_in_utc_to_the_millisecond(wire):
    written = iam(wire).json()["createTime"]
    read = datetime.strptime(written, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert (len(written), abs(datetime.now(UTC) - read) < timedelta(minutes=1)) == (24, True)


# The official SDK signs all of them; others sign fewer.
SDK = {"content-type": "application/json", "request-source": "qianfan_py_sdk_v0.4.12.3"}


@pytest.mark.parametrize("more", [SDK, {"content-type": "application/json"}, {}])
def test_more_or_fewer_headers_may_be_signed(wire, more):
    assert iam(wire, more=more).status_code == 200


def test_host_alone_may_be_signed(wire):
    assert iam(wire, names=["host"]).status_code == 200


@pytest.mark.parametrize("seconds", [300, 2_592_000])
def test_bearer_token_lives_as_long_as_asked(wire, seconds):
    assert lifetime(iam(wire, f"expireInSeconds={seconds}").json()) == pytest.approx(seconds)


def test_bearer_token_lives_half_an_hour_if_nobody_asks(wire):
    assert lifetime(iam(wire, "").json()) == pytest.approx(1_800)


@pytest.mark.parametrize("seconds", ["299", "2592001", "-300", "0", "1e3", "x", "9" * 5_000])
def test_life_out_of_range_is_refused(wire, seconds):
    answer = iam(wire, f"expireInSeconds={seconds}")
    assert (answer.status_code, "300" in answer.json()["message"]) == (400, True)


UNSIGNED = {
    "wrong key": ({"key": "ALTAK0123"}, "NotFound, cause: Could not find credential."),
    "wrong secret": ({"secret": "x"}, "SignatureDoesNotMatch, cause: Fail to authn user"),
    "no host": ({"names": ["x-bce-date"]}, "SignatureDoesNotMatch, cause: Fail to authn user"),
    "other query": ({"signed_query": "a=1"}, "SignatureDoesNotMatch, cause: Fail to authn user"),
    "old": ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "RequestExpired, cause:"),
    "to come": ({"at": datetime(2099, 1, 1, tzinfo=UTC)}, "RequestExpired, cause:"),
}


@pytest.mark.parametrize(("changed", "words"), UNSIGNED.values(), ids=UNSIGNED)
def test_wrong_signature_is_refused_in_iams_words(wire, changed, words):
    answer = iam(wire, **changed)
    assert (answer.status_code, answer.json()["message"][: len(words)]) == (403, words)


def test_refusal_of_iam_is_in_its_headers_too(wire):
    answer = iam(wire, secret="x")
    said = [answer.headers[f"X-Bce-Error-{name}"] for name in ("Code", "Message")]
    assert said == [answer.json()["code"], answer.json()["message"]]


def test_refusal_of_iam_has_bces_shape(wire):
    assert iam(wire, secret="x").json().keys() == {"code", "message", "requestId"}


def test_bearer_token_is_no_signature(wire):
    assert wire.send("GET", IAM).status_code == 403


def test_request_without_a_signature_is_refused(wire):
    assert wire.send("GET", IAM, headers={}).status_code == 403


def test_refusal_of_iam_names_no_key(wire):
    keys = wire.server.authenticator.keys
    said = iam(wire, secret="x").text
    assert (keys.access_key in said, keys.secret_key in said) == (False, False)


def test_iam_takes_no_post(wire):
    assert wire.send("POST", IAM).status_code == 405


# --- the bearer token is checked


def refused_as(wire: Wire, authorization: str | None, **headers: str) -> tuple[int, str]:
    sent = headers | ({} if authorization is None else {"Authorization": authorization})
    return wire.refusal(chat("hi"), headers=sent)


def test_token_of_iam_is_let_in(wire):
    assert refused_as(wire, f"Bearer {iam(wire).json()['token']}") == (200, "")


def test_two_tokens_of_iam_are_both_good(wire):
    tokens = [iam(wire).json()["token"] for _ in range(2)]
    assert [refused_as(wire, f"Bearer {token}") for token in tokens] == [(200, "")] * 2


def test_token_of_iam_expires(make_wire):
    wire = make_wire(token_life=0.5)
    bearer = f"Bearer {iam(wire).json()['token']}"
    first = refused_as(wire, bearer)
    assert until(lambda: refused_as(wire, bearer) == (401, "invalid_iam_token"))
    assert first == (200, "")


def test_servers_own_token_does_not_expire(make_wire):
    wire = make_wire(token_life=0)
    assert refused_as(wire, wire.authorization) == (200, "")


def test_token_of_another_server_is_refused(make_wire):
    assert refused_as(make_wire(), make_wire().authorization) == (401, "invalid_iam_token")


@pytest.mark.parametrize(
    "authorization", [None, "Bearer ", "Bearer bce-v3/ALTAK-x/y", "Basic eDp5", "bce-auth-v1/a/b"]
)
@pytest.mark.parametrize("path", [CHAT, COMPLETION, MODELS])
def test_who_has_no_token_is_refused(wire, path, authorization):
    method = "GET" if path == MODELS else "POST"
    sent = {"Authorization": authorization} if authorization is not None else {}
    answer = wire.send(method, path, headers=sent, data=json.dumps(chat("hi")))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_iam_token")


def test_token_without_bearer_before_it_is_refused(wire):
    token = wire.server.authenticator.keys.bearer_token
    assert refused_as(wire, token) == (401, "invalid_iam_token")


def test_access_token_of_version_1_is_refused(wire):
    keys = wire.server.authenticator.keys
    query = {"grant_type": "client_credentials", "client_id": keys.ak, "client_secret": keys.sk}
    token = wire.send("POST", "/oauth/2.0/token", params=query).json()["access_token"]
    bearer = refused_as(wire, f"Bearer {token}")
    in_query = wire.refusal(chat("hi"), params={"access_token": token}, headers={})
    assert [bearer, in_query] == [(401, "invalid_iam_token")] * 2


def test_bearer_token_is_none_for_version_1(wire):
    token = wire.server.authenticator.keys.bearer_token
    answers = [
        wire.post({"messages": [user("hi")]}, OLD_CHAT),
        wire.post({"messages": [user("hi")]}, OLD_CHAT, params={"access_token": token}),
    ]
    assert [answer.json()["error_code"] for answer in answers] == [100, 110]


def test_application_of_the_keys_is_let_in(wire):
    assert refused_as(wire, wire.authorization, appid=wire.server.authenticator.keys.app_id) == (
        200,
        "",
    )


@pytest.mark.parametrize("app_id", ["", "app-other"])
def test_another_application_is_refused(wire, app_id):
    assert refused_as(wire, wire.authorization, appid=app_id) == (401, "invalid_appid")


def test_error_has_the_documented_shape(wire):
    said = wire.post(chat("hi"), headers={}).json()
    error = {
        "code": "invalid_iam_token",
        "message": "IAM Certification failed",
        "type": "invalid_request_error",
    }
    assert (said["error"], said["id"][:3], len(said)) == (error, "as-", 2)


def test_error_does_not_repeat_the_token(wire):
    assert "bce-v3" not in wire.post(chat("hi"), headers={"Authorization": "Bearer bce-v3/x"}).text


def test_requests_are_written_down_without_the_token(wire):
    wire.ask("hi")
    assert wire.server.authenticator.keys.bearer_token not in repr(wire.server.seen)


# --- models and addresses


def test_models_are_listed_as_documented(wire):
    listed = wire.send("GET", MODELS).json()
    row = {"id": ERNIE, "object": "model", "owned_by": "", "created": 0}
    assert (listed["object"], row in listed["data"]) == ("list", True)


def test_models_of_version_1_are_not_listed(wire):
    names = {row["id"].lower() for row in wire.send("GET", MODELS).json()["data"]}
    assert names & {"dolly-12b", "starcoder"} == set()


def test_every_listed_model_answers(wire):
    names = [row["id"] for row in wire.send("GET", MODELS).json()["data"]]
    answered = [wire.ask("hi", name).get("model") for name in names]
    assert (answered, len(names) > 3) == (names, True)


@pytest.mark.parametrize("model", ["nothing", "ERNIE-5.1", "ernie_5_1", "Dolly-12B", "ernie-5.1 "])
def test_unknown_model_is_refused(wire, model):
    assert wire.refusal(chat("hi", model)) == (401, "invalid_model")


@pytest.mark.parametrize("model", [None, "", 1, ["ernie-5.1"]])
def test_body_that_names_no_model_is_refused(wire, model):
    assert wire.refusal(chat("hi") | {"model": model}) == (400, "invalid_model")


def test_chat_model_completes_nothing(wire):
    body = {"model": ERNIE, "prompt": "x"}
    assert wire.refusal(body, COMPLETION) == (400, "invalid_model")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [CHAT, COMPLETION])
def test_any_method_but_post_is_refused(wire, path, method):
    answer = wire.send(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_supported")


def test_models_take_no_post(wire):
    assert wire.refusal({}, MODELS) == (405, "method_not_supported")


@pytest.mark.parametrize("path", ["/v2/", "/v2/chat", "/v2/chat/completions/", "/v2/models/x"])
def test_unknown_address_is_not_found(wire, path):
    assert wire.refusal(chat("hi"), path)[0] == 404


def test_body_that_tornado_refuses_gets_an_error_of_this_version(wire):
    headers = {"Authorization": wire.authorization, "Content-Type": "multipart/form-data"}
    assert wire.refusal(chat("hi"), headers=headers) == (400, "invalid_argument")


# --- bodies


@pytest.mark.parametrize("body", [b"", b"{", b"hi", b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000])
@pytest.mark.parametrize("path", [CHAT, COMPLETION])
def test_body_that_is_not_json_is_refused(wire, path, body):
    assert wire.refusal(body, path) == (400, "malformed_json")


@pytest.mark.parametrize("body", [[], "text", 1, None])
def test_body_that_is_no_object_is_refused(wire, body):
    assert wire.refusal(body) == (400, "invalid_argument")


@pytest.mark.parametrize("stream", [1, "true", None])
def test_stream_must_be_bool(wire, stream):
    assert wire.refusal(chat("hi") | {"stream": stream}) == (400, "invalid_argument")


@pytest.mark.parametrize("options", [True, [], {"include_usage": 1}])
def test_stream_options_have_a_shape(wire, options):
    body = chat("hi") | {"stream": True, "stream_options": options}
    assert wire.refusal(body) == (400, "invalid_argument")


def test_stream_options_are_for_streams_only(wire):
    body = chat("hi") | {"stream_options": {"include_usage": True}}
    assert wire.refusal(body) == (400, "invalid_argument")


def test_unknown_fields_are_passed_over(wire):
    more = {"extra_parameters": {"request_source": "qianfan_py_sdk_v0.4.12.3"}, "top_k": -1}
    assert wire.refusal(chat("hi") | more) == (200, "")


ASSISTANT = {"role": "assistant", "content": "Hello."}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
CALL = {"role": "assistant", "content": None, "tool_calls": CALLS}
TOOL = {"role": "tool", "content": "5", "tool_call_id": "1"}
SYSTEM = {"role": "system", "content": "Be brief."}
TALKS = {
    "one": [user("hi")],
    "system first": [SYSTEM, user("hi")],
    "turns": [user("hi"), ASSISTANT, user("hi")],
    "even count": [user("hi"), user("hi")],
    "tool": [user("hi"), CALL, TOOL],
    "parts": [user([{"type": "text", "text": "hi"}, {"type": "text", "text": "you"}])],
}


@pytest.mark.parametrize("messages", TALKS.values(), ids=TALKS)
def test_messages_are_taken(wire, messages):
    assert wire.refusal(chat(messages)) == (200, "")


NO_TALKS = {
    "none": None,
    "text": "hi",
    "empty": [],
    "no object": ["hi"],
    "system only": [SYSTEM],
    "system later": [user("hi"), SYSTEM, user("hi")],
    "unknown role": [{"role": "function", "content": "hi"}],
    "no role": [{"content": "hi"}],
    "role is a list": [{"role": [], "content": "hi"}],
    "assistant last": [user("hi"), ASSISTANT],
    "no content": [{"role": "user"}],
    "null": [user(None)],
    "number": [user(1)],
    "blank": [user(" \n\r\f")],
    "blank before": [user(" "), ASSISTANT, user("hi")],
    "blank assistant": [user("hi"), {"role": "assistant", "content": ""}, user("hi")],
    "calls are no list": [user("hi"), CALL | {"tool_calls": "x"}, TOOL],
    "tool without id": [user("hi"), CALL, {"role": "tool", "content": "5"}],
    "no parts": [user([])],
    "part is text": [user(["hi"])],
    "unknown part": [user([{"type": "audio", "text": "hi"}])],
    "blank part": [user([{"type": "text", "text": " "}])],
    "part without text": [user([{"type": "text"}])],
}


@pytest.mark.parametrize("messages", NO_TALKS.values(), ids=NO_TALKS)
def test_messages_are_refused(wire, messages):
    assert wire.refusal(chat("hi") | {"messages": messages}) == (400, "invalid_messages")


@pytest.mark.parametrize("prompt", [None, 1, "", " \n", ["x"]])
def test_prompt_is_refused(wire, prompt):
    body = {"model": CODER, "prompt": prompt}
    assert wire.refusal(body, COMPLETION) == (400, "invalid_argument")


@pytest.mark.parametrize("messages", [[user("hi " * 100_000)], [SYSTEM, user("城" * 119_000)]])
def test_too_many_tokens_are_refused(wire, messages):
    assert wire.refusal(chat(messages)) == (400, "tokens_too_long")


def test_as_many_tokens_as_the_card_has_are_taken(wire):
    assert wire.refusal(chat("城" * 119_000)) == (200, "")


TAKEN = [
    {"temperature": 0.01},
    {"temperature": 1},
    {"top_p": 0},
    {"penalty_score": 2.0},
    {"max_tokens": 1},
    {"seed": 2_147_483_646},
    {"stop": ["a" * 20] * 4},
    {"frequency_penalty": -2, "presence_penalty": 2},
    {"thinking_budget": 100},
    {"response_format": {"type": "text"}},
    {"web_search": {"enable": True}},
    {"tools": [], "tool_choice": "auto"},
    {"user": "somebody"},
    {"thinking": {"type": "nonsense"}},  # of other models
]


@pytest.mark.parametrize("parameters", TAKEN, ids=str)
def test_parameter_is_taken(wire, parameters):
    assert wire.refusal(chat("hi") | parameters) == (200, "")


REFUSED = [
    {"temperature": 0},
    {"temperature": 1.1},
    {"temperature": "0.5"},
    {"temperature": None},
    {"temperature": True},
    {"top_p": -0.1},
    {"penalty_score": 0.9},
    {"max_tokens": 0},
    {"max_tokens": 1.5},
    {"seed": 0},
    {"seed": 2_147_483_647},
    {"stop": "end"},
    {"stop": ["a"] * 5},
    {"stop": ["a" * 21]},
    {"frequency_penalty": 2.1},
    {"presence_penalty": -2.1},
    {"enable_thinking": "true"},
    {"thinking_budget": 99},
    {"response_format": "json_object"},
    {"response_format": {}},
    {"response_format": {"type": "xml"}},
    {"web_search": True},
    {"tools": {}},
    {"tool_choice": 1},
    {"user": 1},
]


@pytest.mark.parametrize("parameters", REFUSED, ids=str)
def test_parameter_is_refused(wire, parameters):
    assert wire.refusal(chat("hi") | parameters) == (400, "invalid_argument")


def test_refusal_of_a_parameter_names_its_range(wire):
    said = wire.ask("hi", temperature=2)["error"]["message"]
    assert said == "temperature must be a number in (0, 1]"


@pytest.mark.parametrize("parameter", ["penalty_score", "response_format", "thinking", "tools"])
def test_parameters_of_chats_are_not_looked_at_in_completions(wire, parameter):
    body = {"model": "deepseek-v3.2", "prompt": "x", parameter: 9}
    assert wire.refusal(body, COMPLETION) == (200, "")


@pytest.mark.parametrize("parameters", [{"max_tokens": 0}, {"suffix": 1}, {"stop": "x"}], ids=str)
def test_parameters_of_completions_are_looked_at(wire, parameters):
    body = {"model": CODER, "prompt": "x"} | parameters
    assert wire.refusal(body, COMPLETION) == (400, "invalid_argument")


# --- the shapes of answers


def test_whole_chat_has_the_documents_fields_in_order(wire):
    answer = wire.ask("hi")
    fields = ["id", "object", "created", "model", "choices", "usage"]
    assert (list(answer), answer["object"]) == (fields, "chat.completion")


def test_choice_of_a_whole_chat(wire):
    (choice,) = wire.ask("hi")["choices"]
    message = choice.pop("message")
    assert choice == {"index": 0, "finish_reason": "stop", "flag": 0}
    assert (list(message), message["role"]) == (["role", "content"], "assistant")


def test_whole_completion_has_its_fields(wire):
    answer = wire.complete("def is_prime(n):")
    (choice,) = answer["choices"]
    assert (answer["object"], "return True" in choice.pop("text")) == ("text_completion", True)
    assert choice == {"index": 0, "finish_reason": "stop", "flag": 0}


def test_answer_does_not_begin_with_a_space(wire):
    assert not wire.say(WALL)[0].isspace()


def test_stream_is_an_event_stream(wire):
    answer = wire.post(chat("hi") | {"stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("body", "path"), [(chat(WALL), CHAT), ({"model": CODER, "prompt": "x"}, COMPLETION)]
)
def test_stream_ends_with_done(wire, body, path):
    events = wire.events(body, path)
    assert (events[-1], events.count("[DONE]")) == ("[DONE]", 1)


def test_chunks_are_of_one_answer(wire):
    chunks = wire.stream(WALL)
    heads = {(c["id"], c["object"], c["created"], c["model"]) for c in chunks}
    assert {head[1::2] for head in heads} == {("chat.completion.chunk", ERNIE)}
    assert (len(heads), len(chunks) > 10) == (1, True)


def test_role_is_in_the_first_chunk_only(wire):
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in wire.stream(WALL)]
    assert (roles[0], set(roles[1:])) == ("assistant", {None})


def test_flag_is_in_every_choice(wire):
    assert {chunk["choices"][0]["flag"] for chunk in wire.stream(WALL)} == {0}


def test_finish_reason_is_in_the_last_chunk_only(wire):
    reasons = [chunk["choices"][0].get("finish_reason") for chunk in wire.stream(WALL)]
    assert (reasons[-1], set(reasons[:-1])) == ("stop", {None})


def test_chunks_of_a_chat_are_the_whole_answer(wire):
    assert joined(wire.stream(WALL)) == wire.say(WALL)


def test_chunks_of_a_completion_are_the_whole_answer(wire):
    body = {"model": CODER, "prompt": "def is_prime(n):"}
    chunks = [json.loads(event) for event in wire.events(body, COMPLETION)[:-1]]
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert text == wire.complete("def is_prime(n):")["choices"][0]["text"]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}])
def test_stream_has_no_usage_unless_asked(wire, options):
    assert [chunk for chunk in wire.stream(WALL, **options) if "usage" in chunk] == []


def test_usage_is_in_the_last_chunk_if_asked(wire):
    chunks = wire.stream(WALL, stream_options={"include_usage": True})
    usages = [chunk.get("usage") for chunk in chunks]
    assert (usages[-1], set(usages[:-1])) == (wire.ask(WALL)["usage"], {None})


def test_total_is_the_sum(wire):
    prompt, completion, total = wire.ask(WALL)["usage"].values()
    assert (prompt + completion, completion > 0) == (total, True)


def test_system_text_is_counted(wire):
    alone, both = (wire.ask(talk)["usage"] for talk in ([user("hi")], [SYSTEM, user("hi")]))
    assert both["prompt_tokens"] > alone["prompt_tokens"]


def test_text_ends_before_the_stop(wire):
    whole, cut = wire.say(WALL), wire.say(WALL, stop=["BC"])
    assert cut == whole.partition("BC")[0]


def test_first_of_several_stops_counts(wire):
    assert wire.say(WALL, stop=["BC", "wall"]) == wire.say(WALL).partition("wall")[0]


def test_stop_is_a_good_end(wire):
    assert wire.ask(WALL, stop=["BC"])["choices"][0]["finish_reason"] == "stop"


def test_max_tokens_cut(wire):
    answer = wire.ask(WALL, max_tokens=10)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert 0 < answer["usage"]["completion_tokens"] <= 10


def test_max_tokens_cut_a_stream_as_the_whole(wire):
    chunks = wire.stream(WALL, max_tokens=10)
    assert joined(chunks) == wire.say(WALL, max_tokens=10)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_max_tokens_cut_completions(wire):
    (choice,) = wire.complete("def is_prime(n):", max_tokens=5)["choices"]
    assert choice["finish_reason"] == "length"


def test_answer_that_was_cut_goes_on(wire):
    said = wire.say(WALL, max_tokens=20)
    talk = [user(WALL), {"role": "assistant", "content": said}, user("Go on")]
    assert said + wire.say(talk) == wire.say(WALL)


def test_answer_with_a_thought_goes_on(wire):
    said = wire.say(BAT, stop=["If"], enable_thinking=True)
    talk = [user(BAT), {"role": "assistant", "content": said}, user("Go on")]
    assert said + wire.say(talk) == wire.say(BAT, enable_thinking=True)


def test_same_seed_gives_the_same_answer(make_wire):
    wires = [make_wire(seed=seed) for seed in range(6)]
    assert len({wire.say("hi") for wire in wires}) > 1
    assert len({wire.say("hi", seed=5) for wire in wires}) == 1


# --- rate limit headers


def limits(answer: requests.Response) -> dict[str, int]:
    start = "X-Ratelimit-"
    headers = {n: value for n, value in answer.headers.items() if n.startswith(start)}
    return {name.removeprefix(start): int(value) for name, value in headers.items()}


def test_headers_tell_what_is_left(wire):
    usage = (answer := wire.post(chat("hi"))).json()["usage"]
    told = limits(answer)
    used = {
        name: told[f"Limit-{name}"] - told[f"Remaining-{name}"]
        for name in ("Requests", "Input-Tokens", "Output-Tokens")
    }
    assert used == {
        "Requests": 1,
        "Input-Tokens": usage["prompt_tokens"],
        "Output-Tokens": usage["completion_tokens"],
    }


def test_each_request_leaves_less(wire):
    left = [limits(wire.post(chat("hi")))["Remaining-Requests"] for _ in range(3)]
    assert left == [left[0], left[0] - 1, left[0] - 2]


def test_version_1_counts_tokens_together(wire):
    keys = wire.server.authenticator.keys
    query = {"grant_type": "client_credentials", "client_id": keys.ak, "client_secret": keys.sk}
    token = wire.send("POST", "/oauth/2.0/token", params=query).json()["access_token"]
    answer = wire.post({"messages": [user("hi")]}, OLD_CHAT, params={"access_token": token})
    told = limits(answer)
    assert len(told) == 4
    used = told["Limit-Tokens"] - told["Remaining-Tokens"]
    assert used == answer.json()["usage"]["total_tokens"]


def test_quota_is_whole_again_after_a_minute():
    times = iter([0.0, 59.9, 60.0, 60.0])
    quota = RateLimits(clock=lambda: next(times))
    left = [int(quota.count(1, 1, 2)["X-Ratelimit-Remaining-Requests"]) for _ in range(3)]
    assert left == [2_999, 2_998, 2_999]


# --- thinking


ON = {ERNIE: {"enable_thinking": True}, DEEPSEEK: {"thinking": {"type": "enabled"}}, THINKER: {}}
OFF = {ERNIE: {"enable_thinking": False}, DEEPSEEK: {"thinking": {"type": "disabled"}}}
#: The switch that belongs to another model.
MISTAKEN = {ERNIE: ON[DEEPSEEK], DEEPSEEK: ON[ERNIE], PLAIN: ON[ERNIE] | ON[DEEPSEEK]}


@pytest.mark.parametrize(("model", "on"), ON.items())
def test_model_thinks_when_told(wire, model, on):
    (choice,) = wire.ask(BAT, model, **on)["choices"]
    assert "x + (x + 1.00) = 1.10" in choice["message"]["reasoning_content"]


@pytest.mark.parametrize("switch", [OFF, MISTAKEN, {DEEPSEEK: {}, SEEING: {}}])
def test_model_does_not_think_otherwise(wire, switch):
    answers = [wire.ask(BAT, model, **sent) for model, sent in switch.items()]
    assert [a for a in answers if "reasoning_content" in a["choices"][0]["message"]] == []
    assert [a for a in answers if "completion_tokens_details" in a["usage"]] == []


def test_model_that_always_thinks_cannot_be_told_not_to(wire):
    message = wire.ask(BAT, THINKER, enable_thinking=False)["choices"][0]["message"]
    assert message["reasoning_content"]


@pytest.mark.parametrize("thinking", [True, {}, {"type": "on"}, {"type": ["enabled"]}])
def test_switch_has_a_shape(wire, thinking):
    status, code = wire.refusal(chat("hi", DEEPSEEK) | {"thinking": thinking})
    assert (status, code) == (400, "invalid_argument")


def test_thinking_makes_the_answer_right(wire):
    tempting, right = wire.say(BAT), wire.say(BAT, enable_thinking=True)
    assert ("**10 cents**" in tempting, "**5 cents**" in right) == (True, True)


def test_thoughts_come_first_and_without_content(wire):
    deltas = [c["choices"][0]["delta"] for c in wire.stream(BAT, enable_thinking=True)]
    thinks = ["reasoning_content" in delta for delta in deltas]
    assert thinks == sorted(thinks, reverse=True)
    assert {d["content"] for d in deltas if "reasoning_content" in d} == {None}
    assert deltas[0]["role"] == "assistant"


def test_thoughts_of_a_stream_are_those_of_the_whole_answer(wire):
    chunks = wire.stream(BAT, enable_thinking=True)
    message = wire.ask(BAT, enable_thinking=True)["choices"][0]["message"]
    said = {name: joined(chunks, name) for name in ("content", "reasoning_content")}
    assert said | {"role": "assistant"} == message


def test_thoughts_are_counted(wire):
    usage = wire.ask(BAT, enable_thinking=True)["usage"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 100 < thought < usage["completion_tokens"]


def test_budget_cuts_the_thoughts_alone(wire):
    answer = wire.ask(BAT, enable_thinking=True, thinking_budget=100)
    thought = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
    (choice,) = answer["choices"]
    assert (90 <= thought <= 100, choice["finish_reason"]) == (True, "stop")
    assert choice["message"]["content"] == wire.say(BAT, enable_thinking=True)


def test_max_tokens_count_thoughts_too(wire):
    answer = wire.ask(BAT, enable_thinking=True, max_tokens=50)
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert answer["usage"]["completion_tokens"] <= 50


def test_stream_that_was_cut_while_thinking_says_nothing(wire):
    chunks = wire.stream(BAT, enable_thinking=True, max_tokens=50)
    assert (joined(chunks), len(joined(chunks, "reasoning_content")) > 0) == ("", True)


def test_stop_does_not_touch_thoughts(wire):
    message = wire.ask(BAT, enable_thinking=True, stop=["cents"])["choices"][0]["message"]
    assert "cents" in message["reasoning_content"]
    assert "cents" not in message["content"]


@pytest.mark.parametrize(
    ("question", "thought", "answer"),
    [
        ("Which is larger, 9.11 or 9.9?", "9.90", "**9.9**"),
        ("鸡兔同笼, 35 头 94 足", "12", "**23**"),
    ],
)
def test_other_questions_are_worth_a_thought(wire, question, thought, answer):
    message = wire.ask(question, enable_thinking=True)["choices"][0]["message"]
    assert thought in message["reasoning_content"]
    assert (answer in message["content"], answer in wire.say(question)) == (True, True)


@pytest.mark.parametrize("question", ["Will it {rain}?", "会下雨吗？"])
def test_any_other_thought_repeats_the_question(wire, question):
    message = wire.ask(question, enable_thinking=True)["choices"][0]["message"]
    assert question in message["reasoning_content"]


def test_completion_does_not_think(wire):
    body = {"model": "deepseek-v3.2", "prompt": "x", "thinking": {"type": "enabled"}}
    assert "completion_tokens_details" not in wire.post(body, COMPLETION).json()["usage"]


# --- filling in the middle


MIDDLES = [
    ("def fahrenheit(celsius):\n", "    return result\n"),
    ("def fahrenheit(celsius):", "\n    return result\n"),
    ("def fahrenheit(celsius):\n    ", "\n    return result"),
    ("def fahrenheit(celsius):", "    return result"),
    ("def fahrenheit(celsius):\n    ", "return warm"),
    ('def fahrenheit(celsius: float) -> float:\n    """Convert."""\n', "    return result"),
    ("def fahrenheit(celsius):", ""),
]


@pytest.mark.parametrize(("prompt", "suffix"), MIDDLES)
def test_middle_makes_a_function_that_works(wire, prompt, suffix):
    parameters = {"suffix": suffix} if suffix else {}
    text = wire.complete(prompt, **parameters)["choices"][0]["text"]
    names: dict[str, Any] = {}
    exec(compile(prompt + text + suffix, "answer", "exec"), names)
    assert [names["fahrenheit"](celsius) for celsius in (0, 100)] == [32, 212]


def test_any_other_middle_leaves_the_suffix_a_program(wire):
    text = wire.complete("x = 1\n", suffix="y = 2")["choices"][0]["text"]
    names: dict[str, Any] = {}
    exec(compile("x = 1\n" + text + "y = 2", "answer", "exec"), names)
    assert names["y"] == 2


# --- pictures


def picture(name: str = "PNG", size: tuple[int, int] = (31, 17), **options: Any) -> bytes:
    image = pytest.importorskip("PIL.Image")
    written = io.BytesIO()
    image.new("RGB", size, "red").save(written, name, **options)
    return written.getvalue()


def data(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def shown(*urls: Any, text: str = "What is this?") -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [user([*parts, {"type": "text", "text": text}])]


FORMATS = {
    "PNG": {},
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "WEBP exact": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
    "GIF": {},
    "BMP": {},
}


@pytest.mark.parametrize(("name", "options"), FORMATS.items())
def test_answer_tells_format_and_size(wire, name, options):
    name = name.partition(" ")[0]
    said = wire.say(shown(data(picture(name, **options))), SEEING)
    assert (name in said.upper(), "31 by 17 pixels" in said) == (True, True)


def test_answer_says_that_it_cannot_see(wire):
    said = wire.say(shown(data(picture())), SEEING)
    assert ("scripted engine" in said, "cannot see" in said) == (True, True)


def test_answer_tells_how_many_there_are(wire):
    assert "2 pictures" in wire.say(shown(data(picture()), data(picture("GIF"))), SEEING)


def test_bytes_are_told(wire):
    content = picture()
    assert f"({len(content)} bytes)" in wire.say(shown(data(content)), SEEING)


def test_picture_at_an_address_is_not_fetched(wire):
    said = wire.say(shown(f"{wire.server.base_url}/cat.png"), SEEING)
    assert ("does not open" in said, len(wire.server.seen)) == (True, 1)


def test_picture_needs_no_words(wire):
    messages = [user([{"type": "image_url", "image_url": {"url": data(picture())}}])]
    assert "31 by 17" in wire.say(messages, SEEING)


def test_earlier_picture_is_not_spoken_of_again(wire):
    messages = [*shown(data(picture())), ASSISTANT, user(WALL)]
    assert "Great Wall" in wire.say(messages, SEEING)


def test_model_without_eyes_takes_no_picture(wire):
    assert wire.refusal(chat(shown(data(picture())), PLAIN)) == (400, "invalid_argument")


def test_model_without_eyes_takes_no_earlier_picture(wire):
    messages = [*shown(data(picture())), ASSISTANT, user("hi")]
    assert wire.refusal(chat(messages, PLAIN)) == (400, "invalid_argument")


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_only_the_user_shows_pictures(wire, role):
    messages = [shown(data(picture()))[0] | {"role": role}, user("hi")]
    assert wire.refusal(chat(messages, SEEING)) == (400, "invalid_messages")


def wrong_pictures() -> dict[str, Any]:
    png = picture()
    return {
        "no text": 1,
        "nothing": None,
        "path": "/tmp/cat.png",
        "file": "file:///tmp/cat.png",
        "bare address": "https://",
        "no base64": "data:image/png;base64,*",
        "half base64": data(png)[:-1],
        "not base64": "data:image/png,abc",
        "no image": data(png, "text/plain"),
        "empty": data(b""),
        "text": data(b"hello, this is no picture at all"),
        "PNG's beginning": data(png[:12]),
        "JPEG without a frame": data(picture("JPEG")[:30]),
        "PDF": data(b"%PDF-1.7 " + bytes(64)),
        "too small": data(picture(size=(4, 100))),
        "too wide": data(picture(size=(6_000, 5))),
        "too many bytes": data(png + bytes(10 * 1024 * 1024)),
    }


@pytest.mark.parametrize("name", list(wrong_pictures()))
def test_wrong_picture_is_refused(wire, name):
    messages = shown(wrong_pictures()[name])
    assert wire.refusal(chat(messages, SEEING)) == (400, "invalid_image_url")


@pytest.mark.parametrize("size", [(5, 5), (5_999, 5)])
def test_picture_at_the_bounds_is_taken(wire, size):
    assert wire.refusal(chat(shown(data(picture(size=size))), SEEING)) == (200, "")


def test_picture_of_ten_megabytes_is_taken(wire):
    png = picture()
    content = png + bytes(10 * 1024 * 1024 - len(png))
    assert wire.refusal(chat(shown(data(content)), SEEING)) == (200, "")


# --- JSON


JSON = {"response_format": {"type": "json_object"}}


def test_rivers_are_json(wire):
    read = json.loads(wire.say("Name the two longest rivers of China", **JSON))
    assert [river["name"] for river in read["rivers"]] == ["长江", "黄河"]


@pytest.mark.parametrize("asked", ["Will it rain?", "hi", 'Say "x"'])
def test_any_other_answer_is_json_too(wire, asked):
    assert "no language model" in json.loads(wire.say(asked, **JSON))["answer"]


def test_json_of_a_picture(wire):
    read = json.loads(wire.say(shown(data(picture())), SEEING, **JSON))
    assert "31 by 17" in read["answer"]


def test_text_is_no_json(wire):
    assert wire.say("hi", response_format={"type": "text"}) == wire.say("hi")


# --- what it says


def test_anything_else_is_answered_honestly(wire):
    said = wire.say([SYSTEM, user("Will it rain?")], temperature=0.2)
    assert (ERNIE in said, "13 characters" in said, "temperature=0.2" in said) == (True,) * 3


def test_conversation_is_understood_behind_a_system_text(wire):
    messages = [SYSTEM, user(WALL), ASSISTANT, user("How long is it?")]
    assert "21,196" in wire.say(messages)


def test_system_text_is_not_the_first_question(wire):
    messages = [SYSTEM, user("Hello?"), ASSISTANT, user("What was my first question?")]
    assert "“Hello?”" in wire.say(messages)


# --- faults


def test_fault_sends_an_error_of_this_version(wire):
    code = "rpm_rate_limit_exceeded"
    wire.server.fail(Fault(error_code=code, error_msg="Rate limit", status=429, path="/v2/"))
    answer = wire.post(chat("hi"))
    error = {"code": code, "message": "Rate limit", "type": "rate_limit_exceeded"}
    assert (answer.status_code, answer.json()["error"]) == (429, error)


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("system_unsafe", "unsafe_request"),
        ("account_overdue", "access_denied"),
        ("internal_error", "Internal_error"),
        ("Offline_batch_reasoning_refused", "rate_limit_exceeded"),
        ("characters_too_long", "invalid_request_error"),
    ],
)
def test_error_has_its_type(wire, code, type_):
    wire.server.fail(Fault(error_code=code, path="/v2/"))
    assert wire.ask("hi")["error"]["type"] == type_


def test_fault_of_version_1_spares_version_2(wire):
    wire.server.fail(Fault(status=500))
    assert wire.refusal(chat("hi")) == (200, "")


def test_fault_happens_once(wire):
    wire.server.fail(Fault(status=503, body=b"{}", path="/v2/"))
    assert [wire.post(chat("hi")).status_code for _ in range(2)] == [503, 200]


def test_error_comes_in_the_middle_of_a_stream_as_an_event(wire):
    wire.server.fail(Fault(error_code="internal_error", after=2, path="/v2/"))
    events = wire.events(chat(WALL))
    assert (len(events), json.loads(events[-1])["error"]["code"]) == (3, "internal_error")


def test_body_comes_in_the_middle_of_a_stream(wire):
    wire.server.fail(Fault(body=b"data: {bro", after=2, path="/v2/"))
    raw = wire.post(chat(WALL) | {"stream": True}).text
    assert (raw.endswith("\n\ndata: {bro"), raw.count("data: ")) == (True, 3)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("after", [0, 2])
def test_connection_ends_too_soon(wire, end, after):
    wire.server.fail(Fault(end=end, after=after, path="/v2/"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.post(chat(WALL) | {"stream": True})
    assert wire.server.seen[-1].sent == after


def test_field_is_put_into_every_chunk(wire):
    wire.server.fail(Fault(fields={"need_clear_history": True}, path="/v2/"))
    chunks = wire.stream("hi")
    assert {chunk["need_clear_history"] for chunk in chunks} == {True}


def test_flag_is_put_into_every_choice(wire):
    wire.server.fail(Fault(fields={"flag": 2, "ban_round": -1}, path="/v2/"))
    seen = {(c["choices"][0]["flag"], c["choices"][0]["ban_round"]) for c in wire.stream("hi")}
    assert seen == {(2, -1)}


def test_flag_is_put_into_a_whole_answer(wire):
    wire.server.fail(Fault(fields={"flag": 2}, path="/v2/"))
    answer = wire.ask("hi")
    assert (answer["choices"][0]["flag"], "flag" in answer) == (2, False)


def test_stream_with_fields_ends_as_it_should(wire):
    wire.server.fail(Fault(fields={"flag": 1}, path="/v2/"))
    assert wire.events(chat("hi"))[-1] == "[DONE]"


def test_fault_hits_iam(wire):
    wire.server.fail(Fault(status=503, body=b"", path="/BCE-BEARER/"))
    assert [iam(wire).status_code for _ in range(2)] == [503, 200]


def test_fault_hits_the_list_of_models(wire):
    wire.server.fail(Fault(status=500, error_code="internal_error", path=MODELS))
    statuses = [wire.send("GET", MODELS).status_code for _ in range(2)]
    assert statuses == [500, 200]


def test_sent_chunks_are_counted_without_done(wire):
    assert wire.server.seen == []
    chunks = wire.stream(WALL)
    assert wire.server.seen[-1].sent == len(chunks)


# --- what leads to the server


def test_environment_leads_to_version_2(wire):
    variables = wire.server.environment()
    sent = {"Authorization": f"Bearer {variables['QIANFAN_BEARER_TOKEN']}"}
    address = variables["QIANFAN_CONSOLE_API_BASE_URL"] + MODELS
    answer = wire.session.get(address, headers=sent, timeout=PATIENCE)
    assert answer.json()["object"] == "list"


def test_environment_leads_to_iam(wire):
    assert wire.server.environment()["QIANFAN_IAM_BASE_URL"] == wire.server.base_url


def test_settings_lead_to_the_server(wire):
    settings = wire.server.settings()
    leads = {settings.base_url, settings.console_api_base_url, settings.iam_base_url}
    assert (leads, settings.model) == ({wire.server.base_url}, None)


def test_settings_let_in(wire):
    bearer = f"Bearer {wire.server.settings().credentials.bearer_token}"
    assert refused_as(wire, bearer) == (200, "")

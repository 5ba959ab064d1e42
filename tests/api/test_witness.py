"""Comparison of our client with the official Python SDK, both against the embedded server.

The SDK runs in processes of its own, because importing it changes a process, with an empty home
and working directory, and with a proxy that stands for every host but the embedded server.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

import pytest
from support.raw_server import RawServer

from qianfan_magic import (
    APIError,
    AuthError,
    QianfanClient,
    RateLimitError,
    TokenExpiredError,
)
from qianfan_magic.api.catalogue.cards import package_cards
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.config.settings import load_settings
from qianfan_magic.api.wire import read_reply, v1
from qianfan_magic.embedded.engines import reasoning as thoughts
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer


def run_sdk():
    """Read requests, one per line; send each by the SDK, and print what it returned or raised."""
    import json
    import sys

    import qianfan
    from qianfan.errors import QianfanError

    kinds = {"chat": qianfan.ChatCompletion, "completion": qianfan.Completion}
    for line in sys.stdin:
        kind, method, keys, content, options = json.loads(line)
        bodies, raised = [], None
        try:
            send = getattr(kinds[kind](**keys), method)
            answer = send(content, retry_count=1, request_timeout=20, **options)
            for part in answer if options.get("stream") else [answer]:
                bodies += [part.body if method == "do" else part.dict()]
        except QianfanError as error:
            raised = {"name": type(error).__name__, "message": str(error)}
            raised |= {name: getattr(error, name, None) for name in ("error_code", "status_code")}
        print(json.dumps({"bodies": bodies, "raised": raised}), flush=True)


@dataclass(frozen=True)
class Case:
    """A request: its credentials, content, and options by our names and by the wire's."""

    keys: str
    version: int
    content: Any
    options: dict[str, Any]
    wire: dict[str, Any] | None = None
    stream: bool = False
    given: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self):
        return "completion" if isinstance(self.content, str) else "chat"

    @property
    def sent(self):
        """The options for the SDK, which does not request the usage of a stream by itself."""
        wants_usage = self.stream and self.version == 2
        usage = {"stream_options": {"include_usage": True}} if wants_usage else {}
        return (self.options if self.wire is None else self.wire) | usage


def user(text):
    return [{"role": "user", "content": text}]


#: The part of a path that only requests to models have.
PATHS = {1: "/ai_custom/", 2: "/v2/"}
#: What the SDK adds to a body.
SOURCE = f"qianfan_py_sdk_v{metadata.version('qianfan')}"
#: A well-formed token that nobody has.
BEARER = "bce-v3/ALTAK-0123456789abcdef/0123456789abcdef0123456789abcdef01234567"
TALK = [*user("Tell me of Beijing"), {"role": "assistant", "content": "Big."}, *user("我问了什么?")]
DOLLY, ERNIE = {"endpoint": "dolly_12b"}, {"model": "ernie-5.1"}
SAMPLED = {"temperature": 0.25, "top_p": 0.5, "penalty_score": 1.5, "stop": ["zz", "."]}
NUMBERS = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}}
ADD = {"name": "add", "description": "Add.", "parameters": NUMBERS}
TOOLS = {"tools": [{"type": "function", "function": ADD}]}
ASKED = {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 3}'}}
CALLED = [
    *user("Add 3 and 4"),
    {"role": "assistant", "content": "", "tool_calls": [ASKED]},
    {"role": "tool", "tool_call_id": "a", "content": "7"},
]
ERNIE_3 = {"endpoint": "completions"}
#: Version 1: content, our options, and the SDK's where the wire has other names.
OLD = {
    "chat": (user("hi"), DOLLY),
    "chinese": (user("长城"), DOLLY),
    "talk": (TALK, DOLLY),
    "sampled": (user("Who are you?"), DOLLY | SAMPLED | {"top_k": 3, "user_id": "me"}),
    "cut": (user("Great Wall"), DOLLY | {"max_tokens": 9}, DOLLY | {"max_output_tokens": 9}),
    "published": (user("hi"), {"endpoint": "my_dolly_12b"}),
    "code": ("def fibonacci(n):", {"endpoint": "starcoder"}),
    "other code": ("# 排序", {"endpoint": "aquilacode_multi", **SAMPLED}),
    "text": ("Once upon a time", {"endpoint": "stablelm_alpha_7b"}),
    "call": (user("Add 3 and 4"), ERNIE_3 | TOOLS, ERNIE_3 | {"functions": [ADD]}),
}
#: Version 2, likewise.
NEW = {
    "chat": (user("hi"), ERNIE),
    "chinese": (user("长城"), ERNIE),
    "talk": (TALK, ERNIE),
    "thinking": (user("Which is larger, 9.11 or 9.9?"), ERNIE | {"enable_thinking": True}),
    "other switch": (
        user("9.11 or 9.9, which is larger?"),
        {"model": "deepseek-v4-pro", "enable_thinking": True},
        {"model": "deepseek-v4-pro", "thinking": {"type": "enabled"}},
    ),
    "always thinking": (user("鸡兔同笼"), {"model": "ernie-5.0-thinking-latest"}),
    "sampled": (user("Who are you?"), ERNIE | SAMPLED | {"seed": 7, "frequency_penalty": 0.5}),
    "cut": (user("Great Wall"), ERNIE | {"max_tokens": 9}),
    "call": (user("Add 3 and 4"), ERNIE | TOOLS),
    "result of a call": (CALLED, ERNIE | TOOLS),
    "system": ([{"role": "system", "content": "Be brief."}, *user("hi")], ERNIE),
    "json": (
        user("Rivers as JSON"),
        ERNIE | {"response_format": "json_object"},
        ERNIE | {"response_format": {"type": "json_object"}},
    ),
}
WAYS = {
    "AK and SK": ("application", 1, OLD),
    "access token": ("token", 1, OLD),
    "signature": ("account", 1, OLD),
    "bearer token": ("application", 2, NEW),
    "bearer token of IAM": ("account", 2, NEW),
}


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="module")
def environments(server):
    keys, given = server.authenticator.keys, server.environment()
    bare = {name: value for name, value in given.items() if name.endswith("_BASE_URL")}
    token = server.authenticator.issue_token(keys.ak, keys.sk)["access_token"]
    account = {"QIANFAN_ACCESS_KEY": keys.access_key, "QIANFAN_SECRET_KEY": keys.secret_key}
    return {
        "application": given,
        "token": bare | {"QIANFAN_ACCESS_TOKEN": token},
        "account": bare | account,
        "stranger": bare | {"QIANFAN_BEARER_TOKEN": BEARER},
    }


@pytest.fixture(scope="module")
def other_hosts():
    """The proxy of every process; it stands for all other hosts."""
    with RawServer() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def sdk_processes(environments, other_hosts, tmp_path_factory):
    """Start a process with the SDK for each environment."""
    command = [sys.executable, "-c", f"{inspect.getsource(run_sdk)}\nrun_sdk()"]
    with contextlib.ExitStack() as processes:
        started = {}
        for name, environment in environments.items():
            home = tmp_path_factory.mktemp(name)
            outside = {
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "http_proxy": other_hosts.url,
                "https_proxy": other_hosts.url,
                "no_proxy": "127.0.0.1",
            }
            log = processes.enter_context((home / "log").open("w"))
            process = subprocess.Popen(
                command,
                env=outside | environment,
                cwd=tmp_path_factory.mktemp("empty"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            started[name] = processes.enter_context(process)
            processes.callback(process.stdin.close)
        yield started


@pytest.fixture
def theirs(sdk_processes):
    """Send a request by the SDK; return the JSON of each chunk, and what it raised or None."""

    def ask(case, method="do"):
        process = sdk_processes[case.keys]
        version = {"version": str(case.version)} if case.kind == "chat" else {}
        request = [case.kind, method, version | case.given, case.content]
        options = case.sent | ({"stream": True} if case.stream else {})
        process.stdin.write(json.dumps([*request, options]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the process {case.keys!r} has ended; its log is in its home"
        got = json.loads(line)
        return got["bodies"], got["raised"]

    return ask


@pytest.fixture
def ours(environments):
    """Send a request by our client, from the same variables; yield the chunks, or raise."""

    def ask(case):
        alone = {"QIANFAN_DISABLE_CACHE": "true"}
        settings = load_settings(environ=environments[case.keys] | alone)
        # Without the limits of our cards, so that the server refuses a text that is too long.
        unlimited = Catalogue(replace(card, max_characters=None) for card in package_cards())
        with QianfanClient(settings, catalogue=unlimited, **case.given) as client:
            options = case.options | {"retries": 1}
            yield from client.start(case.kind, case.content, options, stream=case.stream).chunks()

    return ask


def events_of(chunks, version):
    """Leave out the end of a stream of version 2, which the SDK does not yield."""
    return chunks[:-1] if version == 2 and len(chunks) > 1 else chunks


def summary(chunks, version):
    """Return what our client has read of an answer."""
    reply, events = read_reply(chunks, version), events_of(chunks, version)
    usage = reply.usage
    return {
        "texts": [chunk.text for chunk in events],
        "reasoning": [chunk.reasoning for chunk in events],
        "id": reply.id,
        "usage": [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
        "finish_reason": reply.finish_reason,
        "is_truncated": reply.is_truncated,
        "need_clear_history": reply.need_clear_history,
        "is_safe": reply.is_safe,
    }


def summary_of_bodies(bodies, version):
    """Return the same, read from the SDK's JSON without our code."""
    choices = [body["choices"][0] for body in bodies] if version == 2 else bodies
    messages = [choice.get("delta") or choice.get("message") or choice for choice in choices]
    usages = [body["usage"] for body in bodies if body.get("usage")]
    (prompt,) = {usage["prompt_tokens"] for usage in usages}
    finish_reason = next((c["finish_reason"] for c in choices if c.get("finish_reason")), "")
    safe = {body["is_safe"] for body in bodies if "is_safe" in body}
    return {
        "texts": [m.get("content") or m.get("result") or "" for m in messages],
        "reasoning": [m.get("reasoning_content") or "" for m in messages],
        "id": "/".join({body["id"] for body in bodies}),
        "usage": [prompt, sum(u["completion_tokens"] for u in usages), usages[-1]["total_tokens"]],
        "finish_reason": finish_reason,
        "is_truncated": finish_reason == "length" or any(b.get("is_truncated") for b in bodies),
        "need_clear_history": any(
            choice.get("need_clear_history") or (choice.get("flag") or 0) > 1 for choice in choices
        ),
        "is_safe": safe == {1} if safe else False if any(c.get("flag") for c in choices) else None,
    }


def undated(bodies):
    """Leave out the time, which passes between two requests."""
    return [{**body, "created": 0} for body in bodies]


def request_of(server, since):
    """Return the one request to a model; the SDK also requests tokens and a list of services."""
    (seen,) = [s for s in server.seen[since:] if s.path.startswith((v1.PREFIX, "/v2/"))]
    return seen


# --- answers


STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@STREAMED
def test_sdk_and_our_client_send_and_receive_the_same(server, ours, theirs, stream):
    added = {"stream": stream, "extra_parameters": {"request_source": SOURCE}}
    for way, (keys, version, rows) in WAYS.items():
        for name, row in rows.items():
            case = Case(keys, version, *row, stream=stream)
            start = len(server.seen)
            bodies, raised = theirs(case)
            sdk, middle = request_of(server, start), len(server.seen)
            chunks = list(ours(case))
            own = request_of(server, middle)
            raw = [chunk.raw for chunk in events_of(chunks, version)]
            assert sdk.method == own.method, (way, name)
            assert sdk.path == own.path, (way, name)
            assert json.loads(sdk.body) == json.loads(own.body) | added, (way, name)
            assert raised is None, (way, name)
            assert summary_of_bodies(bodies, version) == summary(chunks, version), (way, name)
            assert undated(bodies) == undated(raw), (way, name)


@STREAMED
def test_sdk_receives_the_reasoning(theirs, stream):
    bodies, _ = theirs(Case("application", 2, *NEW["thinking"], stream=stream))
    assert "".join(summary_of_bodies(bodies, 2)["reasoning"]) == thoughts.LARGER.thought


@STREAMED
def test_truncated_answer_has_at_most_the_requested_tokens(theirs, stream):
    for version, rows in ((1, OLD), (2, NEW)):
        bodies, _ = theirs(Case("application", version, *rows["cut"], stream=stream))
        answer = summary_of_bodies(bodies, version)
        assert answer["is_truncated"], version
        assert 0 < answer["usage"][1] <= 9, version


@STREAMED
def test_both_read_a_warning(server, ours, theirs, stream):
    for version, fields in (
        (1, {"is_truncated": True}),
        (1, {"need_clear_history": True, "ban_round": -1}),
        (1, {"is_safe": 0}),
        (2, {"flag": 1}),
        (2, {"flag": 2, "ban_round": -1}),
    ):
        row = NEW["chat"] if version == 2 else OLD["code" if "is_safe" in fields else "chat"]
        case = Case("application", version, *row, stream=stream)
        plain = summary(list(ours(case)), version)
        server.fail(*[Fault(fields=fields, path=PATHS[version])] * 2)
        warned = summary(list(ours(case)), version)
        bodies, _ = theirs(case)
        assert summary_of_bodies(bodies, version) == warned, fields
        assert warned != plain, fields


@STREAMED
def test_answer_satisfies_the_types_of_the_sdk(theirs, stream):
    """`create` makes objects and raises where a field is missing or has another type."""
    for name in ("chat", "thinking", "cut", "json"):
        case = Case("application", 2, *NEW[name], stream=stream)
        plain, typed = theirs(case)[0], theirs(case, "create")[0]
        assert summary_of_bodies(typed, 2) == summary_of_bodies(plain, 2), name


# --- authentication


def signed(seen):
    return seen.headers["Authorization"].startswith("bce-auth-v1/")


def test_sdk_authenticates_as_configured(server, theirs):
    for way, before, begins in (
        ("AK and SK", ["POST /oauth/2.0/token"], ""),
        ("access token", [], ""),
        ("signature", ["POST /wenxinworkshop/service/list"], "bce-auth-v1/"),
        ("bearer token", [], "Bearer bce-v3/ALTAK-"),
        ("bearer token of IAM", ["GET /v1/BCE-BEARER/token"], "Bearer bce-v3/ALTAK-"),
    ):
        keys, version, rows = WAYS[way]
        start = len(server.seen)
        _, raised = theirs(Case(keys, version, *rows["chat"]))
        *earlier, request = server.seen[start:]
        authorization = request.headers.get("Authorization", "")
        assert raised is None, way
        assert [f"{seen.method} {seen.path}" for seen in earlier] == before, way
        assert authorization.startswith(begins), way
        assert bool(authorization) == bool(begins), way
        assert way not in {"signature", "bearer token of IAM"} or signed(earlier[0]), way


def test_sdk_uses_the_bearer_token_of_iam_or_the_given_one(server, theirs):
    authorizations = []
    for keys in ["account", "application"]:
        theirs(Case(keys, 2, *NEW["chat"]))
        authorizations.append(server.seen[-1].headers["Authorization"])
    issued = list(server.authenticator.bearers)[-1]
    assert authorizations == [
        f"Bearer {issued}",
        f"Bearer {server.authenticator.keys.bearer_token}",
    ]


def test_server_checks_the_application(server, theirs):
    for app_id, status in ((server.authenticator.keys.app_id, None), ("app-else", 401)):
        _, raised = theirs(Case("application", 2, *NEW["chat"], given={"app_id": app_id}))
        assert server.seen[-1].headers["Appid"] == app_id
        assert (raised and raised["status_code"]) == status


def test_sdk_connects_to_the_embedded_server_only(theirs, other_hosts):
    for keys, version, rows in WAYS.values():
        theirs(Case(keys, version, *rows["chat"]))
    assert other_hosts.requests == []


# --- errors


@dataclass(frozen=True)
class Refusal:
    """A refused request, our error for it, and the SDK's."""

    case: Case
    error: type[APIError]
    code: int | str
    status: int = 200
    sdk: str = "APIError"
    fault: Fault | None = None


def old(*row, keys="application", **given):
    return Case(keys, 1, *row, given=given)


def new(*row, keys="application", **given):
    return Case(keys, 2, *row, given=given)


LONG = user("长" * 6_000)
HI = user("hi")
REFUSALS = {
    "AK": Refusal(
        old(HI, DOLLY, ak="0123456789abcdef", sk="0123456789abcdef"),
        AuthError,
        "invalid_client",
        sdk="AuthError",
    ),
    "access token": Refusal(
        old(HI, DOLLY, keys="token", access_token="24.0123456789abcdef"),
        TokenExpiredError,
        110,
        sdk="AccessTokenExpiredError",
    ),
    "access key": Refusal(
        old(HI, DOLLY, keys="account", access_key="ALTAK0123456789", secret_key="0123456789"),
        AuthError,
        14,
    ),
    "bearer token": Refusal(
        new(HI, ERNIE, keys="stranger"), TokenExpiredError, "invalid_iam_token", 401
    ),
    "access key of IAM": Refusal(
        new(HI, ERNIE, keys="account", access_key="ALTAK0123456789", secret_key="0123456789"),
        AuthError,
        "NotFound",
        403,
        sdk="RequestError",
    ),
    "endpoint": Refusal(old(HI, {"endpoint": "no_such"}), APIError, 336005),
    "kind": Refusal(old("hi", DOLLY), APIError, 336005),
    "model": Refusal(new(HI, {"model": "no-such"}), APIError, "invalid_model", 401),
    "characters": Refusal(old(LONG, DOLLY), APIError, 336007),
    "tokens": Refusal(old("word " * 5_000, {"endpoint": "stablelm_alpha_7b"}), APIError, 336103),
    "new tokens": Refusal(
        new(user("长" * 130_000), {"model": "ernie-5.1"}), APIError, "tokens_too_long", 400
    ),
    "new ended": Refusal(new(HI, {"model": "deepseek-v3.2"}), APIError, "model_offline", 403),
}
RATES = {
    f"{code} with {status}": Refusal(
        Case("application", version, HI, DOLLY if version == 1 else ERNIE),
        RateLimitError,
        code,
        status,
        fault=Fault(error_code=code, error_msg="slower", status=status, path=PATHS[version]),
    )
    for version, code, status in (
        (1, 18, 200),
        (1, 336501, 200),
        (1, 336502, 429),
        (2, "rpm_rate_limit_exceeded", 429),
        (2, "tpm_rate_limit_exceeded", 429),
    )
}


@STREAMED
def test_sdk_raises_the_error_that_corresponds_to_ours(server, ours, theirs, stream):
    for name, refusal in (REFUSALS | RATES).items():
        case = replace(refusal.case, stream=stream)
        server.fail(*[refusal.fault] * 2 if refusal.fault else [])
        with pytest.raises(refusal.error) as caught:
            pytest.fail(f"{name}: {list(ours(case))}")
        bodies, raised = theirs(case)
        assert type(caught.value) is refusal.error, name
        assert caught.value.error_code == refusal.code, name
        assert bodies == [], name
        # The SDK reads the body of an error with its own status only at the start of a stream.
        by_status = refusal.status != 200 and (not stream or refusal.sdk == "RequestError")
        expected = {
            "name": "RequestError" if by_status else refusal.sdk,
            "error_code": None if by_status or refusal.sdk != "APIError" else refusal.code,
            "status_code": refusal.status if by_status else None,
        }
        assert {field: raised[field] for field in expected} == expected, name


def test_sdk_recognises_which_key_is_wrong(theirs):
    for case, message in (
        (old(HI, DOLLY, ak="0123456789abcdef", sk="0123"), "AK(012345***) is not correct"),
        (old(HI, DOLLY, sk="0123456789abcdef"), "SK(012345***) is not correct"),
        (new(HI, ERNIE, keys="account", access_key="ALTAK012345"), "Access Key(`"),
        (new(HI, ERNIE, keys="account", secret_key="0123456789"), "Secret Key(`"),
    ):
        assert message in theirs(case)[1]["message"]


def test_error_in_the_middle_comes_after_the_same_chunks(server, ours, theirs):
    for version, rows, code in ((1, OLD, 336100), (2, NEW, "internal_error")):
        case = Case("application", version, *rows["chinese"], stream=True)
        server.fail(*[Fault(error_code=code, after=2, path=PATHS[version])] * 2)
        with pytest.raises(APIError) as caught:
            pytest.fail(f"{version}: {list(ours(case))}")
        bodies, raised = theirs(case)
        assert raised["name"] == "APIError", version
        assert raised["error_code"] == caught.value.error_code, version
        assert len(bodies) == 2, version
        if version == 1:
            texts = [body["result"] for body in bodies]
        else:
            texts = [body["choices"][0]["delta"]["content"] for body in bodies]
        assert "".join(texts) == caught.value.partial, version

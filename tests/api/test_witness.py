"""The official Python SDK as a witness: it gets from the embedded server what our client gets.

It runs in processes of its own, since importing it changes a process, with a home and a folder
that are empty and a proxy that lets nothing out.
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
from qianfan_magic.api.catalogue.cards import CARDS
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.config.settings import load_settings
from qianfan_magic.api.wire import read_reply, v1
from qianfan_magic.embedded.engines import reasoning as thoughts
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer


def bear_witness():
    """Ask by the SDK what comes in, a question a line, and tell what it gave; runs alone."""
    import json
    import sys

    import qianfan
    from qianfan.errors import QianfanError

    kinds = {"chat": qianfan.ChatCompletion, "completion": qianfan.Completion}
    for line in sys.stdin:
        kind, how, keys, asked, options = json.loads(line)
        bodies, raised = [], None
        try:
            ask = getattr(kinds[kind](**keys), how)
            answer = ask(asked, retry_count=1, request_timeout=20, **options)
            for one in answer if options.get("stream") else [answer]:
                bodies += [one.body if how == "do" else one.dict()]
        except QianfanError as error:
            raised = {"name": type(error).__name__, "said": str(error)}
            raised |= {name: getattr(error, name, None) for name in ("error_code", "status_code")}
        print(json.dumps({"bodies": bodies, "raised": raised}), flush=True)


@dataclass(frozen=True)
class Case:
    """A question: how the keys are given, what is asked, and its options by both names."""

    keys: str
    version: int
    asked: Any
    options: dict[str, Any]
    wire: dict[str, Any] | None = None
    stream: bool = False
    given: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self):
        return "completion" if isinstance(self.asked, str) else "chat"

    @property
    def sent(self):
        """What the SDK is to send; it does not ask for the usage of a stream by itself."""
        asks_usage = self.stream and self.version == 2
        usage = {"stream_options": {"include_usage": True}} if asks_usage else {}
        return (self.options if self.wire is None else self.wire) | usage


def user(text):
    return [{"role": "user", "content": text}]


#: What only the requests of models have in their paths.
PATHS = {1: "/ai_custom/", 2: "/v2/"}
#: What the SDK adds to a body.
SOURCE = f"qianfan_py_sdk_v{metadata.version('qianfan')}"
#: Nobody's.
BEARER = "bce-v3/ALTAK-0123456789abcdef/0123456789abcdef0123456789abcdef01234567"
TALK = [*user("Tell me of Beijing"), {"role": "assistant", "content": "Big."}, *user("我问了什么?")]
DOLLY, ERNIE = {"endpoint": "dolly_12b"}, {"model": "ernie-5.1"}
SAMPLED = {"temperature": 0.25, "top_p": 0.5, "penalty_score": 1.5, "stop": ["zz", "."]}
#: Version 1: what is asked, our options, and the SDK's where the wire has other names.
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
    "always thinking": (user("鸡兔同笼"), {"model": "ernie-x1.1"}),
    "sampled": (user("Who are you?"), ERNIE | SAMPLED | {"seed": 7, "frequency_penalty": 0.5}),
    "cut": (user("Great Wall"), ERNIE | {"max_tokens": 9}),
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
CASES = {
    f"{way}: {name}{', stream' * stream}": Case(keys, version, *row, stream=stream)
    for way, (keys, version, rows) in WAYS.items()
    for name, row in rows.items()
    for stream in (False, True)
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
def elsewhere():
    """Stand for all other hosts: the proxy of every process."""
    with RawServer() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def witnesses(environments, elsewhere, tmp_path_factory):
    """Start a process of the SDK for each of the environments."""
    command = [sys.executable, "-c", f"{inspect.getsource(bear_witness)}\nbear_witness()"]
    with contextlib.ExitStack() as processes:
        started = {}
        for name, environment in environments.items():
            home = tmp_path_factory.mktemp(name)
            outside = {
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "http_proxy": elsewhere.url,
                "https_proxy": elsewhere.url,
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
def theirs(witnesses):
    """Ask the SDK: give what it got, chunk by chunk, and what it raised, if it did."""

    def ask(case, how="do"):
        process = witnesses[case.keys]
        version = {"version": str(case.version)} if case.kind == "chat" else {}
        question = [case.kind, how, version | case.given, case.asked]
        options = case.sent | ({"stream": True} if case.stream else {})
        process.stdin.write(json.dumps([*question, options]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the process {case.keys!r} has ended; its log is in its home"
        got = json.loads(line)
        return got["bodies"], got["raised"]

    return ask


@pytest.fixture
def ours(environments):
    """Ask by our own client, from the same variables: give the chunks, or raise."""

    def ask(case):
        alone = {"QIANFAN_DISABLE_CACHE": "true"}
        settings = load_settings(environ=environments[case.keys] | alone)
        # The service itself is to say that a text is too long.
        unlimited = Catalogue(replace(card, max_characters=None) for card in CARDS)
        with QianfanClient(settings, catalogue=unlimited, **case.given) as client:
            options = case.options | {"retries": 1}
            yield from client.ask(case.kind, case.asked, options, stream=case.stream)

    return ask


def events_of(chunks, version):
    """Leave out the end of a stream of version 2, which the SDK does not hand on."""
    return chunks[:-1] if version == 2 and len(chunks) > 1 else chunks


def told(chunks, version):
    """Give what our client has of an answer."""
    reply, events = read_reply(chunks), events_of(chunks, version)
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


def heard(bodies, version):
    """Read the same from what the SDK got, without our code."""
    choices = [body["choices"][0] for body in bodies] if version == 2 else bodies
    said = [one.get("delta") or one.get("message") or one for one in choices]
    usages = [body["usage"] for body in bodies if body.get("usage")]
    (prompt,) = {usage["prompt_tokens"] for usage in usages}
    finish_reason = next((one["finish_reason"] for one in choices if one.get("finish_reason")), "")
    safe = {one["is_safe"] for one in bodies if "is_safe" in one}
    return {
        "texts": [one.get("content") or one.get("result") or "" for one in said],
        "reasoning": [one.get("reasoning_content") or "" for one in said],
        "id": "/".join({body["id"] for body in bodies}),
        "usage": [prompt, sum(u["completion_tokens"] for u in usages), usages[-1]["total_tokens"]],
        "finish_reason": finish_reason,
        "is_truncated": finish_reason == "length" or any(b.get("is_truncated") for b in bodies),
        "need_clear_history": any(
            one.get("need_clear_history") or (one.get("flag") or 0) > 1 for one in choices
        ),
        "is_safe": safe == {1} if safe else False if any(c.get("flag") for c in choices) else None,
    }


def undated(bodies):
    """Leave out the time, which passes between two questions."""
    return [{**body, "created": 0} for body in bodies]


def request_of(server, since):
    """Give the one request to a model; the SDK also asks for tokens and a list of services."""
    (seen,) = [s for s in server.seen[since:] if s.path.startswith((v1.PREFIX, "/v2/"))]
    return seen


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


# --- answers


def test_sdk_gets_what_our_client_gets(case, ours, theirs):
    bodies, raised = theirs(case)
    chunks = list(ours(case))
    raw = [chunk.raw for chunk in events_of(chunks, case.version)]
    assert raised is None
    assert heard(bodies, case.version) == told(chunks, case.version)
    assert undated(bodies) == undated(raw)


def test_what_the_sdk_sends_is_what_our_client_sends(case, server, ours, theirs):
    start = len(server.seen)
    theirs(case)
    sdk = request_of(server, start)
    start = len(server.seen)
    list(ours(case))
    own = request_of(server, start)
    more = {"stream": case.stream, "extra_parameters": {"request_source": SOURCE}}
    assert sdk.method == own.method
    assert sdk.path == own.path
    assert json.loads(sdk.body) == json.loads(own.body) | more


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("keys", ["application", "account"])
def test_sdk_hears_what_is_thought(theirs, keys, stream):
    bodies, _ = theirs(Case(keys, 2, *NEW["thinking"], stream=stream))
    assert "".join(heard(bodies, 2)["reasoning"]) == thoughts.LARGER.thought


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("keys", "version", "rows"), WAYS.values(), ids=WAYS)
def test_sdk_hears_that_an_answer_is_cut(theirs, keys, version, rows, stream):
    bodies, _ = theirs(Case(keys, version, *rows["cut"], stream=stream))
    assert heard(bodies, version)["is_truncated"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("version", "rows"), [(1, OLD), (2, NEW)])
def test_answer_has_no_more_tokens_than_were_asked_for(theirs, version, rows, stream):
    bodies, _ = theirs(Case("application", version, *rows["cut"], stream=stream))
    assert 0 < heard(bodies, version)["usage"][1] <= 9


UNSAFE = {
    "truncated": (1, {"is_truncated": True}),
    "forget": (1, {"need_clear_history": True, "ban_round": -1}),
    "unsafe text": (1, {"is_safe": 0}),
    "low risk": (2, {"flag": 1}),
    "no more": (2, {"flag": 2, "ban_round": -1}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("warning", UNSAFE)
def test_warning_reaches_both(server, ours, theirs, warning, stream):
    version, fields = UNSAFE[warning]
    row = NEW["chat"] if version == 2 else OLD["code" if "is_safe" in fields else "chat"]
    case = Case("application", version, *row, stream=stream)
    plain = told(list(ours(case)), version)
    server.fail(*[Fault(fields=fields, path=PATHS[version])] * 2)
    warned = told(list(ours(case)), version)
    bodies, _ = theirs(case)
    assert heard(bodies, version) == warned != plain


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["chat", "thinking", "cut", "json"])
def test_answer_has_the_types_of_the_sdk(theirs, name, stream):
    """`create` makes objects, and raises where a field is missing or of another type."""
    case = Case("application", 2, *NEW[name], stream=stream)
    plain, typed = theirs(case)[0], theirs(case, "create")[0]
    assert heard(typed, 2) == heard(plain, 2)


MUTATIONS = {
    "text": (1, {"result": "something else"}),
    "id": (1, {"id": "as-else"}),
    "usage": (1, {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    "reason": (1, {"finish_reason": "normal"}),
    "truncated": (1, {"is_truncated": True}),
    "new id": (2, {"id": "as-else"}),
    "new usage": (2, {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    "new flag": (2, {"flag": 1}),
    "new text": (2, {"choices": [{"index": 0, "message": {"content": "something else"}}]}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_witness_notices_another_answer(server, ours, theirs, mutation, stream):
    version, fields = MUTATIONS[mutation]
    case = Case("application", version, *(OLD, NEW)[version - 1]["chat"], stream=stream)
    expected = told(list(ours(case)), version)
    server.fail(Fault(fields=fields, path=PATHS[version]))
    assert heard(theirs(case)[0], version) != expected
    assert heard(theirs(case)[0], version) == expected  # once only


# --- being let in


def signed(seen):
    return seen.headers["Authorization"].startswith("bce-auth-v1/")


@pytest.mark.parametrize(
    ("way", "before", "begins"),
    [
        ("AK and SK", ["POST /oauth/2.0/token"], ""),
        ("access token", [], ""),
        ("signature", ["POST /wenxinworkshop/service/list"], "bce-auth-v1/"),
        ("bearer token", [], "Bearer bce-v3/ALTAK-"),
        ("bearer token of IAM", ["GET /v1/BCE-BEARER/token"], "Bearer bce-v3/ALTAK-"),
    ],
)
def test_sdk_is_let_in_the_way_it_was_told(server, theirs, way, before, begins):
    keys, version, rows = WAYS[way]
    start = len(server.seen)
    _, raised = theirs(Case(keys, version, *rows["chat"]))
    *earlier, asked = server.seen[start:]
    authorization = asked.headers.get("Authorization", "")
    assert raised is None
    assert [f"{seen.method} {seen.path}" for seen in earlier] == before
    assert authorization.startswith(begins)
    assert bool(authorization) == bool(begins)
    assert way not in {"signature", "bearer token of IAM"} or signed(earlier[0])


def test_sdk_uses_the_token_that_iam_gave_it(server, theirs):
    theirs(Case("account", 2, *NEW["chat"]))
    authorization = server.seen[-1].headers["Authorization"]
    assert authorization.removeprefix("Bearer ") == list(server.authenticator.bearers)[-1]


def test_sdk_uses_the_bearer_token_that_it_was_given(server, theirs):
    theirs(Case("application", 2, *NEW["chat"]))
    authorization = server.seen[-1].headers["Authorization"]
    assert authorization.removeprefix("Bearer ") == server.authenticator.keys.bearer_token


@pytest.mark.parametrize("app_id", ["its own", "another"])
def test_application_is_checked(server, theirs, app_id):
    given = {"app_id": server.authenticator.keys.app_id if app_id == "its own" else "app-else"}
    case = Case("application", 2, *NEW["chat"], given=given)
    _, raised = theirs(case)
    assert server.seen[-1].headers["Appid"] == given["app_id"]
    assert (raised and raised["status_code"]) == (None if app_id == "its own" else 401)


def test_sdk_reaches_nothing_but_the_server(theirs, elsewhere):
    for keys, version, rows in WAYS.values():
        theirs(Case(keys, version, *rows["chat"]))
    assert elsewhere.requests == []


# --- errors


@dataclass(frozen=True)
class Refusal:
    """What is refused, and how our client calls it; the SDK's name follows from the status."""

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
    "new tokens": Refusal(new(LONG, {"model": "ernie-4.0-8k"}), APIError, "tokens_too_long", 400),
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


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("refusal", (REFUSALS | RATES).values(), ids=REFUSALS | RATES)
def test_sdk_raises_its_error_for_ours(server, ours, theirs, refusal, stream):
    case = replace(refusal.case, stream=stream)
    server.fail(*[refusal.fault] * 2 if refusal.fault else [])
    with pytest.raises(refusal.error) as caught:
        list(ours(case))
    bodies, raised = theirs(case)
    assert type(caught.value) is refusal.error
    assert caught.value.error_code == refusal.code
    assert bodies == []
    # The SDK does not read the body of an error's status, but at the beginning of a stream.
    by_status = refusal.status != 200 and (not stream or refusal.sdk == "RequestError")
    expected = {
        "name": "RequestError" if by_status else refusal.sdk,
        "error_code": None if by_status or refusal.sdk != "APIError" else refusal.code,
        "status_code": refusal.status if by_status else None,
    }
    assert {name: raised[name] for name in expected} == expected


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("case", "says"),
    [
        (old(HI, DOLLY, ak="0123456789abcdef", sk="0123"), "AK(012345***) is not correct"),
        (old(HI, DOLLY, sk="0123456789abcdef"), "SK(012345***) is not correct"),
        (new(HI, ERNIE, keys="account", access_key="ALTAK012345"), "Access Key(`"),
        (new(HI, ERNIE, keys="account", secret_key="0123456789"), "Secret Key(`"),
    ],
)
def test_sdk_knows_the_words_that_say_which_key_is_wrong(theirs, case, says, stream):
    _, raised = theirs(replace(case, stream=stream))
    assert says in raised["said"]


@pytest.mark.parametrize("version", [1, 2])
def test_error_in_the_middle_comes_after_the_same_chunks(server, ours, theirs, version):
    case = Case("application", version, *(OLD, NEW)[version - 1]["chinese"], stream=True)
    code = 336100 if version == 1 else "internal_error"
    server.fail(*[Fault(error_code=code, after=2, path=PATHS[version])] * 2)
    with pytest.raises(APIError) as caught:
        list(ours(case))
    bodies, raised = theirs(case)
    assert raised["name"] == "APIError"
    assert raised["error_code"] == caught.value.error_code
    texts = [b["result"] if version == 1 else b["choices"][0]["delta"]["content"] for b in bodies]
    assert len(bodies) == 2
    assert "".join(texts) == caught.value.partial

"""Programs to copy: each is run as a process, against a real server."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_server import RawServer, event, json_answer, stream_answer

from qianfan_magic import ParameterError, QianfanClient
from qianfan_magic.api.config.credentials import AUTHENTICATION_METHODS
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.snippets import LANGUAGES, program
from qianfan_magic.snippets.python_literal import literal
from qianfan_magic.snippets.request import SnippetRequest

PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
METHODS = {method.fields[0]: method for method in AUTHENTICATION_METHODS}
WAYS = ["access_token", "ak", "access_key"]
# Letters beyond ASCII are percent-encoded in the address, and signed so.
CHAT = "测试_dolly_12b"
ENCODED_CHAT = "%E6%B5%8B%E8%AF%95_dolly_12b"
MESSAGES = [{"role": "user", "content": "Write a haiku about 秋天, with a 'quote'."}]
PROMPT = "def fibonacci(n):\n    "
BEARER = "bce-v3/ALTAK-0123456789abcdef/0123456789abcdef0123456789abcdef01234567"
KEYS = {
    "QIANFAN_ACCESS_TOKEN": "24.0123456789abcdef0123456789abcdef.2592000",
    "QIANFAN_AK": "ak0123456789abcdef012345",
    "QIANFAN_SK": "sk0123456789abcdef0123456789abcd",
    "QIANFAN_ACCESS_KEY": "ALTAKEXAMPLE0123456789ab",
    "QIANFAN_SECRET_KEY": "secret0123456789abcdef0123456789",
    "QIANFAN_BEARER_TOKEN": BEARER,
    "QIANFAN_APP_ID": "app-12345678",
}
HOSTILE = [
    *("'", "''", '"', '"""', "'''", "`touch x`", "$(touch x)", "${HOME}", "$HOME", "\\", "it\\"),
    *("EOF", "\nEOF\n", "EOF_", "\nSECRET\n", "\r", "\r\nEOF\r\n", "\0", "\x1b[31m", "\x7f\x85"),
    *(
        "\u2028\u2029",
        "\u202eabc",
        "🎉👩‍👩‍👧",
        "\U000e0001",
        "\u3000你好",
        "{name}",
        "{{",
        "%s %% %(a)s",
    ),
    *("#", "'); import os; os.system('touch x') #", "';touch x;'", "\\u0041", "\\n", "!!", "~", ""),
    # Every byte that UTF-8 has: some shells use a few of them for themselves.
    *("".join(map(chr, range(1, 0x800))), "".join(map(chr, range(0x4E00, 0x4E80))), "😀😁"),
]


def v1(server, way="access_token", kind="chat", **body):
    service, folder = (CHAT, "chat") if kind == "chat" else ("starcoder", "completions")
    asked = {"messages": MESSAGES} if kind == "chat" else {"prompt": PROMPT}
    base = getattr(server, "base_url", None) or server.url
    return SnippetRequest(
        version=1,
        kind=kind,
        url=f"{base}{PREFIX}/{folder}/{ENCODED_CHAT if kind == 'chat' else service}",
        base_url=base,
        body={**asked, **body},
        method=METHODS[way],
    )


def v2(server, way="bearer_token", kind="chat", **body):
    """Give a request; to a raw server, through a gateway whose address has a path."""
    asked = {"messages": MESSAGES} if kind == "chat" else {"prompt": PROMPT}
    base = getattr(server, "base_url", None) or f"{server.url}/gateway"
    return SnippetRequest(
        version=2,
        kind=kind,
        url=f"{base}/v2/{'chat/' if kind == 'chat' else ''}completions",
        base_url=base,
        body={"model": "ernie-5.1", **asked, **body},
        method=METHODS[way],
        iam_url=base.removesuffix("/gateway"),
    )


def keys_of(server):
    """Give all that lets into an embedded server."""
    keys = server.authenticator.keys
    token = server.authenticator.issue_token(keys.ak, keys.sk)["access_token"]
    pairs = {"AK": keys.ak, "SK": keys.sk, "ACCESS_TOKEN": token}
    pairs |= {"ACCESS_KEY": keys.access_key, "SECRET_KEY": keys.secret_key}
    return {f"QIANFAN_{name}": value for name, value in pairs.items()}


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def elsewhere():
    """Stand for all other hosts: the proxy of every program that is run."""
    with RawServer() as proxy:
        yield proxy


@pytest.fixture
def run(tmp_path, elsewhere):
    """Run a program in an empty folder, with the variables it needs and no others."""
    folder = tmp_path / "run"
    folder.mkdir()

    def run(sent, language, keys=KEYS, *, shell="dash", path=None):
        program_file = tmp_path / "program"
        program_file.write_text(program(sent, language), encoding="utf-8")
        environment = {
            "PATH": path or os.environ["PATH"],
            "HOME": str(folder),
            "http_proxy": elsewhere.url,
            "https_proxy": elsewhere.url,
            "no_proxy": "127.0.0.1",
            **{name: keys[name] for name in sent.variables if name in keys},
        }
        command = [shell if language == "curl" else sys.executable, str(program_file)]
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, timeout=60, check=False
        )
        done.left = sorted(path.name for path in folder.iterdir())
        done.text, done.problem = done.stdout.decode(), done.stderr.decode()
        return done

    return run


def exactly(body):
    """Write JSON so that 1, 1.0 and true differ."""
    return json.dumps(json.loads(body) if isinstance(body, bytes) else body, sort_keys=True)


def as_sdk(body):
    """Add what the SDK adds."""
    return {**body, "stream": body.get("stream", False)}


def on_the_wire(sent, language):
    by_do = language == "sdk" and not (sent.version == 2 and sent.kind == "completion")
    return exactly(as_sdk(sent.body) if by_do else sent.body)


def text_of(sent, language, printed):
    """Read the text of an answer: curl prints what the service sent."""
    if language != "curl":
        return printed.removesuffix("\n")
    if not sent.stream:
        answer = json.loads(printed)
        return answer["result"] if sent.version == 1 else answer["choices"][0]["message"]["content"]
    events = [line.removeprefix("data: ") for line in printed.splitlines() if line]
    return "".join(json.loads(event)["result"] for event in events)


def ours(server, sent):
    """Ask the same by our own client."""
    options = {name: value for name, value in sent.body.items() if name != "stream"}
    if sent.version == 1:
        options["endpoint"] = unquote(sent.url.rpartition("/")[2])
    with QianfanClient(server.settings()) as client:
        if sent.kind == "chat":
            return client.chat(options.pop("messages"), **options).text
        return client.complete(options.pop("prompt"), **options).text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("way", WAYS)
def test_streamed_chat_of_version_1_gets_what_our_client_gets(server, run, way, language):
    sent = v1(server, way, temperature=0.5, stream=True)
    done = run(sent, language, keys_of(server))
    assert (done.returncode, done.problem) == (0, "")
    assert exactly(server.seen[-1].body) == on_the_wire(sent, language)
    assert text_of(sent, language, done.text) == ours(server, sent)


@pytest.mark.parametrize("language", LANGUAGES)
def test_whole_completion_of_version_1_gets_what_our_client_gets(server, run, language):
    sent = v1(server, "ak", "completion", top_k=5, stop=["\n\n"])
    done = run(sent, language, keys_of(server), shell="bash")
    assert (done.returncode, done.problem) == (0, "")
    assert exactly(server.seen[-1].body) == on_the_wire(sent, language)
    assert text_of(sent, language, done.text) == ours(server, sent)


@pytest.mark.parametrize("language", LANGUAGES)
def test_signature_is_all_that_a_signed_program_needs(server, run, elsewhere, language):
    """The SDK would ask for a list of models, at another address."""
    sent = v1(server, "access_key", "completion")
    before = len(server.seen)
    done = run(sent, language, keys_of(server), shell="bash")
    assert text_of(sent, language, done.text)
    assert [seen.path for seen in server.seen[before:]] == [f"{PREFIX}/completions/starcoder"]
    assert elsewhere.connections == []


def chunk(content):
    """Write an event of version 2; cut within a character, as a network may."""
    delta = {"delta": {"content": content}, "text": content, "index": 0}
    data = event({"id": "as-1", "object": "chat.completion.chunk", "choices": [delta]})
    return [data[:-28], data[-28:]]


def v2_stream(*contents):
    pieces = [piece for content in contents for piece in chunk(content)]
    usage = {"id": "as-1", "choices": [], "usage": {"total_tokens": 9}}
    return stream_answer(*pieces, event(usage), b"data: [DONE]\n\n")


def v2_whole(content):
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "text": content}
    return json_answer({"id": "as-1", "object": "chat.completion", "choices": [choice]})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_stream_of_version_2(raw_server, run, elsewhere, kind, language):
    raw_server.script.append(v2_stream("秋", "天\n", "的 haiku"))
    options = {"include_usage": True}
    sent = v2(raw_server, kind=kind, temperature=0.5, stream=True, stream_options=options)
    done = run(replace(sent, app_id=True), language)
    (seen,) = raw_server.requests
    assert (done.returncode, done.problem) == (0, "")
    assert seen.path == (
        "/gateway/v2/chat/completions" if kind == "chat" else "/gateway/v2/completions"
    )
    assert seen.headers["authorization"] == f"Bearer {BEARER}"
    assert seen.headers["appid"] == KEYS["QIANFAN_APP_ID"]
    assert exactly(seen.body) == on_the_wire(sent, language)
    assert elsewhere.connections == []
    if language == "curl":
        assert done.text.endswith("data: [DONE]\n\n")
    else:
        assert done.text == "秋天\n的 haiku\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_bearer_token_is_fetched_with_a_signature(server, run, elsewhere, language):
    sent = v2(server, "access_key", max_tokens=100, temperature=0.5)
    before = len(server.seen)
    done = run(sent, language, keys_of(server))
    token, seen = server.seen[before:]
    assert (done.returncode, done.problem) == (0, "")
    assert token.path == "/v1/BCE-BEARER/token"
    assert "appid" not in {name.lower() for name in seen.headers}
    assert exactly(seen.body) == on_the_wire(sent, language)
    assert text_of(sent, language, done.text) == ours(server, sent)
    assert elsewhere.connections == []


RUNS = [("curl", "dash"), ("curl", "bash"), ("python", ""), ("sdk", "")]


@pytest.mark.parametrize(("language", "shell"), RUNS)
def test_hostile_text_stays_data(raw_server, run, language, shell):
    raw_server.script.append(v2_whole("ok"))
    numbers = {"temperature": 0.1, "top_p": 1.0, "seed": 1, "penalty_score": 1e-07}
    parts = [{"type": "text", "text": text} for text in HOSTILE]
    sent = v2(
        raw_server,
        messages=[
            {"role": "user", "content": "".join(HOSTILE)},
            {"role": "user", "content": parts},
        ],
        stop=HOSTILE,
        **numbers,
        **{
            "enable_thinking": False,
            "user": None,
            "not a name": {"'\"\n": []},
            "class": [{}, 2**70],
        },
    )
    done = run(sent, language, shell=shell)
    assert (done.returncode, done.problem) == (0, "")
    assert exactly(raw_server.requests[0].body) == on_the_wire(sent, language)
    assert [name for name in done.left if not name.startswith(".")] == []


@pytest.mark.parametrize("language", ["python", "sdk"])
def test_error_of_version_1_ends_the_program(raw_server, run, language):
    told = {"error_code": 336003, "error_msg": "temperature must be less"}
    raw_server.script.append(json_answer(told))
    done = run(v1(raw_server, stream=True), language)
    assert (done.returncode, done.text) == (1, "")
    assert "336003" in done.problem
    assert told["error_msg"] in done.problem
    assert done.problem.count("\n") == 1


@pytest.mark.parametrize("language", ["python", "sdk"])
def test_error_amid_a_stream_ends_the_program(raw_server, run, language):
    told = {"error": {"code": "internal_error", "message": "the engine broke"}, "id": "as-1"}
    raw_server.script.append(stream_answer(*chunk("half 半"), event(told)))
    done = run(v2(raw_server, stream=True), language)
    assert (done.returncode, done.text) == (1, "half 半")
    assert "the engine broke" in done.problem


@pytest.mark.parametrize("language", ["python", "sdk"])
def test_http_status_ends_the_program(raw_server, run, language):
    told = {"error": {"code": "invalid_iam_token", "message": "no such token"}, "id": "as-1"}
    raw_server.script.append(json_answer(told, status=401))
    done = run(v2(raw_server), language)
    assert (done.returncode, done.text) == (1, "")
    assert "HTTP status 401" in done.problem
    assert BEARER not in done.problem


@pytest.mark.parametrize("language", LANGUAGES)
def test_refused_keys_end_the_program(raw_server, run, language):
    told = {"error": "invalid_client", "error_description": "unknown client id"}
    raw_server.tokens.append(json_answer(told, status=401))
    done = run(v1(raw_server, "ak"), language)
    assert done.returncode == 1
    assert raw_server.requests == []
    assert language == "sdk" or "unknown client id" in done.problem
    assert not any(key in done.problem for key in KEYS.values())


def test_python_does_not_show_the_token_of_an_address_that_does_not_answer(raw_server, run):
    raw_server.script.append(stream_answer(status=0, end="reset"))
    done = run(v1(raw_server), "python")
    assert (done.returncode, done.problem) == (1, "There is no answer: ConnectionError\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_says_which_variable_is_not_set(raw_server, run, language):
    keys = {name: value for name, value in KEYS.items() if name != "QIANFAN_SK"}
    done = run(v1(raw_server, "ak"), language, keys)
    assert done.returncode != 0
    assert "Set QIANFAN_SK" in done.problem
    assert "Traceback" not in done.problem
    assert (raw_server.token_requests, raw_server.requests) == ([], [])


@pytest.mark.parametrize(
    ("version", "way"), [*((1, way) for way in WAYS), (2, "bearer_token"), (2, "access_key")]
)
def test_arguments_of_curl_hold_no_secret(raw_server, run, tmp_path, version, way):
    """A curl that writes down its arguments stands before the real one."""
    raw_server.script.append(json_answer({"result": "ok"}))
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(f'#!/bin/sh\necho "$@" >> arguments\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    sent = (v1 if version == 1 else v2)(raw_server, way)
    done = run(sent, "curl", path=f"{curl.parent}:{os.environ['PATH']}")
    arguments = (tmp_path / "run" / "arguments").read_text()
    assert json.loads(done.text) == {"result": "ok"}
    assert "--data-binary" in arguments
    public = {"QIANFAN_ACCESS_KEY", "QIANFAN_APP_ID"}
    assert [name for name in KEYS.keys() - public if KEYS[name] in arguments] == []
    given = [f"{1:032x}", f"{1:020d}"]  # an access token, a bearer token
    assert [token for token in given if token in arguments] == []


SIGNED = SnippetRequest(
    version=1,
    kind="chat",
    url=f"https://aip.baidubce.com{PREFIX}/chat/ep",
    base_url="https://aip.baidubce.com",
    body={"messages": MESSAGES, "stream": True},
    method=METHODS["access_key"],
)
BEARING = replace(
    SIGNED, version=2, method=METHODS["bearer_token"], base_url="https://qianfan.baidubce.com"
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sent", [SIGNED, replace(BEARING, app_id=True)], ids=["signed", "bearer"])
def test_first_line_names_the_variables(sent, language):
    first = program(sent, language).splitlines()[0]
    assert first.startswith("# ")
    assert [name for name in KEYS if name in first] == [n for n in KEYS if n in sent.variables]


def test_curl_says_how_to_load_a_dot_env():
    assert "set -a; . ./.env; set +a" in program(SIGNED, "curl")


@pytest.mark.parametrize("port", ["", ":443"])
def test_curl_signs_the_host_that_curl_sends(port):
    sent = replace(SIGNED, url=f"https://aip.baidubce.com{port}{PREFIX}/chat/ep")
    assert "\nhost:aip.baidubce.com\n" in program(sent, "curl")


@pytest.mark.parametrize("stream", [True, False])
def test_curl_buffers_nothing_of_a_stream(stream):
    sent = replace(SIGNED, body={"messages": MESSAGES, "stream": stream})
    assert ("curl -sSN" in program(sent, "curl")) is stream


def test_sdk_is_told_no_address_that_it_knows():
    assert "_BASE_URL" not in program(BEARING, "sdk")
    assert "_BASE_URL" not in program(SIGNED, "sdk")


@pytest.mark.parametrize("name", ["headers", "query", "request_timeout", "model"])
def test_sdk_refuses_what_it_would_not_send(name):
    with pytest.raises(ParameterError, match=f"takes {name} for itself"):
        program(replace(SIGNED, body={**SIGNED.body, name: "x"}), "sdk")


def test_unknown_language_is_refused():
    with pytest.raises(ParameterError, match="'ruby'") as refused:
        program(SIGNED, "ruby")
    assert refused.value.hint == "Write it as one of curl, python, sdk."


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_literal_is_the_value_in_printable_lines(value):
    text = literal(value)
    assert repr(ast.literal_eval(text)) == repr(value)
    assert all(c.isprintable() or c == "\n" for c in text)


@given(st.dictionaries(st.text(st.characters(exclude_categories=[])), JSON))
def test_body_of_curl_is_the_value_in_printable_lines(body):
    text = program(replace(SIGNED, body=body), "curl")
    assert all(c.isprintable() or c == "\n" for c in text)
    delimiter, lines = re.search(r"<<'(EOF_*)'\n(.*)\Z", text, re.DOTALL).groups()
    written, _, rest = lines.partition(f"\n{delimiter}\n")
    assert (exactly(json.loads(written)), rest) == (exactly(body), "")


def test_delimiter_does_not_stand_in_the_body():
    text = program(replace(SIGNED, body={"prompt": "EOF EOF_"}), "curl")
    assert "<<'EOF__'\n" in text
    assert text.endswith("\nEOF__\n")


def test_python_passes_over_comments_of_a_stream(raw_server, run):
    raw_server.script.append(stream_answer(b": hello\n\nevent: message\n", *chunk("秋天")))
    assert run(v2(raw_server, stream=True), "python").text == "秋天\n"

"""Programs to copy: each is run as a process, against a real server."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from urllib.parse import unquote

import pytest
from support.programs import KEYS, Runner, keys_of, v1_request, v2_request
from support.raw_server import RawServer, event, json_answer, stream_answer

from qianfan_magic import ParameterError, QianfanClient
from qianfan_magic.api.config.credentials import KEYLESS
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.snippets import LANGUAGES, program

BEARER = KEYS["QIANFAN_API_KEY"]
HOSTILE = [
    *("'", "''", '"', '"""', "'''", "`touch x`", "$(touch x)", "${HOME}", "$HOME", "\\", "it\\"),
    *("EOF", "\nEOF\n", "EOF_", "\nSECRET\n", "\r", "\r\nEOF\r\n", "\0", "\x1b[31m", "\x7f\x85"),
    *("\u2028\u2029", "\u202eabc", "🎉👩‍👩‍👧", "\U000e0001", "\u3000你好"),
    *("{name}", "{{", "%s %% %(a)s", "@title @{body} @@ @"),
    *("#", "'); import os; os.system('touch x') #", "';touch x;'", "\\u0041", "\\n", "!!", "~", ""),
    # Every byte that UTF-8 has: some shells use a few of them for themselves.
    *("".join(map(chr, range(1, 0x800))), "".join(map(chr, range(0x4E00, 0x4E80))), "😀😁"),
]


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
    return Runner(tmp_path, elsewhere)


def canonical(body):
    """Write JSON so that 1, 1.0 and true differ."""
    return json.dumps(json.loads(body) if isinstance(body, bytes) else body, sort_keys=True)


def sent_body(request, language):
    """Return what a program must send: the body, to which the SDK's ``do`` adds ``stream``."""
    uses_do = language == "sdk" and not (request.version == 2 and request.kind == "completion")
    added = {"stream": request.stream} if uses_do else {}
    return canonical({**request.body, **added})


def answer_in(output, request, language):
    """Read the text of an answer from the output; curl prints the response itself."""
    if language != "curl":
        return output.removesuffix("\n")
    if request.stream:
        events = [line.removeprefix("data: ") for line in output.splitlines() if line]
        return "".join(json.loads(event)["result"] for event in events)
    answer = json.loads(output)
    return answer["result"] if request.version == 1 else answer["choices"][0]["message"]["content"]


def answer_of_client(server, request):
    """Send the same request with our own client."""
    options = {name: value for name, value in request.body.items() if name != "stream"}
    if request.version == 1:
        options["endpoint"] = unquote(request.url.rpartition("/")[2])
    with QianfanClient(server.settings()) as client:
        if request.kind == "chat":
            return client.chat(options.pop("messages"), **options).text
        return client.complete(options.pop("prompt"), **options).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_sends_the_request_and_gets_the_answer_of_our_client(
    server, run, elsewhere, language
):
    url = server.base_url
    for request, token_paths in (
        (v1_request(url, "access_token", temperature=0.5, stream=True), []),
        (v1_request(url, "ak", "completion", top_k=5, stop=["\n\n"]), [v1.TOKEN_PATH]),
        # For signed requests the SDK would request a list of models first, at another host.
        (v1_request(url, "access_key", temperature=0.5, stream=True), []),
        (v1_request(url, "access_key", "completion"), []),
        (v2_request(url, "access_key", max_tokens=100, temperature=0.5), [v2.TOKEN_PATH]),
    ):
        name = request.title(language)
        before = len(server.seen)
        shell = "bash" if request.kind == "completion" else "dash"
        done = run(request, language, keys_of(server), shell=shell)
        seen = server.seen[before:]
        assert (done.status, done.errors) == (0, ""), name
        assert [one.path for one in seen[:-1]] == token_paths, name
        assert request.url.endswith(seen[-1].path), name
        assert canonical(seen[-1].body) == sent_body(request, language), name
        assert "appid" not in {header.lower() for header in seen[-1].headers}, name
        answer = answer_in(done.output, request, language)
        assert answer == answer_of_client(server, request), name
    assert elsewhere.connections == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_prints_the_calls_that_the_model_asks_for(server, run, language):
    declared = {"name": "haiku", "parameters": {"type": "object", "properties": {}}}
    tools = {"tools": [{"type": "function", "function": declared}]}
    one = v1_request(server.base_url, functions=[declared])
    one = replace(one, url=server.base_url + v1.path("chat", "completions"))
    two = v2_request(f"{server.base_url}/v2", **tools)
    for request in (one, two):
        for stream in ({}, {"stream": True}):
            asked = replace(request, body=request.body | stream)
            bearer = {"QIANFAN_API_KEY": server.authenticator.keys.bearer_token}
            done = run(asked, language, keys_of(server) | bearer)
            assert (done.status, done.errors) == (0, ""), (request.version, stream)
            assert "haiku" in done.output, (request.version, stream)


def chunk(content):
    """Return an event of version 2 in two pieces, cut within a character as a network may."""
    delta = {"delta": {"content": content}, "text": content, "index": 0}
    data = event({"id": "as-1", "object": "chat.completion.chunk", "choices": [delta]})
    return [data[:-28], data[-28:]]


def v2_stream(*contents):
    pieces = [piece for content in contents for piece in chunk(content)]
    usage = {"id": "as-1", "choices": [], "usage": {"total_tokens": 9}}
    return stream_answer(*pieces, event(usage), b"data: [DONE]\n\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_streams_from_version_2_behind_a_gateway(raw_server, run, elsewhere, language):
    for kind, path in v2.PATHS.items():
        raw_server.script.append(v2_stream("秋", "天\n", "的 haiku"))
        options = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5}
        request = v2_request(f"{raw_server.url}/gateway", kind=kind, **options)
        done = run(replace(request, app_id=True), language)
        seen = raw_server.requests[-1]
        assert (done.status, done.errors) == (0, ""), kind
        assert seen.path == f"/gateway{path}"
        assert seen.headers["authorization"] == f"Bearer {BEARER}", kind
        assert seen.headers["appid"] == KEYS["QIANFAN_APP_ID"], kind
        assert canonical(seen.body) == sent_body(request, language), kind
        if language == "curl":
            assert done.output.endswith("data: [DONE]\n\n"), kind
        else:
            assert done.output == "秋天\n的 haiku\n", kind
    assert elsewhere.connections == []


def test_program_for_a_server_on_this_computer_sends_no_key(raw_server, run):
    request = replace(v2_request(f"{raw_server.url}/v1", "bearer_token"), method=KEYLESS)
    for language in ("curl", "python"):
        raw_server.script.append(json_answer({"choices": [{"message": {"content": "leaves"}}]}))
        finished = run(request, language)
        assert (finished.status, finished.errors) == (0, ""), language
        assert "leaves" in finished.output, language
        sent = raw_server.requests.pop()
        assert sent.path == "/v1/chat/completions", language
        assert "authorization" not in {name.lower() for name in sent.headers}, language


def test_sdk_has_no_program_for_a_request_without_a_key():
    request = replace(v2_request("http://127.0.0.1:1/v1", "bearer_token"), method=KEYLESS)
    with pytest.raises(ParameterError, match="needs a key"):
        program(request, "sdk")


def test_python_skips_other_lines_of_a_stream(raw_server, run):
    raw_server.script.append(stream_answer(b": hello\n\nevent: message\n", *chunk("秋天")))
    request = v2_request(raw_server.url, stream=True)
    assert run(request, "python").output == "秋天\n"


def test_hostile_text_stays_data(raw_server, run):
    parts = [{"type": "text", "text": text} for text in HOSTILE]
    body = {
        "messages": [
            {"role": "user", "content": "".join(HOSTILE)},
            {"role": "user", "content": parts},
        ],
        "stop": HOSTILE,
        "temperature": 0.1,
        "top_p": 1.0,
        "seed": 1,
        "penalty_score": 1e-07,
        "enable_thinking": False,
        "user": None,
        "not a name": {"'\"\n": []},
        "class": [{}, 2**70],
    }
    request = v2_request(raw_server.url, **body)
    whole = {"index": 0, "message": {"role": "assistant", "content": "ok"}}
    for language, shell in (("curl", "dash"), ("curl", "bash"), ("python", ""), ("sdk", "")):
        raw_server.script.append(json_answer({"id": "as-1", "choices": [whole]}))
        done = run(request, language, shell=shell)
        assert (done.status, done.errors) == (0, ""), (language, shell)
        sent = canonical(raw_server.requests[-1].body)
        assert sent == sent_body(request, language), (language, shell)
        assert [name for name in done.files if not name.startswith(".")] == [], (language, shell)


# --- failures: curl prints the service's error as it prints an answer, so most are about Python


def test_error_in_the_body_ends_a_python_program(raw_server, run):
    error = {"error_code": 336003, "error_msg": "temperature must be less"}
    for language in ("python", "sdk"):
        raw_server.script.append(json_answer(error))
        done = run(v1_request(raw_server.url, stream=True), language)
        assert (done.status, done.output) == (1, ""), language
        assert "336003" in done.errors, language
        assert error["error_msg"] in done.errors, language
        assert done.errors.count("\n") == 1, language


def test_error_within_a_stream_ends_a_python_program(raw_server, run):
    error = {"error": {"code": "internal_error", "message": "the engine broke"}, "id": "as-1"}
    for language in ("python", "sdk"):
        raw_server.script.append(stream_answer(*chunk("half 半"), event(error)))
        done = run(v2_request(raw_server.url, stream=True), language)
        assert (done.status, done.output) == (1, "half 半"), language
        assert "the engine broke" in done.errors, language


def test_http_status_ends_a_python_program_without_showing_the_token(raw_server, run):
    error = {"error": {"code": "invalid_iam_token", "message": "no such token"}, "id": "as-1"}
    for language in ("python", "sdk"):
        raw_server.script.append(json_answer(error, status=401))
        done = run(v2_request(raw_server.url), language)
        assert (done.status, done.output) == (1, ""), language
        assert "HTTP status 401" in done.errors, language
        assert BEARER not in done.errors, language


def test_refused_keys_end_every_program_without_being_shown(raw_server, run):
    error = {"error": "invalid_client", "error_description": "unknown client id"}
    for language in LANGUAGES:
        raw_server.tokens.append(json_answer(error, status=401))
        done = run(v1_request(raw_server.url, "ak"), language)
        assert done.status == 1, language
        assert raw_server.requests == [], language
        assert language == "sdk" or "unknown client id" in done.errors
        assert not any(key in done.errors for key in KEYS.values()), language


def test_python_does_not_show_the_token_in_the_address_of_a_lost_connection(raw_server, run):
    raw_server.script.append(stream_answer(status=0, end="reset"))
    done = run(v1_request(raw_server.url), "python")
    assert (done.status, done.errors) == (1, "There is no answer: ConnectionError\n")


def test_program_names_a_variable_that_is_not_set_and_sends_nothing(raw_server, run):
    keys = {name: value for name, value in KEYS.items() if name != "QIANFAN_SK"}
    for language in LANGUAGES:
        done = run(v1_request(raw_server.url, "ak"), language, keys)
        assert done.status != 0, language
        assert "Set QIANFAN_SK" in done.errors, language
        assert "Traceback" not in done.errors, language
    assert raw_server.token_requests == []
    assert raw_server.requests == []


def test_arguments_of_curl_hold_no_secret(raw_server, run, tmp_path):
    """A curl that records its arguments is found before the real one."""
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(f'#!/bin/sh\necho "$@" >> arguments\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    url = raw_server.url
    for request in (
        *(v1_request(url, method) for method in ("access_token", "ak", "access_key")),
        *(v2_request(url, method) for method in ("bearer_token", "access_key")),
    ):
        raw_server.script.append(json_answer({"result": "ok"}))
        done = run(request, "curl", path=f"{curl.parent}:{os.environ['PATH']}")
        assert json.loads(done.output) == {"result": "ok"}, request
    arguments = (run.folder / "arguments").read_text()
    assert arguments.count("--data-binary") == 5
    for name in KEYS.keys() - {"QIANFAN_ACCESS_KEY", "QIANFAN_APP_ID"}:
        assert KEYS[name] not in arguments, name
    assert len(raw_server.token_requests) == len(raw_server.bearer_requests) == 1
    for fetched in (f"{1:032x}", f"{1:020d}"):  # the raw server's access token and bearer token
        assert fetched not in arguments

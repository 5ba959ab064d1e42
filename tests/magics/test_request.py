"""`%qianfan request`: what went out and came back, in a real shell and kernel, without a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from PIL import Image
from support.kernel import Kernel, Ran
from support.notebook import WALL, Notebook
from support.panel import PanelPage, panels
from support.raw_server import Answer, RawServer, Seen, json_answer, stream_answer
from support.requests_seen import V2, bodies, two_lines

from qianfan_magic import ParameterError, QianfanError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.snippets import LANGUAGES

OLD, NEW = "%%qianfan_chat", "%%qianfan_chat -m ernie-5.1"
CODER = "%%qianfan_complete -m qwen3-coder-30b-a3b-instruct"
LINE = "%qianfan request"
MASKED = "***"


def written(notebook: Notebook, line: str = LINE) -> Any:
    """Run the line; return what it binds."""
    notebook.run(f"{line} -o bound")
    return notebook.shell.user_ns["bound"]


def parts(shown: str) -> dict[str, str]:
    """Read what is shown by the titles of its parts."""
    pieces = re.split(r"^--- (.*)$", shown, flags=re.MULTILINE)[1:]
    return {title: text.strip("\n") for title, text in zip(pieces[::2], pieces[1::2], strict=True)}


def secrets_of(server: EmbeddedServer) -> list[str]:
    keys = server.authenticator.keys
    given = (*server.authenticator.tokens, *server.authenticator.bearers)
    return [keys.ak, keys.sk, keys.access_key, keys.secret_key, keys.bearer_token, *given]


# --- what is shown


@pytest.mark.parametrize("cell", [f"{OLD}\nhi", f"{NEW}\nhi", f"{CODER}\nx = 1"])
def test_parts_of_a_request(notebook, cell):
    titles = list(parts(notebook.run(cell, LINE)))
    assert [*titles[:3], titles[3][:6]] == ["Sent", "1 attempt", "Came back", "Times:"]


def test_request_is_shown(notebook):
    shown = parts(notebook.run(f"{NEW}\nhi", LINE))["Sent"]
    head, _, body = shown.partition("\n\n")
    assert (head.splitlines()[0], json.loads(body)) == (
        "POST /v2/chat/completions HTTP/1.1",
        bodies(notebook.server)[0],
    )


def test_attempt_is_shown(notebook):
    shown = parts(notebook.run(f"{NEW}\nhi", LINE))["1 attempt"]
    assert re.fullmatch(r"1\. at \d+\.\d{3} s: HTTP 200 after \d+\.\d{3} s", shown)


def test_answer_is_shown(notebook):
    shown = parts(notebook.run(f"{NEW}\nhi", LINE))["Came back"]
    head, _, body = shown.partition("\n\n")
    assert "Content-Type: text/event-stream;charset=utf-8" in head.splitlines()
    assert (body.startswith("data: {"), body.endswith("data: [DONE]")) == (True, True)


def test_limits_of_the_service_are_shown(notebook):
    assert "X-Ratelimit-Remaining-Requests: 2999" in notebook.run(f"{NEW}\nhi", LINE)


def test_whole_answer_is_shown(notebook):
    shown = parts(notebook.run(f"{NEW} --no-stream\nhi", LINE))["Came back"]
    body = json.loads(shown.partition("\n\n")[2])
    assert body["object"] == "chat.completion"


def test_times_are_shown(notebook):
    (title,) = [one for one in parts(notebook.run(f"{NEW}\nhi", LINE)) if one.startswith("Times")]
    times = re.fullmatch(r"Times: first piece after ([\d.]+) s, all after ([\d.]+) s", title)
    assert 0 <= float(times[1]) <= float(times[2]) < 60


def test_long_stream_is_shortened(notebook):
    notebook.run(f"{OLD}\n{WALL}")
    shown = parts(notebook.run(LINE))["Came back"]
    events = written(notebook)["response"].count("data: ")
    assert (shown.count("data: "), f"(… {events - 9} more events …)" in shown) == (9, True)


def test_line_shows_the_same_again(notebook):
    assert notebook.run(f"{NEW}\nhi", LINE) == notebook.run(LINE)


def test_last_cell_is_shown(notebook):
    notebook.run(f"{NEW}\nhi", "%%qianfan_complete\nx = 1")
    assert "/completions/starcoder" in notebook.run(LINE)


def test_line_changes_no_conversation(notebook):
    notebook.run(f"{NEW}\nhi", LINE, f"{NEW}\nhi")
    assert len(bodies(notebook.server)[-1]["messages"]) == 3


def test_line_sends_nothing(notebook):
    notebook.run(f"{NEW}\nhi")
    seen = len(notebook.server.seen)
    notebook.run(LINE, f"{LINE} --as curl", f"{LINE} --as python")
    assert len(notebook.server.seen) == seen


def test_html_has_the_same_text(quiet):
    quiet.run(f"{NEW}\nhi")
    (bundle,) = quiet.run(LINE).bundles
    words = unescape(re.sub("<[^>]*>", "", bundle["text/html"])).split()
    assert words == bundle["text/plain"].replace("--- ", "").split()


def test_what_came_back_is_no_html(quiet):
    quiet.server.fail(Fault(fields={"id": "<script>x\u202e"}, path=V2))
    quiet.run(f"{NEW}\nhi")
    (bundle,) = quiet.run(LINE).bundles
    found = ["<script" in bundle["text/html"], "\u202e" in bundle["text/html"]]
    assert (found, "&lt;script&gt;" in bundle["text/html"]) == ([False, False], True)


def test_control_characters_do_not_reach_the_terminal(notebook):
    notebook.server.fail(Fault(body=b"\x1b[2J", path=V2, headers={"X-Odd": "a\u009bb"}))
    notebook.fail(f"{NEW} --retries 1\nhi")
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", notebook.run(LINE)) == []


def test_request_of_again_is_shown(live):
    """The buttons of the panel ask too."""
    live.run("%reload_ext qianfan_magic")
    shown = live.run("%qianfan params")

    live.run("%%qianfan_chat\nhi")
    live.run("%qianfan params top_k=7")
    PanelPage(live, shown, panels(shown)[0]).click("again")
    assert '"top_k": 7' in live.run(LINE).bundles[0]["text/plain"]


# --- -o


def test_bound_dict_has_all_there_is(notebook):
    notebook.run(f"{NEW}\nhi")
    assert list(written(notebook)) == [
        *("request", "attempts", "status", "headers", "response", "first", "seconds"),
    ]


def test_bound_dict_is_plain(notebook):
    notebook.run(f"{NEW}\nhi")
    bound = written(notebook)
    assert json.loads(json.dumps(bound)) == bound


def test_bound_attempts(notebook):
    notebook.run(f"{NEW}\nhi")
    ((attempt,), status) = (written(notebook)["attempts"], written(notebook)["status"])
    assert (list(attempt), attempt["status"], attempt["error"], status) == (
        ["begun", "took", "status", "error"],
        200,
        "",
        200,
    )


def test_bound_answer_is_whole(notebook):
    notebook.run(f"{NEW} -o reply\n{WALL}")
    events = written(notebook)["response"].split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert (text, events[-2:]) == (notebook.shell.user_ns["reply"].text, ["data: [DONE]", ""])


def test_bound_dict_is_shown_too(notebook):
    notebook.run(f"{NEW}\nhi")
    assert notebook.run(f"{LINE} -o bound") == notebook.run(LINE)


def test_bound_dict_is_the_users_own(notebook):
    notebook.run(f"{NEW}\nhi")
    written(notebook)["headers"].clear()
    assert written(notebook)["headers"] != {}


# --- nothing, or no such request

WRONG = {
    "second of one": (f"{LINE} 2", "There is no request 2"),
    "zeroth": (f"{LINE} 0", "There is no request 0"),
    "no number": (f"{LINE} first", "first"),
    "half a number": (f"{LINE} 1.5", "1.5"),
    "unknown language": (f"{LINE} --as perl", "perl"),
    "no language": (f"{LINE} --as", "--as"),
    "no variable": (f"{LINE} -o a-b", "a-b"),
    "keyword": (f"{LINE} --as curl -o class", "class"),
    "unknown flag": (f"{LINE} --nonsense", "--nonsense"),
}


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG)
def test_wrong_line_is_told_in_two_lines(notebook, line, words):
    notebook.run(f"{NEW}\nhi")
    error, shown = notebook.fail(line)
    told = (type(error), words in error.message, bool(error.hint))
    assert (told, shown.splitlines()) == ((ParameterError, True, True), two_lines(error))


@pytest.mark.parametrize("line", [LINE, f"{LINE} 1", f"{LINE} --as curl", f"{LINE} -o bound"])
@pytest.mark.parametrize("before", ["", f"{NEW} --dry-run\nhi", "%qianfan models"])
def test_nothing_sent_yet_is_told(notebook, line, before):
    notebook.run(before)
    error, shown = notebook.fail(line)
    assert (error.message, shown.splitlines()) == (
        "The last cell sent nothing, or no cell has asked yet",
        two_lines(error),
    )


def test_reload_forgets_the_request(notebook):
    notebook.run(f"{NEW}\nhi", "%reload_ext qianfan_magic")
    error, _ = notebook.fail(LINE)
    assert error.message == "The last cell sent nothing, or no cell has asked yet"


# --- after --compare

COLUMNS = "%%qianfan_chat --compare model=ernie-5.1,deepseek-v3.2,ernie-5.0"


@pytest.mark.parametrize(
    ("number", "model"), [("", "ernie-5.1"), ("1", "ernie-5.1"), ("2", "deepseek-v3.2")]
)
def test_request_of_a_column_is_shown(notebook, number, model):
    notebook.run(f"{COLUMNS}\nhi")
    sent = written(notebook, f"{LINE} {number}")["request"]
    assert json.loads(sent.partition("\n\n")[2])["model"] == model


def test_column_is_named(notebook):
    notebook.run(f"{COLUMNS}\nhi")
    assert notebook.run(f"{LINE} 2").startswith("--- Request 2 of 3\n")


def test_column_that_there_is_not_is_told(notebook):
    notebook.run(f"{COLUMNS}\nhi")
    error, _ = notebook.fail(f"{LINE} 4")
    assert error.hint == "There are the requests 1 to 3."


def test_program_of_a_column(notebook):
    notebook.run(f"{COLUMNS}\nhi")
    assert '"deepseek-v3.2"' in written(notebook, f"{LINE} 2 --as python")


def test_column_that_failed_is_shown(notebook):
    notebook.server.fail(Fault(status=403, error_code="account_overdue", path=V2))
    notebook.fail(f"{COLUMNS}\nhi")
    found = [written(notebook, f"{LINE} {number}")["status"] for number in (1, 2, 3)]
    assert sorted(found) == [200, 200, 403]


def test_only_the_last_cells_requests_are_there(notebook):
    notebook.run(f"{COLUMNS}\nhi", f"{NEW}\nhi")
    error, _ = notebook.fail(f"{LINE} 2")
    assert error.message == "There is no request 2"


# --- after what went wrong


def test_refusal_is_shown(bare, own):
    own.fail(Fault(status=403, error_code="account_overdue", error_msg="pay", path=V2))
    error, _ = bare.fail(f"{NEW}\nhi")
    shown = parts(bare.run(LINE))
    assert re.search(
        r"HTTP 403 after .*: Qianfan responded with error account_overdue", shown["1 attempt"]
    )
    body = json.loads(shown["Came back"].partition("\n\n")[2])
    assert (body["error"]["message"], written(bare)["status"]) == (error.error_msg, 403)


def test_answer_that_is_no_json_is_shown(bare, own):
    own.fail(Fault(status=404, body=b"<h1>Not here</h1>", path=V2))
    bare.fail(f"{NEW}\nhi")
    assert "<h1>Not here</h1>" in parts(bare.run(LINE))["Came back"]


def test_missing_connection_is_shown(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:1")
    bare.fail(f"{NEW} --retries 2\nhi")
    shown = parts(bare.run(LINE))
    assert ("Came back" in shown, shown["Sent"].partition("\n")[0]) == (
        False,
        "POST /v2/chat/completions HTTP/1.1",
    )
    assert len(re.findall(r": no answer after .*No connection", shown["2 attempts"])) == 2


def test_missing_connection_is_bound(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:1")
    bare.fail(f"{NEW} --retries 1\nhi")
    bound = written(bare)
    nothing = [bound[name] for name in ("status", "headers", "response", "first")]
    assert (nothing, bound["attempts"][0]["status"]) == ([None, {}, "", None], None)


@pytest.mark.parametrize("flags", ["-m ernie-5.1", "-e test1"])
def test_missing_keys_are_shown(bare, flags):
    bare.fail(f"%%qianfan_chat {flags}\nhi")
    shown = parts(bare.run(LINE))
    assert (shown["Sent"], "no credentials" in shown["1 attempt"]) == (
        "Nothing: it failed before it was sent.",
        True,
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("flags", ["-m ernie-5.1", "-e test1"])
def test_program_without_keys_is_there_or_told_in_two_lines(bare, flags, language):
    bare.fail(f"%%qianfan_chat {flags}\nhi")
    result = bare.shell.run_cell(f"{LINE} --as {language}")
    assert result.success or isinstance(result.error_in_exec, QianfanError)


def test_wrong_key_is_shown_without_the_key(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_SK", "0badbadbadbad0")
    bare.fail("%%qianfan_chat\nhi")
    shown = bare.run(LINE)
    assert ("refused the keys" in shown, "0badbadbadbad0" in shown) == (True, False)


def test_cell_that_is_refused_here_leaves_the_request_before(notebook):
    notebook.run(f"{NEW}\nhi")
    notebook.fail(f"{NEW} -t 3\nother")
    assert '"content": "hi"' in notebook.run(LINE)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_stream_that_breaks_is_shown_as_far_as_it_came(bare, own, end):
    own.fail(Fault(after=3, end=end, path=V2))
    bare.fail(f"{NEW}\n{WALL}")
    bound = written(bare)
    assert (bound["response"].count("data: "), bound["status"]) == (3, 200)


def test_error_in_the_stream_is_shown(bare, own):
    own.fail(Fault(after=3, error_code="internal_error", error_msg="odd", path=V2))
    bare.fail(f"{NEW}\n{WALL}")
    assert '"internal_error"' in parts(bare.run(LINE))["Came back"]


def test_stop_is_shown_as_far_as_it_came(live):
    live.server.fail(Fault(after=4, end="silence", path=V2))
    live.stopped(f"{NEW}\n{WALL}", lambda ran: ran.seen)
    shown = parts(live.run(LINE).bundles[0]["text/plain"])
    times = [title for title in shown if title.startswith("Times: first piece after")]
    assert (1 <= shown["Came back"].count("data: ") <= 4, len(times)) == (True, 1)


def test_retry_is_shown(bare, own):
    own.fail(Fault(status=429, error_code="rpm_rate_limit_exceeded", path=V2))
    bare.run(f"{NEW}\nhi")
    first, second = parts(bare.run(LINE))["2 attempts"].splitlines()
    assert re.match(r"1\. at 0\.\d{3} s: HTTP 429 after .*: .*rpm_rate_limit_exceeded", first)
    assert re.fullmatch(r"2\. at \d\.\d{3} s: HTTP 200 after \d\.\d{3} s", second)


def test_only_the_answer_of_the_last_attempt_is_shown(bare, own):
    own.fail(Fault(status=429, error_code="rpm_rate_limit_exceeded", path=V2))
    bare.run(f"{NEW}\nhi")
    assert "rate_limit" not in parts(bare.run(LINE))["Came back"]


def test_token_that_was_replaced_is_shown_as_an_attempt(bare, own):
    bare.run("%%qianfan_chat\nhi")
    own.authenticator.tokens.clear()
    bare.run("%%qianfan_chat\nhi")
    errors = [attempt["error"].partition(",")[0] for attempt in written(bare)["attempts"]]
    assert errors == ["Qianfan responded with error 110", ""]


def test_request_that_was_sent_shorter_is_shown(bare, own):
    bare.run(f"{NEW}\none")
    own.fail(Fault(status=400, error_code="tokens_too_long", path=V2))
    bare.run(f"{NEW}\ntwo")
    sent = json.loads(written(bare)["request"].partition("\n\n")[2])
    assert [one["content"] for one in sent["messages"]] == ["two"]


# --- byte for byte

THINK = "%%qianfan_chat -m ernie-5.1 --enable-thinking"
KEYS: dict[str, dict[str, str]] = {
    "keys": {"QIANFAN_AK": "api+key/one=", "QIANFAN_SK": "secret+key/two=="},
    "token": {"QIANFAN_ACCESS_TOKEN": "24.0123456789abcdef0123456789abcdef.2592000"},
    "signature": {"QIANFAN_ACCESS_KEY": "ALTAK0three", "QIANFAN_SECRET_KEY": "secret+key/four=="},
    "bearer": {"QIANFAN_BEARER_TOKEN": "bce-v3/ALTAK-made/0123456789up"},
}
CASES = [
    ("keys", "%%qianfan_chat -e test1"),
    ("token", "%%qianfan_chat -e test1 -s 'Be brief.' -t 0.5"),
    ("token", "%%qianfan_complete -e test1 --no-stream"),
    ("signature", "%%qianfan_chat -e test1"),
    ("signature", "%%qianfan_chat -m ernie-5.1"),
    ("bearer", "%%qianfan_chat -m ernie-5.1 --enable-thinking --stop a"),
    ("bearer", "%%qianfan_chat -m ernie-5.0 -i red"),
    ("bearer", "%%qianfan_complete -m qwen3-coder-30b-a3b-instruct --suffix 'end'"),
]
cases = pytest.mark.parametrize(("keys", "cell"), CASES)


@pytest.fixture
def wire(monkeypatch, bare, raw_server, keys) -> Notebook:
    """Give a notebook whose questions come to a server that keeps each byte."""
    variables = KEYS[keys] | {
        "QIANFAN_BASE_URL": raw_server.url,
        "QIANFAN_CONSOLE_API_BASE_URL": raw_server.url,
        "QIANFAN_IAM_BASE_URL": raw_server.url,
        "QIANFAN_APP_ID": "app-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bare.shell.user_ns["red"] = Image.new("RGB", (12, 8), "red")
    return bare


#: What version 1 and version 2 answer, in one.
ANSWER = {
    "result": "so",
    "choices": [{"message": {"content": "so"}, "text": "so", "finish_reason": "stop"}],
}


def sent_raw(seen: Seen) -> str:
    """Give what came in, masked by a reader who knows none of our rules."""
    text = seen.raw.decode().replace("\r\n", "\n")
    authorization = seen.headers.get("authorization", "")
    token = seen.query.get("access_token", "")
    for secret in (re.sub("^(Bearer |bce-auth-v1/)", "", authorization), token):
        text = text.replace(secret, MASKED) if secret else text
    return re.sub(r"(base64,)[A-Za-z0-9+/=]+", rf"\1{MASKED}", text)


@cases
def test_text_is_what_went_over_the_wire_but_for_secrets(wire, raw_server, cell):
    raw_server.script.append(json_answer(ANSWER))
    wire.run(f'{cell}\n你好, \u202e\U0001f600\n  {{x}} "quoted" \\n')
    assert written(wire)["request"] == sent_raw(raw_server.requests[-1])


@cases
def test_dry_run_is_what_goes_over_the_wire_but_for_secrets(wire, raw_server, keys, cell):
    raw_server.script.append(json_answer(ANSWER))
    shown = wire.run(f"{cell} --dry-run\nhi")[:-1].removeprefix(PICTURE)
    wire.run(f"{cell}\nhi")
    sent = sent_raw(raw_server.requests[-1])
    if keys == "signature" and "-e" in cell:  # the time is masked too, as it is not known yet
        sent = re.sub(r"(?m)^(x-bce-date: ).*$", rf"\1{MASKED}", sent)
    assert shown == sent


PICTURE = "[Picture red: 12 \N{MULTIPLICATION SIGN} 8 pixels, 1 kB]\n"


@cases
def test_shown_request_is_the_bound_one(wire, raw_server, cell):
    raw_server.script.append(json_answer(ANSWER))
    wire.run(f"{cell}\nhi")
    assert parts(wire.run(LINE))["Sent"] == written(wire)["request"].rstrip("\n")


@pytest.mark.parametrize(
    "cell", [f"{OLD}\nhi", f"{NEW}\nhi", f"{THINK}\nhi", f"{CODER}\nhi", "%%qianfan_complete\nhi"]
)
def test_embedded_server_saw_what_is_shown(notebook, cell):
    notebook.run(cell)
    head, _, body = written(notebook)["request"].partition("\n\n")
    first, *lines = head.splitlines()
    seen = notebook.server.seen[-1]
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.removesuffix("?access_token=***") in (f"{seen.method} {seen.path} HTTP/1.1", first)
    assert headers | {"Authorization": ""} == seen.headers | {"Authorization": ""}
    assert body == seen.body.decode()


# --- no secret


def echo(make: Callable[..., Answer], **more: Any) -> Callable[[Seen], Answer]:
    """Answer with all the secrets that the server learnt, in the headers and in the answer."""

    def answer(seen: Seen) -> Answer:
        said = [seen.headers.get("authorization", ""), seen.query.get("access_token", "")]
        told = " ; ".join([*said, seen.target])
        payload = {"result": told, "is_end": True, "error_msg": "", "id": told}
        choice = {"delta": {"content": told}, "message": {"content": told}}
        headers = {"X-Echo": told, "Set-Cookie": f"token={said[0] or said[1]}"}
        return make(payload | {"choices": [choice]}, headers=headers, **more)

    return answer


def learnt(server: RawServer, keys: str) -> list[str]:
    """List the secrets of a test: the keys, and the tokens that they were exchanged for."""
    seen = server.requests[-1]
    values = [v for k, v in KEYS[keys].items() if "ACCESS_KEY" not in k]
    token = seen.query.get("access_token", "")
    bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
    return [one for one in (*values, token, bearer, bearer[-64:]) if one]


SECRET = [(keys, cell) for keys, cell in CASES if "--no-stream" not in cell]


@pytest.mark.parametrize(("keys", "cell"), SECRET)
@pytest.mark.parametrize("stream", [True, False])
def test_no_secret_is_shown_or_bound(wire, raw_server, keys, cell, stream):
    make = stream_answer if stream else json_answer
    raw_server.script.append(echo(make))
    wire.shell.run_cell(f"{cell} --retries 1\nhi")
    shown = wire.run(LINE) + json.dumps(written(wire), ensure_ascii=False)
    assert "X-Echo" in shown
    assert [secret for secret in learnt(raw_server, keys) if secret in shown] == []


@pytest.mark.parametrize(("keys", "cell"), SECRET)
def test_no_secret_is_shown_of_an_error(wire, raw_server, keys, cell):
    raw_server.script.append(echo(json_answer, status=403))
    wire.fail(f"{cell} --retries 1\nhi")
    shown = wire.run(LINE) + json.dumps(written(wire), ensure_ascii=False)
    assert ("X-Echo" in shown, [s for s in learnt(raw_server, keys) if s in shown]) == (True, [])


def test_key_that_the_question_quotes_is_not_shown(notebook):
    key = notebook.server.authenticator.keys.bearer_token
    notebook.run(f"{NEW}\nMy key is {key}.")
    shown = notebook.run(LINE) + notebook.run(f"{LINE} --as python") + str(written(notebook))
    assert ("My key is ***." in shown, key in shown) == (True, False)


def test_repr_of_what_is_kept_has_no_secret(notebook):
    notebook.run(f"{NEW}\nhi", "%%qianfan_chat -n old\nhi")
    told = repr(notebook.senders) + repr(notebook.senders[0].exchange)
    assert [secret for secret in secrets_of(notebook.server) if secret in told] == []


# --- pictures


def pictured(notebook: Notebook, size: tuple[int, int] = (12, 8)) -> None:
    pixels = bytes(range(256)) * (size[0] * size[1] // 256 + 1)
    image = Image.frombytes("L", size, pixels[: size[0] * size[1]])
    notebook.shell.user_ns["pic"] = image.effect_spread(50)
    notebook.run("%%qianfan_chat -m ernie-5.0 -i pic\nhi")


def test_data_of_pictures_is_not_shown(notebook):
    pictured(notebook)
    shown = notebook.run(LINE) + str(written(notebook))
    assert re.findall(r"base64,[^\"\\]*", shown) == ["base64,***"] * 2


def test_data_of_earlier_pictures_is_not_shown(notebook):
    pictured(notebook)
    notebook.run("%%qianfan_chat -m ernie-5.0\nand now?")
    assert re.findall(r"base64,[^\"\\]*", notebook.run(LINE)) == ["base64,***"]


def test_data_that_the_service_echoes_is_not_shown(bare, own):
    data = f"data:image/png;base64,{'A' * 500}"
    own.fail(Fault(status=400, error_code="invalid_image_url", error_msg=data, path=V2))
    bare.fail(f"{NEW}\nhi")
    assert "A" * 64 not in bare.run(LINE) + str(written(bare))


@pytest.mark.parametrize("language", LANGUAGES)
def test_program_with_a_large_picture_is_shown_without(notebook, language):
    pictured(notebook, (400, 300))
    shown = notebook.run(f"{LINE} --as {language} -o bound")
    bound = notebook.shell.user_ns["bound"]
    sent = bodies(notebook.server)[-1]["messages"][0]["content"][0]["image_url"]["url"]
    assert (sent in shown, sent in bound, len(shown) < 10_000) == (False, True, True)
    assert "# The pictures are left out here; -o VAR has them." in shown


# --- programs


PROGRAMS = [
    (language, cell)
    for language in LANGUAGES
    for cell in (f"{OLD}\nhi", f"{NEW} --no-stream\nhi", "%%qianfan_complete\nx = 1", f"{CODER}\nx")
]


@pytest.mark.parametrize(("language", "cell"), PROGRAMS)
def test_printed_program_is_the_bound_one(notebook, language, cell):
    notebook.run(cell)
    shown = notebook.run(f"{LINE} --as {language} -o bound")
    assert shown.rstrip("\n") == notebook.shell.user_ns["bound"].rstrip("\n")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "question", ["你好", "a\u202eb", "\x1b[2J", "'''\"\\", "EOF\nSECRET\n$x `y`"]
)
def test_printed_program_is_the_bound_one_whatever_was_asked(notebook, language, question):
    notebook.shell.run_cell_magic("qianfan_chat", "-m ernie-5.1", question)
    shown = notebook.run(f"{LINE} --as {language} -o bound")
    assert shown.rstrip("\n") == notebook.shell.user_ns["bound"].rstrip("\n")


@pytest.mark.parametrize(("language", "cell"), PROGRAMS)
def test_program_has_no_secret(notebook, language, cell):
    notebook.run(cell)
    both = notebook.run(f"{LINE} --as {language} -o bound") + notebook.shell.user_ns["bound"]
    assert [secret for secret in secrets_of(notebook.server) if secret in both] == []


@pytest.mark.parametrize(("keys", "cell"), [one for one in CASES if "suffix" not in one[1]])
@pytest.mark.parametrize("language", LANGUAGES)
def test_program_names_the_variables_of_its_keys(wire, raw_server, keys, cell, language):
    raw_server.script.append(json_answer(ANSWER))
    wire.run(f"{cell}\nhi")
    text = written(wire, f"{LINE} --as {language}")
    first = text.splitlines()[0]
    assert [name for name in KEYS[keys] if name not in first] == []
    assert [secret for secret in learnt(raw_server, keys) if secret in text] == []


def test_program_after_a_failure_sends_the_same(bare, own):
    own.fail(Fault(status=403, error_code="account_overdue", path=V2))
    bare.fail(f"{NEW}\nhi")
    assert '"ernie-5.1"' in written(bare, f"{LINE} --as python")


def test_program_in_a_notebook_is_text(quiet: Kernel):
    quiet.run(f"{NEW}\nhi")
    ran: Ran = quiet.run(f"{LINE} --as curl -o bound\nlen(bound)")
    plain = ran.bundles[0]["text/plain"]
    (length,) = ran.contents("execute_result")
    assert len(plain.rstrip("\n")) + 1 == int(length["data"]["text/plain"])


@pytest.mark.parametrize(
    ("line", "offered"),
    [("%qianfan req", ["request"]), (f"{LINE} --a", ["--as"]), (f"{LINE} --o", ["--output"])],
)
def test_tab_offers_the_line(bare, line, offered):
    assert bare.complete(line) == offered


# --- what the service's limits leave


@pytest.mark.parametrize(("flags", "tokens"), [("-m ernie-5.1", "input tokens"), ("", "tokens")])
def test_usage_says_what_the_limits_leave(notebook, flags, tokens):
    shown = notebook.run(f"%%qianfan_chat {flags}\nhi", "%qianfan usage")
    assert re.search(rf"limits leave [\d,]+ of [\d,]+ requests, [\d,]+ of [\d,]+ {tokens}", shown)


def test_usage_says_nothing_of_limits_that_are_none(notebook):
    headers = {"X-Ratelimit-Limit-Requests": "many", "X-Ratelimit-Remaining-Requests": "9" * 99}
    body = json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode()
    headers |= {"Content-Type": "application/json"}
    notebook.server.fail(Fault(path=V2, headers=headers, body=body))
    assert "limits" not in notebook.run(f"{NEW}\nhi", "%qianfan usage")

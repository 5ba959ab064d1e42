"""`%qianfan request`: what was sent and received, in a real shell and kernel, without a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import unescape
from itertools import product
from typing import Any

import pytest
from PIL import Image
from support.kernel import Kernel
from support.notebook import LOAD_ANEW, WALL, Notebook, assert_fails_cleanly
from support.panel import PanelPage, panels
from support.raw_server import Answer, RawServer, Seen, json_answer, stream_answer
from support.requests_seen import V2, bodies

from qianfan_magic import ParameterError, SettingsError, masking
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.snippets import LANGUAGES

V1_CHAT, V2_CHAT = "%%qianfan_chat", "%%qianfan_chat -m ernie-5.1"
V1_COMPLETE = "%%qianfan_complete"
V2_COMPLETE = "%%qianfan_complete -m qwen3-coder-30b-a3b-instruct"
LINE = "%qianfan request"
TIMES = r"Times: first piece after ([\d.]+) s, all after ([\d.]+) s"
NOTHING_SENT = "^The last cell sent nothing, or no cell has run yet$"


def bound(notebook: Notebook, line: str = LINE) -> Any:
    """Run the line and return the value that it binds."""
    notebook.run(f"{line} -o bound")
    return notebook.shell.user_ns["bound"]


def sections(shown: str) -> dict[str, str]:
    """Return the sections of the plain output by their titles."""
    pieces = re.split(r"^--- (.*)$", shown, flags=re.MULTILINE)[1:]
    return {title: text.strip("\n") for title, text in zip(pieces[::2], pieces[1::2], strict=True)}


def body_of(message: str) -> Any:
    """Return the JSON body of an HTTP message."""
    return json.loads(message.partition("\n\n")[2])


# --- what is shown


def test_request_attempts_response_and_times_are_shown(notebook):
    for cell in (V1_CHAT, V2_CHAT, V1_COMPLETE, V2_COMPLETE):
        titles = list(sections(notebook.run(f"{cell}\nhi", LINE)))
        assert titles[:3] == ["Sent", "1 attempt", "Came back"], cell
        times = re.fullmatch(
            r"Times: first piece after ([\d.]+) s, all after ([\d.]+) s", titles[3]
        )
        assert times, cell
        assert 0 <= float(times[1]) <= float(times[2]) < 60, cell
        assert len(titles) == 4, cell


def test_sections_hold_the_messages_that_were_exchanged(notebook):
    shown = sections(notebook.run(f"{V2_CHAT}\nhi", LINE))
    assert shown["Sent"].splitlines()[0] == "POST /v2/chat/completions HTTP/1.1"
    assert body_of(shown["Sent"]) == bodies(notebook.server)[0]
    assert re.fullmatch(r"1\. at \d+\.\d{3} s: HTTP 200 after \d+\.\d{3} s", shown["1 attempt"])
    head, _, events = shown["Came back"].partition("\n\n")
    assert "Content-Type: text/event-stream;charset=utf-8" in head.splitlines()
    assert "X-Ratelimit-Remaining-Requests: 2999" in head.splitlines()
    assert events.startswith("data: {")
    assert events.endswith("data: [DONE]")


def test_whole_response_is_shown_if_it_was_not_streamed(notebook):
    shown = sections(notebook.run(f"{V2_CHAT} --no-stream\nhi", LINE))
    assert body_of(shown["Came back"])["object"] == "chat.completion"


def test_long_stream_is_shown_shortened_and_bound_whole(notebook):
    notebook.run(f"{V2_CHAT} -o reply\n{WALL}")
    shown = sections(notebook.run(LINE))["Came back"]
    *events, end, rest = bound(notebook)["response"].split("\n\n")
    assert shown.count("data: ") == 9
    assert f"(… {len(events) + 1 - 9} more events …)" in shown
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == notebook.shell.user_ns["reply"].text
    assert (end, rest) == ("data: [DONE]", "")


def test_last_cell_is_shown_each_time(notebook):
    first = notebook.run(f"{V2_CHAT}\nhi", LINE)
    assert notebook.run(LINE) == first
    assert "/completions/starcoder" in notebook.run(f"{V1_COMPLETE}\nx = 1", LINE)


def test_line_sends_nothing_and_changes_no_conversation(notebook):
    notebook.run(f"{V2_CHAT}\nhi")
    received, turns = len(notebook.server.seen), notebook.turns()
    notebook.run(LINE, f"{LINE} --as curl", f"{LINE} --as python")
    assert len(notebook.server.seen) == received
    assert notebook.turns() == turns


def test_html_has_the_text_of_the_plain_output(quiet):
    quiet.run(f"{V2_CHAT}\nhi")
    (bundle,) = quiet.run(LINE).bundles
    words = unescape(re.sub("<[^>]*>", "", bundle["text/html"])).split()
    assert words == bundle["text/plain"].replace("--- ", "").split()


def test_hostile_response_is_neither_html_nor_a_terminal_command(quiet, notebook):
    quiet.server.fail(Fault(fields={"id": "<script>x\u202e"}, path=V2))
    quiet.run(f"{V2_CHAT}\nhi")
    html = quiet.run(LINE).bundles[0]["text/html"]
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "\u202e" not in html
    notebook.server.fail(Fault(body=b"\x1b[2J", path=V2, headers={"X-Odd": "a\u009bb"}))
    notebook.fail(f"{V2_CHAT} --retries 1\nhi")
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", notebook.run(LINE)) == []


def test_request_of_the_button_again_is_shown(live):
    live.run(LOAD_ANEW)
    shown = live.run("%qianfan params")
    live.run(f"{V1_CHAT}\nhi")
    live.run("%qianfan params top_k=7")
    PanelPage(live, shown, panels(shown)[0]).click("again")
    assert '"top_k": 7' in live.run(LINE).bundles[0]["text/plain"]


def test_tab_completes_the_line(bare):
    assert bare.complete("%qianfan req") == ["request"]
    assert bare.complete(f"{LINE} --a") == ["--as"]
    assert bare.complete(f"{LINE} --o") == ["--output"]


# --- -o


def test_output_binds_a_new_plain_dict_and_is_shown_too(notebook):
    shown = notebook.run(f"{V2_CHAT}\nhi", LINE)
    assert notebook.run(f"{LINE} -o bound") == shown
    record = notebook.shell.user_ns["bound"]
    assert list(record) == [
        *("request", "attempts", "status", "headers", "response", "first", "seconds"),
    ]
    assert json.loads(json.dumps(record)) == record
    assert record["status"] == 200
    (attempt,) = record["attempts"]
    assert list(attempt) == ["begun", "took", "status", "error"]
    assert attempt["status"] == 200
    assert attempt["error"] == ""
    record["headers"].clear()
    assert bound(notebook)["headers"] != {}


# --- invalid lines, and nothing to show


def test_invalid_line_is_refused(notebook):
    notebook.run(f"{V2_CHAT}\nhi")
    for words, message in [
        ("2", "^There is no request 2$"),
        ("0", "^There is no request 0$"),
        ("first", "first"),
        ("1.5", r"1\.5"),
        ("--as perl", "perl"),
        ("--as", "--as"),
        ("-o a-b", "a-b"),
        ("--as curl -o class", "class"),
        ("--nonsense", "--nonsense"),
    ]:
        assert_fails_cleanly(notebook, f"{LINE} {words}", message, ParameterError)


def test_line_is_refused_before_anything_was_sent(notebook):
    cells = ["", f"{V2_CHAT} --dry-run\nhi", "%qianfan models"]
    for cell, words in product(cells, ["", "1", "--as curl", "-o bound"]):
        notebook.run(cell)
        assert_fails_cleanly(notebook, f"{LINE} {words}", NOTHING_SENT, ParameterError)
    notebook.run(f"{V2_CHAT}\nhi", LINE, LOAD_ANEW)
    assert_fails_cleanly(notebook, LINE, NOTHING_SENT, ParameterError)


# --- after --compare

COMPARE = "%%qianfan_chat --compare model=ernie-5.1,deepseek-v4-pro,ernie-5.0\nhi"


def test_request_of_each_column_is_shown(notebook):
    notebook.run(COMPARE)
    for number, model in [("", "ernie-5.1"), ("1", "ernie-5.1"), ("2", "deepseek-v4-pro")]:
        assert body_of(bound(notebook, f"{LINE} {number}")["request"])["model"] == model, number
    assert notebook.run(f"{LINE} 2").startswith("--- Request 2 of 3\n")
    assert '"deepseek-v4-pro"' in bound(notebook, f"{LINE} 2 --as python")
    error, _ = notebook.fail(f"{LINE} 4")
    assert error.hint == "There are the requests 1 to 3."


def test_failed_column_is_shown_until_the_next_cell(notebook):
    notebook.server.fail(Fault(status=403, error_code="account_overdue", path=V2))
    notebook.fail(COMPARE)
    statuses = [bound(notebook, f"{LINE} {number}")["status"] for number in (1, 2, 3)]
    assert sorted(statuses) == [200, 200, 403]
    notebook.run(f"{V2_CHAT}\nhi")
    assert_fails_cleanly(notebook, f"{LINE} 2", "^There is no request 2$", ParameterError)


# --- after failures


def test_error_of_the_service_is_shown(bare, own):
    own.fail(Fault(status=403, error_code="account_overdue", error_msg="pay", path=V2))
    error, _ = bare.fail(f"{V2_CHAT}\nhi")
    shown = sections(bare.run(LINE))
    attempt = r"HTTP 403 after [\d.]+ s: The service responded with error account_overdue"
    assert re.search(attempt, shown["1 attempt"])
    assert body_of(shown["Came back"])["error"]["message"] == error.error_msg == "pay"
    assert bound(bare)["status"] == 403
    assert '"ernie-5.1"' in bound(bare, f"{LINE} --as python")


def test_response_that_is_not_json_is_shown(bare, own):
    own.fail(Fault(status=404, body=b"<h1>Not here</h1>", path=V2))
    bare.fail(f"{V2_CHAT}\nhi")
    assert "<h1>Not here</h1>" in sections(bare.run(LINE))["Came back"]


def test_lost_connection_is_shown_without_a_response(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:1")
    bare.fail(f"{V2_CHAT} --retries 2\nhi")
    shown, record = sections(bare.run(LINE)), bound(bare)
    assert shown["Sent"].startswith("POST /v2/chat/completions HTTP/1.1\n")
    assert len(re.findall(r": no answer after .*No connection", shown["2 attempts"])) == 2
    assert "Came back" not in shown
    assert [attempt["status"] for attempt in record["attempts"]] == [None, None]
    assert record["status"] is None
    assert record["headers"] == {}
    assert record["response"] == ""
    assert record["first"] is None


def test_missing_credentials_are_shown_and_no_program_is(bare):
    for flags in ("-m ernie-5.1", "-e test1"):
        bare.fail(f"%%qianfan_chat {flags}\nhi")
        shown = sections(bare.run(LINE))
        assert shown["Sent"] == "Nothing: it failed before it was sent.", flags
        assert "no credentials" in shown["1 attempt"], flags
        for language in LANGUAGES:
            assert_fails_cleanly(bare, f"{LINE} --as {language}", "no credentials", SettingsError)


def test_refused_key_is_not_shown(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_SK", "0badbadbadbad0")
    bare.fail(f"{V1_CHAT}\nhi")
    shown = bare.run(LINE)
    assert "refused the keys" in shown
    assert "0badbadbadbad0" not in shown


def test_invalid_cell_leaves_the_request_before(notebook):
    notebook.run(f"{V2_CHAT}\nhi")
    notebook.fail(f"{V2_CHAT} -t 3\nother")
    assert '"content": "hi"' in notebook.run(LINE)


def test_interrupted_stream_is_shown_as_far_as_it_was_received(bare, own):
    for end in ("close", "reset"):
        own.fail(Fault(after=3, end=end, path=V2))
        bare.fail(f"{V2_CHAT}\n{WALL}")
        record = bound(bare)
        assert record["response"].count("data: ") == 3, end
        assert record["status"] == 200, end


def test_error_within_a_stream_is_shown(bare, own):
    own.fail(Fault(after=3, error_code="internal_error", error_msg="odd", path=V2))
    bare.fail(f"{V2_CHAT}\n{WALL}")
    assert '"internal_error"' in sections(bare.run(LINE))["Came back"]


def test_stopped_stream_is_shown_as_far_as_it_was_received(live):
    live.server.fail(Fault(after=4, end="silence", path=V2))
    live.stopped(f"{V2_CHAT}\n{WALL}", lambda ran: ran.seen)
    shown = sections(live.run(LINE).bundles[0]["text/plain"])
    assert 1 <= shown["Came back"].count("data: ") <= 4
    assert [title for title in shown if title.startswith("Times: first piece after")]


def test_each_attempt_is_shown_and_the_response_of_the_last(bare, own):
    own.fail(Fault(status=429, error_code="rpm_rate_limit_exceeded", path=V2))
    bare.run(f"{V2_CHAT}\nhi")
    shown = sections(bare.run(LINE))
    first, second = shown["2 attempts"].splitlines()
    assert re.match(r"1\. at 0\.\d{3} s: HTTP 429 after .*: .*rpm_rate_limit_exceeded", first)
    assert re.fullmatch(r"2\. at \d\.\d{3} s: HTTP 200 after \d\.\d{3} s", second)
    assert "rate_limit" not in shown["Came back"]


def test_replaced_access_token_is_shown_as_an_attempt(bare, own):
    bare.run(f"{V1_CHAT}\nhi")
    own.authenticator.tokens.clear()
    bare.run(f"{V1_CHAT}\nhi")
    errors = [attempt["error"].partition(",")[0] for attempt in bound(bare)["attempts"]]
    assert errors == ["The service responded with error 110", ""]


def test_request_is_shown_as_it_was_shortened(bare, own):
    bare.run(f"{V2_CHAT}\none")
    own.fail(Fault(status=400, error_code="tokens_too_long", path=V2))
    bare.run(f"{V2_CHAT}\ntwo")
    messages = body_of(bound(bare)["request"])["messages"]
    assert [message["content"] for message in messages] == ["two"]


# --- every kind of credentials, with a server that records each byte

CREDENTIALS: dict[str, dict[str, str]] = {
    "keys": {"QIANFAN_AK": "api+key/one=", "QIANFAN_SK": "secret+key/two=="},
    "token": {"QIANFAN_ACCESS_TOKEN": "24.0123456789abcdef0123456789abcdef.2592000"},
    "signature": {"QIANFAN_ACCESS_KEY": "ALTAK0three", "QIANFAN_SECRET_KEY": "secret+key/four=="},
    "bearer": {"QIANFAN_API_KEY": "bce-v3/ALTAK-made/0123456789up"},
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
#: A response that both versions of the API could give.
RESPONSE = {
    "result": "so",
    "choices": [{"message": {"content": "so"}, "text": "so", "finish_reason": "stop"}],
}
IMAGE_NOTE = "[Picture red: 12 \N{MULTIPLICATION SIGN} 8 pixels, 1 kB]\n"
Login = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def login(monkeypatch, bare, raw_server) -> Login:
    """Return a function that loads the extension anew with one kind of credentials."""
    bare.shell.user_ns["red"] = Image.new("RGB", (12, 8), "red")
    addresses = ("QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL")
    variables = dict.fromkeys(addresses, raw_server.url) | {"QIANFAN_APP_ID": "app-1"}

    @contextmanager
    def credentials(kind: str) -> Iterator[None]:
        with monkeypatch.context() as environment:
            for name, value in (variables | CREDENTIALS[kind]).items():
                environment.setenv(name, value)
            # A secret that an earlier case has remembered would be masked in any case.
            masking.forget_all()
            bare.run(LOAD_ANEW)
            yield

    return credentials


def text_sent(seen: Seen) -> str:
    """Return a received request, masked independently of the package's rules."""
    text = seen.raw.decode().replace("\r\n", "\n")
    authorization = seen.headers.get("authorization", "")
    token = seen.query.get("access_token", "")
    for secret in (re.sub("^(Bearer |bce-auth-v1/)", "", authorization), token):
        text = text.replace(secret, "***") if secret else text
    return re.sub(r"(base64,)[A-Za-z0-9+/=]+", r"\1***", text)


def secrets_received(server: RawServer, kind: str) -> list[str]:
    """Return the secret keys, and the tokens and signature of the last request."""
    seen = server.requests[-1]
    keys = [value for name, value in CREDENTIALS[kind].items() if "ACCESS_KEY" not in name]
    token = seen.query.get("access_token", "")
    bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
    return [secret for secret in (*keys, token, bearer, bearer[-64:]) if secret]


def test_request_is_shown_as_it_was_sent_but_for_secrets(bare, raw_server, login):
    for kind, cell in CASES:
        raw_server.script += [json_answer(RESPONSE)] * 2
        with login(kind):
            described = bare.run(f"{cell} --dry-run\nhi")[:-1].removeprefix(IMAGE_NOTE)
            bare.run(f"{cell}\nhi")
            sent = text_sent(raw_server.requests[-1])
            assert bound(bare)["request"] == sent, (kind, cell)
            assert sections(bare.run(LINE))["Sent"] == sent.rstrip("\n"), (kind, cell)
            if kind == "signature" and "-e" in cell:  # the time of a signature is not known yet
                sent = re.sub(r"(?m)^(x-bce-date: ).*$", r"\1***", sent)
            assert described == sent, (kind, cell)
            bare.run(f'{cell}\n你好, \u202e\U0001f600\n  {{x}} "quoted" \\n')
            assert bound(bare)["request"] == text_sent(raw_server.requests[-1]), (kind, cell)


def test_program_names_the_variables_of_its_credentials(bare, raw_server, login):
    for kind, cell in CASES[:-1]:  # the SDK does not send a suffix
        raw_server.script.append(json_answer(RESPONSE))
        with login(kind):
            bare.run(f"{cell}\nhi")
            for language in LANGUAGES:
                text, case = bound(bare, f"{LINE} --as {language}"), (kind, cell, language)
                first = text.splitlines()[0]
                assert [name for name in CREDENTIALS[kind] if name not in first] == [], case
                assert ("appid" in text) == ("-m" in cell and language != "sdk"), case
                secrets = secrets_received(raw_server, kind)
                assert [secret for secret in secrets if secret in text] == [], case


# --- secrets


def echo(make: Callable[..., Answer], **options: Any) -> Callable[[Seen], Answer]:
    """Return a response with all secrets that the request held, in its headers and body."""

    def answer(seen: Seen) -> Answer:
        secrets = [seen.headers.get("authorization", ""), seen.query.get("access_token", "")]
        text = " ; ".join([*secrets, seen.target])
        payload = {"result": text, "is_end": True, "error_msg": "", "id": text}
        choice = {"delta": {"content": text}, "message": {"content": text}}
        headers = {"X-Echo": text, "Set-Cookie": f"token={secrets[0] or secrets[1]}"}
        return make(payload | {"choices": [choice]}, headers=headers, **options)

    return answer


def test_secret_that_the_service_echoes_is_neither_shown_nor_bound(bare, raw_server, login):
    answers = {"stream": echo(stream_answer), "whole": echo(json_answer)}
    answers["error"] = echo(json_answer, status=403)
    streamed = [case for case in CASES if "--no-stream" not in case[1]]
    for (kind, cell), (name, answer) in product(streamed, answers.items()):
        raw_server.script.append(answer)
        with login(kind):
            bare.shell.run_cell(f"{cell} --retries 1\nhi")
            shown = bare.run(LINE) + json.dumps(bound(bare), ensure_ascii=False)
            case = (kind, cell, name)
            assert "X-Echo" in shown, case
            secrets = secrets_received(raw_server, kind)
            assert [secret for secret in secrets if secret in shown] == [], case


def test_key_in_the_question_is_not_shown(notebook):
    key = notebook.server.authenticator.keys.bearer_token
    notebook.run(f"{V2_CHAT}\nMy key is {key}.")
    for shown in (notebook.run(LINE), notebook.run(f"{LINE} --as python"), str(bound(notebook))):
        assert "My key is ***." in shown
        assert key not in shown


def secrets_of(server: EmbeddedServer) -> list[str]:
    keys = server.authenticator.keys
    fetched = (*server.authenticator.tokens, *server.authenticator.bearers)
    return [keys.ak, keys.sk, keys.access_key, keys.secret_key, keys.bearer_token, *fetched]


def test_repr_of_the_recorded_requests_has_no_secret(notebook):
    for cell in (V2_CHAT, f"{V1_CHAT} -n old"):
        notebook.run(f"{cell}\nhi")
        text = repr(notebook.senders) + repr(notebook.senders[0].exchange)
        assert [secret for secret in secrets_of(notebook.server) if secret in text] == [], cell


# --- images


def send_image(notebook: Notebook, width: int, height: int) -> None:
    pixels = bytes(range(256)) * (width * height // 256 + 1)
    image = Image.frombytes("L", (width, height), pixels[: width * height])
    # Noise, which does not shrink when it is compressed.
    notebook.shell.user_ns["pic"] = image.effect_spread(50)
    notebook.run("%%qianfan_chat -m ernie-5.0 -i pic\nhi")


def test_data_of_images_is_neither_shown_nor_bound(notebook):
    send_image(notebook, 12, 8)
    for cell in ("", "%%qianfan_chat -m ernie-5.0\nand now?"):
        notebook.run(cell)
        for shown in (notebook.run(LINE), str(bound(notebook))):
            assert re.findall(r"base64,[^\"\\]*", shown) == ["base64,***"], cell


def test_data_of_an_image_that_the_service_echoes_is_not_shown(bare, own):
    data = f"data:image/png;base64,{'A' * 500}"
    own.fail(Fault(status=400, error_code="invalid_image_url", error_msg=data, path=V2))
    bare.fail(f"{V2_CHAT}\nhi")
    assert "A" * 64 not in bare.run(LINE) + str(bound(bare))


def test_large_image_is_left_out_of_the_shown_program_only(notebook):
    send_image(notebook, 400, 300)
    sent = bodies(notebook.server)[-1]["messages"][0]["content"][0]["image_url"]["url"]
    for language in LANGUAGES:
        shown = notebook.run(f"{LINE} --as {language} -o bound")
        assert sent in notebook.shell.user_ns["bound"], language
        assert sent not in shown, language
        assert len(shown) < 10_000, language
        assert "# The pictures are left out here; -o VAR has them." in shown, language


# --- programs


def test_program_is_shown_as_it_is_bound_and_without_a_secret(notebook):
    cells = [(V1_CHAT, "hi"), (f"{V2_CHAT} --no-stream", "hi")]
    cells += [(V1_COMPLETE, "x = 1"), (V2_COMPLETE, "x")]
    hostile = ("你好", "a\u202eb", "\x1b[2J", "'''\"\\", "EOF\nSECRET\n$x `y`")
    for (cell, text), language in product([*cells, *((V2_CHAT, t) for t in hostile)], LANGUAGES):
        name, _, flags = cell.removeprefix("%%").partition(" ")
        # run_cell would transform the control characters.
        notebook.shell.run_cell_magic(name, flags, text)
        shown = notebook.run(f"{LINE} --as {language} -o bound")
        program, case = notebook.shell.user_ns["bound"], (cell, text, language)
        assert shown.rstrip("\n") == program.rstrip("\n"), case
        assert [secret for secret in secrets_of(notebook.server) if secret in program] == [], case


def test_program_in_a_notebook_is_plain_text(quiet: Kernel):
    quiet.run(f"{V2_CHAT}\nhi")
    ran = quiet.run(f"{LINE} --as curl -o bound\nlen(bound)")
    plain = ran.bundles[0]["text/plain"]
    (result,) = ran.contents("execute_result")
    assert len(plain.rstrip("\n")) + 1 == int(result["data"]["text/plain"])


# --- the service's rate limits


def test_usage_shows_what_is_left_of_the_rate_limits(notebook):
    for flags, tokens in (("-m ernie-5.1", "input tokens"), ("", "tokens")):
        shown = notebook.run(f"%%qianfan_chat {flags}\nhi", "%qianfan usage")
        left = rf"limits leave [\d,]+ of [\d,]+ requests, [\d,]+ of [\d,]+ {tokens}"
        assert re.search(left, shown), flags


def test_usage_ignores_malformed_rate_limits(notebook):
    body = json.dumps({"choices": [{"message": {"content": "hi"}}]}).encode()
    for limit, remaining in [("many", "9"), ("60", "9" * 99)]:
        headers = {"Content-Type": "application/json", "X-Ratelimit-Limit-Requests": limit}
        headers["X-Ratelimit-Remaining-Requests"] = remaining
        notebook.server.fail(Fault(path=V2, headers=headers, body=body))
        assert "limits" not in notebook.run(f"{V2_CHAT}\nhi", "%qianfan usage"), limit

"""Version 2 of the API in a notebook: JSON answers, which version a cell calls, and failures."""

from __future__ import annotations

import json
import re
from typing import Any

from support.requests_seen import JSON, V2, bodies, dry_run_body, two_lines, with_keys

from qianfan_magic import (
    APIError,
    AuthError,
    ParameterError,
    QianfanError,
    RateLimitError,
    SettingsError,
    StreamError,
    TransportError,
)
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.session.cell_options import CellOptions
from qianfan_magic.session.cell_request import CellRequest

NEW = "%%qianfan_chat -m ernie-5.1"
V1_CHAT = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat"
V2_CHAT = "/v2/chat/completions"


def fault(code: str, status: int, **more: Any) -> Fault:
    return Fault(error_code=code, error_msg="their words", status=status, path=V2, **more)


def requested_paths(server: EmbeddedServer) -> list[str]:
    """Return the paths of all requests except those for tokens."""
    return [s.path for s in server.seen if "oauth" not in s.path and "BCE-BEARER" not in s.path]


# --- --format json


def test_json_is_requested_from_models_that_support_it(monkeypatch, bare):
    v1, v2 = "json_object", JSON
    for keys, flags, expected in (
        ("v2", "-m ernie-5.1", v2),
        ("v2", "-m deepseek-v4-pro", v2),
        ("v2", "-m brand-new", v2),
        ("v1", "-m ERNIE-4.0-8K", v1),
        ("v1", "-m ernie-3.5-8k", v1),
        ("v1", "-e completions_pro", v1),
        ("v1", "-e dolly_12b", None),
        ("v1", "-m ERNIE-Speed", None),
        ("v1", "-e unknown", None),
    ):
        with monkeypatch.context() as patch:
            with_keys(patch, keys)
            body = dry_run_body(bare, f"%%qianfan_chat {flags} --format json --dry-run\nhi")
        assert body.get("response_format") == expected, flags


def test_json_is_not_requested_for_other_formats_and_completions(notebook):
    cells = [f"{NEW} --format {form}" for form in ("text", "markdown", "html", "code")]
    cells.append("%%qianfan_complete -m qwen3-coder-30b-a3b-instruct --format json")
    for cell in cells:
        assert "response_format" not in dry_run_body(notebook, f"{cell} --dry-run\nhi"), cell


def test_json_of_config_is_requested_and_received(notebook):
    notebook.run("%config QianfanMagics.format = 'json'")
    notebook.run(f"{NEW} -o reply\nGive me the longest rivers as JSON")
    assert bodies(notebook.server)[-1]["response_format"] == JSON
    assert json.loads(notebook.bound("reply")[0].text)["complete"] is False


def test_json_is_requested_in_the_columns_that_support_it(notebook):
    notebook.run('%config QianfanMagics.models = {"old": {"endpoint": "dolly_12b"}}')
    cell = "%%qianfan_chat --compare model=old,ernie-5.1 --format json --dry-run\nhi"
    first, second = notebook.run(cell).split("\n---\n")
    assert "response_format" not in first
    assert "response_format" in second


def test_given_response_format_is_not_overwritten():
    request = CellRequest(
        kind="chat",
        text="hi",
        service=Service("ernie-5.1", version=ApiVersion.V2),
        parameters={"response_format": "text"},
        options=CellOptions(),
        format="json",
    )
    assert request.sent_parameters == {"response_format": "text"}


# --- credentials; how they decide the version is tested in tests/api/catalogue/test_resolver.py


def test_credentials_and_names_decide_which_version_is_called(monkeypatch, bare):
    endpoint = {"QIANFAN_CHAT_ENDPOINT": "test1"}
    model = {"QIANFAN_MODEL": "ernie-5.1"}
    for keys, variables, flags, path in (
        ("v1", {}, "-m ERNIE-4.0-8K", f"{V1_CHAT}/completions_pro"),
        ("v1", endpoint | model, "", f"{V1_CHAT}/test1"),
        ("v1", {"QIANFAN_MODEL": "ernie-4.0-8k"}, "", f"{V1_CHAT}/completions_pro"),
        ("v2", {}, "-m ERNIE-4.0-8K", V2_CHAT),
        ("v2", endpoint | model, "", V2_CHAT),
        ("both", {}, "-m ERNIE-4.0-8K", V2_CHAT),
        ("both", {}, "-m ERNIE-Speed", f"{V1_CHAT}/ernie_speed"),
        ("both", endpoint, "", f"{V1_CHAT}/test1"),
        ("both", endpoint, "-m ernie-5.1", V2_CHAT),
        ("both", model, "", V2_CHAT),
        ("both", model, "-e test1", f"{V1_CHAT}/test1"),
        ("access", {}, "-e dolly_12b", f"{V1_CHAT}/dolly_12b"),
        ("access", {}, "-m brand-new", V2_CHAT),
    ):
        with monkeypatch.context() as patch:
            with_keys(patch, keys, **variables)
            shown = bare.run(f"%%qianfan_chat {flags} --dry-run\nhi")
        assert re.split(r"[ ?]", shown)[1] == path, f"{keys}, {variables}, {flags}"


def test_error_names_the_credentials_or_the_service_that_is_missing(monkeypatch, bare):
    v1, v2 = ["QIANFAN_AK", "QIANFAN_SK"], ["QIANFAN_API_KEY", "QIANFAN_ACCESS_KEY"]
    for keys, flags, kind, words in (
        ("v1", "-m ernie-5.1", SettingsError, v2),
        ("v1", "-m brand-new", ParameterError, ["-e NAME", "QIANFAN_API_KEY"]),
        ("v2", "-e dolly_12b", SettingsError, v1),
        ("v2", "-m ERNIE-Speed", SettingsError, v1),
        ("none", "", ParameterError, ["No service is named", "-m", "-e", "%qianfan demo"]),
        ("none", "-e dolly_12b", SettingsError, [*v1, "%qianfan demo"]),
        ("none", "-m ernie-5.1", SettingsError, v2),
        ("none", "-m brand-new", ParameterError, ["-e NAME", "QIANFAN_API_KEY"]),
        # Both versions have this model.
        ("none", "-m ERNIE-4.0-8K", SettingsError, ["QIANFAN_AK", "QIANFAN_API_KEY"]),
    ):
        where = f"keys of {keys}, flags {flags!r}"
        with monkeypatch.context() as patch:
            with_keys(patch, keys)
            error, shown = bare.fail(f"%%qianfan_chat {flags}\nhi")
        assert type(error) is kind, where
        assert shown.splitlines() == two_lines(error), where
        for word in words:
            assert word in f"{error.message} {error.hint}", where


def test_fetched_bearer_token_that_is_rejected_is_replaced_once(monkeypatch, own, bare):
    for name in ("AK", "SK", "API_KEY", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", own.authenticator.keys.access_key)
    monkeypatch.setenv("QIANFAN_SECRET_KEY", own.authenticator.keys.secret_key)
    bare.run(f"{NEW}\nhi")
    (token,) = own.authenticator.bearers
    assert own.seen[-1].headers["Authorization"] == f"Bearer {token}"
    own.authenticator.bearers.clear()
    bare.run(f"{NEW}\nhi")
    assert [seen.path.rsplit("/", 1)[1] for seen in own.seen] == [
        *("token", "completions"),
        *("completions", "token", "completions"),
    ]


def test_given_bearer_token_that_is_rejected_is_sent_once_and_not_shown(monkeypatch, bare, own):
    token = "bce-v3/ALTAK-strange/0123456789abcdef"
    monkeypatch.delenv("QIANFAN_BEARER_TOKEN")
    monkeypatch.setenv("QIANFAN_API_KEY", token)
    error, shown = bare.fail(f"{NEW}\nhi")
    assert error.error_code == "invalid_iam_token"
    assert "QIANFAN_API_KEY" in error.hint
    assert token not in shown
    assert requested_paths(own) == [V2_CHAT]


def test_application_is_sent_as_a_header(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_APP_ID", "app-strange")
    error, _ = bare.fail(f"{NEW}\nhi")
    assert error.error_code == "invalid_appid"
    assert "QIANFAN_APP_ID" in error.hint
    monkeypatch.setenv("QIANFAN_APP_ID", own.authenticator.keys.app_id)
    bare.run(f"{NEW}\nhi")
    headers = {name.lower(): value for name, value in own.seen[-1].headers.items()}
    assert headers["appid"] == own.authenticator.keys.app_id


# --- failures

EVENTS = {"Content-Type": "text/event-stream"}
WHOLE = {"choices": [{"index": 0, "delta": {"content": "all of it"}, "finish_reason": "stop"}]}
FAILURES: list[tuple[Fault, type[QianfanError], str]] = [
    (fault("invalid_iam_token", 401), AuthError, "invalid_iam_token"),
    (fault("invalid_appid", 401), AuthError, "invalid_appid"),
    (fault("account_overdue", 403), AuthError, "account_overdue"),
    (fault("tpm_rate_limit_exceeded", 429), RateLimitError, "tpm_rate_limit"),
    (fault("invalid_argument", 400), APIError, "invalid_argument"),
    (fault("prompt_unsafe", 400), APIError, "prompt_unsafe"),
    (fault("internal_error", 500), APIError, "internal_error"),
    (fault("brand_new", 418), APIError, "brand_new"),
    (Fault(status=502, body=b"<html>", path=V2), TransportError, "502"),
    (fault("internal_error", 200, after=3), APIError, "internal_error"),
    (Fault(after=3, end="close", path=V2), StreamError, "stream"),
    (Fault(after=3, end="reset", path=V2), StreamError, "stream"),
    (Fault(after=3, body=b"", path=V2), StreamError, "ended before"),
    (Fault(after=3, body=b"data: {bro\n\n", path=V2), StreamError, "protocol"),
    (
        Fault(path=V2, headers=EVENTS, body=b'data: {"result": "hi"}\n\n'),
        StreamError,
        "choices",
    ),
]


def test_failed_request_says_why_and_leaves_the_conversation_unchanged(bare, own):
    bare.run(f"{NEW}\nhi")
    for failure, kind, words in FAILURES:
        own.fail(failure)
        error, shown = bare.fail(f"{NEW} --enable-thinking --retries 1\nagain")
        assert isinstance(error, kind), failure
        assert words in error.message, failure
        assert error.hint, failure
        assert shown.splitlines()[-2:] == two_lines(error), failure
        assert bare.questions() == ["hi"], failure


def test_stream_without_text_is_an_empty_answer(bare, own):
    own.fail(Fault(path=V2, headers=EVENTS, body=b"data: [DONE]\n\n"))
    assert "The answer is empty." in bare.run(f"{NEW}\nhi")
    assert bare.turns() == []


def test_broken_stream_shows_the_reasoning_that_arrived(bare, own):
    own.fail(Fault(after=3, end="close", path=V2))
    _, shown = bare.fail(f"{NEW} --enable-thinking\nA bat and a ball cost 1.10 together.")
    assert re.match(r"\[Thinking\]\nA bat .*\n\[ernie-5.1 · broken off · .*\]\n", shown)


def test_temporary_failure_is_retried(bare, own):
    for failure in (
        fault("rpm_rate_limit_exceeded", 429),
        fault("internal_error", 500),
        Fault(status=503, body=b"", path=V2),
        Fault(end="close", path=V2),
    ):
        own.seen.clear()
        own.fail(failure)
        bare.run(f"{NEW} -n retried\nhi")
        assert requested_paths(own) == [V2_CHAT] * 2, failure
    assert len(bare.turns("retried")) == 4


def test_permanent_failure_is_not_retried(bare, own):
    for code in ("account_overdue", "invalid_argument", "invalid_appid"):
        own.seen.clear()
        own.fail(fault(code, 403))
        bare.fail(f"{NEW}\nhi")
        assert requested_paths(own) == [V2_CHAT], code


def test_unknown_model_gets_a_suggestion(notebook):
    error, _ = notebook.fail("%%qianfan_chat -m brand-new\nhi")
    assert error.error_code == "invalid_model"
    assert "%qianfan models" in error.hint
    error, _ = notebook.fail("%%qianfan_chat -m ernie51\nhi")
    assert error.hint.startswith("Did you mean ernie-5.1?")


def test_unsafe_answer_is_noted_and_not_kept(bare, own):
    bare.run(f"{NEW}\nhi")
    own.fail(Fault(fields={"flag": 2, "ban_round": -1}, path=V2))
    assert "ban_round -1" in bare.run(f"{NEW}\nsomething bad")
    assert bare.questions() == ["hi"]


# --- requests that are too long


def test_request_that_the_service_finds_too_long_is_sent_with_fewer_turns(bare, own):
    for code in ("tokens_too_long", "characters_too_long"):
        bare.run(f"{NEW} -n {code}\none", f"{NEW} -n {code}\ntwo")
        own.fail(fault(code, 400))
        shown = bare.run(f"{NEW} -n {code}\nthree")
        assert "The oldest turn was not sent: the service found" in shown, code
        sent = [[m["content"] for m in body["messages"]][::2] for body in bodies(own)[-2:]]
        assert sent == [["one", "two", "three"], ["two", "three"]], code
        assert bare.questions(code) == ["one", "two", "three"], code


def test_a_quarter_of_the_turns_is_left_out_at_a_time_and_at_least_one(bare, own):
    """Of 2,000 turns, one at a time would be more requests than a service allows in a minute."""
    for count, sent in ((2, [2, 1, 0]), (12, [12, 9, 7, 6])):
        bare.run(*[f"{NEW} -n {count}\nquestion {number}" for number in range(count)])
        own.fail(*[fault("tokens_too_long", 400)] * (len(sent) - 1))
        bare.run(f"{NEW} -n {count}\nthe last")
        tried = bodies(own)[-len(sent) :]
        assert [len(body["messages"]) // 2 for body in tried] == sent, count


def test_question_that_is_too_long_by_itself_fails_with_a_hint(bare, own):
    own.fail(fault("tokens_too_long", 400))
    error, _ = bare.fail(f"{NEW}\none")
    assert error.error_code == "tokens_too_long"
    assert "shorten" in error.hint


def test_conversation_is_shortened_to_the_tokens_of_the_card(notebook):
    for words in (70_000, 60_000):
        notebook.run(f"%%qianfan_chat -m ernie-5.1\n{'word ' * words}")
    assert len(bodies(notebook.server)[-1]["messages"]) == 1


def test_web_search_cites_its_sources(notebook):
    for flags in ("", " --no-stream"):
        shown = notebook.run(f"%%qianfan_chat -m ernie-5.1 --web-search{flags} -o found\nhi")
        assert "[1] Example Domain · example.com · 2026-01-15: https://www.example.com/" in shown
        results = notebook.shell.user_ns["found"].search_results
        assert [result.index for result in results] == [1, 2, 3], flags
    notebook.run("%%qianfan_chat -m ernie-5.1 --search-number 1\nhi")
    assert bodies(notebook.server)[-1]["web_search"]["search_number"] == 1


def test_search_for_all_cells_is_left_out_for_a_model_that_cannot(notebook):
    notebook.run("%qianfan params web_search=true")
    notebook.run("%%qianfan_chat -m deepseek-v4-pro\nhi")
    assert "web_search" not in bodies(notebook.server)[-1]
    notebook.run("%%qianfan_chat -m ernie-5.1\nhi")
    assert bodies(notebook.server)[-1]["web_search"]["enable"] is True


def test_sources_stand_in_the_record_and_are_not_sent_back(notebook):
    cell = "%%qianfan_chat -m ernie-5.1 --web-search"
    notebook.run(f"{cell}\nhi", f"{cell}\nagain")
    (first, _) = notebook.magics.session.conversations.get("default").turns
    assert [source.index for source in first.sources] == [1, 2, 3]
    assert "example.com" not in json.dumps(bodies(notebook.server)[-1]["messages"])


def test_history_lists_the_sources_of_an_answer(notebook):
    notebook.run("%%qianfan_chat -m ernie-5.1 --web-search\nhi")
    assert "\n[1] Example Domain · example.com" in notebook.run("%qianfan history")

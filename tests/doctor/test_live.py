"""The doctor on services, and ``--live``: tokens, the list of models, one question."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.doctor import BEARER_TOKEN, HEX_KEY, MALFORMED_LINE, TOKEN, Report, account
from support.doctor import write_dot_env as dot_env

from qianfan_magic.embedded.faults import Fault


@pytest.fixture
def live(check, server) -> Callable[..., Report]:
    """Examine the embedded server with real requests."""
    return lambda **variables: check(live=True, **server.environment() | variables)


def test_services_of_cells_without_flags_are_shown(check):
    report = check(**TOKEN, QIANFAN_CHAT_ENDPOINT="dolly_12b")
    assert report.one("Chat", "ok").message.endswith("asks dolly_12b, version 1")
    assert "No service is named" in report.one("Completion", "note").message


def test_model_cards_of_the_folder_are_used(check, tmp_path):
    table = '[qianfan.models]\ntutor = "ernie-5.1"\n'
    (tmp_path / "qianfan.toml").write_text(table, encoding="utf-8")
    report = check(QIANFAN_BEARER_TOKEN=BEARER_TOKEN, QIANFAN_MODEL="tutor")
    assert report.one("Chat", "ok").message.endswith("asks ernie-5.1, version 2")


def test_unreadable_model_cards_fail(check, tmp_path):
    (tmp_path / "qianfan.toml").write_text("[qianfan", encoding="utf-8")
    assert "Cards" in check().failed


def test_without_live_a_note_says_how_to_try_the_keys(check, server):
    report = check(**server.environment())
    assert report.failed == []
    assert "doctor --live" in report.one("Live", "note").hint
    assert {request.method for request in server.seen} == {"GET"}


def test_each_version_is_asked(live):
    report = live(QIANFAN_CHAT_ENDPOINT="dolly_12b")
    assert report.failed == []
    assert len(report.of("Question", "ok")) == 2
    assert report.one("Models", "ok").message.startswith("version 2 lists ")


def test_service_of_the_settings_is_asked(live):
    for variable, service, version in (
        ("QIANFAN_MODEL", "ernie-5.1", 2),
        ("QIANFAN_CHAT_ENDPOINT", "dolly_12b", 1),
        ("QIANFAN_COMPLETE_ENDPOINT", "starcoder", 1),
    ):
        report = live(**{variable: service})
        assert f"{service} (version {version}) answered" in report.text


def test_version_2_is_asked_for_few_tokens(live, server):
    live()
    (body,) = [request.body for request in server.seen if request.path == "/v2/chat/completions"]
    assert b'"max_tokens": 16' in body


def test_token_is_requested_without_a_service_to_ask(live):
    report = live(QIANFAN_API_KEY="", QIANFAN_BEARER_TOKEN="", QIANFAN_CONSOLE_API_BASE_URL="")
    assert report.one("Token", "ok").message == "version 1 issues one for these keys"
    assert "QIANFAN_CHAT_ENDPOINT" in report.one("Question", "note").hint


def test_access_keys_are_tried_with_both_versions(check, server):
    report = check(live=True, QIANFAN_CHAT_ENDPOINT="dolly_12b", **account(server))
    assert report.failed == []
    assert report.one("Token", "ok").message == "version 2 issues one for these keys"
    assert len(report.of("Question", "ok")) == 2


def test_refused_key_is_named(live):
    report = live(
        QIANFAN_SK=HEX_KEY,
        QIANFAN_API_KEY="",
        QIANFAN_BEARER_TOKEN="",
        QIANFAN_CONSOLE_API_BASE_URL="",
    )
    assert "QIANFAN_SK is not the Secret Key" in report.one("Live, version 1", "failed").hint


def test_failure_of_one_version_leaves_the_other(live):
    report = live(
        QIANFAN_API_KEY="", QIANFAN_BEARER_TOKEN=BEARER_TOKEN, QIANFAN_CHAT_ENDPOINT="dolly_12b"
    )
    assert report.failed == ["Live, version 2"]
    assert "dolly_12b (version 1) answered" in report.text


def test_failed_request_is_not_sent_again(live, server):
    server.fail(*[Fault(path="/chat/", error_code=336100, error_msg="busy")] * 9)
    report = live(
        QIANFAN_CHAT_ENDPOINT="dolly_12b",
        QIANFAN_API_KEY="",
        QIANFAN_BEARER_TOKEN="",
        QIANFAN_CONSOLE_API_BASE_URL="",
    )
    assert report.failed == ["Live, version 1"]
    assert len(server.faults) == 8


def test_nothing_is_asked_while_settings_are_wrong(live, server, tmp_path):
    assert live(QIANFAN_LIVE="perhaps").failed == ["Settings", "Live"]
    dot_env(tmp_path, MALFORMED_LINE)
    assert live().failed == [".env", "Live"]
    assert {request.method for request in server.seen} == {"GET"}

"""The doctor on ``.env``, on variables and on settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.doctor import ACCESS_TOKEN, API_KEY, BEARER_TOKEN, MALFORMED_LINE, Report
from support.doctor import write_dot_env as dot_env

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.environment import FoundVariables, load_tolerantly
from qianfan_magic.doctor.examine import examine

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")


def test_missing_dot_env_is_a_note(check):
    finding = check().one(".env")
    assert finding.state == "note"
    assert ".env.example" in finding.hint


def test_path_of_dot_env_is_relative_to_the_folder_or_to_the_home(monkeypatch, tmp_path, base):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    dot_env(tmp_path, "QIANFAN_LIVE=on")
    (tmp_path / "below").mkdir()
    for folder, shown in ((tmp_path, ".env"), (tmp_path / "below", Path("~", ".env"))):
        assert Report(examine(folder, base)).one(".env").message == f"{shown} is read"


def test_null_device_stands_for_no_dot_env(check, tmp_path):
    dot_env(tmp_path, MALFORMED_LINE)
    assert check(QIANFAN_DOT_ENV_CONFIG_FILE=os.devnull).one(".env").state == "ok"


def test_configured_dot_env_that_does_not_exist_fails(check):
    report = check(QIANFAN_DOT_ENV_CONFIG_FILE="nowhere/.env")
    assert report.one(".env", "failed").hint == "Correct or unset it."


def test_variables_are_listed_by_where_they_are_set(check, tmp_path):
    dot_env(tmp_path, "QIANFAN_LIVE=on", "QIANFAN_MODEL=ernie-5.1", "OTHER=1")
    from_file, from_environment = check(QIANFAN_LIVE="off").of("Variables")
    assert from_file.message == ".env sets QIANFAN_MODEL, QIANFAN_LIVE"
    ending = "QIANFAN_LIVE; it takes precedence over .env for QIANFAN_LIVE"
    assert from_environment.message.endswith(ending)


def test_misspelled_variable_gets_a_suggestion(check):
    for name, value, meant in (
        ("QIANFAN_ACESS_KEY", "x", "QIANFAN_ACCESS_KEY"),
        ("QIANFAN_BEARERTOKEN", "x", "QIANFAN_BEARER_TOKEN"),
        ("qianfan_ak", "x", "QIANFAN_AK"),
        ("QIANFNA_SK", "x", "QIANFAN_SK"),
        # No name is similar: the value's format decides.
        ("QIANFAN_CONSOLE_KEY", API_KEY, "QIANFAN_AK"),
        ("QIANFAN_CONSOLE_KEY", BEARER_TOKEN, "QIANFAN_API_KEY"),
    ):
        note = check(**{name: value}).one("Variables", "note")
        assert name in note.message
        assert note.hint == f"Did you mean {meant}?", name


def test_variables_of_other_programs_are_not_reported(check):
    for name in ("QIANFAN_QPS_LIMIT", "QIANFAN_PRIVATE_ACCESS_CODE", "QIANFANTASY"):
        assert check(**{name: "1"}).of("Variables", "note") == [], name


def test_unknown_name_that_may_be_a_key_is_not_shown(check):
    assert "7" not in check(QIANFAN_K77="x").one("Variables", "note").message


@POSIX
def test_dot_env_is_a_note_if_others_can_read_keys_in_it(check, tmp_path):
    for line, mode, hints in (
        (f"QIANFAN_ACCESS_TOKEN={ACCESS_TOKEN}", 0o600, []),
        (f"QIANFAN_ACCESS_TOKEN={ACCESS_TOKEN}", 0o640, ["chmod 600 .env"]),
        (f"QIANFAN_ACCESS_TOKEN={ACCESS_TOKEN}", 0o604, ["chmod 600 .env"]),
        ("QIANFAN_LIVE=on", 0o644, []),
    ):
        dot_env(tmp_path, line).chmod(mode)
        notes = check().of(".env", "note")
        assert [note.hint for note in notes] == hints, f"{line} {mode:o}"


def test_unreadable_dot_env_fails_and_the_other_checks_run(check, server, tmp_path):
    for content in (MALFORMED_LINE.encode(), b"\xff\xfe"):
        (tmp_path / ".env").write_bytes(content)
        report = check(**server.environment())
        assert report.failed == [".env"], content
        assert len(report.of("Server", "ok")) == 2, content


def test_each_invalid_variable_is_reported(check):
    report = check(QIANFAN_LLM_API_RETRY_COUNT="many", QIANFAN_LIVE="perhaps")
    names = [finding.message.split()[0] for finding in report.of("Settings", "failed")]
    assert names == ["QIANFAN_LIVE", "QIANFAN_LLM_API_RETRY_COUNT"]


def test_invalid_variable_in_dot_env_does_not_stop_the_other_checks(check, server, tmp_path):
    bearer = f"QIANFAN_BEARER_TOKEN={server.authenticator.keys.bearer_token}"
    for name, value in (
        ("QIANFAN_BASE_URL", "ftp://x"),
        ("QIANFAN_LLM_API_RETRY_TIMEOUT", "-1"),
        ("QIANFAN_SSL_VERIFICATION_ENABLED", "perhaps"),
        ("QIANFAN_DISABLE_CACHE", "perhaps"),
        ("QIANFAN_CACHE_DIR", "~nobody-of-this-name/x"),
        ("QIANFAN_LIVE", "perhaps"),
    ):
        dot_env(tmp_path, f"{name}={value}", bearer)
        # Emptied in the environment, where it would take precedence.
        report = check(**{"QIANFAN_CONSOLE_API_BASE_URL": server.base_url, name: ""})
        assert report.failed == ["Settings"], name
        assert len(report.of("Server", "ok")) == 1, name


def test_default_stands_for_an_invalid_value(tmp_path):
    variables = {
        "QIANFAN_CACHE_DIR": "~nobody-of-this-name/x",
        "QIANFAN_LLM_API_RETRY_COUNT": "many",
        "QIANFAN_MODEL": "ernie-5.1",
    }
    # The environment's value is the one in effect, so that of .env is not used instead.
    dot_env_values = {"QIANFAN_LLM_API_RETRY_COUNT": "7"}
    found = FoundVariables(tmp_path, variables, dot_env=dot_env_values)
    settings, problems = load_tolerantly(found)
    assert settings == Settings(model="ernie-5.1")
    assert len(problems) == 2


def test_server_of_dot_env_that_would_get_a_key_of_the_environment_fails(tmp_path):
    dot_env(tmp_path, "QIANFAN_API_BASE_URL=https://nowhere.invalid/v2")
    report = Report(examine(tmp_path, {"QIANFAN_API_KEY": BEARER_TOKEN}, live=True))
    assert "nowhere.invalid" in report.one("Credentials", "failed").message
    assert report.one("Live", "failed").message.startswith("No question could be asked")

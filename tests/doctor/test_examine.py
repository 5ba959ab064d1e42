"""The doctor as a whole: its findings in order, in a terminal and in a notebook."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support.doctor import ACCESS_KEY, HEX_KEY, MALFORMED_LINE, TOKEN, Report
from support.doctor import write_dot_env as dot_env
from support.raw_server import Answer
from support.waiting import PATIENCE, until

from qianfan_magic import QianfanError
from qianfan_magic.doctor.examine import examine, raise_failed
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.views.reports.tables import doctor_bundle

COMMAND = str(Path(sysconfig.get_path("scripts")) / "qianfan-magic")


def test_findings_are_yielded_as_they_are_made(tmp_path, base):
    assert next(examine(tmp_path, base)).subject == "Python"


def test_nothing_is_left_behind(check, server, tmp_path):
    assert check(live=True, **server.environment()).failed == []
    assert list(tmp_path.iterdir()) == []


def test_every_failure_has_a_hint(check):
    report = check(QIANFAN_AK=ACCESS_KEY, QIANFAN_SK=HEX_KEY, QIANFAN_LIVE="perhaps", live=True)
    failures = [finding for finding in report.findings if finding.state == "failed"]
    assert {f.subject for f in failures} == {"Settings", "Credentials", "Server", "Live"}
    assert [f for f in failures if not f.hint] == []


def test_demo_is_examined_instead_of_the_users_settings(tmp_path, server):
    dot_env(tmp_path, MALFORMED_LINE)
    environ = {"QIANFAN_AK": ACCESS_KEY}
    report = Report(examine(tmp_path, environ, settings=server.settings()))
    assert report.failed == []
    assert report.of(".env") == []
    assert report.one("Credentials", "ok").message == "the embedded server's own"


def test_failures_are_counted():
    server, clock = (Finding(subject, "failed", "x") for subject in ("Server", "Clock"))
    for findings, message in (
        ([server], "1 check failed: Server"),
        ([server, clock, server], "3 checks failed: Server, Clock"),
    ):
        with pytest.raises(QianfanError) as caught:
            raise_failed(findings)
        assert caught.value.message == message


def test_notes_do_not_fail():
    raise_failed([Finding("Server", "ok", "x"), Finding("Clock", "note", "x")])


# --- as a process


def environment(folder: Path, **variables: str) -> dict[str, str]:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("QIANFAN_", "PYTEST"))}
    return inherited | {"QIANFAN_CACHE_DIR": str(folder / "cache")} | variables


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def test_exit_status_is_0_if_no_check_fails(tmp_path, server):
    process = run(tmp_path, "--live", **server.environment())
    assert process.returncode == 0
    assert process.stderr == ""
    assert "ok    Question: " in process.stdout


def test_exit_status_is_1_if_a_check_fails(tmp_path, base):
    # The second terminal's encoding has no arrow.
    for encoding, arrow in (("utf-8", "\u2192"), ("ascii", "\\u2192")):
        process = run(tmp_path, **base, PYTHONIOENCODING=encoding)
        assert process.returncode == 1, encoding
        assert process.stderr == "", encoding
        assert f"fix   Credentials: There are none\n      {arrow} Put" in process.stdout


def test_stopped_doctor_ends_at_once_and_reports_no_success(tmp_path, raw_server):
    variables = {"QIANFAN_BASE_URL": raw_server.url} | TOKEN
    for number in (signal.SIGINT, signal.SIGTERM):
        raw_server.script.append(Answer(status=0, end="silent"))
        raw_server.requests.clear()
        with subprocess.Popen(
            [COMMAND, "doctor"],
            cwd=tmp_path,
            env=environment(tmp_path, **variables),
            stdout=subprocess.DEVNULL,
        ) as process:
            assert until(lambda: raw_server.requests)
            process.send_signal(number)
            assert process.wait(5) != 0, number


# --- in a notebook


def test_magic_shows_findings_about_the_demo(notebook):
    shown = notebook.run("%qianfan doctor --live")
    assert "ok    Credentials: the embedded server's own" in shown
    assert "ok    Question: ernie-5.1 (version 2)" in shown


def test_magic_examines_the_servers_of_the_settings(bare, own):
    assert f"ok    Server: {own.base_url} answers" in bare.run("%qianfan doctor")


def test_magic_fails_after_it_has_shown_all_findings(monkeypatch, bare, base):
    for name, value in base.items():
        monkeypatch.setenv(name, value)
    error, shown = bare.fail("%qianfan doctor")
    assert isinstance(error, QianfanError)
    assert error.message == "3 checks failed: Credentials, Server"
    assert "fix   Credentials: There are none" in shown
    assert "ok    Answers: " in shown


def test_magic_has_help(bare):
    assert "--live" in bare.run("%qianfan doctor --help")


def test_report_begins_with_one_sentence_and_gives_a_server_one_row():
    addresses = ("http://a.example", "http://a.example/v2", "http://b.example")
    found = [Finding("Server", "ok", f"{address} answers") for address in addresses]
    bundle = doctor_bundle([*found, Finding("Live", "note", "not tried")])
    for content in bundle.values():
        assert content.index("All is well.") < content.index("http://a.example")
    assert "http://a.example answers; http://a.example/v2 answers" in bundle["text/html"]
    assert bundle["text/html"].count("<tr>") == 4  # the headers, two servers, and Live


def test_report_is_text_and_an_escaped_table():
    found = [Finding("Server", "failed", "<script>", "a & b"), Finding("Clock", "ok", "right")]
    bundle = doctor_bundle(found)
    assert bundle["text/plain"] == (
        "1 thing needs your attention: Server.\n"
        "fix   Server: <script>\n      \u2192 a & b\nok    Clock: right"
    )
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "a &amp; b" in bundle["text/html"]

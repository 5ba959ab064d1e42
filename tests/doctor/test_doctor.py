"""The doctor, before servers and settings that are well, and that are not."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from IPython.core.interactiveshell import InteractiveShell
from support.raw_server import Answer, RawServer, json_answer
from traitlets.config import Config

from qianfan_magic import QianfanError
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.examine import examine, raise_failed
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.doctor.front_end import check_packages, check_view
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.views.reports.tables import doctor_bundle

COMMAND = str(Path(sysconfig.get_path("scripts")) / "qianfan-magic")
PATIENCE = 60.0  # seconds; only a test that fails waits so long
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no such bits")
NO_SETTING = "a line that sets nothing"
#: Of each kind one, in the form that Baidu's have.
API_KEY = "bQ5xT0zLmN8pR2sV7wYcD4fG"
SECRET_KEY_OF_APPLICATION = "Zk3Jm8Qw1Er6Ty0Ui5Op2As7Df4Gh9XY"
ACCESS_KEY = "ALTAKq7Wm3Xc9Vb1Nz5Lk8Jh2Gf4"
HEX_KEY = "8f14e45fceea167a5a36dedd4bea2543"
ACCESS_TOKEN = f"24.{HEX_KEY}.2592000.1700000000.282335-1234567"
BEARER_TOKEN = f"bce-v3/ALTAK-q7Wm3Xc9Vb1Nz5Lk8Jh2G/{HEX_KEY}01234567"


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def base(tmp_path, closed) -> dict[str, str]:
    """Give an environment in which every server is one that is not there."""
    names = ("QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL")
    return dict.fromkeys(names, closed) | {"QIANFAN_CACHE_DIR": str(tmp_path / "cache")}


@pytest.fixture
def closed() -> str:
    """Give an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def check(tmp_path, base, monkeypatch):
    """Examine an empty folder in an environment of the base and these variables."""

    def run(*, live: bool = False, **variables: str) -> list[Finding]:
        for name, value in (base | variables).items():
            monkeypatch.setenv(name, value)
        return list(examine(tmp_path, live=live))

    return run


def of(findings: list[Finding], what: str, state: str = "") -> list[Finding]:
    return [one for one in findings if one.subject == what and state in {"", one.state}]


def failed(findings: list[Finding]) -> list[str]:
    return [one.subject for one in findings if one.state == "failed"]


def said(findings: list[Finding]) -> str:
    return "\n".join(line for one in findings for line in one.lines)


def account(server: EmbeddedServer) -> dict[str, str]:
    keys = server.authenticator.keys
    names = ("QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL")
    signs = {"QIANFAN_ACCESS_KEY": keys.access_key, "QIANFAN_SECRET_KEY": keys.secret_key}
    return dict.fromkeys(names, server.base_url) | signs


# --- all well


def test_nothing_fails_where_all_is_well(check, server):
    assert failed(check(**server.environment())) == []


def test_nothing_is_asked_with_the_keys_unless_live(check, server):
    check(**server.environment())
    assert {seen.method for seen in server.seen} == {"GET"}


def test_probe_carries_no_keys(check, server):
    check(**server.environment() | account(server))
    assert server.seen
    assert [s.path for s in server.seen if "Authorization" in s.headers] == []


def test_nothing_is_left_behind(check, server, tmp_path):
    check(live=True, **server.environment())
    assert list(tmp_path.iterdir()) == []


def test_findings_come_as_they_are_made(tmp_path, base):
    assert next(examine(tmp_path, base)).subject == "Python"


def test_failure_always_says_what_to_do(check):
    found = check(QIANFAN_AK=ACCESS_KEY, QIANFAN_SK=HEX_KEY, QIANFAN_LIVE="perhaps")
    assert [one for one in found if one.state == "failed" and not one.hint] == []


def test_demo_uses_the_servers_own_keys(tmp_path, server):
    found = list(examine(tmp_path, {"QIANFAN_AK": ACCESS_KEY}, settings=server.settings()))
    assert (failed(found), "the embedded server's own" in said(found)) == ([], True)


def test_demo_does_not_look_at_dot_env(tmp_path, server):
    (tmp_path / ".env").write_text(NO_SETTING, encoding="utf-8")
    assert of(list(examine(tmp_path, {}, settings=server.settings())), ".env") == []


# --- .env and variables


def dot_env(folder: Path, *lines: str) -> Path:
    path = folder / ".env"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path


def test_missing_dot_env_is_a_note(check):
    assert [one.state for one in of(check(), ".env")] == ["note"]


def test_dot_env_beside_is_named_from_the_folder(check, tmp_path):
    dot_env(tmp_path, "QIANFAN_LIVE=on")
    assert of(check(), ".env")[0].message == ".env is read"


def test_dot_env_above_is_named_from_the_home_folder(monkeypatch, tmp_path, base):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    dot_env(tmp_path, "QIANFAN_LIVE=on")
    (tmp_path / "below").mkdir()
    found = list(examine(tmp_path / "below", base))
    assert of(found, ".env")[0].message == f"{Path('~', '.env')} is read"


def test_null_device_stands_for_no_dot_env(check, tmp_path):
    dot_env(tmp_path, NO_SETTING)
    found = check(QIANFAN_DOT_ENV_CONFIG_FILE=os.devnull)
    assert [one.state for one in of(found, ".env")] == ["ok"]


def test_dot_env_that_is_named_and_missing_fails(check):
    found = check(QIANFAN_DOT_ENV_CONFIG_FILE="nowhere/.env")
    assert of(found, ".env", "failed")[0].hint == "Correct or unset it."


def test_names_are_told_where_they_are_set(check, tmp_path):
    dot_env(tmp_path, "QIANFAN_LIVE=on", "QIANFAN_MODEL=ernie-5.1", "OTHER=1")
    lines = [one.message for one in of(check(QIANFAN_LIVE="off"), "Variables")]
    assert lines[0] == ".env sets QIANFAN_MODEL, QIANFAN_LIVE"
    assert lines[1].endswith("QIANFAN_LIVE; it takes precedence over .env for QIANFAN_LIVE")


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("QIANFAN_ACESS_KEY", "x", "QIANFAN_ACCESS_KEY"),
        ("QIANFAN_BEARERTOKEN", "x", "QIANFAN_BEARER_TOKEN"),
        ("qianfan_ak", "x", "QIANFAN_AK"),
        ("QIANFNA_SK", "x", "QIANFAN_SK"),
        ("QIANFAN_API_KEY", API_KEY, "QIANFAN_AK"),
        ("QIANFAN_API_KEY", BEARER_TOKEN, "QIANFAN_BEARER_TOKEN"),
    ],
)
def test_unknown_name_gets_a_suggestion(check, name, value, meant):
    note = of(check(**{name: value}), "Variables", "note")[0]
    assert (name in note.message, note.hint) == (True, f"Did you mean {meant}?")


@pytest.mark.parametrize(
    "name", ["QIANFAN_QPS_LIMIT", "QIANFAN_PRIVATE_ACCESS_CODE", "QIANFANTASY"]
)
def test_name_of_others_is_left_alone(check, name):
    assert of(check(**{name: "1"}), "Variables", "note") == []


def test_unknown_name_like_a_key_is_not_shown(check):
    assert "7" not in of(check(QIANFAN_K77="x"), "Variables", "note")[0].message


@POSIX
@pytest.mark.parametrize(("mode", "notes"), [(0o600, 0), (0o640, 1), (0o644, 1)])
def test_keys_that_others_may_read_are_a_note(check, tmp_path, mode, notes):
    dot_env(tmp_path, f"QIANFAN_ACCESS_TOKEN={ACCESS_TOKEN}").chmod(mode)
    found = of(check(), ".env", "note")
    assert [one.hint for one in found] == ["chmod 600 .env"] * notes


@POSIX
def test_dot_env_without_keys_may_be_read(check, tmp_path):
    dot_env(tmp_path, "QIANFAN_LIVE=on").chmod(0o644)
    assert of(check(), ".env", "note") == []


@pytest.mark.parametrize("content", [NO_SETTING.encode(), b"\xff\xfe"])
def test_dot_env_that_cannot_be_read_fails_and_the_rest_goes_on(check, server, tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    found = check(**server.environment())
    assert (failed(found), len(of(found, "Server", "ok"))) == ([".env"], 2)


def test_each_wrong_variable_is_told(check):
    found = check(QIANFAN_LIVE="perhaps", QIANFAN_LLM_API_RETRY_COUNT="many")
    told = [one.message.split()[0] for one in of(found, "Settings", "failed")]
    assert told == ["QIANFAN_LIVE", "QIANFAN_LLM_API_RETRY_COUNT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QIANFAN_BASE_URL", "ftp://x"),
        ("QIANFAN_LLM_API_RETRY_TIMEOUT", "-1"),
        ("QIANFAN_SSL_VERIFICATION_ENABLED", "perhaps"),
        ("QIANFAN_DISABLE_CACHE", "perhaps"),
        ("QIANFAN_CACHE_DIR", "~nobody-of-this-name/x"),
        ("QIANFAN_LIVE", "perhaps"),
    ],
)
def test_wrong_variable_of_dot_env_does_not_stop_the_rest(check, server, tmp_path, name, value):
    bearer = f"QIANFAN_BEARER_TOKEN={server.authenticator.keys.bearer_token}"
    dot_env(tmp_path, f"{name}={value}", bearer)
    address = {"QIANFAN_CONSOLE_API_BASE_URL": server.base_url}
    if name in {"QIANFAN_CACHE_DIR", "QIANFAN_BASE_URL"}:
        address[name] = ""  # what is set there would win
    found = check(**address)
    assert (failed(found), len(of(found, "Server", "ok"))) == (["Settings"], 1)


# --- credentials


def test_no_credentials_fail(check):
    assert "QIANFAN_BEARER_TOKEN" in of(check(), "Credentials", "failed")[0].hint


def test_without_credentials_servers_of_both_versions_are_asked(check):
    assert len(of(check(), "Server")) == 2


@pytest.mark.parametrize(
    ("keys", "kind", "versions"),
    [
        ({"AK": API_KEY, "SK": SECRET_KEY_OF_APPLICATION}, "an API Key and", "version 1 of"),
        ({"ACCESS_TOKEN": ACCESS_TOKEN}, "an access token", "version 1 of"),
        ({"BEARER_TOKEN": BEARER_TOKEN}, "an API key of version 2", "version 2 of"),
        ({"ACCESS_KEY": ACCESS_KEY, "SECRET_KEY": HEX_KEY}, "an access key", "versions 1 and 2"),
        ({"ACCESS_KEY": HEX_KEY, "SECRET_KEY": HEX_KEY}, "an access key", "versions 1 and 2"),
    ],
)
def test_right_credentials_are_named(check, keys, kind, versions):
    one = of(check(**{f"QIANFAN_{name}": value for name, value in keys.items()}), "Credentials")
    assert [found.state for found in one] == ["ok"]
    assert (one[0].message.startswith(kind), versions in one[0].message) == (True, True)


def test_contradictory_credentials_fail_and_their_servers_are_asked(check, server):
    found = check(**server.environment(), QIANFAN_ACCESS_TOKEN=ACCESS_TOKEN)
    assert (failed(found), len(of(found, "Server", "ok"))) == (["Credentials"], 2)


def test_half_of_a_pair_fails_once(check):
    one = of(check(QIANFAN_AK=API_KEY), "Credentials", "failed")
    assert [found.message for found in one] == ["QIANFAN_AK is set, but QIANFAN_SK is not"]


BAIDU = {
    "QIANFAN_BASE_URL": "https://aip.baidubce.com",
    "QIANFAN_CONSOLE_API_BASE_URL": "https://qianfan.baidubce.com",
    # Nothing of a test goes to Baidu.
    "QIANFAN_PROXY": "http://127.0.0.1:1",
}
#: What stands where, and where it belongs.
MISPLACED = [
    ("QIANFAN_ACCESS_KEY", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_AK", ACCESS_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", True),
    ("QIANFAN_AK", HEX_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", False),
    ("QIANFAN_AK", SECRET_KEY_OF_APPLICATION, "QIANFAN_SK", False),
    ("QIANFAN_SK", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_SK", ACCESS_TOKEN, "QIANFAN_ACCESS_TOKEN", True),
    ("QIANFAN_ACCESS_TOKEN", BEARER_TOKEN, "QIANFAN_BEARER_TOKEN", True),
    ("QIANFAN_BEARER_TOKEN", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_BEARER_TOKEN", ACCESS_TOKEN, "QIANFAN_ACCESS_TOKEN", True),
    ("QIANFAN_BEARER_TOKEN", ACCESS_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", True),
    ("QIANFAN_ACCESS_KEY", BEARER_TOKEN, "QIANFAN_BEARER_TOKEN", True),
    ("QIANFAN_SECRET_KEY", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
]


def misplaced(findings: list[Finding], state: str) -> list[str]:
    found = of(findings, "Credentials", state)
    return [one.hint.partition(".")[0] for one in found if "looks like" in one.message]


@pytest.mark.parametrize(("name", "value", "place", "certain"), MISPLACED)
def test_key_in_the_place_of_another_fails(check, name, value, place, certain):
    assert misplaced(check(**BAIDU, **{name: value}), "failed") == [f"It belongs in {place}"]


@pytest.mark.parametrize(("name", "value", "place", "certain"), MISPLACED)
def test_key_that_only_resembles_another_is_a_note_at_a_gateway(check, name, value, place, certain):
    state = "failed" if certain else "note"
    assert misplaced(check(**{name: value}), state) == [f"It belongs in {place}"]


def test_placeholder_is_a_note(check):
    found = check(**BAIDU, QIANFAN_AK="your_api_key", QIANFAN_SK="your_secret_key")
    assert len([one for one in of(found, "Credentials", "note") if "placeholder" in one.hint]) == 2


def test_key_of_a_gateway_may_have_any_form(check):
    found = check(QIANFAN_BEARER_TOKEN="sk-of-a-gateway")
    assert [one.state for one in of(found, "Credentials")] == ["ok"]


# --- servers


def test_server_that_answers_is_told_with_its_status(check, server):
    found = check(QIANFAN_BASE_URL=server.base_url, QIANFAN_ACCESS_TOKEN=ACCESS_TOKEN)
    assert f"{server.base_url} answers (HTTP 200" in of(found, "Server", "ok")[0].message


def test_access_keys_need_a_third_server(check, server):
    assert len(of(check(**account(server)), "Server", "ok")) == 3


def test_access_keys_beside_a_bearer_token_need_two(check, server):
    found = check(QIANFAN_BEARER_TOKEN=BEARER_TOKEN, **account(server))
    assert len(of(found, "Server", "ok")) == 2


@pytest.mark.parametrize(
    ("keys", "variable"),
    [
        ({"QIANFAN_ACCESS_TOKEN": ACCESS_TOKEN}, "QIANFAN_BASE_URL"),
        ({"QIANFAN_BEARER_TOKEN": BEARER_TOKEN}, "QIANFAN_CONSOLE_API_BASE_URL"),
    ],
)
def test_server_that_is_not_there_fails_with_its_variable(check, keys, variable):
    found = of(check(**keys), "Server")
    assert [one.state for one in found] == ["failed"]
    assert ("nothing listens on" in found[0].message, f"Check {variable};" in found[0].hint) == (
        True,
        True,
    )


def one_server(check, url: str, **more: str) -> Finding:
    found = check(QIANFAN_BASE_URL=url, QIANFAN_ACCESS_TOKEN=ACCESS_TOKEN, **more)
    (one,) = of(found, "Server")
    return one


def test_host_that_is_not_known_is_said(check):
    one = one_server(check, "http://qianfan.invalid")
    assert (one.state, "its host name cannot be resolved" in one.message) == ("failed", True)


def test_redirect_fails_with_its_goal(check, raw_server):
    goal = "https://login.example/?back=1"
    raw_server.script.append(Answer(status=302, headers={"Location": goal}))
    one = one_server(check, raw_server.url)
    assert (one.state, "redirects to login.example" in one.message) == ("failed", True)


def test_page_of_html_is_a_note(check, raw_server):
    page = Answer(headers={"Content-Type": "text/html"}, pieces=[b"<h1>Log in</h1>"])
    raw_server.script.append(page)
    one = one_server(check, raw_server.url)
    assert (one.state, "login page" in one.hint) == ("note", True)


def test_server_in_trouble_is_a_note(check, raw_server):
    raw_server.script.append(Answer(status=503))
    assert one_server(check, raw_server.url).state == "note"


def test_proxy_that_wants_a_password_fails(check, raw_server):
    raw_server.script.append(Answer(status=407))
    assert one_server(check, raw_server.url).state == "failed"


@pytest.mark.parametrize("answer", [Answer(status=0, end="reset"), Answer(status=0)])
def test_connection_that_is_lost_fails(check, raw_server, answer):
    raw_server.script.append(answer)
    assert one_server(check, raw_server.url).state == "failed"


def secure(host: str, *, bundle: Path | None = None, **dates: datetime) -> RawServer:
    """Make a server with a certificate, whose authority goes into a file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **dates).configure_cert(context)
    if bundle:
        authority.cert_pem.write_to_path(bundle)
    return RawServer(context)


def test_certificate_of_a_stranger_fails(check):
    with secure("127.0.0.1") as server:
        one = one_server(check, server.url)
    assert (
        one.state,
        "is not signed by an authority that this computer trusts" in one.message,
    ) == ("failed", True)


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("issued", "meaning"),
    [
        ({"host": "other.example"}, "its certificate is for another host"),
        ({"host": "127.0.0.1", "not_after": LONG_AGO}, "its certificate is not valid now"),
    ],
)
def test_wrong_certificate_is_explained(check, monkeypatch, tmp_path, issued, meaning):
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with secure(bundle=bundle, **issued) as server:
        one = one_server(check, server.url)
    assert (one.state, meaning in one.message) == ("failed", True)


def test_right_certificate_is_accepted(check, monkeypatch, tmp_path):
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with secure("127.0.0.1", bundle=bundle) as server:
        server.script.append(Answer())
        assert one_server(check, server.url).state == "ok"


def refuse_tls(listener: socket.socket) -> None:
    """Answer as nginx does where it awaits no TLS."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def without_tls() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse_tls, args=[listener], daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)


def test_address_without_tls_is_explained(check, without_tls):
    one = one_server(check, without_tls)
    assert ("does not speak TLS" in one.message, "http://" in one.hint) == (True, True)


def test_connection_that_ends_before_tls_is_explained(check, raw_server):
    one = one_server(check, raw_server.url.replace("http:", "https:"))
    assert ("does not speak TLS" in one.message, "http://" in one.hint) == (True, True)


def test_words_of_a_server_cannot_move_the_cursor(check, raw_server):
    location = "http://\x1b[2J.example/"
    raw_server.script.append(Answer(status=302, headers={"Location": location}))
    assert "\x1b" not in one_server(check, raw_server.url).message


# --- the clock


def clock_of(check, raw_server: RawServer, seconds: float, **more: str) -> Finding:
    """Ask servers whose clocks are so far ahead."""
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    raw_server.script += [Answer(headers={"Date": format_datetime(then, usegmt=True)})] * 3
    names = ("QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL")
    (one,) = of(check(**dict.fromkeys(names, raw_server.url), **more), "Clock")
    return one


SIGNS = {"QIANFAN_ACCESS_KEY": ACCESS_KEY, "QIANFAN_SECRET_KEY": HEX_KEY}
TOKEN = {"QIANFAN_ACCESS_TOKEN": ACCESS_TOKEN}


@pytest.mark.parametrize(
    ("seconds", "keys", "state"),
    [
        (0, SIGNS, "ok"),
        (50, SIGNS, "ok"),
        (-50, SIGNS, "ok"),
        (70, SIGNS, "note"),
        (-290, SIGNS, "note"),
        (310, SIGNS, "failed"),
        (-310, SIGNS, "failed"),
        (310, TOKEN, "note"),
        (-400_000, TOKEN, "note"),
        (50, TOKEN, "ok"),
    ],
)
def test_wrong_clock_counts_where_requests_are_signed(check, raw_server, seconds, keys, state):
    assert clock_of(check, raw_server, seconds, **keys).state == state


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(100, "behind that"), (-100, "ahead of that"), (-36_000, "10 hours"), (864_000, "10 days")],
)
def test_clock_says_by_how_much(check, raw_server, seconds, words):
    assert words in clock_of(check, raw_server, seconds, **TOKEN).message


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 9999999 00:00:00 GMT", "0"])
def test_date_that_is_none_is_no_clock(check, raw_server, date):
    raw_server.script.append(Answer(headers={"Date": date} if date else {}))
    assert of(check(QIANFAN_BASE_URL=raw_server.url, **TOKEN), "Clock") == []


# --- what stands between


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"QIANFAN_PROXY": "http://127.0.0.1:1"}, "127.0.0.1:1 (QIANFAN_PROXY)"),
        ({"QIANFAN_PROXY": "me:pass@word@127.0.0.1:1"}, "127.0.0.1:1 (QIANFAN_PROXY)"),
        ({"http_proxy": "http://me:password@proxy.example"}, "through proxy.example (http_proxy)"),
        ({"ALL_PROXY": "socks5://proxy.example:9"}, "through proxy.example:9 (ALL_PROXY)"),
        ({"https_proxy": "http://proxy.example"}, "none"),
        (
            {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "127.0.0.1"},
            "not through the proxy of HTTP_PROXY, because of NO_PROXY",
        ),
    ],
)
def test_proxy_is_named_by_its_host(check, variables, words):
    (one,) = of(check(**TOKEN, **variables), "Proxy")
    assert (one.message.endswith(words), "password" in one.message) == (True, False)


def test_proxy_that_is_not_there_fails(check, closed):
    found = check(**TOKEN, QIANFAN_PROXY=closed)
    assert "QIANFAN_PROXY" in of(found, "Server", "failed")[0].hint


def test_unchecked_certificates_are_a_note(check):
    found = check(QIANFAN_SSL_VERIFICATION_ENABLED="false")
    assert [one.state for one in of(found, "Certificates")] == ["note"]


def test_bundle_that_is_missing_fails(check):
    found = check(REQUESTS_CA_BUNDLE="nowhere.pem")
    assert [one.state for one in of(found, "Certificates")] == ["failed"]


def test_bundle_is_named_from_the_folder(check, tmp_path):
    (tmp_path / "mine.pem").touch()
    found = check(REQUESTS_CA_BUNDLE=str(tmp_path / "mine.pem"))
    assert of(found, "Certificates", "ok")[0].message == "REQUESTS_CA_BUNDLE names mine.pem"


# --- where tokens are kept


def test_folder_of_tokens_is_told(check):
    assert of(check(), "Tokens", "ok")[0].message == "stored in cache"


def test_tokens_may_stay_in_memory(check):
    assert "in memory only" in of(check(QIANFAN_DISABLE_CACHE="true"), "Tokens", "ok")[0].message


@POSIX
@pytest.mark.parametrize(("mode", "state"), [(0o700, "ok"), (0o755, "note")])
def test_folder_of_tokens_that_others_see_is_a_note(check, tmp_path, mode, state):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    assert of(check(), "Tokens")[0].state == state


@pytest.mark.parametrize("below", ["cache", "cache/deeper"])
def test_folder_of_tokens_that_cannot_be_written_fails(check, tmp_path, below):
    """A file stands there, which stops root too."""
    (tmp_path / "cache").touch()
    found = check(QIANFAN_CACHE_DIR=str(tmp_path / below))
    assert "QIANFAN_DISABLE_CACHE" in of(found, "Tokens", "failed")[0].hint


# --- what is asked


def test_default_services_are_told(check):
    found = check(**TOKEN, QIANFAN_CHAT_ENDPOINT="dolly_12b")
    states = [of(found, what)[0].state for what in ("Chat", "Completion")]
    assert (states, "dolly_12b, version 1" in said(found)) == (["ok", "note"], True)


def test_cards_of_the_folder_count(check, tmp_path):
    table = '[qianfan.models]\ntutor = "ernie-5.1"\n'
    (tmp_path / "qianfan.toml").write_text(table, encoding="utf-8")
    found = check(QIANFAN_BEARER_TOKEN=BEARER_TOKEN, QIANFAN_MODEL="tutor")
    assert "asks ernie-5.1, version 2" in of(found, "Chat", "ok")[0].message


def test_cards_that_cannot_be_read_fail(check, tmp_path):
    (tmp_path / "qianfan.toml").write_text("[qianfan", encoding="utf-8")
    assert "Cards" in failed(check())


def test_without_live_a_note_says_how_to_try(check, server):
    assert "doctor --live" in of(check(**server.environment()), "Live", "note")[0].hint


def live(check, server: EmbeddedServer, **more: str) -> list[Finding]:
    return check(live=True, **server.environment() | more)


def test_live_asks_each_version(check, server):
    found = live(check, server, QIANFAN_CHAT_ENDPOINT="dolly_12b")
    assert (failed(found), len(of(found, "Question", "ok"))) == ([], 2)


def test_live_asks_the_model_of_the_settings(check, server):
    found = live(check, server, QIANFAN_MODEL="ernie-5.1")
    assert "ernie-5.1 (version 2) answered" in said(of(found, "Question", "ok"))


def test_live_asks_for_few_tokens(check, server):
    live(check, server)
    (asked,) = [s.body for s in server.seen if s.path == "/v2/chat/completions"]
    assert b'"max_tokens": 16' in asked


def test_live_asks_a_completion_where_no_chat_is_set(check, server):
    found = live(check, server, QIANFAN_COMPLETE_ENDPOINT="starcoder")
    assert "starcoder (version 1) answered" in said(found)


def test_live_without_a_service_still_fetches_a_token(check, server):
    found = live(check, server, QIANFAN_BEARER_TOKEN="")
    assert (len(of(found, "Token", "ok")), len(of(found, "Question", "note"))) == (1, 1)


def test_live_with_access_keys_is_let_in_both_ways(check, server):
    found = check(live=True, QIANFAN_CHAT_ENDPOINT="dolly_12b", **account(server))
    assert (failed(found), len(of(found, "Question", "ok"))) == ([], 2)


def test_live_tells_which_key_is_wrong(check, server):
    found = live(check, server, QIANFAN_SK=HEX_KEY, QIANFAN_BEARER_TOKEN="")
    assert "QIANFAN_SK is not the Secret Key" in of(found, "Live, version 1", "failed")[0].hint


def test_live_failure_of_one_version_leaves_the_other(check, server):
    found = live(
        check, server, QIANFAN_BEARER_TOKEN=BEARER_TOKEN, QIANFAN_CHAT_ENDPOINT="dolly_12b"
    )
    assert failed(found) == ["Live, version 2"]
    assert "dolly_12b (version 1) answered" in said(found)


def test_live_asks_once_only(check, server):
    server.fail(*[Fault(path="/chat/", error_code=336100, error_msg="busy")] * 9)
    found = live(check, server, QIANFAN_CHAT_ENDPOINT="dolly_12b", QIANFAN_BEARER_TOKEN="")
    assert (failed(found), len(server.faults)) == (["Live, version 1"], 8)


def test_live_is_not_tried_past_a_dot_env_that_cannot_be_read(check, server, tmp_path):
    dot_env(tmp_path, NO_SETTING)
    assert failed(live(check, server)) == [".env", "Live"]


def test_live_is_not_tried_with_settings_that_are_wrong(check, server):
    found = live(check, server, QIANFAN_LIVE="perhaps")
    assert (failed(found), {s.method for s in server.seen}) == (["Settings", "Live"], {"GET"})


# --- the front end


GOOD = {"ipython": "9.1.0", "ipywidgets": "8.1.5", "anywidget": "0.9.1", "jupyterlab": "4.2.0"}
GOOD |= {"jupyterlab_widgets": "3.0.10"}


def bad_parts(versions: dict[str, str]) -> list[str]:
    return [one.message.split()[0] for one in check_packages(versions) if one.state == "failed"]


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({}, []),
        ({"ipykernel": "7.0.0"}, []),
        ({"ipywidgets": "7.8.1"}, ["ipywidgets"]),
        ({"jupyterlab_widgets": "1.1.0"}, ["jupyterlab_widgets"]),
        ({"jupyterlab_widgets": None}, ["jupyterlab_widgets"]),
        ({"jupyterlab_widgets": None, "jupyterlab": None}, []),
        ({"anywidget": None}, ["anywidget"]),
        ({"ipython": "8.19.9"}, ["ipython"]),
        ({"notebook": "6.5.7"}, ["notebook"]),
        ({"ipywidgets": "8.0.0rc1", "jupyterlab": "4.0.0a1+local.3"}, []),
    ],
)
def test_parts_that_do_not_work_fail(changes, bad):
    versions = {name: number for name, number in (GOOD | changes).items() if number}
    assert bad_parts(versions) == bad


def test_part_that_fails_says_what_to_install():
    found = list(check_packages(GOOD | {"ipywidgets": "7.8.1"}))
    assert "-m pip install --upgrade 'ipywidgets>=8'" in found[1].hint


@pytest.mark.parametrize(
    ("watched", "setting", "state", "words"),
    [
        (None, "auto", "ok", "no notebook runs this"),
        (True, "auto", "ok", "while they arrive"),
        (True, "on", "ok", "while they arrive, because QIANFAN_LIVE is on"),
        (False, "off", "ok", "once they are complete, because QIANFAN_LIVE is off"),
        (False, "auto", "note", "no front end is recognised"),
    ],
)
def test_view_is_told(watched, setting, state, words):
    one = check_view(Settings(live=setting), {}, None if watched is None else lambda: watched)
    assert (one.state, words in one.message) == (state, True)


# --- no secret


def kinds_of_keys() -> dict[str, dict[str, str]]:
    plain = "plain+secret/of=somebody"
    return {
        "application": {"QIANFAN_AK": API_KEY, "QIANFAN_SK": SECRET_KEY_OF_APPLICATION},
        "account": SIGNS,
        "access token": TOKEN,
        "bearer": {"QIANFAN_BEARER_TOKEN": BEARER_TOKEN},
        "misplaced": {"QIANFAN_AK": ACCESS_KEY, "QIANFAN_SK": HEX_KEY},
        "swapped": {"QIANFAN_AK": SECRET_KEY_OF_APPLICATION, "QIANFAN_SK": API_KEY},
        "half": {"QIANFAN_ACCESS_KEY": API_KEY},
        "too many": {**TOKEN, **SIGNS},
        "with a space": {"QIANFAN_BEARER_TOKEN": f"{plain} {plain}"},
        "under a wrong name": {"QIANFAN_API_KEY": API_KEY, "QIANFAN_ACESS_KEY": ACCESS_KEY},
        "as an address": {"QIANFAN_BASE_URL": f"http://{API_KEY}@host", "QIANFAN_AK": API_KEY},
        "as a switch": {"QIANFAN_LIVE": BEARER_TOKEN},
        "as an endpoint": {**TOKEN, "QIANFAN_CHAT_ENDPOINT": HEX_KEY},
        "as a model": {**TOKEN, "QIANFAN_MODEL": API_KEY},
        "in a proxy": {**TOKEN, "QIANFAN_PROXY": f"http://me:{plain}@127.0.0.1:1"},
        "in a proxy without a scheme": {**TOKEN, "QIANFAN_PROXY": f"me:{plain}@127.0.0.1:1"},
        "in a broken proxy": {**TOKEN, "QIANFAN_PROXY": f"http://me:{plain}@[127.0.0.1"},
    }


KINDS = pytest.mark.parametrize("keys", kinds_of_keys().values(), ids=kinds_of_keys())


def secrets_of(keys: dict[str, str]) -> set[str]:
    return {API_KEY, SECRET_KEY_OF_APPLICATION, ACCESS_KEY, HEX_KEY, "plain+secret"}


def echo(seen) -> Answer:
    words = f"{seen.target} {seen.headers.get('authorization')} {seen.body.decode()}"
    return json_answer(
        {"error_code": 6, "error_msg": words, "error": {"code": "x", "message": words}}
    )


@KINDS
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_no_secret_is_shown(raw_server, tmp_path, base, keys, where):
    raw_server.script += [echo] * 20
    raw_server.tokens += [echo] * 20
    addresses = {name: raw_server.url for name in base if name.endswith("_URL")}
    if where == ".env":
        dot_env(tmp_path, *(f"{name}='{value}'" for name, value in keys.items()))
        variables = {n: v for n, v in (base | addresses).items() if n not in keys}
    else:
        variables = base | addresses | keys
    found = list(examine(tmp_path, variables, live=True))
    shown = repr(found) + said(found) + "".join(doctor_bundle(found).values())
    assert {secret for secret in secrets_of(keys) if secret in shown} == set()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_password_of_a_proxy_of_the_environment_is_shown(monkeypatch, check, name):
    proxy = "http://me:plain+secret@127.0.0.1:1"
    monkeypatch.setenv(name, proxy)
    found = check(live=True, **TOKEN, **{name: proxy})
    assert ("plain+secret" in repr(found), "127.0.0.1:1" in said(found)) == (False, True)


def test_password_that_a_proxy_tells_is_not_shown(monkeypatch, check, raw_server):
    proxy = raw_server.url.replace("//", "//me:plain%2Bsecret@")
    monkeypatch.setenv("http_proxy", proxy)
    raw_server.script.append(
        Answer(status=302, headers={"Location": "http://plain+secret.example"})
    )
    one = one_server(check, "http://qianfan.invalid", http_proxy=proxy)
    assert "redirects to ***.example" in one.message


def test_line_of_dot_env_that_cannot_be_read_is_not_shown(check, tmp_path):
    dot_env(tmp_path, f"QIANFAN_SK {SECRET_KEY_OF_APPLICATION}")
    assert SECRET_KEY_OF_APPLICATION not in said(check())


# --- as a process


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("QIANFAN_", "PYTEST"))}
    cache = {"QIANFAN_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [COMMAND, "doctor", *arguments],
        cwd=folder,
        env=kept | cache | variables,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def test_exit_status_is_0_where_all_is_well(tmp_path, server):
    done = run(tmp_path, "--live", **server.environment())
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_status_is_1_where_something_fails(tmp_path, base):
    done = run(tmp_path, **base)
    assert (done.returncode, "!!  Credentials: There are none\n    \u2192 Put" in done.stdout) == (
        1,
        True,
    )


def test_terminal_that_knows_no_arrow_gets_one_all_the_same(tmp_path, base):
    done = run(tmp_path, **base, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr, "\\u2192 Put" in done.stdout) == (1, "", True)


@pytest.fixture
def silent(raw_server) -> dict[str, str]:
    """Give an environment whose server is asked, and does not answer for ten seconds."""
    raw_server.script.append(Answer(status=0, end="silent"))
    return {"QIANFAN_BASE_URL": raw_server.url} | TOKEN


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_ends_at_once_and_has_not_found_all_well(
    tmp_path, raw_server, silent, number
):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QIANFAN_")}
    with subprocess.Popen(
        [COMMAND, "doctor"], cwd=tmp_path, env=kept | silent, stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + PATIENCE
        while not raw_server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(5) != 0


# --- in a notebook


@pytest.fixture
def shell(monkeypatch, tmp_path) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("colors", "nocolor")
    made.run_line_magic("load_ext", "qianfan_magic")
    yield made
    made.run_line_magic("unload_ext", "qianfan_magic")
    made.restore_sys_module_state()
    atexit.unregister(made.atexit_operations)
    InteractiveShell.clear_instance()


def test_magic_shows_what_the_doctor_finds(shell, capsys):
    for line in ("demo", "doctor --live"):
        result = shell.run_cell(f"%qianfan {line}")
    assert (result.success, "ok  Question: dolly_12b" in capsys.readouterr().out) == (True, True)


def test_magic_fails_after_it_has_shown_all(monkeypatch, shell, capsys, base):
    for name, value in base.items():
        monkeypatch.setenv(name, value)
    error = shell.run_cell("%qianfan doctor").error_in_exec
    assert isinstance(error, QianfanError)
    assert error.message == "3 checks failed: Credentials, Server"
    assert "!!  Credentials: There are none" in capsys.readouterr().out


def test_magic_takes_the_server_of_its_settings(monkeypatch, shell, server):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    assert shell.run_cell("%qianfan doctor").success


def test_magic_has_help(shell, capsys):
    shell.run_cell("%qianfan doctor --help")
    assert "--live" in capsys.readouterr().out


def test_text_is_that_of_the_command_line():
    found = [Finding("Server", "failed", "lost", "Look."), Finding("Clock", "ok", "right")]
    text = doctor_bundle(found)["text/plain"]
    assert text == "!!  Server: lost\n    \u2192 Look.\nok  Clock: right"


def test_table_escapes_what_it_shows():
    html = doctor_bundle([Finding("Server", "failed", "<script>", "a & b")])["text/html"]
    assert ("<script>" in html, "&lt;script&gt;" in html, "a &amp; b" in html) == (
        False,
        True,
        True,
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 check failed"), (2, "2 checks failed")])
def test_failures_are_counted(count, words):
    with pytest.raises(QianfanError, match=words):
        raise_failed([Finding("Server", "failed", "x")] * count)


@pytest.mark.parametrize("state", ["ok", "note"])
def test_notes_do_not_fail(state):
    assert raise_failed([Finding("Server", state, "x")]) is None


def test_doctor_does_not_load_ipython():
    code = "import sys, qianfan_magic.doctor.examine; print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

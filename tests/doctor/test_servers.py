"""The doctor on servers that answer, that answer oddly, and that cannot be reached."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from support.doctor import ACCESS_KEY, ACCESS_TOKEN, BEARER_TOKEN, HEX_KEY, TOKEN, account
from support.raw_server import Answer, RawServer, json_answer
from support.waiting import PATIENCE

from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.servers import servers_of


def test_answering_server_is_reported_with_its_status(probe, server):
    finding = probe(server.base_url)
    assert finding.state == "ok"
    assert f"{server.base_url} answers (HTTP 200 without keys) after 0." in finding.message


def test_servers_are_those_that_the_credentials_are_for():
    v1, v2, iam = "QIANFAN_BASE_URL", "QIANFAN_API_BASE_URL", "QIANFAN_IAM_BASE_URL"
    access = {"access_key": ACCESS_KEY, "secret_key": HEX_KEY}
    for keys, variables in (
        ({}, [v1, v2]),
        ({"access_token": ACCESS_TOKEN}, [v1]),
        ({"bearer_token": BEARER_TOKEN}, [v2]),
        (access, [v1, v2, iam]),
        # No bearer token is requested from IAM.
        (access | {"bearer_token": BEARER_TOKEN}, [v1, v2]),
    ):
        settings = Settings(credentials=Credentials(**keys))
        assert [server.variable for server in servers_of(settings)] == variables, keys


def test_probes_carry_no_keys(check, server):
    for variables, servers in ((server.environment(), 2), (account(server), 3)):
        server.seen.clear()
        assert len(check(**variables).of("Server", "ok")) == servers
        assert len(server.seen) == servers
        for request in server.seen:
            assert request.method == "GET"
            assert "Authorization" not in request.headers, request.path


def test_server_at_which_nothing_listens_fails_with_its_variable(check, closed):
    for variables, variable in (
        (TOKEN, "QIANFAN_BASE_URL"),
        ({"QIANFAN_BEARER_TOKEN": BEARER_TOKEN}, "QIANFAN_API_BASE_URL"),
    ):
        report = check(**{"QIANFAN_CONSOLE_API_BASE_URL": closed, **variables})
        (finding,) = [f for f in report.of("Server", "failed") if variable in f.hint]
        assert "nothing listens" in finding.message
        assert f"Check {variable};" in finding.hint


def test_root_that_is_missing_from_the_address_is_found(check, raw_server):
    def models(answers_at):
        def answer(request):
            return json_answer({"data": []}, status=200 if request.path == answers_at else 404)

        return answer

    for root, state, hint in (
        ("/v1", "failed", f"write QIANFAN_API_BASE_URL={raw_server.url}/v1"),
        ("/other", "note", "Is QIANFAN_API_BASE_URL the root of the API"),
    ):
        for variables in (
            {"QIANFAN_API_BASE_URL": raw_server.url, "QIANFAN_CONSOLE_API_BASE_URL": ""},
            {"QIANFAN_CONSOLE_API_BASE_URL": raw_server.url},  # /v2 is appended
        ):
            raw_server.script += [models(f"{root}/models")] * 2
            (finding,) = [f for f in check(**variables).of("Server") if "/models is" in f.message]
            assert (finding.state, hint in finding.hint) == (state, True), variables
            raw_server.script.clear()


def test_key_that_is_sent_unencrypted_is_a_note(check):
    for variables, count in (
        ({"QIANFAN_BEARER_TOKEN": BEARER_TOKEN}, 1),
        ({"QIANFAN_BEARER_TOKEN": BEARER_TOKEN, "QIANFAN_CONSOLE_API_BASE_URL": ""}, 0),
    ):
        notes = [f for f in check(**variables).of("Credentials") if "unencrypted" in f.message]
        assert [note.state for note in notes] == ["note"] * count


def test_unknown_host_is_explained(probe):
    finding = probe("http://qianfan.invalid")
    assert finding.state == "failed"
    assert "host name cannot be resolved" in finding.message


def test_odd_answer_is_explained(probe, raw_server):
    goal = {"Location": "https://login.example/?back=1"}
    page = {"Content-Type": "text/html"}
    for answer, state, message in (
        (Answer(status=302, headers=goal), "failed", "redirects to login.example"),
        (Answer(headers=page, pieces=[b"<h1>Log in</h1>"]), "note", "answers with an HTML page"),
        (Answer(status=503, headers=page), "note", "answers with an HTML page"),
        (Answer(status=503), "note", "answers (HTTP 503 without keys)"),
        (Answer(status=407), "failed", "wants a user name and a password"),
        (Answer(status=0, end="reset"), "failed", "No connection to the server"),
        (Answer(status=0), "failed", "No connection to the server"),
    ):
        raw_server.script.append(answer)
        finding = probe(raw_server.url)
        assert finding.state == state, answer
        assert message in finding.message
        assert finding.hint, answer


def test_hint_about_a_page_names_the_variable(probe, raw_server):
    raw_server.script.append(Answer(headers={"Content-Type": "text/html"}))
    assert probe(raw_server.url).hint.startswith("Is QIANFAN_BASE_URL right")


def test_control_characters_of_a_server_are_escaped(probe, raw_server):
    location = "http://\x1b[2J.example/"
    raw_server.script.append(Answer(status=302, headers={"Location": location}))
    assert "\x1b" not in probe(raw_server.url).message


# --- TLS


@pytest.fixture
def bundle(monkeypatch, tmp_path) -> Path:
    """Give the file of certificate authorities that are trusted."""
    path = tmp_path / "bundle.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return path


def tls_server(host: str, bundle: Path | None = None, **dates: datetime) -> RawServer:
    """Make a server with a certificate, whose authority goes into a file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **dates).configure_cert(context)
    if bundle:
        authority.cert_pem.write_to_path(bundle)
    return RawServer(context)


def test_certificate_of_an_unknown_authority_fails(probe):
    with tls_server("127.0.0.1") as server:
        finding = probe(server.url)
    assert finding.state == "failed"
    assert "not signed by an authority that this computer trusts" in finding.message
    assert "REQUESTS_CA_BUNDLE" in finding.hint


def test_invalid_certificate_is_explained(probe, bundle):
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for host, dates, message in (
        ("other.example", {}, "its certificate is for another host"),
        ("127.0.0.1", {"not_after": past}, "its certificate is not valid now"),
    ):
        with tls_server(host, bundle, **dates) as server:
            finding = probe(server.url)
        assert finding.state == "failed"
        assert message in finding.message


def test_certificate_of_a_trusted_authority_is_accepted(probe, bundle):
    with tls_server("127.0.0.1", bundle) as server:
        server.script.append(Answer())
        assert probe(server.url).state == "ok"


@pytest.fixture
def nginx_without_tls() -> Iterator[str]:
    """Give the https address of a server that answers a TLS handshake in plain HTTP."""

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=[listener], daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)


def test_address_without_tls_is_explained(probe, nginx_without_tls, raw_server):
    # The second server closes the connection before the handshake.
    for url in (nginx_without_tls, raw_server.url.replace("http:", "https:")):
        finding = probe(url)
        assert "does not speak TLS" in finding.message
        assert "http://" in finding.hint

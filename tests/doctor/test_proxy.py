"""The doctor on proxies, certificate authorities and the folder of tokens."""

from __future__ import annotations

import os

import pytest
from support.doctor import TOKEN


def test_proxy_is_shown_by_its_host_and_source(check):
    for variables, shown in (
        ({}, "none"),
        ({"QIANFAN_PROXY": "http://127.0.0.1:1"}, "127.0.0.1:1 (QIANFAN_PROXY)"),
        ({"QIANFAN_PROXY": "me:pass@word@127.0.0.1:1"}, "127.0.0.1:1 (QIANFAN_PROXY)"),
        (
            {"http_proxy": "http://me:password@proxy.example"},
            "127.0.0.1 through proxy.example (http_proxy)",
        ),
        (
            {"ALL_PROXY": "socks5://proxy.example:9"},
            "127.0.0.1 through proxy.example:9 (ALL_PROXY)",
        ),
        # The server's address is http.
        ({"https_proxy": "http://proxy.example"}, "none"),
        (
            {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "127.0.0.1"},
            "127.0.0.1 not through the proxy of HTTP_PROXY, because of NO_PROXY",
        ),
    ):
        assert check(**TOKEN, **variables).one("Proxy").message == shown, variables


def test_proxy_at_which_nothing_listens_fails(check, closed):
    assert "QIANFAN_PROXY" in check(**TOKEN, QIANFAN_PROXY=closed).one("Server", "failed").hint


def test_unverified_certificates_are_a_note(check):
    assert check(QIANFAN_SSL_VERIFICATION_ENABLED="false").one("Certificates").state == "note"


def test_bundle_of_authorities_must_exist(check, tmp_path):
    (tmp_path / "mine.pem").touch()
    assert check().of("Certificates") == []
    found = check(REQUESTS_CA_BUNDLE=str(tmp_path / "mine.pem")).one("Certificates", "ok")
    assert found.message == "REQUESTS_CA_BUNDLE names mine.pem"
    missing = check(REQUESTS_CA_BUNDLE="nowhere.pem").one("Certificates", "failed")
    assert missing.hint == "Correct or unset REQUESTS_CA_BUNDLE."


# --- tokens


def test_folder_of_tokens_is_shown_unless_they_stay_in_memory(check):
    assert check().one("Tokens", "ok").message == "stored in cache"
    assert "in memory only" in check(QIANFAN_DISABLE_CACHE="true").one("Tokens", "ok").message


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")
def test_folder_of_tokens_that_others_can_list_is_a_note_and_one_they_can_write_to_fails(
    check, tmp_path
):
    (tmp_path / "cache").mkdir()
    for mode, state in ((0o700, "ok"), (0o755, "note"), (0o770, "failed")):
        (tmp_path / "cache").chmod(mode)
        assert check().one("Tokens").state == state, f"{mode:o}"


def test_folder_of_tokens_that_cannot_be_written_fails(check, tmp_path):
    # A file in its place stops root, too.
    (tmp_path / "cache").touch()
    for path in ("cache", "cache/deeper"):
        finding = check(QIANFAN_CACHE_DIR=str(tmp_path / path)).one("Tokens", "failed")
        assert "QIANFAN_DISABLE_CACHE" in finding.hint, path

"""The doctor on credentials, and on keys in the wrong variable."""

from __future__ import annotations

from support.doctor import (
    ACCESS_KEY,
    ACCESS_TOKEN,
    API_KEY,
    APPLICATION_SECRET,
    BEARER_TOKEN,
    HEX_KEY,
    SIGNED,
    TOKEN,
)

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.key_formats import check_key_formats

GATEWAY = "https://gateway.example"
#: A key, the variable that it is in, where it belongs, and whether no gateway's key can look so.
MISPLACED = [
    ("QIANFAN_ACCESS_KEY", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_AK", ACCESS_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", True),
    ("QIANFAN_AK", HEX_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", False),
    ("QIANFAN_AK", APPLICATION_SECRET, "QIANFAN_SK", False),
    ("QIANFAN_SK", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_SK", ACCESS_TOKEN, "QIANFAN_ACCESS_TOKEN", True),
    ("QIANFAN_ACCESS_TOKEN", BEARER_TOKEN, "QIANFAN_API_KEY", True),
    ("QIANFAN_API_KEY", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
    ("QIANFAN_API_KEY", ACCESS_TOKEN, "QIANFAN_ACCESS_TOKEN", True),
    ("QIANFAN_API_KEY", ACCESS_KEY, "QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY", True),
    ("QIANFAN_ACCESS_KEY", BEARER_TOKEN, "QIANFAN_API_KEY", True),
    ("QIANFAN_SECRET_KEY", API_KEY, "QIANFAN_AK, with QIANFAN_SK", False),
]


def test_missing_credentials_fail_and_the_hint_names_those_of_each_version(check):
    hint = check().one("Credentials", "failed").hint
    assert "QIANFAN_API_KEY" in hint
    assert "For version 1: QIANFAN_AK and QIANFAN_SK." in hint


def test_credentials_are_described_with_their_versions(check):
    application = {"QIANFAN_AK": API_KEY, "QIANFAN_SK": APPLICATION_SECRET}
    bearer = {"QIANFAN_API_KEY": BEARER_TOKEN}
    hexadecimal = {"QIANFAN_ACCESS_KEY": HEX_KEY, "QIANFAN_SECRET_KEY": HEX_KEY}
    for variables, described in (
        (application, "an API Key and its Secret Key (***), for version 1"),
        (TOKEN, "an access token (***), for version 1"),
        (bearer, "an API key of version 2 (***), for version 2"),
        (SIGNED, "an access key and its secret key (***), for versions 1 and 2"),
        (hexadecimal, "an access key and its secret key (***), for versions 1 and 2"),
        (
            TOKEN | bearer,
            "an access token and an API key of version 2 (***), for versions 1 and 2",
        ),
    ):
        finding = check(**variables).one("Credentials", "ok")
        assert finding.message == f"{described} of the API"


def test_contradictory_credentials_fail_and_their_servers_are_checked(check, server):
    report = check(**server.environment(), **TOKEN)
    assert report.failed == ["Credentials"]
    assert len(report.of("Server", "ok")) == 2


def test_half_of_a_pair_fails_once(check):
    finding = check(QIANFAN_AK=API_KEY).one("Credentials", "failed")
    assert finding.message == "QIANFAN_AK is set, but QIANFAN_SK is not"


def test_key_in_the_variable_of_another_fails(check):
    report = check(QIANFAN_AK=ACCESS_KEY, QIANFAN_SK=HEX_KEY)
    finding = report.one("Credentials", "failed")
    assert finding.message == "QIANFAN_AK holds what looks like an access key of an account"
    assert "For QIANFAN_AK take the API Key (24 letters and digits)" in finding.hint


def test_each_misplaced_key_gets_its_variable():
    for variable, key, place, _ in MISPLACED:
        (finding,) = check_key_formats({variable: key}, Settings())
        assert finding.state == "failed", (variable, key)
        assert finding.hint.startswith(f"It belongs in {place}."), (variable, key)


def test_key_that_a_gateway_may_have_made_is_a_note():
    gateway = Settings(base_url=GATEWAY, console_api_base_url=GATEWAY)
    for variable, key, place, is_certain in MISPLACED:
        (finding,) = check_key_formats({variable: key}, gateway)
        assert finding.state == ("failed" if is_certain else "note"), (variable, key)
        assert finding.hint.startswith(f"It belongs in {place}."), (variable, key)


def test_placeholder_is_a_note_unless_a_gateway_may_have_made_it():
    values = {"QIANFAN_AK": "your_api_key", "QIANFAN_API_KEY": "sk-of-a-gateway"}
    for settings, variables in (
        (Settings(), ["QIANFAN_AK", "QIANFAN_API_KEY"]),
        (Settings(base_url=GATEWAY), ["QIANFAN_API_KEY"]),
        (Settings(console_api_base_url=GATEWAY), ["QIANFAN_AK"]),
    ):
        findings = list(check_key_formats(values, settings))
        assert [f.message.split()[3] for f in findings] == variables
        assert {f.state for f in findings} == {"note"}
        assert "placeholder" in findings[0].hint

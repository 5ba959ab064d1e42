"""No finding holds a secret, whatever is set where and whatever the server answers."""

from __future__ import annotations

from base64 import b64encode

from support.doctor import (
    ACCESS_KEY,
    ADDRESSES,
    API_KEY,
    APPLICATION_SECRET,
    BEARER_TOKEN,
    HEX_KEY,
    SIGNED,
    TOKEN,
    Report,
)
from support.doctor import write_dot_env as dot_env
from support.raw_server import Answer, Seen, json_answer

from qianfan_magic import masking
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.examine import examine
from qianfan_magic.doctor.proxy import check_proxy
from qianfan_magic.views.reports.tables import doctor_bundle

PASSWORD = "plain+secret/of=somebody"
SECRETS = (API_KEY, APPLICATION_SECRET, ACCESS_KEY, HEX_KEY, "plain+secret")
SETTINGS = {
    "application": {"QIANFAN_AK": API_KEY, "QIANFAN_SK": APPLICATION_SECRET},
    "account": SIGNED,
    "access token": TOKEN,
    "bearer": {"QIANFAN_BEARER_TOKEN": BEARER_TOKEN},
    "misplaced": {"QIANFAN_AK": ACCESS_KEY, "QIANFAN_SK": HEX_KEY},
    "swapped": {"QIANFAN_AK": APPLICATION_SECRET, "QIANFAN_SK": API_KEY},
    "half": {"QIANFAN_ACCESS_KEY": API_KEY},
    "too many": {**TOKEN, **SIGNED},
    "with a space": {"QIANFAN_BEARER_TOKEN": f"{PASSWORD} {PASSWORD}"},
    "under a misspelled name": {"QIANFAN_API_KEY": API_KEY, "QIANFAN_ACESS_KEY": ACCESS_KEY},
    "in an address": {"QIANFAN_BASE_URL": f"http://{API_KEY}@host", "QIANFAN_AK": API_KEY},
    "as a switch": {"QIANFAN_LIVE": BEARER_TOKEN},
    "as an endpoint": {**TOKEN, "QIANFAN_CHAT_ENDPOINT": HEX_KEY},
    "as a model": {**TOKEN, "QIANFAN_MODEL": API_KEY},
    "in a proxy": {**TOKEN, "QIANFAN_PROXY": f"http://me:{PASSWORD}@127.0.0.1:1"},
    "in a proxy without a scheme": {**TOKEN, "QIANFAN_PROXY": f"me:{PASSWORD}@127.0.0.1:1"},
    "in a broken proxy": {**TOKEN, "QIANFAN_PROXY": f"http://me:{PASSWORD}@[127.0.0.1"},
}


def echo(request: Seen) -> Answer:
    """Answer with an error that repeats every part of the request."""
    text = f"{request.target} {request.headers.get('authorization')} {request.body.decode()}"
    return json_answer(
        {"error_code": 6, "error_msg": text, "error": {"code": "x", "message": text}}
    )


def test_no_secret_is_shown(raw_server, tmp_path, base):
    for label, variables in SETTINGS.items():
        for is_dot_env in (False, True):
            masking.forget_all()
            for script in (raw_server.script, raw_server.tokens, raw_server.bearers):
                script.clear()
                script.extend([echo] * 20)
            environ = base | dict.fromkeys(ADDRESSES, raw_server.url)
            if is_dot_env:
                dot_env(tmp_path, *(f"{name}='{value}'" for name, value in variables.items()))
                environ = {n: value for n, value in environ.items() if n not in variables}
            else:
                (tmp_path / ".env").unlink(missing_ok=True)
                environ |= variables
            report = Report(examine(tmp_path, environ, live=True))
            shown = repr(report.findings) + report.text
            shown += "".join(doctor_bundle(report.findings).values())
            assert [s for s in SECRETS if s in shown] == [], f"{label}, .env: {is_dot_env}"


def test_password_of_the_environments_proxy_is_not_shown(check):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        report = check(live=True, **TOKEN, **{name: "http://me:plain+secret@127.0.0.1:1"})
        assert "127.0.0.1:1" in report.one("Proxy").message, name
        assert "plain+secret" not in repr(report.findings), name


def test_password_of_an_unused_proxy_is_masked_from_now_on(check):
    # No server of `base` has an https address; the token that requests sends is Basic (RFC 7617).
    check(https_proxy="http://me:plain+secret@proxy.example")
    assert masking.mask("plain+secret") == "***"
    assert masking.mask(b64encode(b"me:plain+secret").decode()) == "***"


def test_password_of_a_malformed_proxy_is_masked_from_now_on(monkeypatch):
    # Without a scheme, or with "@" in the password: urllib finds no password in it.
    address, password = "me:plain@secret@proxy.example", "plain@secret"
    list(check_proxy(Settings(proxy=address), []))
    assert password not in masking.mask(password)
    masking.forget_all()
    monkeypatch.setenv("http_proxy", address)
    list(check_proxy(Settings(), ["http://qianfan.example"]))
    assert password not in masking.mask(password)


def test_password_that_a_proxy_repeats_is_not_shown(probe, raw_server):
    proxy = raw_server.url.replace("//", "//me:plain%2Bsecret@")
    headers = {"Location": "http://plain+secret.example"}
    raw_server.script.append(Answer(status=302, headers=headers))
    finding = probe("http://qianfan.invalid", http_proxy=proxy)
    assert "redirects to ***.example" in finding.message


def test_malformed_line_of_dot_env_is_not_shown(check, tmp_path):
    dot_env(tmp_path, f"QIANFAN_SK {APPLICATION_SECRET}")
    report = check()
    assert report.failed[0] == ".env"
    assert APPLICATION_SECRET not in report.text

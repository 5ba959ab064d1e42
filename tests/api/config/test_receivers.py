"""A stranger's ``.env`` that names a server: it does not get keys that the file does not have."""

from __future__ import annotations

import pytest

from qianfan_magic import QianfanClient, SettingsError
from qianfan_magic.api.config.settings import load_settings

KEY = {"QIANFAN_API_KEY": "bce-v3/ALTAK-of-the-user/0123456789"}
PAIR = {"QIANFAN_AK": "ak-of-the-user", "QIANFAN_SK": "sk-of-the-user"}
TOKEN = {"QIANFAN_ACCESS_TOKEN": "24.of-the-user"}
ACCOUNT = {"QIANFAN_ACCESS_KEY": "ALTAK-of-the-user", "QIANFAN_SECRET_KEY": "secret-of-the-user"}
EVIL = "https://evil.example/v2"
V1, V2 = {"QIANFAN_BASE_URL": EVIL}, {"QIANFAN_API_BASE_URL": EVIL}


@pytest.fixture
def load(tmp_path):
    def load(dot_env, environ, **given):
        lines = "".join(f"{name}={value}\n" for name, value in dot_env.items())
        (tmp_path / ".env").write_text(lines)
        return load_settings(tmp_path, environ, **given)

    return load


def test_server_of_dot_env_gets_no_key_of_the_environment(load):
    unchecked = {"QIANFAN_PROXY": EVIL, "QIANFAN_SSL_VERIFICATION_ENABLED": "false"}
    cases = [
        (V2, KEY),
        ({"QIANFAN_API_BASE": EVIL}, KEY),
        ({"QIANFAN_CONSOLE_API_BASE_URL": EVIL}, KEY),
        (V2, ACCOUNT),  # its bearer token
        (V1, PAIR),
        (V1, TOKEN),
        (V1 | {"QIANFAN_AK": "ak-of-the-user"}, {"QIANFAN_SK": "sk-of-the-user"}),
        (V2 | {"QIANFAN_API_KEY": "of-the-stranger"}, KEY),  # the environment's takes precedence
        ({"QIANFAN_API_BASE_URL": "http://qianfan.baidubce.com/v2"}, KEY),
        ({"QIANFAN_API_BASE_URL": "https://cfc-execute.bj.baidubce.com/v2"}, KEY),
        (unchecked, KEY),
    ]
    for dot_env, environ in cases:
        with pytest.raises(SettingsError) as caught:
            pytest.fail(f"{dot_env}: {load(dot_env, environ)}")
        message = caught.value.message
        assert "_BASE_URL" in message or "QIANFAN_PROXY" in message, dot_env
        assert any(name in message for name in environ), dot_env
        assert not any(value in str(caught.value) for value in environ.values()), dot_env


def test_server_that_the_user_has_named_gets_the_key(load):
    local = {"QIANFAN_API_BASE_URL": "http://localhost:8000/v1"}
    own = {"QIANFAN_API_BASE_URL": "https://api.baiduqianfan.ai"}
    for dot_env, environ in (
        (V2 | KEY, {}),
        (V2 | KEY, KEY),
        (V2, V2 | KEY),
        (V1, KEY),  # nothing of version 2 goes there
        (V1, ACCOUNT),  # a signature gives no key away
        (V2, {}),
        (local, KEY),
        (own, KEY),
        ({"QIANFAN_PROXY": "http://proxy.example:3128"}, KEY),  # it passes on what is encrypted
    ):
        settings = load(dot_env, environ)
        wanted = load_settings(environ=dot_env | environ)
        assert settings == wanted, dot_env


def test_file_that_the_environment_names_is_trusted(load, tmp_path):
    path = tmp_path / "gateway.env"
    path.write_text(f"QIANFAN_API_BASE_URL={EVIL}")
    environ = {"QIANFAN_DOT_ENV_CONFIG_FILE": str(path)} | KEY
    assert load({}, environ).console_api_base_url == EVIL


def test_key_of_a_program_goes_to_the_server_that_the_program_names(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"QIANFAN_API_BASE_URL={EVIL}")
    with pytest.raises(SettingsError, match=r"evil\.example"):
        QianfanClient(bearer_token="of-the-program")
    with QianfanClient(bearer_token="of-the-program", base_url="https://gateway.example/v1") as own:
        assert own.settings.console_api_base_url == "https://gateway.example/v1"

"""Settings from the environment and .env: precedence, refusals, and that no value is shown."""

import re
import traceback
from dataclasses import FrozenInstanceError
from itertools import pairwise
from pathlib import Path

import pytest

from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.dotenv import DOT_ENV_VARIABLE
from qianfan_magic.api.config.settings import VARIABLES, Settings, load_settings
from qianfan_magic.errors import SettingsError

EXAMPLE = Path(__file__).parents[3] / ".env.example"
PAIR = {"QIANFAN_AK": "ak-of-the-app", "QIANFAN_SK": "sk-of-the-app"}
SIGNATURE = {"QIANFAN_ACCESS_KEY": "key-of-account", "QIANFAN_SECRET_KEY": "secret-of-account"}
TOKEN = {"QIANFAN_ACCESS_TOKEN": "token-fetched"}


def load(folder, dot_env=None, /, **environ):
    """Load settings from a folder whose ``.env`` has this text or these variables."""
    if isinstance(dot_env, dict):
        dot_env = "\n".join(f"{name}={value}" for name, value in dot_env.items())
    if isinstance(dot_env, str):
        dot_env = dot_env.encode()
    if dot_env is not None:
        (folder / ".env").write_bytes(dot_env)
    return load_settings(folder, environ)


def refusal(folder, dot_env=None, /, **environ):
    with pytest.raises(SettingsError) as caught:
        load(folder, dot_env, **environ)
    return caught.value


def all_texts(error):
    """Return all that a front end or log may show of an error, its causes and contexts included."""
    chain = [error]
    while chain[-1].__context__:
        chain.append(chain[-1].__context__)
    return "\n".join(repr(each) + repr(vars(each)) + str(each) for each in chain) + "".join(
        traceback.format_exception(error)
    )


# Each variable with a text, the field that it fills, and the value.
READ = [
    ("QIANFAN_BASE_URL", "http://127.0.0.1:8080", "base_url", "http://127.0.0.1:8080"),
    ("QIANFAN_BASE_URL", "https://gate/way/", "base_url", "https://gate/way"),
    ("QIANFAN_API_BASE_URL", "https://h", "console_api_base_url", "https://h"),
    ("QIANFAN_IAM_BASE_URL", "http://iam:8080/", "iam_base_url", "http://iam:8080"),
    ("QIANFAN_APP_ID", "123", "app_id", "123"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "1", "retry_count", 1),
    ("QIANFAN_LLM_API_RETRY_COUNT", "100", "retry_count", 100),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "0", "retry_timeout", 0.0),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "86400", "retry_timeout", 86_400.0),
    ("QIANFAN_LLM_API_RETRY_BACKOFF_FACTOR", "0.5", "backoff_factor", 0.5),
    ("QIANFAN_LLM_API_RETRY_JITTER", "0", "retry_jitter", 0.0),
    ("QIANFAN_LLM_API_RETRY_MAX_WAIT_INTERVAL", "120", "retry_max_wait", 120.0),
    ("QIANFAN_PROXY", "http://proxy:3128", "proxy", "http://proxy:3128"),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "False", "ssl_verification", False),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "0", "ssl_verification", False),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "no", "ssl_verification", False),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "off", "ssl_verification", False),
    ("QIANFAN_CACHE_DIR", "/var/cache", "cache_dir", Path("/var/cache")),
    ("QIANFAN_DISABLE_CACHE", "true", "disable_cache", True),
    ("QIANFAN_DISABLE_CACHE", "1", "disable_cache", True),
    ("QIANFAN_DISABLE_CACHE", "Yes", "disable_cache", True),
    ("QIANFAN_DISABLE_CACHE", "on", "disable_cache", True),
    ("QIANFAN_CHAT_ENDPOINT", "我的服务", "chat_endpoint", "我的服务"),
    ("QIANFAN_COMPLETE_ENDPOINT", "test2", "complete_endpoint", "test2"),
    ("QIANFAN_MODEL", "ernie-5.1", "model", "ernie-5.1"),
    ("QIANFAN_COMPLETE_MODEL", "StarCoder", "complete_model", "StarCoder"),
    ("QIANFAN_LIVE", "OFF", "live", "off"),
    ("QIANFAN_LANGUAGE", "EN", "language", "en"),
]


def test_environment_and_dot_env_fill_the_settings(tmp_path):
    for variable, text, name, value in READ:
        for settings in (load(tmp_path, "", **{variable: text}), load(tmp_path, {variable: text})):
            assert getattr(settings, name) == value, (variable, text)


def test_credentials_are_read(tmp_path):
    cases = [
        (PAIR, Credentials(ak="ak-of-the-app", sk="sk-of-the-app")),
        (SIGNATURE, Credentials(access_key="key-of-account", secret_key="secret-of-account")),
        (TOKEN, Credentials(access_token="token-fetched")),
        ({"QIANFAN_API_KEY": "bce-v3/x"}, Credentials(bearer_token="bce-v3/x")),
    ]
    for variables, credentials in cases:
        assert load(tmp_path, **variables).credentials == credentials, list(variables)


def test_nothing_set_gives_the_defaults(tmp_path):
    assert load(tmp_path) == Settings()


def test_no_other_variable_is_read():
    keys = {*PAIR, *SIGNATURE, *TOKEN, "QIANFAN_API_KEY"}
    assert set(VARIABLES) == keys | {row[0] for row in READ}


def test_environment_takes_precedence_over_dot_env_unless_blank(tmp_path):
    assert load(tmp_path, "QIANFAN_MODEL=file", QIANFAN_MODEL="outside").model == "outside"
    assert load(tmp_path, "QIANFAN_MODEL=file", QIANFAN_MODEL=" ").model == "file"


NAMES = {
    "QIANFAN_API_KEY": ("bce-v3/x", ["QIANFAN_BEARER_TOKEN"]),
    "QIANFAN_API_BASE_URL": (
        "http://h/v2",
        ["QIANFAN_API_BASE", "QIANFAN_CONSOLE_API_BASE_URL"],
    ),
}


def test_every_name_of_a_variable_sets_it(tmp_path):
    for name, (value, others) in NAMES.items():
        for other in others:
            assert load(tmp_path, **{other: value}) == load(tmp_path, **{name: value}), other


def test_names_of_a_variable_that_differ_are_named_and_their_values_are_not(tmp_path):
    for name, (value, others) in NAMES.items():
        for other in others:
            load(tmp_path, {name: value, other: value})  # the same value twice is no error
            for variables in ({name: value, other: value + "9"}, {other: value + "9", name: value}):
                with pytest.raises(SettingsError) as caught:
                    load(tmp_path, variables)
                assert name in caught.value.message, variables
                assert other in caught.value.message, variables
                assert value not in all_texts(caught.value), variables


def test_environment_takes_precedence_under_any_name(tmp_path):
    file = {"QIANFAN_API_KEY": "bce-v3/file"}
    settings = load(tmp_path, file, QIANFAN_BEARER_TOKEN="bce-v3/outside")
    assert settings.credentials.bearer_token == "bce-v3/outside"


def test_address_of_version_2_is_the_root_however_it_is_written(tmp_path):
    for address, root in {
        "https://qianfan.baidubce.com": "https://qianfan.baidubce.com/v2",
        "https://qianfan.baidubce.com/v2/": "https://qianfan.baidubce.com/v2",
        "https://qianfan.baidubce.com/v2/chat/completions": "https://qianfan.baidubce.com/v2",
        "https://api.baiduqianfan.ai": "https://api.baiduqianfan.ai/v1",
        "https://api.baiduqianfan.ai/v1": "https://api.baiduqianfan.ai/v1",
        "https://aistudio.baidu.com": "https://aistudio.baidu.com/llm/lmapi/v3",
        "https://aistudio.baidu.com/llm/lmapi/v3": "https://aistudio.baidu.com/llm/lmapi/v3",
        "http://localhost:8000/v1": "http://localhost:8000/v1",
        "http://localhost:8000/v1/models": "http://localhost:8000/v1",
        "http://localhost:8000/v1/completions/": "http://localhost:8000/v1",
        "http://localhost:8000": "http://localhost:8000",
    }.items():
        loaded = load(tmp_path, QIANFAN_API_BASE_URL=address)
        assert loaded.console_api_base_url == root, address


def test_bare_host_under_the_name_of_the_sdk_gets_the_path_of_the_sdk(tmp_path):
    for address, root in {
        "https://qianfan.baidubce.com": "https://qianfan.baidubce.com/v2",
        "https://api.baiduqianfan.ai": "https://api.baiduqianfan.ai/v1",
        "http://gateway:8080/": "http://gateway:8080/v2",
        "http://gateway:8080/prefix": "http://gateway:8080/prefix",
    }.items():
        loaded = load(tmp_path, QIANFAN_CONSOLE_API_BASE_URL=address)
        assert loaded.console_api_base_url == root, address


def test_server_on_this_computer_needs_no_key(tmp_path):
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "127.8.0.1:1", "a.localhost"):
        loaded = load(tmp_path, QIANFAN_API_BASE_URL=f"http://{host}/v1")
        assert loaded.versions == (2,), host
    for host in ("localhost.example", "10.0.0.1", "gateway:8000", "128.0.0.1"):
        loaded = load(tmp_path, QIANFAN_API_BASE_URL=f"http://{host}/v1")
        assert loaded.versions == (), host


def test_blank_variable_of_dot_env_is_ignored(tmp_path):
    for text in ("QIANFAN_MODEL=\n", "QIANFAN_MODEL=' '\n", "QIANFAN_MODEL\n"):
        assert load(tmp_path, text).model is None, text


def test_spaces_around_a_value_are_removed(tmp_path):
    assert load(tmp_path, QIANFAN_AK=" a-long-key\n", QIANFAN_SK="b").credentials.ak == "a-long-key"


def test_dot_env_is_found_in_a_folder_above(tmp_path):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    assert load_settings(tmp_path / "a" / "b", {}).model == "above"


def test_dot_env_nearest_to_the_notebook_is_read(tmp_path):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    (tmp_path / "a").mkdir()
    assert load(tmp_path / "a", "QIANFAN_MODEL=beside").model == "beside"


def test_folder_called_dot_env_is_ignored(tmp_path):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    (tmp_path / "a" / ".env").mkdir(parents=True)
    assert load(tmp_path / "a").model == "above"


def test_dot_env_is_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=here", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}).model == "here"


def test_dot_env_is_found_above_a_relative_folder(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert load_settings(Path(), {}).model == "above"


def test_named_file_is_read_instead_of_dot_env(tmp_path):
    other = tmp_path / "other"
    other.write_text("QIANFAN_MODEL=other", encoding="utf-8")
    settings = load(
        tmp_path, "QIANFAN_MODEL=file\nQIANFAN_APP_ID=1", QIANFAN_DOT_ENV_CONFIG_FILE=str(other)
    )
    assert settings.model == "other"
    assert settings.app_id is None


def test_named_file_that_is_missing_is_refused(tmp_path):
    for name in ("missing-file", ".", "long" * 75):
        error = refusal(tmp_path, QIANFAN_DOT_ENV_CONFIG_FILE=str(tmp_path / name))
        assert "QIANFAN_DOT_ENV_CONFIG_FILE" in error.message, name


def test_syntax_of_dot_env(tmp_path):
    cases = [
        ('QIANFAN_MODEL="a b"', "a b"),
        ("QIANFAN_MODEL='a'  # mine", "a"),
        ("export QIANFAN_MODEL=a", "a"),
        ("QIANFAN_MODEL = a", "a"),
        ("# a comment\r\n\r\nQIANFAN_MODEL=a\r\n", "a"),
        ("QIANFAN_MODEL=a\nQIANFAN_MODEL=b", "b"),
        ("\ufeffQIANFAN_MODEL=a", "a"),
        ("QIANFAN_MODEL=千帆", "千帆"),
        ("OTHER=1\nQIANFAN_MODEL=a", "a"),
    ]
    for text, value in cases:
        assert load(tmp_path, text).model == value, text


def test_bad_line_of_dot_env_is_named_by_its_number_and_not_shown(tmp_path):
    cases = [
        ("QIANFAN_SK hush", 1),
        ("QIANFAN_MODEL=a\nQIANFAN_SK: hush\n", 2),
        ("# mine\n\nQIANFAN_SK='hush\n", 3),
        ("QIANFAN_MODEL=a\n\n\n\nQIANFAN_SK hush\n", 5),
    ]
    for text, line in cases:
        error = refusal(tmp_path, text)
        assert error.message.startswith(f"Line {line} of .env is not"), text
        assert "hush" not in all_texts(error), text


def test_dot_env_that_is_not_utf_8_is_refused(tmp_path):
    for encoding in ("utf-16", "gbk"):
        error = refusal(tmp_path, "QIANFAN_MODEL=千帆大模型".encode(encoding))
        assert str(error) == "The file .env is not UTF-8\nSave it as UTF-8.", encoding


def test_dot_env_that_would_take_long_is_refused(tmp_path):
    for text, why in (
        ("A=1\n" * 300_000, "cannot be read: File too large"),
        ("A=1\n\nB=a" + " " * 30_000 + "b", "Line 3 of .env is not of the form"),
    ):
        assert why in refusal(tmp_path, text).message, why


def test_half_of_a_pair_names_the_missing_half_and_is_not_shown(tmp_path):
    for first, second in (PAIR, SIGNATURE):
        for present, missing in ((first, second), (second, first)):
            error = refusal(tmp_path, **{present: "hush-hush"})
            assert error.message == f"{present} is set, but {missing} is not"
            assert "hush-hush" not in all_texts(error), present


def test_halves_of_a_pair_may_come_from_both_places(tmp_path):
    settings = load(tmp_path, "QIANFAN_AK=a", QIANFAN_SK="b")
    assert settings.credentials == Credentials(ak="a", sk="b")


def test_key_with_a_character_that_no_key_has_is_refused_and_not_shown(tmp_path):
    for key in ("sk hush", "sk\thush", "ключ-hush", "sk\0hush", "sk-hush\udcff"):
        error = refusal(tmp_path, QIANFAN_AK="a", QIANFAN_SK=key)
        assert error.message == "QIANFAN_SK holds a character that no key has", repr(key)
        assert "hush" not in all_texts(error), repr(key)


def test_two_ways_to_authenticate_contradict_each_other(tmp_path):
    for variables in (PAIR | SIGNATURE, PAIR | TOKEN, SIGNATURE | TOKEN, PAIR | SIGNATURE | TOKEN):
        for error in (refusal(tmp_path, "", **variables), refusal(tmp_path, variables)):
            missing = [name for name in variables if name not in error.message]
            assert missing == [], list(variables)
            assert not re.search("of-the-app|of-account|fetched", all_texts(error)), list(variables)


def test_way_of_the_environment_takes_precedence_over_that_of_dot_env(tmp_path):
    cases = [
        (PAIR, TOKEN, ("access_token",)),
        (PAIR, SIGNATURE, ("access_key", "secret_key")),
        (SIGNATURE, PAIR, ("ak", "sk")),
        (PAIR | SIGNATURE, TOKEN, ("access_token",)),
    ]
    for inside, outside, way in cases:
        ways = load(tmp_path, inside, **outside).credentials.ways
        assert ways == [way], (list(inside), list(outside))


def test_bearer_token_contradicts_nothing(tmp_path):
    bearer = {"QIANFAN_API_KEY": "bce-v3/x"}
    for inside, outside, way in (
        (PAIR, bearer, ("ak", "sk")),
        (PAIR | bearer, TOKEN, ("access_token",)),
    ):
        credentials = load(tmp_path, inside, **outside).credentials
        assert credentials.bearer_token == "bce-v3/x", way
        assert credentials.ways == [way]


def test_given_credentials_are_used_instead_of_those_that_are_set(tmp_path):
    given = Credentials(access_token="given-token")
    for variables in (PAIR | TOKEN, {"QIANFAN_AK": "half"}):
        settings = load_settings(tmp_path, variables, credentials=given)
        assert settings.credentials is given, list(variables)


BAD = [
    ("QIANFAN_BASE_URL", "hush"),
    ("QIANFAN_BASE_URL", "ftp://hush"),
    ("QIANFAN_BASE_URL", "file:///hush"),
    ("QIANFAN_BASE_URL", "//hush"),
    ("QIANFAN_BASE_URL", "https://"),
    ("QIANFAN_BASE_URL", "http://[hush"),
    ("QIANFAN_BASE_URL", "https://user:hush@host"),
    ("QIANFAN_BASE_URL", "https://hush@host"),
    ("QIANFAN_BASE_URL", "https://host/?key=hush"),
    ("QIANFAN_BASE_URL", "https://host?"),
    ("QIANFAN_BASE_URL", "https://host/#hush"),
    ("QIANFAN_BASE_URL", "https://host:hush"),
    ("QIANFAN_BASE_URL", "https://ho st/hush"),
    ("QIANFAN_API_BASE_URL", "hush"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "hush"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "0"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "101"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "1.5"),
    ("QIANFAN_LLM_API_RETRY_COUNT", "-1"),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "hush"),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "-1"),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "86401"),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "nan"),
    ("QIANFAN_LLM_API_RETRY_TIMEOUT", "inf"),
    ("QIANFAN_LLM_API_RETRY_BACKOFF_FACTOR", "hush"),
    ("QIANFAN_LLM_API_RETRY_JITTER", "hush"),
    ("QIANFAN_LLM_API_RETRY_MAX_WAIT_INTERVAL", "hush"),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "hush"),
    ("QIANFAN_SSL_VERIFICATION_ENABLED", "2"),
    ("QIANFAN_DISABLE_CACHE", "hush"),
    ("QIANFAN_LIVE", "hush"),
    ("QIANFAN_LIVE", "true"),
    ("QIANFAN_LANGUAGE", "fr"),
]


def test_bad_value_is_refused_by_the_name_of_its_variable_and_not_shown(tmp_path):
    for variable, value in BAD:
        error = refusal(tmp_path, **{variable: value})
        assert error.message.startswith(variable), (variable, value)
        assert " must " in error.message, (variable, value)
        assert "hush" not in all_texts(error), (variable, value)


def test_repr_of_settings_shows_no_secret():
    pairs = [("ak", "sk"), ("access_key", "secret_key"), ("access_token",), ("bearer_token",)]
    for names in pairs:
        credentials = Credentials(**dict.fromkeys(names, "hush-hush"))
        assert "hush" not in repr(Settings(credentials=credentials)), names
    assert "hush" not in repr(Settings(proxy="http://user:hush@proxy:3128"))
    assert "model='Dolly-12B'" in repr(Settings(model="Dolly-12B"))


def test_repr_of_credentials_names_those_that_are_set():
    assert repr(Credentials(ak="a", sk="b")) == "Credentials(ak=***, sk=***)"


def test_values_are_frozen():
    for values, name in ((Settings(), "model"), (Credentials(), "ak")):
        with pytest.raises(FrozenInstanceError):
            setattr(values, name, "other")


def test_versions_that_accept_the_credentials():
    pair, signature = {"ak": "a", "sk": "b"}, {"access_key": "a", "secret_key": "b"}
    cases: list[tuple[dict[str, str], tuple[int, ...]]] = [
        ({}, ()),
        (pair, (1,)),
        ({"access_token": "a"}, (1,)),
        (signature, (1, 2)),
        ({"bearer_token": "a"}, (2,)),
        ({"bearer_token": "a"} | pair, (1, 2)),
        ({"bearer_token": "a", "access_token": "a"}, (1, 2)),
        ({"bearer_token": "a"} | signature, (1, 2)),
        ({"bearer_token": "", "access_token": ""}, ()),
    ]
    for keys, versions in cases:
        assert Credentials(**keys).versions == versions, keys


class TestExample:
    """What ``.env.example`` at the project's root promises."""

    setting = re.compile(r"# ([A-Z_]+)=(.*)")
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()

    def test_explains_each_variable_once_in_the_line_above(self):
        found = []
        for above, line in pairwise(self.lines):
            if match := self.setting.fullmatch(line):
                found.append(match[1])
                assert re.fullmatch(r"# [A-Z][^=]{20,}\.", above), line
        assert sorted(found) == sorted([*VARIABLES, DOT_ENV_VARIABLE])

    def test_sets_nothing(self):
        assert [line for line in self.lines if line and not line.startswith("#")] == []

    def test_shows_the_defaults(self, tmp_path):
        settings = [line[2:] for line in self.lines if self.setting.fullmatch(line)]
        assert load(tmp_path, "\n".join(settings)) == Settings()

"""Environment and .env to settings: which wins, what is refused, and that no value shows."""

import re
import traceback
from dataclasses import FrozenInstanceError
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


def everything_told(error):
    """The error as any front end or log may show it, its causes and contexts included."""
    chain = [error]
    while chain[-1].__context__:
        chain.append(chain[-1].__context__)
    return "\n".join(repr(each) + repr(vars(each)) + str(each) for each in chain) + "".join(
        traceback.format_exception(error)
    )


# Each variable, a text, and where it goes as what.
READ = [
    ("QIANFAN_BASE_URL", "http://127.0.0.1:8080", "base_url", "http://127.0.0.1:8080"),
    ("QIANFAN_BASE_URL", "https://gate/way/", "base_url", "https://gate/way"),
    ("QIANFAN_CONSOLE_API_BASE_URL", "https://h", "console_api_base_url", "https://h"),
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
    ("QIANFAN_MODEL", "Dolly-12B", "model", "Dolly-12B"),
    ("QIANFAN_LIVE", "OFF", "live", "off"),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), READ)
def test_environment_fills(variable, text, name, value, tmp_path):
    assert getattr(load(tmp_path, **{variable: text}), name) == value


@pytest.mark.parametrize(("variable", "text", "name", "value"), READ)
def test_dot_env_fills(variable, text, name, value, tmp_path):
    assert getattr(load(tmp_path, {variable: text}), name) == value


@pytest.mark.parametrize(
    ("variables", "credentials"),
    [
        (PAIR, Credentials(ak="ak-of-the-app", sk="sk-of-the-app")),
        (SIGNATURE, Credentials(access_key="key-of-account", secret_key="secret-of-account")),
        (TOKEN, Credentials(access_token="token-fetched")),
        ({"QIANFAN_BEARER_TOKEN": "bce-v3/x"}, Credentials(bearer_token="bce-v3/x")),
    ],
)
def test_credentials_are_read(variables, credentials, tmp_path):
    assert load(tmp_path, **variables).credentials == credentials


def test_nothing_set_gives_the_defaults(tmp_path):
    assert load(tmp_path) == Settings()


def test_no_other_variable_is_read():
    keys = {*PAIR, *SIGNATURE, *TOKEN, "QIANFAN_BEARER_TOKEN"}
    assert set(VARIABLES) == keys | {row[0] for row in READ}


def test_environment_wins_over_dot_env(tmp_path):
    assert load(tmp_path, "QIANFAN_MODEL=file", QIANFAN_MODEL="outside").model == "outside"


def test_blank_variable_of_the_environment_counts_as_unset(tmp_path):
    assert load(tmp_path, "QIANFAN_MODEL=file", QIANFAN_MODEL=" ").model == "file"


@pytest.mark.parametrize("text", ["QIANFAN_MODEL=\n", "QIANFAN_MODEL=' '\n", "QIANFAN_MODEL\n"])
def test_blank_variable_of_dot_env_counts_as_unset(text, tmp_path):
    assert load(tmp_path, text).model is None


def test_spaces_around_a_value_are_dropped(tmp_path):
    assert load(tmp_path, QIANFAN_AK=" a-long-key\n", QIANFAN_SK="b").credentials.ak == "a-long-key"


def test_dot_env_is_found_in_a_folder_above(tmp_path):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    assert load_settings(tmp_path / "a" / "b", {}).model == "above"


def test_dot_env_nearest_to_the_notebook_counts(tmp_path):
    (tmp_path / ".env").write_text("QIANFAN_MODEL=above", encoding="utf-8")
    (tmp_path / "a").mkdir()
    assert load(tmp_path / "a", "QIANFAN_MODEL=beside").model == "beside"


def test_folder_called_dot_env_is_passed_over(tmp_path):
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


def test_named_file_is_read_in_the_place_of_dot_env(tmp_path):
    other = tmp_path / "other"
    other.write_text("QIANFAN_MODEL=other", encoding="utf-8")
    settings = load(
        tmp_path, "QIANFAN_MODEL=file\nQIANFAN_APP_ID=1", QIANFAN_DOT_ENV_CONFIG_FILE=str(other)
    )
    assert (settings.model, settings.app_id) == ("other", None)


@pytest.mark.parametrize("name", ["missing-file", ".", "long" * 75], ids=len)
def test_named_file_that_is_not_there_is_refused(name, tmp_path):
    error = refusal(tmp_path, QIANFAN_DOT_ENV_CONFIG_FILE=str(tmp_path / name))
    assert "QIANFAN_DOT_ENV_CONFIG_FILE" in error.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('QIANFAN_MODEL="a b"', "a b"),
        ("QIANFAN_MODEL='a'  # mine", "a"),
        ("export QIANFAN_MODEL=a", "a"),
        ("QIANFAN_MODEL = a", "a"),
        ("# a comment\r\n\r\nQIANFAN_MODEL=a\r\n", "a"),
        ("QIANFAN_MODEL=a\nQIANFAN_MODEL=b", "b"),
        ("\ufeffQIANFAN_MODEL=a", "a"),
        ("QIANFAN_MODEL=千帆", "千帆"),
        ("OTHER=1\nQIANFAN_MODEL=a", "a"),
    ],
)
def test_dot_env_may_be_written_so(text, value, tmp_path):
    assert load(tmp_path, text).model == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("QIANFAN_SK hush", 1),
        ("QIANFAN_MODEL=a\nQIANFAN_SK: hush\n", 2),
        ("# mine\n\nQIANFAN_SK='hush\n", 3),
        ("QIANFAN_MODEL=a\n\n\n\nQIANFAN_SK hush\n", 5),
    ],
)
def test_bad_line_of_dot_env_is_named_by_its_number(text, line, tmp_path):
    assert refusal(tmp_path, text).message.startswith(f"Line {line} of .env is not")


def test_bad_line_of_dot_env_is_not_shown(tmp_path):
    assert "hush" not in everything_told(refusal(tmp_path, "QIANFAN_SK hush-hush"))


@pytest.mark.parametrize("encoding", ["utf-16", "gbk"])
def test_dot_env_that_is_not_utf_8_is_refused(encoding, tmp_path):
    error = refusal(tmp_path, "QIANFAN_MODEL=千帆大模型".encode(encoding))
    assert str(error) == "The file .env is not UTF-8\nSave it as UTF-8."


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ("QIANFAN_AK", "QIANFAN_SK"),
        ("QIANFAN_SK", "QIANFAN_AK"),
        ("QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY"),
        ("QIANFAN_SECRET_KEY", "QIANFAN_ACCESS_KEY"),
    ],
)
def test_half_of_a_pair_names_the_missing_half(present, missing, tmp_path):
    assert refusal(tmp_path, **{present: "x"}).message == f"{present} is set, but {missing} is not"


@pytest.mark.parametrize("variable", [*PAIR, *SIGNATURE])
def test_half_of_a_pair_does_not_show(variable, tmp_path):
    assert "hush-hush" not in everything_told(refusal(tmp_path, **{variable: "hush-hush"}))


def test_halves_of_a_pair_may_come_from_both_places(tmp_path):
    settings = load(tmp_path, "QIANFAN_AK=a", QIANFAN_SK="b")
    assert settings.credentials == Credentials(ak="a", sk="b")


@pytest.mark.parametrize("key", ["sk hush", "sk\thush", "ключ-hush", "sk\0hush", "sk-hush\udcff"])
def test_key_with_a_character_that_no_key_has_is_refused(key, tmp_path):
    error = refusal(tmp_path, QIANFAN_AK="a", QIANFAN_SK=key)
    assert error.message == "QIANFAN_SK holds a character that no key has"


@pytest.mark.parametrize("key", ["sk hush", "ключ-hush", "sk\0hush"])
def test_key_with_a_character_that_no_key_has_does_not_show(key, tmp_path):
    assert "hush" not in everything_told(refusal(tmp_path, QIANFAN_AK="a", QIANFAN_SK=key))


@pytest.mark.parametrize(
    "variables", [PAIR | SIGNATURE, PAIR | TOKEN, SIGNATURE | TOKEN, PAIR | SIGNATURE | TOKEN]
)
@pytest.mark.parametrize("outside", [True, False], ids=["environment", "dot_env"])
def test_two_ways_to_be_let_in_contradict_each_other(variables, outside, tmp_path):
    error = refusal(tmp_path, **variables) if outside else refusal(tmp_path, variables)
    assert all(name in error.message for name in variables)


def test_contradiction_shows_no_value(tmp_path):
    told = everything_told(refusal(tmp_path, PAIR | SIGNATURE | TOKEN))
    assert not re.search("of-the-app|of-account|fetched", told)


@pytest.mark.parametrize(
    ("inside", "outside", "way"),
    [
        (PAIR, TOKEN, ("access_token",)),
        (PAIR, SIGNATURE, ("access_key", "secret_key")),
        (SIGNATURE, PAIR, ("ak", "sk")),
        (PAIR | SIGNATURE, TOKEN, ("access_token",)),
    ],
)
def test_way_of_the_environment_wins_over_that_of_dot_env(inside, outside, way, tmp_path):
    assert load(tmp_path, inside, **outside).credentials.ways == [way]


def test_bearer_token_contradicts_nothing(tmp_path):
    settings = load(tmp_path, PAIR, QIANFAN_BEARER_TOKEN="bce-v3/x")
    assert (settings.credentials.ways, settings.credentials.bearer_token) == (
        [("ak", "sk")],
        "bce-v3/x",
    )


def test_bearer_token_of_dot_env_stays_beside_a_way_of_the_environment(tmp_path):
    settings = load(tmp_path, PAIR | {"QIANFAN_BEARER_TOKEN": "bce-v3/x"}, **TOKEN)
    assert settings.credentials.bearer_token == "bce-v3/x"


@pytest.mark.parametrize("variables", [PAIR | TOKEN, {"QIANFAN_AK": "half"}])
def test_given_credentials_are_used_in_the_place_of_those_outside(variables, tmp_path):
    given = Credentials(access_token="given-token")
    assert load_settings(tmp_path, variables, credentials=given).credentials is given


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
    ("QIANFAN_CONSOLE_API_BASE_URL", "hush"),
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
]


@pytest.mark.parametrize(("variable", "value"), BAD)
def test_bad_value_is_refused_by_the_name_of_its_variable(variable, value, tmp_path):
    assert refusal(tmp_path, **{variable: value}).message.startswith(f"{variable} must ")


@pytest.mark.parametrize(("variable", "value"), [row for row in BAD if "hush" in row[1]])
def test_bad_value_does_not_show(variable, value, tmp_path):
    assert "hush" not in everything_told(refusal(tmp_path, **{variable: value}))


@pytest.mark.parametrize(
    "names", [("ak", "sk"), ("access_key", "secret_key"), ("access_token",), ("bearer_token",)]
)
def test_repr_of_settings_shows_no_secret(names):
    settings = Settings(credentials=Credentials(**dict.fromkeys(names, "hush-hush")))
    assert "hush" not in repr(settings)


def test_repr_of_credentials_says_which_there_are():
    assert repr(Credentials(ak="a", sk="b")) == "Credentials(ak=***, sk=***)"


def test_repr_of_settings_does_not_show_the_proxy():
    assert "hush" not in repr(Settings(proxy="http://user:hush@proxy:3128"))


def test_repr_of_settings_shows_what_is_no_secret():
    assert "model='Dolly-12B'" in repr(Settings(model="Dolly-12B"))


@pytest.mark.parametrize(("values", "name"), [(Settings(), "model"), (Credentials(), "ak")])
def test_values_are_frozen(values, name):
    with pytest.raises(FrozenInstanceError):
        setattr(values, name, "other")


@pytest.mark.parametrize(
    ("keys", "versions"),
    [
        ({}, ()),
        ({"ak": "a", "sk": "b"}, (1,)),
        ({"access_token": "a"}, (1,)),
        ({"access_key": "a", "secret_key": "b"}, (1, 2)),
        ({"bearer_token": "a"}, (2,)),
        ({"bearer_token": "a", "ak": "a", "sk": "b"}, (1, 2)),
        ({"bearer_token": "a", "access_token": "a"}, (1, 2)),
        ({"bearer_token": "a", "access_key": "a", "secret_key": "b"}, (1, 2)),
        ({"bearer_token": "", "access_token": ""}, ()),
    ],
)
def test_versions_that_credentials_are_good_for(keys, versions):
    assert Credentials(**keys).versions == versions


class TestExample:
    """What ``.env.example`` at the project's root promises."""

    setting = re.compile(r"# ([A-Z_]+)=(.*)")
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()

    def test_lists_each_variable_once(self):
        found = [match[1] for line in self.lines if (match := self.setting.fullmatch(line))]
        assert sorted(found) == sorted([*VARIABLES, DOT_ENV_VARIABLE])

    @pytest.mark.parametrize("variable", [*VARIABLES, DOT_ENV_VARIABLE])
    def test_explains_the_variable_in_the_line_above(self, variable):
        place = next(i for i, line in enumerate(self.lines) if line.startswith(f"# {variable}="))
        assert re.fullmatch(r"# [A-Z][^=]{20,}\.", self.lines[place - 1])

    def test_sets_nothing(self):
        assert [line for line in self.lines if line and not line.startswith("#")] == []

    def test_shows_the_defaults(self, tmp_path):
        settings = [line[2:] for line in self.lines if self.setting.fullmatch(line)]
        assert load(tmp_path, "\n".join(settings)) == Settings()

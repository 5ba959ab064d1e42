"""Environment variables and ``.env``, read into frozen values.

The variables have the names of the official Python SDK, so that one ``.env`` serves both, and
those by which other programs know the API key and the address of version 2.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from qianfan_magic.api.config.addresses import (
    DEFAULT_ROOT,
    is_exposed,
    is_on_this_computer,
    read_address,
    read_root,
    with_sdk_path,
)
from qianfan_magic.api.config.credentials import (
    CREDENTIAL_VARIABLES,
    KEYLESS,
    AuthenticationMethod,
    Credentials,
    choose_credentials,
    variable_field,
)
from qianfan_magic.api.config.dotenv import find_dot_env, read_dot_env
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import SettingsError
from qianfan_magic.language import LANGUAGES, choose_language, tr
from qianfan_magic.masking import remember

__all__ = [
    "ALIASES",
    "DEFAULT_BASE_URL",
    "DEFAULT_CONSOLE_API_BASE_URL",
    "DEFAULT_IAM_BASE_URL",
    "VARIABLES",
    "VARIABLE_OF",
    "Settings",
    "build_settings",
    "load_settings",
    "named_once",
    "nonempty_variables",
    "read_variable",
]

#: Server of version 1 of the API, which also issues its access tokens.
DEFAULT_BASE_URL = "https://aip.baidubce.com"
#: Root of version 2 of the API.
DEFAULT_CONSOLE_API_BASE_URL = DEFAULT_ROOT
#: Baidu's IAM, which issues bearer tokens of version 2 for access keys.
DEFAULT_IAM_BASE_URL = "https://iam.bj.baidubce.com"

#: Largest number of attempts.
MAX_ATTEMPTS = 100
#: Largest time-out or wait, in seconds: one day.
MAX_SECONDS = 86_400


def _attempts(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_ATTEMPTS:
        raise ValueError(
            tr("must be a whole number from 1 to {max_attempts}", max_attempts=MAX_ATTEMPTS)
        )
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_SECONDS:  # also refuses NaN
        raise ValueError(
            tr("must be a number of seconds from 0 to {max_seconds}", max_seconds=MAX_SECONDS)
        )
    return seconds


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError(tr("must be true or false"))
    return words[text.lower()]


def _header_value(text: str) -> str:
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError(tr("holds a character that no header can carry"))
    return text


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~name", and there is no such user
        raise ValueError(tr("names the home folder of nobody")) from None


def _live(text: str) -> str:
    if text.lower() not in {"auto", "on", "off"}:
        raise ValueError(tr("must be auto, on or off"))
    return text.lower()


def _language(text: str) -> str:
    if text.lower() not in LANGUAGES:
        raise ValueError(tr("must be auto, en or zh"))
    return text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is configured outside a program.

    Attributes
    ----------
    credentials
        Keys and tokens.
    base_url
        Server of version 1 of the API.
    console_api_base_url
        Root of version 2 of the API: the address to which paths such as ``/chat/completions``
        are appended.
    iam_base_url
        Server that issues bearer tokens for access keys.
    app_id
        Application to send with requests of version 2, in the header ``appid``.
    retry_count
        Attempts in total, 1 to 100.
    retry_timeout
        Seconds without a byte before an attempt is given up; 0: no limit.
    backoff_factor
        Seconds before the second attempt; doubled before each further one.
    retry_jitter
        Largest number of seconds added at random, so that many clients do not retry at once.
    retry_max_wait
        Longest wait between two attempts, in seconds.
    proxy
        Address of a proxy. None leaves the choice to the environment, as requests does; an
        empty text, which only a program can give, means no proxy at all.
    ssl_verification
        Whether TLS certificates are verified.
    cache_dir
        Folder where access tokens are stored; None stands for the user's cache folder.
    disable_cache
        Whether tokens are stored in memory only, not in `cache_dir`.
    chat_endpoint, complete_endpoint, model
        Defaults of a cell without ``-e`` and ``-m``.
    complete_model
        The default of completions instead of `model`: most models of version 2 only chat.
    live
        ``auto``, ``on`` or ``off``: whether answers are shown while they arrive.
    language
        ``auto``, ``en`` or ``zh``: the language of messages.

    Examples
    --------
    >>> Settings(retry_count=1).base_url
    'https://aip.baidubce.com'
    """

    credentials: Credentials = field(default_factory=Credentials)
    base_url: str = variable_field("QIANFAN_BASE_URL", DEFAULT_BASE_URL, read_address)
    console_api_base_url: str = variable_field(
        "QIANFAN_API_BASE_URL",
        DEFAULT_CONSOLE_API_BASE_URL,
        read_root,
        aliases={"QIANFAN_API_BASE": str, "QIANFAN_CONSOLE_API_BASE_URL": with_sdk_path},
    )
    iam_base_url: str = variable_field("QIANFAN_IAM_BASE_URL", DEFAULT_IAM_BASE_URL, read_address)
    app_id: str | None = variable_field("QIANFAN_APP_ID", None, _header_value)
    retry_count: int = variable_field("QIANFAN_LLM_API_RETRY_COUNT", 3, _attempts)
    retry_timeout: float = variable_field("QIANFAN_LLM_API_RETRY_TIMEOUT", 60.0, _seconds)
    backoff_factor: float = variable_field("QIANFAN_LLM_API_RETRY_BACKOFF_FACTOR", 1.0, _seconds)
    retry_jitter: float = variable_field("QIANFAN_LLM_API_RETRY_JITTER", 1.0, _seconds)
    retry_max_wait: float = variable_field(
        "QIANFAN_LLM_API_RETRY_MAX_WAIT_INTERVAL", 60.0, _seconds
    )
    # secret: a proxy's address may hold a password.
    proxy: str | None = variable_field("QIANFAN_PROXY", None, str, secret=True)
    ssl_verification: bool = variable_field("QIANFAN_SSL_VERIFICATION_ENABLED", True, _boolean)  # noqa: FBT003
    cache_dir: Path | None = variable_field("QIANFAN_CACHE_DIR", None, _folder)  # noqa: RUF009  a field, not a value
    disable_cache: bool = variable_field("QIANFAN_DISABLE_CACHE", False, _boolean)  # noqa: FBT003
    chat_endpoint: str | None = variable_field("QIANFAN_CHAT_ENDPOINT", None, str)
    complete_endpoint: str | None = variable_field("QIANFAN_COMPLETE_ENDPOINT", None, str)
    model: str | None = variable_field("QIANFAN_MODEL", None, str)
    complete_model: str | None = variable_field("QIANFAN_COMPLETE_MODEL", None, str)
    live: str = variable_field("QIANFAN_LIVE", "auto", _live)
    language: str = variable_field("QIANFAN_LANGUAGE", "auto", _language)

    def __post_init__(self) -> None:
        read_variable("QIANFAN_APP_ID", self.app_id or "")
        _remember_proxy(self.proxy or "")

    def url(self, version: ApiVersion) -> str:
        """Return the address to which the paths of a version of the API are appended."""
        return self.base_url if version == ApiVersion.V1 else self.console_api_base_url

    def method(self, version: ApiVersion) -> AuthenticationMethod | None:
        """Return how requests of a version are authenticated; None if credentials are missing.

        A server on this computer needs none (version 2).
        """
        method = self.credentials.method(version)
        if method or version == ApiVersion.V1 or not is_on_this_computer(self.url(version)):
            return method
        return KEYLESS

    @property
    def versions(self) -> tuple[ApiVersion, ...]:
        """The versions of the API that requests can be sent to."""
        return tuple(version for version in ApiVersion if self.method(version))

    @property
    def versions_with_keys(self) -> list[ApiVersion]:
        """The versions of the API whose requests carry a key or token.

        A signature of version 1 gives no key away; version 2 has a bearer token in every case.
        """
        return [
            version
            for version in self.credentials.versions
            if version == ApiVersion.V2 or self.credentials.way(version) != "access_key"
        ]

    @property
    def exposed_urls(self) -> list[str]:
        """The addresses to which a key or token is sent unencrypted over a network."""
        urls = map(self.url, self.versions_with_keys)
        return [url for url in urls if is_exposed(url)]


def _remember_proxy(address: str) -> None:
    """Mask the password of a proxy's address from now on, in each form in which it is sent."""
    try:
        parts = urlsplit(address)
    except ValueError:  # not an address; requests raises an error for it later
        remember(address)
        return
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    remember(parts.password, password)
    if password:  # in the header Proxy-Authorization: Basic credentials (RFC 7617)
        remember(b64encode(f"{user}:{password}".encode()).decode())


#: The dataclass field of each environment variable.
_VARIABLE_FIELDS = {
    known.metadata["variable"]: known
    for known in (*fields(Credentials), *fields(Settings))
    if "variable" in known.metadata
}
#: Other names of variables, with the name that stands for all of them.
ALIASES: dict[str, str] = {
    alias: variable
    for variable, known in _VARIABLE_FIELDS.items()
    for alias in known.metadata["aliases"]
}
#: Every variable that is read, with the field it fills, without `ALIASES`. `DOT_ENV_VARIABLE` is
#: not among them: it says where to look for the others.
VARIABLES: dict[str, str] = {name: known.name for name, known in _VARIABLE_FIELDS.items()}
#: The variable that fills each field.
VARIABLE_OF: dict[str, str] = {name: variable for variable, name in VARIABLES.items()}


def load_settings(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    credentials: Credentials | None = None,
    check_addresses: bool = True,
) -> Settings:
    """Read the settings; the environment takes precedence over ``.env``.

    Parameters
    ----------
    folder
        The notebook's folder: ``.env`` is looked for there and in the folders above. Default:
        the working directory.
    environ
        Environment variables, default ``os.environ``. ``QIANFAN_DOT_ENV_CONFIG_FILE`` names
        another file than ``.env``.
    credentials
        Credentials to use instead of those that are set, which are then not checked.
    check_addresses
        Whether to refuse an address of ``.env`` that would get keys from elsewhere.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        If a variable has a bad value, is half of a pair, or contradicts another; or if ``.env``
        names a server for keys that it does not have. The message names variables, never values.
    """
    from qianfan_magic.api.config.receivers import check_receivers

    environ = nonempty_variables(os.environ if environ is None else environ)
    path = find_dot_env((folder or Path.cwd()).absolute(), environ)
    dot_env = read_dot_env(path) if path else {}
    settings = build_settings(dot_env, environ, credentials=credentials)
    if check_addresses:
        check_receivers(settings, dot_env, environ)
    return settings


def nonempty_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are not empty, without white space around their values."""
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def build_settings(
    dot_env: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    credentials: Credentials | None = None,
) -> Settings:
    """Build the settings from variables that are already read; raises as `load_settings` does.

    Parameters
    ----------
    dot_env
        Variables of ``.env`` that are not empty.
    environ
        Environment variables that are not empty; they take precedence.
    credentials
        Credentials to use instead of those that are set.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelling in (name, name.upper()):
            _remember_proxy(environ.get(spelling, ""))
    environ = named_once(environ)
    texts = {**named_once(dot_env), **environ}
    values = {
        VARIABLES[name]: read_variable(name, texts[name]) for name in VARIABLES if name in texts
    }
    keys = {name: values.pop(name) for name in CREDENTIAL_VARIABLES if name in values}
    # First of all, since the messages of the errors below are in it, too.
    choose_language(values.get("language", "auto"))
    return Settings(credentials=credentials or choose_credentials(keys, environ), **values)


def named_once(values: Mapping[str, str]) -> dict[str, str]:
    """Return variables under one name each, instead of their `ALIASES`.

    Raises
    ------
    SettingsError
        If two names of the same setting have different values. The message names both, and no
        value.
    """
    renamed = {name: value for name, value in values.items() if name not in ALIASES}
    sources = {name: name for name in renamed}
    for alias in ALIASES.keys() & values.keys():
        name, text = _resolve_alias(alias, values[alias])
        source = sources.setdefault(name, alias)
        if _normalised(name, renamed.setdefault(name, text)) != _normalised(name, text):
            raise SettingsError(
                tr(
                    "{source} and {alias} are names of the same setting, and differ",
                    source=source,
                    alias=alias,
                ),
                hint=tr("Remove one of them; {name} is enough.", name=name),
            )
    return renamed


def _resolve_alias(variable: str, text: str) -> tuple[str, str]:
    """Return the name that stands for all names of a variable, and the text for that name."""
    name = ALIASES.get(variable, variable)
    convert = _VARIABLE_FIELDS[name].metadata["aliases"].get(variable, str)
    return name, convert(text)


def _normalised(variable: str, text: str) -> Any:
    """Return the value of a variable, or its text if that is invalid, for a comparison."""
    try:
        return _VARIABLE_FIELDS[variable].metadata["parse"](text)
    except ValueError:
        return text


def read_variable(variable: str, text: str) -> Any:
    """Return the checked value of one variable.

    Raises
    ------
    SettingsError
        If the text is not what the variable must be. The message does not quote it.

    Examples
    --------
    >>> read_variable("QIANFAN_DISABLE_CACHE", "yes")
    True
    """
    name, text = _resolve_alias(variable, text)
    try:
        return _VARIABLE_FIELDS[name].metadata["parse"](text)
    except ValueError as error:
        raise SettingsError(
            f"{_names_of(name)} {error}", hint=tr("Correct it in .env or in the environment.")
        ) from None


def _names_of(variable: str) -> str:
    """Name a variable, with its other names."""
    return " or ".join([variable, *_VARIABLE_FIELDS[variable].metadata["aliases"]])

"""Environment variables and ``.env``, read once into frozen values.

The names are the official Python SDK's, so that one ``.env`` serves both.
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

from qianfan_magic.api.config.credentials import _NAMES, Credentials, _choose, _variable
from qianfan_magic.api.config.dotenv import find_dot_env, read_dot_env
from qianfan_magic.errors import SettingsError
from qianfan_magic.masking import remember


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises if it is none
    except ValueError:  # its message quotes the text
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[?#\s]", text):
        raise ValueError("must be an address such as https://aip.baidubce.com")
    if parts.username or parts.password:
        raise ValueError("must hold no user name or password")
    return text.rstrip("/")


def _console_url(text: str) -> str:
    # As guides for OpenAI's package have it.
    return _url(text).removesuffix("/v2")


def _attempts(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:  # noqa: PLR2004  said below
        raise ValueError("must be a whole number from 1 to 100")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004  said in the message
        raise ValueError("must be a number of seconds from 0 to 86400")
    return seconds


def _switch(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    if text.lower() not in words:
        raise ValueError("must be true or false")
    return words[text.lower()]


def _word(text: str) -> str:
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("holds a character that no header can carry")
    return text


def _folder(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names the home folder of nobody") from None


def _live(text: str) -> str:
    if text.lower() not in {"auto", "on", "off"}:
        raise ValueError("must be auto, on or off")
    return text.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that comes from outside a program.

    Attributes
    ----------
    credentials
        Keys and tokens.
    base_url, console_api_base_url
        Of version 1 and version 2 of the API.
    iam_base_url
        Gives bearer tokens for access keys.
    app_id
        The application, where version 2 asks for it.
    retry_count
        Attempts in total, 1 to 100.
    retry_timeout
        Seconds without a byte before an attempt is given up; 0 waits for ever.
    backoff_factor
        Seconds before the second attempt; doubled before each further one.
    retry_jitter
        At most so many seconds are added at random, so that many clients do not return at once.
    retry_max_wait
        The longest wait between two attempts, in seconds.
    proxy
        Address of a proxy; None leaves it to the environment, as requests does. A program may
        give an empty one, which means none at all.
    ssl_verification
        Whether certificates are checked.
    cache_dir
        Where access tokens are kept; None is the user's cache folder.
    disable_cache
        Keep tokens in memory only.
    chat_endpoint, complete_endpoint, model
        What a cell without ``-e`` and ``-m`` uses.
    live
        ``auto``, ``on`` or ``off``: whether answers are shown while they arrive.
    """

    credentials: Credentials = field(default_factory=Credentials)
    base_url: str = _variable("QIANFAN_BASE_URL", "https://aip.baidubce.com", _url)
    console_api_base_url: str = _variable(
        "QIANFAN_CONSOLE_API_BASE_URL", "https://qianfan.baidubce.com", _console_url
    )
    iam_base_url: str = _variable("QIANFAN_IAM_BASE_URL", "https://iam.bj.baidubce.com", _url)
    app_id: str | None = _variable("QIANFAN_APP_ID", None, _word)
    retry_count: int = _variable("QIANFAN_LLM_API_RETRY_COUNT", 3, _attempts)
    retry_timeout: float = _variable("QIANFAN_LLM_API_RETRY_TIMEOUT", 60.0, _seconds)
    backoff_factor: float = _variable("QIANFAN_LLM_API_RETRY_BACKOFF_FACTOR", 1.0, _seconds)
    retry_jitter: float = _variable("QIANFAN_LLM_API_RETRY_JITTER", 1.0, _seconds)
    retry_max_wait: float = _variable("QIANFAN_LLM_API_RETRY_MAX_WAIT_INTERVAL", 60.0, _seconds)
    # A proxy's address may hold a password.
    proxy: str | None = _variable("QIANFAN_PROXY", None, str, secret=True)
    ssl_verification: bool = _variable("QIANFAN_SSL_VERIFICATION_ENABLED", True, _switch)  # noqa: FBT003
    cache_dir: Path | None = _variable("QIANFAN_CACHE_DIR", None, _folder)  # noqa: RUF009  a field, not a value
    disable_cache: bool = _variable("QIANFAN_DISABLE_CACHE", False, _switch)  # noqa: FBT003
    chat_endpoint: str | None = _variable("QIANFAN_CHAT_ENDPOINT", None, str)
    complete_endpoint: str | None = _variable("QIANFAN_COMPLETE_ENDPOINT", None, str)
    model: str | None = _variable("QIANFAN_MODEL", None, str)
    live: str = _variable("QIANFAN_LIVE", "auto", _live)

    def __post_init__(self) -> None:
        read_variable("QIANFAN_APP_ID", self.app_id or "")
        remember_proxy(self.proxy or "")


def remember_proxy(address: str) -> None:
    """Have the password in a proxy's address masked, in each form in which it goes out."""
    try:
        parts = urlsplit(address)
    except ValueError:  # it is no address; requests will say so
        remember(address)
        return
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    remember(parts.password, password)
    if password:  # as the header Proxy-Authorization has it (RFC 7617)
        remember(b64encode(f"{user}:{password}".encode()).decode())


_FIELDS = [known for known in fields(Settings) if "variable" in known.metadata]
#: Every variable that is read, with the field it fills; DOT_ENV_VARIABLE says where to look.
VARIABLES: dict[str, str] = {
    known.metadata["variable"]: known.name for known in (*fields(Credentials), *_FIELDS)
}


def load_settings(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    credentials: Credentials | None = None,
) -> Settings:
    """Read the settings; what the environment sets wins over ``.env``.

    Parameters
    ----------
    folder
        Where to look for ``.env``, and from there upward; the notebook's folder. Default: the
        working directory.
    environ
        Default: ``os.environ``. ``QIANFAN_DOT_ENV_CONFIG_FILE`` in it names another file.
    credentials
        Used in the place of those that are there, which are then not looked at.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        Names the variable that is wrong, half of a pair, or contradicts another; never a value.
    """
    environ = os.environ if environ is None else environ
    outside = {name: value.strip() for name, value in environ.items() if value.strip()}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for one in (name, name.upper()):
            remember_proxy(outside.get(one, ""))
    path = find_dot_env((folder or Path.cwd()).absolute(), outside)
    values = (read_dot_env(path) if path else {}) | outside
    read = {name: read_variable(name, values[name]) for name in VARIABLES if name in values}
    keys = {VARIABLES[name]: value for name, value in read.items() if VARIABLES[name] in _NAMES}
    rest = {VARIABLES[name]: value for name, value in read.items() if VARIABLES[name] not in _NAMES}
    return Settings(credentials=credentials or _choose(keys, outside), **rest)


def read_variable(name: str, text: str) -> Any:
    """Return the checked value of one variable.

    Raises
    ------
    SettingsError
        Names the variable and what it must be, never its value.
    """
    known = next(f for f in (*fields(Credentials), *_FIELDS) if f.metadata["variable"] == name)
    try:
        return known.metadata["read"](text)
    except ValueError as error:
        raise SettingsError(
            f"{name} {error}", hint="Correct it in .env or in the environment."
        ) from None

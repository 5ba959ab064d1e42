"""Addresses of servers: what a setting may hold, and which servers they belong to.

The address of version 2 is the *root* of the API, as in every client of OpenAI's protocol: paths
such as ``/chat/completions`` follow it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from qianfan_magic.language import tr

__all__ = [
    "DEFAULT_ROOT",
    "is_baidu",
    "is_bare",
    "is_exposed",
    "is_on_this_computer",
    "is_service",
    "read_address",
    "read_root",
    "with_sdk_path",
]

#: The path of the root at each of Baidu's own services, by host. Source: their documents.
_BAIDU_PATHS = {
    "qianfan.baidubce.com": "/v2",
    "api.baiduqianfan.ai": "/v1",  # international
    "aistudio.baidu.com": "/llm/lmapi/v3",
}
#: The host of version 1.
_V1_HOST = "aip.baidubce.com"
#: The root of version 2 in China.
DEFAULT_ROOT = "https://qianfan.baidubce.com/v2"
_BAIDU_DOMAINS = (".baidubce.com", ".baidu.com", ".baiduqianfan.ai")
#: What a full address, copied from an example, has after its root.
_SERVICE_PATHS = ("/chat/completions", "/completions", "/models")


def read_address(text: str) -> str:
    """Return the address of a server without a slash at its end.

    Raises
    ------
    ValueError
        If it is not an address of ``http`` or ``https``, or has a query or a password. The
        message continues a sentence whose subject is the setting, and does not quote the address.

    Examples
    --------
    >>> read_address("https://aip.baidubce.com/")
    'https://aip.baidubce.com'
    """
    parts = _split(text)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(tr("must be an address such as {example}", example=DEFAULT_ROOT))
    if re.search(r"[?#\s]", text):
        raise ValueError(
            tr(
                "must be an address such as {example}, without a query",
                example=DEFAULT_ROOT,
            )
        )
    if parts.username or parts.password:
        raise ValueError(tr("must hold no user name or password"))
    return text.rstrip("/")


def read_root(text: str) -> str:
    """Return the root of version 2 for the address that a user writes.

    A full address that ends in the path of a service is cut to its root. The bare address of one
    of Baidu's services gets the path of its root. Every other address is the root itself.

    Raises
    ------
    ValueError
        As `read_address` does.

    Examples
    --------
    >>> read_root("https://qianfan.baidubce.com"), read_root("http://localhost:8000/v1/chat/completions")
    ('https://qianfan.baidubce.com/v2', 'http://localhost:8000/v1')
    """
    url = read_address(text)
    path = next((path for path in _SERVICE_PATHS if url.endswith(path)), "")
    url = url.removesuffix(path).rstrip("/")
    return url + _BAIDU_PATHS.get(_host(url), "") if is_bare(url) else url


def with_sdk_path(text: str) -> str:
    """Append ``/v2`` to a bare address, as the official SDK does with the address of its settings.

    Examples
    --------
    >>> with_sdk_path("https://gateway.example"), with_sdk_path("https://gateway.example/v1")
    ('https://gateway.example/v2', 'https://gateway.example/v1')
    """
    is_known = _host(text) in _BAIDU_PATHS
    return text.rstrip("/") + "/v2" if is_bare(text) and not is_known else text


def is_bare(url: str) -> bool:
    """Tell whether an address has no path."""
    parts = _split(url)
    return parts is not None and not parts.path.strip("/")


def is_baidu(url: str) -> bool:
    """Tell whether a server is one of Baidu's, in whichever region."""
    return f".{_host(url)}".endswith(_BAIDU_DOMAINS)


def is_service(url: str) -> bool:
    """Tell whether an address is of Qianfan's own servers, encrypted.

    Other hosts of Baidu's domains may run a customer's program.
    """
    return url.startswith("https://") and _host(url) in {*_BAIDU_PATHS, _V1_HOST}


def is_on_this_computer(url: str) -> bool:
    """Tell whether an address names this computer: what is sent there crosses no network.

    Examples
    --------
    >>> is_on_this_computer("http://127.0.0.1:8000/v1"), is_on_this_computer("http://10.0.0.5/v1")
    (True, False)
    """
    host = _host(url)
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")


def is_exposed(url: str) -> bool:
    """Tell whether what is sent to an address crosses a network unencrypted."""
    parts = _split(url)
    return parts is not None and parts.scheme == "http" and not is_on_this_computer(url)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a number
    except ValueError:  # not passed on: its message quotes the address, which may hold a password
        return None
    return parts


def _host(url: str) -> str:
    parts = _split(url)
    return (parts.hostname or "").lower() if parts else ""

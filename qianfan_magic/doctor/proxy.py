"""Check what stands between this computer and a server: proxies and certificate authorities."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from requests.utils import select_proxy, should_bypass_proxies

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.finding import Finding, display_path
from qianfan_magic.masking import remember

__all__ = ["check_certificates", "check_proxy"]


def check_proxy(settings: Settings, base_urls: Sequence[str]) -> Iterator[Finding]:
    """Name the proxy of each server by its host and port, never with its password.

    Parameters
    ----------
    settings
        ``proxy`` (QIANFAN_PROXY) takes precedence over the environment and may disable proxies.
    base_urls
        Addresses of the servers.
    """
    if settings.proxy is not None:
        _remember_password(settings.proxy)
        host = _host(settings.proxy) if settings.proxy else "none"
        yield Finding("Proxy", "ok", f"{host} (QIANFAN_PROXY)")
        return
    routes = {urlsplit(url).hostname: _environment_route(url) for url in base_urls}
    shown = "; ".join(f"{host} {route}" for host, route in routes.items() if route)
    yield Finding("Proxy", "ok", shown or "none")


def _environment_route(url: str) -> str:
    """Say which proxy requests uses for a server; nothing if none is configured."""
    # The same three functions by which requests.Session chooses it, CIDR ranges in NO_PROXY
    # and the system's settings on Windows and macOS included.
    proxy = select_proxy(url, getproxies())
    if proxy is None:
        return ""
    _remember_password(proxy)
    source = _variable_of(urlsplit(url).scheme, proxy)
    if should_bypass_proxies(url, no_proxy=None):
        return f"not through the proxy of {source}, because of NO_PROXY"
    return f"through {_host(proxy)} ({source})"


def _variable_of(scheme: str, proxy: str) -> str:
    """Return the name of the variable that sets a proxy; lower case takes precedence."""
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name) == proxy), "the system's settings")


def _host(proxy: str) -> str:
    """Return a proxy's host and port, without the user name and password before them."""
    # urlsplit finds no password in an address without a scheme, nor one that contains "@".
    host = re.split(r"[/?#]", proxy.rpartition("@")[2].rpartition("://")[2])[0]
    return host if re.fullmatch(r"[-\w.\[\]:]{1,200}", host) else "an invalid address"


def _remember_password(proxy: str) -> None:
    """Mask user name and password of a proxy from now on, in malformed addresses too."""
    user = proxy.rpartition("@")[0].rpartition("://")[2]
    password = user.partition(":")[2]
    remember(user, password, unquote(password))


def check_certificates(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Check which certificate authorities are trusted; yield nothing for the defaults.

    Parameters
    ----------
    settings
        ``ssl_verification`` may turn verification off.
    folder
        The notebook's folder, relative to which a path is shown.
    """
    if not settings.ssl_verification:
        yield Finding(
            "Certificates",
            "note",
            "not verified: anyone between this computer and Qianfan can read your keys",
            "Remove QIANFAN_SSL_VERIFICATION_ENABLED; if your network has an authority of its own,"
            " name its file in REQUESTS_CA_BUNDLE.",
        )
        return
    # The variables that requests reads, in its order.
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return
    bundle = Path(os.environ[name])
    message = f"{name} names {display_path(bundle, folder)}"
    if bundle.exists():
        yield Finding("Certificates", "ok", message)
    else:
        hint = f"Correct or unset {name}."
        yield Finding("Certificates", "failed", f"{message}, which does not exist", hint)

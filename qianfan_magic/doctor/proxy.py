"""What stands between here and a server: proxies, and who vouches for certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in typeshed

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.finding import Finding, display_path
from qianfan_magic.masking import remember

#: As requests reads them: the small letters win.
_PROXIES = {
    "http": ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}


def check_proxy(
    settings: Settings, addresses: list[str], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Name the proxy that each address is asked through, by its host; never a password.

    Parameters
    ----------
    settings
        With QIANFAN_PROXY.
    addresses
        Of the servers.
    environ
        The environment.
    """
    if settings.proxy is not None:
        _remember_password(settings.proxy)
        through = f"{_host(settings.proxy)} (QIANFAN_PROXY)" if settings.proxy else "none at all"
        yield Finding("Proxy", "ok", through)
        return
    said = {}
    for address in addresses:
        parts = urlsplit(address)
        name = next((name for name in _PROXIES[parts.scheme] if environ.get(name)), None)
        if name is None:
            continue
        _remember_password(environ[name])
        through = f"through {_host(environ[name])} ({name})"
        exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        if proxy_bypass_environment(parts.netloc, {"no": exempt}):
            through = f"not through that of {name}, as NO_PROXY says"
        said[parts.hostname] = through
    listed = "; ".join(f"{host} {through}" for host, through in said.items())
    yield Finding("Proxy", "ok", listed or "none")


def _host(proxy: str) -> str:
    """Return a proxy's host and port; what stands before them may be a password."""
    host = re.split(r"[/?#]", proxy.rpartition("@")[2].rpartition("://")[2])[0]
    return host if re.fullmatch(r"[-\w.\[\]:]{1,200}", host) else "an address that is none"


def _remember_password(proxy: str) -> None:
    user = proxy.rpartition("@")[0].rpartition("://")[2]
    password = user.partition(":")[2]
    remember(user, password, unquote(password))


def check_certificates(
    settings: Settings, folder: Path, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Tell who vouches for the servers' certificates."""
    if not settings.ssl_verification:
        yield Finding(
            "Certificates",
            "note",
            "They are not checked: whoever stands between here and Qianfan can read your keys",
            "Remove QIANFAN_SSL_VERIFICATION_ENABLED; REQUESTS_CA_BUNDLE names your network's own.",
        )
        return
    name = next((n for n in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(n)), None)
    if name is None:
        return
    bundle = Path(environ[name])
    is_there = bundle.exists()
    said = f"{name} names {display_path(bundle, folder)}"
    if is_there:
        yield Finding("Certificates", "ok", said)
    else:
        yield Finding("Certificates", "failed", f"{said}, which is not there", f"Mend {name}.")

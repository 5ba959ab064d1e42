"""The doctor: looks at all that a question needs, and says what to do about each failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.catalogue.user_cards import read_file
from qianfan_magic.api.client import QianfanClient
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import no_credentials_error
from qianfan_magic.api.types import BOTH, ApiVersion
from qianfan_magic.doctor.cache import check_cache
from qianfan_magic.doctor.environment import Found, inspect_variables, load_tolerantly
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.doctor.front_end import check_parts, check_python, check_view, installed
from qianfan_magic.doctor.key_formats import check_key_formats
from qianfan_magic.doctor.live import check_live, default_service
from qianfan_magic.doctor.proxy import check_certificates, check_proxy
from qianfan_magic.doctor.servers import check_clock, reach, servers_of
from qianfan_magic.errors import QianfanError

_NAMES = {
    "access_token": "an access token",
    "access_key": "an access key and its secret key",
    "ak": "an API Key and its Secret Key",
    "bearer_token": "an API key of version 2",
}


def examine(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    live: bool = False,
    settings: Settings | None = None,
    is_watched: Callable[[], bool] | None = None,
) -> Iterator[Finding]:
    """Look at everything, one thing after the other.

    Parameters
    ----------
    folder
        The notebook's, where ``.env`` and ``qianfan.toml`` are looked for.
    environ
        Default: ``os.environ``, from which requests takes proxies and certificates in any case.
    live
        Whether a token is fetched and a small real question asked.
    settings
        Of the demo's embedded server; ``.env`` is then not looked at.
    is_watched
        Tells whether a front end is recognised in this kernel; None where there is no kernel.

    Yields
    ------
    Finding
        As soon as it is found. No finding holds a secret.
    """
    environ = os.environ if environ is None else environ
    folder = folder.absolute()
    yield check_python()
    wrong: list[Finding] = []
    if settings is None:
        found, findings = inspect_variables(folder, environ)
        yield from findings
        settings, wrong = load_tolerantly(found, environ)
        yield from wrong
        yield from _check_credentials(found, settings, wrong)
        wrong = wrong if found.is_read else findings
    else:
        yield Finding("Credentials", "ok", "the embedded server's own")
    yield from _check_way(settings, folder)
    yield check_cache(settings, folder)
    yield from _check_asked(settings, folder, live=live, is_sound=not wrong)
    yield from check_parts(installed())
    yield check_view(settings, environ, is_watched)


def _check_credentials(
    found: Found, settings: Settings, wrong: Sequence[Finding]
) -> Iterator[Finding]:
    keys = settings.credentials
    yield from check_key_formats(found.values, settings)
    if keys.versions:
        kinds = [named for name, named in _NAMES.items() if getattr(keys, name)]
        opened = " and ".join(map(str, keys.versions))
        opened = f"version{'s' * (len(keys.versions) > 1)} {opened} of the API"
        yield Finding("Credentials", "ok", f"{' and '.join(kinds)} (***), for {opened}")
    elif not any(finding.subject == "Credentials" for finding in wrong):
        error = no_credentials_error(ApiVersion.V2)
        hint = f"{error.hint} For version 1: QIANFAN_AK and QIANFAN_SK."
        yield Finding("Credentials", "failed", "There are none", hint)


def _check_way(settings: Settings, folder: Path) -> Iterator[Finding]:
    servers = servers_of(settings)
    yield from check_proxy(settings, [server.base_url for server in servers])
    yield from check_certificates(settings, folder)
    reached = []
    for one in reach(settings, servers):
        reached.append(one)
        yield one.finding
    yield from check_clock(reached, signs=bool(settings.credentials.access_key))


def _check_asked(
    settings: Settings, folder: Path, *, live: bool, is_sound: bool
) -> Iterator[Finding]:
    catalogue = Catalogue()
    try:
        catalogue = Catalogue(read_file(folder))
    except QianfanError as error:
        yield Finding.of("Cards", error)
    with closing(QianfanClient(settings, catalogue=catalogue)) as client:
        for kind, what in zip(BOTH, ("Chat", "Completion"), strict=True):
            service = default_service(client, kind)
            if isinstance(service, Service):
                said = f"a cell without -e and -m asks {service.name}, version {service.version}"
                yield Finding(what, "ok", said)
            else:
                yield Finding.of(what, service, "note")
    if not live:
        said = "The keys were not tried: no question was asked"
        yield Finding("Live", "note", said, "doctor --live asks a small one, which may cost a bit.")
    elif is_sound and settings.credentials.versions:
        yield from check_live(settings, catalogue)
    else:
        todo = "First mend what failed above."
        yield Finding("Live", "failed", "No question could be asked with these settings", todo)


def raise_failed(findings: Sequence[Finding]) -> None:
    """Raise a `QianfanError` if anything failed."""
    failed = [finding for finding in findings if finding.state == "failed"]
    if failed:
        checks = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        names = ", ".join(dict.fromkeys(finding.subject for finding in failed))
        hint = "What to do stands in the table."
        raise QianfanError(f"{checks} failed: {names}", hint=hint)

"""Run every check of the doctor, from Python's version to the front end."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.catalogue.user_cards import read_file
from qianfan_magic.api.client import QianfanClient, exposed_message
from qianfan_magic.api.config.credentials import KEYLESS, needed_variables
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import no_credentials_error
from qianfan_magic.api.types import BOTH, ApiVersion
from qianfan_magic.doctor.cache import check_cache
from qianfan_magic.doctor.clock import check_clock
from qianfan_magic.doctor.environment import FoundVariables, inspect_variables, load_tolerantly
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.doctor.front_end import (
    check_packages,
    check_python,
    check_view,
    installed_versions,
)
from qianfan_magic.doctor.key_formats import check_key_formats
from qianfan_magic.doctor.live import check_live, default_service
from qianfan_magic.doctor.proxy import check_certificates, check_proxy
from qianfan_magic.doctor.servers import probe_servers, servers_of
from qianfan_magic.errors import QianfanError

__all__ = ["examine", "raise_failed"]


def examine(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    live: bool = False,
    settings: Settings | None = None,
    is_watched: Callable[[], bool] | None = None,
) -> Iterator[Finding]:
    """Run every check, one after the other.

    Parameters
    ----------
    folder
        The notebook's folder, for ``.env`` and ``qianfan.toml``.
    environ
        Environment variables, default ``os.environ``. Proxies and certificates come from
        ``os.environ`` in any case, because requests reads them there.
    live
        Whether to request a token and send a small real question.
    settings
        Settings of the demo's embedded server; the variables are then not checked.
    is_watched
        Returns whether this kernel has a front end; None outside a kernel.

    Yields
    ------
    Finding
        Each as soon as its check is done. No finding contains a secret.

    Examples
    --------
    >>> next(examine(Path(), {})).subject
    'Python'
    """
    environ = os.environ if environ is None else environ
    folder = folder.absolute()
    yield check_python()
    settings_ok = True
    if settings is None:
        settings, settings_ok, findings = _check_settings(folder, environ)
        yield from findings
    else:
        yield Finding("Credentials", "ok", "the embedded server's own")
    yield from _check_network(settings, folder)
    yield check_cache(settings, folder)
    yield from _check_services(settings, folder, live=live, settings_ok=settings_ok)
    yield from check_packages(installed_versions())
    yield check_view(settings, environ, is_watched)


def _check_settings(
    folder: Path, environ: Mapping[str, str]
) -> tuple[Settings, bool, list[Finding]]:
    """Return the settings, whether all of them could be read, and the findings about them."""
    found, findings = inspect_variables(folder, environ)
    settings, problems = load_tolerantly(found)
    findings += [*problems, *_check_credentials(found, settings, problems)]
    return settings, found.is_read and not problems, findings


def _check_credentials(
    found: FoundVariables, settings: Settings, problems: Sequence[Finding]
) -> Iterator[Finding]:
    yield from check_key_formats(found.values, settings)
    credentials = settings.credentials
    if settings.method(ApiVersion.V2) == KEYLESS:
        message = f"none for version 2: {settings.url(ApiVersion.V2)} is on this computer"
        yield Finding("Credentials", "ok", message)
        if not credentials.versions:
            return
    if credentials.versions:
        # Version 1 first, as in the list of versions.
        methods = sorted(credentials.methods, key=lambda method: method.versions[0])
        described = " and ".join(method.description for method in methods)
        plural = "s" if len(credentials.versions) > 1 else ""
        versions = " and ".join(map(str, credentials.versions))
        message = f"{described} (***), for version{plural} {versions} of the API"
        yield Finding("Credentials", "ok", message)
    elif not any(problem.subject == "Credentials" for problem in problems):
        hint = no_credentials_error(ApiVersion.V2).hint
        hint += f" For version 1: {needed_variables(ApiVersion.V1)}."
        yield Finding("Credentials", "failed", "There are none", hint)


def _check_network(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Check proxy and certificates, then the servers to which they lead, and the clock."""
    servers = servers_of(settings)
    yield from check_proxy(settings, [server.base_url for server in servers])
    yield from check_certificates(settings, folder)
    results = []
    for result in probe_servers(settings, servers):
        results.append(result)
        yield result.finding
    for url in settings.exposed_urls:
        message, hint = exposed_message(url).split("; ")
        yield Finding("Credentials", "note", message, hint.capitalize())
    yield from check_clock(results, signs=bool(settings.credentials.access_key))


def _check_services(
    settings: Settings, folder: Path, *, live: bool, settings_ok: bool
) -> Iterator[Finding]:
    """Check the model cards, the services of cells without flags, and ``--live``."""
    catalogue = Catalogue()
    try:
        catalogue = Catalogue(read_file(folder))
    except QianfanError as error:
        yield Finding.of("Cards", error)
    with warnings.catch_warnings():  # their subjects have findings of their own
        warnings.simplefilter("ignore")
        client = QianfanClient(settings, catalogue=catalogue)
    with closing(client):
        for kind, subject in zip(BOTH, ("Chat", "Completion"), strict=True):
            service = default_service(client, kind)
            if isinstance(service, Service):
                message = f"a cell without -e and -m asks {service.name}, version {service.version}"
                yield Finding(subject, "ok", message)
            else:
                yield Finding.of(subject, service, "note")
    if not live:
        message = "The keys were not tried: no question was asked"
        hint = "doctor --live asks a small one, which may cost a little."
        yield Finding("Live", "note", message, hint)
    elif settings_ok and settings.versions:
        yield from check_live(settings, catalogue)
    else:
        message = "No question could be asked with these settings"
        yield Finding("Live", "failed", message, "First correct what failed above.")


def raise_failed(findings: Sequence[Finding]) -> None:
    """Raise a `QianfanError` that names the checks that failed, if any did."""
    failed = [finding for finding in findings if finding.state == "failed"]
    if failed:
        checks = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
        names = ", ".join(dict.fromkeys(finding.subject for finding in failed))
        raise QianfanError(f"{checks} failed: {names}", hint="The table says what to do.")

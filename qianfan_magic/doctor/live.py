"""``--live``: a token is fetched and a small real question asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.client import QianfanClient
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import ParameterError, QianfanError

QUESTION = "hi"
PROMPT = "def hello():"
#: Tokens that version 2 may answer with; version 1's older models know no such limit.
FEW = 16
#: Seconds of silence in the place of "for ever".
PATIENCE = 60.0
#: Stands for a service where only the way to it is tried.
_NOBODY: dict[ApiVersion, dict[str, str]] = {
    ApiVersion.V1: {"endpoint": "doctor"},
    ApiVersion.V2: {"model": "ernie-5.1"},
}


def check_live(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    """Fetch tokens afresh, list version 2's models, and ask one question of each version."""
    patience = settings.retry_timeout or PATIENCE
    settings = replace(settings, disable_cache=True, retry_count=1, retry_timeout=patience)
    with QianfanClient(settings, catalogue=catalogue) as client:
        for version in settings.credentials.versions:
            yield from _check_version(client, version)


def _check_version(client: QianfanClient, version: ApiVersion) -> Iterator[Finding]:
    try:
        yield from _check_token(client, version)
        listed = None
        if version == ApiVersion.V2:
            listed = client.models(fresh=True)
            shown = ", ".join(listed[:3]) + (", \u2026" if len(listed) > 3 else "")  # noqa: PLR2004
            yield Finding("Models", "ok", f"version 2 lists {len(listed)}: {shown or 'none'}")
        yield _ask(client, version, listed or [])
    except QianfanError as error:
        yield Finding.of(f"Live, version {version}", error)


def _check_token(client: QianfanClient, version: ApiVersion) -> Iterator[Finding]:
    """Fetch a token, if this version takes one that is fetched."""
    keys = client.settings.credentials
    fetches = bool(
        keys.ak if version == ApiVersion.V1 else keys.access_key and not keys.bearer_token
    )
    if fetches:
        request = client.prepare("chat", [{"role": "user", "content": QUESTION}], _NOBODY[version])
        with closing(Connection(client.settings)) as connection:
            connection.prepare(request)
        yield Finding("Token", "ok", f"version {version} gives one for these keys")


def _ask(client: QianfanClient, version: ApiVersion, listed: list[str]) -> Finding:
    chosen = _choose(client, version, listed)
    if chosen is None:
        said = f"Nothing was asked of version {version}: no service of it is named"
        todo = "Set QIANFAN_CHAT_ENDPOINT, or QIANFAN_MODEL, to ask something."
        return Finding("Question", "note", said, todo)
    kind, named = chosen
    few: dict[str, Any] = {} if version == ApiVersion.V1 else {"max_tokens": FEW}
    begun = time.perf_counter()
    if kind == "chat":
        reply = client.chat([{"role": "user", "content": QUESTION}], **named, **few)
    else:
        reply = client.complete(PROMPT, **named, **few)
    took = time.perf_counter() - begun
    name = client.service(kind, named).name
    used = f"; {reply.usage.total_tokens} tokens" if reply.usage else ""
    return Finding("Question", "ok", f"{name} (version {version}) answered in {took:.2f} s{used}")


def _choose(
    client: QianfanClient, version: ApiVersion, listed: list[str]
) -> tuple[Kind, dict[str, Any]] | None:
    """Choose whom to ask: what a cell without flags does, or a model that is listed."""
    for kind in BOTH:
        service = default_service(client, kind)
        if isinstance(service, Service) and service.version == version:
            return kind, {}
    carded = [card.model or card.name for card in client.catalogue.cards if card.version == version]
    # What has no card may draw pictures; a name that is asked by no cell is none to try.
    for name in sorted(listed, key=lambda name: name not in carded):
        try:
            client.service("chat", {"model": name})
        except ParameterError:
            continue
        return "chat", {"model": name}
    return None


def default_service(client: QianfanClient, kind: Kind) -> Service | QianfanError:
    """Return what a cell without ``-e`` and ``-m`` asks, or why it asks nothing."""
    try:
        return client.service(kind, {})
    except QianfanError as error:
        return error

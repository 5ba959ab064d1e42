"""Check the keys with real requests (``--live``): tokens, the list of models, one question."""

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
from qianfan_magic.api.types import BOTH, ApiVersion, Kind, Message
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import ParameterError, QianfanError

__all__ = ["check_live", "default_service"]

MESSAGES: list[Message] = [{"role": "user", "content": "hi"}]
PROMPT = "def hello():"
#: Largest number of tokens of version 2's answer; version 1's older models accept no such limit.
MAX_TOKENS = 16
#: Seconds without a byte to wait where the settings say to wait for ever.
PATIENCE = 60.0
#: Most models that the finding names.
SHOWN_MODELS = 3
#: The authentication method of each version that needs a token from a server, by its first field.
_TOKEN_METHODS = {ApiVersion.V1: "ak", ApiVersion.V2: "access_key"}
#: Any service of each version: a token is requested for it, but no question is sent to it.
_ANY_SERVICE: dict[ApiVersion, dict[str, str]] = {
    ApiVersion.V1: {"endpoint": "doctor"},
    ApiVersion.V2: {"model": "ernie-5.1"},
}


def check_live(settings: Settings, catalogue: Catalogue) -> Iterator[Finding]:
    """Request new tokens and version 2's models, and send one question to each version.

    Parameters
    ----------
    settings
        Settings with credentials. Nothing is read from the cache, and nothing is sent twice.
    catalogue
        The model cards.
    """
    timeout = settings.retry_timeout or PATIENCE
    settings = replace(settings, disable_cache=True, retry_count=1, retry_timeout=timeout)
    with QianfanClient(settings, catalogue=catalogue) as client:
        for version in settings.versions:
            yield from _check_version(client, version)


def _check_version(client: QianfanClient, version: ApiVersion) -> Iterator[Finding]:
    try:
        yield from _check_token(client, version)
        listed: list[str] = []
        if version == ApiVersion.V2:
            listed = client.models(fresh=True)
            more = ["…"] if len(listed) > SHOWN_MODELS else []
            shown = ", ".join(listed[:SHOWN_MODELS] + more) or "none"
            yield Finding("Models", "ok", f"version 2 lists {len(listed)}: {shown}")
        yield _check_question(client, version, listed)
    except QianfanError as error:
        yield Finding.of(f"Live, version {version}", error)


def _check_token(client: QianfanClient, version: ApiVersion) -> Iterator[Finding]:
    """Request a token, if the credentials for this version need one."""
    if client.settings.credentials.way(version) != _TOKEN_METHODS[version]:
        return
    request = client.prepare("chat", MESSAGES, _ANY_SERVICE[version])
    with closing(Connection(client.settings)) as connection:
        connection.prepare(request)
    yield Finding("Token", "ok", f"version {version} issues one for these keys")


def _check_question(client: QianfanClient, version: ApiVersion, listed: list[str]) -> Finding:
    chosen = _choose_service(client, version, listed)
    if chosen is None:
        message = f"Version {version} was not asked: no service is chosen for it"
        hint = "Set QIANFAN_CHAT_ENDPOINT, or QIANFAN_MODEL, to ask something."
        return Finding("Question", "note", message, hint)
    kind, options = chosen
    name = client.service(kind, options).name
    if version == ApiVersion.V2:
        options = {**options, "max_tokens": MAX_TOKENS}
    started = time.perf_counter()
    if kind == "chat":
        reply = client.chat(MESSAGES, **options)
    else:
        reply = client.complete(PROMPT, **options)
    elapsed = time.perf_counter() - started
    used = f"; {reply.usage.total_tokens} tokens" if reply.usage else ""
    message = f"{name} (version {version}) answered in {elapsed:.2f} s{used}"
    return Finding("Question", "ok", message)


def _choose_service(
    client: QianfanClient, version: ApiVersion, listed: list[str]
) -> tuple[Kind, dict[str, Any]] | None:
    """Choose the service of a cell without flags, or else a model that version 2 lists."""
    for kind in BOTH:
        service = default_service(client, kind)
        if isinstance(service, Service) and service.version == version:
            return kind, {}
    cards = [card.model or card.name for card in client.catalogue.cards if card.version == version]
    # Models with a card first: a model without one may generate images.
    for name in sorted(listed, key=lambda name: name not in cards):
        try:
            client.service("chat", {"model": name})
        except ParameterError:  # no chat model by its card, or no valid name
            continue
        return "chat", {"model": name}
    return None


def default_service(client: QianfanClient, kind: Kind) -> Service | QianfanError:
    """Return the service of a cell without ``-e`` and ``-m``, or the error of such a cell."""
    try:
        return client.service(kind, {})
    except QianfanError as error:
        return error

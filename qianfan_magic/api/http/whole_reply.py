"""Send a request and wait for the whole reply, from here or from another process."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.call import Call
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.exchange import Request
from qianfan_magic.api.types import ApiVersion, Reply
from qianfan_magic.api.wire import reply_builder
from qianfan_magic.errors import QianfanError, TokenExpiredError, TransportError
from qianfan_magic.language import tr
from qianfan_magic.masking import mask

__all__ = ["Sent", "send", "send_elsewhere"]


class Sent(NamedTuple):
    """The reply to a request, the headers of the response, and the seconds that it took."""

    reply: Reply
    headers: dict[str, str]
    seconds: float


def send(call: Call) -> Sent:
    """Send a request; raises as `Call.chunks` does."""
    begun = time.monotonic()
    builder = reply_builder(call.exchange.request.version)
    with closing(call.chunks()) as chunks:
        for chunk in chunks:
            builder.add(chunk)
    return Sent(builder.build(), dict(call.exchange.headers), time.monotonic() - begun)


def send_elsewhere(executor: Executor, connection: Connection, call: Call) -> Sent:
    """Have an executor send a request.

    It gets the token, not the keys that the token was fetched with; a token that the service
    refuses is replaced once. Only keys that sign each request go along.

    Parameters
    ----------
    executor
        Runs a function, in another process or on another computer.
    connection
        Has the token.
    call
        The request, which this process does not send.

    Raises
    ------
    TransportError
        If the executor fails, such as when a worker has died.
    QianfanError
        As `Call.chunks` does.
    """
    request = call.exchange.request
    tokens = connection.auth(request.version).tokens
    token = tokens.get() if tokens else ""
    try:
        return _submit(executor, call, token)
    except TokenExpiredError:
        if tokens is None or not tokens.renew(token):
            raise
    return _submit(executor, call, tokens.get())


def _submit(executor: Executor, call: Call, token: str) -> Sent:
    request = call.exchange.request
    settings = _with_token(call.settings, request.version, token)
    try:
        return executor.submit(_send_request, settings, request).result()
    except QianfanError:
        raise
    except Exception as error:  # noqa: BLE001  each executor has errors of its own
        why = mask(f"{type(error).__name__}: {error}")
        raise TransportError(
            tr("The executor has not sent the request: {why}", why=why),
            hint=tr("See whether its workers are running and have this package."),
        ) from None


def _with_token(settings: Settings, version: ApiVersion, token: str) -> Settings:
    """Return settings with a token in the place of all keys, if there is a token."""
    if not token:
        return settings
    name = "access_token" if version == ApiVersion.V1 else "bearer_token"
    return replace(settings, credentials=Credentials(**{name: token}), disable_cache=True)


def _send_request(settings: Settings, request: Request) -> Sent:
    """Send a request in the other process."""
    call = Call(_connection_of(settings), request, settings)
    call.is_paced = True
    return send(call)


@lru_cache(maxsize=8)
def _connection_of(settings: Settings) -> Connection:
    """Return the connection of this process; there is one, whichever requests it sends."""
    return Connection(settings)

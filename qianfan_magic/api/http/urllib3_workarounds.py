"""What requests cannot do: reuse the connection of an open response early, abort it, close all.

requests has no public interface for these, so they reach through it into urllib3 and
http.client. Seen with requests 2.34, urllib3 2.8 and Python 3.11.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from qianfan_magic.errors import QianfanError

__all__ = ["abort_response", "close_connections", "release_connection", "socket_of"]

#: Seconds to wait for the end of a response whose content is complete.
_END_TIMEOUT = 0.2


def release_connection(response: requests.Response, payloads: Iterator[Any]) -> None:
    """Read the end of a complete response, so that its connection can be used again.

    urllib3 returns a connection to its pool only once the body has been read to its end, and
    that end (the last chunk of size 0) may come a little after the last event. A connection that
    is not reused costs the next request a handshake; waiting for it costs this one, so the wait
    is short.
    """
    sock = getattr(response.raw.connection, "sock", None)
    if sock is None:  # already released, or closed after this response
        return
    timeout = sock.gettimeout()
    sock.settimeout(_END_TIMEOUT)
    with suppress(QianfanError):
        next(payloads, None)
    with suppress(OSError):  # closed meanwhile
        sock.settimeout(timeout)


def close_connections(session: requests.Session) -> None:
    """Close the connections that wait for the next request.

    ``session.close()`` forgets them, and urllib3 2 closes them only once nothing refers to their
    pool. A response does, for as long as it is kept.
    """
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                for key in manager.pools.keys():  # noqa: SIM118  it is no dict
                    if pool := manager.pools.get(key):
                        pool.close()


def socket_of(response: requests.Response) -> socket.socket | None:
    """Return the socket that a response is read from; None once it is read or closed."""
    sock = getattr(getattr(response.raw, "connection", None), "sock", None)
    if sock is None:
        # With "Connection: close", only the response's file still has it.
        file = getattr(getattr(response.raw, "_fp", None), "fp", None)
        sock = getattr(getattr(file, "raw", None), "_sock", None)
    return sock if hasattr(sock, "settimeout") else None


def abort_response(response: requests.Response) -> None:
    """End the connection of a response while another thread waits for its next bytes.

    ``response.close()`` from another thread does not wake up a reader that is blocked in
    ``recv``; shutting the socket down does.
    """
    # With "Connection: close", http.client detaches the socket from its connection, and only the
    # response's file still knows the descriptor. The copy makes sure that closing it here does
    # not close a descriptor that the other thread still uses.
    with (
        suppress(OSError, ValueError, AttributeError),  # the server closed it first
        socket.socket(fileno=os.dup(response.raw.fileno())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)

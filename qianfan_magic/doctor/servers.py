"""Whether the servers are reached, and whether this computer's clock agrees with theirs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.http_errors import ADDRESS, content_type
from qianfan_magic.api.http.session import CONNECT_TIMEOUT
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import TransportError

#: Seconds by which this computer's clock may differ without a word.
GOOD_CLOCK = 60


@dataclass(frozen=True, slots=True)
class Server:
    """One that the credentials lead to.

    Attributes
    ----------
    variable
        That sets its address.
    base_url
        Of it.
    path
        Asked without credentials, to see who answers.
    """

    variable: str
    base_url: str
    path: str


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of asking a server.

    Attributes
    ----------
    server
        That was asked.
    finding
        What it came to.
    ahead
        Seconds by which this computer's clock is ahead of the server's; None if it told no time.
    """

    server: Server
    finding: Finding
    ahead: float | None = None


def servers_of(settings: Settings) -> list[Server]:
    """List the servers that the credentials lead to; without any, those of both versions."""
    keys = settings.credentials
    versions = keys.versions or tuple(ApiVersion)
    found = []
    if ApiVersion.V1 in versions:
        found.append(Server("QIANFAN_BASE_URL", settings.base_url, v1.PREFIX))
    if ApiVersion.V2 in versions:
        address = settings.console_api_base_url
        found.append(Server("QIANFAN_CONSOLE_API_BASE_URL", address, v2.MODELS_PATH))
    if keys.access_key and not keys.bearer_token:
        found.append(Server("QIANFAN_IAM_BASE_URL", settings.iam_base_url, v2.TOKEN_PATH))
    return found


def reach(settings: Settings, servers: Sequence[Server]) -> Iterator[Reached]:
    """Ask each server for something, all at once; each has ten seconds to answer."""
    settings = replace(settings, retry_timeout=CONNECT_TIMEOUT)
    for future in [_begin(settings, server) for server in servers]:
        yield future.result()


def _begin(settings: Settings, server: Server) -> Future[Reached]:
    """Ask in a thread that Python does not wait for at its end, as it does for an executor's."""
    future: Future[Reached] = Future()

    def run() -> None:
        try:
            future.set_result(_reach(settings, server))
        except BaseException as error:  # noqa: BLE001  raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="qianfan-doctor", daemon=True).start()
    return future


def _reach(settings: Settings, server: Server) -> Reached:
    begun, clock = time.perf_counter(), time.time()
    try:
        with closing(Connection(settings)) as connection:
            response = connection.probe(server.base_url + server.path)
    except TransportError as error:
        return Reached(server, _lost(server, error))
    took = time.perf_counter() - begun
    status = response.status_code
    said = f"{server.base_url} answers (HTTP {status} without keys) after {took:.2f} s"
    finding = Finding("Server", "ok", said)
    if content_type(response) == "text/html":
        said = f"{server.base_url} answers with a page of HTML (HTTP {status}), as Qianfan does not"
        todo = f"Is {server.variable} right, or does a proxy or a login page answer in its place?"
        finding = Finding("Server", "note", said, todo)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        said = f"A proxy asks for a user name and a password before {server.base_url}"
        finding = Finding(
            "Server",
            "failed",
            said,
            "Put user name and password before the proxy's host in QIANFAN_PROXY.",
        )
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and finding.state == "ok":
        finding = Finding("Server", "note", said, "The server has trouble: try again in a while.")
    theirs = _read_date(response.headers.get("Date", ""))
    # The date is cut to the second, so half of one is added.
    ahead = None if theirs is None else clock + took / 2 - (theirs + 0.5)
    return Reached(server, finding, ahead)


def _read_date(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why a server is not reached, as the words of the network tell it."""

    pattern: str
    meaning: str
    todo: str


_BUNDLE = "Set REQUESTS_CA_BUNDLE to your network's certificate file."
_REASONS = (
    _Reason(
        r"NameResolutionError|getaddrinfo|Failed to resolve",
        "the name of its host is not known",
        "Check {variable} and the network; where only a proxy leads out, set QIANFAN_PROXY.",
    ),
    _Reason(
        r"refused",
        "nothing listens at that port",
        "Check {variable}; if it is a server of your own, start it.",
    ),
    _Reason(
        r"has expired|not yet valid",
        "its certificate is not valid now",
        "Check this computer's clock; if it is right, the server needs a new certificate.",
    ),
    _Reason(
        r"mismatch|doesn't match|not valid for",
        "its certificate is for another host",
        "Check {variable}; a login page of the network may answer in its place.",
    ),
    _Reason(
        r"self.signed|unable to get (local )?issuer",
        "nobody whom this computer trusts has signed its certificate",
        f"{_BUNDLE} Only if you know why: QIANFAN_SSL_VERIFICATION_ENABLED=false.",
    ),
    _Reason(
        r"WRONG_VERSION_NUMBER|wrong version number|UNEXPECTED_EOF|record layer",
        "it does not speak TLS",
        "Does {variable} want http:// in the place of https://?",
    ),
    _Reason(
        r"[Tt]ime.?out|timed out",
        f"it gave no answer within {CONNECT_TIMEOUT:.0f} s",
        "Check the network; where only a proxy leads out, set QIANFAN_PROXY.",
    ),
)


def _lost(server: Server, error: TransportError) -> Finding:
    words = str(error.__cause__ or "")
    reason = next((one for one in _REASONS if re.search(one.pattern, words)), None)
    if reason and "proxy" not in error.message:
        said, todo = reason.meaning, reason.todo.format(variable=server.variable)
    else:
        said, todo = error.message, error.hint.replace(ADDRESS, server.variable)
    return Finding("Server", "failed", f"{server.base_url}: {said}", todo)


def check_clock(reached: Sequence[Reached], *, signs: bool) -> Iterator[Finding]:
    """Compare this computer's clock with the servers', by the one that differs most.

    Parameters
    ----------
    reached
        The servers that were asked.
    signs
        Whether requests are signed, which needs a right clock.
    """
    telling = [(one.ahead, one.server) for one in reached if one.ahead is not None]
    if not telling:
        return
    ahead, server = max(telling, key=lambda one: abs(one[0]))
    host = urlsplit(server.base_url).hostname
    if abs(ahead) <= GOOD_CLOCK:
        seconds = "1 second" if abs(ahead) <= 1 else f"{abs(ahead):.0f} seconds"
        yield Finding("Clock", "ok", f"as {host} has it, within {seconds}")
        return
    side = "ahead of" if ahead > 0 else "behind"
    said = f"This computer's clock is {_duration(abs(ahead))} {side} that of {host}"
    fails = signs and abs(ahead) > SIGNATURE_SECONDS
    said += "; a signature is valid for 300 s" if fails else ""
    todo = "Set the clock, or have it set from the network: timedatectl set-ntp true on Linux."
    yield Finding("Clock", "failed" if fails else "note", said, todo)


def _duration(seconds: float) -> str:
    if seconds < 7200:  # noqa: PLR2004  two hours
        return f"{seconds:,.0f} s"
    hours = seconds / 3600
    return f"{hours:,.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days"  # noqa: PLR2004

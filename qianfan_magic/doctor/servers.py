"""Check whether the servers can be reached, and explain why one cannot."""

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

import requests

from qianfan_magic.api.config.addresses import is_bare
from qianfan_magic.api.config.settings import VARIABLE_OF, Settings
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.http_errors import ADDRESS, content_type
from qianfan_magic.api.http.session import CONNECT_TIMEOUT
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import TransportError

__all__ = ["ProbeResult", "Server", "probe_servers", "servers_of"]


@dataclass(frozen=True, slots=True)
class Server:
    """A server to which the settings lead.

    Attributes
    ----------
    variable
        The environment variable that sets its address.
    base_url
        Its address.
    path
        Path that is requested without credentials; even a refusal shows that the server answers.
    """

    variable: str
    base_url: str
    path: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one request to a server.

    Attributes
    ----------
    server
        The server.
    finding
        Whether it answered, and how.
    clock_offset
        Seconds by which this computer's clock is ahead of the server's; None if the response
        has no valid ``Date``.
    """

    server: Server
    finding: Finding
    clock_offset: float | None = None


def servers_of(settings: Settings) -> list[Server]:
    """List the servers that the credentials are for; without any, those of both versions."""
    credentials = settings.credentials
    versions = settings.versions or tuple(ApiVersion)
    probed = []
    if ApiVersion.V1 in versions:
        probed.append(("base_url", v1.PREFIX))
    if ApiVersion.V2 in versions:
        probed.append(("console_api_base_url", v2.MODELS_PATH))
    if credentials.way(ApiVersion.V2) == "access_key":
        probed.append(("iam_base_url", v2.TOKEN_PATH))
    return [Server(VARIABLE_OF[name], getattr(settings, name), path) for name, path in probed]


def probe_servers(settings: Settings, servers: Sequence[Server]) -> Iterator[ProbeResult]:
    """Send one request to each server, to all at the same time.

    Parameters
    ----------
    settings
        Proxy and certificates.
    servers
        The servers; each has `CONNECT_TIMEOUT` seconds to answer.
    """
    settings = replace(settings, retry_timeout=CONNECT_TIMEOUT)
    for future in [_start_probe(settings, server) for server in servers]:
        yield future.result()


def _start_probe(settings: Settings, server: Server) -> Future[ProbeResult]:
    # Not an executor: Python waits for its threads at exit, so that Ctrl-C would hang until each
    # server has answered. A daemon thread is abandoned.
    future: Future[ProbeResult] = Future()

    def run() -> None:
        try:
            future.set_result(_probe(settings, server))
        except BaseException as error:  # noqa: BLE001  raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="qianfan-doctor", daemon=True).start()
    return future


def _probe(settings: Settings, server: Server) -> ProbeResult:
    started, clock = time.perf_counter(), time.time()
    with closing(Connection(settings)) as connection:
        try:
            response = connection.probe(server.base_url + server.path)
        except TransportError as error:
            return ProbeResult(server, _describe_failure(server, error))
        elapsed = time.perf_counter() - started
        finding = _describe_response(server, response, elapsed)
        if response.status_code == HTTPStatus.NOT_FOUND and server.path == v2.MODELS_PATH:
            finding = _describe_missing_root(server, connection)
    date = _read_date(response.headers.get("Date", ""))
    # The server wrote the date half-way through, and cut it to whole seconds (RFC 9110, section
    # 5.6.7), on average by half a second.
    offset = None if date is None else clock + elapsed / 2 - (date + 0.5)
    return ProbeResult(server, finding, offset)


def _describe_missing_root(server: Server, connection: Connection) -> Finding:
    """Say that the address is not the root of version 2, and which one is, if /v1 answers."""
    message = f"{server.base_url}{server.path} is not there (HTTP 404)"
    host = server.base_url.removesuffix("/v2")  # appended by this package, or by the user
    if is_bare(host):
        root = host + "/v1"
        try:
            response = connection.probe(root + server.path)
        except TransportError:
            response = None
        if response is not None and response.status_code != HTTPStatus.NOT_FOUND:
            hint = f"{root}{server.path} answers: write {server.variable}={root}"
            return Finding("Server", "failed", message, hint)
    hint = f"Is {server.variable} the root of the API, such as http://localhost:8000/v1?"
    return Finding("Server", "note", message, hint)


def _describe_response(server: Server, response: requests.Response, elapsed: float) -> Finding:
    status, url = response.status_code, server.base_url
    if content_type(response) == "text/html":
        message = f"{url} answers with an HTML page (HTTP {status}), which Qianfan never does"
        hint = f"Is {server.variable} right, or does a proxy or a login page answer instead?"
        return Finding("Server", "note", message, hint)
    message = f"{url} answers (HTTP {status} without keys) after {elapsed:.2f} s"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        hint = "The server has a problem of its own: try again later."
        return Finding("Server", "note", message, hint)
    return Finding("Server", "ok", message)


def _read_date(date: str) -> float | None:
    """Return the time of an HTTP date in seconds since 1970; None if it is malformed."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class _Failure:
    """A reason why a server cannot be reached.

    Attributes
    ----------
    pattern
        Regular expression that the messages of urllib3, OpenSSL and the operating system match.
    message, hint
        Texts of the finding; ``{variable}`` in the hint is replaced.
    """

    pattern: str
    message: str
    hint: str


_FAILURES = (
    _Failure(
        r"NameResolutionError|getaddrinfo|Failed to resolve",
        "its host name cannot be resolved",
        "Check {variable} and the network; where only a proxy leads out, set QIANFAN_PROXY.",
    ),
    _Failure(
        r"refused",
        "nothing listens on that port",
        "Check {variable}; if it is a server of your own, start it.",
    ),
    _Failure(
        r"has expired|not yet valid",
        "its certificate is not valid now",
        "Check this computer's clock; if it is right, the server needs a new certificate.",
    ),
    _Failure(
        r"mismatch|doesn't match|not valid for",
        "its certificate is for another host",
        "Check {variable}; a login page of the network may answer instead.",
    ),
    _Failure(
        r"self.signed|unable to get (local )?issuer",
        "its certificate is not signed by an authority that this computer trusts",
        "Set REQUESTS_CA_BUNDLE to your network's certificate file. Only if you know why: "
        "QIANFAN_SSL_VERIFICATION_ENABLED=false.",
    ),
    _Failure(
        r"WRONG_VERSION_NUMBER|wrong version number|UNEXPECTED_EOF|EOF occurred|record layer",
        "it does not speak TLS",
        "Should {variable} begin with http:// instead of https://?",
    ),
    _Failure(
        r"[Tt]ime.?out|timed out",
        f"it gave no answer within {CONNECT_TIMEOUT:.0f} s",
        "Check the network; where only a proxy leads out, set QIANFAN_PROXY.",
    ),
)


def _describe_failure(server: Server, error: TransportError) -> Finding:
    cause = str(error.__cause__ or "")
    known = next((failure for failure in _FAILURES if re.search(failure.pattern, cause)), None)
    # A proxy that is not reached says "refused" too, but that is not the server's address.
    if known and not re.match("ProxyError|InvalidProxyURL|InvalidSchema", cause):
        message, hint = known.message, known.hint.format(variable=server.variable)
    else:
        message, hint = error.message, error.hint.replace(ADDRESS, server.variable)
    return Finding("Server", "failed", f"{server.base_url}: {message}", hint)

"""Sending a request over HTTP, up to the headers of its response.

Everything that requests and urllib3 raise becomes an error of this package here. Their exceptions
contain the whole URL with the token in it, so ours are raised *outside* the ``except`` blocks:
Python would otherwise attach theirs as ``__context__``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from qianfan_magic.api.http.http_errors import ADDRESS, transport_error
from qianfan_magic.errors import QianfanError, TransportError
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import Cause, guard_logs, log

__all__ = ["CONNECT_TIMEOUT", "HttpSession", "prepare", "send"]

# urllib3 logs URLs, which contain the token.
guard_logs("urllib3.connectionpool", "urllib3.connection", "urllib3.poolmanager")
guard_logs("urllib3.response", "urllib3.util.retry")

#: Seconds to wait for a connection at most, where the time-out for silence is longer or none.
CONNECT_TIMEOUT = 10.0
#: What the statuses mean that a server never sends, but a proxy or a network before it (RFC 9110,
#: RFC 6585), and what to do.
_OF_THE_NETWORK: dict[int, tuple[str, str]] = {
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: (
        mark("The proxy wants a user name and a password (HTTP 407)"),
        mark("Put them into its address: QIANFAN_PROXY=http://name:password@host:port."),
    ),
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: (
        mark("The network wants you to log in first (HTTP 511)"),
        mark("Open any page of plain http in a browser; it leads to the login."),
    ),
}


class HttpSession(requests.Session):
    """A session that stores no cookies and prepares no redirects.

    A cookie would be one more secret to mask. Redirects are refused by `send`; requests would
    read a redirect's body first, which may never come.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, so that requests leaves redirects to `send`."""
        del resp


def send(
    session: HttpSession,
    prepared: requests.PreparedRequest,
    timeout: float,
    options: Mapping[str, Any],
) -> requests.Response:
    """Send a prepared request; return as soon as the headers of the response are there.

    Parameters
    ----------
    session
        The session whose open connections are used.
    prepared
        The request, with its authentication.
    timeout
        Seconds without a byte after which to give up; 0: no limit.
    options
        ``proxies`` and ``verify`` where they differ from the environment's.

    Raises
    ------
    TransportError
        If no response comes, or one of a proxy, a redirect, or an interim response other than
        100. Redirects are not followed: keys and messages go only to the address that the user
        set.
    """
    failure: QianfanError
    target, begun = _without_query(prepared.url or ""), time.monotonic()
    log.debug("%s %s", prepared.method, target)
    try:
        merged = session.merge_environment_settings(
            prepared.url,
            dict(options.get("proxies", {})),
            stream=True,
            verify=options.get("verify"),
            cert=None,
        )
        timeouts = (min(timeout or CONNECT_TIMEOUT, CONNECT_TIMEOUT), timeout or None)
        response = session.send(prepared, timeout=timeouts, allow_redirects=False, **merged)
    except (requests.RequestException, HTTPError, ValueError) as error:
        failure = transport_error(error)
    except OSError as error:  # requests itself raises it for a missing CA bundle
        failure = TransportError(
            tr("The file of certificates cannot be read"),
            hint=tr("Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE."),
        )
        failure.__cause__ = Cause.of(error)
    else:
        seconds = time.monotonic() - begun
        log.debug("HTTP %d from %s after %.3f s", response.status_code, target, seconds)
        if not _is_of_another(response):
            return response
        # The connection too: after an interim response it has the answer to this request, which
        # would be taken for that to the next.
        response.close()
        failure = _other_response_error(response)
    raise failure


def _is_of_another(response: requests.Response) -> bool:
    """Tell whether a response is not the answer, but of something on the way to the server."""
    status = response.status_code
    return response.is_redirect or status < HTTPStatus.OK or status in _OF_THE_NETWORK


def _other_response_error(response: requests.Response) -> TransportError:
    if response.status_code in _OF_THE_NETWORK:
        message, hint = _OF_THE_NETWORK[response.status_code]
        return TransportError(tr(message), hint=tr(hint))
    return _redirect_error(response) if response.is_redirect else _interim_error(response)


def _redirect_error(response: requests.Response) -> TransportError:
    return TransportError(
        tr(
            "The server redirects to {host}, which is not followed",
            host=_host(response.headers["Location"]),
        ),
        hint=tr("If you trust that address, set it: {address}.", address=ADDRESS),
    )


def _interim_error(response: requests.Response) -> TransportError:
    """Make the error for a response before the real one (RFC 9110, section 15.2).

    http.client skips 100 (Continue) alone, and takes any other for the answer.
    """
    return TransportError(
        tr(
            "The server sent an interim response (HTTP {status}), which is not supported",
            status=response.status_code,
        ),
        hint=tr("A gateway in front of the service may be set up not to send it."),
    )


def prepare(session: HttpSession, request: requests.Request) -> requests.PreparedRequest:
    """Prepare a request, adding its authentication; it is sent byte for byte as it is returned.

    Raises
    ------
    TransportError
        If its URL is invalid.
    """
    failure: QianfanError
    try:
        return session.prepare_request(request)
    except (requests.RequestException, HTTPError, ValueError) as error:
        failure = transport_error(error)
    raise failure


def _without_query(url: str) -> str:
    """Leave out the query, which contains the access token, and any user name."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _host(location: str) -> str:
    """Return the host of a redirect; the rest of its URL may contain secrets."""
    try:
        return urlsplit(location).netloc.rpartition("@")[2] or tr("another address")
    except ValueError:
        return tr("an invalid address")

"""What goes out over HTTP: a request, until the headers of its answer are there.

Everything that requests and urllib3 raise turns into our errors here. Their exceptions carry the
whole address with the token in it, so ours are raised *outside* the ``except`` blocks: Python
would otherwise hang theirs on as ``__context__``.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from qianfan_magic.api.http.http_errors import ADDRESS, transport_error
from qianfan_magic.errors import QianfanError, TransportError
from qianfan_magic.masking import Cause, guard_logs

# urllib3 writes addresses, which hold the token, into its log.
guard_logs("urllib3.connectionpool", "urllib3.connection", "urllib3.poolmanager")
guard_logs("urllib3.response", "urllib3.util.retry")

#: Seconds to wait for a connection.
CONNECT_TIMEOUT = 10.0


class HttpSession(requests.Session):
    """A session that takes no cookies, and does not look at redirects.

    A cookie would be a secret more; and requests would read the bodies of redirects first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is none; `post` refuses them."""
        del resp


def send(
    session: HttpSession,
    prepared: requests.PreparedRequest,
    timeout: float,
    route: Mapping[str, Any],
) -> requests.Response:
    """Send a request that is ready, and return as soon as the headers of the answer are there.

    Parameters
    ----------
    session
        With the connections that are open.
    prepared
        As it goes out.
    timeout
        Seconds of silence; 0 waits for ever.
    route
        ``proxies`` and ``verify``, where the settings have them.

    Raises
    ------
    TransportError
        If no answer comes, or a redirect, which is not followed: keys and questions go only to
        the address that the user set.
    """
    failure: QianfanError
    try:
        way = session.merge_environment_settings(
            prepared.url,
            dict(route.get("proxies", {})),
            stream=True,
            verify=route.get("verify"),
            cert=None,
        )
        waits = (CONNECT_TIMEOUT, timeout or None)
        response = session.send(prepared, timeout=waits, allow_redirects=False, **way)
    except (requests.RequestException, HTTPError, ValueError) as error:
        failure = transport_error(error)
    except OSError as error:  # of requests itself: the file of certificates is not there
        failure = TransportError(
            "The file of certificates cannot be read",
            hint="Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.",
        )
        failure.__cause__ = Cause.of(error)
    else:
        if not response.is_redirect:
            return response
        response.close()
        failure = TransportError(
            f"The server redirects to {_host(response.headers['Location'])}; that is not followed",
            hint=f"If you trust that address, set it: {ADDRESS}.",
        )
    raise failure


def prepare(session: HttpSession, asked: requests.Request) -> requests.PreparedRequest:
    """Make a request ready: what is in it from here on is what goes out.

    Raises
    ------
    TransportError
        If its address is none.
    """
    failure: QianfanError
    try:
        return session.prepare_request(asked)
    except (requests.RequestException, HTTPError, ValueError) as error:
        failure = transport_error(error)
    raise failure


def _host(location: str) -> str:
    """Name where a redirect goes, without what its address may carry."""
    try:
        return urlsplit(location).netloc.rpartition("@")[2] or "another address"
    except ValueError:
        return "something that is no address"

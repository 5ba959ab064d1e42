"""A way to one server: the session, how it lets us in, proxy and certificates."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from qianfan_magic.auth import AccessTokenAuth, GivenTokenAuth, NoAuth, SignatureAuth
from qianfan_magic.errors import SettingsError, TransportError, token_error
from qianfan_magic.failures import RETRIED_STATUSES
from qianfan_magic.settings import Settings
from qianfan_magic.tokens import (
    LONGEST_LIFE,
    AccessTokenSource,
    TokenFile,
    check_token,
    token_digest,
)
from qianfan_magic.transport import Session, checked, post, read_object
from qianfan_magic.wire import v1

#: Seconds to wait for a connection.
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that is checked and ready to be sent; holds no secret.

    Attributes
    ----------
    url
        Without the access token.
    body
        What goes out as JSON.
    """

    url: str
    body: dict[str, Any]


class Connection:
    """Sends requests to the server of the settings.

    Parameters
    ----------
    settings
        Address, credentials, proxy, certificates and cache.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._session = Session()
        self._auth = self._make_auth()

    def _after_fork(self) -> None:
        """Share neither connections nor locks with the process that this one was forked from."""
        if self._process != os.getpid():
            self._begin()

    def close(self) -> None:
        """Close what is open."""
        self._session.close()

    def send(self, request: Request, timeout: float) -> requests.Response:
        """Send a request; return once the headers of the answer are there.

        Parameters
        ----------
        request
            What to send; the credentials are added here, afresh for each attempt.
        timeout
            Seconds of silence; 0 waits for ever.

        Raises
        ------
        SettingsError
            If there are no credentials.
        TransportError, APIError
            If the request, or the one for its token, fails.
        """
        self._after_fork()
        if self._auth is None:
            raise no_credentials()
        return post(
            self._session,
            request.url,
            json=request.body,
            auth=self._auth,
            # A compressing proxy would hold small pieces back.
            headers={"Accept-Encoding": "identity"},
            timeout=(CONNECT_TIMEOUT, timeout or None),
            **self._route(),
        )

    def describe(self, request: Request) -> str:
        """Write down a request as it goes out, secrets masked; nothing is sent."""
        if self._auth is None:
            raise no_credentials()
        query, header = self._auth.shape
        lines = [f"POST {request.url}{query}", "Content-Type: application/json"]
        lines += [header] if header else []
        return "\n".join([*lines, "", json.dumps(request.body, ensure_ascii=False, indent=2)])

    def renew(self, refused: requests.PreparedRequest) -> bool:
        """Replace the token that a refused request carried; False if there is no other."""
        return self._auth is not None and self._auth.renew(refused)

    @property
    def refused_hint(self) -> str:
        """What to do when the service refuses what cannot be renewed; empty if nothing special."""
        return self._auth.refused_hint if self._auth else ""

    def _make_auth(self) -> NoAuth | None:
        keys = self._settings.credentials
        if keys.access_token:
            return GivenTokenAuth(keys.access_token)
        if keys.access_key and keys.secret_key:
            return SignatureAuth(keys.access_key, keys.secret_key)
        if keys.ak and keys.sk:
            return AccessTokenAuth(AccessTokenSource(self._fetch_token, self._token_file()))
        return None

    def _token_file(self) -> TokenFile | None:
        if self._settings.disable_cache:
            return None
        keys = self._settings.credentials
        digest = token_digest(self._settings.base_url, keys.ak or "", keys.sk or "")
        return TokenFile(self._settings.cache_dir or _user_cache(), digest)

    def _fetch_token(self) -> tuple[str, float]:
        """Ask for an access token (client credentials grant, RFC 6749, section 4.4)."""
        keys = self._settings.credentials
        response = post(
            self._session,
            self._settings.base_url + v1.TOKEN_PATH,
            params={
                "grant_type": "client_credentials",
                "client_id": keys.ak,
                "client_secret": keys.sk,
            },
            auth=NoAuth(),
            timeout=(CONNECT_TIMEOUT, self._settings.retry_timeout or None),
            **self._route(),
        )
        with response:
            return read_token(response)

    def _route(self) -> dict[str, Any]:
        """Proxy and certificates, given with each request: the environment beats a session's."""
        proxy = self._settings.proxy
        route: dict[str, Any] = {} if self._settings.ssl_verification else {"verify": False}
        if proxy is not None:
            route["proxies"] = dict.fromkeys(("http", "https", "all"), proxy or None)
        return route


def no_credentials() -> SettingsError:
    """Say that there are no keys, and what can be done about it."""
    return SettingsError(
        "There are no credentials for version 1 of the API",
        hint="Put QIANFAN_AK and QIANFAN_SK into a file .env beside the notebook "
        "(see .env.example), or try %qianfan demo, which needs no key.",
    )


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("qianfan_magic")


def read_token(response: requests.Response) -> tuple[str, float]:
    """Read the token endpoint's answer (RFC 6749, sections 5.1 and 5.2).

    Returns
    -------
    access_token : str
    expires_in : float
        Seconds.

    Raises
    ------
    AuthError
        If the keys are refused.
    APIError, TransportError
        For any other answer than a token.
    """
    payload = read_object(response)
    if "error" in payload:
        busy = response.status_code in RETRIED_STATUSES
        busy = busy or payload["error"] == "temporarily_unavailable"
        described = str(payload.get("error_description", ""))
        raise token_error(str(payload["error"]), described, retryable=busy)
    checked(payload, response)
    access_token, expires_in = payload.get("access_token"), payload.get("expires_in", "")
    try:
        life = min(max(float(expires_in), 0.0), LONGEST_LIFE)
        return check_token(access_token), life
    except (ValueError, TypeError, OverflowError):
        problem = "The token endpoint answered without a token"
    raise TransportError(problem, hint="Is QIANFAN_BASE_URL the service itself?")

"""The connection to Qianfan's servers: session, authentication, proxy, certificates and caches.

There are up to three servers: one for each version of the API, and IAM, which issues bearer
tokens.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase

from qianfan_magic._version import __version__
from qianfan_magic.api.config.credentials import KEYLESS, needed_variables
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.auth import (
    AccessTokenAuth,
    BearerAuth,
    NoAuth,
    QianfanAuth,
    SignatureAuth,
)
from qianfan_magic.api.http.exchange import Request, http_text, masked
from qianfan_magic.api.http.model_list import ModelList
from qianfan_magic.api.http.private_files import why_refused
from qianfan_magic.api.http.response import raise_for_error, read_object
from qianfan_magic.api.http.session import HttpSession, prepare, send
from qianfan_magic.api.http.token_endpoints import read_bearer, read_token
from qianfan_magic.api.http.tokens import StaticToken, TokenSource
from qianfan_magic.api.http.urllib3_workarounds import close_connections
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.api.wire.encoding import encode_body
from qianfan_magic.errors import SettingsError, TokenExpiredError
from qianfan_magic.language import mark, tr

__all__ = ["Connection", "cache_folder", "no_credentials_error"]

#: Hint for an access token of the settings, which cannot be renewed.
_REFUSED_HINT = mark("Fetch a new access token for QIANFAN_ACCESS_TOKEN, or set {variables}.")


class Connection:
    """Prepares and sends requests as the settings say; one instance serves many threads.

    Parameters
    ----------
    settings
        Addresses, credentials, proxy, certificates and cache.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._session = HttpSession()
        self._session.headers["User-Agent"] = f"qianfan-magic/{__version__}"
        self._auths: dict[ApiVersion, QianfanAuth] = {}
        self._models: ModelList | None = None

    def _reset_after_fork(self) -> None:
        """Start anew in a forked process, which must share neither sockets nor locks."""
        if self._process != os.getpid():
            self._reset()

    def close(self) -> None:
        """Close the open connections."""
        close_connections(self._session)
        self._session.close()

    def prepare(self, request: Request, timeout: float | None = None) -> requests.PreparedRequest:
        """Prepare a request for one attempt; it is authenticated anew each time.

        Parameters
        ----------
        request
            What to send.
        timeout
            Seconds that fetching a token may take; 0: no limit. Default: the settings'.

        Raises
        ------
        SettingsError
            If there are no credentials for its version of the API.
        TransportError, APIError
            If the request for its token fails.
        """
        self._reset_after_fork()
        auth = self.auth(request.version)
        auth.fetch_token(self._settings.retry_timeout if timeout is None else timeout)
        return self._prepare(request, auth)

    def send(self, prepared: requests.PreparedRequest, timeout: float) -> requests.Response:
        """Send a prepared request; return as soon as the headers of the response are there.

        Parameters
        ----------
        prepared
            What `prepare` returned.
        timeout
            Seconds without a byte after which to give up; 0: no limit.

        Raises
        ------
        TransportError
            If no response comes.
        """
        return send(self._session, prepared, timeout, self._transport_options)

    def describe(self, request: Request) -> str:
        """Return the text of the HTTP request with its secrets masked; nothing is sent."""
        return masked(http_text(self._prepare(request, self.auth(request.version).placeholder)))

    def renew(self, version: ApiVersion, refused: requests.PreparedRequest, timeout: float) -> bool:
        """Replace the token that a refused request carried; return False if that is impossible."""
        return self.auth(version).renew(refused, timeout)

    def auth(self, version: ApiVersion) -> QianfanAuth:
        """Return the authentication for a version of the API.

        Raises
        ------
        SettingsError
            If there are no credentials for it.
        """
        if version not in self._auths:
            self._auths[version] = self._auth_v1() if version == ApiVersion.V1 else self._auth_v2()
        return self._auths[version]

    def models(self, *, fresh: bool) -> list[str]:
        """Return the names of the models of API v2.

        Parameters
        ----------
        fresh
            Request the list even if one of the last day is known.

        Raises
        ------
        SettingsError, TransportError, APIError
            If there are no credentials for version 2, or the request fails.
        """
        self._reset_after_fork()
        self.auth(ApiVersion.V2)
        # A server on this computer may have other models at any time, and answers at once.
        fresh = fresh or self._settings.method(ApiVersion.V2) == KEYLESS
        if self._models is None:
            keys = self._settings.credentials
            key = keys.bearer_token or f"{keys.access_key}\0{keys.secret_key}"
            owner = ("models", self._settings.console_api_base_url, key)
            self._models = ModelList(self._fetch_models, self._cache_path("models", *owner))
        return self._models.get(fresh=fresh)

    def probe(self, url: str) -> requests.Response:
        """Request a URL without credentials; only the response's status and headers are read.

        Raises
        ------
        TransportError
            If no response comes, or a redirect.
        """
        with self._request("GET", url, NoAuth()) as response:
            return response

    def _prepare(self, request: Request, auth: AuthBase) -> requests.PreparedRequest:
        # identity: a proxy that compresses a stream holds small pieces back until it has more.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        data = encode_body(request.body).encode()
        unprepared = requests.Request("POST", request.url, data=data, headers=headers, auth=auth)
        return prepare(self._session, unprepared)

    def _request(
        self, method: str, url: str, auth: AuthBase, timeout: float | None = None, **params: Any
    ) -> requests.Response:
        """Send a request without a body; `params` become its query."""
        unprepared = requests.Request(method, url, params=params, auth=auth)
        seconds = self._settings.retry_timeout if timeout is None else timeout
        return self.send(prepare(self._session, unprepared), seconds)

    def _fetch_models(self) -> list[str]:
        """Request the list of models; replace a refused token once."""
        url, auth = self._settings.console_api_base_url + v2.MODELS_PATH, self.auth(ApiVersion.V2)
        with self._request("GET", url, auth) as response:
            try:
                return _read_models(response)
            except TokenExpiredError:
                if not auth.renew(response.request):
                    raise
        with self._request("GET", url, auth) as response:
            return _read_models(response)

    def _auth_v1(self) -> QianfanAuth:
        keys = self._settings.credentials
        if keys.access_token:
            hint = tr(_REFUSED_HINT, variables=needed_variables(ApiVersion.V1))
            return AccessTokenAuth(StaticToken(keys.access_token, hint))
        if keys.access_key and keys.secret_key:
            return SignatureAuth(keys.access_key, keys.secret_key)
        if keys.ak and keys.sk:
            owner = (self._settings.base_url, keys.ak, keys.sk)
            return AccessTokenAuth(self._token_source(self._fetch_token, *owner))
        raise no_credentials_error(ApiVersion.V1)

    def _auth_v2(self) -> QianfanAuth:
        keys, app_id = self._settings.credentials, self._settings.app_id
        if keys.bearer_token:
            return BearerAuth(StaticToken(keys.bearer_token), app_id)
        if self._settings.method(ApiVersion.V2) == KEYLESS:
            return NoAuth()
        if keys.access_key and keys.secret_key:
            # "bearer" keeps them apart from access tokens, should both have the same keys.
            owner = ("bearer", self._settings.iam_base_url, keys.access_key, keys.secret_key)
            return BearerAuth(self._token_source(self._fetch_bearer, *owner), app_id)
        raise no_credentials_error(ApiVersion.V2)

    def _token_source(
        self, fetch: Callable[[float], tuple[str, float]], *owner: str
    ) -> TokenSource:
        path = self._cache_path("token", *owner)
        return TokenSource(fetch, path, timeout=self._settings.retry_timeout)

    def _cache_path(self, kind: str, *owner: str) -> Path | None:
        """Return the path of a cache file; None where there is no cache.

        Its name contains a hash of the server and the keys that it belongs to: nobody else's is
        ever used, and it does not give the keys away.
        """
        folder = self.cache_folder
        return folder / f"{kind}-{_digest(*owner)}.json" if folder else None

    @property
    def cache_folder(self) -> Path | None:
        """The folder of the cache; None where the settings disable it, or it is refused."""
        folder = cache_folder(self._settings)
        return None if self._settings.disable_cache or why_refused(folder) else folder

    def account(self, url: str, service: str) -> str:
        """Return a digest of a service of an account, which does not give its keys away."""
        keys = asdict(self._settings.credentials)
        return _digest(url, service, *(f"{name}={value}" for name, value in keys.items()))

    def _fetch_token(self, timeout: float) -> tuple[str, float]:
        """Request an access token (client credentials grant, RFC 6749, section 4.4)."""
        keys = self._settings.credentials
        grant = {
            "grant_type": "client_credentials",
            "client_id": keys.ak,
            "client_secret": keys.sk,
        }
        url = self._settings.base_url + v1.TOKEN_PATH
        with self._request("POST", url, NoAuth(), timeout, **grant) as response:
            return read_token(response)

    def _fetch_bearer(self, timeout: float) -> tuple[str, float]:
        """Request a bearer token from IAM, which wants a signed request."""
        keys = self._settings.credentials
        auth = SignatureAuth(keys.access_key or "", keys.secret_key or "")
        url = self._settings.iam_base_url + v2.TOKEN_PATH
        lifetime = {"expireInSeconds": v2.BEARER_SECONDS}
        with self._request("GET", url, auth, timeout, **lifetime) as response:
            return read_bearer(response)

    @property
    def _transport_options(self) -> dict[str, Any]:
        """Proxy and certificates for one request.

        They are not set on the session: requests lets the environment take precedence over a
        session's, but not over a request's.
        """
        proxy = self._settings.proxy
        options: dict[str, Any] = {} if self._settings.ssl_verification else {"verify": False}
        if proxy is not None:
            # An empty proxy means none; None overrides the environment's.
            options["proxies"] = dict.fromkeys(("http", "https", "all"), proxy or None)
        return options


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read_models(response: requests.Response) -> list[str]:
    return v2.read_models(raise_for_error(read_object(response), response, v2))


def no_credentials_error(version: ApiVersion) -> SettingsError:
    """Make the error for missing credentials, which names the variables to set."""
    return SettingsError(
        tr("There are no credentials for version {version} of the API", version=version),
        hint=tr(
            "Put into a file .env beside the notebook (see .env.example): "
            "{variables}; or try %qianfan demo, which needs no key.",
            variables=needed_variables(version),
        ),
    )


def cache_folder(settings: Settings) -> Path:
    """Return the folder of the cache: that of the settings, or the operating system's for users."""
    from platformdirs import user_cache_path

    return settings.cache_dir or user_cache_path("qianfan_magic")

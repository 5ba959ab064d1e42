"""A way to one server: the session, how it lets us in, proxy and certificates."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase

from qianfan_magic._version import __version__
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.auth import (
    AccessTokenAuth,
    BearerAuth,
    NoAuth,
    SignatureAuth,
    StaticBearerAuth,
    StaticTokenAuth,
)
from qianfan_magic.api.http.exchange import Request, http_text, masked
from qianfan_magic.api.http.model_list import ModelList
from qianfan_magic.api.http.response import raise_for_error, read_object
from qianfan_magic.api.http.session import HttpSession, prepare, send
from qianfan_magic.api.http.token_endpoints import read_bearer, read_token
from qianfan_magic.api.http.tokens import TokenFile, TokenSource, token_digest
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.api.wire.encoding import encode_body
from qianfan_magic.errors import SettingsError, TokenExpiredError

#: Seconds that a bearer token is asked for; the service allows 300 to 2,592,000.
BEARER_LIFE = 86_400


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
        self._session = HttpSession()
        self._session.headers["User-Agent"] = f"qianfan-magic/{__version__}"
        self._auths: dict[ApiVersion, NoAuth] = {}
        self._models: ModelList | None = None

    def _after_fork(self) -> None:
        """Share neither connections nor locks with the process that this one was forked from."""
        if self._process != os.getpid():
            self._begin()

    def close(self) -> None:
        """Close what is open."""
        self._session.close()

    def prepare(self, request: Request) -> requests.PreparedRequest:
        """Make a request ready to go out; the credentials are added here, afresh each time.

        Raises
        ------
        SettingsError
            If there are no credentials for this version of the API.
        TransportError, APIError
            If the request for its token fails.
        """
        self._after_fork()
        return self._prepared(request, self.auth(request.version))

    def send(self, prepared: requests.PreparedRequest, timeout: float) -> requests.Response:
        """Send a request; return once the headers of the answer are there.

        Parameters
        ----------
        prepared
            What to send.
        timeout
            Seconds of silence; 0 waits for ever.

        Raises
        ------
        TransportError
            If it fails.
        """
        return send(self._session, prepared, timeout, self._transport_options)

    def describe(self, request: Request) -> str:
        """Write down a request as it goes out, secrets masked; nothing is sent."""
        return masked(http_text(self._prepared(request, self.auth(request.version).masked)))

    def renew(self, version: ApiVersion, refused: requests.PreparedRequest) -> bool:
        """Replace the token that a refused request carried; False if there is no other."""
        return self.auth(version).renew(refused)

    def auth(self, version: ApiVersion) -> NoAuth:
        """Return how requests of a version are let in, or raise a `SettingsError`."""
        if version not in self._auths:
            self._auths[version] = self._auth_v1() if version == ApiVersion.V1 else self._auth_v2()
        return self._auths[version]

    def models(self, *, fresh: bool) -> list[str]:
        """Return the names of version 2's models, asked today, or now if that is not fresh enough.

        Raises
        ------
        SettingsError, TransportError, APIError
            If there are no credentials for version 2, or the request fails.
        """
        self._after_fork()
        self.auth(ApiVersion.V2)
        if self._models is None:
            keys = self._settings.credentials
            key = keys.bearer_token or f"{keys.access_key}\0{keys.secret_key}"
            digest = token_digest("models", self._settings.console_api_base_url, key)
            folder = self._cache
            path = folder / f"models-{digest}.json" if folder else None
            self._models = ModelList(self._fetch_models, path)
        return self._models.get(fresh=fresh)

    def _fetch_models(self) -> list[str]:
        url, auth = self._settings.console_api_base_url + v2.MODELS_PATH, self.auth(ApiVersion.V2)
        with self._get(url, auth) as response:
            try:
                return v2.read_models(raise_for_error(read_object(response), response, v2))
            except TokenExpiredError:
                if not auth.renew(response.request):
                    raise
        with self._get(url, auth) as response:
            return v2.read_models(raise_for_error(read_object(response), response, v2))

    def probe(self, url: str) -> requests.Response:
        """Ask for an address without credentials; status and headers tell who answers, and when.

        Raises
        ------
        TransportError
            If nobody does, or with a redirect.
        """
        with self._get(url, NoAuth()) as response:
            return response

    def _prepared(self, request: Request, auth: AuthBase) -> requests.PreparedRequest:
        # A compressing proxy would hold small pieces back.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        data = encode_body(request.body).encode()
        asked = requests.Request("POST", request.url, data=data, headers=headers, auth=auth)
        return prepare(self._session, asked)

    def _get(self, url: str, auth: AuthBase, method: str = "GET", **more: Any) -> requests.Response:
        prepared = prepare(self._session, requests.Request(method, url, auth=auth, **more))
        return send(self._session, prepared, self._settings.retry_timeout, self._transport_options)

    def _auth_v1(self) -> NoAuth:
        keys = self._settings.credentials
        if keys.access_token:
            return StaticTokenAuth(keys.access_token)
        if keys.access_key and keys.secret_key:
            return SignatureAuth(keys.access_key, keys.secret_key)
        if keys.ak and keys.sk:
            named = (self._settings.base_url, keys.ak, keys.sk)
            return AccessTokenAuth(self._source(self._fetch_token, *named))
        raise no_credentials_error(ApiVersion.V1)

    def _auth_v2(self) -> NoAuth:
        keys, app_id = self._settings.credentials, self._settings.app_id
        if keys.bearer_token:
            return StaticBearerAuth(keys.bearer_token, app_id)
        if keys.access_key and keys.secret_key:
            # Named apart from access tokens: the same keys are never used for both.
            named = ("bearer", self._settings.iam_base_url, keys.access_key, keys.secret_key)
            return BearerAuth(self._source(self._fetch_bearer, *named), app_id)
        raise no_credentials_error(ApiVersion.V2)

    def _source(self, fetch: Callable[[], tuple[str, float]], *named: str) -> TokenSource:
        folder = self._cache
        return TokenSource(fetch, TokenFile(folder, token_digest(*named)) if folder else None)

    @property
    def _cache(self) -> Path | None:
        """The folder where tokens and lists are kept; None keeps them in memory."""
        if self._settings.disable_cache:
            return None
        return self._settings.cache_dir or user_cache()

    def _fetch_token(self) -> tuple[str, float]:
        """Ask for an access token (client credentials grant, RFC 6749, section 4.4)."""
        keys = self._settings.credentials
        asked = {
            "grant_type": "client_credentials",
            "client_id": keys.ak,
            "client_secret": keys.sk,
        }
        url = self._settings.base_url + v1.TOKEN_PATH
        with self._get(url, NoAuth(), "POST", params=asked) as response:
            return read_token(response)

    def _fetch_bearer(self) -> tuple[str, float]:
        """Ask IAM for a bearer token, by a signed request."""
        keys = self._settings.credentials
        auth = SignatureAuth(keys.access_key or "", keys.secret_key or "")
        url = self._settings.iam_base_url + v2.TOKEN_PATH
        with self._get(url, auth, params={"expireInSeconds": BEARER_LIFE}) as response:
            return read_bearer(response)

    @property
    def _transport_options(self) -> dict[str, Any]:
        """Proxy and certificates, given with each request: the environment beats a session's."""
        proxy = self._settings.proxy
        route: dict[str, Any] = {} if self._settings.ssl_verification else {"verify": False}
        if proxy is not None:
            route["proxies"] = dict.fromkeys(("http", "https", "all"), proxy or None)
        return route


def no_credentials_error(version: ApiVersion) -> SettingsError:
    """Say that there are no keys, and what can be done about it."""
    needed = {
        ApiVersion.V1: "QIANFAN_AK and QIANFAN_SK",
        ApiVersion.V2: "QIANFAN_BEARER_TOKEN, or QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY,",
    }
    return SettingsError(
        f"There are no credentials for version {version} of the API",
        hint=f"Put {needed[version]} into a file .env beside the notebook "
        "(see .env.example), or try %qianfan demo, which needs no key.",
    )


def user_cache() -> Path:
    """Return the folder where tokens and lists are kept, if the settings name none."""
    from platformdirs import user_cache_path

    return user_cache_path("qianfan_magic")

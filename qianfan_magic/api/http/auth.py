"""How a request is let in: by an access token, a bearer token, or a signature.

Each is a `requests.auth.AuthBase`; what all share is `renew`, which the client calls when the
service no longer takes the token that a request carried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from qianfan_magic.api.http.tokens import TokenSource
from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS, canonical_request, sign
from qianfan_magic.masking import MASK


class NoAuth(AuthBase):
    """Adds nothing; unlike None, it keeps requests from looking into ``~/.netrc``.

    Attributes
    ----------
    masked : AuthBase
        Adds what the others add, with the secrets masked; nothing is fetched for it.
    refused_hint : str
        What to do when the service refuses what cannot be renewed.
    """

    refused_hint = ""

    @property
    def masked(self) -> AuthBase:
        """What adds to a request what is added, secrets masked."""
        return self

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request as it is."""
        return request

    def renew(self, refused: PreparedRequest) -> bool:
        """Say that there is nothing newer to send."""
        del refused
        return False


class StaticTokenAuth(NoAuth):
    """An access token that was fetched elsewhere; used as it is."""

    refused_hint = (
        "Fetch a new access token for QIANFAN_ACCESS_TOKEN, or set QIANFAN_AK and QIANFAN_SK."
    )

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    @property
    def masked(self) -> AuthBase:
        """What adds a masked token."""
        return _MaskedToken()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token as the query parameter ``access_token``."""
        request.prepare_url(request.url, {"access_token": self._access_token})
        return request


class AccessTokenAuth(NoAuth):
    """An access token from API Key and Secret Key."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    @property
    def masked(self) -> AuthBase:
        """What adds a masked token."""
        return _MaskedToken()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token as the query parameter ``access_token``; fetch one if need be."""
        request.prepare_url(request.url, {"access_token": self._source.get()})
        return request

    def renew(self, refused: PreparedRequest) -> bool:
        """Replace the token that a refused request carried, unless somebody already has."""
        carried = parse_qs(urlsplit(refused.url or "").query).get("access_token", [""])
        self._source.get(instead_of=str(carried[0]))
        return True


class StaticBearerAuth(NoAuth):
    """A bearer token, version 2's key; used as it is.

    Parameters
    ----------
    bearer_token
        ``bce-v3/ALTAK-…/…``.
    app_id
        Goes along as the header ``appid``, if there is one.
    """

    def __init__(self, bearer_token: str, app_id: str | None = None) -> None:
        self._bearer_token = bearer_token
        self._app_id = app_id

    @property
    def masked(self) -> AuthBase:
        """What adds a masked token."""
        return StaticBearerAuth(MASK, self._app_id)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set ``Authorization`` and ``appid``."""
        request.headers["Authorization"] = f"Bearer {self._bearer_token}"
        if self._app_id:
            request.headers["appid"] = self._app_id
        return request


class BearerAuth(NoAuth):
    """A bearer token that is fetched for access key and secret key."""

    def __init__(self, source: TokenSource, app_id: str | None = None) -> None:
        self._source = source
        self._app_id = app_id

    @property
    def masked(self) -> AuthBase:
        """What adds a masked token."""
        return StaticBearerAuth(MASK, self._app_id)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set ``Authorization`` and ``appid``; fetch a token if need be."""
        return StaticBearerAuth(self._source.get(), self._app_id)(request)

    def renew(self, refused: PreparedRequest) -> bool:
        """Replace the token that a refused request carried, unless somebody already has."""
        self._source.get(instead_of=refused.headers["Authorization"].removeprefix("Bearer "))
        return True


class SignatureAuth(NoAuth):
    """``bce-auth-v1``: signs a request with access key and secret key (Baidu's IAM documents).

    Parameters
    ----------
    access_key, secret_key
        Of the account.
    clock
        Seconds since 1970; the signature bears this time and is valid for 300 seconds.
    """

    def __init__(
        self, access_key: str, secret_key: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._clock = clock

    @property
    def masked(self) -> AuthBase:
        """What adds a masked signature, and no time yet."""
        return _MaskedSignature()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set ``Host``, ``x-bce-date`` and ``Authorization``."""
        date = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        parts = urlsplit(request.url or "")
        request.headers["Host"] = parts.netloc
        request.headers["x-bce-date"] = date
        signed = {
            name: request.headers[name]
            for name in ("content-type", "host", "x-bce-date")
            if name in request.headers
        }
        prefix = f"bce-auth-v1/{self._access_key}/{date}/{SIGNATURE_SECONDS}"
        canonical = canonical_request(request.method or "POST", parts.path, parts.query, signed)
        signature = sign(self._secret_key, prefix, canonical)
        request.headers["Authorization"] = f"{prefix}/{';'.join(sorted(signed))}/{signature}"
        return request


class _MaskedToken(AuthBase):
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.url = f"{request.url}?access_token={MASK}"
        return request


class _MaskedSignature(AuthBase):
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Host"] = urlsplit(request.url or "").netloc
        request.headers["x-bce-date"] = MASK
        request.headers["Authorization"] = f"bce-auth-v1/{MASK}"
        return request

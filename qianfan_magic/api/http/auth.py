"""Authentication of requests: by access token, bearer token or signature.

Each method is a `requests.auth.AuthBase` that requests calls with the request it prepares. Beyond
that interface each has a `placeholder`, for a request that is only shown, `fetch_token`, which may
take its time before that, and `renew`, for a token that the service refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from qianfan_magic.api.http.tokens import StaticToken, TokenProvider
from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS, canonical_request, sign
from qianfan_magic.masking import MASK

__all__ = ["AccessTokenAuth", "BearerAuth", "NoAuth", "QianfanAuth", "SignatureAuth"]


class QianfanAuth(AuthBase):
    """Base class: leaves a request as it is.

    Attributes
    ----------
    refused_hint : str
        What the user can do when the service refuses a credential that cannot be renewed.
    """

    refused_hint = ""

    @property
    def placeholder(self) -> AuthBase:
        """An authentication that adds ``***`` in the same places; it never fetches a token."""
        return self

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request unchanged."""
        return request

    @property
    def tokens(self) -> TokenProvider | None:
        """Where its token comes from; None if it has none."""
        return None

    def fetch_token(self, timeout: float) -> None:
        """Fetch its token where necessary, in about that many seconds; 0: no limit."""
        if self.tokens is not None:
            self.tokens.get(timeout)

    def renew(self, refused: PreparedRequest, timeout: float | None = None) -> bool:
        """Replace the token of a refused request; return False if that is impossible."""
        del refused, timeout
        return False


class NoAuth(QianfanAuth):
    """No authentication; given instead of None, which lets requests look into ``~/.netrc``."""


class AccessTokenAuth(QianfanAuth):
    """API v1: an access token as the query parameter ``access_token``.

    Parameters
    ----------
    tokens
        Where the token comes from.
    """

    def __init__(self, tokens: TokenProvider) -> None:
        self._tokens = tokens
        self.refused_hint = tokens.refused_hint

    @property
    def tokens(self) -> TokenProvider:
        """Where its token comes from."""
        return self._tokens

    @property
    def placeholder(self) -> AuthBase:
        """Add a masked token."""
        return AccessTokenAuth(StaticToken(MASK))

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token, fetching it where necessary."""
        # Not by the argument `params` of requests, which would encode the mask as %2A%2A%2A.
        token = quote(self._tokens.get(), safe="*")
        request.prepare_url(f"{request.url}?access_token={token}", None)
        return request

    def renew(self, refused: PreparedRequest, timeout: float | None = None) -> bool:
        """Replace the token that the request carried."""
        carried = parse_qs(urlsplit(refused.url or "").query).get("access_token", [""])
        return self._tokens.renew(str(carried[0]), timeout)


class BearerAuth(QianfanAuth):
    """API v2: a bearer token in the header ``Authorization`` (RFC 6750).

    Parameters
    ----------
    tokens
        Where the token (``bce-v3/ALTAK-…/…``) comes from.
    app_id
        Sent as the header ``appid`` if given.
    """

    def __init__(self, tokens: TokenProvider, app_id: str | None = None) -> None:
        self._tokens = tokens
        self._app_id = app_id
        self.refused_hint = tokens.refused_hint

    @property
    def tokens(self) -> TokenProvider:
        """Where its token comes from."""
        return self._tokens

    @property
    def placeholder(self) -> AuthBase:
        """Add a masked token."""
        return BearerAuth(StaticToken(MASK), self._app_id)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set ``Authorization`` and ``appid``, fetching a token where necessary."""
        request.headers["Authorization"] = f"Bearer {self._tokens.get()}"
        if self._app_id:
            request.headers["appid"] = self._app_id
        return request

    def renew(self, refused: PreparedRequest, timeout: float | None = None) -> bool:
        """Replace the token that the request carried."""
        carried = refused.headers["Authorization"].removeprefix("Bearer ")
        return self._tokens.renew(carried, timeout)


class SignatureAuth(QianfanAuth):
    """``bce-auth-v1``: signs a request with access key and secret key.

    Baidu's IAM documents describe it; it authenticates v1 requests and those for bearer tokens.

    Parameters
    ----------
    access_key, secret_key
        The account's key pair.
    clock
        Returns the seconds since 1970. The signature contains this time and is valid for
        `SIGNATURE_SECONDS` after it.
    """

    def __init__(
        self, access_key: str, secret_key: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._clock = clock

    @property
    def placeholder(self) -> AuthBase:
        """Add a masked signature; its time is masked too, for it is not known before sending."""
        return _SignaturePlaceholder()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Set ``Host``, ``x-bce-date`` and ``Authorization``."""
        date = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        parts = urlsplit(request.url or "")
        # http.client adds Host after the signature is made, so it is set here to be signed.
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


class _SignaturePlaceholder(AuthBase):
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Host"] = urlsplit(request.url or "").netloc
        request.headers["x-bce-date"] = MASK
        request.headers["Authorization"] = f"bce-auth-v1/{MASK}"
        return request

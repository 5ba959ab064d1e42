"""How a request is let in: an access token (fetched and cached, or given) or a signature.

Each is a `requests.auth.AuthBase`; what all share is `renew`, which the client calls when the
service no longer takes the token that a request carried.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from qianfan_magic.masking import MASK
from qianfan_magic.tokens import AccessTokenSource

#: Seconds a signature is valid: the official SDK's default.
SIGNATURE_SECONDS = 300


class NoAuth(AuthBase):
    """Adds nothing; unlike None, it keeps requests from looking into ``~/.netrc``.

    Attributes
    ----------
    shape : tuple of str
        What the others add to the query and to the headers, masked.
    refused_hint : str
        What to do when the service refuses what cannot be renewed.
    """

    shape = ("", "")
    refused_hint = ""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request as it is."""
        return request

    def renew(self, refused: PreparedRequest) -> bool:
        """Say that there is nothing newer to send."""
        del refused
        return False


class GivenTokenAuth(NoAuth):
    """An access token that was fetched elsewhere; used as it is."""

    refused_hint = (
        "Fetch a new access token for QIANFAN_ACCESS_TOKEN, or set QIANFAN_AK and QIANFAN_SK."
    )
    shape = (f"?access_token={MASK}", "")

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token as the query parameter ``access_token``."""
        request.prepare_url(request.url, {"access_token": self._access_token})
        return request


class AccessTokenAuth(NoAuth):
    """An access token from API Key and Secret Key."""

    shape = GivenTokenAuth.shape

    def __init__(self, source: AccessTokenSource) -> None:
        self._source = source

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token as the query parameter ``access_token``; fetch one if need be."""
        request.prepare_url(request.url, {"access_token": self._source.get()})
        return request

    def renew(self, refused: PreparedRequest) -> bool:
        """Replace the token that a refused request carried, unless somebody already has."""
        carried = parse_qs(urlsplit(refused.url or "").query).get("access_token", [""])
        self._source.get(instead_of=str(carried[0]))
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

    shape = ("", f"x-bce-date: (now)\nAuthorization: bce-auth-v1/{MASK}")

    def __init__(
        self, access_key: str, secret_key: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._clock = clock

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


def sign(secret_key: str, prefix: str, canonical: str) -> str:
    """Sign a canonical request; the hex text of the first digest is the key of the second."""
    return _hmac(_hmac(secret_key, prefix), canonical)


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _encode(text: str, safe: str = "") -> str:
    return quote(text, safe="-_.~" + safe)


def canonical_request(method: str, path: str, query: str, headers: dict[str, str]) -> str:
    """Write a request the way ``bce-auth-v1`` signs it.

    Parameters
    ----------
    method
        In capitals.
    path, query
        Percent-encoded, as they stand in the address.
    headers
        Those that are signed.

    Returns
    -------
    str
        Four parts, joined by newlines: method, path, sorted query, sorted headers.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    query = "&".join(sorted(f"{_encode(name)}={_encode(value)}" for name, value in pairs))
    lines = sorted(f"{name.lower()}:{_encode(value.strip())}" for name, value in headers.items())
    return "\n".join([method, _encode(unquote(path), "/"), query, *lines])

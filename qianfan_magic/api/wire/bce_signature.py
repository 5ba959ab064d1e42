"""The signature ``bce-auth-v1`` of Baidu's IAM; pure."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, unquote

#: Seconds a signature is valid: the official SDK's default.
SIGNATURE_SECONDS = 300


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

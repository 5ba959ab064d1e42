"""The signature algorithm ``bce-auth-v1`` of Baidu's IAM; pure.

Source: Baidu Cloud's document of the authentication string ("生成认证字符串").
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, unquote

__all__ = ["SIGNATURE_SECONDS", "canonical_request", "sign"]

#: Seconds for which a signature is valid: the default of the official SDK.
SIGNATURE_SECONDS = 300


def sign(secret_key: str, prefix: str, canonical: str) -> str:
    """Sign a canonical request.

    Parameters
    ----------
    secret_key
        Secret key of the account.
    prefix
        ``bce-auth-v1/{access key}/{time}/{seconds}``.
    canonical
        Result of `canonical_request`.

    Returns
    -------
    str
        The signature, 64 hexadecimal digits.
    """
    # The key of the second digest is the hex text of the first one, not its bytes.
    return _hmac(_hmac(secret_key, prefix), canonical)


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _encode(text: str, safe: str = "") -> str:
    return quote(text, safe="-_.~" + safe)


def canonical_request(method: str, path: str, query: str, headers: dict[str, str]) -> str:
    r"""Return the canonical form of a request, which is what is signed.

    Parameters
    ----------
    method
        HTTP method in upper case.
    path, query
        Parts of the URL, percent-encoded.
    headers
        The headers to sign.

    Returns
    -------
    str
        Method, path, sorted query and sorted headers, separated by newlines.

    Examples
    --------
    >>> canonical_request("GET", "/token", "b=2&a=1", {"Host": "iam.bj.baidubce.com"})
    'GET\n/token\na=1&b=2\nhost:iam.bj.baidubce.com'
    """
    # Decoded and encoded again: requests leaves other characters unescaped than Baidu does.
    pairs = parse_qsl(query, keep_blank_values=True)
    query = "&".join(sorted(f"{_encode(name)}={_encode(value)}" for name, value in pairs))
    lines = sorted(f"{name.lower()}:{_encode(value.strip())}" for name, value in headers.items())
    return "\n".join([method, _encode(unquote(path), "/"), query, *lines])

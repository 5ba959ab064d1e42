"""Reading the responses of the two endpoints that issue tokens."""

from __future__ import annotations

from datetime import UTC, datetime

import requests

from qianfan_magic.api.http.http_errors import RETRIED_STATUSES
from qianfan_magic.api.http.response import raise_for_error, read_object
from qianfan_magic.api.http.tokens import MAX_LIFETIME, check_token
from qianfan_magic.api.wire import v1
from qianfan_magic.api.wire.error_codes import token_error
from qianfan_magic.errors import TransportError
from qianfan_magic.language import tr

__all__ = ["read_bearer", "read_token"]


def read_token(response: requests.Response) -> tuple[str, float]:
    """Read the OAuth token endpoint's response (RFC 6749, sections 5.1 and 5.2).

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
        For any other response without a token.
    """
    payload = read_object(response)
    if "error" in payload:
        error, description = str(payload["error"]), str(payload.get("error_description", ""))
        # "temporarily_unavailable" is an error of RFC 6749, section 4.1.2.1.
        is_busy = _is_busy(response) or error == "temporarily_unavailable"
        raise token_error(error, description, retryable=is_busy)
    raise_for_error(payload, response, v1)
    try:
        lifetime = _credible(float(payload.get("expires_in", "")))
        return check_token(payload.get("access_token")), lifetime
    except (ValueError, TypeError, OverflowError):
        problem = tr("The token endpoint answered without a token")
    raise TransportError(problem, hint=tr("Is QIANFAN_BASE_URL the service itself?"))


def read_bearer(response: requests.Response) -> tuple[str, float]:
    """Read IAM's response: a bearer token and its expiry.

    Returns and raises as `read_token` does.
    """
    # IAM reports errors in headers, in the body or in both; with the headers the body may be
    # empty.
    code = response.headers.get("X-Bce-Error-Code", "")
    message = response.headers.get("X-Bce-Error-Message", "")
    payload = read_object(response) if response.ok or not code else {}
    code, message = str(payload.get("code") or code), str(payload.get("message") or message)
    if "token" not in payload and (code or not response.ok):
        code = code or f"HTTP {response.status_code}"
        raise token_error(code, message, retryable=_is_busy(response))
    try:
        # The lifetime is the difference of IAM's own times, for this computer's clock may be
        # wrong.
        created = _time(payload["createTime"]) if "createTime" in payload else datetime.now(UTC)
        lifetime = (_time(payload["expireTime"]) - created).total_seconds()
        return check_token(payload["token"]), _credible(lifetime)
    except (ValueError, TypeError, KeyError, OverflowError):
        problem = tr("IAM answered without a bearer token")
    raise TransportError(problem, hint=tr("Is QIANFAN_IAM_BASE_URL right?"))


def _is_busy(response: requests.Response) -> bool:
    """Tell whether the status is that of a temporary failure."""
    return response.status_code in RETRIED_STATUSES


def _credible(lifetime: float) -> float:
    """Limit a lifetime to 0…`MAX_LIFETIME` seconds."""
    return min(max(lifetime, 0.0), MAX_LIFETIME)


def _time(text: str) -> datetime:
    """Parse a time of ISO 8601, which is UTC unless it names an offset."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

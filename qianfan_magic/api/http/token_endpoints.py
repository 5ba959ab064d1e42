"""What the endpoints answer that give tokens for keys."""

from __future__ import annotations

from datetime import UTC, datetime

import requests

from qianfan_magic.api.http.http_errors import RETRIED_STATUSES
from qianfan_magic.api.http.response import raise_for_error, read_object
from qianfan_magic.api.http.tokens import LONGEST_LIFE, check_token
from qianfan_magic.api.wire import v1
from qianfan_magic.api.wire.error_codes import token_error
from qianfan_magic.errors import TransportError


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
    raise_for_error(payload, response, v1)
    access_token, expires_in = payload.get("access_token"), payload.get("expires_in", "")
    try:
        life = min(max(float(expires_in), 0.0), LONGEST_LIFE)
        return check_token(access_token), life
    except (ValueError, TypeError, OverflowError):
        problem = "The token endpoint answered without a token"
    raise TransportError(problem, hint="Is QIANFAN_BASE_URL the service itself?")


def read_bearer(response: requests.Response) -> tuple[str, float]:
    """Read IAM's answer: a token and when it expires; returns and raises as `read_token` does."""
    code = response.headers.get("X-Bce-Error-Code", "")
    words = response.headers.get("X-Bce-Error-Message", "")
    payload = read_object(response) if response.ok or not code else {}
    code, words = str(payload.get("code") or code), str(payload.get("message") or words)
    if "token" not in payload and (code or not response.ok):
        busy = response.status_code in RETRIED_STATUSES
        raise token_error(code or f"HTTP {response.status_code}", words, retryable=busy)
    try:
        # By IAM's own clock, if it tells it: this computer's may be wrong.
        begins = _time(payload["createTime"]) if "createTime" in payload else datetime.now(UTC)
        life = (_time(payload["expireTime"]) - begins).total_seconds()
        return check_token(payload["token"]), min(max(life, 0.0), LONGEST_LIFE)
    except (ValueError, TypeError, KeyError, OverflowError):
        problem = "IAM answered without a bearer token"
    raise TransportError(problem, hint="Is QIANFAN_IAM_BASE_URL right?")


def _time(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)

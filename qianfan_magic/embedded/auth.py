"""Authentication of requests by access token, bearer token or signature, as the service does it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, NamedTuple

from qianfan_magic.api.wire.bce_signature import canonical_request, sign
from qianfan_magic.embedded.faults import ServiceError

__all__ = ["SIGNATURE_VERSION", "TOKEN_LIFE", "Authenticator", "Keys"]

#: Seconds an access token is valid, as with the service: 30 days.
TOKEN_LIFE = 2_592_000
#: Seconds a bearer token is valid: the bounds and default of ``expireInSeconds`` in IAM's document
#: (cloud.baidu.com/doc/Reference/s/Gm5z8ryv5).
MIN_BEARER_LIFE, MAX_BEARER_LIFE, DEFAULT_BEARER_LIFE = 300, 2_592_000, 1_800
#: The first part of a signature.
SIGNATURE_VERSION = "bce-auth-v1"


def _new_bearer_token() -> str:
    return f"bce-v3/ALTAK-{token_hex(10)}/{token_hex(20)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The credentials of one server: random, and of no use with any other.

    Attributes
    ----------
    ak, sk
        Client id and client secret, for an access token (version 1).
    access_key, secret_key
        IAM's key pair, for signatures.
    bearer_token
        A bearer token that does not expire (version 2).
    app_id
        The application that `bearer_token` belongs to.
    """

    ak: str = field(default_factory=lambda: token_hex(12))
    sk: str = field(default_factory=lambda: token_hex(16))
    access_key: str = field(default_factory=lambda: "ALTAK" + token_hex(11))
    secret_key: str = field(default_factory=lambda: token_hex(16))
    bearer_token: str = field(default_factory=_new_bearer_token)
    app_id: str = field(default_factory=lambda: "app-" + token_hex(4))


class _Signature(NamedTuple):
    """The six parts of a ``bce-auth-v1`` authorization header."""

    version: str
    access_key: str
    date: str
    seconds: str
    names: str
    signature: str

    @property
    def prefix(self) -> str:
        """The part of the header that is signed."""
        return "/".join(self[:4])

    @property
    def is_expired(self) -> bool:
        """Whether it was made too long ago, or too far in the future."""
        signed_at = datetime.strptime(self.date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return abs(time.time() - signed_at.timestamp()) > int(self.seconds)


@dataclass(slots=True)
class Authenticator:
    """Issues tokens, and checks the credentials of requests.

    Attributes
    ----------
    keys
        The credentials that are accepted.
    token_life
        Seconds an access token is valid; also the maximum for bearer tokens that are issued.
    tokens, bearers
        Access tokens and bearer tokens that were issued, each with the time at which it expires
        (seconds since the epoch).
    """

    keys: Keys = field(default_factory=Keys)
    token_life: float = TOKEN_LIFE
    tokens: dict[str, float] = field(default_factory=dict)
    bearers: dict[str, float] = field(default_factory=dict)

    def issue_token(self, client_id: str, client_secret: str) -> dict[str, Any]:
        """Return the token endpoint's response: an access token, or an ``error`` (RFC 6749)."""
        if client_id != self.keys.ak:
            return {"error": "invalid_client", "error_description": "unknown client id"}
        if client_secret != self.keys.sk:
            description = "Client authentication failed"
            return {"error": "invalid_client", "error_description": description}
        expires_at = time.time() + self.token_life
        token = f"24.{token_hex(16)}.{self.token_life:.0f}.{expires_at:.0f}.282335-1"
        self.tokens[token] = expires_at
        return {"access_token": token, "expires_in": int(self.token_life)}

    def issue_bearer(self, expire_in_seconds: str) -> dict[str, str]:
        """Return the response of IAM's token endpoint, for a request whose signature is valid.

        Parameters
        ----------
        expire_in_seconds
            The query parameter: 300 to 2,592,000; if empty, 1,800.

        Raises
        ------
        ServiceError
            If it is not a number in this range.
        """
        text = expire_in_seconds or str(DEFAULT_BEARER_LIFE)
        # At most nine digits, since Python refuses to convert more than 4,300.
        seconds = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
        if not MIN_BEARER_LIFE <= seconds <= MAX_BEARER_LIFE:
            bounds = f"[{MIN_BEARER_LIFE}, {MAX_BEARER_LIFE}]"
            message = f"BadRequest, cause: expireInSeconds is not in {bounds}"
            raise ServiceError("BadRequest", message)
        now = time.time()
        token, expires_at = _new_bearer_token(), now + min(seconds, self.token_life)
        self.bearers[token] = expires_at
        return {
            "userId": token_hex(16),
            "token": token,
            "status": "enable",
            "createTime": _format_time(now),
            "expireTime": _format_time(expires_at),
        }

    def check_token(self, token: str) -> None:
        """Raise a `ServiceError` unless an access token is valid."""
        if not token:
            raise ServiceError(100, "Invalid parameter")
        if token not in self.tokens:
            raise ServiceError(110, "Access token invalid or no longer valid")
        if self.tokens[token] <= time.time():
            raise ServiceError(111, "Access token expired")

    def check_bearer(self, authorization: str, app_id: str | None) -> None:
        """Raise a `ServiceError` unless a bearer token is valid and the application its own.

        Parameters
        ----------
        authorization
            The header ``Authorization``.
        app_id
            The header ``appid``, or None if there is none.
        """
        scheme, _, token = authorization.partition(" ")
        is_valid = token == self.keys.bearer_token or self.bearers.get(token, 0) > time.time()
        if scheme != "Bearer" or not is_valid:
            raise ServiceError("invalid_iam_token", "IAM Certification failed", 401)
        if app_id not in {None, self.keys.app_id}:
            raise ServiceError("invalid_appid", "No permission to use the appid", 401)

    def check_signature(
        self, authorization: str, target: tuple[str, str, str], headers: Mapping[str, str]
    ) -> None:
        """Raise a `ServiceError` of IAM unless a signature is valid.

        Parameters
        ----------
        authorization
            The header ``Authorization``.
        target
            Method, path and query of the request.
        headers
            All headers of the request, by their names in lower case. The signature lists those
            that it covers.
        """
        try:
            parsed = _Signature(*authorization.split("/"))
            signed_headers = {name: headers[name] for name in parsed.names.split(";")}
            is_expired = parsed.is_expired
        except (TypeError, ValueError, KeyError):  # too few parts, a bad date, a missing header
            raise _iam_error("InvalidHTTPAuthHeader", "Fail to parse authorization") from None
        if parsed.version != SIGNATURE_VERSION:
            raise _iam_error("InvalidHTTPAuthHeader", "Fail to parse authorization")
        if parsed.access_key != self.keys.access_key:
            raise _iam_error("NotFound", "Could not find credential.")
        canonical = canonical_request(*target, signed_headers)
        expected = sign(self.keys.secret_key, parsed.prefix, canonical)
        # IAM requires the host to be signed, so that a signature is of no use elsewhere.
        if parsed.signature != expected or "host" not in signed_headers:
            cause = "Fail to authn user: Signature does not match"
            raise _iam_error("SignatureDoesNotMatch", cause)
        if is_expired:
            raise _iam_error("RequestExpired", "Fail to authn user: Request has expired")


def _iam_error(error_code: str, cause: str) -> ServiceError:
    return ServiceError(error_code, f"{error_code}, cause: {cause}", 403)


def _format_time(seconds: float) -> str:
    """Format a time as IAM does: ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")

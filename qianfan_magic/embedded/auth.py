"""Who is let in: by an access token, a bearer token, or a signature."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from qianfan_magic.api.wire.bce_signature import canonical_request, sign
from qianfan_magic.embedded.faults import Refusal

#: Seconds an access token lives, as the service's do: 30 days.
TOKEN_LIFE = 2_592_000
#: Seconds a bearer token may be asked to live, and how long it does if nobody says (IAM's
#: document, cloud.baidu.com/doc/Reference/s/Gm5z8ryv5).
SHORTEST_BEARER, LONGEST_BEARER, USUAL_BEARER = 300, 2_592_000, 1_800


def _bearer() -> str:
    return f"bce-v3/ALTAK-{token_hex(10)}/{token_hex(20)}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one server, made at its start; they are good for nothing else."""

    ak: str = field(default_factory=lambda: token_hex(12))
    sk: str = field(default_factory=lambda: token_hex(16))
    access_key: str = field(default_factory=lambda: "ALTAK" + token_hex(11))
    secret_key: str = field(default_factory=lambda: token_hex(16))
    bearer_token: str = field(default_factory=_bearer)
    app_id: str = field(default_factory=lambda: "app-" + token_hex(4))


@dataclass(slots=True)
class Authenticator:
    """Lets in who has the keys.

    Attributes
    ----------
    keys
        That are required.
    token_life
        Seconds; a bearer token lives no longer either.
    tokens, bearers
        Access and bearer tokens that were given out, with the time each expires at.
    """

    keys: Keys = field(default_factory=Keys)
    token_life: float = TOKEN_LIFE
    tokens: dict[str, float] = field(default_factory=dict)
    bearers: dict[str, float] = field(default_factory=dict)

    def issue_token(self, client_id: str, client_secret: str) -> dict[str, Any]:
        """Answer the token endpoint: a token, or RFC 6749's ``error``."""
        if client_id != self.keys.ak:
            return {"error": "invalid_client", "error_description": "unknown client id"}
        if client_secret != self.keys.sk:
            described = "Client authentication failed"
            return {"error": "invalid_client", "error_description": described}
        now = time.time()
        token = f"24.{token_hex(16)}.{self.token_life:.0f}.{now + self.token_life:.0f}.282335-1"
        self.tokens[token] = now + self.token_life
        return {"access_token": token, "expires_in": int(self.token_life)}

    def issue_bearer(self, asked: str) -> dict[str, str]:
        """Answer IAM's endpoint for bearer tokens, whose request was signed.

        Parameters
        ----------
        asked
            Seconds the token is to live, as the query has them: 300 to 2,592,000, or empty.

        Raises
        ------
        Refusal
            If it is no such number.
        """
        seconds = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0  # noqa: PLR2004  digits of any number in range
        seconds = seconds if asked else USUAL_BEARER
        if not SHORTEST_BEARER <= seconds <= LONGEST_BEARER:
            bounds = f"[{SHORTEST_BEARER}, {LONGEST_BEARER}]"
            raise Refusal("BadRequest", f"BadRequest, cause: expireInSeconds is not in {bounds}")
        now = time.time()
        token, expires_at = _bearer(), now + min(seconds, self.token_life)
        self.bearers[token] = expires_at
        return {
            "userId": token_hex(16),
            "token": token,
            "status": "enable",
            "createTime": _written(now),
            "expireTime": _written(expires_at),
        }

    def check_token(self, token: str) -> None:
        """Refuse an access token that was not given out, or has expired."""
        if not token:
            raise Refusal(100, "Invalid parameter")
        if token not in self.tokens:
            raise Refusal(110, "Access token invalid or no longer valid")
        if self.tokens[token] <= time.time():
            raise Refusal(111, "Access token expired")

    def check_bearer(self, authorization: str, app_id: str | None) -> None:
        """Refuse a bearer token that was not given out or has expired, or a stranger's ``appid``.

        Parameters
        ----------
        authorization
            The header.
        app_id
            The header ``appid``, or None if it does not come.
        """
        token = authorization.removeprefix("Bearer ")
        is_given = self.bearers.get(token, 0) > time.time()
        if token == authorization or not (is_given or token == self.keys.bearer_token):
            raise Refusal("invalid_iam_token", "IAM Certification failed", 401)
        if app_id not in {None, self.keys.app_id}:
            raise Refusal("invalid_appid", "No permission to use the appid", 401)

    def check_signature(
        self, authorization: str, address: tuple[str, str, str], headers: Mapping[str, str]
    ) -> None:
        """Refuse, in IAM's words, a request whose signature is wrong or too old.

        Parameters
        ----------
        authorization
            The header.
        address
            Method, path and query.
        headers
            All others that came, by their names in small letters; which of them are signed, the
            signature says.
        """
        try:
            version, access_key, date, seconds, names, signature = authorization.split("/")
            signed = {name: headers[name] for name in names.split(";")}
            then = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            age = abs(time.time() - then.timestamp())
            expired = age > int(seconds)
        except (ValueError, KeyError):
            raise _unsigned("InvalidHTTPAuthHeader", "Fail to parse authorization") from None
        if version != "bce-auth-v1":
            raise _unsigned("InvalidHTTPAuthHeader", "Fail to parse authorization")
        if access_key != self.keys.access_key:
            raise _unsigned("NotFound", "Could not find credential.")
        prefix = f"{version}/{access_key}/{date}/{seconds}"
        expected = sign(self.keys.secret_key, prefix, canonical_request(*address, signed))
        if signature != expected or "host" not in signed:
            described = "Fail to authn user: Signature does not match"
            raise _unsigned("SignatureDoesNotMatch", described)
        if expired:
            raise _unsigned("RequestExpired", "Fail to authn user: Request has expired")


def _unsigned(error_code: str, cause: str) -> Refusal:
    return Refusal(error_code, f"{error_code}, cause: {cause}", 403)


def _written(seconds: float) -> str:
    """Write a time as IAM does: to the millisecond, in UTC."""
    then = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return then.replace("+00:00", "Z")

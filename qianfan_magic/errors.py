"""Everything that can go wrong, in one tree.

::

    QianfanError(message, *, hint="")
    ├ SettingsError            no or contradictory credentials, bad .env
    ├ ParameterError           also a ValueError: out of range, wrong type, bad message order
    ├ TransportError           no connection, time-out, TLS, HTTP status without a body of ours
    ├ StreamError              a stream that broke or was not the protocol; .partial
    └ APIError                 .error_code .error_msg .request_id .retryable
       ├ AuthError ─ TokenExpiredError
       └ RateLimitError        .retry_after
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qianfan_magic.masking import mask

LONGEST_MESSAGE = 500


class QianfanError(Exception):
    """Any failure of this package.

    Parameters
    ----------
    message
        What happened. Secrets are masked, control characters made visible, line ends folded.
    hint
        What to do about it.

    Attributes
    ----------
    retryable : bool
        Whether sending the same request again may help.
    retry_after : float or None
        Seconds the server asked to wait before that.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        self.message = one_line(message)
        super().__init__(self.message)
        self.hint = one_line(hint)
        self.retryable = retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """Two lines in a notebook: what happened, what to do (IPython looks for this name)."""
        lines = [f"{type(self).__name__}: {self.message}"]
        return [*lines, f"→ {self.hint}"] if self.hint else lines


class SettingsError(QianfanError):
    """No credentials, half of them, contradictory ones, or a ``.env`` that cannot be read."""


class ParameterError(QianfanError, ValueError):
    """Something the user gave is out of range, of the wrong type, too long or out of order."""


class TransportError(QianfanError):
    """The request did not get through: no connection, time-out, TLS, an answer not Qianfan's."""


class StreamError(QianfanError):
    """A stream that broke or was not the protocol.

    Attributes
    ----------
    partial : str
        The text that had arrived.
    """

    def __init__(self, message: str, *, partial: str = "", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.partial = partial


class APIError(QianfanError):
    """The service answered with an error.

    Attributes
    ----------
    error_code : int or str
        Qianfan's ``error_code``, or the token endpoint's ``error`` (a word, RFC 6749).
    error_msg : str
        The service's own words, masked.
    request_id : str
        The answer's ``id``, where it has one.
    partial : str
        The text that had arrived before an error in the middle of a stream.
    """

    def __init__(
        self,
        message: str,
        *,
        error_code: int | str = 0,
        error_msg: str = "",
        request_id: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.error_code = one_line(error_code) if isinstance(error_code, str) else error_code
        self.error_msg = one_line(error_msg)
        self.request_id = one_line(request_id)
        self.partial = ""

    @property
    def is_too_long(self) -> bool:
        """Whether less of a conversation might be taken."""
        return self.error_code in TOO_LONG


class AuthError(APIError):
    """The service does not accept the credentials."""


class TokenExpiredError(AuthError):
    """The access token is invalid or has expired; a new one is fetched once."""


class RateLimitError(APIError):
    """Too many requests or tokens; ``retry_after`` in seconds where the server names it."""


def brief(stop: KeyboardInterrupt) -> KeyboardInterrupt:
    """Let an interrupt end in one line, without the frames below the one that raises it.

    A traceback through requests and urllib3 helps nobody; with ``%xmode Verbose`` it would also
    show their variables, and the keys among them.
    """
    line = "KeyboardInterrupt: stopped; what had arrived is kept"
    stop._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return stop.with_traceback(None)


def one_line(text: str) -> str:
    r"""Make a stranger's text safe to show in an error.

    Parameters
    ----------
    text
        Text that may come from a server.

    Returns
    -------
    str
        One line of at most 500 characters without secrets; escape sequences, bidirectional
        overrides and lone surrogates are written as ``\x1b`` and their like.
    """
    if len(text) > 4 * LONGEST_MESSAGE:  # the rest is not shown, nor half of a secret at the cut
        text = re.sub(r"\S*$", "…", text[: 4 * LONGEST_MESSAGE])
    folded = " ".join(mask(text).split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in folded)
    return shown if len(shown) <= LONGEST_MESSAGE else shown[: LONGEST_MESSAGE - 1] + "…"


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the service's error table: its meaning, and what to do."""

    meaning: str
    hint: str
    error: type[APIError] = APIError
    retry: bool = False


_AGAIN = "This is the service's own trouble and passes: run the cell again in a while."
_SLOWER = "You are sending faster than your quota allows: wait a minute, or ask for a higher quota."
_BILLING = "Open billing for this service in the Qianfan console, or settle the account."
_KEYS = "Check the keys in your .env: are they of the application that owns this service?"
_BUG = "The service refused the shape of the request; %%qianfan_chat --dry-run shows what is sent."

#: The codes of the API documents' tables ("错误码") and of the platform's error page.
CODES: dict[int, Code] = {
    1: Code("unknown error", _AGAIN, retry=True),
    2: Code("service temporarily unavailable", _AGAIN, retry=True),
    3: Code("no such API", "Check -e: it is the last part of the service's address."),
    4: Code("the cluster's limit is reached", _AGAIN, RateLimitError, retry=True),
    6: Code(
        "no permission", "Is the service published, and by the owner of these keys?", AuthError
    ),
    13: Code("the service's token is not valid", _KEYS, AuthError),
    14: Code("signature failed", "Check QIANFAN_SECRET_KEY and this computer's clock.", AuthError),
    15: Code("the application was not found", _AGAIN, retry=True),
    17: Code("the daily limit is reached", _BILLING, RateLimitError),
    18: Code("the limit of requests a second is reached", _SLOWER, RateLimitError, retry=True),
    19: Code("the total limit is reached", _BILLING, RateLimitError),
    100: Code("the access token parameter is not valid", _KEYS, TokenExpiredError),
    110: Code("the access token is not valid", _KEYS, TokenExpiredError),
    111: Code("the access token has expired", _KEYS, TokenExpiredError),
    336000: Code("internal error", _AGAIN, retry=True),
    336001: Code("an argument is missing or malformed", _BUG),
    336002: Code("the body is not JSON", _BUG),
    336003: Code("a parameter was refused", "The reason is in the service's words above."),
    336004: Code("permission error", _KEYS, AuthError),
    336005: Code("no such endpoint", "Check -e: it is the last part of the service's address."),
    336006: Code(
        "the messages are out of order",
        "Their number must be odd and their roles user, assistant, user, …, the user's last.",
    ),
    336007: Code("the text has too many characters", "Shorten the cell, or %qianfan reset."),
    336100: Code("too many people are talking to the model", _AGAIN, retry=True),
    336101: Code("the method must be POST", "Is QIANFAN_BASE_URL a gateway that changes requests?"),
    336103: Code("the text has too many tokens", "Shorten the cell, or %qianfan reset."),
    336501: Code("the limit of requests a minute is reached", _SLOWER, RateLimitError, retry=True),
    336502: Code("the limit of tokens a minute is reached", _SLOWER, RateLimitError, retry=True),
}

#: Codes of both versions of the API for more characters or tokens than the model takes.
TOO_LONG = frozenset({336007, 336103, "characters_too_long", "tokens_too_long"})

#: What the token endpoint calls its errors (RFC 6749, section 5.2) and what to do about each.
TOKEN_ERRORS: dict[str, str] = {
    "unknown client id": "QIANFAN_AK is not an API Key of this service. "
    "An access key (ALTAK…) belongs into QIANFAN_ACCESS_KEY, with QIANFAN_SECRET_KEY.",
    "Client authentication failed": "QIANFAN_SK is not the Secret Key that belongs to QIANFAN_AK.",
}


def api_error(
    error_code: int, error_msg: str, *, request_id: str = "", retry_after: float | None = None
) -> APIError:
    """Turn the service's error into the exception that its code stands for.

    Parameters
    ----------
    error_code
        Qianfan's number. One that is not in the table gives a plain `APIError`.
    error_msg
        The service's words; shown beside the table's meaning.
    request_id
        The answer's ``id``.
    retry_after
        Seconds, from the header ``Retry-After``.
    """
    row = CODES.get(error_code, Code("an error that is not in the table", "See the words above."))
    return row.error(
        f"Qianfan answered error {error_code}, {row.meaning}: {error_msg}",
        hint=row.hint,
        error_code=error_code,
        error_msg=error_msg,
        request_id=request_id,
        retryable=row.retry,
        retry_after=retry_after,
    )


def token_error(error: str, description: str, *, retryable: bool = False) -> AuthError:
    """Turn the token endpoint's refusal into an `AuthError` that says which key is wrong."""
    return AuthError(
        f"The token endpoint refused the keys ({error}): {description}",
        hint=TOKEN_ERRORS.get(description, _KEYS),
        error_code=error,
        error_msg=description,
        retryable=retryable,
    )

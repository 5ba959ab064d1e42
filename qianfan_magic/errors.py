"""The exceptions of the package.

::

    QianfanError(message, *, hint="")
    ├ SettingsError            no or contradictory credentials, bad .env
    ├ ParameterError           also a ValueError: out of range, wrong type, bad message order
    ├ TransportError           no connection, time-out, TLS, a response that is not Qianfan's
    ├ SchemaError              an answer that does not fit its schema; .place .reply
    ├ StreamError              a stream that broke or violated the protocol; .partial
    └ APIError                 .error_code .error_msg .request_id .status .retryable
       ├ AuthError ─ TokenExpiredError
       └ RateLimitError        .retry_after
"""

from __future__ import annotations

import re
from typing import Any

from qianfan_magic.masking import mask

__all__ = [
    "APIError",
    "AuthError",
    "ParameterError",
    "QianfanError",
    "RateLimitError",
    "SchemaError",
    "SettingsError",
    "StreamError",
    "TokenExpiredError",
    "TransportError",
    "one_line",
]

#: Largest number of characters of a message or hint; the rest is cut off.
LONGEST_MESSAGE = 500
#: Codes for more characters or tokens than the model accepts: of both versions of the API, of
#: OpenAI's, and of llama.cpp.
TOO_LONG = frozenset(
    {
        *(336007, 336103, "characters_too_long", "tokens_too_long"),
        *("context_length_exceeded", "exceed_context_size_error"),
    }
)


class QianfanError(Exception):
    """Base class of all errors of this package.

    Parameters
    ----------
    message
        What happened. Secrets are masked, control characters escaped and line breaks replaced by
        spaces; see `one_line`.
    hint
        What the user can do about it.
    retryable
        Whether sending the same request again may succeed.
    retry_after
        Seconds that the server asked to wait before the next attempt.

    Examples
    --------
    >>> error = QianfanError("The server refused the key", hint="Check QIANFAN_AK.")
    >>> print(error)
    The server refused the key
    Check QIANFAN_AK.
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
        """Return the lines that IPython shows instead of a traceback: message and hint.

        IPython calls a method of this name, if there is one, for every uncaught exception.
        """
        lines = [f"{type(self).__name__}: {self.message}"]
        return [*lines, f"→ {self.hint}"] if self.hint else lines


class SettingsError(QianfanError):
    """Credentials are missing, incomplete or contradictory, or a setting cannot be read."""


class ParameterError(QianfanError, ValueError):
    """An argument is out of range, of the wrong type, too long or in the wrong order.

    It is a `ValueError` too, which is what callers of Python functions expect for a bad argument.
    """


class TransportError(QianfanError):
    """The request never reached the service, or its response came from another server.

    Causes are a missing connection, a time-out, TLS, or a proxy that responds with a login page.
    """


class StreamError(QianfanError):
    """The stream of an answer broke or violated the protocol.

    Attributes
    ----------
    partial : str
        The text that had arrived before.
    """

    def __init__(self, message: str, *, partial: str = "", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.partial = partial


class SchemaError(QianfanError):
    """A whole answer does not fit the schema that was requested.

    Attributes
    ----------
    place : str
        Where, as JSONPath (RFC 9535) writes it, such as ``$.cities[2].population``; empty if the
        answer is not JSON.
    reply : Reply or None
        The answer.
    """

    def __init__(self, message: str, *, place: str = "", reply: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.place = one_line(place)
        self.reply = reply


class APIError(QianfanError):
    """The service answered with an error.

    Attributes
    ----------
    error_code : int or str
        ``error_code`` of version 1, ``code`` of version 2, or the token endpoint's ``error``
        (RFC 6749, section 5.2).
    error_msg : str
        The service's own message, masked.
    request_id : str
        The ``id`` of the response; empty if it has none.
    status : int
        HTTP status of the response; 0 if it is unknown.
    partial : str
        The text that had arrived before, if the error came in the middle of a stream.
    """

    def __init__(
        self,
        message: str,
        *,
        error_code: int | str = 0,
        error_msg: str = "",
        request_id: str = "",
        status: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.error_code = one_line(error_code) if isinstance(error_code, str) else error_code
        self.error_msg = one_line(error_msg)
        self.request_id = one_line(request_id)
        self.status = status
        self.partial = ""

    @property
    def is_too_long(self) -> bool:
        """Whether the request was refused for its length, so that a shorter one may succeed."""
        return self.error_code in TOO_LONG


class AuthError(APIError):
    """The service does not accept the credentials."""


class TokenExpiredError(AuthError):
    """The token is invalid or has expired; a request is repeated once with a new one."""


class RateLimitError(APIError):
    """Too many requests or tokens; ``retry_after`` is set if the server names a delay."""


def one_line(text: str) -> str:
    r"""Make untrusted text safe to show in an error.

    Parameters
    ----------
    text
        Text that may come from a server.

    Returns
    -------
    str
        One line of at most 500 characters without secrets. Characters that are not printable,
        such as escape sequences, bidirectional overrides and lone surrogates, are escaped.

    Examples
    --------
    >>> print(one_line("refused:\naccess_token=24.abc\x1b[0m"))
    refused: access_token=***
    """
    if len(text) > 4 * LONGEST_MESSAGE:
        # Masking a huge body would be slow. The last word is dropped as well: it could be the
        # first half of a secret, which is not recognised.
        text = re.sub(r"\S*$", "…", text[: 4 * LONGEST_MESSAGE])
    folded = " ".join(mask(text).split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in folded)
    return shown if len(shown) <= LONGEST_MESSAGE else shown[: LONGEST_MESSAGE - 1] + "…"

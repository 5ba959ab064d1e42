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


def brief(
    stop: KeyboardInterrupt, said: str = "stopped; what had arrived is kept"
) -> KeyboardInterrupt:
    """Let an interrupt end in one line, without the frames below the one that raises it.

    A traceback through requests and urllib3 helps nobody; with ``%xmode Verbose`` it would also
    show their variables, and the keys among them.
    """
    line = f"KeyboardInterrupt: {said}"
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


#: Codes of both versions of the API for more characters or tokens than the model takes.
TOO_LONG = frozenset({336007, 336103, "characters_too_long", "tokens_too_long"})

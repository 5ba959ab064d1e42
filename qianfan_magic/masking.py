"""Masking of secrets in every text that is shown, logged, raised or saved.

There are two layers. Every credential that the package has held in this process is remembered
and replaced wherever it occurs, plain, percent-encoded or escaped as JSON does. In addition,
text that *looks* like a credential of Qianfan's API is replaced, so that one from another source
is masked as well. Errors and log records always pass through here.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

__all__ = [
    "MASK",
    "Cause",
    "MaskedStream",
    "MaskingFilter",
    "forget_all",
    "guard_logs",
    "log",
    "mask",
    "mask_known",
    "remember",
]

#: Text that replaces a secret.
MASK = "***"
#: Smallest number of characters of a secret. Shorter values are not remembered: replacing them
#: would garble ordinary words.
SHORTEST_SECRET = 6

#: Text that looks like a credential. The named groups match what stands before the secret and
#: stays readable, such as the name of a parameter.
_LOOKS_SECRET = re.compile(
    r"""(?ix)
      (?P<name> \b (?: access_token | refresh_token | client_id | client_secret | session_key
                     | session_secret | api_?key | secret_?key )
                [\\"']* \s* (?: [=:] | %3D ) \s* [\\"']* )
      (?! \*\*\* ) [^\s&%"'<>,;)}\\]+
    | (?P<scheme> \b bearer \s+ ) (?! \*\*\* | tokens? (?: \s | $ ) ) [^\s"'<>,;]+
    | (?P<signed> \b bce-auth-v1/ ) [^\s"'<>]+
    | \b bce-v3/ [^\s"'<>]+
    | \b [0-9a-f]{64} \b  # a signature on its own: hex SHA-256
    | \b 24\.[0-9a-f]{32} [-.\w]*  # an access token
    | (?P<userinfo> \b (?: https? | socks[45][ah]? ):// ) [^\s/"'<>:]* : [^\s/"'<>]+ (?= @ )
    """
)
#: A pattern for each secret. Global: secrets are per process, and every layer masks.
_remembered: dict[str, re.Pattern[str]] = {}


def remember(*secrets: str | None) -> None:
    """Mask these values from now on, wherever they occur.

    Parameters
    ----------
    *secrets
        Keys, tokens or passwords. None and values of fewer than 6 characters are ignored.

    Examples
    --------
    >>> remember("q7mYb3kq")
    >>> mask("The server refused q7mYb3kq.")
    'The server refused ***.'
    """
    for secret in secrets:
        if secret and len(secret) >= SHORTEST_SECRET and secret not in _remembered:
            _remembered[secret] = _pattern(secret)


def forget_all() -> None:
    """Forget every remembered secret, so that one test does not affect another."""
    _remembered.clear()


def _pattern(secret: str) -> re.Pattern[str]:
    """Match a secret however each of its characters is encoded in an address or in JSON."""
    return re.compile("".join(map(_spelling, secret)))


def _spelling(character: str) -> str:
    """Match one character: plain, percent-encoded, or as an escape of JSON."""
    escape = rf"\\u(?i:{ord(character):04x})"
    if character.isascii() and character.isalnum():
        return f"(?:{character}|{escape})"
    # surrogatepass: an environment variable may hold bytes that are not UTF-8, which Python
    # decodes to lone surrogates (PEP 383).
    encoded = quote(character, safe="", errors="surrogatepass")
    plus = r"|\+" if character == " " else ""
    return rf"(?:\\?{re.escape(character)}|(?i:{re.escape(encoded)})|{escape}{plus})"


def mask(text: str) -> str:
    """Replace every secret in a text with ``***``.

    Parameters
    ----------
    text
        Text that is about to be shown, logged or raised.

    Returns
    -------
    str
        The same text without secrets; names of parameters and schemes stay.

    Examples
    --------
    >>> mask("GET /chat?access_token=24.abc&stream=1")
    'GET /chat?access_token=***&stream=1'
    """
    return _LOOKS_SECRET.sub(_keep_prefix, mask_known(text))


def _keep_prefix(found: re.Match[str]) -> str:
    prefix = next((text for text in found.groupdict().values() if text), "")
    return prefix + MASK


def mask_known(text: str) -> str:
    """Replace remembered secrets only, not text that merely looks like a secret.

    Use it for text that must otherwise stay unchanged, such as the code of an answer.
    """
    # list() copies in one step while other threads remember secrets. A lock is not used: a
    # forked process could inherit it locked.
    longest_first = sorted(list(_remembered), key=len, reverse=True)  # noqa: C414
    for secret in longest_first:
        text = _remembered[secret].sub(MASK, text)
    return text


class MaskedStream:
    """Masks remembered secrets in text that arrives in pieces, also if one spans two pieces.

    The end of the text is held back while it may be the beginning of a secret.

    Examples
    --------
    >>> remember("q7mYb3kq")
    >>> stream = MaskedStream()
    >>> stream.feed("The key is q7mY"), stream.feed("b3kq.", last=True)
    ('The key is ', '***.')
    """

    def __init__(self) -> None:
        self._held_back = ""

    def feed(self, text: str, *, last: bool = False) -> str:
        """Add a piece and return the text that can be shown.

        Parameters
        ----------
        text
            The next piece.
        last
            Whether no piece follows; nothing is then held back.
        """
        text = mask_known(self._held_back + text)
        end = len(text) if last else self._start_of_secret(text)
        self._held_back = text[end:]
        return text[:end]

    def rest(self) -> str:
        """Return the text that is held back, for a stream that ended without a last piece.

        If it has 6 characters or more it is masked, since it is then most likely part of a secret.
        """
        held_back, self._held_back = self._held_back, ""
        return held_back if len(held_back) < SHORTEST_SECRET else MASK

    def _start_of_secret(self, text: str) -> int:
        """Return the first index from which the end of a text may begin a secret."""
        secrets = list(_remembered)
        longest = max(map(len, secrets), default=0)
        run = _LAST_RUN.search(text, max(len(text) - longest + 1, 0))
        for index in range(run.start() if run else len(text), len(text)):
            if any(secret.startswith(text[index:]) for secret in secrets):
                return index
        return len(text)


#: The characters of which a key may consist, at the end of a text.
_LAST_RUN = re.compile(r"[!-~]+\Z")


class Cause(Exception):  # noqa: N818  it replaces an error of another library
    """A safe replacement for another library's exception, as ``__cause__`` of an error of ours.

    The exceptions of requests and urllib3 carry the complete URL, including the access token, in
    their text, their arguments and their request. They therefore never leave the package.
    """

    @classmethod
    def of(cls, error: BaseException) -> Cause:
        """Describe an exception by its class and its masked text.

        Examples
        --------
        >>> Cause.of(TimeoutError("too slow"))
        Cause('TimeoutError: too slow')
        """
        return cls(mask(f"{type(error).__name__}: {error}"))


class MaskingFilter(logging.Filter):
    """Logging filter that masks messages, their arguments and their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record in place; return True, since no record is dropped."""
        record.msg, record.args = mask(record.getMessage()), None
        if record.exc_info:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def guard_logs(*names: str) -> None:
    """Add the masking filter to loggers, once each.

    Parameters
    ----------
    *names
        Names of loggers. The filters of a logger do not apply to its descendants, so each one
        that logs URLs must be named, such as urllib3's connection pool.
    """
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(existing, MaskingFilter) for existing in logger.filters):
            logger.addFilter(MaskingFilter())


#: The package's logger.
log = logging.getLogger("qianfan_magic")
guard_logs(log.name)

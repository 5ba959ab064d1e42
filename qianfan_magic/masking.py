"""The one place that keeps secrets out of text.

Two nets: every credential the package has ever held is remembered and replaced wherever it
turns up, plain or percent-encoded; and whatever *looks* like a credential on Qianfan's wire is
replaced too, so that one from elsewhere does not slip through. Errors and log records pass here.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

MASK = "***"
#: Shorter values are not remembered: replacing them would eat ordinary words.
SHORTEST_SECRET = 6

_LOOKS_SECRET = re.compile(
    r"""(?ix)
      (?P<name> \b (?: access_token | refresh_token | client_id | client_secret | session_key
                     | session_secret | api_?key | secret_?key )
                [\\"']* \s* (?: [=:] | %3D ) \s* [\\"']* )
      (?! \*\*\* ) [^\s&%"'<>,;)}\\]+
    | (?P<scheme> \b bearer \s+ ) (?! \*\*\* | tokens? (?: \s | $ ) ) [^\s"'<>,;]+
    | (?P<signed> \b bce-auth-v1/ ) [^\s"'<>]+
    | \b bce-v3/ [^\s"'<>]+
    | \b [0-9a-f]{64} \b  # a signature alone
    | \b 24\.[0-9a-f]{32} [-.\w]*
    | (?P<userinfo> \b (?: https? | socks[45][ah]? ):// ) [^\s/"'<>:]* : [^\s/"'<>]+ (?= @ )
    """
)
_remembered: dict[str, re.Pattern[str]] = {}


def remember(*secrets: str | None) -> None:
    """Have these values masked from now on, wherever they appear.

    Parameters
    ----------
    *secrets
        Keys, tokens or passwords. None and values under 6 characters are left out.
    """
    for secret in secrets:
        if secret and len(secret) >= SHORTEST_SECRET and secret not in _remembered:
            _remembered[secret] = _pattern(secret)


def _pattern(secret: str) -> re.Pattern[str]:
    """Match a secret as it may stand in an address or in JSON, each character by itself."""
    return re.compile("".join(map(_spelling, secret)))


def _spelling(character: str) -> str:
    escape = rf"\\u(?i:{ord(character):04x})"  # as JSON may write it
    if character.isascii() and character.isalnum():
        return f"(?:{character}|{escape})"
    # surrogatepass: a variable of the environment may hold bytes that are no UTF-8.
    encoded = quote(character, safe="", errors="surrogatepass")
    plus = r"|\+" if character == " " else ""
    return rf"(?:\\?{re.escape(character)}|(?i:{re.escape(encoded)})|{escape}{plus})"


def mask(text: str) -> str:
    """Replace every secret in a text by ``***``.

    Parameters
    ----------
    text
        Anything that is about to be shown, logged or raised.

    Returns
    -------
    str
        The same text without secrets.
    """
    return _LOOKS_SECRET.sub(_keep_name, mask_known(text))


def mask_known(text: str) -> str:
    """Replace the secrets that the package holds, and leave what only looks like one.

    For text that must stay as it is, such as an answer's code in a saved notebook.
    """
    # A copy, taken in one step, and no lock: a process that forks would inherit it locked.
    longest_first = sorted(list(_remembered), key=len, reverse=True)  # noqa: C414
    for secret in longest_first:
        text = _remembered[secret].sub(MASK, text)
    return text


class MaskedStream:
    """Masks known secrets in text that arrives in pieces, also where a piece ends within one.

    What may be the beginning of a secret is held back until more has come.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str, *, last: bool = False) -> str:
        """Take in a piece; return what can be shown."""
        text = mask_known(self._held + text)
        cut = len(text) if last else self._beginning(text)
        self._held = text[cut:]
        return text[:cut]

    def rest(self) -> str:
        """Return what is held back of a text that ended early; long enough, it was a secret."""
        held, self._held = self._held, ""
        return held if len(held) < SHORTEST_SECRET else MASK

    def _beginning(self, text: str) -> int:
        """Return the place from which the end of a text may be the beginning of a secret."""
        secrets = list(_remembered)
        longest = max(map(len, secrets), default=0)
        run = _LAST_RUN.search(text, max(len(text) - longest + 1, 0))
        for place in range(run.start() if run else len(text), len(text)):
            if any(secret.startswith(text[place:]) for secret in secrets):
                return place
        return len(text)


#: What a secret may consist of, at the end of a text.
_LAST_RUN = re.compile(r"[!-~]+\Z")


def _keep_name(found: re.Match[str]) -> str:
    kept = ("name", "scheme", "signed", "userinfo")
    name = next((found[group] for group in kept if found[group]), "")
    return name + MASK


class Cause(Exception):  # noqa: N818  it stands for an error of another library
    """What is left of another library's exception: its class and its masked text.

    The exceptions of requests and urllib3 carry the whole address, the token in it, in their
    text, their arguments and their request. So none of them leaves the package; this does.
    """

    @classmethod
    def of(cls, error: BaseException) -> Cause:
        """Describe an exception of another library without its secrets."""
        return cls(mask(f"{type(error).__name__}: {error}"))


class MaskingFilter(logging.Filter):
    """Masks log records, their arguments and their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; never drop it."""
        record.msg, record.args = mask(record.getMessage()), None
        if record.exc_info:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def guard_logs(*names: str) -> None:
    """Put the masking filter on loggers, once each.

    A filter of a logger sees only what is logged to that very logger, so each is named: the
    package's own, and those of urllib3 that write down addresses.
    """
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(known, MaskingFilter) for known in logger.filters):
            logger.addFilter(MaskingFilter())


log = logging.getLogger("qianfan_magic")
guard_logs(log.name)

"""A request on its way and what came back, for those who want to see it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.masking import MASK, mask

if TYPE_CHECKING:
    import requests

#: Digits of a limit.
LONGEST_COUNT = 15
#: Pictures of more characters than this are not written down.
LONGEST_DATA = 64
_PICTURE = re.compile(rf"(data:[\w/.+-]+;base64,)([\w+/=]{{{LONGEST_DATA},}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that is checked and ready to be sent; holds no secret.

    Attributes
    ----------
    version
        Of the API.
    kind
        ``"chat"`` or ``"completion"``.
    service
        The endpoint or model that is asked.
    base_url
        Of the version's server.
    url
        Without the access token.
    body
        What goes out as JSON.
    """

    version: ApiVersion
    kind: Kind
    service: str
    base_url: str
    url: str
    body: dict[str, Any]


@dataclass(slots=True)
class Attempt:
    """One time that a request was sent.

    Attributes
    ----------
    begun
        Seconds after the first attempt.
    took
        Seconds until the headers of the answer, or until it failed.
    sent
        What went out, with its secrets.
    response
        Whose status and headers count; None if there was no answer.
    error
        Why another attempt was needed, or why there was none.
    """

    begun: float
    took: float = 0.0
    sent: requests.PreparedRequest | None = field(default=None, repr=False)
    response: requests.Response | None = field(default=None, repr=False)
    error: BaseException | None = None


@dataclass(slots=True)
class Exchange:
    """A request, its attempts and what came back.

    Attributes
    ----------
    request
        What is asked.
    attempts
        The last one is that which was answered.
    received
        The answer's pieces, as they came.
    first, took
        Seconds from the beginning to the first piece and to the end; None before.
    """

    request: Request
    attempts: list[Attempt] = field(default_factory=list)
    received: list[str] = field(default_factory=list, repr=False)
    first: float | None = None
    took: float | None = None
    _begun: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._begun


def masked(text: str) -> str:
    """Mask the secrets of what went over the wire, and leave out the data of pictures."""
    return mask(without_pictures(text))


def without_pictures(text: str) -> str:
    """Leave out the data of pictures."""
    return _PICTURE.sub(lambda found: f"{found[1]}{MASK}", text)


#: What http.client leaves out of the header Host.
_OWN_PORTS = {"http": ":80", "https": ":443"}


def http_text(prepared: requests.PreparedRequest) -> str:
    """Write a request down as it goes out, byte for byte (RFC 9112); not masked."""
    address = urlsplit(prepared.url or "")
    headers = dict(prepared.headers)
    if not any(name.lower() == "host" for name in headers):
        host = address.netloc.rpartition("@")[2].removesuffix(_OWN_PORTS.get(address.scheme, ""))
        headers = {"Host": host, **headers}
    lines = [f"{prepared.method} {prepared.path_url} HTTP/1.1"]
    lines += [f"{name}: {_plain(value)}" for name, value in headers.items()]
    return "\n".join([*lines, "", _plain(prepared.body or b"")])


def _plain(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def exchange_to_dict(exchange: Exchange) -> dict[str, Any]:
    """Return all there is to know, secrets masked.

    Returns
    -------
    dict
        ``request``: the text that went out. ``attempts``: of each, ``begun`` and ``took`` in
        seconds, ``status`` and ``error``. ``status``, ``headers``, ``response``: what came back;
        None and empty if nothing did. ``truncate``, ``seconds``: until the first piece, and until
        the end.
    """
    last = exchange.attempts[-1] if exchange.attempts else Attempt(0)
    response = last.response
    headers = dict(response.headers) if response is not None else {}
    return {
        "request": masked(http_text(last.sent)) if last.sent is not None else "",
        "attempts": [_attempt(one) for one in exchange.attempts],
        "status": None if response is None else response.status_code,
        "headers": {
            masked(name): MASK if name.lower() == "set-cookie" else masked(value)
            for name, value in headers.items()
        },
        "response": masked("".join(events_of(exchange))),
        "first": exchange.first,
        "seconds": exchange.took,
    }


def limits_left(exchange: Exchange) -> list[str]:
    """Say what the service's limits leave, by the headers of its last answer; empty if nothing."""
    responses = [one.response for one in exchange.attempts if one.response is not None]
    headers = responses[-1].headers if responses else {}
    left = []
    for what in ("Requests", "Tokens", "Input-Tokens", "Output-Tokens"):
        counts = [headers.get(f"X-Ratelimit-{side}-{what}", "") for side in ("Remaining", "Limit")]
        if all(count.isdecimal() and len(count) <= LONGEST_COUNT for count in counts):
            remaining, limit = map(int, counts)
            left.append(f"{remaining:,} of {limit:,} {what.lower().replace('-', ' ')}")
    return left


def _attempt(attempt: Attempt) -> dict[str, Any]:
    response, error = attempt.response, attempt.error
    return {
        "begun": attempt.begun,
        "took": attempt.took,
        "status": None if response is None else response.status_code,
        "error": masked(" ".join(str(error).split())) if error else "",
    }


def events_of(exchange: Exchange) -> list[str]:
    """Return what came back, as it came: the events of a stream, or a whole answer."""
    response = exchange.attempts[-1].response if exchange.attempts else None
    kind = response.headers.get("Content-Type", "") if response is not None else ""
    if not kind.lower().startswith("text/event-stream"):
        return exchange.received
    return [f"data: {piece}\n\n" for piece in exchange.received]

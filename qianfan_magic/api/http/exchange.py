"""A request and the record of its attempts, which ``%qianfan request`` shows."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qianfan_magic.api.http.received import Received
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.masking import MASK, mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

__all__ = [
    "Attempt",
    "Exchange",
    "Request",
    "events_of",
    "exchange_to_dict",
    "http_text",
    "limits_left",
    "masked",
    "without_pictures",
]

#: Smallest number of base64 characters of an image that is left out of texts.
_SHORTEST_IMAGE = 64
_IMAGE = re.compile(rf"(data:[\w/.+-]+;base64,)([\w+/=]{{{_SHORTEST_IMAGE},}})")
#: Largest number of digits of a rate limit: int() takes quadratic time for very long ones.
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A validated request without its authentication; contains no secret.

    Attributes
    ----------
    version
        The version of the API.
    kind
        ``"chat"`` or ``"completion"``.
    service
        The name of the endpoint or model.
    base_url
        The address of the version's server.
    url
        The request's URL, without the access token.
    body
        The JSON object to send.
    """

    version: ApiVersion
    kind: Kind
    service: str
    base_url: str
    url: str
    body: dict[str, Any]


@dataclass(slots=True)
class Attempt:
    """One attempt to send a request.

    Attributes
    ----------
    begun
        Start of the attempt, in seconds after the call began.
    took
        Seconds until the headers of the response, or until the attempt failed.
    sent
        The HTTP request, with its secrets; None if it failed before it was sent.
    response
        The response, for its status and headers; None if none came.
    error
        The error that ended the attempt; None if it was answered.
    """

    begun: float
    took: float = 0.0
    sent: requests.PreparedRequest | None = field(default=None, repr=False)
    response: requests.Response | None = field(default=None, repr=False)
    error: BaseException | None = None


@dataclass(slots=True)
class Exchange:
    """A request, its attempts and the answer as it was received.

    Attributes
    ----------
    request
        The request.
    attempts
        All attempts in order; the last one has the answer, if any.
    received
        The body of the answer to the last attempt.
    is_stream
        Whether `received` are the events of a stream.
    first, took
        Seconds from the beginning to the first chunk and to the end; None until then.
    """

    request: Request
    attempts: list[Attempt] = field(default_factory=list)
    received: Received = field(default_factory=Received, repr=False)
    is_stream: bool = False
    first: float | None = None
    took: float | None = None
    _begun: float = field(default_factory=time.monotonic)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the last response; empty if none came."""
        # `is not None`: a response with the status of an error is falsy.
        responses = [sent.response for sent in self.attempts if sent.response is not None]
        return responses[-1].headers if responses else {}

    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self._begun


def masked(text: str) -> str:
    """Mask secrets, and the data of images, in text that went over the wire."""
    return mask(without_pictures(text))


def without_pictures(text: str) -> str:
    """Replace the base64 data of images by ``***``.

    Examples
    --------
    >>> without_pictures("data:image/png;base64," + "iVBORw0KGgo" * 9)
    'data:image/png;base64,***'
    """
    return _IMAGE.sub(lambda found: f"{found[1]}{MASK}", text)


#: http.client leaves the default port out of the header Host.
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def http_text(prepared: requests.PreparedRequest) -> str:
    """Return the text of an HTTP/1.1 request (RFC 9112) as it is sent; not masked.

    Examples
    --------
    >>> import requests
    >>> prepared = requests.Request("POST", "http://127.0.0.1:80/x", data=b"{}").prepare()
    >>> print(http_text(prepared))
    POST /x HTTP/1.1
    Host: 127.0.0.1
    Content-Length: 2
    <BLANKLINE>
    {}
    """
    address = urlsplit(prepared.url or "")
    headers = dict(prepared.headers)
    if not any(name.lower() == "host" for name in headers):
        # requests leaves Host to http.client, which writes it first.
        default_port = _DEFAULT_PORTS.get(address.scheme, "")
        host = address.netloc.rpartition("@")[2].removesuffix(default_port)
        headers = {"Host": host, **headers}
    lines = [f"{prepared.method} {prepared.path_url} HTTP/1.1"]
    lines += [f"{name}: {_to_str(value)}" for name, value in headers.items()]
    return "\n".join([*lines, "", _to_str(prepared.body or b"")])


def _to_str(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def exchange_to_dict(exchange: Exchange, *, whole: bool = True) -> dict[str, Any]:
    """Return the record of an exchange as plain values, secrets masked.

    Parameters
    ----------
    exchange
        The record.
    whole
        Whether the response is part of it; it may be long, and masking it takes time.

    Returns
    -------
    dict
        ``request``: the text of the last HTTP request. ``attempts``: ``begun`` and ``took`` (in
        seconds), ``status`` and ``error`` of each. ``status``, ``headers``, ``response``: those
        of the last response; None and empty if none came. ``first``, ``seconds``: seconds until
        the first chunk and until the end.
    """
    last = exchange.attempts[-1] if exchange.attempts else Attempt(0)
    response = last.response
    headers = dict(response.headers) if response is not None else {}
    return {
        "request": masked(http_text(last.sent)) if last.sent is not None else "",
        "attempts": [_attempt_to_dict(attempt) for attempt in exchange.attempts],
        "status": None if response is None else response.status_code,
        "headers": {
            # A gateway's session cookie is a credential that `mask` cannot recognise.
            masked(name): MASK if name.lower() == "set-cookie" else masked(value)
            for name, value in headers.items()
        },
        "response": masked("".join(events_of(exchange))) if whole else "",
        "first": exchange.first,
        "seconds": exchange.took,
    }


def limits_left(exchange: Exchange) -> list[str]:
    """Return what is left of the service's rate limits, such as ``59 of 60 requests``.

    Version 2 sends them as headers ``X-Ratelimit-…`` of each response; the last one is read.
    """
    headers, left = exchange.headers, []
    for unit in ("Requests", "Tokens", "Input-Tokens", "Output-Tokens"):
        counts = [headers.get(f"X-Ratelimit-{name}-{unit}", "") for name in ("Remaining", "Limit")]
        if all(count.isdecimal() and len(count) <= _MAX_DIGITS for count in counts):
            remaining, limit = map(int, counts)
            left.append(f"{remaining:,} of {limit:,} {unit.lower().replace('-', ' ')}")
    return left


def _attempt_to_dict(attempt: Attempt) -> dict[str, Any]:
    response, error = attempt.response, attempt.error
    return {
        "begun": attempt.begun,
        "took": attempt.took,
        "status": None if response is None else response.status_code,
        "error": masked(" ".join(str(error).split())) if error else "",
    }


def events_of(exchange: Exchange) -> Iterator[str]:
    """Iterate over the answer as it was received: the events of a stream, or one whole body."""
    if not exchange.is_stream:
        yield b"".join(exchange.received).decode(errors="replace")
        return
    decoder = EventDecoder()
    with suppress(ValueError):  # an event that does not end
        for piece in exchange.received:
            yield from (f"data: {data}\n\n" for data in decoder.feed(piece))
        yield from (f"data: {data}\n\n" for data in decoder.close())

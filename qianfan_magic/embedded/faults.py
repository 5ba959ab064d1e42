"""Errors that the embedded server responds with: faults injected by a test, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Fault", "ServiceError"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure to inject into the response to one request.

    Attributes
    ----------
    error_code : int or str
        Respond with this error of the service, in the format of the API version that is called:
        a number in version 1, a word in version 2. 0, the default, is no error.
    error_msg : str
        The error's message.
    status : int
        HTTP status code. Default: 200. 0 sends nothing at all before the `end`.
    headers : mapping
        HTTP headers to add to the response.
    body : bytes or None
        Respond with these bytes. Ignored if there is an `error_code`.
    after : int
        Number of chunks of a stream that are sent before the fault takes effect. Default: 0.
    end : {"", "close", "reset", "silence"}
        How the connection ends: as usual, closed (TCP FIN), reset (TCP RST), or kept open without
        sending anything until the client closes it.
    fields : mapping
        Fields to add to the response, or to each of its chunks, which is otherwise correct.
        ``flag`` and ``ban_round`` go into the choice in version 2.
    path : str
        The fault applies to the first request whose path contains this text. The default matches
        the models of version 1, ``/v2/`` all of version 2, ``/oauth/`` and ``/BCE-BEARER/`` the
        token endpoints.

    Examples
    --------
    >>> Fault(after=3, end="close").status  # a stream that breaks after three chunks
    200
    >>> Fault(status=429, error_code="rpm_rate_limit_exceeded", path="/v2/").end
    ''
    """

    error_code: int | str = 0
    error_msg: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    after: int = 0
    end: Literal["", "close", "reset", "silence"] = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    path: str = "/ai_custom/"


class ServiceError(Exception):
    """An error that the service responds with, because a request is invalid.

    Parameters
    ----------
    error_code
        Version 1's number, or the word of version 2 or of IAM.
    error_msg
        The service's message.
    status
        HTTP status code. Ignored by version 1, which responds to everything with 200.
    """

    def __init__(self, error_code: int | str, error_msg: str, status: int = 400) -> None:
        super().__init__(error_msg)
        self.error_code = error_code
        self.error_msg = error_msg
        self.status = status

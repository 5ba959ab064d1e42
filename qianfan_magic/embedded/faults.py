"""What the embedded server can be told to do wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, once.

    Attributes
    ----------
    error_code, error_msg
        The service's error is sent, in the shape of the version that is asked.
    status, headers, body
        These are sent in its place; an error of version 2 has a status too.
    after
        So many chunks of a stream are sent before it happens.
    end
        Then the connection is closed, reset, or falls silent; "" ends as it should.
    fields
        Put into every chunk of an otherwise good answer; version 2 has ``flag`` and
        ``ban_round`` in the choice.
    path
        Only a request whose path holds this is hit: ``/wenxinworkshop/`` are the models of
        version 1, ``/v2/`` is version 2, ``/oauth/`` and ``/BCE-BEARER/`` give tokens.
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


class Refusal(Exception):  # noqa: N818  an answer of the service, not an error of the server
    """The service says no.

    Parameters
    ----------
    error_code
        Version 1's number, or the word of version 2 or of IAM.
    error_msg
        In the service's words.
    status
        Of HTTP; version 1 answers 200 whatever it says.
    """

    def __init__(self, error_code: int | str, error_msg: str, status: int = 400) -> None:
        super().__init__(error_msg)
        self.error_code = error_code
        self.error_msg = error_msg
        self.status = status

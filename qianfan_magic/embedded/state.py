"""What the handlers of one embedded server share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(slots=True)
class ReceivedRequest:
    """A request that came in.

    Attributes
    ----------
    method, path, headers, body
        As they came; the path is without the query, which holds the token, and the repr without
        the headers, which hold the other one.
    sent
        How many chunks of the answer went out.
    closed_early
        Whether the client closed the connection before its end.
    """

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes
    sent: int = 0
    closed_early: bool = False

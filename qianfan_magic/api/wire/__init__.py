"""What goes over the wire: a module for each version of the API, and the types of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.types import ApiVersion, Chunk, Kind
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.api.wire.reply import read_reply

__all__ = ["WIRES", "Wire", "read_reply"]


class Wire(Protocol):
    """What each version of the API has a function of its own for; the modules are the versions."""

    def path(self, kind: Kind, model: str, /) -> str:
        """Return the address of a service behind the base URL."""

    def body(
        self,
        kind: Kind,
        service: Service,
        asked: Any,
        parameters: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """Build the body of a request."""

    def read_chunk(
        self, payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
    ) -> Chunk:
        """Read one event of a stream, or a whole answer."""

    def read_error(self, payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
        """Read an error's code and words; None if it is none."""


WIRES: dict[ApiVersion, Wire] = {ApiVersion.V1: v1, ApiVersion.V2: v2}

"""The wire format of each version of the API; pure, no I/O.

`v1` and `v2` have the same functions, which `Wire` describes. `WIRES` selects the module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.types import ApiVersion, Chunk, Kind, Reply
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.api.wire.reply import ReplyBuilder

__all__ = ["WIRES", "Wire", "read_reply", "reply_builder"]


class Wire(Protocol):
    """The functions that the module of each version of the API has; `v1` documents them."""

    def path(self, kind: Kind, model: str, /) -> str:
        """Return the path of a service below the base URL."""

    def body(
        self,
        kind: Kind,
        service: Service,
        content: Any,
        parameters: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """Build the body of a request."""

    def read_chunk(
        self, payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
    ) -> Chunk:
        """Read one event of a stream, or a whole response."""

    def is_finished(self, payload: Mapping[str, Any], before: bool, /) -> bool:
        """Return whether the model has ended its answer, though the stream may go on."""

    def read_metadata(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Read the flags in a chunk's JSON, by the names of `Reply`'s fields."""

    def read_tool_calls(self, raw: Mapping[str, Any]) -> tuple[list[Any], bool]:
        """Read the calls of functions in a chunk's JSON, and whether they are all."""

    def read_error(self, payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
        """Read the code and message of an error; None if the payload is not an error."""


#: The module of each version.
WIRES: dict[ApiVersion, Wire] = {ApiVersion.V1: v1, ApiVersion.V2: v2}


def reply_builder(version: ApiVersion) -> ReplyBuilder:
    """Return a builder that joins the chunks of an answer of this version."""
    wire = WIRES[version]
    return ReplyBuilder(wire.read_metadata, wire.read_tool_calls)


def read_reply(chunks: Iterable[Chunk], version: ApiVersion) -> Reply:
    """Join the chunks of a stream, or the one chunk of a whole response."""
    builder = reply_builder(version)
    for chunk in chunks:
        builder.add(chunk)
    return builder.build()

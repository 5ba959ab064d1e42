"""The chunks of an answer, joined into a reply; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qianfan_magic.api.json_depth import json_as_text
from qianfan_magic.api.types import Chunk, Reply, Usage
from qianfan_magic.api.wire.growing_text import GrowingText
from qianfan_magic.api.wire.tool_calls import ToolCalls
from qianfan_magic.masking import mask

__all__ = ["ReplyBuilder"]

#: A ``ban_round`` beyond this is not the number of a turn.
MAX_BAN_ROUND = 1_000_000


class ReplyBuilder:
    """Joins the chunks of one answer as they arrive.

    Flags are taken from every chunk, not only from the last: services differ in where they put
    them, and an answer that was found unsafe once stays unsafe.

    Parameters
    ----------
    read_metadata
        Reads the flags of one chunk's JSON, as the version of the API writes them.
    read_tool_calls
        Reads the calls of functions, and whether they replace those of the chunks before.
    """

    def __init__(
        self,
        read_metadata: Callable[[Mapping[str, Any]], dict[str, Any]],
        read_tool_calls: Callable[[Mapping[str, Any]], tuple[list[Any], bool]],
    ) -> None:
        self._read_metadata = read_metadata
        self._read_tool_calls = read_tool_calls
        self._tool_calls = ToolCalls()
        self._text = GrowingText()
        self._reasoning = GrowingText()
        self._metadata: dict[str, Any] = {}
        self._raw: Mapping[str, Any] = {}
        self._usage = Usage()

    def add(self, chunk: Chunk) -> None:
        """Append the next chunk."""
        self._text.append(chunk.text)
        self._reasoning.append(chunk.reasoning)
        is_repeated = chunk.raw is self._raw  # by the chunk that stands for [DONE]
        self._raw, self._usage = chunk.raw or self._raw, chunk.usage
        metadata = self._read_metadata(chunk.raw)
        if self._metadata.get("is_safe") is False:
            metadata["is_safe"] = False
        self._metadata |= metadata
        calls, is_whole = self._read_tool_calls(chunk.raw)
        if calls and is_whole:
            self._tool_calls.replace(calls)
        elif calls and not is_repeated:
            self._tool_calls.add(calls)

    def build(self) -> Reply:
        """Return the reply of the chunks so far."""
        metadata = dict(self._metadata)
        metadata["finish_reason"] = mask(metadata.get("finish_reason", ""))
        ban_round = metadata.get("ban_round")
        is_turn = isinstance(ban_round, int) and -1 <= ban_round <= MAX_BAN_ROUND
        metadata["ban_round"] = ban_round if is_turn else None
        return Reply(
            text=str(self._text),
            reasoning=str(self._reasoning),
            id=mask(json_as_text(self._raw.get("id") or "")),
            usage=self._usage,
            raw=self._raw,
            tool_calls=self._tool_calls.build(),
            **metadata,
        )

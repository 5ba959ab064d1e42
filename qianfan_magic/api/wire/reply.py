"""The chunks of an answer, joined; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qianfan_magic.api.types import Chunk, Reply, Usage
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.masking import mask

#: A conversation of more turns is none.
MOST_ROUNDS = 1_000_000


def read_reply(chunks: Iterable[Chunk]) -> Reply:
    """Join the chunks of a stream, or the one chunk of a whole answer.

    What any of them says counts, not only what the last does.
    """
    text: list[str] = []
    reasoning: list[str] = []
    said: dict[str, Any] = {}
    last: Mapping[str, Any] = {}
    usage = Usage()
    for chunk in chunks:
        text.append(chunk.text)
        reasoning.append(chunk.reasoning)
        last, usage = chunk.raw, chunk.usage
        says = (v2 if "choices" in last else v1).read_metadata(last)
        if said.get("is_safe") is False:
            says["is_safe"] = False
        said |= says
    said["finish_reason"] = mask(said.get("finish_reason", ""))
    ban_round = said.get("ban_round")
    is_count = isinstance(ban_round, int) and -1 <= ban_round <= MOST_ROUNDS
    said["ban_round"] = ban_round if is_count else None
    return Reply(
        text="".join(text),
        reasoning="".join(reasoning),
        id=mask(str(last.get("id") or "")),
        usage=usage,
        raw=last,
        **said,
    )

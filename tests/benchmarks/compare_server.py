"""The server of the comparison: version 2, answers that the question names, a process of its own.

``prose-600-100-8`` asks for a `Stream`, ``recorded NAME`` for a file of ``tests/data/streams``, and
``hostile 7`` for the seventh payload of `support.hostile`.
"""

from __future__ import annotations

import json
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

from serving import ROOT, Answer, Seen, Stream, json_answer, stream_answer, v2_chunk
from support.hostile import PAYLOADS

STREAMS = ROOT / "tests/data/streams"
DONE = b"data: [DONE]\n\n"


def answered(seen: Seen) -> Answer:
    """Answer a chat of version 2 by its last message, as a stream or as a whole."""
    asked = json.loads(seen.body)
    if asked["messages"][-1]["role"] != "user":  # a peer that goes on after calls of functions
        return Answer(status=400)
    name, _, rest = question(asked["messages"]).partition(" ")
    if name == "recorded":
        return recorded(STREAMS / f"{rest}.sse")
    stream = None if name == "hostile" else Stream.named(name)
    if not asked.get("stream"):
        time.sleep(stream.chunks / stream.rate if stream and stream.rate else 0)
        return whole(stream.text if stream else payload(int(rest)))
    if stream and not stream.rate:
        return at_once(stream)
    answer = stream.answer(v2_chunk) if stream else in_parts(payload(int(rest)))
    return stream_answer(*answer.pieces, DONE)


def recorded(path: Path) -> Answer:
    """Return a recorded stream, whose connection ends as the file beside it says."""
    ends = json.loads(path.with_suffix(".json").read_text()).get("ends", ["close"])
    return stream_answer(path.read_bytes(), end=ends[0])


def question(messages: list[dict[str, Any]]) -> str:
    """Return the text of the last message, which may be a list of parts."""
    content = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def whole(text: str) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice |= {"finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    shape = {"id": "as-1", "object": "chat.completion", "created": 1, "model": "ernie-5.1"}
    return json_answer({**shape, "choices": [choice], "usage": usage})


@cache
def at_once(stream: Stream) -> Answer:
    """Return the answer ready-made, head and framing included, in few pieces of bytes."""
    sent = Answer(headers={"Content-Type": "text/event-stream"}, framing="chunked")
    pieces = [each for each in stream.answer(v2_chunk).pieces if isinstance(each, bytes)]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, DONE]]
    # A piece must be taken within the server's time-out, also by a slow peer.
    joined = [b"".join(chunks[at : at + 1_000]) for at in range(0, len(chunks), 1_000)]
    return Answer(status=0, framing="close", pieces=[sent.head(), *joined, b"0\r\n\r\n"])


def in_parts(text: str) -> Answer:
    """Stream a text in three pieces."""
    size = len(text) // 3 + 1
    parts = [text[place : place + size] for place in range(0, len(text), size)]
    chunks = (v2_chunk(part, number, len(parts)) for number, part in enumerate(parts))
    # As ASCII: half of a pair of surrogates has no bytes of its own, only an escape.
    return stream_answer(*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks))


def payload(number: int) -> str:
    """Return a hostile answer that says which it is, in what it runs and where it asks."""
    text = [*PAYLOADS.values()][number]
    text = re.sub(r"\bran(?==|\+\+|%3D)", f"ran_{number}_", text)
    text = text.replace("127.0.0.1:9/evil", f"127.0.0.1:9/p{number}.evil")
    return text.replace("evil.example", f"p{number}.evil.example")

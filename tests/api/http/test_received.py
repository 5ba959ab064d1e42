"""An answer as it was received: all of it, in little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from support.raw_server import stream_answer

from qianfan_magic.api.http.exchange import events_of
from qianfan_magic.api.http.received import BLOCK, Received
from qianfan_magic.api.wire import reply_builder

HELLO = [{"role": "user", "content": "hi"}]
#: Pieces of a body, of which two that are long fill a block.
PIECES = st.builds(
    lambda data, times: data * times, st.binary(max_size=2), st.sampled_from([1, BLOCK // 3])
)


@given(st.lists(PIECES, max_size=6))
def test_what_was_received_comes_back_as_it_was(pieces):
    received = Received()
    for piece in pieces:
        received.append(piece)
    assert b"".join(received) == b"".join(pieces)


def test_stream_of_small_chunks_takes_a_few_times_its_text(raw_server, make_client, monkeypatch):
    """Kept as they come, these 20,000 chunks take 60 times their text."""
    monkeypatch.setattr(
        "qianfan_magic.api.http.received.BLOCK", BLOCK // 64
    )  # as if there were more
    words = [f"{number * 7919 % 99_991:07d} " for number in range(20_000)]
    usage = {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}
    rest = {"id": "as-1", "object": "chat.completion", "created": 1, "usage": usage}
    events = [rest | {"result": word, "is_end": word is words[-1]} for word in words]
    raw_server.script += [stream_answer(*events)]
    client = make_client()
    call = client.start("chat", HELLO, {"endpoint": "ep"})
    builder = reply_builder(1)
    tracemalloc.start()
    try:
        for chunk in call.chunks():
            builder.add(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert builder.build().text == "".join(words)
    assert len(list(events_of(call.exchange))) == len(words)
    assert peak < 8 * len("".join(words)), peak

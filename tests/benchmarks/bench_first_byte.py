"""Time from the server's first byte to the first ``Chunk``, beside a bare socket.

Run: ``python tests/benchmarks/bench_first_byte.py``

The server, a process of its own, writes the time into its first event just before it sends the
answer's head, and then falls silent. 50 runs; the readers take turns. Target: the median is at
most 3 ms over the socket's.
"""

from __future__ import annotations

import json
import socket
import time
from functools import partial
from urllib.parse import urlsplit

from serving import HELLO, TOKEN, Answer, Seen, median, print_table, server_apart, stream_answer

RUNS = 50


def stamped(_seen: Seen, *, framing: str) -> Answer:
    return stream_answer({"result": str(time.monotonic_ns())}, framing=framing, end="silent")


def ours(client) -> float:
    chunks = client.stream_chat(HELLO, endpoint="ep")
    sent = int(next(chunks).text)
    took = time.monotonic_ns() - sent
    chunks.close()
    return took / 1e6


def bare(port: int) -> float:
    body = json.dumps({"messages": HELLO, "stream": True}).encode()
    head = f"POST /chat/ep?access_token={TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        got = b""
        while b"}\n\n" not in got:
            got += connection.recv(65_536)
        sent = int(json.loads(got[got.index(b"{") : got.index(b"}") + 1])["result"])
        return (time.monotonic_ns() - sent) / 1e6


def main() -> None:
    from qianfan_magic import QianfanClient

    rows = []
    for framing in ("chunked", "close"):
        with server_apart(partial(stamped, framing=framing)) as url:
            port = urlsplit(url).port
            with QianfanClient(access_token=TOKEN, base_url=url) as client:
                ours(client)
                pairs = [(ours(client), bare(port)) for _ in range(RUNS)]
        mine, theirs = (median(times) for times in zip(*pairs, strict=True))
        name = "chunked" if framing == "chunked" else "not chunked"
        rows.append([name, mine, theirs, mine - theirs, mine / theirs])
    print_table(["connection", "Chunk (ms)", "socket (ms)", "over (ms)", "times"], rows)


if __name__ == "__main__":
    main()

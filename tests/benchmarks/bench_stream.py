"""Chunks a second through ``stream_chat``, beside bare requests and the official SDK.

Run: ``python tests/benchmarks/bench_stream.py``

5,000 chunks of 8 characters from a server in a process of its own, which sends ready-made bytes.
The readers take turns; what is shown is the median of the rounds, and the median of each round's
ratio. Targets: at least 0.8 of requests' ``iter_lines`` with ``json.loads``, and 2.5 times the
SDK (``pip install qianfan``).
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable

import requests
from serving import HELLO, TOKEN, Answer, median, print_table, server_apart

CHUNKS, ROUNDS = 5_000, 11
PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ep"
Reader = Callable[[], int]


def ready_made(*, chunked: bool) -> bytes:
    """Build the whole answer, head and framing included."""
    frame = "Transfer-Encoding: chunked" if chunked else "Connection: close"
    pieces = [f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{frame}\r\n\r\n".encode()]
    for number in range(CHUNKS):
        event = (
            b"data: %s\n\n"
            % json.dumps(
                {
                    "id": "as-bcmt5ct4iy",
                    "object": "chat.completion",
                    "created": 1680167072,
                    "sentence_id": number,
                    "is_end": number == CHUNKS - 1,
                    "is_truncated": False,
                    "result": "八个字的一段文本",
                    "need_clear_history": False,
                    "usage": {
                        "prompt_tokens": 5,
                        "completion_tokens": 0,
                        "total_tokens": 5 + number,
                    },
                },
                ensure_ascii=False,
            ).encode()
        )
        pieces.append(b"%x\r\n%s\r\n" % (len(event), event) if chunked else event)
    return b"".join([*pieces, b"0\r\n\r\n" if chunked else b""])


def ours(url: str) -> Reader:
    from qianfan_magic import QianfanClient

    client = QianfanClient(access_token=TOKEN, base_url=url)
    return lambda: sum(len(c.text) for c in client.stream_chat(HELLO, endpoint="ep"))


def bare(url: str) -> Reader:
    session = requests.Session()

    def read() -> int:
        body = {"messages": HELLO, "stream": True}
        query = {"access_token": TOKEN}
        with session.post(url + PATH, json=body, params=query, stream=True) as response:
            lines = response.iter_lines()
            return sum(len(json.loads(line[6:])["result"]) for line in lines if line)

    return read


def official(url: str) -> Reader:
    import qianfan

    qianfan.get_config().BASE_URL = url
    qianfan.get_config().ACCESS_TOKEN = TOKEN
    chat = qianfan.ChatCompletion(version="1")

    def read() -> int:
        answers = chat.do(endpoint="ep", messages=HELLO, stream=True)
        return sum(len(answer["result"]) for answer in answers)

    return read


def measure(reader: Reader) -> float:
    started = time.perf_counter()
    characters = reader()
    seconds = time.perf_counter() - started
    if characters != 8 * CHUNKS:
        raise RuntimeError(f"{characters} characters arrived")
    return CHUNKS / seconds


def main() -> None:
    makers = {"qianfan_magic": ours, "requests + json": bare, "official SDK": official}
    if importlib.util.find_spec("qianfan") is None:
        print("The official SDK is not installed; it is left out (pip install qianfan).")
        del makers["official SDK"]
    for chunked in (True, False):
        answer = Answer(status=0, framing="close", pieces=[ready_made(chunked=chunked)])
        with server_apart(answer) as url:
            readers = {name: make(url) for name, make in makers.items()}
            for reader in readers.values():
                reader()
            rounds = [
                {name: measure(reader) for name, reader in readers.items()} for _ in range(ROUNDS)
            ]
        print(f"\n{'chunked' if chunked else 'not chunked'}, {ROUNDS} rounds")
        print_table(
            ["reader", "chunks/s", "we are times it"],
            [
                [
                    name,
                    median(each[name] for each in rounds),
                    median(each["qianfan_magic"] / each[name] for each in rounds),
                ]
                for name in readers
            ],
        )


if __name__ == "__main__":
    main()

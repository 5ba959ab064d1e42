"""Chunks a second through ``stream_chat`` in both versions, beside requests and the official SDK.

Run: ``python tests/benchmarks/bench_stream.py``

5,000 chunks of 8 characters from a server in a process of its own, which sends ready-made bytes.
The readers take turns; what is shown is the median of the rounds, and the median of each round's
ratio. Targets: at least 0.9 of requests' ``iter_lines`` with ``json.loads``, and 2.5 times the
SDK (``pip install qianfan``). Not reached: version 1 in a chunked response, 0.86, since each of its
events has counts of tokens to read.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import requests
from serving import HELLO, TOKEN, Answer, median, print_table, server_apart

CHUNKS, ROUNDS = 5_000, 11
TEXT = "八个字的一段文本"
PATHS = {1: "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/ep", 2: "/v2/chat/completions"}
BEARER = "bce-v3/ALTAK-made-up/for-the-benchmark"
Reader = Callable[[], int]


def event_of(version: int, number: int) -> dict[str, Any]:
    """Make one event of a stream."""
    last = number == CHUNKS - 1
    if version == 1:
        usage = {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5 + number}
        place = {"sentence_id": number, "is_end": last, "is_truncated": False, "result": TEXT}
        shape = {"id": "as-bcmt5ct4iy", "object": "chat.completion", "created": 1680167072}
        return {**shape, **place, "need_clear_history": False, "usage": usage}
    choice = {"index": 0, "delta": {"content": TEXT}, "flag": 0}
    choice |= {"finish_reason": "stop"} if last else {}
    shape = {"id": "as-bcmt5ct4iy", "object": "chat.completion.chunk", "created": 1782475415}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    return {**shape, "model": "ernie-5.1", "choices": [choice]} | ({"usage": usage} if last else {})


def ready_made(version: int, *, chunked: bool) -> bytes:
    """Build the whole answer, head and framing included."""
    frame = "Transfer-Encoding: chunked" if chunked else "Connection: close"
    pieces = [f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{frame}\r\n\r\n".encode()]
    data = [json.dumps(event_of(version, n), ensure_ascii=False) for n in range(CHUNKS)]
    for each in [*data, *["[DONE]"] * (version == 2)]:
        event = f"data: {each}\n\n".encode()
        pieces.append(b"%x\r\n%s\r\n" % (len(event), event) if chunked else event)
    return b"".join([*pieces, b"0\r\n\r\n" if chunked else b""])


def ours(url: str, version: int) -> Reader:
    from qianfan_magic import QianfanClient
    from qianfan_magic.api.config.credentials import Credentials
    from qianfan_magic.api.config.settings import Settings

    keys = Credentials(access_token=TOKEN, bearer_token=BEARER)
    client = QianfanClient(Settings(credentials=keys, base_url=url, console_api_base_url=url))
    asked = {"endpoint": "ep"} if version == 1 else {"model": "ernie-5.1"}
    return lambda: sum(len(c.text) for c in client.stream_chat(HELLO, **asked))


def bare(url: str, version: int) -> Reader:
    session = requests.Session()
    body: dict[str, Any] = {"messages": HELLO, "stream": True}
    if version == 1:
        options: dict[str, Any] = {"params": {"access_token": TOKEN}}
    else:
        body |= {"model": "ernie-5.1", "stream_options": {"include_usage": True}}
        options = {"headers": {"Authorization": f"Bearer {BEARER}"}}

    def text(line: bytes) -> str:
        event = json.loads(line[6:])
        return event["result"] if version == 1 else event["choices"][0]["delta"]["content"]

    def read() -> int:
        with session.post(url + PATHS[version], json=body, stream=True, **options) as response:
            lines = (line for line in response.iter_lines() if line and line != b"data: [DONE]")
            return sum(len(text(line)) for line in lines)

    return read


def official(url: str, version: int) -> Reader:
    import qianfan

    config = qianfan.get_config()
    config.BASE_URL = config.CONSOLE_API_BASE_URL = url
    config.ACCESS_TOKEN, config.BEARER_TOKEN = TOKEN, BEARER
    chat = qianfan.ChatCompletion(version=str(version))
    asked = {"endpoint": "ep"} if version == 1 else {"model": "ernie-5.1"}

    def read() -> int:
        answers = chat.do(messages=HELLO, stream=True, **asked)
        if version == 1:
            return sum(len(answer["result"]) for answer in answers)
        return sum(len(answer["choices"][0]["delta"]["content"]) for answer in answers)

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
    for version, chunked in itertools.product((1, 2), (True, False)):
        pieces = [ready_made(version, chunked=chunked)]
        answer = Answer(status=0, framing="close", pieces=pieces)
        with server_apart(answer) as url:
            readers = {name: make(url, version) for name, make in makers.items()}
            for reader in readers.values():
                reader()
            rounds = [
                {name: measure(reader) for name, reader in readers.items()} for _ in range(ROUNDS)
            ]
        framing = "chunked" if chunked else "not chunked"
        print(f"\nversion {version}, {framing}, {ROUNDS} rounds")
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

"""What the benchmarks share: the tests' server in its own process, answers, medians, a table."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.raw_server import (  # noqa: E402  the path is known only now
    Answer,
    RawServer,
    Seen,
    event,
    json_answer,
    stream_answer,
)

__all__ = ["Answer", "RawServer", "Seen", "json_answer", "stream_answer"]
HELLO = [{"role": "user", "content": "hi"}]
TOKEN = "24.0123456789abcdef0123456789abcdef.2592000"
#: What a kernel runs: first of all, to see an answer live, and as the baseline of that.
SETUP = """%load_ext qianfan_magic
from qianfan_magic import QianfanClient
client = QianfanClient()
asked = [{"role": "user", "content": "hi"}]"""
VIEW = "%%qianfan_chat -e {}\nhi"
PRINT = """for chunk in client.stream_chat(asked, endpoint="{}"):
    print(chunk.text, end="", flush=True)"""


@contextlib.contextmanager
def server_apart(answer: Any) -> Iterator[str]:
    """Serve one answer again and again in another process, which shares no lock with us."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(answer, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


def _serve(answer: Any, pipe: Connection) -> None:
    with RawServer() as server:
        server.script += [answer] * 100_000
        pipe.send(server.url)
        pipe.recv()


class Due(threading.Event):
    """A piece in whose place the server waits until a moment, so that delays do not add up."""

    def __init__(self, moment: float) -> None:
        super().__init__()
        self._moment = moment

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        time.sleep(max(0.0, self._moment - time.monotonic()))
        return True


class Stream(NamedTuple):
    """An answer; the name of the endpoint that gives it says what it is.

    ``rate`` is in chunks a second, 0 as fast as can be; ``size`` is a chunk's, in characters.
    """

    kind: str
    chunks: int
    rate: int
    size: int = 8

    @classmethod
    def asked_by(cls, seen: Seen) -> Self:
        return cls.named(seen.path.rsplit("/", 1)[1])

    @classmethod
    def named(cls, endpoint: str) -> Self:
        kind, *numbers = endpoint.split("-")
        return cls(kind, *map(int, numbers))

    @property
    def endpoint(self) -> str:
        return "-".join(map(str, self))

    @property
    def text(self) -> str:
        length = self.chunks * self.size
        sections = map(KINDS[self.kind], itertools.count(1))
        return "".join(itertools.islice(itertools.chain.from_iterable(sections), length))

    def answer(self, make_chunk: Callable[[str, int, int], dict[str, Any]] | None = None) -> Answer:
        """Return the answer, by default in version 1."""
        text, make_chunk = self.text, make_chunk or v1_chunk
        parts = [text[place : place + self.size] for place in range(0, len(text), self.size)]
        chunks = [make_chunk(part, number, self.chunks) for number, part in enumerate(parts)]
        if self.kind == "cited":
            chunks[0]["search_results"] = SOURCES
        events = [event(chunk) for chunk in chunks]
        begun, gap = time.monotonic(), 1 / self.rate if self.rate else 0.0
        due = [(Due(begun + gap * number), sent) for number, sent in enumerate(events)]
        return stream_answer(*itertools.chain.from_iterable(due))


def streamed(seen: Seen) -> Answer:
    """Answer as the endpoint's name says."""
    return Stream.asked_by(seen).answer()


def v1_chunk(text: str, number: int, chunks: int) -> dict[str, Any]:
    """Make an event of version 1."""
    return {
        "id": "as-bcmt5ct4iy",
        "object": "chat.completion",
        "created": 1680167072,
        "sentence_id": number,
        "is_end": number == chunks - 1,
        "is_truncated": False,
        "result": text,
        "need_clear_history": False,
        "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5 + number},
    }


def v2_chunk(text: str, number: int, chunks: int) -> dict[str, Any]:
    """Make an event of version 2."""
    last = number == chunks - 1
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if last else None}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    shape = {"id": "as-bcmt5ct4iy", "object": "chat.completion.chunk", "created": 1782475415}
    return {**shape, "model": "ernie-5.1", "choices": [choice]} | ({"usage": usage} if last else {})


def prose(number: int) -> str:
    """Write a paragraph of 600 characters, in lines."""
    sentence = f"Part {number} of the wall was built along a border, by a dynasty long gone. "
    return fill((sentence * 9)[:600], 80) + "\n\n"


def chinese(number: int) -> str:
    """Write a paragraph of 200 characters, in one line."""
    return f"第{number}段长城是古代的军事防御工程，" * 12 + "\n\n"


def mixed(number: int) -> str:
    """Write 2,500 characters: a heading, prose, a list, a table, 15 lines of Python, prose."""
    items = [f"- **Tower {item}** of part {number}, with `{item}` gates" for item in range(12)]
    rows = [f"| tower {item} | {number} | {number * item} |" for item in range(10)]
    code = [f"    tower_{item} = build({number}, height={item})" for item in range(14)]
    blocks = [
        [f"## Part {number}"],
        [prose(number).strip()],
        items,
        ["| name | part | height |", "|---|---|---:|", *rows],
        ["```python", "def wall(build):", *code, "```"],
        [prose(number).strip()],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n\n"


def cited(number: int) -> str:
    """Write a paragraph of prose that cites a source after each of its eight sentences."""
    sentence = f"Part {number} of the wall was built along a border, by a dynasty long gone"
    sentences = (f"{sentence}^[{(number + place) % 28 + 1}]^." for place in range(8))
    return fill(" ".join(sentences), 80) + "\n\n"


KINDS: dict[str, Callable[[int], str]] = {
    "prose": prose,
    "mixed": mixed,
    "chinese": chinese,
    "cited": cited,
}
#: The sources of `cited`, as many as the service allows.
SOURCES = [
    {
        "index": index,
        "url": f"https://www.example.com/walls/part-{index}.html",
        "title": f"Part {index} of the wall, and who built it",
        "site_name": "example.com",
        "datetime": "2026-01-15",
    }
    for index in range(1, 29)
]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print columns; numbers with four digits."""
    texts = [
        [f"{cell:,.4g}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in (header, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))

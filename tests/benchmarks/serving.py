"""What the benchmarks share: the tests' server in a process of its own, medians, a table."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from raw_server import (  # noqa: E402  the path is known only now
    Answer,
    RawServer,
    Seen,
    json_answer,
    stream_answer,
)

__all__ = ["Answer", "RawServer", "Seen", "json_answer", "stream_answer"]
HELLO = [{"role": "user", "content": "hi"}]
TOKEN = "24.0123456789abcdef0123456789abcdef.2592000"


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

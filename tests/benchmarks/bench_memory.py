"""Memory of a client process after 1,000 streamed answers of 10 kB, beside the first 100.

Run: ``python tests/benchmarks/bench_memory.py``

Resident memory (psutil) of a process of its own. Target: at most 5 MB more.
"""

from __future__ import annotations

import subprocess
import sys

from serving import HELLO, ROOT, TOKEN, median, print_table, server_apart, stream_answer

RUNS, FIRST, ALL, TEXT = 3, 100, 1_000, "0123456789" * 10


def answer():
    events = [{"result": TEXT, "is_end": number == 99} for number in range(100)]
    return stream_answer(*events)


def client(url: str) -> None:
    """Ask in this process; print the megabytes after the first and after all answers."""
    import psutil

    from qianfan_magic import QianfanClient

    asked = QianfanClient(access_token=TOKEN, base_url=url)
    for number in range(1, ALL + 1):
        size = sum(len(chunk.text) for chunk in asked.stream_chat(HELLO, endpoint="ep"))
        if size != 10_000:
            raise RuntimeError(f"{size} characters arrived")
        if number in {FIRST, ALL}:
            print(psutil.Process().memory_info().rss / 2**20)


def measure() -> list[float]:
    with server_apart(answer()) as url:
        command = [sys.executable, __file__, url]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    runs = [measure() for _ in range(RUNS)]
    first, last = (median(sizes) for sizes in zip(*runs, strict=True))
    print_table(
        ["after", "RSS (MB)", "more (MB)", "times"],
        [
            [f"{FIRST} answers", first, 0.0, 1.0],
            [f"{ALL} answers", last, median(b - a for a, b in runs), last / first],
        ],
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        client(sys.argv[1])
    else:
        main()

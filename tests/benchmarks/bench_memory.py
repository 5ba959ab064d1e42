"""Memory of a process after many streamed answers, and after one of very many chunks.

Run: ``python tests/benchmarks/bench_memory.py``

Resident memory (psutil) of a process of its own.

- 1,000 answers of 10 kB, beside the first 100. Target: at most 5 MB more.
- One answer of 200,000 chunks of 8 letters, which is 1.6 MB, with what was received of it
  (``%qianfan request``) and its reply: read by the client, and in a kernel with the live view.
  Targets: the client takes at most 8 times the text, and the kernel at most 25 times, where the
  output's HTML and messages count too. With each event kept as it came it was 50 and 80 times.
"""

from __future__ import annotations

import subprocess
import sys

import bench_iopub
from serving import (
    HELLO,
    ROOT,
    TOKEN,
    VIEW,
    Stream,
    median,
    print_table,
    server_apart,
    stream_answer,
    streamed,
)

LONG = Stream("mixed", 200_000, 0)
RSS = "__import__('psutil').Process().memory_info().rss / 2**20"
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


def long_answer(url: str) -> None:
    """Read the long answer in this process; print the megabytes that it takes."""
    import psutil

    from qianfan_magic import QianfanClient
    from qianfan_magic.api.http.exchange import events_of
    from qianfan_magic.api.wire import reply_builder

    client = QianfanClient(access_token=TOKEN, base_url=url)
    client.chat(HELLO, endpoint=LONG._replace(chunks=10).endpoint)
    before = psutil.Process().memory_info().rss
    service = client.service("chat", {"endpoint": LONG.endpoint})
    call, builder = client.start("chat", HELLO, {}, service=service), reply_builder(1)
    for chunk in call.chunks():
        builder.add(chunk)
    text = builder.build().text
    if (len(text), len(list(events_of(call.exchange)))) != (len(LONG.text), LONG.chunks):
        raise RuntimeError(f"{len(text)} characters arrived")
    print((psutil.Process().memory_info().rss - before) / 2**20)


def long_cell(url: str) -> float:
    """Show the long answer in a kernel; return the megabytes that it takes."""
    with bench_iopub.kernel(url) as kernel:
        kernel.run("%qianfan reset")
        before = float(kernel.evaluate(RSS))
        kernel.run(VIEW.format(LONG.endpoint))
        return float(kernel.evaluate(RSS)) - before


def measure_long() -> list[list[object]]:
    megabytes = len(LONG.text.encode()) / 2**20
    with server_apart(streamed) as url:
        command = [sys.executable, __file__, "long", url]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        taken = {"client": float(done.stdout), "kernel": long_cell(url)}
    return [[where, more, more / megabytes] for where, more in taken.items()]


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
    print_table([f"{LONG.chunks:,} chunks", "more (MB)", "times the text"], measure_long())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        long_answer(sys.argv[2])
    elif len(sys.argv) > 1:
        client(sys.argv[1])
    else:
        main()

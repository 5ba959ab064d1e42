"""Bytes and messages on a kernel's IOPub channel, and its CPU, while an answer is shown live.

Run: ``python tests/benchmarks/bench_iopub.py [--long]``

A real kernel asks a server in a process of its own; all ZeroMQ frames that the cell causes count.
The baseline is ``print(chunk.text, end="", flush=True)`` for each chunk of the same stream. Chunks
are of 8 characters; medians of 3 rounds, in which view and baseline take turns. Targets: at 100
chunks a second at most 16 bytes per byte of the answer, 15 messages a second, and 0.3 s of CPU per
1,000 chunks; as fast as the server can send, 7 bytes per byte. 20,000 chunks cost at most 1.1 times
that per byte; at 100 a second, which takes 200 s an answer, only with ``--long``. CPU means little
while the machine does other work: look at its ratio to the baseline.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import serving
from jupyter_client.manager import KernelManager
from serving import PRINT, VIEW, Stream, median

ROUNDS, FEW, MANY, RATE = 3, 2_000, 20_000, 100
PATIENCE = 60  # seconds; only a benchmark that fails waits so long
CPU = "__import__('time').process_time()"
HEADER = ["what", "live view", "target", "print", "of print"]


@dataclass
class Ran:
    """A cell that has run: bytes and number of each kind of message, and what it showed last."""

    size: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    text: str = ""

    def take(self, frames: list[bytes]) -> str | None:
        """Count a message; return which request's end it tells, if it does."""
        begin = frames.index(b"<IDS|MSG>") + 2  # there is a signature
        header, parent, _, content = map(json.loads, frames[begin : begin + 4])
        kind = header["msg_type"]
        self.size[kind] += sum(map(len, frames))
        self.count[kind] += 1
        if kind == "error":
            raise RuntimeError(f"{content['ename']}: {content['evalue']}")
        if kind == "stream":
            self.text += content["text"]
        elif kind == "update_display_data":
            self.text = content["data"]["text/plain"]
        return parent.get("msg_id") if content.get("execution_state") == "idle" else None


class Kernel:
    """A kernel, and its IOPub channel as bytes."""

    def __init__(self, manager: KernelManager) -> None:
        manager.context.rcvhwm = 0  # no message is dropped, however late we are
        self.iopub = manager.connect_iopub()
        self.iopub.rcvtimeo = PATIENCE * 1_000
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.client.iopub_channel.stop()

    def run(self, code: str) -> Ran:
        cpu, begun = self._cpu(), time.perf_counter()
        ran, _ = self._do(code)
        ran.seconds, ran.cpu = time.perf_counter() - begun, self._cpu() - cpu
        return ran

    def _cpu(self) -> float:
        """Give the kernel's seconds of CPU until now."""
        return float(self.evaluate(CPU))

    def evaluate(self, expression: str) -> str:
        """Evaluate an expression in the kernel without a cell, and return its repr."""
        _, reply = self._do("", silent=True, user_expressions={"asked": expression})
        return str(reply["user_expressions"]["asked"]["data"]["text/plain"])

    def _do(self, code: str, **how: object) -> tuple[Ran, dict]:
        ran, asked = Ran(), self.client.execute(code, **how)
        while ran.take(self.iopub.recv_multipart()) != asked:
            pass
        reply = self.client.get_shell_msg(timeout=PATIENCE)
        while reply["parent_header"]["msg_id"] != asked:  # of `wait_for_ready`, asked once more
            reply = self.client.get_shell_msg(timeout=PATIENCE)
        return ran, reply["content"]


@contextmanager
def kernel(*cells: str, name: str = "python3", **variables: str) -> Iterator[Kernel]:
    """Start a kernel with environment variables, and run cells in it."""
    manager = KernelManager(kernel_name=name)
    with tempfile.TemporaryDirectory() as folder:
        folders = {
            "QIANFAN_CACHE_DIR": folder,
            "IPYTHONDIR": folder,
            "PYTHONPATH": str(serving.ROOT),
        }
        manager.start_kernel(cwd=folder, env=os.environ | variables | folders)
        try:
            started = Kernel(manager)
            for cell in cells:
                started.run(cell)
            yield started
        finally:
            manager.shutdown_kernel(now=True)


def measure(asked: Kernel, stream: Stream, cell: str) -> list[float]:
    """Give bytes per byte, messages a second, seconds of CPU per 1,000 chunks."""
    asked.run("%qianfan reset")  # a longer conversation would be a longer request
    ran = asked.run(cell.format(stream.endpoint))
    if not ran.text.strip().startswith(stream.text.strip()):  # the view adds notes
        raise RuntimeError(f"{len(ran.text)} of {len(stream.text)} characters were shown")
    bytes_per_byte = ran.size.total() / len(stream.text.encode())
    return [bytes_per_byte, ran.count.total() / ran.seconds, ran.cpu / stream.chunks * 1_000]


def medians(asked: Kernel, stream: Stream, *cells: str) -> list[list[float]]:
    """Let cells take turns; give the medians of each."""
    runs = [[measure(asked, stream, cell) for cell in cells] for _ in range(ROUNDS)]
    return [[median(values) for values in zip(*ran)] for ran in zip(*runs)]  # noqa: B905


def rows(asked: Kernel, kind: str, rate: int, targets: list[str], *, many: bool) -> Iterator[list]:
    """Measure one kind of answer at one rate."""
    pace = f"{kind}, {rate} chunks/s" if rate else f"{kind}, at once"
    view, shown = medians(asked, Stream(kind, FEW, rate), VIEW, PRINT)
    whats = ["bytes per byte", "messages/s", "CPU s per 1,000 chunks"]
    for what, target, mine, theirs in zip(whats, targets, view, shown, strict=False):
        yield [f"{pace}: {what}", mine, target, theirs, mine / theirs]
    if many:
        [[size, *_]] = medians(asked, Stream(kind, MANY, rate), VIEW)
        yield [f"{pace}: {MANY:,} chunks, times {FEW:,}", size / view[0], "<= 1.1", "", ""]


def main() -> None:
    long = "--long" in sys.argv
    # The kernel imports and compiles what it runs.
    cells = [serving.SETUP, VIEW.format("prose-9-0-8"), PRINT.format("prose-9-0-8")]
    live = {"QIANFAN_ACCESS_TOKEN": serving.TOKEN, "QIANFAN_LIVE": "on"}
    with (
        serving.server_apart(serving.streamed) as url,
        kernel(*cells, QIANFAN_BASE_URL=url, **live) as asked,
    ):
        for kind in serving.KINDS:
            paced = rows(asked, kind, RATE, ["<= 16", "<= 15", "<= 0.3"], many=long)
            at_once = rows(asked, kind, 0, ["<= 7"], many=True)
            serving.print_table(HEADER, [*paced, *at_once])
            print(flush=True)
    print("load of the machine:", *os.getloadavg())


if __name__ == "__main__":
    main()

"""Token requests of 20 processes that start at once with an empty cache.

Run: ``python tests/benchmarks/bench_processes.py``

The baseline has no cache on disk: a request for each process. Target: 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from serving import ROOT, RawServer, json_answer, median, print_table

PROCESSES, ROUNDS = 20, 3
CHILD = """
import sys
from qianfan_magic import QianfanClient
client = QianfanClient(ak="AKEXAMPLE0123456789", sk="SKEXAMPLE0123456789")
print("ready", flush=True)
sys.stdin.readline()
client.chat([{"role": "user", "content": "hi"}], endpoint="ep")
"""


def token_requests(*, cached: bool, child: str = CHILD, python: str = sys.executable) -> int:
    with RawServer() as server, tempfile.TemporaryDirectory() as folder:
        server.script += [json_answer({"result": "hello"})] * PROCESSES
        settings = {
            "QIANFAN_BASE_URL": server.url,
            "QIANFAN_CACHE_DIR": folder,
            "QIANFAN_DISABLE_CACHE": str(not cached),
            "PYTHONPATH": str(ROOT),
        }
        children = [start([python, "-c", child], settings) for _ in range(PROCESSES)]
        for started in children:
            started.stdout.readline()
        for started in children:
            started.stdin.write("go\n")
            started.stdin.flush()
        if sum(started.wait() for started in children):
            raise RuntimeError("a process failed")
        return len(server.token_requests)


def start(command: list[str], settings: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    )


def main() -> None:
    rounds = [(token_requests(cached=True), token_requests(cached=False)) for _ in range(ROUNDS)]
    with_cache, without = (median(counts) for counts in zip(*rounds, strict=True))
    print_table(
        [f"token requests of {PROCESSES}", "median", "most", "of the baseline"],
        [
            ["with the cache", with_cache, max(r[0] for r in rounds), with_cache / without],
            ["without", without, max(r[1] for r in rounds), 1.0],
        ],
    )


if __name__ == "__main__":
    main()

"""Fifty kernels that share the token cache while something happens to the token.

Run: ``python tests/benchmarks/bench_kernels.py [--kernels N]``

Real kernels, which take 60 MB each, run a chat cell at the same moment, each with a client that
knows no token yet. Before it, or in the middle, the token expires, its file is deleted, truncated
or replaced by a folder, or the kernel that fetches a token is killed. The baseline is the same cell
with a good token in the cache. Targets: no failed cell but that of the killed kernel; one request
for a token, two where its owner is killed, and no more than kernels where a folder is in the way;
and no cell takes longer than the time-out, 20 s. ``tests/end_to_end/faults/test_many_at_once.py``
tests the same with processes, which start faster.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from jupyter_client.manager import KernelManager
from serving import Answer, RawServer, Seen, json_answer, print_table
from support.file_locks import owner_of

TIMEOUT = 20
PATIENCE = 120  # seconds; only a benchmark that fails waits so long
OK = json_answer({"result": "hello"}, end="keep")
EXPIRED = {"access_token": "24.expired", "obtained_at": 1.0, "expires_at": 2.0}
#: Changes a setting, so that the next cell has a new client, which knows no token.
FRESH = """%load_ext qianfan_magic
import os, time
os.environ['QIANFAN_LLM_API_RETRY_TIMEOUT'] = '{}'"""
CELL = """time.sleep(max(0, {} - time.time()))
begun = time.monotonic()
get_ipython().run_cell_magic("qianfan_chat", "-e ep --no-stream", "hi")
seconds = time.monotonic() - begun"""
_numbers = itertools.count()


class Kernel:
    """A kernel whose cells run while others do."""

    def __init__(self, environment: dict[str, str], folder: str, number: int) -> None:
        # By sockets of files: fifty kernels that start at once find no five free ports each.
        sockets = f"{folder}/{number}"
        self.manager = KernelManager(kernel_name="python3", transport="ipc", ip=sockets)
        self.manager.start_kernel(env=environment, cwd=folder)
        self.id = self.manager.provisioner.pid
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self._asked = ""

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def begin(self, code: str) -> None:
        asked = {"seconds": "seconds"} if "seconds" in code else {}
        self._asked = self.client.execute(code, user_expressions=asked)

    def end(self) -> tuple[float, str]:
        """Wait for the cell; return its seconds and, if it failed, its error."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.manager.is_alive():
            if not self.client.shell_channel.msg_ready():
                time.sleep(0.01)
                continue
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") != self._asked:
                continue
            content = reply["content"]
            if content["status"] != "ok":
                return 0.0, f"{content['ename']}: {content['evalue']}"
            shown = content["user_expressions"].get("seconds", {}).get("data", {})
            return float(shown.get("text/plain", 0)), ""
        return 0.0, "killed"


def truncate(file: Path) -> None:
    file.write_text(file.read_text()[:20])


def replace(file: Path) -> None:
    file.unlink()
    file.mkdir()


def measure(
    kernels: list[Kernel], server: RawServer, before: Callable[[], object]
) -> tuple[int, int, float]:
    """Run the cell in all kernels; return how many failed, requests for a token, and seconds."""
    timeout = TIMEOUT - next(_numbers) / 1_000
    for kernel in kernels:
        kernel.begin(FRESH.format(timeout))
    if problems := [problem for kernel in kernels if (problem := kernel.end()[1])]:
        raise RuntimeError(problems[0])
    server.script.clear()
    server.script += [OK] * len(kernels)
    server.token_requests.clear()
    before()
    moment = time.time() + 1 + 0.02 * len(kernels)
    for kernel in kernels:
        kernel.begin(CELL.format(moment))
    ended = [kernel.end() for kernel in kernels]
    failed = [problem for _, problem in ended if problem]
    for problem in set(failed):
        print(f"  {failed.count(problem)} times: {problem}")
    return len(failed), len(server.token_requests), max(seconds for seconds, _ in ended)


class Cases:
    """What happens to the token, in the order in which it is tried; the last two spoil something.

    Each begins with a good token in the cache.
    """

    def __init__(self, kernels: list[Kernel], server: RawServer, cache: Path) -> None:
        self._kernels, self._server, self._cache = kernels, server, cache
        measure(kernels, server, lambda: None)  # puts the token into the cache
        (self._file,) = cache.glob("token-*.json")
        self._good = self._file.read_text()

    def rows(self) -> list[list[object]]:
        file = self._file
        cases: list[tuple[str, Callable[[], object]]] = [
            ("good token", lambda: None),
            ("expired", lambda: file.write_text(json.dumps(EXPIRED))),
            ("file deleted", file.unlink),
            ("deleted in the middle", lambda: self._in_the_middle(Path.unlink)),
            ("file truncated", lambda: truncate(file)),
            ("truncated in the middle", lambda: self._in_the_middle(truncate)),
            ("owner killed", self._kill_the_owner),
            ("a folder in its place", lambda: replace(file)),
        ]
        return [[name, *self._measure(before)] for name, before in cases]

    def _measure(self, before: Callable[[], object]) -> tuple[int, int, float]:
        self._file.write_text(self._good)
        alive = [kernel for kernel in self._kernels if kernel.manager.is_alive()]
        return measure(alive, self._server, before)

    def _in_the_middle(self, damage: Callable[[Path], object]) -> None:
        """Let the token expire, and damage the file once half of the kernels have been answered."""
        self._file.write_text(json.dumps(EXPIRED))

        def damaged(_: Seen) -> Answer:
            damage(self._file)
            return OK

        self._server.script[len(self._kernels) // 2] = damaged

    def _kill_the_owner(self) -> None:
        self._file.unlink()
        asked = threading.Event()

        def fall_silent(_: Seen) -> Answer:
            asked.set()
            return Answer(status=0, end="silent")

        def kill() -> None:
            asked.wait(PATIENCE)
            (lock,) = self._cache.glob("token-*.lock")
            os.kill(owner_of(lock, [kernel.id for kernel in self._kernels]), signal.SIGKILL)

        self._server.tokens += [fall_silent]
        threading.Thread(target=kill, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernels", type=int, default=50)
    count = parser.parse_args().kernels
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(RawServer())
        cache = Path(folder) / "cache"
        settings = {"QIANFAN_BASE_URL": server.url, "QIANFAN_CACHE_DIR": str(cache)}
        settings |= {"QIANFAN_AK": "AKEXAMPLE0123456789", "QIANFAN_SK": "SKEXAMPLE0123456789"}
        settings |= {"QIANFAN_LIVE": "off", "IPYTHONDIR": folder}
        kernels: list[Kernel] = []
        begun = time.monotonic()
        for number in range(count):
            kernels.append(Kernel(os.environ | settings, folder, number))
            stack.callback(kernels[-1].close)
        for kernel in kernels:
            kernel.client.wait_for_ready(timeout=PATIENCE)
        print(f"{count} kernels started in {time.monotonic() - begun:.0f} s", flush=True)
        table = Cases(kernels, server, cache).rows()
    print_table(["token", "failed cells", "token requests", "longest cell (s)"], table)


if __name__ == "__main__":
    main()

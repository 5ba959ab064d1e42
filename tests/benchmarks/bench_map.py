"""Many prompts: how close to the limit they come, how much memory they take, how they go on.

Run: ``python tests/benchmarks/bench_map.py [rate] [dask] [memory] [resume]``

*rate*: 1,000 prompts of 20 tokens by ``client.map``, to an embedded server in a process of its own
that answers after 50 ms and allows 100 requests a second; the baseline is that limit. Target: 90 a
second. *dask*: the same over four workers of a local Dask cluster. Target: 85. *memory*:
``%%qianfan_map`` over 100,000 rows that are all answered already; the largest memory of the process
beyond that with the table alone. Target: 200 MB. *resume*: the seconds until a run over 100,000
rows, 99,000 of them answered before, has sent its first request. Target: 3 s.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from serving import ROOT, print_table

from qianfan_magic import QianfanClient
from qianfan_magic.api.batch.answers import Answer, AnswerStore
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.embedded.server import EmbeddedServer

PROMPTS, ROUNDS = 1_000, 3
ROWS, ANSWERED = 100_000, 99_000
#: Some twenty tokens.
PROMPT = "What is the shortest way from place number {} to the market square, please?"
QUOTA, DELAY = 6_000, 0.05


@contextlib.contextmanager
def embedded_apart() -> Iterator[Settings]:
    """Run an embedded server with a quota in another process; return settings for it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


def _serve(pipe: Connection) -> None:
    with EmbeddedServer() as server:
        server.engine = lambda _: "To the left."
        server.quota, server.delay = QUOTA, DELAY
        pipe.send(server.settings())
        pipe.recv()


def dask_rate() -> float:
    """Return how many prompts were answered a second by four workers."""
    import dask
    from distributed import Client, LocalCluster

    # Dask's profiler can stop a worker for ever before Python 3.11.8 (CPython's issue 106883).
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(n_workers=4, threads_per_worker=4, dashboard_address=None) as cluster,
        Client(cluster) as workers,
    ):
        executor = workers.get_executor(pure=False)
        # The workers import the package with their first tasks.
        list(executor.map(__import__, ["qianfan_magic.api.http.whole_reply"] * 64))
        return rate(executor)


def rate(executor: Executor | None = None) -> float:
    """Return how many prompts were answered a second."""
    with embedded_apart() as settings, QianfanClient(settings) as client:
        messages = ([{"role": "user", "content": PROMPT.format(n)}] for n in range(PROMPTS))
        begun = time.perf_counter()
        replies = list(client.map(messages, executor=executor))
        seconds = time.perf_counter() - begun
    failed = sum(isinstance(reply, Exception) for reply in replies)
    if failed:
        raise RuntimeError(f"{failed} prompts failed")
    return PROMPTS / seconds


#: Runs the magic over a table whose answers are stored, or makes the table alone.
RUN = """
import sys, time, resource
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "qianfan_magic")
places = [f"place number {n}" for n in range(int(sys.argv[1]))]
shell.user_ns["table"] = pd.DataFrame({"place": places})
begun = time.time()
if sys.argv[2] == "run":
    shell.run_cell_magic("qianfan_map", "table -m ernie-5.1 -o told", "What is {place}?")
print("begun", begun)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(rows: int, what: str, server: EmbeddedServer, folder: str) -> dict[str, float]:
    """Run the magic in a process of its own; return when it began and its largest memory in kB."""
    variables = server.environment() | {"QIANFAN_CACHE_DIR": folder, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(rows), what],
        env=os.environ | variables,
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0]: float(line[1]) for line in lines if line[0] in {"begun", "peak"}}


def fill(folder: str, count: int) -> None:
    """Store answers for the first rows of the job that has been run."""
    from qianfan_magic.session.table_map import fill_rows, row_keys

    rows = [{"place": f"place number {n}"} for n in range(ROWS)]
    keys = row_keys(fill_rows("What is {place}?", rows))
    with AnswerStore(Path(folder)) as store:
        [job] = store.jobs()
        for key in keys[:count]:
            store.keep(job.id, key, Answer("A place in the city, near the river. " * 3, 60, 0.5))


def memory() -> tuple[float, float]:
    """Return the largest memory of a run over the table, and of the table alone, in MB."""
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        run(1, "run", server, folder)  # makes the job
        fill(folder, ROWS)
        alone = median(run(ROWS, "table", server, folder)["peak"] for _ in range(ROUNDS))
        whole = median(run(ROWS, "run", server, folder)["peak"] for _ in range(ROUNDS))
    return whole / 1024, alone / 1024


def resume() -> float:
    """Return the seconds until the first request of a run that goes on."""
    seconds = []
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        run(1, "run", server, folder)
        for _ in range(ROUNDS):
            fill(folder, ANSWERED)
            first: list[float] = []

            def note(_: Any, first: list[float] = first) -> str:
                first.append(time.time())
                return "To the left."

            server.engine = note
            begun = run(ANSWERED + 20, "run", server, folder)["begun"]
            seconds.append(first[0] - begun)
            run(1, "run", server, folder)
            with AnswerStore(Path(folder)) as store:  # the next round asks for the same again
                [job] = store.jobs()
                store.forget([job.id])
            run(1, "run", server, folder)
    return median(seconds)


def main() -> None:
    chosen = sys.argv[1:] or ["rate", "dask", "memory", "resume"]
    rows: list[list[Any]] = []
    if "rate" in chosen:
        measured, limit = median(rate() for _ in range(ROUNDS)), QUOTA / 60
        rows.append(["prompts a second", measured, limit, measured / limit])
    if "dask" in chosen:
        measured, limit = median(dask_rate() for _ in range(ROUNDS)), QUOTA / 60
        rows.append(["prompts a second over Dask", measured, limit, measured / limit])
    if "memory" in chosen:
        whole, alone = memory()
        rows.append(["MB of a run over 100,000 rows", whole, alone, whole - alone])
    if "resume" in chosen:
        rows.append(["seconds until 100,000 rows go on", resume(), 3, ""])
    print_table(["", "median", "baseline", "ratio, or difference in MB"], rows)
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()

"""Asks one peer what standard input says, in a process of the peer's own environment.

Run by ``compare.py``. Each line in is a question; each line out, after the first, which says that
the peer is imported, is how the answer came.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

#: Characters of an answer that are given back.
MOST = 10_000


def memory(name):
    """Return a figure of this process in MB: VmRSS now, VmHWM at most since it was cleared."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def asked(ask, question):
    """Ask, and return what was seen of the answer."""
    Path("/proc/self/clear_refs").write_text("5")  # clears VmHWM
    idle, text, count = memory("VmRSS"), [], 0
    first = None
    cpu, begun = time.process_time(), time.perf_counter()

    def take(piece):
        nonlocal count, first
        if first is None and piece:
            first = time.perf_counter() - begun
        count += len(piece)
        if count <= MOST:
            text.append(piece)

    error = ""
    try:
        ask(question, take)
    except Exception as failure:  # noqa: BLE001  whatever a peer raises is what is seen
        error = f"{type(failure).__name__}: {failure}"[:200]
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    seen = {"seconds": seconds, "cpu": cpu, "first": first, "characters": count}
    return seen | {"text": "".join(text), "error": error, "memory": memory("VmHWM") - idle}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peer prints is no answer of ours
    ask = importlib.import_module(f"peers.{sys.argv[1]}").ask
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(asked(ask, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Time of ``%load_ext qianfan_magic`` in fresh processes that have imported ipywidgets.

Run: ``python tests/benchmarks/bench_load_ext.py``

The baseline is ``import requests`` in the same state. Bytecode is cached, as an installation does.
Median of 11. Target: at most 60 ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from serving import ROOT, median, print_table

RUNS = 11
CHILD = """
import time
import {first}
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
{what}
print((time.perf_counter() - started) * 1000)
"""
LOAD = 'shell.run_line_magic("load_ext", "qianfan_magic")'


def measure(
    what: str, bytecode: str, *, python: str = sys.executable, first: str = "ipywidgets"
) -> float:
    """Return the milliseconds of a statement in a fresh process with cached bytecode."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [python, "-c", CHILD.format(what=what, first=first)],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    with tempfile.TemporaryDirectory() as bytecode:
        whats = [LOAD, "import requests"]
        for what in whats:
            measure(what, bytecode)  # Compiles.
        pairs = [[measure(what, bytecode) for what in whats] for _ in range(RUNS)]
    ours, baseline = (median(times) for times in zip(*pairs, strict=True))
    print_table(
        ["after import ipywidgets", "ms", "of the baseline"],
        [
            ["%load_ext qianfan_magic", ours, ours / baseline],
            ["import requests", baseline, 1.0],
        ],
    )


if __name__ == "__main__":
    main()

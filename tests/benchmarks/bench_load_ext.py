"""Time of ``%load_ext qianfan_magic`` in fresh processes that have imported ipywidgets.

Run: ``python tests/benchmarks/bench_load_ext.py``

The baseline is ``import requests`` in the same state. Median of 11. Target: at most 60 ms.
"""

from __future__ import annotations

import subprocess
import sys

from serving import ROOT, median, print_table

RUNS = 11
CHILD = """
import time
import ipywidgets
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
{what}
print((time.perf_counter() - started) * 1000)
"""
LOAD = 'shell.run_line_magic("load_ext", "qianfan_magic")'


def measure(what: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(what=what)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    measure(LOAD)  # compiles
    pairs = [(measure(LOAD), measure("import requests")) for _ in range(RUNS)]
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

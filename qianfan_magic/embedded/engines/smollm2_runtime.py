"""The runtime of SmolLM2: a program of its own, so that a crash of it does not end the kernel.

It reads one line of JSON from stdin, with ``model`` (a path) and ``key``; runs llama.cpp's server
on a free port of 127.0.0.1, for requests that carry the key; writes its address to stdout; and ends
when stdin is closed, as it is when the process that started it ends.
"""

from __future__ import annotations

import json
import os
import sys

#: Tokens of the prompt and the answer together. The model was trained with 8,192.
CONTEXT = 4096


def main() -> None:
    """Serve until stdin is closed."""
    import xllamacpp

    settings = json.loads(sys.stdin.readline())
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["model"]
    parameters.api_keys = [settings["key"]]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.ui = False
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    # llama.cpp's threads wait for each other by spinning: with one for each core, an answer takes
    # ten times as long as soon as another program computes.
    for cpu in (parameters.cpuparams, parameters.cpuparams_batch):
        cpu.n_threads = max(_cores() - 1, 1)
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # without waiting for an answer that is being written


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()

"""llama.cpp's server with SmolLM2, run as a process: ``python llama_server.py MODEL PORT``."""

from __future__ import annotations

import sys
import threading


def main(model: str, port: int) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.model_alias = {"smollm2"}
    server = xllamacpp.Server(parameters)
    print("ready", flush=True)
    threading.Event().wait()  # until the test ends this process
    del server


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

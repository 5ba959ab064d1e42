"""Many processes that ask with the same keys and share the cache; runs in a process of its own.

They are forked once the package is imported, so that fifty of them start within a second.

Run: ``python -m support.many_processes URL CACHE PROCESSES QUESTIONS TIMEOUT``. Each asks so many
questions, one after the other; for each process a line has its id, the seconds of its longest
question, and its error if one failed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from qianfan_magic import QianfanClient, QianfanError
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings

HELLO = [{"role": "user", "content": "hi"}]


def ask(client: QianfanClient, questions: int, begin: float) -> str:
    time.sleep(max(0.0, begin - time.time()))
    longest, failure = 0.0, ""
    for _ in range(questions):
        begun = time.monotonic()
        try:
            client.chat(HELLO, endpoint="ep")
        except QianfanError as error:
            failure = str(error).replace("\n", " ")
        longest = max(longest, time.monotonic() - begun)
    return f"{os.getpid()}\t{longest:.3f}\t{failure}\n"


def main() -> None:
    url, cache, processes, questions, timeout = sys.argv[1:]
    keys = Credentials(ak="made-up-key", sk="made-up-secret")
    settings = Settings(
        credentials=keys, base_url=url, cache_dir=Path(cache), retry_timeout=float(timeout)
    )
    client = QianfanClient(settings)
    begin = time.time() + 0.01 * int(processes)
    children = []
    for _ in range(int(processes)):
        if child := os.fork():
            children.append(child)
        else:
            os.write(1, ask(client, int(questions), begin).encode())
            os._exit(0)
    print("started", *children, flush=True)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

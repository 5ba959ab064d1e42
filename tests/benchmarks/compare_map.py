"""Many prompts by this package and by its peers, side by side in one run.

Run: ``python tests/benchmarks/compare_map.py PYTHON``, where PYTHON is the interpreter of an
environment with the peers: ``pip install infermesh chatlas openai`` (Python 3.12).

The server, the prompts and the quota are those of ``bench_map.py``. The peers are told the limit
of 6,000 requests a minute; this package reads it from the answers. Answered prompts a second,
median of 3 rounds in turn; and how many of 1,000 prompts were answered, at least.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from bench_map import PROMPT, PROMPTS, ROUNDS, embedded_apart, rate
from serving import print_table

CHILD = """
import json, sys, time
name, url, key, prompt, count, quota = json.loads(sys.argv[1])
prompts = [prompt.format(n) for n in range(count)]
if name == "infermesh":
    from infermesh import LMClient
    client = LMClient(model="openai/ernie-5.1", api_base=url, api_key=key, rpm=quota,
                      max_parallel_requests=16)
    begun = time.perf_counter()
    results = client.generate_batch(prompts)
    texts = [getattr(result, "output_text", None) for result in results.results]
else:
    import asyncio
    from chatlas import ChatOpenAICompletions, parallel_chat
    chat = ChatOpenAICompletions(base_url=url, model="ernie-5.1", api_key=key)
    begun = time.perf_counter()
    work = parallel_chat(chat, prompts, max_active=16, rpm=quota, on_error="continue")
    results = asyncio.run(work)
    texts = [None if isinstance(one, Exception) or one is None else "yes" for one in results]
print(json.dumps([time.perf_counter() - begun, sum(bool(text) for text in texts)]))
"""


def peer(name: str, python: str) -> tuple[float, int]:
    """Return the answered prompts a second of a peer, and how many it answered."""
    with embedded_apart() as settings:
        key = settings.credentials.bearer_token
        told = [name, settings.console_api_base_url, key, PROMPT, PROMPTS, 6_000]
        done = subprocess.run(
            [python, "-c", CHILD, json.dumps(told)], check=True, capture_output=True, text=True
        )
    seconds, answered = json.loads(done.stdout.splitlines()[-1])
    return answered / seconds, answered


def main() -> None:
    (python,) = sys.argv[1:]
    ours, others = list[float](), {"infermesh": list[tuple[float, int]](), "chatlas": []}
    for _ in range(ROUNDS):
        ours.append(rate())
        for name, measured in others.items():
            measured.append(peer(name, python))
    rows = [["qianfan_magic", median(ours), PROMPTS, 1.0]]
    for name, measured in others.items():
        pace = median(one for one, _ in measured)
        rows.append([name, pace, min(count for _, count in measured), pace / median(ours)])
    print_table(["", "prompts a second", "answered, at least", "of ours"], rows)


if __name__ == "__main__":
    main()

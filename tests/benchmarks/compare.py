"""The field side by side: this package and its peers, one table made by one command.

Run: ``python tests/benchmarks/compare.py FOLDER [--only MEASURE ...] > docs/comparison.md``

FOLDER holds an environment for each peer, which is created with the versions in
``compare_peers.py`` or used as it is there. Each peer is asked as its own documents say, through
its public interface or its cell magic (``peers/``), by a server of version 2 on 127.0.0.1. All
measures take some 15 minutes; ``--only`` names some by a part of their title. Timings mean little
while the machine does other work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compare_lab
import compare_measures
from compare_measures import Column, Field
from compare_peers import PEERS, install
from compare_server import answered
from serving import server_apart

#: By the titles of the rows.
MEASURES = {**compare_measures.MEASURES, **compare_lab.MEASURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with an environment for each peer")
    parser.add_argument("--only", nargs="+", default=[""], help="measure these alone")
    options = parser.parse_args()
    chosen = [title for title in MEASURES if any(part in title for part in options.only)]
    folder = options.folder.resolve()
    for peer in PEERS:
        install(peer, folder)
    # Some peers write into the folder where they run.
    with (
        server_apart(answered) as url,
        tempfile.TemporaryDirectory() as scratch,
        contextlib.chdir(scratch),
    ):
        field = Field(PEERS, folder, url)
        share = Path(scratch) / "share"
        os.environ |= {"JUPYTER_PATH": str(share), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        compare_measures.write_kernel_specs(field, share, Path(scratch))
        columns = {title: measured(field, title) for title in chosen}
    print(document(field, columns))


def measured(field: Field, title: str) -> Column:
    begun = time.monotonic()
    column = MEASURES[title](field)
    took = time.monotonic() - begun
    print(f"{title}: {took:.0f} s", column, file=sys.stderr, flush=True)
    return column


def document(field: Field, columns: dict[str, Column]) -> str:
    """Return the page: when and where, the table, and the notes."""
    return "\n\n".join([HEAD.format(machine=machine()), table(columns), notes(field)])


def machine() -> str:
    """Say when and where it was measured; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    browser = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=True)
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {memory:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}, "
        f"{' '.join(browser.stdout.split()[:2])}, load {os.getloadavg()[1]:.1f}"
    )


def table(columns: dict[str, Column]) -> str:
    """Return a row for each measure, and a column for each peer."""
    heads = [f"{peer.name} {peer.version}".strip() for peer in PEERS]
    rows = [["", *heads], ["---"] * (len(heads) + 1)]
    rows += [[title, *(seen[peer.name] for peer in PEERS)] for title, seen in columns.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def notes(field: Field) -> str:
    """Return how each peer is driven, and what it does not read or lets act."""
    said = {peer: [peer.note, *field.notes.get(peer.name, [])] for peer in PEERS}
    return "\n".join(f"- **{peer.name}.** {' '.join(texts)}" for peer, texts in said.items())


HEAD = """# Beside other packages

What it costs to ask a model from a notebook, and how safely its answer is shown, with this package
and with others. One command measures all of it, `python tests/benchmarks/compare.py FOLDER`, with
the packages as their own documents say, on a server on 127.0.0.1 that speaks OpenAI's protocol.

{machine}.

- *import*: what a notebook runs first, in a fresh process with IPython; median.
- *first token*: from the question to the first text, of a server that answers at once and goes on
  for half a second; median.
- *chunks a second*: 5,000 chunks of 8 characters, sent as fast as can be in a chunked response, by
  the client's CPU; median, and of the pace of `requests` with `json.loads` in the same round.
- *memory of a long answer*: resident memory at most while 100,000 chunks arrive, 19 MB, over
  what it was before.
- *recorded streams read*: of the streams in `tests/data/streams` without calls of functions, how
  many give their text without an error, within 5 s.
- *token requests*: of processes that start at once, with an API key and a secret key.
- *bytes on IOPub*: what a kernel sends to the page for each byte of an answer of 2,000 chunks, 100
  a second.
- *page busy*: `TaskDuration` of JupyterLab in Chromium for 600 chunks, 100 a second; median.
- *hostile answers*: of the payloads in `tests/support/hostile.py`, how many run a script (also when
  a link of `javascript:` is clicked), load from another address, or open or leave a page, when
  JupyterLab shows them."""

if __name__ == "__main__":
    main()

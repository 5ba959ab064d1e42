"""Bytes that an answer costs in the saved notebook, beside its own text.

Run: ``python tests/benchmarks/bench_notebook_file.py``

nbclient runs a notebook with a conversation of 20 turns and with cell ids as JupyterLab makes
them. All bytes of an answer's output count as they stand in the file, less the answer's text once;
the columns of the formats leave out the file's indentation and escapes. Target: at most 3 bytes
per byte of an answer of about 1,000 characters or more.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import nbformat
import serving
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from serving import VIEW, Stream

TURNS = 20
FORMATS = ("text/html", "text/markdown", "text/plain")
HEADER = ["answer", "characters", "beside it", "target", *FORMATS, "record"]


def size(value: object, indent: int | None = None) -> int:
    """Count the bytes of a value as nbformat writes it."""
    written = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=True)
    return len(written.encode())


def outputs(url: str, stream: Stream) -> Iterator[dict]:
    """Run a notebook of a conversation; yield the outputs of its answers as they are saved."""
    cells = [serving.SETUP, *[VIEW.format(stream.endpoint)] * TURNS]
    notebook = new_notebook(cells=[new_code_cell(cell, id=str(uuid.uuid4())) for cell in cells])
    with tempfile.TemporaryDirectory() as folder:
        ours = {"QIANFAN_BASE_URL": url, "QIANFAN_ACCESS_TOKEN": serving.TOKEN}
        ours |= {"QIANFAN_CACHE_DIR": folder, "IPYTHONDIR": folder}
        ours |= {"PYTHONPATH": str(serving.ROOT), "QIANFAN_LIVE": "off"}
        NotebookClient(notebook).execute(cwd=folder, env=os.environ | ours)
        file = Path(folder, "conversation.ipynb")
        nbformat.write(notebook, file)
        for cell in json.loads(file.read_text("utf-8"))["cells"][1:]:
            yield from cell["outputs"]


def row(url: str, kind: str, length: int) -> list:
    """Measure one kind of answer of one length."""
    stream = Stream(kind, length // 8, 0)
    text = len(stream.text.encode()) * TURNS
    saved = list(outputs(url, stream))
    if len(saved) != TURNS:
        raise RuntimeError(f"{len(saved)} outputs of {TURNS} cells: {saved[-1]}")
    # In the file an output stands four levels deep, each of one space.
    lines = sum(json.dumps(output, indent=1).count("\n") + 1 for output in saved)
    beside = sum(size(output, 1) for output in saved) + 4 * lines - text
    formats = [sum(size(output["data"].get(kind, "")) for output in saved) for kind in FORMATS]
    record = sum(size(output["metadata"]) for output in saved)
    return [kind, length, beside / text, "≤ 3.0", *(part / text for part in (*formats, record))]


def main() -> None:
    with serving.server_apart(serving.streamed) as url:
        serving.print_table(
            HEADER,
            (
                row(url, kind, length)
                for kind in ("prose", "chinese", "mixed")
                for length in (256, 1_024, 4_096)
            ),
        )


if __name__ == "__main__":
    main()

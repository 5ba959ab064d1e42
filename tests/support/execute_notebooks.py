"""Execute the lessons again, in place: ``python tests/support/execute_notebooks.py``.

nbconvert would also write this computer's Python version into them.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LESSONS = Path(__file__).parents[2] / "notebooks"


def main() -> None:
    for path in sorted(LESSONS.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        metadata = copy.deepcopy(notebook.metadata)
        resources = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=300, record_timing=False, resources=resources)
        client.execute()
        notebook.metadata = metadata
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main()

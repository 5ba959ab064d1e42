"""The example notebooks as they are stored: whole, in order, and the same on every computer."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

#: What differs from run to run, or from computer to computer.
FOREIGN = {
    "path": r"(?<![\w/])/(home|root|tmp|work|usr|var|opt|Users|private)/|\b[A-Za-z]:\\\\|~/",
    "port": r"(127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\]):\d+",
    "date": r"\b20\d\d-\d\d-\d\d\b|\b\w{3} \d\d? 20\d\d\b",
    "time of day": r"\b\d\d?:\d\d(:\d\d)?\b",
    "seconds since 1970": r"\b1[6-9]\d{8}(\.\d+)?\b",
    "answer's id": r"\bas-[a-z0-9]{8,}",
    "place in memory": r"\b0x[0-9a-f]{6,}",
    "token": r"\b24\.[0-9a-f]{32}|bce-v3/|bce-auth-v1/",
    "duration": r"\b\d+(\.\d+)? ?(ms|µs|seconds)\b",
    "widget": r"application/vnd\.jupyter\.widget|IPY_MODEL_",
}


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shows(source: str) -> bool:
    """Tell whether a cell ends with a value, or asks the extension for something."""
    if source.startswith("%%"):
        return source.startswith("%%qianfan")
    lines = source.splitlines()
    if any(re.match(r"%qianfan\b", line) for line in lines):
        return True
    python = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
    return bool(python.body) and isinstance(python.body[-1], ast.Expr)


def outputs_of(cell: Any, *kinds: str) -> list[Any]:
    return [output for output in cell.outputs if output.output_type in kinds]


def is_meant_to_fail(cell: Any) -> bool:
    return "raises-exception" in cell.metadata.get("tags", [])


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS][:1] == ["01_first_answer.ipynb"]


@each_notebook
def test_notebook_is_valid(path):
    notebook = nbformat.read(path, as_version=4)
    assert nbformat.validate(notebook) is None


@each_notebook
def test_code_cells_ran_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_cells_that_show_something_have_their_output(path):
    empty = [cell.source for cell in code_cells(path) if shows(cell.source) and not cell.outputs]
    assert empty == []


@each_notebook
def test_every_answer_can_be_read_without_a_kernel(path):
    displays = [o for cell in code_cells(path) for o in outputs_of(cell, "display_data")]
    assert [
        sorted(o.data) for o in displays if not {"text/html", "text/plain"} <= set(o.data)
    ] == []


@each_notebook
def test_cells_fail_only_where_they_are_meant_to(path):
    failed = [cell.source for cell in code_cells(path) if outputs_of(cell, "error")]
    assert failed == [cell.source for cell in code_cells(path) if is_meant_to_fail(cell)]


@each_notebook
def test_failures_are_the_packages_own_in_two_lines(path):
    errors = [o for cell in code_cells(path) for o in outputs_of(cell, "error")]
    assert [len(error.traceback) for error in errors] == [2] * len(errors)


@each_notebook
def test_nothing_was_written_to_stderr(path):
    streams = [o for cell in code_cells(path) for o in outputs_of(cell, "stream")]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []


@each_notebook
@pytest.mark.parametrize("what", FOREIGN)
def test_outputs_are_the_same_everywhere(path, what):
    text = json.dumps([cell.outputs for cell in code_cells(path)], ensure_ascii=False)
    assert [found[0] for found in re.finditer(FOREIGN[what], text)] == []


@each_notebook
def test_no_state_of_widgets_is_stored(path):
    assert "widgets" not in nbformat.read(path, as_version=4).metadata


@each_notebook
def test_any_python_kernel_may_run_it(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert (metadata.kernelspec.name, "version" in metadata.language_info) == ("python3", False)


@pytest.mark.parametrize(
    ("what", "example"),
    [
        ("path", "File /root/x.py"),
        ("port", "http://127.0.0.1:41234"),
        ("date", "2026-11-21"),
        ("time of day", "at 04:12:33"),
        ("seconds since 1970", '"created": 1795233862'),
        ("answer's id", "'as-s45wgb3c2f'"),
        ("place in memory", "<object at 0x7f1bc2d0>"),
        ("token", "24.0123456789abcdef0123456789abcdef.2592000"),
        ("duration", "took 1.2 seconds"),
        ("widget", "application/vnd.jupyter.widget-view+json"),
    ],
)
def test_what_is_foreign_would_be_found(what, example):
    assert re.search(FOREIGN[what], example)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("%%qianfan_chat\nhi", True),
        ("%load_ext qianfan_magic\n%qianfan demo", True),
        ("%load_ext qianfan_magic", False),
        ("x = 1\nx", True),
        ("x = 1", False),
        ("assert True", False),
    ],
)
def test_what_a_cell_shows_is_recognised(source, shown):
    assert shows(source) is shown

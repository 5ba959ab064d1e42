"""The stored example notebooks: valid, run in order, and the same on every computer."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from qianfan_magic.api.catalogue.cards import package_cards

LESSONS = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(LESSONS.rglob("*.ipynb"))
NOTEBOOKS = {str(path.relative_to(LESSONS)): nbformat.read(path, as_version=4) for path in PATHS}

#: What differs between runs or computers: its pattern, and an example that the pattern finds.
#: nbval compares the outputs strictly, so none of this may stand in them.
VARIABLE_TEXT = {
    "path": (
        r"(?<![\w/])/(home|root|tmp|work|usr|var|opt|Users|private)/|\b[A-Za-z]:\\\\|~/",
        "File /root/x.py",
    ),
    "port": (r"(127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\]):\d+", "http://127.0.0.1:41234"),
    "date": (r"\b20\d\d-\d\d-\d\d\b|\b\w{3} \d\d? 20\d\d\b", "2026-11-21"),
    "time of day": (r"\b\d\d?:\d\d(:\d\d)?\b", "at 04:12:33"),
    "seconds since 1970": (r"\b1[6-9]\d{8}(\.\d+)?\b", '"created": 1795233862'),
    "id of an answer": (r"\bas-[a-z0-9]{8,}", "'as-s45wgb3c2f'"),
    "memory address": (r"\b0x[0-9a-f]{6,}", "<object at 0x7f1bc2d0>"),
    "token": (
        r"\b24\.[0-9a-f]{32}|bce-v3/|bce-auth-v1/",
        "24.0123456789abcdef0123456789abcdef.2592000",
    ),
    "duration": (r"\b\d+(\.\d+)? ?(ms|µs|seconds)\b", "took 1.2 seconds"),
    "widget": (
        r"application/vnd\.jupyter\.widget|IPY_MODEL_",
        "application/vnd.jupyter.widget-view+json",
    ),
}


def code_cells() -> Iterator[tuple[str, Any]]:
    """Yield every code cell with the name of its notebook."""
    for name, notebook in NOTEBOOKS.items():
        for cell in notebook.cells:
            if cell.cell_type == "code":
                yield name, cell


def outputs(kind: str) -> Iterator[tuple[str, Any]]:
    """Yield every output of a type, each with its notebook and the source of its cell."""
    for name, cell in code_cells():
        for output in cell.outputs:
            if output.output_type == kind:
                yield f"{name}: {cell.source}", output


def shows(source: str) -> bool:
    """Tell whether a cell ends with a value or uses a magic of the extension."""
    if source.startswith("%%"):
        return source.startswith("%%qianfan")
    lines = source.splitlines()
    if any(re.match(r"%qianfan\b", line) for line in lines):
        return True
    python = ast.parse("\n".join(line for line in lines if not line.startswith("%")))
    return bool(python.body) and isinstance(python.body[-1], ast.Expr)


def test_notebooks_are_valid_and_run_in_any_python_kernel():
    assert PATHS[0] == LESSONS / "00_start_here.ipynb"
    for name, notebook in NOTEBOOKS.items():
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3", name
        assert "version" not in notebook.metadata.language_info, name
        assert "widgets" not in notebook.metadata, name  # the state of widgets is large


def test_code_cells_ran_from_top_to_bottom():
    for name in NOTEBOOKS:
        counts = [cell.execution_count for of, cell in code_cells() if of == name]
        assert counts, name
        assert counts == list(range(1, len(counts) + 1)), name


def test_cells_that_show_something_have_an_output():
    cases = [
        ("%%qianfan_chat\nhi", True),
        ("%load_ext qianfan_magic\n%qianfan demo", True),
        ("%load_ext qianfan_magic", False),
        ("x = 1\nx", True),
        ("x = 1", False),
        ("assert True", False),
    ]
    for source, is_shown in cases:
        assert shows(source) is is_shown, source
    for name, cell in code_cells():
        assert cell.outputs or not shows(cell.source), f"{name}: {cell.source}"


def test_displayed_outputs_can_be_read_without_a_kernel():
    for where, display in outputs("display_data"):
        assert "text/plain" in display.data, where
        assert {"text/html", "image/png"} & set(display.data), where


def test_cells_fail_only_where_tagged_and_with_two_lines():
    for name, cell in code_cells():
        tracebacks = [o.traceback for o in cell.outputs if o.output_type == "error"]
        is_tagged = "raises-exception" in cell.metadata.get("tags", [])
        assert bool(tracebacks) == is_tagged, f"{name}: {cell.source}"
        assert all(len(lines) == 2 for lines in tracebacks), f"{name}: {cell.source}"


def test_nothing_was_written_to_stderr():
    for where, stream in outputs("stream"):
        assert stream.name != "stderr", f"{where}: {stream.text}"


def test_outputs_are_the_same_on_every_computer():
    for what, (pattern, example) in VARIABLE_TEXT.items():
        assert re.search(pattern, example), what
    # The days on which models ended are facts of the package.
    ends = re.compile("|".join({str(card.ends) for card in package_cards() if card.ends}))
    for name, cell in code_cells():
        text = ends.sub("", json.dumps(cell.outputs, ensure_ascii=False))
        for what, (pattern, _) in VARIABLE_TEXT.items():
            assert not (found := re.search(pattern, text)), f"{name}: {what} {found}"

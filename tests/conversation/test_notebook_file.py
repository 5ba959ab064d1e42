"""The notebook on disk: its path, the records in its outputs, the order of its cells."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from qianfan_magic import QianfanError
from qianfan_magic.conversation.notebook_file import CellOrder, Output, notebook_path, read_outputs
from qianfan_magic.conversation.record import KEY

HERE = Path("notebook.ipynb")


def output(record: Any = None, text: Any = "hello", **fields: Any) -> dict[str, Any]:
    """Make an output that carries a record."""
    metadata = {} if record is None else {KEY: record}
    data = {"text/plain": text}
    made = {"output_type": "display_data", "data": data, "metadata": metadata}
    return made | fields


def cell(id_: str, *outputs: Any) -> dict[str, Any]:
    fields = {"metadata": {}, "source": "", "execution_count": None}
    return {"cell_type": "code", "id": id_, "outputs": list(outputs)} | fields


def write(*cells: Any, path: Path = HERE, minor: int = 5, **fields: Any) -> Path:
    """Write a notebook as it comes, however damaged."""
    made = {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": list(cells)}
    path.write_text(json.dumps(made | fields), encoding="utf-8")
    return path


def refused(path: Path) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        read_outputs(path)
    return caught.value


# --- where it is


def test_path_is_what_jupyter_names(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/talk.ipynb")
    assert notebook_path({}) == Path("/home/ada/talk.ipynb")


def test_path_is_what_vs_code_names():
    named = {"__vsc_ipynb_file__": "/home/ada/talk.ipynb"}
    assert notebook_path(named) == Path("/home/ada/talk.ipynb")


def test_path_of_vs_code_wins(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/server.ipynb")
    named = {"__vsc_ipynb_file__": "/home/ada/talk.ipynb"}
    assert notebook_path(named) == Path("/home/ada/talk.ipynb")


def test_notebook_of_which_nobody_says_a_path_has_none(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({}) is None


@pytest.mark.parametrize("named", ["", "a1b2-c3d4", "/home/ada/console.py"])
def test_session_that_is_no_notebook_has_no_path(monkeypatch, named):
    monkeypatch.setenv("JPY_SESSION_NAME", named)
    assert notebook_path({}) is None


@pytest.mark.parametrize("named", [None, 1, ["talk.ipynb"], Path("talk.ipynb")], ids=str)
def test_variable_that_is_no_text_names_no_path(monkeypatch, named):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({"__vsc_ipynb_file__": named}) is None


# --- what its outputs carry


def test_record_is_read_with_its_place_its_cell_and_its_text():
    path = write(cell("a"), cell("b", output({"x": 1}, "hello")))
    assert read_outputs(path) == [Output(2, "b", {"x": 1}, "hello")]


def test_records_are_read_from_the_top():
    path = write(cell("a", output(1), output(2)), cell("b", output(3)))
    assert [one.record for one in read_outputs(path)] == [1, 2, 3]


def test_outputs_without_a_record_are_passed_over():
    stream = {"output_type": "stream", "name": "stdout", "text": "hi"}
    assert read_outputs(write(cell("a", output(), stream, output({"x": 1})))) == [
        Output(1, "a", {"x": 1}, "hello")
    ]


def test_record_that_is_false_is_read_too():
    assert read_outputs(write(cell("a", output(record=0))))[0].record == 0


def test_lines_of_a_text_are_put_together():
    path = write(cell("a", output({}, ["one\n", "two\n", "\n", "three"])))
    assert read_outputs(path)[0].text == "one\ntwo\n\nthree"


def test_output_without_plain_text_has_an_empty_one():
    assert read_outputs(write(cell("a", output({}, data={"text/html": "<p>"}))))[0].text == ""


def test_result_of_a_cell_carries_a_record_too():
    result = output({"x": 1}, output_type="execute_result", execution_count=1)
    assert len(read_outputs(write(cell("a", result)))) == 1


def test_markdown_and_raw_cells_have_a_place():
    markdown = {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# hi"}
    raw = {"cell_type": "raw", "id": "r", "metadata": {}, "source": ""}
    assert read_outputs(write(markdown, raw, cell("a", output({}))))[0].place == 3


def test_cell_of_an_older_notebook_has_no_id():
    old = cell("a", output({}))
    del old["id"]
    assert read_outputs(write(old, minor=4))[0].cell == ""


def test_chinese_is_read():
    assert read_outputs(write(cell("a", output({}, "长城"))))[0].text == "长城"


def test_notebook_without_cells_carries_nothing():
    assert read_outputs(write()) == []


def test_notebook_of_nbformat_carries_what_was_put_in():
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(id="a")])
    made.cells[0].outputs.append(
        nbformat.v4.new_output("display_data", {"text/plain": "hi"}, metadata={KEY: {"x": 1}})
    )
    nbformat.write(made, HERE)
    assert read_outputs(HERE) == [Output(1, "a", {"x": 1}, "hi")]


# --- what is no notebook


def test_notebook_that_is_not_there_is_refused():
    error = refused(Path("missing.ipynb"))
    assert error.message == (
        "The notebook 'missing.ipynb' cannot be read: No such file or directory"
    )


def test_folder_is_refused(tmp_path):
    assert "cannot be read" in refused(tmp_path).message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"\xff\xfe\x00",
        b'{"nbformat": 4}',
        b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}',
        b'{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}',
        b'{"nbformat": "4", "nbformat_minor": "x", "metadata": {}, "cells": []}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 1}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {"a": ' + b"1" * 5_000 + b"}}",
        b"[" * 100_000,
    ],
    ids=lambda content: content[:80].decode(errors="replace"),
)
def test_file_that_is_no_notebook_is_refused(content):
    HERE.write_bytes(content)
    assert refused(HERE).message.startswith("'notebook.ipynb' is not a notebook: ")


def test_refusal_says_what_to_do():
    assert "%qianfan restore NOTEBOOK.ipynb" in refused(Path("missing.ipynb")).hint


WRONG = [None, True, 0, -1, 1.5, float("nan"), "x", "\ud800", [], [1], [None], {}, {"a": 1}]
PLACES: dict[str, tuple[Any, ...]] = {
    "cells": ("cells",),
    "cell": ("cells", 0),
    "id": ("cells", 0, "id"),
    "type": ("cells", 0, "cell_type"),
    "outputs": ("cells", 0, "outputs"),
    "output": ("cells", 0, "outputs", 0),
    "output type": ("cells", 0, "outputs", 0, "output_type"),
    "metadata": ("cells", 0, "outputs", 0, "metadata"),
    "data": ("cells", 0, "outputs", 0, "data"),
    "text": ("cells", 0, "outputs", 0, "data", "text/plain"),
    "format": ("nbformat",),
    "minor": ("nbformat_minor",),
}


def damaged(place: tuple[Any, ...], value: Any) -> Any:
    made: Any = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    made["cells"] = [cell("a", output({"clock": 1})), cell("b", output({"clock": 2}))]
    inner = made = copy.deepcopy(made)
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return made


@pytest.mark.parametrize("value", WRONG, ids=ascii)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_damaged_notebook_is_read_or_refused(place, value):
    HERE.write_text(json.dumps(damaged(place, value)))
    try:
        read = read_outputs(HERE)
    except QianfanError:
        return
    assert all(isinstance(one.text, str) and isinstance(one.cell, str) for one in read)


@pytest.mark.parametrize("value", [None, 1, [], "x"], ids=str)
def test_output_with_damaged_metadata_leaves_the_others(value):
    path = write(cell("a", output(metadata=value)), cell("b", output({"x": 1})))
    assert [one.cell for one in read_outputs(path)] == ["b"]


@pytest.mark.parametrize("value", [None, 1, [1], {}], ids=str)
def test_damaged_text_leaves_the_record(value):
    assert read_outputs(write(cell("a", output({"x": 1}, value))))[0].record == {"x": 1}


# --- in which order its cells stand


@pytest.fixture
def layout() -> CellOrder:
    """Give the layout of the notebook here, which VS Code names."""
    return CellOrder({"__vsc_ipynb_file__": str(HERE)})


def test_cells_below_one_are_those_that_follow_it(layout):
    write(cell("a"), cell("b"), cell("c"))
    assert layout.below("a") == {"b", "c"}


def test_nothing_is_below_the_last_cell(layout):
    write(cell("a"), cell("b"))
    assert layout.below("b") == set()


def test_nothing_is_below_a_cell_that_was_not_saved(layout):
    write(cell("a"), cell("b"))
    assert layout.below("new") == set()


def test_markdown_cells_are_below_too(layout):
    write(cell("a"), {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ""})
    assert layout.below("a") == {"m"}


def test_notebook_is_read_again_when_it_was_saved(layout):
    write(cell("a"), cell("b"), cell("c"))
    layout.below("a")
    write(cell("c"), cell("a"))
    assert layout.below("c") == {"a"}


def test_notebook_that_is_the_same_is_not_read_again(layout):
    write(cell("a"), cell("b"))
    before = HERE.stat()
    layout.below("a")
    write(cell("b"), cell("a"))
    os.utime(HERE, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert layout.below("a") == {"b"}


def test_order_is_that_of_the_notebook_that_is_named_now():
    write(cell("a"), cell("b"), path=Path("one.ipynb"))
    write(cell("b"), cell("a"), path=Path("two.ipynb"))
    variables = {"__vsc_ipynb_file__": "one.ipynb"}
    layout = CellOrder(variables)
    layout.below("a")
    variables["__vsc_ipynb_file__"] = "two.ipynb"
    assert layout.below("b") == {"a"}


def test_path_of_jupyter_counts_too(monkeypatch):
    write(cell("a"), cell("b"))
    monkeypatch.setenv("JPY_SESSION_NAME", str(HERE.resolve()))
    assert CellOrder({}).below("a") == {"b"}


def test_notebook_without_a_path_has_no_order(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    write(cell("a"), cell("b"))
    assert CellOrder({}).below("a") == set()


def test_notebook_that_was_never_saved_has_no_order(layout):
    assert layout.below("a") == set()


def test_notebook_that_was_saved_later_has_an_order(layout):
    layout.below("a")
    write(cell("a"), cell("b"))
    assert layout.below("a") == {"b"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000])
def test_file_that_is_no_notebook_has_no_order(layout, content):
    write(cell("a"), cell("b"))
    layout.below("a")
    HERE.write_bytes(content)
    assert layout.below("a") == set()


def test_notebook_that_was_repaired_has_an_order(layout):
    HERE.write_bytes(b"{")
    layout.below("a")
    write(cell("a"), cell("b"))
    assert layout.below("a") == {"b"}


def test_path_that_no_file_can_have_has_no_order():
    assert CellOrder({"__vsc_ipynb_file__": "a\0b.ipynb"}).below("a") == set()


@pytest.mark.parametrize("value", WRONG, ids=ascii)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_damaged_notebook_stops_no_cell(layout, place, value):
    HERE.write_text(json.dumps(damaged(place, value)))
    assert layout.below("a") <= {"b"}


def test_cells_without_ids_are_below_none(layout):
    old = cell("b")
    del old["id"]
    write(cell("a"), old)
    assert layout.below("a") == set()


def test_none_is_below_a_cell_without_an_id(layout):
    old = cell("a")
    del old["id"]
    write(old, cell("b"))
    assert layout.below("") == set()


# --- the clock of its records


def test_clock_is_the_largest_of_the_records(layout):
    write(cell("a", output({"clock": 7})), cell("b", output({"clock": 3})))
    layout.refresh()
    assert layout.clock == 7


def test_clock_never_goes_back(layout):
    write(cell("a", output({"clock": 7})))
    layout.refresh()
    write(cell("a"))
    layout.refresh()
    assert layout.clock == 7


def test_notebook_without_records_has_a_clock_of_0(layout):
    write(cell("a", output()))
    layout.refresh()
    assert layout.clock == 0


@pytest.mark.parametrize("record", [None, 1, "x", [], {}, {"clock": None}, {"clock": "9"}], ids=str)
def test_clock_is_read_past_a_damaged_record(layout, record):
    write(cell("a", output(metadata={KEY: record})), cell("b", output({"clock": 7})))
    layout.refresh()
    assert layout.clock == 7


@pytest.mark.parametrize("value", [None, 1, []], ids=str)
def test_clock_is_read_past_damaged_metadata(layout, value):
    write(cell("a", output(metadata=value)), cell("b", output({"clock": 7})))
    layout.refresh()
    assert layout.clock == 7


@pytest.mark.parametrize(
    "clock", [2**53, 10**4299, 1e300, float("inf")], ids=["2**53", "huge", "float", "inf"]
)
def test_clock_that_no_browser_can_count_on_is_passed_over(layout, clock):
    write(cell("a", output({"clock": clock})), cell("b", output({"clock": 7})))
    layout.refresh()
    assert layout.clock == 7

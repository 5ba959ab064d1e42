"""The saved notebook: its path, the records in its outputs and the order of its cells."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import QianfanError
from qianfan_magic.conversation.notebook_file import CellOrder, Output, notebook_path, read_outputs
from qianfan_magic.conversation.record import KEY

HERE = Path("notebook.ipynb")
FOLDER = "/home/ada"
#: Values that are damaged somewhere, whatever they stand for.
WRONG = [None, True, 0, -1, 1.5, float("nan"), "x", "\ud800", [], [1], [None], {}, {"a": 1}]
#: Contents of files that are not valid JSON.
INVALID_JSON = [
    b"",
    b"hello",
    b"{",
    b"\xff\xfe\x00",
    b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {"a": ' + b"1" * 5_000 + b"}}",
    b"[" * 100_000,
]
#: JSON that is not a notebook of format 4.
OTHER_JSON = [
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b'{"nbformat": 4}',
    b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}',
    b'{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}',
    b'{"nbformat": "4", "nbformat_minor": "x", "metadata": {}, "cells": []}',
    b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 1}',
]


def output(record: Any = None, text: Any = "hello", **fields: Any) -> dict[str, Any]:
    """Make an output that carries a record."""
    metadata = {} if record is None else {KEY: record}
    made = {"output_type": "display_data", "data": {"text/plain": text}, "metadata": metadata}
    return made | fields


def cell(id_: str | None, *outputs: Any, kind: str = "code") -> dict[str, Any]:
    """Make a cell; without an id it is one of a notebook before format 4.5."""
    fields = {"metadata": {}, "source": "", "execution_count": None}
    made = {"cell_type": kind, "id": id_, "outputs": list(outputs)} | fields
    return {name: value for name, value in made.items() if name != "id" or id_ is not None}


def write(*cells: Any, path: Path = HERE, minor: int = 5) -> Path:
    """Write a notebook as given, however damaged."""
    made = {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": list(cells)}
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def refused(path: Path) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        read_outputs(path)
    return caught.value


# --- its path


def test_path_is_that_of_jupyter_server(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", f"{FOLDER}/talk.ipynb")
    assert notebook_path({}) == Path(f"{FOLDER}/talk.ipynb")


def test_path_of_vs_code_takes_precedence(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", f"{FOLDER}/server.ipynb")
    named = {"__vsc_ipynb_file__": f"{FOLDER}/talk.ipynb"}
    assert notebook_path(named) == Path(f"{FOLDER}/talk.ipynb")


def test_path_is_unknown_without_a_front_end(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({}) is None


@pytest.mark.parametrize("name", ["", "a1b2-c3d4", f"{FOLDER}/console.py"])
def test_session_that_is_not_a_notebook_has_no_path(monkeypatch, name):
    monkeypatch.setenv("JPY_SESSION_NAME", name)
    assert notebook_path({}) is None


@pytest.mark.parametrize("value", [None, 1, ["talk.ipynb"], Path("talk.ipynb")], ids=str)
def test_variable_that_is_not_a_string_is_ignored(monkeypatch, value):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({"__vsc_ipynb_file__": value}) is None


# --- records in its outputs


def test_record_is_read_with_its_position_cell_and_text():
    path = write(cell("a"), cell("b", output({"x": 1}, "hello")))
    assert read_outputs(path) == [Output(2, "b", {"x": 1}, "hello")]


def test_output_knows_all_cells_of_the_notebook():
    path = write(cell("a"), cell("b", output({"x": 1})))
    assert read_outputs(path)[0].cells == {"a", "b"}


def test_records_are_read_from_top_to_bottom():
    path = write(cell("a", output(1), output(2)), cell("b", output(3)))
    assert [found.record for found in read_outputs(path)] == [1, 2, 3]


def test_outputs_without_a_record_are_ignored():
    stream = {"output_type": "stream", "name": "stdout", "text": "hi"}
    path = write(cell("a", output(), stream, output({"x": 1})))
    assert read_outputs(path) == [Output(1, "a", {"x": 1}, "hello")]


def test_record_that_is_false_is_read():
    assert read_outputs(write(cell("a", output(record=0))))[0].record == 0


def test_lines_of_a_text_are_joined():
    path = write(cell("a", output({}, ["one\n", "two\n", "\n", "three"])))
    assert read_outputs(path)[0].text == "one\ntwo\n\nthree"


def test_output_without_plain_text_has_an_empty_text():
    assert read_outputs(write(cell("a", output({}, data={"text/html": "<p>"}))))[0].text == ""


def test_execute_result_can_carry_a_record():
    result = output({"x": 1}, output_type="execute_result", execution_count=1)
    assert len(read_outputs(write(cell("a", result)))) == 1


def test_markdown_and_raw_cells_count_for_the_position():
    path = write(cell("m", kind="markdown"), cell("r", kind="raw"), cell("a", output({})))
    assert read_outputs(path)[0].place == 3


def test_cell_of_an_older_notebook_has_no_id():
    assert read_outputs(write(cell(None, output({})), minor=4))[0].cell == ""


def test_text_is_read_as_utf_8():
    HERE.write_text(json.dumps({"nbformat": 4, "cells": [cell("a", output({}, "长城"))]},
                               ensure_ascii=False), encoding="utf-8")  # fmt: skip
    assert read_outputs(HERE)[0].text == "长城"


def test_notebook_without_cells_has_no_records():
    assert read_outputs(write()) == []


def test_notebook_written_by_nbformat_is_read():
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(id="a")])
    made.cells[0].outputs.append(
        nbformat.v4.new_output("display_data", {"text/plain": "hi"}, metadata={KEY: {"x": 1}})
    )
    nbformat.write(made, HERE)
    assert read_outputs(HERE) == [Output(1, "a", {"x": 1}, "hi")]


# --- files that are not notebooks


def test_missing_notebook_is_an_error_that_names_the_command():
    error = refused(Path("missing.ipynb"))
    assert error.message == (
        "The notebook 'missing.ipynb' cannot be read: No such file or directory"
    )
    assert error.hint == (
        "Save it, or give its path: %qianfan restore NOTEBOOK.ipynb. A kernel knows the name that "
        "its notebook had when it started."
    )


def test_folder_is_an_error(tmp_path):
    assert "cannot be read" in refused(tmp_path).message


def test_files_that_are_not_notebooks_are_errors_that_say_why():
    for reason, contents in {
        "it is not valid JSON": INVALID_JSON,
        "it is not of format 4": OTHER_JSON,
    }.items():
        for content in contents:
            HERE.write_bytes(content)
            error = refused(HERE)
            assert error.message == f"'notebook.ipynb' is not a notebook: {reason}", content[:80]
            assert error.hint == (
                "Give the path of a saved notebook: %qianfan restore NOTEBOOK.ipynb"
            )


def test_named_pipe_is_an_error_instead_of_an_endless_wait():
    os.mkfifo(HERE)
    assert refused(HERE).message == "'notebook.ipynb' is not a notebook: it is not a file"


# --- damaged notebooks

#: Paths to all that may be damaged in the upper of two cells.
PLACES: list[tuple[Any, ...]] = [
    ("cells", 0),
    ("cells", 0, "id"),
    ("cells", 0, "cell_type"),
    ("cells", 0, "outputs"),
    ("cells", 0, "outputs", 0),
    ("cells", 0, "outputs", 0, "output_type"),
    ("cells", 0, "outputs", 0, "metadata"),
    ("cells", 0, "outputs", 0, "metadata", KEY),
    ("cells", 0, "outputs", 0, "data"),
    ("cells", 0, "outputs", 0, "data", "text/plain"),
    ("nbformat_minor",),
    ("metadata",),
]
DAMAGE = st.sampled_from(WRONG) | st.text(max_size=3)


def damaged(place: tuple[Any, ...], value: Any) -> Any:
    """Return a notebook of the cells a, b and c, of which a is damaged, or the notebook's head."""
    made: Any = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    made["cells"] = [cell(id_, output({"clock": clock})) for clock, id_ in enumerate("abc", 1)]
    inner = made = copy.deepcopy(made)
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return made


@given(st.sampled_from(PLACES), DAMAGE)
def test_records_beside_a_damaged_cell_are_read(place, value):
    HERE.write_text(json.dumps(damaged(place, value)))
    read = [(found.place, found.cell, found.text) for found in read_outputs(HERE)]
    assert read[-2:] == [(2, "b", "hello"), (3, "c", "hello")]
    # Whatever is read of the damaged one, its types are right.
    assert all(isinstance(part, str) for _, *texts in read for part in texts)


@given(st.sampled_from(PLACES), DAMAGE)
def test_cells_beside_a_damaged_one_keep_their_order(place, value):
    HERE.write_text(json.dumps(damaged(place, value)))
    order = CellOrder({"__vsc_ipynb_file__": str(HERE)})
    assert order.below("b") == {"c"}
    assert order.clock == 3


# --- the order of its cells


@pytest.fixture
def order() -> CellOrder:
    """Give the order of the notebook in this folder, whose path VS Code tells."""
    return CellOrder({"__vsc_ipynb_file__": str(HERE)})


def test_cells_below_a_cell_are_those_that_follow_it(order):
    write(cell("a"), cell("b"), cell("m", kind="markdown"))
    assert order.below("a") == {"b", "m"}
    assert order.below("m") == set()


def test_no_cells_are_below_one_that_was_never_saved(order):
    write(cell("a"), cell("b"))
    assert order.below("new") == set()


def test_cells_that_were_never_saved_are_below_all_others(order):
    write(cell("a"), cell("b"))
    assert order.below("b", used=["a", "new"]) == {"new"}


def test_notebook_is_read_again_when_it_has_been_saved(order):
    write(cell("a"), cell("b"), cell("c"))
    order.below("a")
    write(cell("c"), cell("a"))
    assert order.below("c") == {"a"}


def test_unchanged_notebook_is_not_read_again(order):
    write(cell("a"), cell("b"))
    before = HERE.stat()
    order.below("a")
    write(cell("b"), cell("a"))
    os.utime(HERE, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert order.below("a") == {"b"}


def test_order_follows_the_path_to_another_notebook():
    write(cell("a"), cell("b"), path=Path("one.ipynb"))
    write(cell("b"), cell("a"), path=Path("two.ipynb"))
    variables = {"__vsc_ipynb_file__": "one.ipynb"}
    order = CellOrder(variables)
    order.below("a")
    variables["__vsc_ipynb_file__"] = "two.ipynb"
    assert order.below("b") == {"a"}


def test_deleted_cells_are_gone(order):
    write(cell("a"), cell("b"))
    order.refresh()
    write(cell("a"))
    order.refresh()
    assert order.gone("a") == {"b"}


def test_nothing_is_gone_for_a_cell_that_is_not_in_the_notebook(order):
    write(cell("a"), cell("b"))
    order.refresh()
    write(cell("a"))
    order.refresh()
    assert order.gone("b") == set()


def test_notebook_that_was_moved_is_lost(order):
    write(cell("a"))
    order.refresh()
    assert not order.is_lost
    HERE.rename("renamed.ipynb")
    order.refresh()
    assert order.is_lost


def test_notebook_that_was_never_saved_is_not_lost(order):
    assert not order.is_lost
    order.refresh()
    assert not order.is_lost


def test_notebook_without_a_path_has_no_order(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    write(cell("a"), cell("b"))
    assert CellOrder({}).below("a") == set()


def test_notebook_has_an_order_once_it_is_saved(order):
    assert order.below("a") == set()
    write(cell("a"), cell("b"))
    assert order.below("a") == {"b"}


def test_files_that_are_not_notebooks_have_no_order_until_repaired(order):
    for content in [*INVALID_JSON, *(each for each in OTHER_JSON if b'"cells": []' not in each)]:
        write(cell("a"), cell("b"))
        assert order.below("a") == {"b"}, content[:80]
        HERE.write_bytes(content)
        assert order.below("a") == set(), content[:80]


def test_path_without_a_readable_file_has_no_order():
    Path("folder.ipynb").mkdir()
    for path in ("folder.ipynb", "missing.ipynb", "a\0b.ipynb"):
        assert CellOrder({"__vsc_ipynb_file__": path}).below("a") == set(), path


def test_cells_without_ids_have_no_order(order):
    write(cell(None), cell("a"), cell(None), cell("b"))
    assert order.below("a") == {"b"}
    assert order.below("") == set()


# --- the clock of its records


def test_clock_is_the_largest_of_the_records(order):
    write(cell("a", output({"clock": 7})), cell("b", output({"clock": 3})))
    order.refresh()
    assert order.clock == 7


def test_clock_never_goes_back(order):
    write(cell("a", output({"clock": 7})))
    order.refresh()
    write(cell("a"))
    order.refresh()
    assert order.clock == 7


def test_clock_of_a_notebook_without_records_is_0(order):
    write(cell("a", output()))
    order.refresh()
    assert order.clock == 0


def test_clock_of_a_record_that_was_saved_later_is_seen(order):
    write(cell("a", output({"clock": 7})))
    order.refresh()
    write(cell("a", output({"clock": 7})), cell("b", output({"clock": 9})))
    order.refresh()
    assert order.clock == 9


def test_invalid_clocks_are_ignored():
    # 2**53 is beyond the integers that a browser can save.
    for clock in [None, "9", True, -1, [], 2**53, 10**4299, 1e300, float("inf")]:
        write(cell("a", output({"clock": clock})), cell("b", output({"clock": 7})))
        order = CellOrder({"__vsc_ipynb_file__": str(HERE)})
        order.refresh()
        assert order.clock == 7, repr(clock)[:80]


def test_cell_stays_recorded_when_it_is_saved_without_its_output(order):
    # So a front end saves a cell that is running.
    write(cell("a", output({"clock": 7})))
    order.refresh()
    write(cell("a"))
    order.refresh()
    assert order.recorded == {"a"}

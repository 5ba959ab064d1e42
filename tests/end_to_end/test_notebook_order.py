"""The saved notebook decides which turns a cell follows, in a real kernel.

How the file is read is tested in ``tests/conversation/test_notebook_file.py``. Here the kernel
finds the file by itself, and a cell may be above others, deleted, or in VS Code.
"""

from __future__ import annotations

import json
from itertools import permutations

from support.page import Page, cleared, text_of, turns_of

from qianfan_magic.embedded.faults import Fault

#: The id that VS Code sends is a URL, which contains the folders of the notebook.
VS_CODE_CELL = "vscode-notebook-cell:/home/li/lessons/a.ipynb#W0sZmlsZQ%3D%3D"
#: Contents of a file that is not a notebook; None stands for no file.
UNREADABLE = {
    "missing": None,
    "empty": b"",
    "truncated": b'{"cells": [{"id": "a"}, {"id"',
    "without cells": b"{}",
    "cells of other types": b'{"cells": [1, "a", null]}',
    "nested too deep": b"[" * 100_000,
}
LOST = "The saved notebook is no longer where it was when the kernel started"


# --- a cell above others


def test_cell_drops_the_turns_of_cells_below_it(page):
    page.save("a", "b", "c", "d")
    page.ask("d", "four", "-n tutor")
    page.ask("a", "one")
    page.ask("c", "three")
    shown = text_of(page.ask("b", "two"))
    dropped = "Dropped turns of cells below, which ran before this one: turn 2 (“three”)."
    assert f"[{dropped}]" in shown
    assert page.sent() == ["one", "two"]
    assert page.questions() == ["one", "two"]
    assert page.questions("tutor") == ["four"]


def test_cell_that_fails_or_appends_drops_no_turns_of_cells_below_it(page):
    page.save("a", "b")
    page.ask("b", "two")
    page.server.fail(Fault(error_code=336003))
    page.run("a", "%%qianfan_chat\none")
    assert page.questions() == ["two"]
    page.ask("a", "one", "--append")
    assert page.questions() == ["two", "one"]


def test_cells_run_in_any_order_follow_those_above_them(page):
    for order in permutations("abc"):
        cleared(page)
        page.save("a", "b", "c")
        for cell in order:
            page.ask(cell, cell)
            assert page.sent() == sorted({*page.sent()}), order
        page.talk("a", "b", "c")
        answers = [turn.assistant for cell in "abc" for turn in turns_of(page.under[cell][0])]
        assert page.messages()[::2] == ["a", "b", "c"], order
        assert page.messages()[1::2] == answers, order


# --- a notebook that changes


def test_turn_of_a_deleted_cell_is_dropped_and_stays_so_after_a_restore(page):
    page.save("a", "b", "c", "d")
    page.talk("one", "two", "three")
    del page.under["b"]
    page.save("a", "c", "d")
    shown = text_of(page.ask("d", "four"))
    assert "[Dropped turns of cells that are gone: turn 2 (“two”).]" in shown
    assert page.sent() == ["one", "three", "four"]
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["one", "three", "four"]


def test_renamed_notebook_is_reported_once_and_drops_no_turn(page):
    page.save("a", "b", "c", "d")
    page.ask("a", "one")
    assert LOST not in text_of(page.ask("b", "two"))
    page.path.rename(page.path.with_name("renamed.ipynb"))
    assert LOST in text_of(page.ask("c", "three"))
    assert LOST not in text_of(page.ask("d", "four"))
    assert page.questions() == ["one", "two", "three", "four"]


def test_unsaved_records_of_an_earlier_kernel_are_older(page):
    page.talk("one", "two", "three")
    page.restart()
    page.ask("a", "uno")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["uno"]


def test_unreadable_notebook_has_no_order_and_stops_no_cell(page):
    for case, content in UNREADABLE.items():
        cleared(page)
        if content is not None:
            page.path.write_bytes(content)
        page.ask("b", "two")
        page.ask("a", "one")
        page.ask("a", "uno")
        assert page.questions() == ["two", "uno"], case


# --- VS Code


def test_path_of_vs_code_takes_precedence_over_that_of_jupyter_server(page, tmp_path):
    page.save("a", "b")
    in_vs_code = Page(page.kernel, tmp_path / "code.ipynb")
    in_vs_code.save("b", "a")
    page.kernel.run(f"__vsc_ipynb_file__ = {str(in_vs_code.path)!r}")
    try:
        page.ask("b", "two")
        page.ask("a", "one")
        assert page.questions() == ["two", "one"]
    finally:
        page.kernel.run("del __vsc_ipynb_file__")


def test_cell_of_vs_code_is_recognised_and_its_folders_are_stored_nowhere(page, tmp_path):
    page.ask(VS_CODE_CELL, "one")
    ran = page.ask(VS_CODE_CELL, "uno")
    assert page.questions() == ["uno"]
    assert "lessons" not in json.dumps(ran.published, default=str)
    saved = tmp_path / "talk.json"
    page.say(f"%qianfan save {saved}")
    assert "uno" in saved.read_text()
    assert "lessons" not in saved.read_text()

"""The conversation that follows the notebook, in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.jupyterlab import SETUP
from support.page import turns_of

if TYPE_CHECKING:
    from support.jupyterlab import Lab, OpenAndRun, OpenNotebook

WALL = "%%qianfan_chat\nPlease introduce The Great Wall"
LONG = "%%qianfan_chat\nHow long is it?"
FIRST = "%%qianfan_chat\nWhat was my first question?"
COMPARE = "%%qianfan_chat --compare temperature=0.1,0.9\nSuggest a name for a cat."
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
RUN_CELL = """number => {
    window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;
    return window.jupyterapp.commands.execute('notebook:run-cell');
}"""
PARAMS = "%qianfan params"
BOX = "import ipywidgets\nbox = ipywidgets.Output()\nbox"


@pytest.fixture
def opened(lab: Lab, open_notebook: OpenAndRun, request: pytest.FixtureRequest) -> OpenAndRun:
    """Open cells after one that starts the embedded server, and run only that one."""

    def open_cells(*cells: str) -> OpenNotebook:
        name = f"{request.node.name.partition('[')[0]}.ipynb"
        notebook = open_notebook(lab.write(name, SETUP, *cells))
        run_cells(notebook, 0)
        return notebook

    return open_cells


def run_cells(notebook: OpenNotebook, *numbers: int) -> None:
    """Run existing cells, one after the other, each to its end."""
    for number in numbers:
        notebook.page.evaluate(RUN_CELL, number)
        notebook.wait_idle()


def turn_of(notebook: OpenNotebook, number: int) -> dict:
    """Return the turn that a cell's output carries in the saved notebook."""
    (output,) = notebook.save()["cells"][number]["outputs"]
    return output["metadata"]["qianfan_magic"]["turns"][-1]


def test_conversation_follows_re_run_restart_and_restore(opened: OpenAndRun) -> None:
    notebook = opened(WALL, LONG, "%qianfan restore", FIRST, "%qianfan history")
    run_cells(notebook, 1, 2, 1)
    dropped = "Dropped turns that followed: turn 2 (\u201cHow long is it?\u201d)"
    expect(notebook.output(1)).to_contain_text(dropped)
    notebook.screenshot("re-run")
    run_cells(notebook, 2)
    notebook.save()
    notebook.page.evaluate(RESTART)
    run_cells(notebook, 0, 3, 4)
    expect(notebook.output(3)).to_contain_text("default: 2 turns restored.")
    expect(notebook.output(4)).to_contain_text("\u201cPlease introduce The Great Wall\u201d")
    notebook.screenshot("restored")
    run_cells(notebook, 2, 5)
    expect(notebook.output(2)).to_contain_text("Replaces turn 2")
    expect(notebook.output(5)).to_contain_text("Conversation default: 2 turns")
    notebook.screenshot("history")


def test_cells_run_from_below_are_asked_from_the_top(opened: OpenAndRun) -> None:
    notebook = opened(WALL, LONG)
    notebook.save()
    run_cells(notebook, 2, 1)
    dropped = "Dropped turns of cells below, which ran before this one: turn 1"
    expect(notebook.output(1)).to_contain_text(dropped)
    notebook.screenshot("run-from-below")
    run_cells(notebook, 2)
    assert turn_of(notebook, 1)["turn"] == 1
    assert turn_of(notebook, 2)["turn"] == 2


def test_cut_off_answer_goes_on_as_one(opened: OpenAndRun) -> None:
    cut = "%%qianfan_chat --max-tokens 40\nPlease introduce Beijing"
    notebook = opened(cut, "%%qianfan_chat --continue")
    run_cells(notebook, 1, 2)
    expect(notebook.output(2).locator("table")).to_contain_text("798 Art District")
    notebook.screenshot("continued")
    (turn,) = turns_of(notebook.save()["cells"][2]["outputs"][0])
    assert turn.assistant.endswith("roast duck that people travel for.")


def test_kept_column_is_recorded_in_the_saved_notebook(opened: OpenAndRun) -> None:
    notebook = opened(COMPARE, "%qianfan keep 2")
    run_cells(notebook, 1)
    assert turn_of(notebook, 1)["parameters"] == {"temperature": 0.1}
    run_cells(notebook, 2)
    assert turn_of(notebook, 1)["parameters"] == {"temperature": 0.9}


def test_kept_answer_is_recorded_in_the_saved_notebook(opened: OpenAndRun) -> None:
    notebook = opened("%%qianfan_chat\nSuggest a name for a cat.", PARAMS)
    run_cells(notebook, 1)
    run_cells(notebook, 2)
    panel = notebook.run_code("%qianfan params temperature=0.9")
    notebook.wait_idle()
    panel.get_by_role("button", name="Again", exact=True).click()
    panel.get_by_role("button", name="Keep", exact=True).click()
    panel.get_by_text("Kept: the answer is below its cell now.").wait_for()
    assert turn_of(notebook, 1)["parameters"] == {"temperature": 0.9}


def test_answer_in_a_widget_leaves_its_record_under_the_cell(opened: OpenAndRun) -> None:
    notebook = opened(BOX, "%%qianfan_chat --into box\nhi", "print('next')")
    run_cells(notebook, 1, 2, 3)
    notebook.screenshot("into-record")
    assert turn_of(notebook, 2)["user"] == "hi"


def test_cell_that_fails_says_what_stays(opened: OpenAndRun) -> None:
    notebook = opened("%%qianfan_chat\nhi")
    run_cells(notebook, 1)
    notebook.page.evaluate(
        """() => { const cells = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
                   cells.cells[1].setSource('%%qianfan_chat -t 7\\nhi'); }"""
    )
    run_cells(notebook, 1)
    expect(notebook.output(1)).to_contain_text("it still has turn 1, which this cell asked")
    notebook.screenshot("failed-again")
    outputs = notebook.save()["cells"][1]["outputs"]
    assert [output["output_type"] for output in outputs] == ["display_data", "error"]

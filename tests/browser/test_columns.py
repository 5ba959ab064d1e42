"""Answers side by side, in a real JupyterLab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.jupyterlab import set_pace

if TYPE_CHECKING:
    from playwright.sync_api import Locator
    from support.jupyterlab import OpenAndRun, OpenNotebook

COMPARE = "%%qianfan_chat --compare temperature=0.1,0.5,0.9\nPlease introduce The Great Wall"


def lefts(columns: Locator) -> set[float]:
    """Return the left edges of the columns."""
    return {column.bounding_box()["x"] for column in columns.all()}


def plain_columns(notebook: OpenNotebook, cell: int) -> Locator:
    return notebook.output(cell).locator(".qianfan-answer > div > div")


def test_columns_stream_at_once_and_end_as_a_plain_grid(run: OpenAndRun) -> None:
    notebook = run(set_pace(0.1), COMPARE)
    columns = notebook.page.locator(".qianfan-column")
    for number in range(3):
        columns.nth(number).locator("strong", has_text="Great Wall").wait_for()
    notebook.screenshot("compare-streaming")
    assert "UNESCO" not in "".join(columns.all_inner_texts())
    assert len(lefts(columns)) == 3
    notebook.wait_idle()
    expect(plain_columns(notebook, 2)).to_have_count(3)
    notebook.screenshot("compare")
    assert len(lefts(plain_columns(notebook, 2))) == 3
    assert "widget" not in json.dumps(notebook.save())


def test_stop_ends_all_columns(run: OpenAndRun) -> None:
    notebook = run(set_pace(0.2), COMPARE, "print('went on')")
    notebook.page.locator(".qianfan-body", has_text="not one wall").nth(2).wait_for()
    notebook.page.get_by_role("button", name="Stop all", exact=True).click()
    notebook.output(2).get_by_text("Stopped. What had arrived is kept.").wait_for()
    assert notebook.output(2).inner_text().count("· stopped") == 3
    notebook.wait_idle()
    assert "went on" not in notebook.output(3).inner_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_columns_wrap_on_a_narrow_page(run: OpenAndRun, theme: str) -> None:
    notebook = run(COMPARE, theme=theme, width=600, height=1400)
    notebook.wait_idle()
    notebook.screenshot(f"compare-{theme.split()[1].lower()}-600")
    expect(plain_columns(notebook, 1)).to_have_count(3)
    assert len(lefts(plain_columns(notebook, 1))) < 3
    assert notebook.overflow(1) == 0


def test_six_columns_are_three_and_three(run: OpenAndRun) -> None:
    notebook = run("%%qianfan_chat --compare seed=1,2,3,4,5,6\nhi", width=1600, height=1000)
    notebook.wait_idle()
    expect(plain_columns(notebook, 1)).to_have_count(6)
    assert len(lefts(plain_columns(notebook, 1))) == 3


def test_second_column_can_be_kept_instead(run: OpenAndRun) -> None:
    notebook = run("%%qianfan_chat --compare temperature=0.1,0.9\nWhat did you receive?")
    notebook.wait_idle()
    output = notebook.run_code("%qianfan keep 2\n%qianfan history")
    expect(output.get_by_role("row", name="temperature=0.9 done, kept")).to_be_visible()
    expect(notebook.output(1)).to_contain_text("The conversation goes on from here.")
    expect(output).to_contain_text("with temperature=0.9")

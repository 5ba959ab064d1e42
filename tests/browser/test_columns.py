"""Answers side by side, in a real JupyterLab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import CellRun

SLOWLY = 'get_ipython().magics_manager.registry["QianfanMagics"].session.server.pace = 0.2'
COMPARE = "%%qianfan_chat --compare temperature=0.1,0.5,0.9\nPlease introduce The Great Wall"


def lefts(columns) -> list[float]:
    return [column.bounding_box()["x"] for column in columns.all()]


def test_columns_stream_at_once(run: CellRun) -> None:
    notebook = run(SLOWLY, COMPARE)
    columns = notebook.page.locator(".qianfan-column")
    for number in range(3):
        columns.nth(number).locator("strong", has_text="Great Wall").wait_for()
    notebook.screenshot("compare-streaming")
    assert ["UNESCO" in text for text in columns.all_inner_texts()] == [False] * 3
    assert len(set(lefts(columns))) == 3


def test_columns_end_as_a_plain_grid(run: CellRun) -> None:
    notebook = run(COMPARE)
    notebook.wait_idle()
    notebook.screenshot("compare")
    cells = notebook.output(1).locator(".qianfan-answer > div > div")
    assert len(set(lefts(cells))) == 3
    assert "widget" not in json.dumps(notebook.save())


def test_stop_ends_all_columns(run: CellRun) -> None:
    notebook = run(SLOWLY, COMPARE, "print('went on')")
    notebook.page.locator(".qianfan-body", has_text="not one wall").nth(2).wait_for()
    notebook.page.get_by_role("button", name="Stop", exact=True).click()
    notebook.output(2).get_by_text("KeyboardInterrupt").wait_for()
    assert notebook.output(2).inner_text().count("· stopped") == 3
    notebook.wait_idle()
    assert "went on" not in notebook.output(3).inner_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_columns_wrap_on_a_narrow_page(run: CellRun, theme: str) -> None:
    notebook = run(COMPARE, theme=theme, width=600, height=1400)
    notebook.wait_idle()
    notebook.screenshot(f"compare-{theme.split()[1].lower()}-600")
    cells = notebook.output(1).locator(".qianfan-answer > div > div")
    assert len(set(lefts(cells))) < 3
    assert notebook.output(1).evaluate("area => area.scrollWidth - area.clientWidth") == 0


def test_second_column_can_be_kept_instead(run: CellRun) -> None:
    notebook = run("%%qianfan_chat --compare temperature=0.1,0.9\nWhat did you receive?")
    notebook.wait_idle()
    notebook.run_code("%qianfan keep 2\n%qianfan history")
    expect(notebook.output(2)).to_contain_text("2, kept: temperature=0.9")
    expect(notebook.output(2)).to_contain_text("with temperature=0.9")

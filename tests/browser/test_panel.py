"""The sliders, Again and Keep, in a real JupyterLab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import CellRun, Notebook

SHOW = "%qianfan params"
ASK = "%%qianfan_chat\nWhat did you receive?"


@pytest.fixture
def panel(run: CellRun) -> Notebook:
    """A notebook with an answer and the panel below it."""
    notebook = run(ASK, SHOW)
    notebook.wait_idle()
    notebook.output(2).get_by_role("button", name="Again", exact=True).wait_for()
    # The plain table has taken the widget's place, and the controls the table's.
    expect(notebook.output(2).locator(".jp-RenderedHTML .qianfan-controls")).to_be_visible()
    return notebook


def slider(notebook: Notebook, name: str, cell: int = 2):
    return notebook.output(cell).get_by_role("slider", name=name)


def test_slider_moves_and_the_next_request_carries_it(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "penalty_score").fill("1.5")
    panel.screenshot("params")
    panel.run_code("%%qianfan_chat\nWhat did you receive now?")
    expect(panel.output(3)).to_contain_text("temperature=0.3, penalty_score=1.5")


def test_let_the_service_decide_takes_it_back(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.3")
    row = panel.output(2).get_by_role("group", name="temperature")
    row.get_by_role("checkbox", name="let the service decide").check()
    panel.run_code("%%qianfan_chat\nWhat did you receive now?")
    expect(panel.output(3)).to_contain_text("with no parameters")


def test_both_panels_move_together(panel: Notebook) -> None:
    panel.run_code(SHOW)
    panel.output(3).get_by_role("button", name="Again", exact=True).wait_for()
    slider(panel, "temperature").fill("0.65")
    number = panel.output(3).get_by_role("spinbutton", name="temperature")
    expect(number).to_have_value("0.65")


def test_sliders_can_be_moved_with_the_keyboard_alone(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "temperature").focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("Tab")
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    expect(number).to_be_focused()
    expect(number).to_have_value("0.35")


def test_advice_is_given_where_both_are_set(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "top_p").fill("0.5")
    expect(panel.output(2)).to_contain_text("only one of temperature and top_p")


def test_value_out_of_range_is_refused_and_said(panel: Notebook) -> None:
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    number.fill("7")
    number.press("Enter")
    expect(panel.output(2)).to_contain_text("temperature is 7, but must be a number in (0, 1]")
    expect(number).to_have_value("")


def test_again_streams_beside_the_panel_and_keep_replaces_the_turn(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.9")
    panel.output(2).get_by_role("button", name="Again", exact=True).click()
    again = panel.output(2).locator(".qianfan-reply")
    expect(again).to_contain_text("temperature=0.9")
    expect(again).to_contain_text("done")
    panel.screenshot("again")
    assert "temperature=0.9" not in panel.output(1).inner_text()
    panel.output(2).get_by_role("button", name="Keep", exact=True).click()
    expect(panel.output(1)).to_contain_text("temperature=0.9")
    panel.run_code("%qianfan history")
    expect(panel.output(3)).to_contain_text("1 turn")
    expect(panel.output(3)).to_contain_text("temperature=0.9")
    panel.screenshot("kept")


def test_saved_notebook_holds_a_table_and_no_widget(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.9")
    saved = panel.save()
    assert "widget" not in json.dumps(saved)
    assert "the service decides" in json.dumps(saved["cells"][2]["outputs"])


def test_controls_are_there_after_a_reload_with_the_kernel_alive(panel: Notebook) -> None:
    slider(panel, "temperature").fill("0.45")
    panel.save()
    panel.page.reload()
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    expect(number).to_have_value("0.45")


def test_table_is_there_after_the_kernel_is_gone(panel: Notebook) -> None:
    panel.save()
    panel.command("kernelmenu:shutdown")
    panel.page.reload()
    expect(panel.output(2).locator("table")).to_contain_text("the service decides")
    panel.screenshot("params-without-kernel")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [600, 1200])
def test_panel_fits_themes_and_widths(run: CellRun, theme: str, width: int) -> None:
    notebook = run(
        ASK, "%qianfan params temperature=0.4 top_p=0.8 stop=END", theme=theme, width=width
    )
    notebook.output(2).get_by_role("button", name="Again", exact=True).click()
    expect(notebook.output(2).locator(".qianfan-reply")).to_contain_text("done")
    notebook.screenshot(f"panel-{theme.split()[1].lower()}-{width}")
    assert notebook.output(2).evaluate("area => area.scrollWidth - area.clientWidth") == 0

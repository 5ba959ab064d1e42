"""The sliders, Again and Keep, in a real JupyterLab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator
    from support.jupyterlab import OpenAndRun, OpenNotebook

SHOW = "%qianfan params"
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
ASK = "%%qianfan_chat\nWhat did you receive?"
ASK_AGAIN = "%%qianfan_chat\nWhat did you receive now?"


@pytest.fixture
def panel(run: OpenAndRun) -> OpenNotebook:
    """A notebook with an answer and the panel below it."""
    notebook = run(ASK, SHOW)
    notebook.wait_idle()
    notebook.output(2).get_by_role("button", name="Again", exact=True).wait_for()
    # A plain table replaces the widget, and then the controls replace the table.
    expect(notebook.output(2).locator(".jp-RenderedHTML .qianfan-controls")).to_be_visible()
    return notebook


def slider(notebook: OpenNotebook, name: str) -> Locator:
    return notebook.output(2).get_by_role("slider", name=name)


def test_next_request_carries_the_sliders_values_until_the_service_decides_again(
    panel: OpenNotebook,
) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "penalty_score").fill("1.5")
    panel.screenshot("params")
    answer = panel.run_code(ASK_AGAIN)
    expect(answer).to_contain_text("temperature=0.3, penalty_score=1.5")
    panel.output(2).get_by_role("checkbox", name="set temperature").uncheck()
    answer = panel.run_code(ASK_AGAIN)
    expect(answer).to_contain_text("with penalty_score=1.5")


def test_older_panel_becomes_a_table_of_what_it_set(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.3")
    second = panel.run_code(SHOW)
    second.get_by_role("button", name="Again", exact=True).wait_for()
    older = panel.output(2)
    expect(older.get_by_role("row", name="temperature 0.3")).to_be_visible()
    expect(older).to_contain_text("The panel of a later cell has the controls.")
    expect(older.get_by_role("slider")).to_have_count(0)
    second.get_by_role("slider", name="temperature").fill("0.65")
    expect(second.get_by_role("spinbutton", name="temperature")).to_have_value("0.65")
    expect(older.get_by_role("row", name="temperature 0.3")).to_be_visible()


def test_panel_is_disabled_once_its_kernel_was_restarted(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.3")
    panel.page.evaluate(RESTART)
    expect(panel.output(2)).to_contain_text("The kernel was restarted or shut down: run this cell")
    for control in ("slider", "spinbutton", "checkbox", "button"):
        expect(panel.output(2).get_by_role(control).first).to_be_disabled()
    panel.screenshot("params-after-restart")
    panel.run_all()
    panel.wait_idle()
    expect(slider(panel, "temperature")).to_be_enabled()
    expect(panel.output(2).get_by_role("spinbutton", name="temperature")).to_have_value("")


def test_saved_table_has_the_values_that_were_set_in_the_panel(panel: OpenNotebook) -> None:
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    number.fill("0.35")
    panel.output(1).click()
    assert until(lambda: "0.35" in str(panel.save()["cells"][2]["outputs"]))
    panel.reload_without_kernel()
    expect(panel.output(2).get_by_role("row", name="temperature 0.35")).to_be_visible()


def test_sliders_can_be_moved_with_the_keyboard_alone(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "temperature").focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("Tab")
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    expect(number).to_be_focused()
    expect(number).to_have_value("0.35")


def test_first_step_of_an_unset_control_starts_from_the_default(run: OpenAndRun) -> None:
    card = {"ernie-5.1": {"model": "ernie-5.1", "defaults": {"temperature": 0.8}}}
    panel = run(f"%config QianfanMagics.models = {card}", ASK, SHOW)
    number = panel.output(3).get_by_role("spinbutton", name="temperature")
    slider = panel.output(3).get_by_role("slider", name="temperature")
    for control in (slider, number):
        expect(slider).to_have_attribute("aria-valuetext", "default: 0.8")
        control.press("ArrowUp")
        expect(number).to_have_value("0.85")
        control.press("Tab")
        panel.output(3).get_by_role("checkbox", name="set temperature").uncheck()


def test_advice_is_shown_if_temperature_and_top_p_are_set(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.3")
    slider(panel, "top_p").fill("0.5")
    expect(panel.output(2)).to_contain_text("only one of temperature and top_p")


def test_value_out_of_range_is_rejected_with_a_message(panel: OpenNotebook) -> None:
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    number.fill("7")
    number.press("Enter")
    expect(panel.output(2)).to_contain_text("temperature is 7, but must be a number in (0, 1]")
    expect(number).to_have_value("")


def test_again_streams_beside_the_panel_and_keep_replaces_the_turn(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.9")
    panel.output(2).get_by_role("button", name="Again", exact=True).click()
    again = panel.output(2).locator(".qianfan-reply")
    expect(panel.output(2)).to_contain_text("asks cell [2] again: “What did you receive?”")
    expect(again).to_contain_text("temperature=0.9")
    expect(again).to_contain_text("done")
    panel.screenshot("again")
    assert "temperature=0.9" not in panel.output(1).inner_text()
    panel.output(2).get_by_role("button", name="Keep", exact=True).click()
    expect(panel.output(1)).to_contain_text("temperature=0.9")
    history = panel.run_code("%qianfan history")
    expect(history).to_contain_text("1 turn")
    expect(history).to_contain_text("temperature=0.9")
    panel.screenshot("kept")


def test_controls_are_there_after_a_reload_with_the_kernel_alive(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.45")
    panel.save()
    panel.page.reload()
    number = panel.output(2).get_by_role("spinbutton", name="temperature")
    expect(number).to_have_value("0.45")


def test_saved_notebook_shows_a_table_without_widget_and_kernel(panel: OpenNotebook) -> None:
    slider(panel, "temperature").fill("0.9")
    panel.reload_without_kernel()
    expect(panel.output(2)).to_contain_text("the service decides")
    panel.screenshot("params-without-kernel")
    assert "widget" not in panel.path.read_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_panel_fits_themes_and_widths(run: OpenAndRun, theme: str) -> None:
    notebook = run(ASK, "%qianfan params temperature=0.4 top_p=0.8 stop=END", theme=theme)
    notebook.output(2).get_by_role("button", name="Again", exact=True).click()
    expect(notebook.output(2).locator(".qianfan-reply")).to_contain_text("done")
    for width in (1200, 600):
        notebook.resize(width, 800)
        notebook.screenshot(f"panel-{theme.split()[1].lower()}-{width}")
        assert notebook.overflow(2) == 0, width

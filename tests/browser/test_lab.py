"""The magics in a real JupyterLab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from support.jupyterlab import OPEN_MODELS, set_pace

if TYPE_CHECKING:
    from support.jupyterlab import OpenAndRun

ASK = "%%qianfan_chat\nPlease introduce The Great Wall"
SLOWLY = set_pace(0.3)
NOTE_LIVE_VIEW = """() => {
    window.liveView = new WeakRef(document.querySelector('.qianfan-reply')); }"""


def test_answer_streams_into_a_widget_and_ends_as_plain_output(run: OpenAndRun) -> None:
    notebook = run(set_pace(0.1), ASK)
    live = notebook.page.locator(".qianfan-reply")
    live.locator("strong", has_text="Great Wall").wait_for()
    assert "UNESCO" not in live.inner_text()
    notebook.screenshot("streaming")
    notebook.wait_idle()
    expect(notebook.output(2).locator(".qianfan-answer")).to_contain_text("UNESCO")
    expect(live).to_have_count(0)
    notebook.screenshot("answer")


def test_live_view_leaves_nothing_in_the_page(run: OpenAndRun) -> None:
    """JupyterLab 4.6 holds the comm of each answer for as long as its kernel runs."""
    notebook = run(set_pace(0.1), ASK)
    notebook.page.locator(".qianfan-reply").wait_for()
    notebook.page.evaluate(NOTE_LIVE_VIEW)
    notebook.wait_idle()
    notebook.output(2).locator(".qianfan-answer").wait_for()
    notebook.run_code("1").get_by_text("1").wait_for()  # the last view that took part in rendering
    assert notebook.page.evaluate(OPEN_MODELS) == [0, 0]
    notebook.page.context.new_cdp_session(notebook.page).send("HeapProfiler.collectGarbage")
    assert notebook.page.evaluate("() => liveView.deref() === undefined")


def test_question_is_colored_as_text_and_all_else_as_python(run: OpenAndRun) -> None:
    notebook = run(
        "%%qianfan_chat\nThis is it and that",
        "x = this and that",
        "%%qianfan_map table -o answers --dry-run\nThis and {word}",
    )
    notebook.wait_idle()
    words = [notebook.editor(cell).locator("span", has_text="and") for cell in (1, 2, 3)]
    expect(words[0]).to_have_count(0)
    expect(words[1]).to_have_count(1)
    expect(words[2]).to_have_count(0)
    notebook.editor(2).press("Control+Home")
    notebook.page.keyboard.type("%%qianfan_chat\n")
    expect(words[1]).to_have_count(0)
    notebook.page.keyboard.press("ArrowUp")
    notebook.page.keyboard.press("Delete")  # %qianfan_chat is no cell magic
    expect(words[1]).to_have_count(1)


def test_saved_notebook_shows_the_answer_without_widget_and_kernel(run: OpenAndRun) -> None:
    notebook = run(ASK)
    notebook.wait_idle()
    notebook.reload_without_kernel()
    expect(notebook.output(1).locator("strong", has_text="Great Wall of China")).to_be_visible()
    saved = json.loads(notebook.path.read_text())
    (output,) = saved["cells"][1]["outputs"]
    assert "UNESCO World Heritage" in "".join(output["data"]["text/html"])
    assert "widget" not in json.dumps(saved)


def test_dropped_turn_is_marked_in_its_own_output(run: OpenAndRun) -> None:
    notebook = run(ASK)
    notebook.wait_idle()
    notebook.run_code("%qianfan undo")
    marked = notebook.output(1).get_by_text("This turn is no longer in the conversation default.")
    marked.wait_for()
    notebook.screenshot("dropped")


def test_interrupt_keeps_the_text_and_stops_run_all(run: OpenAndRun) -> None:
    notebook = run(SLOWLY, ASK, "print('went on')")
    notebook.page.locator(".qianfan-body", has_text="not one wall").wait_for()
    notebook.command("notebook:interrupt-kernel")
    notebook.output(2).get_by_text("Stopped. What had arrived is kept.").first.wait_for()
    notebook.screenshot("stopped")
    shown = notebook.output(2).inner_text()
    assert "not one wall" in shown
    assert "stopped" in shown
    notebook.wait_idle()
    assert "went on" not in notebook.output(3).inner_text()


def test_stop_button_keeps_the_text(run: OpenAndRun) -> None:
    notebook = run(SLOWLY, ASK)
    notebook.page.locator(".qianfan-body", has_text="not one wall").wait_for()
    notebook.page.get_by_role("button", name="Stop", exact=True).click()
    notebook.output(2).get_by_text("Stopped. What had arrived is kept.").wait_for()
    assert "stopped" in notebook.output(2).inner_text()


def test_error_is_two_lines(run: OpenAndRun) -> None:
    notebook = run("%%qianfan_chat -t 3\nhi")
    error = notebook.output(1).locator("pre")
    error.get_by_text("ParameterError").wait_for()
    notebook.screenshot("error")
    assert len(error.inner_text().strip().splitlines()) == 2

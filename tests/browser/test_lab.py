"""The magics in a real JupyterLab."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.conftest import CellRun, Notebook

ASK = "%%qianfan_chat\nPlease introduce The Great Wall"
SLOWLY = 'get_ipython().magics_manager.registry["QianfanMagics"].session.server.pace = 0.3'


def saying(text: str) -> str:
    """A cell after which the server's next answer says this in each of its chunks."""
    return (
        "from qianfan_magic.embedded.faults import Fault\n"
        'magics = get_ipython().magics_manager.registry["QianfanMagics"]\n'
        f"magics.session.server.fail(Fault(fields={{'result': {text!r}}}))"
    )


def test_text_is_there_before_the_stream_has_ended(run: CellRun) -> None:
    notebook = run(SLOWLY, ASK)
    live = notebook.page.locator(".qianfan-reply")
    live.locator("strong", has_text="Great Wall").wait_for()
    assert "UNESCO" not in live.inner_text()
    notebook.screenshot("streaming")


def test_answer_ends_as_plain_output_without_a_widget(run: CellRun) -> None:
    notebook = run(ASK)
    notebook.output(1).locator("strong", has_text="Great Wall of China").wait_for()
    notebook.wait_idle()
    notebook.screenshot("answer")
    assert notebook.page.locator(".qianfan-reply").count() == 0


def test_saved_notebook_holds_the_answer_and_no_widget(run: CellRun) -> None:
    notebook = run(ASK)
    notebook.wait_idle()
    saved = notebook.save()
    (output,) = saved["cells"][1]["outputs"]
    assert "UNESCO World Heritage" in "".join(output["data"]["text/html"])
    assert "widget" not in json.dumps(saved)


def test_answer_is_there_after_the_kernel_is_gone(run: CellRun) -> None:
    notebook = run(ASK)
    notebook.wait_idle()
    notebook.save()
    notebook.command("kernelmenu:shutdown")
    notebook.page.reload()
    expect(notebook.output(1).locator("strong", has_text="Great Wall of China")).to_be_visible()


def test_stop_keeps_the_text_and_stops_run_all(run: CellRun) -> None:
    notebook = run(SLOWLY, ASK, "print('went on')")
    notebook.page.locator(".qianfan-body", has_text="not one wall").wait_for()
    notebook.command("notebook:interrupt-kernel")
    notebook.output(2).get_by_text("KeyboardInterrupt").first.wait_for()
    notebook.screenshot("stopped")
    shown = notebook.output(2).inner_text()
    assert "not one wall" in shown
    assert "stopped" in shown
    notebook.wait_idle()
    assert "went on" not in notebook.output(3).inner_text()


def test_stop_button_keeps_the_text(run: CellRun) -> None:
    notebook = run(SLOWLY, ASK)
    notebook.page.locator(".qianfan-body", has_text="not one wall").wait_for()
    notebook.page.get_by_role("button", name="Stop", exact=True).click()
    notebook.output(2).get_by_text("KeyboardInterrupt").wait_for()
    assert "stopped" in notebook.output(2).inner_text()


def test_error_is_two_lines(run: CellRun) -> None:
    notebook = run("%%qianfan_chat -t 3\nhi")
    error = notebook.output(1).locator("pre")
    error.get_by_text("ParameterError").wait_for()
    notebook.screenshot("error")
    assert len(error.inner_text().strip().splitlines()) == 2


HOSTILE = (
    "<script>window.ran = 1</script>",
    '<img src="http://127.0.0.1:9/pixel" onerror="window.ran = 1">',
    "![x](http://127.0.0.1:9/pixel)",
    "<svg onload='window.ran = 1'></svg>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "[click](javascript:window.ran=1) <javascript:window.ran=1>",
    '<meta http-equiv="refresh" content="0; url=http://127.0.0.1:9/">',
    "<style>@import 'http://127.0.0.1:9/style';</style>",
    '```"><img src=x onerror=window.ran=1>\ncode\n```',
)


@pytest.fixture
def hostile(run: CellRun) -> Notebook:
    """A notebook in which every hostile answer has been shown, and the requests it made."""
    cells = [cell for text in HOSTILE for cell in (saying(text), "%%qianfan_chat\nhi")]
    notebook = run(*cells, "print('all shown')")
    notebook.output(len(cells) + 1).get_by_text("all shown").wait_for()
    notebook.wait_idle()
    return notebook


def test_hostile_answers_run_nothing_in_the_notebook(hostile: Notebook) -> None:
    hostile.screenshot("hostile")
    assert hostile.page.evaluate("window.ran") is None
    assert hostile.page.locator("a[href^='javascript']").count() == 0
    assert [url for url in hostile.requested if ":9/" in url] == []


def test_hostile_answers_run_nothing_in_an_exported_page(
    hostile: Notebook, browser: Browser
) -> None:
    hostile.save()
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(hostile.path, as_version=4))
    context = browser.new_context()
    requested: list[str] = []
    # The page's own scripts come from a CDN that is out of reach here; let them fail at once.
    context.route("**/*", lambda route: (requested.append(route.request.url), route.abort()))
    page = context.new_page()
    page.set_content(html)
    page.get_by_text("all shown").first.wait_for()
    assert page.evaluate("window.ran") is None
    assert [url for url in requested if ":9/" in url] == []
    context.close()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
@pytest.mark.parametrize("width", [600, 1200])
def test_answers_fit_themes_and_widths(run: CellRun, theme: str, width: int) -> None:
    notebook = run(
        "%%qianfan_chat\nPlease introduce Beijing",
        "%%qianfan_chat\n请介绍长城",
        "%%qianfan_complete\n# quicksort in Python",
        "%qianfan history",
        theme=theme,
        width=width,
        height=1600,
    )
    notebook.output(4).get_by_text("2 turns").wait_for()
    notebook.wait_idle()
    notebook.screenshot(f"answers-{theme.split()[1].lower()}-{width}")
    overflow = "area => area.scrollWidth - area.clientWidth"
    assert [notebook.output(cell).evaluate(overflow) for cell in range(1, 4)] == [0, 0, 0]

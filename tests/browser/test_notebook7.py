"""The magics in Notebook 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.jupyterlab import IS_READY, PATIENCE, SETUP, OpenNotebook, running_lab, set_pace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SLOWLY = set_pace(0.1)
ASK = "%%qianfan_chat\nPlease introduce The Great Wall"


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNotebook]:
    """A notebook whose answer was seen while it arrived, with the sliders below it."""
    folder = tmp_path_factory.mktemp("notebook7")
    with running_lab(folder, "notebook") as server:
        path = server.write("seven.ipynb", SETUP, SLOWLY, ASK, "%qianfan params")
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{server.url}notebooks/{path.name}?token={server.token}")
        page.wait_for_function(IS_READY)
        opened = OpenNotebook(page, path, [])
        opened.run_all()
        page.locator(".qianfan-body", has_text="not one wall").wait_for()
        opened.screenshot("notebook7-streaming")
        assert "UNESCO" not in page.locator(".qianfan-body").inner_text()
        opened.wait_idle()
        yield opened
        page.close()


def test_answer_streams_and_ends_as_plain_output(notebook: OpenNotebook) -> None:
    expect(notebook.output(2).locator(".qianfan-answer")).to_contain_text("UNESCO")
    assert notebook.page.locator(".qianfan-reply").count() == 0


def test_question_is_colored_as_text(notebook: OpenNotebook) -> None:
    notebook.run_code("%%qianfan_chat -n colors\nThis and that")
    question = notebook.page.locator(".jp-CodeCell .cm-content").last
    expect(question).to_contain_text("This and that")
    expect(question.locator("span")).to_have_count(0)


def test_slider_moves_and_the_next_request_carries_it(notebook: OpenNotebook) -> None:
    notebook.output(3).get_by_role("slider", name="temperature").fill("0.3")
    answer = notebook.run_code("%%qianfan_chat\nWhat did you receive?")
    expect(answer).to_contain_text("temperature=0.3")
    notebook.screenshot("notebook7")


def test_click_allows_a_call_while_its_cell_is_running(notebook: OpenNotebook) -> None:
    notebook.run_code("def add(x: int, y: int) -> int: return x + y")
    answer = notebook.run_code("%%qianfan_chat -m ernie-5.1 -n calls --tool add --confirm\nAdd 3 4")
    notebook.page.get_by_role("button", name="Make this call").click()
    expect(answer).to_contain_text("The result is 7.")

"""The magics in Notebook 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, SETUP, Notebook, running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SLOWLY = 'get_ipython().magics_manager.registry["QianfanMagics"].session.server.pace = 0.2'
ASK = "%%qianfan_chat\nPlease introduce The Great Wall"


@pytest.fixture(scope="module")
def notebook(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook whose answer is arriving, with the sliders below it."""
    folder = tmp_path_factory.mktemp("notebook7")
    with running_lab(folder, "notebook") as server:
        path = server.write("seven.ipynb", SETUP, SLOWLY, ASK, "%qianfan params")
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{server.url}notebooks/{path.name}?token={server.token}")
        page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext"
            "?.session?.kernel?.status === 'idle'"
        )
        opened = Notebook(page, path, [])
        opened.run_all()
        page.locator(".qianfan-body", has_text="not one wall").wait_for()
        opened.screenshot("notebook7-streaming")
        opened.streamed = "UNESCO" not in page.locator(".qianfan-body").inner_text()
        opened.wait_idle()
        yield opened
        page.close()


def test_text_is_there_before_the_stream_has_ended(notebook: Notebook) -> None:
    assert notebook.streamed


def test_answer_ends_as_plain_output(notebook: Notebook) -> None:
    expect(notebook.output(2).locator(".qianfan-answer")).to_contain_text("UNESCO")
    assert notebook.page.locator(".qianfan-reply").count() == 0


def test_slider_moves_and_the_next_request_carries_it(notebook: Notebook) -> None:
    notebook.output(3).get_by_role("slider", name="temperature").fill("0.3")
    notebook.run_code("%%qianfan_chat\nWhat did you receive?")
    expect(notebook.output(4)).to_contain_text("temperature=0.3")
    notebook.screenshot("notebook7")

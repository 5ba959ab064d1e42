"""Fixtures: Debian's Chromium, and notebooks that are open in JupyterLab.

Where there is no Chromium the tests are skipped with the reason; with QIANFAN_BROWSER=required, as
in continuous integration, they fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from support.hand_server import HandServer
from support.jupyterlab import (
    CHROMIUM_FLAGS,
    PATIENCE,
    SETUP,
    Lab,
    LabPage,
    OpenAndRun,
    OpenNotebook,
    running_lab,
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        reason = "there is no chromium; on Debian: apt-get install chromium"
        if os.environ.get("QIANFAN_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def lab_page(browser: Browser, lab: Lab) -> Iterator[LabPage]:
    page = LabPage(browser, lab)
    yield page
    page.close()


@pytest.fixture
def open_notebook(lab_page: LabPage) -> Iterator[Callable[..., OpenNotebook]]:
    """Open a notebook, with the size of the page and the theme as keywords."""
    yield lab_page.open
    lab_page.clear()


@pytest.fixture
def run(lab: Lab, open_notebook: OpenAndRun, request: pytest.FixtureRequest) -> OpenAndRun:
    """Run cells after one that starts the embedded server; do not wait for them."""

    def run_cells(*cells: str, **look: object) -> OpenNotebook:
        path = lab.write(f"{request.node.name}.ipynb", SETUP, *cells)
        notebook = open_notebook(path, **look)
        notebook.run_all()
        return notebook

    return run_cells


@pytest.fixture
def hand() -> Iterator[HandServer]:
    with HandServer() as server:
        yield server

"""A real JupyterLab, and Debian's Chromium to look at it.

Where there is no Chromium the tests skip with the reason; with QIANFAN_BROWSER=required, as in
continuous integration, they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from playwright.sync_api import Error, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page

    Run = Callable[..., "Notebook"]

SETUP = "%load_ext qianfan_magic\n%qianfan demo"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
NARROW = 800  # pixels under which the file browser is closed
SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
PATIENCE = 30_000  # milliseconds; only a test that fails waits so long
# Without these Chromium looks for hosts of its maker.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def saying(text: str, pace: float = 0.0) -> tuple[str, str]:
    """Two cells: one that has the server say this from now on, and one that asks it."""
    prepare = (
        "from qianfan_magic.embedded.engines import Engine\n"
        "server = get_ipython().magics_manager.registry['QianfanMagics'].session.server\n"
        f"server.engine = Engine(lambda question: {text!r}, lambda question: '')\n"
        f"server.pace = {pace}"
    )
    return prepare, "%%qianfan_chat\nSay it."


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


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    process: subprocess.Popen[bytes]

    def write(self, name: str, *cells: str) -> Path:
        """Put a notebook of these code cells into its folder."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        path = self.folder / name
        nbformat.write(notebook, path)
        return path


@contextmanager
def running_lab(folder: Path, application: str = "jupyterlab") -> Iterator[Lab]:
    runtime, token = folder / ".runtime", "for-the-tests-alone"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("QIANFAN_")}
    environment |= {
        "QIANFAN_LIVE": "on",
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
        "IPYTHONDIR": str(folder / ".ipython"),
        "QIANFAN_CACHE_DIR": str(folder / ".cache"),
    }
    command = [sys.executable, "-m", application, "--no-browser", "--allow-root"]
    command += ["--expose-app-in-browser", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={token}"]
    asked_at_start = folder / ".settings/@jupyterlab/apputils-extension"
    asked_at_start.mkdir(parents=True)
    no_news = json.dumps({"fetchNews": "false", "checkForUpdates": False})
    (asked_at_start / "notification.jupyterlab-settings").write_text(no_news)
    with (folder / ".lab.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield Lab(_address(runtime, process), token, folder, process)
    finally:
        process.terminate()
        process.wait(30)


def _address(runtime: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for known in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(known.read_text())["url"]
            except ValueError:  # it is being written
                continue
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@dataclass
class Notebook:
    """A notebook that is open in the browser."""

    page: Page
    path: Path
    requested: list[str]

    def command(self, name: str) -> None:
        """Run one of JupyterLab's commands; do not wait for its end."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")

    def save(self) -> dict:
        """Save, and give what is on disk then."""
        before = self.path.stat().st_mtime_ns
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        deadline = time.monotonic() + 20
        while self.path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return json.loads(self.path.read_text())

    def run_code(self, source: str) -> None:
        """Run a cell that is added at the end."""
        self.page.evaluate(
            """source => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                const cells = notebook.model.sharedModel;
                cells.insertCell(cells.cells.length, { cell_type: 'code', source });
                notebook.activeCellIndex = cells.cells.length - 1;
                window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            source,
        )

    def output(self, cell: int) -> Locator:
        """What stands under a code cell, from 0."""
        return self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-Cell-outputArea")

    def wait_idle(self) -> None:
        """Wait until no cell is running or waiting to run."""
        self.page.wait_for_function(
            """() => { const w = window.jupyterapp.shell.currentWidget;
                       const cells = [...w.content.model.cells].filter(c => c.type === 'code');
                       return cells.every(c => c.executionState === 'idle')
                           && w.sessionContext.session?.kernel?.status === 'idle'; }""",
            timeout=PATIENCE,
        )

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def open_notebook(browser: Browser, lab: Lab) -> Iterator:
    contexts = []

    def open_one(
        path: Path, *, width: int = 1100, height: int = 800, theme: str = "JupyterLab Light"
    ) -> Notebook:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.set_default_timeout(PATIENCE)
        page.goto(f"{lab.url}lab/tree/{path.name}?token={lab.token}&reset")
        page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext"
            "?.session?.kernel?.status === 'idle'",
            timeout=PATIENCE,
        )
        set_theme = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
        page.evaluate(set_theme, theme)
        if width < NARROW:
            page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        return Notebook(page, path, requested)

    yield open_one
    for context in contexts:
        with suppress(Error):  # the page may have been left, or its kernel ended, by the test
            context.pages[0].evaluate(SHUT_DOWN)
        context.close()


@pytest.fixture
def run(lab: Lab, open_notebook: Run, request: pytest.FixtureRequest) -> Run:
    """Run cells behind one that starts the embedded server; do not wait for them."""

    def run_cells(*cells: str, **look: object) -> Notebook:
        path = lab.write(f"{request.node.name}.ipynb", SETUP, *cells)
        notebook = open_notebook(path, **look)
        notebook.run_all()
        return notebook

    return run_cells

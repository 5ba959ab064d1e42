"""A real JupyterLab, and notebooks that are open in it in Chromium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Error, Locator, Page, Request

#: Opens a notebook from cells, see the fixture ``run``.
OpenAndRun = Callable[..., "OpenNotebook"]

SETUP = "%load_ext qianfan_magic\n%qianfan demo"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
NARROW = 800  # Width in pixels under which the file browser is closed.
PATIENCE = 30_000  # Milliseconds; only a test that fails waits so long.
#: Without these flags Chromium tries to reach hosts of its vendor.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IS_READY = """() => window.jupyterapp?.shell?.currentWidget?.sessionContext
    ?.session?.kernel?.status === 'idle'"""
IS_IDLE = """() => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    const cells = [...content.model.cells].filter(cell => cell.type === 'code');
    return cells.every(cell => cell.executionState === 'idle')
        && sessionContext.session?.kernel?.status === 'idle'; }"""
#: Numbers of the widget models in the page, and of the open comms of its kernel. ipywidgets and
#: JupyterLab's services have no public names for them.
OPEN_MODELS = """async () => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    const mimeType = 'application/vnd.jupyter.widget-view+json';
    const renderer = content.rendermime.getFactory(mimeType).createRenderer({ mimeType });
    const manager = await renderer._manager.promise;
    renderer.dispose();
    return [Object.keys(manager._models).length, sessionContext.session.kernel._comms.size]; }"""
OPEN = "path => { window.jupyterapp.commands.execute('docmanager:open', { path }) }"
#: Ends the kernels of all open notebooks and closes them without the question about saving; tells
#: whether the page can be used again. A reloaded page restores its last notebook beside the next.
CLOSE_ALL = """async () => {
    for (const widget of [...window.jupyterapp.shell.widgets('main')]) {
        await widget.sessionContext?.shutdown();
        widget.dispose();
    }
    return window.isFirstLoad && !document.querySelector('.jp-Dialog'); }"""
SET_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
SET_SIDEBAR = """isNarrow => { const { shell } = window.jupyterapp;
    isNarrow ? shell.collapseLeft() : shell.expandLeft(); }"""
ADD_AND_RUN = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.model.sharedModel;
    cells.insertCell(cells.cells.length, { cell_type: 'code', source });
    notebook.activeCellIndex = cells.cells.length - 1;
    window.jupyterapp.commands.execute('notebook:run-cell');
    return [...notebook.model.cells].filter(cell => cell.type === 'code').length - 1; }"""


def next_answer(text: str, pace: float = 0.0) -> tuple[str, str]:
    """Return two cells: one that makes a text the server's answer, and one that requests it.

    Parameters
    ----------
    pace
        Seconds between the chunks of the answer.
    """
    prepare = (
        "from qianfan_magic.embedded.engines import Engine\n"
        "server = get_ipython().magics_manager.registry['QianfanMagics'].session.server\n"
        f"server.engine = Engine(lambda question: {text!r}, lambda question: '')\n"
        f"server.pace = {pace}"
    )
    return prepare, "%%qianfan_chat\nSay it."


def set_pace(seconds: float) -> str:
    """Return a cell that sets the seconds between the chunks of the server's answers."""
    session = 'get_ipython().magics_manager.registry["QianfanMagics"].session'
    return f"{session}.server.pace = {seconds}"


@dataclass
class Lab:
    """A running JupyterLab server."""

    url: str
    token: str
    folder: Path
    process: subprocess.Popen[bytes]

    def write(self, name: str, *cells: str, kernel: str = "python3") -> Path:
        """Write a notebook of these code cells into the server's folder."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        path = self.folder / name
        nbformat.write(notebook, path)
        return path

    def set_windowing(self, mode: str) -> None:
        """Choose its way with cells that are out of view, for notebooks opened from now on.

        Parameters
        ----------
        mode
            ``none`` attaches all to the page, ``full`` those in view, ``contentVisibility``, its
            default, all, and leaves the rest to the browser.
        """
        settings = self.folder / ".settings/@jupyterlab/notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": mode}))

    def address_of(self, path: Path) -> str:
        """Return the address at which JupyterLab opens a notebook in an empty workspace."""
        return f"{self.url}lab/tree/{path.name}?token={self.token}&reset"


@contextmanager
def running_lab(folder: Path, application: str = "jupyterlab", *options: str) -> Iterator[Lab]:
    """Run JupyterLab, or Notebook 7 as ``notebook``, with settings of its own in a folder.

    Parameters
    ----------
    options
        More of its command line.
    """
    runtime, token = folder / ".runtime", "for-the-tests-alone"
    # Coverage would take a minute more. So the live view and the panel are measured only as far as
    # tests without a browser reach them.
    is_foreign = ("QIANFAN_", "COVERAGE_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(is_foreign)}
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
    command += [f"--IdentityProvider.token={token}", *options]
    news_settings = folder / ".settings/@jupyterlab/apputils-extension"
    news_settings.mkdir(parents=True)
    no_news = json.dumps({"fetchNews": "false", "checkForUpdates": False})
    (news_settings / "notification.jupyterlab-settings").write_text(no_news)
    with (folder / ".lab.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield Lab(_wait_for_address(runtime, process), token, folder, process)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_address(runtime: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for server_file in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(server_file.read_text())["url"]
            except ValueError:  # The server is writing it.
                continue
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start")


@dataclass
class OpenNotebook:
    """A notebook that is open in the browser.

    Attributes
    ----------
    page
        The page of the browser.
    path
        The notebook's file.
    requested
        The addresses that the page has requested since the notebook was opened.
    """

    page: Page
    path: Path
    requested: list[str] = field(default_factory=list)

    def command(self, name: str) -> None:
        """Run one of JupyterLab's commands; do not wait for its end."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def run_all(self) -> None:
        """Run all cells; do not wait for their end."""
        self.command("notebook:run-all-cells")

    def save(self) -> dict[str, Any]:
        """Save the notebook, and return the content of its file."""
        before = self.path.stat().st_mtime_ns
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        deadline = time.monotonic() + 20
        while self.path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.05)
        return json.loads(self.path.read_text())

    def reload_without_kernel(self) -> None:
        """Save the notebook, shut its kernel down and reload the page."""
        self.save()
        self.command("kernelmenu:shutdown")
        self.page.reload()

    def run_code(self, source: str) -> Locator:
        """Run a new cell at the end, and return its outputs; do not wait for them."""
        return self.output(self.page.evaluate(ADD_AND_RUN, source))

    def output(self, cell: int) -> Locator:
        """Return the outputs of a code cell, counted from 0."""
        return self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-Cell-outputArea")

    def editor(self, cell: int) -> Locator:
        """Return the text of a code cell, counted from 0."""
        return self.page.locator(".jp-CodeCell").nth(cell).locator(".cm-content")

    def overflow(self, cell: int) -> int:
        """Return how many pixels a cell's outputs are wider than their area."""
        return self.output(cell).evaluate("area => area.scrollWidth - area.clientWidth")

    def resize(self, width: int, height: int) -> None:
        """Resize the page, and close the file browser where it would take too much of it."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.evaluate(SET_SIDEBAR, width < NARROW)

    def wait_idle(self) -> None:
        """Wait until no cell is running or waiting to run."""
        self.page.wait_for_function(IS_IDLE, timeout=PATIENCE)

    def set_theme(self, name: str) -> None:
        """Change JupyterLab's theme, and wait until its style sheet is there."""
        self.page.evaluate(SET_THEME, name)
        self.page.locator(f"body[data-jp-theme-name={name!r}]").wait_for(state="attached")

    def screenshot(self, name: str) -> None:
        """Save a screenshot as ``build/screenshots/NAME.png``."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def picture(self, cell: int, name: str) -> None:
        """Save a picture of a code cell, counted from 0, as ``build/screenshots/NAME.png``."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.locator(".jp-CodeCell").nth(cell).screenshot(path=SCREENSHOTS / f"{name}.png")


class LabPage:
    """One page of the browser in which notebooks of a JupyterLab are opened, one at a time.

    JupyterLab takes seconds to load; each notebook has a kernel of its own nevertheless.
    """

    def __init__(self, browser: Browser, lab: Lab) -> None:
        self._browser, self._lab = browser, lab
        self._page: Page | None = None
        self._requested: list[str] = []

    def open(
        self, path: Path, *, width: int = 1100, height: int = 800, theme: str = "JupyterLab Light"
    ) -> OpenNotebook:
        """Close the open notebook, open another in a page of this size, and await its kernel."""
        self.clear()
        page = self._page or self._new_page()
        self._requested = []
        if self._page is None:
            page.goto(self._lab.address_of(path))
            page.evaluate("() => { window.isFirstLoad = true }")
            self._page = page
        else:
            page.evaluate(OPEN, path.name)
        page.wait_for_function(IS_READY, timeout=PATIENCE)
        notebook = OpenNotebook(page, path, self._requested)
        notebook.set_theme(theme)
        notebook.resize(width, height)
        return notebook

    def clear(self) -> None:
        """Close the notebooks; discard a page that was reloaded or that a test left unusable."""
        is_usable = False
        with suppress(Error):
            is_usable = self._page is not None and self._page.evaluate(CLOSE_ALL)
        if not is_usable:
            self.close()

    def close(self) -> None:
        """Close the page, if there is one."""
        if self._page:
            self._page.context.close()
            self._page = None

    def _new_page(self) -> Page:
        page = self._browser.new_context().new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", self._note)
        return page

    def _note(self, request: Request) -> None:
        self._requested.append(request.url)

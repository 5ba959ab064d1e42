"""What the comparison measures in a real JupyterLab in Chromium."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bench_browser
from compare_measures import Column, Field, each, number
from compare_peers import Peer
from playwright.sync_api import Browser, sync_playwright
from serving import median
from support.hostile import PAYLOADS
from support.jupyterlab import CHROMIUM_FLAGS, IS_IDLE, IS_READY, Lab, running_lab
from support.watch import OUTSIDE, Watch, answer_nothing

WORK = bench_browser.WORK
ROUNDS = 3
LONGEST_RUN = 300_000  # milliseconds
SETTLED = 1_000
#: Which answers have run: the numbers in the names that they set.
RAN = "() => Object.keys(window).filter(name => /^ran(_\\d+_)?$/.test(name))"
#: What a cell that failed shows.
FAILED = "[data-mime-type='application/vnd.jupyter.error']"
FOLLOW = """() => document.querySelectorAll(".jp-OutputArea-output a").forEach(link => {
    const address = link.getAttribute("href") ?? link.getAttribute("xlink:href") ?? "";
    if (/^[\\s\\0-\\x20]*javascript:/i.test(link.protocol ?? address))
        link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
})"""


@contextmanager
def opened() -> Iterator[tuple[Lab, Browser]]:
    """Run JupyterLab and Chromium."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        yield lab, browser
        browser.close()


def setup(peer: Peer) -> str:
    return f"from peers.{peer.module} import show"


def work(field: Field) -> Column:
    """Milliseconds of work of the page for 600 chunks in 6 s."""
    with opened() as (lab, browser):

        def worked(peer: Peer) -> str:
            cells = [setup(peer), f"show({WORK.endpoint!r})"]
            path = lab.write(f"work-{peer.module}.ipynb", *cells, kernel=peer.module)
            notebook = bench_browser.Notebook(lab, browser, path)
            took = median(notebook.run(1) for _ in range(ROUNDS))
            notebook.page.close()
            return f"{number(took)} ms"

        return each(field, worked)


def hostile(field: Field) -> Column:
    """How many hostile answers run a script, load from elsewhere, or open or leave a page."""
    with opened() as (lab, browser):
        lab.set_windowing("none")

        def acted(peer: Peer) -> str:
            ran, asked, left = did(lab, browser, peer)
            if ran | asked | left:
                field.note(
                    peer,
                    f"Hostile answers: {len(ran)} run a script, {len(asked)} load from another "
                    f"address, {len(left)} open or leave a page.",
                )
            return f"{len(ran | asked | left)} of {len(PAYLOADS)}"

        return each(field, acted)


def did(lab: Lab, browser: Browser, peer: Peer) -> tuple[set[str], set[str], set[str]]:
    """Show all hostile answers, follow their links, and name those that ran, asked or led away."""
    size, numbers = peer.answers_a_cell, range(len(PAYLOADS))
    batches = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    cells = [f"for n in {list(batch)}:\n    show(f'hostile {{n}}')" for batch in batches]
    path = lab.write(f"hostile-{peer.module}.ipynb", setup(peer), *cells, kernel=peer.module)
    page = browser.new_context(viewport={"width": 1100, "height": 2400}).new_page()
    watch = Watch(page, lab.url)
    page.goto(lab.address_of(path))
    page.wait_for_function(IS_READY, timeout=LONGEST_RUN)
    page.context.route(OUTSIDE, answer_nothing)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    page.wait_for_timeout(SETTLED)
    page.wait_for_function(IS_IDLE, timeout=LONGEST_RUN)
    page.wait_for_timeout(SETTLED)
    if failed := page.locator(FAILED).all_text_contents():
        raise RuntimeError(f"{peer.name} failed to show an answer: {failed[0][-500:]}")
    page.evaluate(FOLLOW)
    page.wait_for_timeout(SETTLED)
    ran = page.evaluate(RAN)
    seen = watch.take()
    page.context.close()
    asked, left = (named(r"\bp(\d+)\.evil", seen[what]) for what in ("asked", "opened"))
    return named(r"ran(?:_(\d+)_)?", ran), asked, left


def named(pattern: str, texts: list[str]) -> set[str]:
    """Return the numbers of the answers that a pattern finds."""
    found = (re.search(pattern, text) for text in texts)
    return {match[1] or "one without a number" for match in found if match}


MEASURES: Mapping[str, Callable[[Field], Column]] = {
    "page busy for 6 s of text": work,
    "hostile answers that act": hostile,
}

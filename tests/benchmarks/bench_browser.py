"""What the live view costs a page, and how soon it shows text, in JupyterLab and Chromium.

Run: ``python tests/benchmarks/bench_browser.py [work] [tasks] [first]``

The baseline is ``print(chunk.text, end="", flush=True)`` for each chunk of the same stream; view
and baseline take turns. Names of parts leave the others out:

- work: the page's ``TaskDuration`` for 600 chunks in 6 s. Target: at most 0.8 of print's.
- tasks: the page's longest task, while 100 kB of Markdown with 40 blocks of Python stream in 20 s
  in 2,000 chunks, when the final output takes the widget's place, and after that; from then on
  the baseline is the same text shown by IPython's ``Markdown``. Target: at most 50 ms; Chromium
  reports no shorter tasks, which are shown as 0.
- first: from the moment the server sends its first chunk, half a second after the request, to
  its text in the page. Target: at most 80 ms, the median of 30.

Whatever else the machine does makes all of them worse: look at the ratios.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import serving
from playwright.sync_api import Browser, sync_playwright
from serving import Stream, median

sys.path.insert(0, str(serving.ROOT / "tests"))
from support.jupyterlab import CHROMIUM_FLAGS, IS_READY, PATIENCE, Lab, running_lab

ROUNDS, REQUESTS = 3, 30
WORK = Stream("mixed", 600, 100)
TASKS = Stream("mixed", 2_000, 100, 50)
SHOWN_LIVE, PRINTED, AT_ONCE = 1, 2, 3  # the places of the cells
MARKDOWN = """from IPython.display import Markdown
chunks = client.stream_chat(asked, endpoint="{}")
Markdown("".join(chunk.text for chunk in chunks))"""
RUN = """async cell => {
  const {commands, shell} = window.jupyterapp;
  await commands.execute('notebook:clear-all-cell-outputs');
  shell.currentWidget.content.activeCellIndex = cell;
  if (!await commands.execute('notebook:run-cell')) throw new Error('the cell failed');
}"""
#: Notes the page's long tasks, and when the live view went.
WATCH_TASKS = """() => {
  window.tasks = [];
  new PerformanceObserver(list => tasks.push(...list.getEntries().map(task => task.toJSON())))
    .observe({type: 'longtask', buffered: true});
  let live = false;
  new MutationObserver(() => {
    const before = live;
    live = document.querySelector('.qianfan-reply') !== null;
    if (before && !live) window.gone = performance.now();
  }).observe(document.body, {subtree: true, childList: true});
}"""
#: Notes when a text was first seen, in the live view or, without one, in what is printed.
WATCH_TEXT = """() => {
  window.seen = {};
  new MutationObserver(() => {
    const place = document.querySelector('.qianfan-reply, .jp-OutputArea-output pre');
    const sent = place?.textContent.match(/sent (\\d+)/)?.[1];
    if (sent) seen[sent] ??= Date.now();
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def cells_of(url: str, endpoint: str) -> list[str]:
    """Return cells that ask one endpoint, after one that prepares it."""
    settings = {"QIANFAN_BASE_URL": url, "QIANFAN_ACCESS_TOKEN": serving.TOKEN}
    setup = f"import os\nos.environ |= {settings}\n{serving.SETUP}"
    cells = [setup, serving.VIEW.format(endpoint), serving.PRINT.format(endpoint)]
    return [*cells, MARKDOWN.format(TASKS._replace(rate=0).endpoint)]


class Notebook:
    """A notebook that is open in a page of its own, and whose first cell has run."""

    def __init__(self, lab: Lab, browser: Browser, path: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1100, "height": 800})
        self.page.goto(lab.address_of(path))
        self.page.wait_for_function(IS_READY, timeout=PATIENCE)
        self._cdp = self.page.context.new_cdp_session(self.page)
        self._cdp.send("Performance.enable")
        self.run(0)

    def run(self, cell: int) -> float:
        """Run a cell and let the page come to rest; give how many milliseconds it worked."""
        before = self._worked()
        self.page.evaluate(RUN, cell)
        time.sleep(1)
        return self._worked() - before

    def _worked(self) -> float:
        metrics = self._cdp.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration") * 1_000


def work(notebook: Notebook) -> list[list[Any]]:
    runs = [(notebook.run(SHOWN_LIVE), notebook.run(PRINTED)) for _ in range(ROUNDS)]
    return [["600 chunks in 6 s: TaskDuration (ms)", *compared(runs, "<= 0.8 of it")]]


def tasks(notebook: Notebook) -> list[list[Any]]:
    notebook.page.evaluate(WATCH_TASKS)
    cells = (SHOWN_LIVE, PRINTED, AT_ONCE)
    rounds = [[longest(notebook, cell) for cell in cells] for _ in range(ROUNDS)]
    whats = ["streaming", "the final output comes", "after that (JupyterLab's list of headings)"]
    return [
        [f"100 kB, {what}: longest task (ms)", *compared(runs, "<= 50")]
        for place, what in enumerate(whats)
        for runs in [
            [(live[place], max(shown if place else printed)) for live, printed, shown in rounds]
        ]
    ]


def longest(notebook: Notebook, cell: int) -> list[float]:
    """Give the milliseconds of the longest task before the live view went, then, and after."""
    notebook.page.evaluate("() => { tasks.length = 0; window.gone = Infinity; }")
    notebook.run(cell)
    gone, long = notebook.page.evaluate("() => [window.gone, tasks]")
    lengths = [0.0, 0.0, 0.0]
    for task in long:
        place = (task["startTime"] + task["duration"] >= gone) + (task["startTime"] > gone)
        lengths[place] = max(lengths[place], task["duration"])
    return lengths


def first(notebook: Notebook) -> list[list[Any]]:
    notebook.page.evaluate(WATCH_TEXT)
    runs = [
        (shown_after(notebook, SHOWN_LIVE), shown_after(notebook, PRINTED)) for _ in range(REQUESTS)
    ]
    return [["first chunk sent to text in the page (ms)", *compared(runs, "<= 80")]]


def shown_after(notebook: Notebook, cell: int) -> float:
    notebook.page.evaluate("() => { window.seen = {}; }")
    notebook.run(cell)
    [(sent, seen)] = notebook.page.evaluate("() => Object.entries(window.seen)")
    return seen - int(sent) / 1e6


def stamped() -> serving.Answer:
    """Say half a second after the request when that is, and go on for another second."""
    time.sleep(0.5)
    sent, end = serving.v1_chunk(f"sent {time.time_ns()} ", 0, 2), serving.v1_chunk("end", 1, 2)
    return serving.stream_answer(sent, serving.Due(time.monotonic() + 1), end)


def answered(seen: serving.Seen) -> serving.Answer:
    return stamped() if seen.path.endswith("stamped") else serving.streamed(seen)


def compared(runs: list[tuple[float, float]], target: str) -> list[Any]:
    """Give the view's median, its most and its target, the baseline's median, and their ratio."""
    view, other = zip(*runs, strict=True)
    ratio = median(view) / median(other) if median(other) else "-"
    return [median(view), max(view), target, median(other), ratio]


PARTS = {
    "work": (work, WORK.endpoint),
    "tasks": (tasks, TASKS.endpoint),
    "first": (first, "stamped"),
}


def main() -> None:
    os.environ["PYTHONPATH"] = str(serving.ROOT)  # for the kernels
    rows = []
    with ExitStack() as stack:
        url = stack.enter_context(serving.server_apart(answered))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        lab = stack.enter_context(running_lab(Path(folder)))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        for name in sys.argv[1:] or PARTS:
            measure, endpoint = PARTS[name]
            path = lab.write(f"{endpoint}.ipynb", *cells_of(url, endpoint))
            notebook = Notebook(lab, browser, path)
            rows += measure(notebook)
            notebook.page.close()
        browser.close()
    serving.print_table(["what", "live view", "most", "target", "baseline", "of it"], rows)
    print("load of the machine:", *os.getloadavg())


if __name__ == "__main__":
    main()

"""A long day: what 2,000 chat cells with the live view leave in the kernel and in the page.

Run: ``python tests/benchmarks/bench_long_day.py [--cells N] [--answers N] [--off-screen]
[--windowing contentVisibility|full] [--as live|final|print] [--picture]``

A notebook of 2,000 different chat cells of one conversation in JupyterLab, in Chromium, that run
one after the other, each in view, as a person runs them with Shift+Enter; with ``--off-screen``
each hundred is run at once and most are out of view. If there are more answers than cells, all run
again: ``--cells 20 --answers 2000`` tells our part from that of JupyterLab, whose page takes longer
and holds more with each cell. Each answer comes in 12 chunks in 0.12 s. After each hundred: seconds
for them as the page sees it; the kernel's memory, open comms and widgets; and after a forced
garbage collection the page's heap, nodes and listeners, its widget models and comms, and elements
of live views that are held though nothing shows them. Baselines: ``--as final`` shows the same
output without the live view, ``--as print`` prints the chunks.

Targets: no comm, widget or model left after any hundred, and at most the elements of the last
answer; the last hundred takes at most 1.2 times as long as the second (the first has the imports);
RSS and heap grow at most 1.2 times as much as with ``--as final``. On two idle cores ``--cells 20
--answers 2000`` takes some 8 minutes, and ``--windowing full`` with 2,000 different cells 20. In
JupyterLab's own mode, contentVisibility, each cell of those 2,000 takes longer than the one before,
also if it only prints. The kernel's RSS rises with the notebook's file, which is read again after
each time that JupyterLab saves it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from ast import literal_eval
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import serving
from playwright.sync_api import Browser, sync_playwright
from serving import Stream

sys.path.insert(0, str(serving.ROOT / "tests"))
from support.jupyterlab import CHROMIUM_FLAGS, OPEN_MODELS, Lab, LabPage, OpenNotebook, running_lab

BATCH = 100
ANSWER = Stream("mixed", 12, 100, 100)
#: A card with a limit of 20,000 characters, as a service has one: earlier turns are left out.
CHAT = f"%%qianfan_chat -e {ANSWER.endpoint} -m ERNIE-3.5-8K\nQuestion {{}}: go on, please."
PRINTED = f"""for chunk in client.stream_chat(asked, endpoint="{ANSWER.endpoint}"):
    print(chunk.text, end="", flush=True)  # {{}}"""
#: Runs a cell as Shift+Enter does, and waits for its end.
RUN_ONE = """async number => {
  const { commands, shell } = window.jupyterapp;
  shell.currentWidget.content.activeCellIndex = number;
  if (!await commands.execute('notebook:run-cell-and-select-next')) throw new Error('it failed');
}"""
RUN_MANY = """async ([first, last]) => {
  const { commands, shell } = window.jupyterapp;
  const notebook = shell.currentWidget.content;
  notebook.deselectAll();
  notebook.activeCellIndex = first;
  notebook.extendContiguousSelectionTo(last);
  if (!await commands.execute('notebook:run-cell')) throw new Error('one failed');
}"""
#: Evaluates an expression in the kernel, without a cell.
IN_KERNEL = """async asked => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const content = { code: '', silent: true, user_expressions: { asked } };
  const reply = await kernel.requestExecute(content, true).done;
  return reply.content.user_expressions.asked.data['text/plain'];
}"""
#: Resident megabytes, open comms, and widgets.
KERNEL = """(__import__('psutil').Process().memory_info().rss / 2**20,
 len(__import__('comm').get_comm_manager().comms),
 len(__import__('ipywidgets').widgets.widget._instances))"""
#: Elements of our live views, and what they contain, that are not part of the document.
HELD = """function () {
  const isHeld = (element) => {
    try { return element.closest('.qianfan-reply') && !element.isConnected; }
    catch { return false; }  // a prototype
  };
  return this.filter(isHeld).length;
}"""
HEADER = ["answers", "s", "RSS (MB)", "comms", "widgets", "models", "page's comms"]
HEADER += ["elements held", "heap (MB)", "nodes", "listeners", "page busy (s)"]


class Day:
    """The open notebook, with what is measured of it."""

    def __init__(self, notebook: OpenNotebook) -> None:
        self.page = notebook.page
        self.page.set_default_timeout(0)
        self._cdp = self.page.context.new_cdp_session(self.page)
        self._cdp.send("Performance.enable")
        self._worked = 0.0

    def run(self, numbers: list[int], *, at_once: bool) -> list[Any]:
        """Run cells; return the seconds, and what is left."""
        begun = time.monotonic()
        if at_once:
            self.page.evaluate(RUN_MANY, [numbers[0], numbers[-1]])
        else:
            for number in numbers:
                self.page.evaluate(RUN_ONE, number)
        return [time.monotonic() - begun, *self.left()]

    def left(self) -> list[Any]:
        """Return what the kernel and the page hold."""
        time.sleep(0.5)
        kernel = literal_eval(self.page.evaluate(IN_KERNEL, KERNEL))
        models = self.page.evaluate(OPEN_MODELS)
        held = self._held()
        self._cdp.send("HeapProfiler.collectGarbage")
        found = self._cdp.send("Performance.getMetrics")["metrics"]
        metrics = {each["name"]: each["value"] for each in found}
        before, self._worked = self._worked, metrics["TaskDuration"]
        heap = metrics["JSHeapUsedSize"] / 2**20
        counts = [int(metrics[name]) for name in ("Nodes", "JSEventListeners")]
        return [*kernel, *models, held, heap, *counts, self._worked - before]

    def _held(self) -> int:
        """Count the elements of live views that cannot be collected; it collects all others."""
        html = self._cdp.send("Runtime.evaluate", {"expression": "HTMLElement.prototype"})
        prototype = {"prototypeObjectId": html["result"]["objectId"], "objectGroup": "held"}
        elements = self._cdp.send("Runtime.queryObjects", prototype)["objects"]["objectId"]
        call = {"objectId": elements, "functionDeclaration": HELD, "returnByValue": True}
        count = self._cdp.send("Runtime.callFunctionOn", call)["result"]["value"]
        self._cdp.send("Runtime.releaseObjectGroup", {"objectGroup": "held"})
        return int(count)


def a_day(lab: Lab, browser: Browser, url: str, chosen: argparse.Namespace) -> list[list[Any]]:
    """Run all cells, and return the rows of the table."""
    settings = {"QIANFAN_BASE_URL": url, "QIANFAN_ACCESS_TOKEN": serving.TOKEN}
    setup = f"import os\nos.environ |= {settings}\n{serving.SETUP}\nimport ipywidgets"
    if chosen.shown == "final":
        setup += "\nos.environ['QIANFAN_LIVE'] = 'off'"
    cell = PRINTED if chosen.shown == "print" else CHAT
    sources = [cell.format(number) for number in range(1, chosen.cells + 1)]
    lab.set_windowing(chosen.windowing)
    page = LabPage(browser, lab)
    notebook = page.open(lab.write("day.ipynb", setup, *sources))
    day = Day(notebook)
    day.page.evaluate(RUN_ONE, 0)
    rows = [[0, 0.0, *day.left()]]
    answers = chosen.answers or chosen.cells
    batch = min(BATCH, chosen.cells) if chosen.off_screen else BATCH
    for first in range(0, answers, batch):
        places = range(first, min(first + batch, answers))
        numbers = [place % chosen.cells + 1 for place in places]
        rows.append([places.stop, *day.run(numbers, at_once=chosen.off_screen)])
        print(json.dumps(rows[-1]), flush=True)
    notebook.save()
    print(f"the saved notebook: {notebook.path.stat().st_size / 2**20:.1f} MB")
    if chosen.picture:
        notebook.screenshot("long-day")
    page.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=2_000)
    parser.add_argument("--answers", type=int, help="default: one of each cell")
    parser.add_argument("--as", dest="shown", choices=["live", "final", "print"], default="live")
    parser.add_argument("--off-screen", action="store_true")
    modes = ["contentVisibility", "full"]
    parser.add_argument("--windowing", choices=modes, default=modes[0])
    parser.add_argument(
        "--picture", action="store_true", help="take build/screenshots/long-day.png"
    )
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(serving.ROOT)  # for the kernels
    with ExitStack() as stack:
        url = stack.enter_context(serving.server_apart(serving.streamed))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        lab = stack.enter_context(running_lab(Path(folder)))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        rows = a_day(lab, browser, url, chosen)
        browser.close()
    serving.print_table(HEADER, rows)
    seconds = [row[1] for row in rows[1:]]
    if len(seconds) > 1:
        print(f"last hundred / second hundred: {seconds[-1] / seconds[1]:.2f}")
    print("load of the machine:", *os.getloadavg())


if __name__ == "__main__":
    main()

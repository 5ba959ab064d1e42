"""A very long answer in JupyterLab: whether the page can be used meanwhile and afterwards.

Run: ``python tests/benchmarks/bench_long_answer.py [mixed|paragraph|code|table] [--megabytes N]
[--picture]``

An answer of 5 MB of mixed Markdown, or of 1 MB that is one paragraph, one block of code, or one
table, arrives with 250 kB a second in chunks of 1,000 characters, in Chromium. Meanwhile and
afterwards a letter is typed into another cell, and the notebook is scrolled, each second: the
milliseconds until the page has painted it. Beside that the page's longest task, the seconds from
the last chunk until the final output is there, the kernel's CPU and the bytes it publishes, the
page's heap, and the saved notebook. Targets: while it streams a letter is there within 250 ms
(median), afterwards within 100 ms; no task is longer than 1 s; the final output comes within 10 s.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import serving
from playwright.sync_api import Page, sync_playwright
from serving import Stream, median

sys.path.insert(0, str(serving.ROOT / "tests"))
from bench_long_day import IN_KERNEL, RUN_ONE
from support.jupyterlab import CHROMIUM_FLAGS, LabPage, running_lab

SIZE, RATE = 1_000, 250
AFTERWARDS = 10  # letters
SENTENCE = "Part {} of the wall was built along a border, by a dynasty long gone. "
#: The pieces of which an answer is a single block.
PIECES: dict[str, tuple[str, Callable[[int], str]]] = {
    "paragraph": ("", SENTENCE.format),
    "code": ("```python\n", "tower_{0} = build({0}, height='high')\n".format),
    "table": ("| name | part | height |\n|---|---|---:|\n", "| tower {0} | {0} | {0}00 |\n".format),
}
CPU = "__import__('time').process_time()"
START = """number => {
  const { commands, shell } = window.jupyterapp;
  shell.currentWidget.content.activeCellIndex = number;
  window.isRunning = true;
  const begun = performance.now();
  commands.execute('notebook:run-cell').then(() => {
    window.isRunning = false;
    window.took = performance.now() - begun;
  });
}"""
#: Types a letter into the first cell, and waits until it has been painted; then scrolls.
USE = """async () => {
  const { content } = window.jupyterapp.shell.currentWidget;
  const frame = () => new Promise(requestAnimationFrame);
  const begun = performance.now();
  await new Promise(resolve => setTimeout(resolve));
  const source = content.model.cells.get(0).sharedModel;
  source.setSource(source.getSource() + 'x');
  await frame();
  await new Promise(resolve => setTimeout(resolve));
  const typed = performance.now();
  content.outerNode?.scrollBy(0, window.isRunning ? 120 : -120);
  await frame();
  await new Promise(resolve => setTimeout(resolve));
  return [typed - begun, performance.now() - typed];
}"""
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver(list => tasks.push(...list.getEntries().map(task => task.duration)))
    .observe({ type: 'longtask' });
  window.bytes = 0;
  const { session } = window.jupyterapp.shell.currentWidget.sessionContext;
  session.kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction === 'recv') window.bytes += JSON.stringify(msg.content).length;
  });
}"""


def answered(seen: serving.Seen) -> serving.Answer:
    """Answer as the endpoint's name says; a single block is made of `PIECES`."""
    kind = seen.path.rsplit("/", 1)[1].partition("-")[0]
    if kind in PIECES:
        head, piece = PIECES[kind]
        serving.KINDS[kind] = lambda number: head * (number == 1) + piece(number)
    return serving.streamed(seen)


def measure(page: Page, stream: Stream, cpu: Callable[[], float]) -> list[list[Any]]:
    """Run the cell that asks for the answer, and use the page; return rows of the table."""
    page.set_default_timeout(0)
    page.evaluate(WATCH)
    cpu_before = cpu()
    page.evaluate(START, 2)
    during, after = [], []
    while page.evaluate("() => window.isRunning"):
        during.append(page.evaluate(USE))
        time.sleep(1)
    took = page.evaluate("() => window.took") / 1_000
    page.locator(".qianfan-answer").wait_for()
    time.sleep(3)
    tasks = page.evaluate("() => tasks.splice(0)")
    for _ in range(AFTERWARDS):
        after.append(page.evaluate(USE))
        time.sleep(0.5)
    later = page.evaluate("() => tasks.splice(0)")
    rows = [["the cell takes (s)", took, f"arrives in {stream.chunks / stream.rate:.0f} s"]]
    rows.append(["longest task while it streams and ends (ms)", max(tasks, default=0.0), ""])
    rows.append(["tasks over 200 ms meanwhile", sum(task > 200 for task in tasks), ""])
    rows.append(["longest task afterwards (ms)", max(later, default=0.0), ""])
    for when, uses in (("while it streams", during), ("afterwards", after)):
        for what, times in zip(("letter", "scroll"), zip(*uses, strict=True), strict=True):
            rows.append([f"a {what} {when} (ms)", median(times), f"most {max(times):,.0f}"])
    rows.append(["kernel's CPU (s)", cpu() - cpu_before, ""])
    rows.append(["published (MB)", page.evaluate("() => window.bytes") / 1e6, ""])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", nargs="?", default="mixed", choices=["mixed", *PIECES])
    parser.add_argument("--megabytes", type=float)
    parser.add_argument("--picture", action="store_true", help="build/screenshots/long-answer.png")
    chosen = parser.parse_args()
    megabytes = chosen.megabytes or (5.0 if chosen.kind == "mixed" else 1.0)
    stream = Stream(chosen.kind, int(megabytes * 1_000_000 / SIZE), RATE, SIZE)
    os.environ["PYTHONPATH"] = str(serving.ROOT)  # for the kernels
    with ExitStack() as stack:
        url = stack.enter_context(serving.server_apart(answered))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        lab = stack.enter_context(running_lab(Path(folder)))
        play = stack.enter_context(sync_playwright())
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        settings = {"QIANFAN_BASE_URL": url, "QIANFAN_ACCESS_TOKEN": serving.TOKEN}
        setup = f"import os\nos.environ |= {settings}\n{serving.SETUP}"
        path = lab.write("long.ipynb", "# ", setup, serving.VIEW.format(stream.endpoint))
        notebook = LabPage(browser, lab).open(path)
        page = notebook.page
        page.evaluate(RUN_ONE, 1)
        rows = measure(page, stream, lambda: float(page.evaluate(IN_KERNEL, CPU)))
        notebook.save()
        rows.append(["the saved notebook (MB)", path.stat().st_size / 1e6, ""])
        if chosen.picture:
            page.locator(".qianfan-answer summary").scroll_into_view_if_needed()
            notebook.screenshot("long-answer")
        cdp = page.context.new_cdp_session(page)
        cdp.send("Performance.enable")
        cdp.send("HeapProfiler.collectGarbage")
        metrics = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
        rows += [["page's heap (MB)", metrics["JSHeapUsedSize"] / 1e6, ""]]
        rows += [["nodes", int(metrics["Nodes"]), ""]]
        browser.close()
    serving.print_table([f"{megabytes} MB, {chosen.kind}", "", ""], rows)
    print("load of the machine:", *os.getloadavg())


if __name__ == "__main__":
    main()

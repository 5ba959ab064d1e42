"""``%%qianfan_map`` in JupyterLab: a bar while it runs, one line of totals afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from support.jupyterlab import OpenAndRun

TABLE = """import pandas as pd
server.delay = 0.3
cities = pd.DataFrame({"city": [f"city {n}" for n in range(24)]})"""
ASK = "%%qianfan_map cities -m ernie-5.1 -j 2 -o told\nWhere is {city}?"


def test_bar_shows_the_progress_and_leaves_one_line(run: OpenAndRun) -> None:
    notebook = run("%qianfan demo -o server", TABLE, ASK, "told.answer.str.len().min() > 0")
    bar = notebook.output(3).locator(".jp-OutputArea-output")
    expect(bar).to_contain_text("tokens=")
    expect(bar).to_contain_text("/24")
    notebook.screenshot("map-running")
    notebook.wait_idle()
    expect(notebook.output(3)).to_contain_text("ernie-5.1 · 24 of 24 rows answered")
    expect(notebook.output(4)).to_contain_text("True")
    notebook.screenshot("map")
    notebook.save()
    [output] = json.loads(notebook.path.read_text("utf-8"))["cells"][3]["outputs"]
    assert sorted(output["data"]) == ["text/html", "text/plain"]
    assert "24/24" not in json.dumps(output)


def test_stop_keeps_what_is_done(run: OpenAndRun) -> None:
    notebook = run("%qianfan demo -o server", TABLE, ASK)
    expect(notebook.output(3)).to_contain_text("tokens=")
    notebook.command("notebook:interrupt-kernel")
    expect(notebook.output(3)).to_contain_text("of 24 rows answered")
    expect(notebook.output(3)).to_contain_text("Run the cell again")
    notebook.wait_idle()
    rest = notebook.run_code(ASK)
    expect(rest).to_contain_text("24 of 24 rows answered")

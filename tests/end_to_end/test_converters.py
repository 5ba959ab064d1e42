"""What a reader sees of a notebook that was converted, or executed by another program.

The tools are those of ``tests/converters-requirements.txt``; tests of a missing one are skipped.
"""

from __future__ import annotations

import copy
import html
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import (
    HTMLExporter,
    LatexExporter,
    MarkdownExporter,
    SlidesExporter,
    WebPDFExporter,
)
from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode

HOSTILE = (
    "# Hi\n<script>alert('evil')</script> <img src=x onerror=evil()> [click](javascript:evil())"
)
HOSTILE_SERVER = """from pathlib import Path
from qianfan_magic.embedded.engines import Engine
hostile = Path('hostile.txt').read_text()
server.engine = Engine(lambda question: hostile, lambda question: '')"""
CELLS = [
    "%load_ext qianfan_magic\n%qianfan demo -o server",
    "%%qianfan_chat\nExplain Pythagoras, please.",
    "%%qianfan_chat\n请介绍长城",
    HOSTILE_SERVER,
    "%%qianfan_chat -n hostile\nSay it.",
    "%qianfan params temperature=0.3",
]
LAUNCH = """from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    playwright.chromium.launch()"""
pytestmark = pytest.mark.kernel
PATIENCE = 60  # seconds; only a test that fails waits so long


def write_hostile(folder: Path) -> Path:
    """Write the hostile answer where the notebook's fourth cell reads it."""
    (folder / "hostile.txt").write_text(HOSTILE, encoding="utf-8")
    return folder


def notebook_of(cells: list[str]) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)]
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """Return the notebook as nbclient has executed it."""
    notebook = notebook_of(CELLS)
    folder = write_hostile(tmp_path_factory.mktemp("executed"))
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture(scope="module")
def pandoc() -> None:
    """Let nbconvert find pandoc."""
    pypandoc = pytest.importorskip("pypandoc", reason="tests/converters-requirements.txt")
    folder = str(Path(pypandoc.get_pandoc_path()).parent)
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], folder])


def assert_readable(page: str) -> None:
    """Assert that each answer is there once, and neither a widget nor a Python object's repr."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert len(re.findall(r"hypotenuse\s*\(a,\s*b\)", text)) == 1
    assert text.count("道城墙的总称") == 1
    assert not re.search(r"object at 0x|Error displaying widget|widget-view|model_id", page)


def assert_harmless(page: str) -> None:
    """Assert that the hostile answer is text: no script, no handler and no such link of it."""
    assert "<script>alert" not in page
    assert not re.search(r"<img[^>]*onerror|href=\"javascript:", page)


@pytest.fixture
def playwright_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Playwright take the system's Chromium for its own; nbconvert cannot name a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    # In a process of its own: a fixture of the browser tests may hold Playwright in this one.
    command = [sys.executable, "-c", LAUNCH]
    launched = subprocess.run(command, check=False, capture_output=True, text=True)
    place = Path(re.search(r"doesn't exist at (\S+)", launched.stderr)[1])
    place.parent.mkdir(parents=True)
    place.symlink_to(chromium)


def test_nbclient_and_papermill_leave_one_plain_output_for_an_answer(
    executed: NotebookNode, tmp_path: Path
) -> None:
    papermill = pytest.importorskip("papermill", reason="tests/converters-requirements.txt")
    nbformat.write(notebook_of(CELLS), tmp_path / "in.ipynb")
    papermill.execute_notebook(
        tmp_path / "in.ipynb",
        tmp_path / "out.ipynb",
        cwd=write_hostile(tmp_path),
        progress_bar=False,
    )
    for notebook in (executed, nbformat.read(tmp_path / "out.ipynb", as_version=4)):
        outputs = [cell.outputs for cell in notebook.cells if "请介绍" in cell.source]
        assert [[output.output_type for output in one] for one in outputs] == [["display_data"]]
        assert "widgets" not in notebook.metadata


def test_pdf_shows_each_answer_once(executed: NotebookNode, playwright_chromium: None) -> None:
    pypdf = pytest.importorskip("pypdf", reason="tests/converters-requirements.txt")
    exporter = WebPDFExporter(disable_sandbox=os.geteuid() == 0)  # a root user has no sandbox
    pdf, _ = exporter.from_notebook_node(executed)
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert_readable(re.sub(r"\s", "", "".join(page.extract_text() for page in pages)))


def test_cleared_notebook_holds_nothing_of_an_answer(executed: NotebookNode) -> None:
    cleared, _ = ClearOutputPreprocessor().preprocess(copy.deepcopy(executed), {})
    assert [cell.source for cell in cleared.cells if not cell.outputs] == CELLS
    assert "qianfan" not in str([cleared.metadata, *[cell.metadata for cell in cleared.cells]])


@pytest.mark.parametrize("exporter", [HTMLExporter, SlidesExporter])
def test_page_shows_answers_formulas_and_code(
    executed: NotebookNode, exporter: type[HTMLExporter]
) -> None:
    page, _ = exporter().from_notebook_node(executed)
    assert_readable(page)
    assert_harmless(page)
    assert '<span class="mathjax_process tex2jax_process">$c = \\sqrt{a^2 + b^2}$</span>' in page
    assert '<b style="color:var(--k)">from</b> math' in page


def test_page_typesets_formulas_without_a_network_beside_a_copy_of_mathjax(
    executed: NotebookNode, tmp_path: Path
) -> None:
    mathjax = pytest.importorskip(
        "jupyter_server_mathjax", reason="tests/converters-requirements.txt"
    )
    chromium = shutil.which("chromium") or pytest.skip("there is no chromium")
    shutil.copytree(Path(mathjax.__file__).with_name("static"), tmp_path / "MathJax")
    # The options are those of the documentation, to the letter.
    manual = (Path(__file__).parents[2] / "docs" / "front-ends.md").read_text("utf-8")
    address = re.search(r"--HTMLExporter\.mathjax_url='([^']+)'", manual)[1]
    page, _ = HTMLExporter(mathjax_url=address).from_notebook_node(executed)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    options = ["--headless", "--no-sandbox", profile, "--virtual-time-budget=20000", "--dump-dom"]
    command = [chromium, *options, (tmp_path / "page.html").as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    assert 'class="MathJax"' in shown.stdout
    assert "\\sqrt{a^2 + b^2}$" not in shown.stdout


def test_markdown_has_the_answer_as_it_was_written(executed: NotebookNode) -> None:
    page, _ = MarkdownExporter().from_notebook_node(executed)
    assert_readable(page)
    assert_harmless(page)
    answers = re.findall(r'^<div class="qianfan-answer.*?^</div>$', page, re.DOTALL | re.MULTILINE)
    assert len(answers) == 4
    # A blank line would end the HTML, and what follows would be read as Markdown.
    assert not [answer for answer in answers if re.search(r"\n[ \t]*\n", answer)]


def test_latex_has_formulas_and_code(executed: NotebookNode, pandoc: None) -> None:
    page, _ = LatexExporter().from_notebook_node(executed)
    assert "hypotenuse" in page
    assert "\\sqrt{a^2 + b^2}" in page
    assert not re.search(r"object at 0x|model\\_id", page)


def test_jupytext_keeps_the_cells() -> None:
    jupytext = pytest.importorskip("jupytext", reason="tests/converters-requirements.txt")
    for form in ("py:percent", "md", "md:myst"):
        there = jupytext.writes(notebook_of(CELLS), form)
        back = jupytext.reads(there, form)
        assert [cell.source for cell in back.cells] == CELLS, form


def test_book_shows_answers(executed: NotebookNode, tmp_path: Path) -> None:
    pytest.importorskip("myst_nb", reason="tests/converters-requirements.txt")
    nbformat.write(executed, tmp_path / "index.ipynb")
    (tmp_path / "conf.py").write_text('extensions = ["myst_nb"]\nnb_execution_mode = "off"\n')
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "built")], check=True, timeout=PATIENCE)
    page = (tmp_path / "built" / "index.html").read_text("utf-8")
    assert_readable(page)
    assert_harmless(page)


@pytest.fixture
def voila(tmp_path: Path) -> Iterator[str]:
    """Serve the notebook by voila; return its address."""
    pytest.importorskip("voila", reason="tests/converters-requirements.txt")
    nbformat.write(notebook_of(CELLS), write_hostile(tmp_path) / "page.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "voila", "page.ipynb", "--no-browser", f"--port={port}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}/"
    process.terminate()
    process.wait(PATIENCE)


def test_voila_shows_answers(voila: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            page = urllib.request.urlopen(voila, timeout=PATIENCE).read().decode()
            break
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.2)
    # The page draws the outputs from JSON, in which "<" is escaped.
    drawn = page.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
    shown = re.findall(r'"text/html": "(?:[^"\\]|\\.)*"', drawn)
    assert sum("hypotenuse" in one for one in shown) == 1
    assert_harmless("\n".join(shown))
    assert_harmless(page)
    assert "widget-view" not in page

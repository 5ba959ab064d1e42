"""What a hostile server says in its errors, in all that a cell shows: harmless text."""

from __future__ import annotations

import pytest
from IPython.utils.capture import capture_output
from support.hidden import is_hidden
from support.raw_server import json_answer

SLY = (
    "\x1b[2J\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\u202eabc\u2066"
    "<script>alert(1)</script><img src=x onerror=alert(1)> ![x](https://evil.example/p.png) "
)
ROWS = "rows = [{'word': word} for word in ('a', 'b')]"
CELLS = {
    "chat": "%%qianfan_chat\nhi",
    "columns": "%%qianfan_chat --compare temperature=0.1,0.9\nhi",
    "map": "%%qianfan_map rows -o table\nIs {word} a noun?",
    "jobs": "%qianfan jobs",
    "the table": "table",
    "models": "%qianfan models",
    "doctor": "%qianfan doctor --live",
    "request": "%qianfan request",
}


@pytest.fixture
def hostile(raw_server, monkeypatch, bare):
    """Give a notebook whose server answers everything with a hostile error."""
    monkeypatch.setenv("QIANFAN_API_BASE_URL", f"{raw_server.url}/v2")
    monkeypatch.setenv("QIANFAN_API_KEY", "bce-v3/ALTAK-EXAMPLE0123456789/0123456789")
    monkeypatch.setenv("QIANFAN_MODEL", "ernie-5.1")
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_COUNT", "1")
    error = {"error": {"code": SLY, "message": SLY + "x " * 500_000}}
    raw_server.script += [json_answer(error, status=400)] * 20
    return bare


def test_errors_of_a_hostile_server_are_harmless_in_all_that_a_cell_shows(hostile):
    hostile.run(ROWS)
    for name, cell in CELLS.items():
        with capture_output() as captured:
            hostile.shell.run_cell(cell)
        bundles = [output.data for output in captured.outputs]
        texts = [text for bundle in bundles for text in bundle.values()]
        shown = "".join([captured.stdout, captured.stderr, *map(str, texts)])
        assert shown, name
        assert not list(filter(is_hidden, shown)), name
        html = "".join(bundle.get("text/html", "") for bundle in bundles)
        assert "<script" not in html, name
        assert "<img" not in html, name
        assert len(shown) < 100_000, name
    assert "alert(1)" in shown

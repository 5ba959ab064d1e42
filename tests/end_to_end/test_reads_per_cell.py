"""How often one cell reads its settings and cards, and resolves its service."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

#: The functions that read ``.env`` and ``qianfan.toml``, and that resolve a service.
COUNTED = {"read_dot_env", "read_file", "resolve"}


def calls(notebook, cell):
    """Run a cell; count the calls of the functions above."""
    counts: Counter[str] = Counter()

    def count(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_name in COUNTED and "qianfan_magic" in code.co_filename:
            counts[code.co_name] += 1

    sys.setprofile(count)
    try:
        notebook.run(cell)
    finally:
        sys.setprofile(None)
    return counts


@pytest.mark.parametrize(
    ("cell", "resolved"),
    [
        ("%%qianfan_chat\nhi", 1),
        ("%%qianfan_chat --format json -m ernie-5.1\nrivers as JSON", 1),
        ("%%qianfan_chat --compare temperature=0.1,0.5,0.9\nhi", 1),
        ("%%qianfan_chat --compare model=ernie-5.1,ernie-5.0\nhi", 2),  # one for each column
        ("%%qianfan_complete\ndef fibonacci(n):", 1),
    ],
)
def test_cell_reads_settings_and_cards_once_and_resolves_each_service_once(
    own, bare, cell, resolved
):
    (bare.folder / ".env").write_text("QIANFAN_LIVE=off\n")
    (bare.folder / "qianfan.toml").write_text("")
    assert calls(bare, cell) == {"read_dot_env": 1, "read_file": 1, "resolve": resolved}

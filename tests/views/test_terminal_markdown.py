"""Markdown in a terminal, as rich writes it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from qianfan_magic.views.rendering.terminal import TerminalMarkdown


def printed(text: str, references: dict[str, Any] | None = None, **options: Any) -> list[str]:
    file = io.StringIO()
    block = TerminalMarkdown(text, {} if references is None else references)
    Console(file=file, width=40, **options).print(block)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_block_begins_without_an_empty_line_and_is_whole():
    for text, lines in (
        ("a", ["a"]),
        ("- a\n- b", [" • a", " • b"]),
        ("so $x$.", ["so $x$."]),
        ("$$\nx\n$$", ["$$", "x", "$$"]),
        ("$$\n**x**", ["$$ x"]),
        ("x^[1]^", ["x[1]"]),
        ("```\n" + "x" * 50 + "\n\n```", ["x" * 40, "x" * 10]),
        ("a\u202eb `\u202e`", [r"a\u202eb \u202e"]),
    ):
        assert printed(text) == lines, text


def test_reference_may_be_defined_in_an_earlier_block():
    references: dict[str, Any] = {}
    assert printed("[w]: https://e.example", references) == ["[w]: https://e.example"]
    assert printed("a [w]", references) == ["a w (https://e.example)"]


def test_code_has_the_colors_of_its_language():
    colors = [
        printed(f"```{name}\nimport os\n```", force_terminal=True, color_system="256")[0]
        for name in ("python", "text")
    ]
    assert colors[0].count("\x1b[") > colors[1].count("\x1b[") > 0

"""Syntax highlighting of code."""

from __future__ import annotations

import re
from html import unescape

from qianfan_magic.views.rendering.highlight import (
    COLORS,
    MAX_LENGTHS,
    highlight,
    inline_colors,
    style_sheet,
)
from qianfan_magic.views.rendering.markdown import to_html


def test_token_has_the_class_of_its_kind():
    for language, code, css_class, text in (
        ("python", "def f(): pass", "k", "def"),
        ("py", "def f(): pass", "nd", "f"),
        ("PYTHON", "x = 'a'", "s", "'a'"),
        ("ipython", "x = 1", "m", "1"),
        ("sh", "ls # a\n", "c", "# a"),
        ("zsh", "ls # a\n", "c", "# a"),
        ("jsonc", "[1]", "m", "1"),
        ("sql", "SELECT 1", "k", "SELECT"),
        ("html", "<p>", "nt", "p"),
        ("diff", "-a\n+b", "gd", "-a"),
        ("ts", "let a", "k", "let"),
    ):
        assert f'<span class="{css_class}">{text}' in highlight(code, language), language


def test_code_of_an_unknown_language_is_unchanged():
    for language in ("", "nolang", "brainfuck", "../python", "x" * 99):
        assert highlight("def f(): pass", language) == "", language


def test_code_is_highlighted_up_to_a_length():
    length = MAX_LENGTHS["python"]
    assert highlight("1" * length, "python")
    assert not highlight("1" * (length + 1), "python")


def test_bash_with_a_slow_string_is_unchanged():
    assert highlight("echo 'a'", "bash")
    assert not highlight("echo $'a'", "bash")


def test_highlighting_changes_no_letter_and_escapes_tags():
    for code in ("a < b && 'c' > \"d\" & e", "\n\n  x\n\n", "def f():\n\treturn `1`\n", "'a\n<b>"):
        for language in ("python", "html", "bash", "json"):
            escaped = re.sub("</?span[^>]*>", "", highlight(code, language))
            assert unescape(escaped) == code, language
            assert "<b>" not in escaped, language


def test_colors_are_written_into_html_without_a_style_sheet():
    assert inline_colors('<span class="k">if</span>') == f'<span style="{COLORS["k"]}">if</span>'


def test_fenced_code_is_highlighted():
    assert f'<span style="{COLORS["k"]}">if</span>' in to_html("```python\nif a: b\n```")


def test_tag_in_an_answer_gets_no_color():
    html = to_html('<span class="k">a</span> `<span class="k">`')
    assert COLORS["k"] not in html


def test_style_sheet_has_all_colors():
    rules = re.sub(r",#\w+\)", ")", style_sheet(".here"))
    for css_class, style in COLORS.items():
        assert f".here .{css_class} {{ {style} }}" in rules

"""Syntax highlighting of code."""

from __future__ import annotations

import re
from html import unescape

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.highlight import COLORS, MAX_LENGTHS, highlight, style_sheet
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


def test_final_output_defines_the_colors_that_it_uses_once():
    """It is shown without a style sheet of ours."""
    code = "```python\nif a: b\nif c: d\n```\n\n```python\nif e: 1\n```"
    html = AnswerOutput(code, "markdown").bundle()["text/html"]
    assert html.count('<b style="color:var(--k)">if</b>') == 3
    opening = html.splitlines()[0]
    assert opening.endswith(f'; --k:{COLORS["k"]}; --m:{COLORS["m"]}">')
    assert html.count(COLORS["k"]) == 1


def test_output_without_code_defines_no_colors():
    html = AnswerOutput('`style="color:var(--k)"` and **b**', "markdown").bundle()["text/html"]
    assert "--jp-mirror" not in html


def test_tag_in_an_answer_gets_no_color():
    html = to_html('<span class="k">a</span> `<span class="k">`')
    assert "var(--k)" not in html


def test_style_sheet_has_all_colors():
    rules = style_sheet(".here")
    for css_class, color in COLORS.items():
        assert f".here .{css_class} {{ color:{color}" in rules
    assert ";font-weight:bold }" in rules.splitlines()[0]

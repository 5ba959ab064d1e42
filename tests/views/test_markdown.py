"""Markdown of an answer: blocks and inline marks, tasks, footnotes, formulas, and limits."""

from __future__ import annotations

import re
import time

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.markdown import inert_markdown, to_html, to_live_html
from qianfan_magic.views.rendering.markdown_rules import MAX_CELLS, MAX_REFERENCE
from qianfan_magic.views.rendering.math import MAX_LENGTH

FORMULA = '<span class="mathjax_process tex2jax_process">'


def text_of(html: str) -> str:
    """Return the text of HTML, its entities as they are."""
    return re.sub("<[^>]*>", "", html).strip()


# --- blocks and inline marks


def test_markdown_is_rendered():
    expected = {
        "plain": "<p>plain</p>",
        "**bold** and *slanted*": "<p><strong>bold</strong> and <em>slanted</em></p>",
        "~~gone~~": "<p><s>gone</s></p>",
        "# Head": "<h1>Head</h1>",
        "> said": "<blockquote>\n<p>said</p>\n</blockquote>",
        "- a\n- b": "<ul>\n<li>a</li>\n<li>b</li>\n</ul>",
        "1. a\n2. b": "<ol>\n<li>a</li>\n<li>b</li>\n</ol>",
        "3. c\n4. d": '<ol start="3">\n<li>c</li>\n<li>d</li>\n</ol>',
        "- a\n  - b": "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n</ul>",
        "`a < b`": "<p><code>a &lt; b</code></p>",
        "```\nif a < b:\n    c()\n```": "if a &lt; b:\n    c()\n",
        "a\n\n---\n\nb": "<hr>",
        "- **秦**:连接": "<li><strong>秦</strong>:连接</li>",
        "长城总长约 **21,196 公里**。": "<strong>21,196 公里</strong>。",
        "你好 👋🏽 café": "你好 👋🏽 café",
        "a < b && c > d": "a &lt; b &amp;&amp; c &gt; d",
        "vector<int> v;": "vector&lt;int&gt; v;",
        "snake_case_name": "snake_case_name",
        "[x]()": "<p>x</p>",
    }
    for text, html in expected.items():
        assert html in to_html(text), text


def test_table_has_its_cells():
    html = to_html("| a | b |\n|---|--:|\n| 宫 | 2 |")
    cells = re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", html)
    left, right = (f' style="text-align:{side}"' for side in ("left", "right"))
    assert cells == [(left, "a"), (right, "b"), (left, "宫"), (right, "2")]


def test_harmless_markdown_is_not_fenced():
    for text in (
        "plain **bold**",
        "| a |\n|---|\n| b |",
        "```python\nprint(1)\n```",
        "[x](https://e.example)",
        "a < b, a <3, 1 > 0",
        "长城 **21,196 公里**",
    ):
        assert inert_markdown(text) == text


# --- limits


def test_deeply_nested_text_is_not_lost():
    for nesting in ("- " * 30, "> " * 30, "1. > " * 15, "- " * 9 + "> " * 3):
        html = to_html(f"{nesting}word\n\nlast")
        assert "word" in html, nesting
        assert "<p>last</p>" in html, nesting


def test_tables_of_an_answer_have_a_limited_number_of_cells():
    wide = "|".join("a" * 100)
    table = f"{wide}\n{'|'.join('-' * 100)}\n" + "b\n" * 60
    html = to_html(f"{table}\n{table}")
    assert MAX_CELLS - 200 <= html.count("<td") + html.count("<th") <= MAX_CELLS
    assert text_of(html).count("b") == 2 * 60  # further rows stay text


def test_only_the_cells_of_tables_count():
    table = "a|b\n-|-\nc|d\n\n"
    assert to_html("text\n\n" * MAX_CELLS + table + table).count("<table") == 2


def test_reference_to_a_long_address_is_not_repeated():
    address = "https://e.example/" + "a" * MAX_REFERENCE
    assert "href" not in to_html("[x] [x]\n\n[x]: " + address)
    assert to_html("[x] [x]\n\n[x]: " + address[:MAX_REFERENCE]).count("href") == 2
    assert f'href="{address}"' in to_html(f"[x]({address})")
    title = "a" * MAX_REFERENCE
    assert "href" not in to_html(f'[x]\n\n[x]: https://e.example "{title}"')


def test_unclosed_formulas_take_linear_time():
    seconds = []
    for count in (1_000, 8_000):
        begun = time.process_time()
        to_html("\\[a\n" * count + "\n")
        seconds.append(time.process_time() - begun)
    assert seconds[1] / seconds[0] < 24  # linear: 8, quadratic: 64


# --- tasks and footnotes


def test_task_has_a_box_instead_of_its_bullet():
    html = to_html("- [ ] a\n- [x] b\n- [X] c\n- d")
    assert re.findall(r"<li[^>]*>(.*?)</li>", html) == ["☐ a", "☑ b", "☑ c", "d"]
    assert html.count('<li style="list-style-type:none">') == 3
    for text in ("[ ] a", "> [ ] a", "- `[ ]` a", "- a\n\n  [ ] b"):
        assert "☐" not in to_html(text), text


def test_task_is_no_form_control():
    assert "<input" not in to_html("- [x] a")


def test_footnotes_are_numbered_and_stand_at_the_end():
    html = to_html("a[^x] b[^y] c[^x]\n\n[^y]: two\n[^x]: one\n\nlast")
    above, _, below = html.partition("<hr>")
    assert re.findall("<sup>(.*?)</sup>", above) == ["[1]", "[2]", "[1]"]
    assert text_of(below).split() == ["one", "two"]


def test_footnote_has_no_id_link_or_class():
    html = to_html("a[^x]\n\n[^x]: one")
    assert re.findall("(?:id|href|class)=", html) == []


def test_reference_to_a_missing_footnote_stays_text():
    assert to_html("a[^x]") == "<p>a[^x]</p>\n"


# --- formulas


def test_formula_is_left_to_the_page():
    for formula in (
        *("$x^2$", "$$x$$", r"\(x\)", r"\[x\]", "$$\nx\n$$", "\\[\nx\n\\]", r"\( a \)"),
        *("$a_1 * b * c_2$", r"$\frac{1}{2}$", r"$a \$ b$"),
        *(r"$\defined$", r"$\letter$", r"$\reference$", r"$\chart$"),  # begin like refused commands
    ):
        assert to_html(formula) == f"<p>{FORMULA}{formula}</span></p>\n"


def test_displayed_formula_ends_at_the_end_of_a_line():
    for text, shown in (
        ("$$\nx\n$$  ", "$$\nx\n$$"),
        ("$$a\nb$$", "$$a\nb$$"),
        ("  $$\n  x\n  $$", "$$\nx\n$$"),
    ):
        assert to_html(text) == f"<p>{FORMULA}{shown}</span></p>\n", text
        assert to_html(f"{text}\nb") == f"<p>{FORMULA}{shown}</span></p>\n<p>b</p>\n", text
    assert FORMULA not in to_html("$$\nx\n$$ y")


def test_formula_within_another_element_is_left_to_the_page():
    for text in ("so $x$.", "**$x$**", "# $x$", "- $x$", "> $x$", "| a |\n|---|\n| $x$ |"):
        assert f"{FORMULA}$x$</span>" in to_html(text), text


def test_adjacent_formulas_are_separate():
    for text, count in (("> $$\n> a\n> $$", 1), ("$a$ $b$", 2), ("$a$$b$", 2)):
        assert to_html(text).count(FORMULA) == count, text


def test_displayed_formula_ends_the_block_before_it():
    formula = "$$\nx\n$$"
    for before in ("a", "> a"):
        html = to_html(f"{before}\n{formula}")
        assert html.endswith(f">\n<p>{FORMULA}{formula}</span></p>\n"), before


def test_formula_is_escaped():
    assert to_html("$a<b>c$") == f"<p>{FORMULA}$a&lt;b&gt;c$</span></p>\n"


def test_dollars_of_other_text_are_no_formula():
    for text in (
        *("$5 and $6", "It costs $5, or $6.", "$20,000 and USD$30", "$a$5", "$a$5x"),
        *("$a", "$ a $", "$ a$", "$a $", "a $", "$$", "$$ $$", "\\(a"),
    ):
        html = to_html(text)
        assert FORMULA not in html, text
        # As CommonMark has it, a backslash before a bracket is removed.
        assert text_of(html) == text.removeprefix("\\")


def test_dollars_in_code_are_no_formula():
    for text in ("`$a$`", "```\n$a$\n```", "    $$\n    a\n    $$", r"\$a$"):
        assert FORMULA not in to_html(text), text


def test_blank_line_makes_an_unclosed_formula_a_paragraph():
    assert to_html("$$\na\n\n**b**") == "<p>$$\na</p>\n<p><strong>b</strong></p>\n"


def test_unclosed_formula_is_a_paragraph_where_another_part_follows():
    assert to_live_html("$$\n**a**") == "<p>$$\n**a**</p>\n"  # more of it may arrive
    assert to_live_html("$$\n**a**", ended=True) == "<p>$$\n<strong>a</strong></p>\n"


REFUSED = [
    r"\href{javascript:alert(1)}{x}",
    r"\text{a \href{javascript:alert(1)}{x}}",
    r"\url{https://evil.example}",
    r"\class{x}{y}",
    r"\cssId{x}{y}",
    r"\style{position:fixed}{x}",
    r"\bbox[border:1px]{x}",
    r"\unicode{60}",
    r"\require{html}",
    r"\includegraphics{x}",
    r"\def\x{1}",
    r"\gdef\x{1}",
    r"\let\x=\y",
    r"\newcommand{\x}{1}",
    r"\renewcommand\x{1}",
    r"\newenvironment{x}{}{}",
    r"\DeclareMathOperator{\x}{y}",
    r"\csname href\endcsname{a}{b}",
    r"\label{x}",
    r"\definecolor{red}{rgb}{1,1,1}",
]


def test_formula_with_a_refused_command_is_shown_as_source():
    for command in REFUSED:
        for formula in (f"${command}$", rf"\[{command}\]"):
            assert to_html(formula) == f"<p><code>{formula}</code></p>\n"


def test_formula_that_is_too_long_is_shown_as_source():
    for formula in ("${}$", "$$\n{}\n$$"):
        html = to_html(formula.format("a" * (MAX_LENGTH + 1)))
        assert FORMULA not in html
        assert "a" * MAX_LENGTH in html
    assert FORMULA in to_html(f"$${'a' * MAX_LENGTH}$$")


def test_page_typesets_nothing_but_formulas():
    html = AnswerOutput("**a** $5 and $6", "markdown").bundle()["text/html"]
    assert html.startswith('<div class="qianfan-answer mathjax_ignore tex2jax_ignore"')

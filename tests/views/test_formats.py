"""The forms of an answer: JSON, HTML, code and text; formulas, colours, honest links and images."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from support.hidden import is_hidden
from support.kernel import WIDGET, Kernel, Ran, is_view
from support.notebook import WALL

from qianfan_magic import ParameterError, QianfanError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.formats import body, extract_code, pretty, without_fence
from qianfan_magic.views.rendering.highlight import (
    COLORS,
    MAX_LENGTHS,
    highlight,
    inline_colors,
    style_sheet,
)
from qianfan_magic.views.rendering.markdown import to_html
from qianfan_magic.views.rendering.math import MAX_LENGTH as MAX_FORMULA

# A real shell, and two real kernels of this file's own: one unwatched, one watched.

MATHEMATICS = '<span class="mathjax_process tex2jax_process">'
REL = 'rel="noopener noreferrer nofollow"'


def words(html: str) -> str:
    """Give what is read of a page, as it is written."""
    return re.sub("<[^>]*>", "", html).strip()


# --- text


@pytest.mark.parametrize("text", ["**a**", "<b>a</b>", "$a$", '{"a": 1}', "```\na\n```", "  a\n b"])
def test_text_is_shown_letter_by_letter(text):
    shown = AnswerOutput(text, "text").bundle()["text/html"]
    assert re.search(r"<pre [^>]*>(.*)</pre>", shown, re.DOTALL)[1] == text.replace(
        "<", "&lt;"
    ).replace(">", "&gt;").replace('"', "&quot;")


# --- fences

FENCED = "```json\n[1]\n```"


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (FENCED, "[1]\n"),
        (f"\n {FENCED}\n\n", "[1]\n"),
        ("~~~\na\n~~~", "a\n"),
        ("````\n```\na\n```\n````", "```\na\n```\n"),
    ],
)
def test_fence_around_the_whole_answer_is_removed(text, inside):
    assert without_fence(text) == inside


@pytest.mark.parametrize(
    "text",
    [
        "no fence",
        "",
        f"Here it is:\n{FENCED}",
        f"{FENCED}\nThat is it.",
        f"{FENCED}\n\n{FENCED}",
        f"{FENCED}\nThen run ```ls```",
        "```json\n[1]",
    ],
)
def test_answer_that_is_more_than_one_fence_stays_as_it_is(text):
    assert without_fence(text) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na = 1\n```", "a = 1"),
        ("First:\n```\na\n```\nthen\n~~~\nb\n~~~\ndone", "a\n\nb"),
        ("- so:\n  ```\n  if a:\n      b\n  ```", "if a:\n    b"),
        ("> ```\n> a\n> ```", "a"),
        ("````\n```\na\n```\n````", "```\na\n```"),
        ("```python\ncut off", "cut off"),
        ("\na = 1\n\n", "a = 1"),
        ("    return a", "    return a"),
        ("```\n$$a$$ $b$\n```", "$$a$$ $b$"),
    ],
)
def test_code_of_an_answer(text, code):
    assert extract_code(text) == code


@pytest.mark.parametrize("text", ["a\x1b[2J", "```\na\u202eb\u200b\n```"])
def test_code_has_no_hidden_characters(text):
    assert [c for c in extract_code(text) if is_hidden(c) or c == "\u200b"] == []


# --- json


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"b":1,"a":[true,null]}', '{\n  "b": 1,\n  "a": [\n    true,\n    null\n  ]\n}'),
        (' "长城" ', '"长城"'),
        (FENCED, "[\n  1\n]"),
    ],
)
def test_json_is_written_one_value_a_line(text, written):
    assert pretty(text) == written


@pytest.mark.parametrize(
    "text", ["", "{'a': 1}", '{"a":', "[NaN]", "[-Infinity]", "1e999", f"{FENCED} so", "[" * 9_999]
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        pretty(text)


def test_what_is_no_json_is_shown_as_it_came():
    assert words(body("{'a': <b>}", "json")) == "{&#x27;a&#x27;: &lt;b&gt;}"


def test_json_is_coloured():
    assert f'<span style="{COLORS["m"]}">1</span>' in body('{"a": 1}', "json")


def test_json_can_run_nothing():
    assert "<script" not in body('{"a": "<script>alert(1)</script>"}', "json")


def test_plain_text_of_json_is_written_one_value_a_line():
    assert AnswerOutput("[1]", "json").bundle()["text/plain"] == "[\n  1\n]"


ESCAPES = ["\\u202e", "\\u009b", "\\u200b", "\\ud800", "\\u007f", "\\u2066"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_json_escape_brings_no_hidden_character_into_the_page(escape):
    shown = "".join(AnswerOutput(f'["{escape}"]', "json").bundle().values())
    assert [c for c in shown if is_hidden(c) or c == "\u200b"] == []


def answer(notebook: Any, text: str) -> None:
    """Have the next answer be this one."""
    notebook.server.fail(Fault(fields={"result": text}))


def test_answer_that_is_no_json_fails_the_cell(notebook):
    error, _ = notebook.fail("%%qianfan_chat --format json\nhi")
    assert (type(error), "not JSON" in error.message) == (QianfanError, True)


def test_answer_that_is_no_json_says_what_to_do(notebook):
    error, shown = notebook.fail("%%qianfan_chat --format json\nhi")
    assert shown.splitlines()[-2:] == [f"QianfanError: {error.message}", f"→ {error.hint}"]


def test_answer_that_is_no_json_is_shown(notebook):
    answer(notebook, "no {json}")
    _, shown = notebook.fail("%%qianfan_chat --format json --no-stream\nhi")
    assert shown.startswith("no {json}")


def test_answer_that_is_no_json_stays_in_the_conversation(notebook):
    answer(notebook, "no {json}")
    notebook.fail("%%qianfan_chat --format json --no-stream\nhi")
    assert [turn.assistant for turn in notebook.turns()] == ["no {json}"]


def test_answer_that_is_no_json_is_bound(notebook):
    answer(notebook, "no {json}")
    notebook.fail("%%qianfan_chat --format json --no-stream -o reply\nhi")
    assert notebook.shell.user_ns["reply"].text == "no {json}"


def test_completion_that_is_no_json_fails_the_cell(notebook):
    error, _ = notebook.fail("%%qianfan_complete --format json\ndef f(n):")
    assert "not JSON" in error.message


def test_reply_to_a_json_cell_is_as_it_came(notebook):
    answer(notebook, FENCED)
    notebook.run("%%qianfan_chat --format json --no-stream -o reply\nhi")
    assert notebook.shell.user_ns["reply"].text == FENCED


@pytest.mark.parametrize("escape", ["\\ud800", "\\u202e"])
def test_json_with_any_escape_is_displayed_by_a_kernel(quiet, escape):
    quiet.server.fail(Fault(fields={"result": f'["{escape}"]'}))
    ran = quiet.run("%%qianfan_chat --format json --no-stream\nhi")
    assert (ran.reply["status"], len(ran.bundles)) == ("ok", 1)


def test_json_in_a_kernel_is_coloured(kernel):
    kernel.server.fail(Fault(fields={"result": FENCED}))
    shown = kernel.run("%%qianfan_chat --format json --no-stream\nhi").bundles[-1]["text/html"]
    assert f'[\n  <span style="{COLORS["m"]}">1</span>\n]' in shown


def test_json_that_fails_in_a_kernel_keeps_its_text(kernel):
    ran = kernel.run("%%qianfan_chat --format json\nhi")
    status = (ran.reply["status"], ran.reply["ename"])
    assert (status, "!" in ran.bundles[-1]["text/plain"]) == (("error", "QianfanError"), True)


# --- html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b>a</b> &lt;", "<b>a</b> &lt;"),
        ("```html\n<h1>a</h1>\n```", "<h1>a</h1>\n"),
        ("<ol start='3'><li>a</ol>", '<ol start="3"><li>a</li></ol>'),
        ("**a** $b$", "**a** $b$"),
    ],
)
def test_html_is_shown_as_html(text, html):
    assert body(text, "html") == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>a", "a"),
        ("<style>p { color: red }</style>a", "a"),
        ("<p onclick='alert(1)' id=x>a</p>", "<p>a</p>"),
        ("<p style='position:fixed'>a</p>", "<p>a</p>"),
        ('<td style="text-align:left">a</td>', "a"),
        ("<form><input></form><iframe></iframe>a", "a"),
        ("<svg><script>alert(1)</script></svg>a", "a"),
        ("<a href='javascript:alert(1)'>a</a>", "a"),
        ("<a href='/lab'>a</a><a href='a.ipynb'>b</a>", "ab"),
    ],
)
def test_html_is_made_harmless(text, html):
    assert body(text, "html") == html


@pytest.mark.parametrize("name", ["k", "mathjax_process", "tex2jax_process", "qianfan-answer"])
def test_html_of_an_answer_has_no_class(name):
    assert body(f'<span class="{name}">$x$</span>', "html") == "<span>$x$</span>"


def test_html_answer_is_shown_by_a_kernel(kernel):
    kernel.server.fail(Fault(fields={"result": "<b>a</b><script>alert(1)</script>"}))
    shown = kernel.run("%%qianfan_chat --format html --no-stream\nhi").bundles[-1]["text/html"]
    assert ("\n<b>a</b>\n" in shown, "alert" in shown) == (True, False)


# --- code


def next_cells(ran: Ran) -> list[str]:
    """Give what was put into a next cell."""
    return [one["text"] for one in ran.reply["payload"] if one["source"] == "set_next_input"]


CODE = "Here:\n```python\na = 1\n```\nGood luck."


def test_key_that_an_answer_quotes_is_not_put_into_the_next_cell(kernel):
    key = kernel.server.authenticator.keys.sk
    kernel.server.fail(Fault(fields={"result": f"```python\nsk = {key!r}\n```"}))
    ran = kernel.run("%%qianfan_chat --format code --no-stream\nhi")
    assert next_cells(ran) == ["sk = '***'"]


def test_code_is_put_into_the_next_cell(kernel):
    kernel.server.fail(Fault(fields={"result": CODE}))
    assert next_cells(kernel.run("%%qianfan_chat --format code --no-stream\nhi")) == ["a = 1"]


def test_completion_is_put_into_the_next_cell(kernel):
    cells = next_cells(kernel.run("%%qianfan_complete --format code\ndef fibonacci(n):"))
    assert [cell.strip("\n").rpartition("\n")[2] for cell in cells] == ["    return a"]


@pytest.mark.parametrize("form", ["markdown", "text", "html"])
def test_other_forms_fill_no_cell(quiet, form):
    quiet.server.fail(Fault(fields={"result": CODE}))
    assert next_cells(quiet.run(f"%%qianfan_chat --format {form} --no-stream\nhi")) == []


def test_code_of_config_fills_the_next_cell(quiet):
    quiet.run("%config QianfanMagics.format = 'code'")
    ran = quiet.run("%%qianfan_complete\ndef fibonacci(n):")
    quiet.run("%config QianfanMagics.format = ''")
    assert len(next_cells(ran)) == 1


def test_code_is_shown_with_the_words_around_it(kernel):
    kernel.server.fail(Fault(fields={"result": CODE}))
    shown = kernel.run("%%qianfan_chat --format code --no-stream\nhi").bundles[-1]["text/html"]
    assert re.search(r"<p>Here:</p>.*Good luck.*The code is in the next cell\.", shown, re.DOTALL)


def test_code_that_breaks_off_fills_no_cell(kernel):
    kernel.server.fail(Fault(after=3, end="close"))
    ran = kernel.run("%%qianfan_complete --format code\ndef fibonacci(n):")
    assert (ran.reply["status"], next_cells_of_failure(ran)) == ("error", [])


def next_cells_of_failure(ran: Ran) -> list[Any]:
    return [one for one in ran.reply.get("payload", []) if one["source"] == "set_next_input"]


# --- colours of code


@pytest.mark.parametrize(
    ("language", "code", "short", "text"),
    [
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
    ],
)
def test_token_of_code_is_marked(language, code, short, text):
    assert f'<span class="{short}">{text}' in highlight(code, language)


@pytest.mark.parametrize("language", ["", "nolang", "brainfuck", "../python", "x" * 99])
def test_code_of_an_unknown_language_is_left_alone(language):
    assert highlight("def f(): pass", language) == ""


@pytest.mark.parametrize(
    ("length", "marked"), [(MAX_LENGTHS["python"], True), (MAX_LENGTHS["python"] + 1, False)]
)
def test_code_is_coloured_up_to_a_length(length, marked):
    assert bool(highlight("1" * length, "python")) is marked


@pytest.mark.parametrize(
    "code", ["a < b && 'c' > \"d\" & e", "\n\n  x\n\n", "def f():\n\treturn `1`\n", "'open\n<b>"]
)
@pytest.mark.parametrize("language", ["python", "html", "bash", "json"])
def test_colours_change_no_letter(language, code):
    escaped = re.sub("</?span[^>]*>", "", highlight(code, language))
    read = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert (read, "<b>" in escaped) == (code, False)


def test_colours_stand_in_a_page_of_their_own():
    assert inline_colors('<span class="k">if</span>') == f'<span style="{COLORS["k"]}">if</span>'


def test_fence_is_coloured():
    assert f'<span style="{COLORS["k"]}">if</span>' in to_html("```python\nif a: b\n```")


@pytest.mark.parametrize("short", COLORS)
def test_style_sheet_has_the_colour(short):
    assert f".here .{short} {{ {COLORS[short]} }}" in style_sheet(".here")


def test_tag_that_an_answer_writes_is_not_coloured():
    shown = to_html('<span class="k">a</span> `<span class="k">`')
    assert COLORS["k"] not in shown


# --- mathematics

FORMULAS = [
    "$x^2$",
    "$$x$$",
    r"\(x\)",
    r"\[x\]",
    "$$\nx\n$$",
    "\\[\nx\n\\]",
    "$a_1 * b * c_2$",
    r"$\frac{1}{2}$",
    r"$a \$ b$",
    r"\( a \)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_is_left_to_the_page(formula):
    assert to_html(formula) == f"<p>{MATHEMATICS}{formula}</span></p>\n"


@pytest.mark.parametrize(
    "text", ["so $x$.", "**$x$**", "# $x$", "- $x$", "> $x$", "| a |\n|---|\n| $x$ |"]
)
def test_formula_within_is_left_to_the_page(text):
    assert f"{MATHEMATICS}$x$</span>" in to_html(text)


@pytest.mark.parametrize(("text", "count"), [("> $$\n> a\n> $$", 1), ("$a$ $b$", 2), ("$a$$b$", 2)])
def test_formulas_are_counted(text, count):
    assert to_html(text).count(MATHEMATICS) == count


def test_formula_is_no_html():
    assert to_html("$a<b>c$") == f"<p>{MATHEMATICS}$a&lt;b&gt;c$</span></p>\n"


ALONE = [
    "$5 and $6",
    "It costs $5, or $6.",
    "$20,000 and USD$30",
    "$a",
    "$ a $",
    "a $",
    "$$",
    "$$ $$",
    "$a$5",
    "\\(a",
]


@pytest.mark.parametrize("text", ALONE)
def test_what_is_no_formula_stays_as_it_was_written(text):
    shown = to_html(text)
    # The parser takes a backslash before a bracket away, as Markdown does.
    assert (words(shown), MATHEMATICS in shown) == (text.removeprefix("\\"), False)


@pytest.mark.parametrize("text", ["`$a$`", "```\n$a$\n```", "    $$\n    a\n    $$", r"\$a$"])
def test_dollars_in_code_are_no_formula(text):
    assert MATHEMATICS not in to_html(text)


def test_blank_line_ends_a_formula_that_is_none():
    assert to_html("$$\na\n\n**b**") == "<p>$$\na</p>\n<p><strong>b</strong></p>\n"


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


@pytest.mark.parametrize("command", REFUSED)
@pytest.mark.parametrize(("opening", "closing"), [("$", "$"), (r"\[", r"\]")])
def test_command_that_is_refused_is_shown_as_it_is_written(command, opening, closing):
    assert (
        to_html(f"{opening}{command}{closing}")
        == f"<p><code>{opening}{command}{closing}</code></p>\n"
    )


@pytest.mark.parametrize("command", [r"\defined", r"\letter", r"\reference", r"\chart"])
def test_command_that_only_begins_like_one_is_not_refused(command):
    assert MATHEMATICS in to_html(f"${command}$")


@pytest.mark.parametrize("formula", ["${}$", "$$\n{}\n$$"])
def test_formula_that_is_too_long_is_not_typeset(formula):
    long = to_html(formula.format("a" * (MAX_FORMULA + 1)))
    assert (MATHEMATICS in long, "a" * MAX_FORMULA in long) == (False, True)


def test_page_typesets_nothing_else():
    shown = AnswerOutput("**a** $5 and $6", "markdown").bundle()["text/html"]
    assert shown.startswith('<div class="qianfan-answer mathjax_ignore tex2jax_ignore"')


# --- task lists and footnotes


def test_task_has_a_box():
    marks = re.findall(r"<li[^>]*>(.*?)</li>", to_html("- [ ] a\n- [x] b\n- [X] c\n- d"))
    assert marks == ["☐ a", "☑ b", "☑ c", "d"]


def test_task_has_no_bullet_beside_its_box():
    assert to_html("- [ ] a\n- b").count('<li style="list-style-type:none">') == 1


def test_box_of_a_task_is_no_control():
    assert "<input" not in to_html("- [x] a")


def test_footnote_is_numbered():
    shown = to_html("a[^x] b[^y] c[^x]\n\n[^x]: one\n[^y]: two")
    assert re.findall("<sup>(.*?)</sup>", shown) == ["[1]", "[2]", "[1]"]


def test_footnotes_stand_at_the_end():
    shown = to_html("a[^x] b[^y]\n\n[^y]: two\n[^x]: one\n\nlast")
    assert words(shown.partition("<hr>")[2]).split() == ["one", "two"]


@pytest.mark.parametrize("part", ["id=", "href=", "class="])
def test_footnote_touches_no_other_part_of_the_page(part):
    assert part not in to_html("a[^x]\n\n[^x]: one")


def test_footnote_that_is_not_there_stays_as_it_was_written():
    assert to_html("a[^x]") == "<p>a[^x]</p>\n"


# --- honest links

DECEPTIVE = {
    "another host": ("good.example", "https://evil.example"),
    "another address": ("https://good.example/a", "https://evil.example/b"),
    "within a sentence": ("see good.example now", "https://evil.example"),
    "in bold": ("**good**.example", "https://evil.example"),
    "in code": ("`good.example`", "https://evil.example"),
    "in capitals": ("GOOD.EXAMPLE", "https://evil.example"),
    "wide letters": ("ｇｏｏｄ.example", "https://evil.example"),
    "ideographic stop": ("good。example", "https://evil.example"),
    "letter as an entity": ("good.e&#120;ample", "https://evil.example"),
    "address in numbers": ("127.0.0.1", "https://evil.example"),
    "this computer": ("http://localhost:8888/lab", "https://evil.example"),
    "www of another": ("www.good.example", "https://evil.example"),
    "below the host": ("evil.example.good.example", "https://evil.example"),
    "beginning of the host": ("good.example", "https://good.example.evil.example"),
    "userinfo": ("good.example", "https://good.example@evil.example/"),
    "userinfo with a password": ("good.example", "https://good.example:x@evil.example/"),
    "in the path": ("good.example", "https://evil.example/good.example"),
    "in the query": ("good.example", "https://evil.example?good.example"),
    "with a port": ("good.example", "https://evil.example:8443"),
    "mail at another host": ("li@good.example", "mailto:li@evil.example"),
    "mail that is none": ("li@good.example", "https://evil.example"),
}


@pytest.mark.parametrize(("text", "address"), DECEPTIVE.values(), ids=DECEPTIVE)
def test_link_that_pretends_another_place_says_where_it_leads(text, address):
    assert re.search(
        r"</a> \((good\.example\.)?evil\.example\)</p>", to_html(f"[{text}]({address})")
    )


def test_letter_of_another_script_is_told_from_ours():
    shown = to_html("[аpple.com](https://apple.com)")  # the first letter is Cyrillic
    assert shown.endswith("</a> (apple.com)</p>\n")


@pytest.mark.parametrize("text", ["apple.com", "аpple.com"])
def test_name_in_other_letters_is_said_in_its_own_code(text):
    shown = to_html(f"[{text}](https://xn--pple-43d.com)")
    assert shown.endswith("</a> (xn--pple-43d.com)</p>\n")


HONEST = [
    ("the wall", "https://e.example"),
    ("e.example", "https://e.example/a?b#c"),
    ("https://e.example/a", "https://e.example/a"),
    ("www.e.example", "https://e.example"),
    ("e.example", "https://www.e.example"),
    ("E.Example", "https://e.example"),
    ("e.example:8443", "https://e.example:8443"),
    ("li@e.example", "mailto:li@e.example"),
    ("mail", "mailto:li@e.example"),
    ("version 1.2.3, i.e. the last", "https://e.example"),
    ("3.14", "https://e.example"),
    ("https://e.example/a.html", "https://e.example/a.html"),
    ("https://e.example/a/README.md#b", "https://e.example/a/README.md"),
]


@pytest.mark.parametrize(("text", "address"), HONEST)
def test_honest_link_needs_no_word(text, address):
    assert to_html(f"[{text}]({address})") == f'<p><a href="{address}" {REL}>{text}</a></p>\n'


@pytest.mark.parametrize("text", ["<a>x</a>", '<a href="">x</a>', '<a name="x">x</a>'])
def test_link_without_an_address_is_its_text(text):
    assert body(text, "html") == "x"


def test_empty_link_of_markdown_is_its_text():
    assert to_html("[x]()") == "<p>x</p>\n"


@pytest.mark.parametrize("text", ["[x](#top)", "[x](/lab)", "[x](a.ipynb)", "[x](//e.example)"])
def test_link_within_the_page_or_the_server_is_none(text):
    assert "<a" not in to_html(text)


def test_link_in_html_that_pretends_says_where_it_leads():
    shown = body('<a href="https://evil.example">good<b>.</b>example</a>', "html")
    assert shown.endswith("</a> (evil.example)")


# --- images


def data(kind: str, size: int = 30) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(b'x' * size).decode()}"


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_image_that_the_answer_carries_is_shown(kind):
    shown = to_html(f"![a wall]({data(kind)})")
    assert shown == f'<p><img src="{data(kind)}" alt="a wall" style="max-width:100%"></p>\n'


@pytest.mark.parametrize(("size", "shown"), [(1_000_000, True), (1_000_001, False)])
@pytest.mark.parametrize("text", ["![a]({})", '<img src="{}">'])
def test_image_that_the_answer_carries_is_shown_up_to_a_size(text, size, shown):
    form = "html" if text.startswith("<") else "markdown"
    assert ("<img" in body(text.format(data("png", size)), form)) is shown


NO_IMAGES = {
    "SVG": data("svg+xml"),
    "other": data("tiff"),
    "text": "data:text/html;base64,eHh4",
    "no base64": "data:image/png,xxx",
    "broken base64": "data:image/png;base64,abc",
    "remote": "https://e.example/a.png",
    "beside": "a.png",
    "blob": "blob:https://e.example/1",
    "none": "",
}
no_image = pytest.mark.parametrize("source", NO_IMAGES.values(), ids=NO_IMAGES)


@no_image
def test_other_image_of_markdown_is_not_loaded(source):
    assert "<img" not in to_html(f"![a]({source})")


@no_image
def test_other_image_of_html_is_not_loaded(source):
    assert "<img" not in body(f'<img src="{source}" alt="a">', "html")


def test_remote_image_is_a_link_that_says_so():
    link = f'<a href="https://e.example/a.png" {REL}>[image: a]</a>'
    assert to_html("![a](https://e.example/a.png)") == f"<p>{link}</p>\n"


def test_remote_image_of_html_is_a_link_that_says_so():
    shown = body('<img src="https://e.example/a.png" alt="a">', "html")
    assert shown == f'<a href="https://e.example/a.png" {REL}>[image: a]</a>'


def test_remote_image_that_pretends_another_place_says_where_it_is():
    assert "]</a> (evil.example)" in to_html("![good.example](https://evil.example/a.png)")


def test_remote_image_without_words_says_its_address_once():
    shown = to_html("![](https://e.example/a.png)")
    assert words(shown) == "[image: https://e.example/a.png]"


def test_image_in_a_link_is_said_in_words():
    shown = to_html(f"[![a]({data('png')})](https://e.example)")
    assert shown == f'<p><a href="https://e.example" {REL}>[image: a]</a></p>\n'


def test_words_of_an_image_cannot_break_out():
    assert 'alt="&quot; onload=&quot;x"' in to_html(f'![" onload="x]({data("png")})')


# --- --into: inside an ipywidgets.Output of the notebook

BOX = "import ipywidgets; box = ipywidgets.Output()"


def contents(ran: Ran) -> list[dict[str, Any]]:
    """Give what the Output widget held, in order."""
    states = [c["data"].get("state", {}) for c in ran.contents("comm_msg")]
    return [state["outputs"][0]["data"] for state in states if state.get("outputs")]


def into(kernel: Kernel, magic: str = "%%qianfan_chat", question: str = "hi") -> Ran:
    kernel.run(BOX)
    return kernel.run(f"{magic} --into box\n{question}")


def test_watched_answer_in_an_output_begins_as_a_widget(live):
    assert WIDGET in contents(into(live))[0]


@pytest.mark.parametrize("magic", ["%%qianfan_chat", "%%qianfan_complete"])
def test_watched_answer_in_an_output_ends_as_plain_output(live, magic):
    kinds = [set(bundle) - {"text/markdown"} for bundle in contents(into(live, magic))]
    assert kinds[1:] == [{"text/html", "text/plain"}]


def test_widget_of_an_answer_in_an_output_is_closed(live):
    ran = into(live)
    opened = {c["comm_id"] for c in ran.contents("comm_open") if is_view(c)}
    closed = {c["comm_id"] for c in ran.contents("comm_close")}
    assert (len(opened), opened - closed) == (1, set())


def test_unwatched_answer_in_an_output_is_put_there_once(quiet):
    kinds = [set(bundle) for bundle in contents(into(quiet))]
    assert kinds == [{"text/html", "text/plain", "text/markdown"}]


def test_answer_in_an_output_is_the_answer(kernel):
    assert re.search("Hello!|Hi there!", contents(into(kernel))[-1]["text/plain"])


def test_answer_in_an_output_is_not_under_its_cell(kernel):
    assert into(kernel).bundles == [{"text/plain": ""}]


def test_next_answer_takes_the_place_of_the_one_before(kernel):
    into(kernel)
    kernel.run("%%qianfan_chat --into box\nWhere is Beijing?")
    count = "len(box.outputs), 'capital' in str(box.outputs)"
    result = kernel.run(count).contents("execute_result")[0]["data"]["text/plain"]
    assert result == "(1, True)"


def test_answer_that_breaks_off_in_an_output_is_marked_there(kernel):
    kernel.server.fail(Fault(after=6, end="close"))
    ran = into(kernel, question=WALL)
    assert re.search(r"Great.*\[dolly_12b · broken off", contents(ran)[-1]["text/plain"], re.DOTALL)


def test_columns_are_shown_in_an_output(kernel):
    kernel.run(BOX)
    ran = kernel.run("%%qianfan_chat --into box --compare temperature=0.1,0.9\nhi")
    titles = re.findall("<strong>(temp.*?)</strong>", contents(ran)[-1]["text/html"])
    assert titles == ["temperature=0.1", "temperature=0.9"]


@pytest.mark.parametrize("name", ["nothing", "number", "box.outputs", "''"])
def test_into_what_is_no_output_is_refused(notebook, name):
    notebook.run("number = 1")
    error, _ = notebook.fail(f"%%qianfan_chat --into {name}\nhi")
    assert (type(error), "--into" in error.message, notebook.bodies) == (ParameterError, True, [])


def test_into_what_is_no_output_says_how_to_make_one(notebook):
    error, shown = notebook.fail("%%qianfan_chat --into box\nhi")
    assert ("box = ipywidgets.Output()" in error.hint, len(shown.splitlines())) == (True, 2)


def test_output_keeps_no_widget(live):
    into(live)
    result = live.run("str(box.outputs)").contents("execute_result")[0]["data"]["text/plain"]
    assert ("text/html" in result, "widget-view" in result) == (True, False)

"""The formats of an answer: verbatim text, JSON, HTML, and code for the next cell."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from support.hidden import is_hidden
from support.kernel import Kernel, Ran

from qianfan_magic import QianfanError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.formats import (
    body,
    extract_code,
    plain,
    preformatted,
    pretty,
    without_fence,
)
from qianfan_magic.views.rendering.highlight import MAX_LENGTHS

FENCED = "```json\n[1]\n```"


def test_text_is_shown_verbatim():
    for text in ("**a**  b", "<b>a</b>", "$a$", '{"a": 1}', "```\na\n```", "  a\n b"):
        html = AnswerOutput(text, "text").bundle()["text/html"]
        shown = re.search(r"<pre [^>]*>(.*)</pre>", html, re.DOTALL)[1]
        assert unescape(shown) == text
        assert "<" not in shown


# --- fences


def test_text_loses_empty_lines_around_it_and_nothing_else():
    for shown in (plain("\nX \n\n", "text"), extract_code("\nX \n")):
        assert shown == "X "
    assert body("\nX \n", "text") == preformatted("X ")
    assert extract_code("```\nX\n```") == "X"


def test_fence_around_the_whole_answer_is_removed():
    for text, code in (
        (FENCED, "[1]\n"),
        (f"\n {FENCED}\n\n", "[1]\n"),
        ("~~~\na\n~~~", "a\n"),
        ("````\n```\na\n```\n````", "```\na\n```\n"),
    ):
        assert without_fence(text) == code


# If each length of the fence were tried, this would take many minutes.
def test_long_fence_is_read_once():
    fence = "`" * 200_000
    text = f"{fence}\n{'x' * 200_000}\n{fence}\n\nwords"
    assert without_fence(text) == text


def test_answer_that_is_more_than_one_fence_is_unchanged():
    for text in (
        "no fence",
        "",
        f"Here it is:\n{FENCED}",
        f"{FENCED}\nThat is it.",
        f"{FENCED}\n\n{FENCED}",
        f"{FENCED}\nThen run ```ls```",
        "```json\n[1]",
    ):
        assert without_fence(text) == text


def test_code_of_an_answer_is_extracted():
    for text, code in (
        ("```python\na = 1  \n```", "a = 1  "),
        ("First:\n```\na\n```\nthen\n~~~\nb\n~~~\ndone", "a\n\nb"),
        ("- so:\n  ```\n  if a:\n      b\n  ```", "if a:\n    b"),
        ("> ```\n> a\n> ```", "a"),
        ("````\n```\na\n```\n````", "```\na\n```"),
        ("```python\ncut off", "cut off"),
        ("\na = 1\n\n", "a = 1"),
        ("    return a", "    return a"),
        ("```\n$$a$$ $b$\n```", "$$a$$ $b$"),
    ):
        assert extract_code(text) == code


def test_extracted_code_has_no_hidden_characters():
    for text in ("a\x1b[2J", "```\na\u202eb\u200b\n```"):
        assert not [c for c in extract_code(text) if is_hidden(c) or c == "\u200b"], text


# --- JSON


def test_json_is_formatted_with_one_value_per_line():
    for text, formatted in (
        ('{"b":1,"a":[true,null]}', '{\n  "b": 1,\n  "a": [\n    true,\n    null\n  ]\n}'),
        (' "长城" ', '"长城"'),
        (FENCED, "[\n  1\n]"),
    ):
        assert pretty(text) == formatted
        assert AnswerOutput(text, "json").bundle()["text/plain"] == formatted


def test_text_that_is_not_json_is_refused():
    for text in (
        *("", "{'a': 1}", '{"a":', "[NaN]", "[-Infinity]", "1e999", f"{FENCED} so"),
        "[" * 9_999,
    ):
        with pytest.raises(ValueError, match=r"\w"):
            pretty(text)


def test_text_that_is_not_json_is_shown_verbatim():
    assert ">{&#x27;a&#x27;: &lt;b&gt;}</pre>" in body("{'a': <b>}", "json")


def test_json_is_highlighted():
    assert '<span style="color:var(--m)">1</span>' in body('{"a": 1}', "json")


def test_json_is_escaped():
    assert "<script" not in body('{"a": "<script>alert(1)</script>"}', "json")
    long = "<" * MAX_LENGTHS["json"]  # too long for colors
    assert body(f'"{long}"', "json").endswith(f'>"{"&lt;" * len(long)}"</code></pre>')


def test_escape_in_json_brings_no_hidden_character_into_the_page():
    for escape in ("\\u202e", "\\u009b", "\\u200b", "\\ud800", "\\u007f", "\\u2066"):
        shown = "".join(AnswerOutput(f'["{escape}"]', "json").bundle().values())
        assert not [c for c in shown if is_hidden(c) or c == "\u200b"], escape


def answer_next(server: Any, text: str) -> None:
    """Make the server's next answer this text."""
    server.fail(Fault(fields={"result": text}))


def test_answer_that_is_not_json_fails_the_cell_with_a_hint(notebook):
    for magic in ("%%qianfan_chat", "%%qianfan_complete"):
        error, shown = notebook.fail(f"{magic} --format json\nhi")
        assert type(error) is QianfanError, magic
        assert "not JSON" in error.message, magic
        traceback = [f"QianfanError: {error.message}", f"→ {error.hint}"]
        assert shown.splitlines()[-2:] == traceback, magic


def test_answer_that_is_not_json_is_kept(notebook):
    answer_next(notebook.server, "no {json}")
    _, shown = notebook.fail("%%qianfan_chat --format json --no-stream -o reply\nhi")
    assert shown.startswith("no {json}")
    assert [turn.assistant for turn in notebook.turns()] == ["no {json}"]
    assert notebook.shell.user_ns["reply"].text == "no {json}"


def test_reply_to_a_json_cell_is_unchanged(notebook):
    answer_next(notebook.server, FENCED)
    notebook.run("%%qianfan_chat --format json --no-stream -o reply\nhi")
    assert notebook.shell.user_ns["reply"].text == FENCED


def test_json_is_displayed_by_a_kernel(quiet):
    # A lone surrogate could not be sent to the front end.
    answer_next(quiet.server, '```json\n[1, "\\ud800"]\n```')
    ran = quiet.run("%%qianfan_chat --format json --no-stream\nhi")
    assert ran.reply["status"] == "ok"
    assert '[\n  <span style="color:var(--m)">1</span>,' in ran.bundles[-1]["text/html"]


def test_answer_that_is_not_json_is_displayed_by_a_kernel(quiet):
    ran = quiet.run("%%qianfan_chat --format json\nhi")
    assert ran.reply["ename"] == "QianfanError"
    assert "!" in ran.bundles[-1]["text/plain"]


# --- HTML


def test_html_is_shown_as_html():
    for text, html in (
        ("<b>a</b> &lt;", "<b>a</b> &lt;"),
        ("```html\n<h1>a</h1>\n```", "<h1>a</h1>\n"),
        ("<ol start='3'><li>a</ol>", '<ol start="3"><li>a</li></ol>'),
        ("**a** $b$", "**a** $b$"),
    ):
        assert body(text, "html") == html


def test_html_is_displayed_by_a_kernel(quiet):
    answer_next(quiet.server, "<b>a</b><script>alert(1)</script>")
    html = quiet.run("%%qianfan_chat --format html --no-stream\nhi").bundles[-1]["text/html"]
    assert "\n<b>a</b>\n" in html
    assert "alert" not in html


# --- code for the next cell

CODE = "Here:\n```python\na = 1\n```\nGood luck."


def next_cells(ran: Ran) -> list[str]:
    """Return the texts that were put into the next cell."""
    payload = ran.reply.get("payload", [])
    return [item["text"] for item in payload if item["source"] == "set_next_input"]


def ask(kernel: Kernel, answer: str, flags: str = "") -> Ran:
    answer_next(kernel.server, answer)
    return kernel.run(f"%%qianfan_chat --no-stream {flags}\nhi")


def test_code_is_put_into_the_next_cell_and_shown_with_its_text(kernel):
    ran = ask(kernel, CODE, "--format code")
    assert next_cells(ran) == ["a = 1"]
    html = ran.bundles[-1]["text/html"]
    assert re.search(r"<p>Here:</p>.*Good luck.*The code is in the next cell\.", html, re.DOTALL)


def test_secret_in_an_answer_is_not_put_into_the_next_cell(quiet):
    secret = quiet.server.authenticator.keys.sk
    ran = ask(quiet, f"```python\nsk = {secret!r}\n```", "--format code")
    assert next_cells(ran) == ["sk = '***'"]


def test_completion_is_put_into_the_next_cell(quiet):
    [cell] = next_cells(quiet.run("%%qianfan_complete --format code\ndef fibonacci(n):"))
    assert cell.strip("\n").rpartition("\n")[2] == "    return a"


def test_other_formats_fill_no_cell(quiet):
    for form in ("markdown", "text", "html"):
        assert next_cells(ask(quiet, CODE, f"--format {form}")) == [], form


def test_format_of_config_fills_the_next_cell(quiet):
    quiet.run("%config QianfanMagics.format = 'code'")
    ran = ask(quiet, CODE)
    quiet.run("%config QianfanMagics.format = ''")
    assert next_cells(ran) == ["a = 1"]


def test_code_that_breaks_off_fills_no_cell(quiet):
    quiet.server.fail(Fault(after=3, end="close"))
    ran = quiet.run("%%qianfan_complete --format code\ndef fibonacci(n):")
    assert ran.reply["status"] == "error"
    assert next_cells(ran) == []

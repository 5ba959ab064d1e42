"""Hostile answers: whatever a model writes, the outputs are harmless and show no hidden text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.any_text import calls_of
from support.hidden import is_hidden
from support.judge import faults, trusting_html

from qianfan_magic import Chunk, Usage
from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.views.plain import TerminalView
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.formats import body
from qianfan_magic.views.rendering.markdown import inert_markdown
from qianfan_magic.views.reports.history import history_bundle
from qianfan_magic.views.terminal import MarkdownView

# --- the corpus

#: Answers that would run, load or follow something if they were trusted.
ACTIVE = {
    "script": "<script>alert(1)</script>",
    "script in capitals": "<ScRiPt SRC=https://evil.example/x.js></sCrIpT>",
    "script in a paragraph": "Look: <script>alert(1)</script>!",
    "script never closed": "<script>alert(1)",
    "event of an image": "<img src=x onerror=alert(1)>",
    "event of a detail": "<details open ontoggle=alert(1)>x</details>",
    "event of the body": "<body onload=alert(1)>",
    "focus": "<input autofocus onfocus=alert(1)>",
    "remote image": "![x](https://evil.example/pixel.png)",
    "remote image by reference": "![x][r]\n\n[r]: https://evil.example/pixel.png",
    "image in HTML": "<img src='https://evil.example/pixel.png'>",
    "image with a script": "![x](javascript:alert(1))",
    "image with a breaking title": '![x](https://e.example "a\\" onerror=\\"alert(1)")',
    "image with a breaking text": '!["><script>alert(1)</script>](https://e.example)',
    "javascript link": "[x](javascript:alert(1))",
    "javascript link in capitals": "[x](JaVaScRiPt:alert(1))",
    "javascript link as entities": "[x](&#106;avascript&colon;alert(1))",
    "javascript link as hex entities": "[x](&#x6A;&#x61;vascript:alert(1))",
    "javascript link with a tab": "[x](<java\tscript:alert(1)>)",
    "javascript link by entity tab": "[x](java&Tab;script:alert(1))",
    "javascript link in brackets": "[x](<javascript:alert(1)>)",
    "javascript link by reference": "[x][r]\n\n[r]: javascript:alert(1)",
    "javascript reference on two lines": "[x]\n\n[x]:\njavascript:alert(1)",
    "javascript autolink": "<javascript:alert(1)>",
    "vbscript link": "[x](vbscript:msgbox)",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "file link": "[x](file:///etc/passwd)",
    "blob link": "[x](blob:https://evil.example/1)",
    "link into this server": "[x](/lab?reset)",
    "link to another host without a scheme": "[x](//evil.example/)",
    "link beside this notebook": "[x](evil.ipynb)",
    "SVG": "<svg><script>alert(1)</script></svg>",
    "SVG link": "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "MathML": "<math><mtext><mglyph><style><img src=x onerror=alert(1)></style></math>",
    "frame": "<iframe src='https://evil.example'></iframe>",
    "frame with a document": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "object": "<object data='https://evil.example'></object><embed src=x>",
    "meta refresh": '<meta http-equiv="refresh" content="0; url=https://evil.example">',
    "style": "<style>body { background: url(https://evil.example) }</style>",
    "style of an element": '<p style="background: url(https://evil.example)">x</p>',
    "style sheet": "<link rel=stylesheet href=https://evil.example/x.css>",
    "form": "<form action=https://evil.example><input name=password></form>",
    "base": "<base href='https://evil.example/'>",
    "clobbered names": "<a id=jupyterapp name=jupyterapp>x</a>",
    "button of JupyterLab": '<button data-commandlinker-command="terminal:create-new">x</button>',
    "comment": "<!-- <script>alert(1)</script> -->",
    "instruction": "<?php echo 1 ?>",
    "CDATA": "<![CDATA[<script>alert(1)</script>]]>",
    "mutation": "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "tag over two lines": "<img\nsrc=x\nonerror=alert(1)>",
    "tag in a table": "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "tag in a list": "- a\n- <script>alert(1)</script>",
    "tag in a quote": "> <script>alert(1)</script>",
    "tag behind a fence": "```\ncode\n```\n<script>alert(1)</script>",
    "fence that is never closed": "<script>alert(1)</script>\n```",
}
#: Answers that do nothing in correct HTML, and try to break out of it.
SLY = {
    "declaration": "<!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
    "event behind a slash": "<svg/onload=alert(1)>",
    "language that breaks out": '```"><script>alert(1)</script>\ncode\n```',
    "language with an event": '``` x" onmouseover="alert(1)\ncode\n```',
    "title that breaks out": '[x](https://e.example "a\\" onmouseover=\\"alert(1)")',
    "title in single quotes": "[x](https://e.example 'a\" onmouseover=\"alert(1)')",
    "address that breaks out": '[x](https://e.example/"onmouseover="alert(1))',
    "code that breaks out": "`</code><script>alert(1)</script>`",
    "block that breaks out": "~~~\n</code></pre><script>alert(1)</script>\n~~~",
    "fences of all lengths": "`\n``\n```\n````\n`````\n</pre><b>x",
    "escaped twice": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "bidirectional override": "access\u202etxt.exe \u2066x\u2069 \u202a\u202b\u202c\u202d",
    "bidirectional entity": "a &#x202e;txt.exe&#8294; &lrm; &#x200b;",
    "ANSI escapes": "\x1b[2J\x1b[31mred \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b1m",
    "NUL": "<scr\x00ipt>alert(1)</scr\x00ipt> \x00",
    "carriage return": "safe\rdangerous",
    "backspaces": "rm -rf /\x08\x08\x08\x08ls",
    "lone surrogates": "half \ud83d, other half \udc00",
    "form feed in a tag": "<img\x0csrc=x\x0conerror=alert(1)>",
    "wide brackets": "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "many brackets": "[" * 200 + "](javascript:" * 5,
}
HOSTILE = ACTIVE | SLY


def assert_none(corpus: Mapping[str, str], find: Callable[[str], Any]) -> None:
    """Assert that nothing is found in any payload; the message names the payloads."""
    failed = {name: found for name, text in corpus.items() if (found := find(text))}
    assert failed == {}


def output_of(text: str) -> dict[str, str]:
    return AnswerOutput(text, "markdown", notes=(text,)).bundle()


def history_of(text: str) -> dict[str, str]:
    conversation = Conversation(text, system=text, turns=(Turn(text, text),))
    return history_bundle(conversation, Fit([]))


def hidden_in(bundle: Mapping[str, str]) -> list[str]:
    return [character for text in bundle.values() for character in text if is_hidden(character)]


def test_payloads_are_active_where_they_are_trusted():
    assert_none(ACTIVE, lambda text: not faults(trusting_html(text)))


@pytest.mark.parametrize("form", ["markdown", "text", "json", "html"])
def test_answer_is_harmless(form):
    assert_none(HOSTILE, lambda text: faults(AnswerOutput(text, form).bundle()["text/html"]))


def test_note_is_harmless():
    assert_none(HOSTILE, lambda text: faults(output_of(text)["text/html"]))


def test_reasoning_is_harmless():
    assert_none(
        HOSTILE, lambda text: faults(AnswerOutput("", reasoning=text).bundle()["text/html"])
    )


def test_call_is_harmless():
    assert_none(
        HOSTILE,
        lambda text: faults(AnswerOutput("", rounds=(calls_of(text),)).bundle()["text/html"]),
    )


def test_call_shows_no_hidden_character():
    def find(text: str) -> list[str]:
        return hidden_in(AnswerOutput("", "markdown", rounds=(calls_of(text),)).bundle())

    assert_none(HOSTILE, find)


def test_history_is_harmless():
    assert_none(HOSTILE, lambda text: faults(history_of(text)["text/html"]))


def test_markdown_is_inert_in_a_tool_that_trusts_it():
    assert_none(HOSTILE, lambda text: faults(trusting_html(output_of(text)["text/markdown"])))


def test_active_markdown_is_fenced():
    assert_none(ACTIVE, lambda text: inert_markdown(text) == text)


def test_output_shows_no_hidden_character():
    assert_none(HOSTILE, lambda text: hidden_in(output_of(text)))


def test_history_shows_no_hidden_character():
    assert_none(HOSTILE, lambda text: hidden_in(history_of(text)))


def test_terminal_gets_no_hidden_character(capsys):
    def find(text: str) -> list[str]:
        view = TerminalView()
        view.write(Chunk(text, is_end=False, usage=Usage(), raw={}))
        view.end(AnswerOutput(text, "markdown", notes=(text,)))
        return hidden_in({"terminal": capsys.readouterr().out})

    assert_none(HOSTILE, find)


ERASE = "<erased>"


def rendered_in_terminal(text: str, width: int = 60) -> str:
    """Return what a terminal gets of an answer, without the styles; ERASE erases the line."""
    written = io.StringIO()
    console = Console(
        file=written, width=width, force_terminal=True, force_jupyter=False, color_system="256"
    )
    view = MarkdownView(console)
    view.write(Chunk(text, is_end=False, usage=Usage(), raw={}))
    view.end(AnswerOutput(text, "markdown"))
    return re.sub(r"\x1b\[[\d;]*m", "", written.getvalue()).replace("\r\x1b[2K", ERASE)


def test_terminal_gets_only_styles_with_rendered_markdown():
    sly_entities = {"entities": "&#27;[2J &#13; &#12; &#x9b;1m [x](https://e.example/&#x202e;)"}
    assert_none(HOSTILE | sly_entities, lambda text: hidden_in({"": rendered_in_terminal(text)}))


def test_rendered_markdown_loses_no_address_and_no_html():
    for text, words in (
        ("[here](https://evil.example/a)", "here (https://evil.example/a)"),
        ("![pixel](https://evil.example/p.png)", "pixel (https://evil.example/p.png)"),
        ("<https://evil.example>", "https://evil.example"),
        ("a <script>alert(1)</script>", "a <script>alert(1)</script>"),
        ("[r]: https://evil.example", "[r]: https://evil.example"),
        ("[bold red]x[/bold red] :smile:", "[bold red]x[/bold red] :smile:"),
        (r"\(a_b + c_d\) and $x$", r"\(a_b + c_d\) and $x$"),
    ):
        assert rendered_in_terminal(text).rpartition(ERASE)[2].strip() == words


#: Texts of pieces that have a meaning in Markdown or HTML.
PIECES = st.sampled_from(
    [*"<>\"'`[]()!&:;/=\n\t x", "script", "javascript:", "\ud800", "\x1b", "](", "](<"]
)
MESSY = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=25).map("".join)


@given(MESSY)
def test_any_answer_is_harmless_and_can_be_saved(text):
    bundle = output_of(text + "x")
    assert faults(bundle["text/html"]) == []
    assert faults(trusting_html(bundle["text/markdown"])) == []
    assert "".join(bundle.values()).encode("utf-8")  # raises on a lone surrogate


@given(MESSY, st.integers(1, 20))
def test_any_answer_can_be_rendered_in_a_terminal(text, width):
    assert hidden_in({"": rendered_in_terminal(f"x{text}", width)}) == []


def test_deep_nesting_is_rendered_in_a_narrow_terminal():
    assert "deep" in rendered_in_terminal("> " * 30 + "- " * 30 + "deep", 10)


def test_html_of_an_answer_keeps_only_harmless_parts():
    expected = {
        "<script>alert(1)</script>a": "a",
        "<style>p { color: red }</style>a": "a",
        "<p onclick='alert(1)' id=x>a</p>": "<p>a</p>",
        "<p style='position:fixed'>a</p>": "<p>a</p>",
        '<td style="text-align:left">a</td>': "a",
        "<form><input></form><iframe></iframe>a": "a",
        "<svg><script>alert(1)</script></svg>a": "a",
        "<a href='javascript:alert(1)'>a</a>": "a",
        "<a href='/lab'>a</a><a href='a.ipynb'>b</a>": "ab",
        # Classes by which the page colors code, typesets formulas or recognises an answer.
        '<span class="k">a</span>': "<span>a</span>",
        '<span class="mathjax_process">a</span>': "<span>a</span>",
        '<span class="tex2jax_process">a</span>': "<span>a</span>",
        '<span class="qianfan-answer">a</span>': "<span>a</span>",
    }
    assert {text: body(text, "html") for text in expected} == expected


def test_hostile_words_are_still_readable():
    assert "&lt;script&gt;alert(1)" in body("<script>alert(1)</script>", "markdown")

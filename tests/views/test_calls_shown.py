"""Calls of functions as they are shown: one folded line, and what it unfolds."""

from __future__ import annotations

import base64
import io
import json
import re

from PIL import Image

from qianfan_magic.api.types import ToolCall, ToolRound
from qianfan_magic.masking import remember
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.calls import MAX_SHOWN, CallOutput, RoundOutput


def picture() -> str:
    written = io.BytesIO()
    Image.new("RGB", (2, 2)).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_line_names_the_function_its_arguments_and_the_result():
    call = CallOutput("weather", '{"city": "Xi\'an", "days": null}', "done", "21", seconds=0.32)
    line = call.html(pace=True).partition("</summary>")[0]
    assert "weather(city=&quot;Xi&#x27;an&quot;, days=null)</code> → 21 · 320 ms" in line
    assert "320 ms" not in call.html()
    assert "\ncity: &quot;Xi" not in line
    assert ">city: &quot;Xi&#x27;an&quot;\ndays: null</div>\n" in call.html()


def test_head_is_the_call_in_python():
    for arguments, head in (
        ("", "f()"),
        ("{}", "f()"),
        ('{"city": "\\u5317京", "n": [1]}', 'f(city="北京", n=[1])'),
    ):
        assert CallOutput("f", arguments).head == head, arguments
    long = CallOutput("f", json.dumps({"x": "a" * 200})).html()
    assert re.findall("<code.*?>(.*)</code>", long) == ["f(x=&quot;" + "a" * 64 + "…"]


def test_result_of_several_lines_is_unfolded():
    html = CallOutput("f", "{}", "done", "a\nb").html()
    assert "</code> → a …</summary>" in html
    assert ">→ a\nb</div>" in html


def test_arguments_that_are_no_object_are_shown_as_they_are():
    for arguments in ("{", "[1]", "7", "[" * 100_000):
        call = CallOutput("add", arguments, "failed", "Error: no")
        assert call.head.startswith("add(…="), arguments[:9]
        assert "Error: no" in call.html(), arguments[:9]


def test_long_texts_are_cut_where_they_are_shown():
    words = "word " * MAX_SHOWN
    for call in (
        CallOutput("read", "{}", "done", words),
        CallOutput("read", json.dumps({"text": words}), "done", "x"),
        CallOutput(words, "{}", "running"),
    ):
        for shown in (call.html(), call.plain()):
            assert len(shown) < 2 * MAX_SHOWN
        assert "characters in all)" in call.plain()


def test_table_and_picture_are_shown_as_such():
    table = {"text/html": "<table><tr><td>1</td></tr></table>", "text/plain": "   a\n0  1"}
    shown = CallOutput("read", "{}", "done", "[]", table)
    assert ("→ a table" in shown.html(), "<td>1</td>" in shown.html()) == (True, True)
    assert shown.plain() == "[Call] read()\n→\n   a\n0  1"
    in_lines = picture()[:20] + "\n" + picture()[20:]  # as IPython writes it
    drawn = CallOutput("draw", "{}", "done", "Figure", {"image/png": in_lines})
    assert f'src="data:image/png;base64,{picture()}"' in drawn.html()
    not_a_picture = CallOutput("draw", "{}", "done", "Figure", {"image/png": '" onerror="x'})
    assert "<img" not in not_a_picture.html()


def test_answer_has_its_calls_between_the_thoughts_and_the_text():
    rounds = (RoundOutput("I add.", (CallOutput("add", "{}", "done", "3"),)),)
    bundle = AnswerOutput("It is 3.", "markdown", reasoning="Sum?", rounds=rounds).bundle()
    assert bundle["text/plain"] == (
        "[Thinking]\n\nSum?\n\nI add.\n\n[Call] add()\n→ 3\n\n[Answer]\n\nIt is 3."
    )
    places = [bundle["text/html"].index(text) for text in ("Sum?", "I add.", "add()", "It is 3.")]
    assert places == sorted(places)
    assert "add()" in bundle["text/markdown"]
    assert AnswerOutput("", rounds=rounds).bundle()["text/plain"] == "I add.\n\n[Call] add()\n→ 3"


def test_call_that_was_running_at_the_end_was_stopped():
    done, running = CallOutput("add", "{}", "done", "3"), CallOutput("add", "{}")
    ended = RoundOutput("", (done, running)).ended()
    assert [call.state for call in ended.calls] == ["done", "stopped"]
    for call, shown in zip(ended.calls, ("3", "stopped"), strict=True):
        assert f"</code> → {shown}</summary>" in call.html(), shown
        assert f">→ {shown}</div>" in call.html(), shown


def test_calls_of_an_earlier_turn_are_done_or_failed():
    calls = [ToolCall("f", "{}", "no", "a", is_error=True), ToolCall("g", "{}", "5", "b")]
    shown = RoundOutput.of(ToolRound(tuple(calls), "I add."))
    failed, done = CallOutput("f", "{}", "failed", "no"), CallOutput("g", "{}", "done", "5")
    assert shown == RoundOutput("I add.", (failed, done))
    assert shown.html("markdown") == f"<p>I add.</p>\n{failed.html()}{done.html()}"
    assert RoundOutput(" ", (done,)).html("markdown") == done.html()


def test_known_key_is_masked_in_every_part():
    key = "a-key-of-the-user"
    remember(key)
    call = CallOutput(key, f'{{"x": "{key}"}}', "done", key)
    rich = CallOutput("read", "{}", "done", "", {"text/html": f"<td>{key}</td>", "text/plain": key})
    shown = AnswerOutput("", rounds=(RoundOutput("", (call, rich)),)).bundle()
    assert key not in "".join(shown.values())

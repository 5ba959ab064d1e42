"""Outputs, reports, notes, and the views without a widget."""

from __future__ import annotations

import io
import re
import sys
from html import unescape
from types import SimpleNamespace

from qianfan_magic import Chunk, Reply, Usage
from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.views.factory import is_console, is_watched, make_view
from qianfan_magic.views.notes import left_out_note, reply_notes
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.plain import FinalView, TerminalView
from qianfan_magic.views.rendering.answer import AnswerOutput, message_bundle
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.state_line import AnswerHead
from qianfan_magic.views.reports.history import history_bundle


def test_invisible_characters_are_escaped():
    for text, escaped in (
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x00b", r"a\x00b"),
        ("a\u202eb", r"a\u202eb"),
        ("a\ud800b", r"a\ud800b"),
        ("a\rb", r"a\rb"),
        ("a\x7fb\x9b", r"a\x7fb\x9b"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("长城 👩\u200d🔬", "长城 👩\u200d🔬"),
    ):
        assert escape_invisible(text) == escaped


# --- AnswerOutput


def test_plain_text_is_the_source():
    for text, form, plain in (
        ("**a** <b>\n长城", "markdown", "**a** <b>\n长城"),
        ("\n    return a\n", "text", "    return a"),
    ):
        assert AnswerOutput(text, form).bundle()["text/plain"] == plain


def test_verbatim_text_has_no_markdown_in_its_bundle():
    assert "text/markdown" not in AnswerOutput("a").bundle()


def test_notes_stand_below_the_answer_in_each_format():
    bundle = AnswerOutput("answer", "markdown", notes=("first", "second")).bundle()
    assert set(bundle) == {"text/html", "text/plain", "text/markdown"}
    for content in bundle.values():
        assert re.search(r"answer.*first.*second", content, re.DOTALL)


def test_note_without_an_answer_is_shown():
    assert "stopped" in AnswerOutput("", "markdown", notes=("stopped",)).bundle()["text/html"]


def test_empty_answer_has_no_html():
    assert AnswerOutput("", "markdown").bundle() == {"text/plain": ""}
    assert message_bundle("") == {"text/plain": ""}


def test_lines_of_a_message_are_kept_and_escaped():
    bundle = message_bundle("a < b\n\u202ec")
    assert bundle["text/plain"] == "a < b\n\\u202ec"
    assert bundle["text/html"].endswith(">a &lt; b<br>\n\\u202ec</p>\n</div>")


def test_terminal_has_the_pace_where_it_is_wanted():
    output = AnswerOutput("a", service="s", state="done", notes=("n",), pace="5 tokens/s")
    assert output.below(pace=True) == ["n", "s · done · 5 tokens/s"]
    assert output.below(pace=False) == ["n", "s · done"]
    assert output.html().endswith(">s · done</p>")


def test_html_of_an_answer_has_no_blank_line_which_would_end_it_in_markdown():
    html = AnswerOutput("```\na\n\n\nb\n```", "markdown").bundle()["text/html"]
    assert "\n\n" not in html
    assert "a\n\n\nb" in unescape(html)


# --- history


def history_of(*turns: Turn, system: str = "") -> dict[str, str]:
    return history_bundle(Conversation("tutor", system, turns), Fit([]))


def test_history_lists_questions_and_answers():
    plain = history_of(Turn("hi", "hello"))["text/plain"]
    assert plain == "Conversation tutor: 1 turn\n\n1. user: hi\n\n1. assistant: hello"


def test_history_counts_turns():
    for count, counted in ((0, "0 turns"), (1, "1 turn"), (2, "2 turns")):
        title = history_of(*[Turn("q", "a")] * count)["text/plain"].splitlines()[0]
        assert title == f"Conversation tutor: {counted}"


def test_history_marks_incomplete_answers():
    for marks in (("stopped",), ("truncated",), ("stopped", "truncated")):
        bundle = history_of(Turn("q", "a", **dict.fromkeys(marks, True)))
        for content in bundle.values():
            text = re.sub("<[^>]+>", "", content)
            assert f"1. assistant ({', '.join(marks)})" in text


def test_history_shows_the_system_message():
    assert "System: Be brief." in history_of(system="Be brief.")["text/html"]


def test_history_renders_answers_and_shows_questions_verbatim():
    html = history_of(Turn("**q**", "**a**"))["text/html"]
    assert "**q**" in html
    assert "<strong>a</strong>" in html


# --- notes


def test_note_passes_on_what_the_service_says():
    for reply, words in (
        (Reply(text="a", is_truncated=True), "cut off"),
        (Reply(text="a", is_safe=False), "is_safe 0"),
        (Reply(text="a", need_clear_history=True, ban_round=-1), "this question unsafe"),
        (Reply(text="", need_clear_history=True, ban_round=-1), "this question unsafe"),
        (Reply(text="a", need_clear_history=True, ban_round=2), "turn 2 of those sent unsafe"),
        (Reply(text="a", need_clear_history=True), "found the conversation unsafe: it is empty"),
        (Reply(text=" \n"), "The answer is empty."),
    ):
        [note] = reply_notes(reply)
        assert words in note


def test_good_answer_has_no_note():
    for is_safe in (True, None):
        assert reply_notes(Reply(text="a", is_safe=is_safe)) == []


def test_note_counts_the_turns_that_were_left_out():
    reason = "Dolly-12B takes at most 4,800 characters"
    for left_out, turns in ((1, "turn was"), (3, "3 turns were")):
        notes = left_out_note(Fit([], left_out, reason))
        assert notes == [f"The oldest {turns} not sent: {reason}."]
    assert left_out_note(Fit([], 0, reason)) == []


# --- the choice of the view


def test_front_end_is_recognised(monkeypatch):
    server, test = {"JPY_SESSION_NAME": "a.ipynb"}, {"PYTEST_VERSION": "9"}
    vs_code = {"__vsc_ipynb_file__": "a.ipynb"}
    for live, environment, variables, watched in (
        ("on", {}, {}, True),
        ("on", test, {}, True),
        ("off", server, {}, False),
        ("auto", {}, {}, False),
        ("auto", server, {}, True),
        ("auto", server | test, {}, False),
        ("auto", {}, vs_code, True),
    ):
        with monkeypatch.context() as patch:
            for name in server | test:
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            shell = SimpleNamespace(user_ns=variables)
            assert is_watched(shell, live) is watched, (live, environment, variables)


def test_console_is_recognised(monkeypatch):
    typing = {"content": {"allow_stdin": True}, "metadata": {}}
    for live, request, environment, console in (
        ("auto", typing, {}, True),
        ("on", typing, {}, False),
        ("off", typing, {}, False),
        ("auto", typing, {"JPY_SESSION_NAME": "a.ipynb"}, False),
        ("auto", typing, {"PYTEST_VERSION": "9"}, False),
        ("auto", typing | {"content": {"allow_stdin": False}}, {}, False),
        ("auto", typing | {"metadata": {"cellId": "1a"}}, {}, False),
        ("auto", {}, {}, False),
    ):
        with monkeypatch.context() as patch:
            for name in ("JPY_SESSION_NAME", "PYTEST_VERSION"):
                patch.delenv(name, raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            shell = SimpleNamespace(user_ns={}, get_parent=lambda request=request: request)
            assert is_console(shell, live) is console, (live, request, environment)


def test_view_suits_the_shell():
    terminal, kernel = SimpleNamespace(user_ns={}), SimpleNamespace(user_ns={}, kernel=object())
    for shell, live, view in ((terminal, "on", TerminalView), (kernel, "off", FinalView)):
        made = make_view(shell, live, [AnswerHead("model")], form="markdown", area=CellOutput())
        assert isinstance(made, view)


# --- the terminal


def test_terminal_shows_the_source_where_rich_is_missing(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdout", Screen())
    monkeypatch.setenv("TERM", "xterm")
    shell = SimpleNamespace(user_ns={})

    def view():
        return make_view(shell, "auto", [AnswerHead("model")], form="markdown", area=CellOutput())

    assert type(view()).__name__ == "MarkdownView"
    monkeypatch.setitem(sys.modules, "qianfan_magic.views.terminal", None)
    assert type(view()) is TerminalView


def chunk_of(text: str) -> Chunk:
    return Chunk(text, is_end=False, usage=Usage(), raw={})


def in_terminal(capsys, *texts: str, notes: tuple[str, ...] = ()) -> str:
    view = TerminalView()
    for text in texts:
        view.write(chunk_of(text))
    view.end(AnswerOutput("".join(texts), "markdown", notes=notes))
    return capsys.readouterr().out


def test_terminal_shows_each_chunk_at_once(capsys):
    TerminalView().write(chunk_of("a"))
    assert capsys.readouterr().out == "a"


def test_terminal_shows_the_answer_and_its_notes_once(capsys):
    assert in_terminal(capsys, "hel", "lo") == "hello\n"
    assert in_terminal(capsys, "a", notes=("stopped",)) == "a\n[stopped]\n"


def test_terminal_drops_leading_empty_lines(capsys):
    assert in_terminal(capsys, "\n", "\n  a", "\n") == "  a\n\n"


def test_terminal_joins_a_line_end_that_was_cut_in_two(capsys):
    assert in_terminal(capsys, "a\r", "\nb") == "a\nb\n"
    assert in_terminal(capsys, "a\r", "b") == "a\\rb\n"

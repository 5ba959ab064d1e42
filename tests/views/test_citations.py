"""Citations of a web search in an answer, and the sources below it."""

from __future__ import annotations

from qianfan_magic import SearchResult
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.markdown import to_html

SOURCE = SearchResult(
    index=1, url="https://example.com/a?b&c", title="A <b>page</b>", site="Example", date="2026"
)
EVIL = SearchResult(index=2, url="https://evil.example/", title="good.example\u202e")


def bundle(text, *sources, form="markdown"):
    return AnswerOutput(text, form, sources=sources).bundle()


def test_mark_is_a_small_number_linked_to_its_source():
    html = bundle("Old^[1]^^[9]^.", SOURCE)["text/html"]
    assert '<sup><a href="https://example.com/a?b&amp;c"' in html
    assert ">[1]</a></sup><sup>[9]</sup>." in html


def test_mark_in_code_or_a_formula_stays():
    for text, kept in (
        ("`x^[1]^`", "x^[1]^"),
        ("```\n^[1]^\n```", "^[1]^"),
        ("$x^[1]^$", "x^[1]^"),
    ):
        assert kept in to_html(text, {1: "https://example.com"}), text


def test_sources_stand_below_the_answer():
    shown = bundle("Old^[1]^.", SOURCE)
    assert "A &lt;b&gt;page&lt;/b&gt;</a> · Example · 2026" in shown["text/html"]
    source = "[1] A <b>page</b> · Example · 2026: https://example.com/a?b&c"
    assert shown["text/plain"] == f"Old[1].\n\n{source}"


def test_link_of_a_source_is_as_careful_as_any_other():
    html = bundle("x^[2]^", EVIL)["text/html"]
    assert "(evil.example)" in html
    assert "\u202e" not in html
    assert html.count("nofollow") == 2


def test_answer_without_sources_is_as_before():
    assert bundle("2^[1]^ and 3")["text/plain"] == "2^[1]^ and 3"

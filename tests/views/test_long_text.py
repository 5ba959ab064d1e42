"""Very long answers: the beginning is formatted, the rest is there as plain text."""

from __future__ import annotations

import re
from html import escape, unescape
from itertools import pairwise

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.formats import body
from qianfan_magic.views.rendering.incremental import BlockStream, LetterStream, LongStream
from qianfan_magic.views.rendering.long_text import FORMATTED, PART, SLACK

PARAGRAPH = "**Tower** of the <wall>, number {},\n" + "and what it was built of\n" * 20 + "\n"
LINES = "".join(PARAGRAPH.format(number) for number in range(FORMATTED // len(PARAGRAPH) + 150))
ONE_LINE = "word " * (FORMATTED // 5 + 9_000)
PRE = re.compile(r"<pre[^>]*>(.*?)</pre>", re.DOTALL)


def words(html: str) -> list[str]:
    """Return the words that a reader sees, without our own lines and Markdown's marks."""
    ours = r"<summary.*?</summary>|<p style=[^>]*>The answer is very long.*?</p>"
    shown = unescape(re.sub(r"<[^>]*>", " ", re.sub(ours, "", html)))
    return shown.replace("**", "").split()


def page_of(stream: LongStream | LetterStream, text: str, size: int) -> str:
    """Let a text arrive in pieces; return the page's HTML."""
    closed = opened = ""
    for start in range(0, len(text), size):
        frame = stream.frame(text[start : start + size])
        closed += frame.closed
        if frame.more is None:
            opened = frame.open
        else:
            opened = opened.removesuffix("</pre>") + escape(frame.more) + "</pre>"
    return closed + opened


def test_long_answer_is_whole_and_only_its_beginning_is_formatted():
    for text in (LINES, ONE_LINE):
        html = body(text, "markdown")
        formatted, line, rest = html.partition("<details")
        assert line
        assert words(html) == words(text.replace("<", "&lt;"))
        assert FORMATTED / 2 < len(re.sub("<[^>]*>", "", formatted)) <= FORMATTED + SLACK + 1
        assert "<strong>" not in rest
        shown = "".join(unescape(part) for part in PRE.findall(rest))
        assert text.endswith(shown)
        assert f"{len(shown):,} more characters, as plain text" in rest


def test_answer_below_the_bound_is_formatted_to_its_end():
    html = body(LINES[:FORMATTED], "markdown")
    assert html.count("<strong>") == LINES[:FORMATTED].count(" of the ")
    assert "<details" not in html


def test_elements_of_the_rest_are_small_in_every_format():
    for form in ("markdown", "text", "json", "schema", "html"):
        rest = body(LINES, form).partition("<details")[2]
        assert max(map(len, map(unescape, PRE.findall(rest)))) <= PART + SLACK, form


def test_only_markdown_is_formatted_in_a_long_answer():
    text = f"**a**^[1]^\n{LINES}"
    formatted = body(text, "markdown", {1: "https://e.example"}).partition("<details")[0]
    assert formatted.startswith("<p><strong>a</strong>")
    assert 'href="https://e.example"' in formatted
    for form in ("text", "json", "schema", "html"):
        assert body(text, form) == body(text, "text")
    assert body(text, "text").startswith("<pre")


def test_saved_output_has_the_whole_text_once_beside_the_html():
    bundle = AnswerOutput(LINES, "markdown").bundle()
    assert bundle["text/plain"] == LINES.strip("\n")
    assert sorted(bundle) == ["text/html", "text/plain"]


def test_long_answer_arrives_as_it_ends():
    for text, size in ((LINES, 5_000), (LINES, 301_000), (ONE_LINE, 7_001)):
        html = page_of(LongStream(BlockStream()), text, size)
        _, line, rest = html.partition("The answer is very long")
        assert line
        assert words(html) == words(text.replace("<", "&lt;")), size
        assert "<strong>" not in rest


def test_end_of_a_long_answer_is_that_of_what_is_open():
    stream = LongStream(BlockStream())
    stream.frame("$$\n**a**")
    assert stream.end() == "<p>$$\n<strong>a</strong></p>\n"
    stream = LongStream(BlockStream())
    stream.frame(LINES)
    assert stream.end() == ""


def test_growing_verbatim_text_goes_on_in_another_element_and_is_sent_at_most_twice():
    stream = LetterStream()
    frames = [stream.frame(piece) for piece in re.findall(r"(?s).{1,997}", LINES)]
    closed = [part for frame in frames for part in PRE.findall(frame.closed)]
    edges = [place for place, frame in enumerate(frames) if frame.closed]
    assert max(len(unescape(part)) for part in closed) <= PART + SLACK
    assert all(b - a <= (PART + SLACK) / 997 + 1 for a, b in pairwise([0, *edges]))
    sent = sum(len(frame.closed + frame.open + (frame.more or "")) for frame in frames)
    assert sent < 3 * len(LINES)

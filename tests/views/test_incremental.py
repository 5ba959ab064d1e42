"""The live view's frames: however a stream is split, the page ends as the whole answer looks."""

from __future__ import annotations

import re
from html import escape, unescape
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.views.live import MIN_PREFIX, delta
from qianfan_magic.views.rendering.highlight import inline_colors
from qianfan_magic.views.rendering.incremental import BlockStream, LetterStream
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import to_html, to_live_html


def page_after(parts, stream=None) -> str:
    """Apply the frames of an answer as the page does; return the page's HTML."""
    stream = stream or BlockStream()
    closed = opened = ""
    for part in parts:
        frame = stream.frame(part)
        closed += frame.closed
        if frame.more is None:
            opened = frame.open
        else:  # the page appends the text to the code and ignores the rest
            assert not frame.closed
            head, end = re.fullmatch(r"(.*?)((?:</code>)?</pre>\s*)", opened, re.DOTALL).groups()
            opened = head + escape(frame.more, quote=False) + end
    return inline_colors(closed + opened)


def normalized(html: str) -> str:
    """Unify entities, and drop colors, which an open fence does not have yet."""
    colored = r'<(b|i|span) style="color[^>]*>(.*?)</\1>'
    return unescape(re.sub(colored, r"\2", html, flags=re.DOTALL))


def split(text, places) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


# If all were looked at with each part, time would grow with the square of their number.
def test_only_the_definitions_of_a_part_are_checked_with_it():
    definitions = {"EARLIER": {"href": "x" * 1_000, "title": ""}}
    to_live_html(f"[a]: https://a.example\n[b]: https://b.example/{'x' * 1_000}", definitions)
    assert list(definitions) == ["EARLIER", "A"]


# --- documents: what a model may write, cut at any place

LINE_ENDS = ("\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "  \n", "\n \t\n")
INLINE = st.sampled_from(
    (
        *(
            "word",
            "two words",
            "*em*",
            "**strong**",
            "~~gone~~",
            "`code`",
            "`` a ` b ``",
            "***",
            "_",
        ),
        *("[text](https://a.example)", "[x]", "[text][x]", "![alt](https://a.example/i.png)"),
        *(
            "[^1]",
            "<https://a.example>",
            "<b>bold</b>",
            "<!-- -->",
            "&amp;",
            "&copy",
            "a@b.example",
        ),
        *("$x_1$", "$5 or $6", "$$y$$", r"\(z\)", r"\[w\]", "$", "$$", r"\[", r"\]", "|", "`", "*"),
        *(
            "长城",
            "**“长城”**是",
            "👩‍👩‍👧",
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
        *("\u200b", "\u202e", "\ufeff", "\x1b[0m", "\t", "\r", " ", "  ", "\n", "  \n", "\\\n"),
        *("\\*", "\\", "1.", "-", "#", ">", "===", "'"),
    )
)
TEXT = st.lists(INLINE, min_size=1, max_size=5).map(" ".join)
CODE = st.lists(
    st.sampled_from(["x = 1", "", "  y", "\tz", "```", "~~~~", "``` no", "- a", "# b", "``", "$$"]),
    max_size=4,
).map("\n".join)
FENCES = st.tuples(
    st.sampled_from(["", "", " ", "   ", "- ", "> ", "1. "]),
    st.sampled_from(["```", "~~~", "````"]),
    st.sampled_from(["", "py", " python x", "none"]),
    CODE,
    st.sampled_from(["\n{}", "\n{}", "\n {}  ", "\n{}`", ""]),
).map(lambda f: f[0] + f[1] + f[2] + "\n" + f[3] + f[4].format(f[1]))
MARKERS = ["- ", "* ", "1. ", "2) ", "  - ", "   1. ", "- [ ] ", "- [x] ", "-\t", "+", "  ", "    "]
NESTED = st.sampled_from(["", "- deep", "> quoted", "```\n  x", "$$\n  - x\n  $$"])
ITEMS = st.tuples(st.sampled_from(MARKERS), st.one_of(TEXT, NESTED)).map("".join)
LISTS = st.lists(ITEMS, min_size=1, max_size=5).flatmap(
    lambda items: st.sampled_from(["\n", "\n\n"]).map(lambda end: end.join(items))
)
ROWS = ["| 1 | 2 |", "| 1 |", "1 | 2 | 3", "|", "| `a|b` | \\| |", "| $x$ | **b** |"]
TABLES = st.tuples(
    st.sampled_from(["| a | b |", "a | b", "| a |", "> | a | b |"]),
    st.sampled_from(["|---|---|", "|:-:|--:|", "--|--", "> |---|---|", "|--"]),
    st.lists(st.sampled_from(ROWS), max_size=3).map("\n".join),
).map("\n".join)
FORMULA_LINES = ["x", "- y", "1. z", "", "# h", "  w", "> v", "\\$$", "*e*"]
FORMULAS = st.tuples(
    st.sampled_from(["$$", "\\[", "$$ a", "  $$", "> $$", "- $$", "text $$"]),
    st.lists(st.sampled_from(FORMULA_LINES), max_size=3).map("\n".join),
    st.sampled_from(["$$", "\\]", "b $$", "  $$", "> $$", "", "$$ more"]),
).map("\n".join)
OTHERS = st.sampled_from(
    (
        *("---", "***", "- - -", "    code\n\n    more", "\tcode", ">", "<div>\n*x*\n</div>"),
        *("> a\nlazy", "> - a\n> - b\n\n> c", "> ```\n> x\nlazy", "- a\n\n  b\n\nc"),
        *("Title\n=====", "Title\n---", "two\nlines\n---", "# ATX #", "###### six", "#"),
        *("####### seven", "- - - - - - - - - - - - deep", "1. a\n\n   ```\n   x\n\n   ```"),
    )
)
#: Link reference definitions, some of which go on in the next line.
DEFINITIONS = st.sampled_from(
    (
        "[x]: https://x.example",
        "[x]: https://x.example 'title'",
        "[x]: https://x.example\n'ti\ntle'",
        "[x]:\nhttps://x.example",
        "> [x]: https://x.example",
        "[x]: https://x.example\n'ti",
        "[x]: https://x.example '\n===\nb",
    )
)
FOOTNOTES = st.sampled_from(["[^1]: a note", "[^1]: a note\n\n    goes on", "[^2]:"])
RAW = st.text("ab*_`~<>[]()#-+=|$\\.:!1 \t\n\n\r", max_size=40)
HEADINGS = TEXT.map("# {}".format)
BLOCKS = st.one_of(
    TEXT, HEADINGS, FENCES, LISTS, TABLES, FORMULAS, OTHERS, RAW, st.text(max_size=10)
)


@st.composite
def documents(draw) -> tuple[str, bool]:
    """Draw a document, and whether it has definitions, which change the blocks before them."""
    has_definitions = draw(st.booleans())
    first = draw(st.lists(DEFINITIONS, max_size=1))
    blocks = st.one_of(BLOCKS, DEFINITIONS, FOOTNOTES) if has_definitions else BLOCKS
    drawn = first + draw(st.lists(blocks, min_size=1, max_size=4))
    ends = draw(st.lists(st.sampled_from(LINE_ENDS), min_size=len(drawn), max_size=len(drawn)))
    text = "".join(block + end for block, end in zip(drawn, ends, strict=True))
    return (text if draw(st.booleans()) else text.rstrip("\r\n")), has_definitions


@given(documents(), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_page_depends_on_the_text_alone(drawn, places, letter_by_letter) -> None:
    document, has_definitions = drawn
    parts = list(document) if letter_by_letter and len(document) < 40 else split(document, places)
    whole = page_after([document])
    assert normalized(page_after(parts)) == normalized(whole)
    if not has_definitions:
        assert whole == to_html(escape_invisible(document))


#: Documents that a random search seldom finds, and a long ordinary one.
DOCUMENTS = [
    """\
# Walls

The **Great Wall** is old.
It has two lines.

- first
- second

```python
for i in range(3):
    print("<b>", i)

print("done")
```

| a | b |
|---|---|
| 1 | 2 |

> quoted

长城 😀 ends here.
""",
    "```\nx\n\n\ny",  # code grows by lines, also by blank ones
    "```\n\n```  ",
    "[x]: https://x.example\n'ti\ntle'\n\n[x]",  # the title comes in the next line
    "a\n\n[x]: https://x.example\n[x]: https://x.example\n'ti\ntle'\n\n[x]",
    "[x]: https://x.example '\n===\nb\n'\n\n[x]",  # a heading becomes a definition
    "- $$\n  *x*\n# next",  # the end of a list makes an unclosed formula a paragraph
    "> $$\n> *x*\n# next",
    "> $$\n> *x*",
    "a\n$$\n- b\n\n$$\n\nc",
    "- a\n\n  b\n\n- c\n\nd",
    "\n\n    code\n\n\n    code\n\nd",
    "> ```\n> x\nlazy\n\nd",
    "a\r\n\r\nb\r\n- c\r\n",
]


def test_page_looks_like_the_final_output() -> None:
    for document in DOCUMENTS:
        expected = normalized(to_html(escape_invisible(document)))
        lines = document.splitlines(keepends=True)
        for parts in ([document], list(document), lines, split(document, range(0, 1_000, 7))):
            assert normalized(page_after(parts)) == expected, parts


def test_links_do_not_depend_on_the_split() -> None:
    document = "[x]\n\nb\n\n[x]: https://x.example\n\nc [x]\n\nd\n"
    whole = page_after([document])
    assert page_after(list(document)) == whole
    assert whole.count("<a ") == 1  # only behind the definition


def test_citation_is_linked_once_its_source_has_arrived() -> None:
    sources: dict[int, str] = {}
    stream = BlockStream(sources)
    early = stream.frame("Old^[1]^.")
    sources[1] = "https://example.com"
    late = stream.frame(" New^[1]^.\n\nThen\n")
    assert "<sup>[1]</sup>" in early.open
    assert late.closed.count('<a href="https://example.com"') == 2


def test_open_block_has_the_definitions_and_sources_that_came_before_it() -> None:
    for text, address in (("c [x]", "https://x.example"), ("Old^[1]^.", "https://e.example")):
        stream = BlockStream({1: "https://e.example"})
        stream.frame("[x]: https://x.example\n\nb\n\n")
        assert f'href="{address}"' in stream.frame(text).open
        assert f'href="{address}"' in stream.end()


def test_formula_that_does_not_end_is_a_paragraph_at_the_end() -> None:
    stream = BlockStream()
    assert "<strong>" not in stream.frame("$$\n**a**").open  # more of it may arrive
    assert "<strong>a</strong>" in stream.end()


def test_text_after_the_end_begins_anew() -> None:
    stream = BlockStream()
    assert stream.frame("```\nx\n").open
    assert stream.end()
    assert stream.frame("y").open == "<p>y</p>\n"
    blank = BlockStream()
    blank.frame("\n \n")
    assert blank.end() == ""


def test_closed_block_is_sent_once() -> None:
    stream = BlockStream()
    frames = [stream.frame(letter) for letter in "first paragraph\n\nsecond paragraph\n\nthird"]
    assert "".join(frame.closed for frame in frames).count("first paragraph") == 1


def test_incomplete_line_closes_nothing() -> None:
    assert BlockStream().frame("1. one\n\n2").closed == ""


def test_unclosed_fence_is_code_that_is_appended_to() -> None:
    stream = BlockStream()
    assert '<pre><code class="language-py">x' in stream.frame("```py\nx = 1\n").open
    stream.frame("y = 2\n")
    frame = stream.frame("z < 3\n")
    assert (frame.open, frame.more) == ("", "z < 3\n")


def test_code_is_highlighted_when_its_fence_is_closed() -> None:
    stream = BlockStream()
    stream.frame("```py\nx = 1\n")
    assert stream.frame("def f\n").more
    assert 'class="k"' in stream.frame("``` ").open


def test_bytes_of_growing_code_are_linear() -> None:
    stream, lines = BlockStream(), 500
    stream.frame("```\n")
    frames = [stream.frame(f"line {number:04}\n") for number in range(lines)]
    sent = sum(len(frame.closed + frame.open + (frame.more or "")) for frame in frames)
    assert sent < 3 * lines * len("line 1000\n")


#: Without a line end that could be cut in two: its halves are shown as two characters.
VERBATIM = st.text("a\n<&\r\x1b", max_size=30).filter(lambda text: "\r\n" not in text)


@given(VERBATIM, st.lists(st.integers(0, 100), max_size=5))
def test_verbatim_text_does_not_depend_on_the_split(text, places) -> None:
    whole = page_after([text], LetterStream())
    assert unescape(page_after(split(text, places), LetterStream())) == unescape(whole)


def test_verbatim_text_begins_without_empty_lines() -> None:
    stream = LetterStream()
    for _ in range(2):
        assert stream.frame("\n\n a\n").open.endswith("> a\n</pre>")
        frame = stream.frame("\n\nb")
        assert (frame.closed, frame.open, frame.more) == ("", "", "\n\nb")
        assert stream.end() == ""


# --- how the open block's HTML goes to the page


@given(st.text("a\U0001f600<", max_size=60), st.text("a\U0001f600<", max_size=60))
def test_page_can_apply_a_delta(before, after):
    sent = delta(before, after)
    prefix = before.encode("utf-16-le")[: 2 * sent.get("keep", 0)].decode("utf-16-le")
    assert prefix + sent["open"] == after


@given(st.text(min_size=MIN_PREFIX), st.text())
def test_delta_holds_only_what_is_new(before, more):
    assert delta(before, before + more)["open"] == more

"""The live view's frames: whatever the split, the page ends as the whole answer would look."""

from __future__ import annotations

import re
import time
from html import escape, unescape
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan_magic.views.live import MIN_PREFIX, delta
from qianfan_magic.views.rendering.highlight import inline_colors
from qianfan_magic.views.rendering.incremental import BlockStream, LetterStream
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import to_html

ANSWER = """\
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
"""


def page(pieces, stream=None) -> str:
    """Do what the page does with the frames of an answer."""
    stream = stream or BlockStream()
    closed = opened = ""
    for piece in pieces:
        frame = stream.frame(piece)
        closed += frame.closed
        if frame.more is None:
            opened = frame.open
        else:  # the text is appended to the code, and nothing else is looked at
            assert not frame.closed
            head, end = re.fullmatch(r"(.*?)((?:</code>)?</pre>\s*)", opened, re.DOTALL).groups()
            opened = head + escape(frame.more, quote=False) + end
    return inline_colors(closed + opened)


def alike(html: str) -> str:
    """Fold spellings of characters; and colours, which code gets at once where it has ended."""
    return unescape(re.sub(r'<span style="color[^>]*>(.*?)</span>', r"\1", html, flags=re.DOTALL))


def cut(text, places) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(ANSWER)])
def test_page_ends_as_the_whole_answer_looks(size: int) -> None:
    pieces = [ANSWER[i : i + size] for i in range(0, len(ANSWER), size)]
    assert alike(page(pieces)) == alike(to_html(ANSWER))


LINES = ("\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "  \n", "\n \t\n")
INLINE = st.sampled_from(
    [
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
        *(
            "[text](https://a.example)",
            "[x]",
            "[text][x]",
            "![alt](https://a.example/i.png)",
            "[^1]",
        ),
        *(
            "<https://a.example>",
            "<b>bold</b>",
            "<!-- -->",
            "&amp;",
            "&copy",
            "\\*",
            "\\",
            "  \n",
            "\\\n",
        ),
        *("$x_1$", "$5 or $6", "$$y$$", r"\(z\)", r"\[w\]", "$", "$$", r"\[", r"\]", "|", "`", "*"),
        *(
            "长城",
            "👩‍👩‍👧",
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "\u200b",
            "\u202e",
        ),
        *(
            "\x1b[0m",
            "\t",
            "\r",
            " ",
            "  ",
            "\n",
            "\ufeff",
            "a@b.example",
            "1.",
            "-",
            "#",
            ">",
            "===",
            "'",
        ),
    ]
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
ITEMS = st.tuples(
    st.sampled_from(
        ["- ", "* ", "1. ", "2) ", "  - ", "   1. ", "- [ ] ", "- [x] ", "-\t", "+", "  ", "    "]
    ),
    st.one_of(TEXT, st.sampled_from(["", "- deep", "> quoted", "```\n  x", "$$\n  - x\n  $$"])),
).map("".join)
LISTS = st.lists(ITEMS, min_size=1, max_size=5).flatmap(
    lambda items: st.sampled_from(["\n", "\n\n"]).map(lambda end: end.join(items))
)
ROWS = st.sampled_from(
    ["| 1 | 2 |", "| 1 |", "1 | 2 | 3", "|", "| `a|b` | \\| |", "| $x$ | **b** |"]
)
TABLES = st.tuples(
    st.sampled_from(["| a | b |", "a | b", "| a |", "> | a | b |"]),
    st.sampled_from(["|---|---|", "|:-:|--:|", "--|--", "> |---|---|", "|--"]),
    st.lists(ROWS, max_size=3).map("\n".join),
).map("\n".join)
FORMULAS = st.tuples(
    st.sampled_from(["$$", "\\[", "$$ a", "  $$", "> $$", "- $$", "text $$"]),
    st.lists(
        st.sampled_from(["x", "- y", "1. z", "", "# h", "  w", "> v", "\\$$", "*e*"]), max_size=3
    ).map("\n".join),
    st.sampled_from(["$$", "\\]", "b $$", "  $$", "> $$", "", "$$ more"]),
).map("\n".join)
OTHERS = st.sampled_from(
    [
        *(
            "---",
            "***",
            "- - -",
            "    code\n\n    more",
            "\tcode",
            "> a\nlazy",
            "> - a\n> - b\n\n> c",
            ">",
        ),
        *(
            "Title\n=====",
            "Title\n---",
            "two\nlines\n---",
            "# ATX #",
            "###### six",
            "#",
            "####### seven",
        ),
        *(
            "<div>\n*x*\n</div>",
            "> ```\n> x\nlazy",
            "- a\n\n  b\n\nc",
            "- - - - - - - - - - - - deep",
            "1. a\n\n   ```\n   x\n\n   ```",
        ),
    ]
)
#: Definitions of links, that may go on in the next line.
DEFINITIONS = st.sampled_from(
    [
        *(
            "[x]: https://x.example",
            "[x]: https://x.example 'title'",
            "[x]: https://x.example\n'ti\ntle'",
        ),
        *(
            "[x]:\nhttps://x.example",
            "> [x]: https://x.example",
            "[x]: https://x.example\n'ti",
            "[x]: https://x.example '\n===\nb",
        ),
    ]
)
FOOTNOTES = st.sampled_from(["[^1]: a note", "[^1]: a note\n\n    goes on", "[^2]:"])
RAW = st.text("ab*_`~<>[]()#-+=|$\\.:!1 \t\n\n\r", max_size=40)
BLOCKS = st.one_of(
    TEXT,
    TEXT.map("# {}".format),
    FENCES,
    LISTS,
    TABLES,
    FORMULAS,
    OTHERS,
    RAW,
    st.text(max_size=10),
)


@st.composite
def documents(draw) -> tuple[str, bool]:
    """Draw a document, and whether Markdown looks ahead in it."""
    ahead = draw(st.booleans())
    first = draw(st.lists(DEFINITIONS, max_size=1))
    blocks = st.one_of(BLOCKS, DEFINITIONS, FOOTNOTES) if ahead else BLOCKS
    drawn = first + draw(st.lists(blocks, min_size=1, max_size=4))
    ends = draw(st.lists(st.sampled_from(LINES), min_size=len(drawn), max_size=len(drawn)))
    whole = "".join(block + end for block, end in zip(drawn, ends, strict=True))
    return (whole if draw(st.booleans()) else whole.rstrip("\r\n")), ahead


@settings(max_examples=2000, deadline=None)
@given(documents(), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_page_depends_on_the_text_alone(drawn, places, letters) -> None:
    document, ahead = drawn
    pieces = list(document) if letters and len(document) < 40 else cut(document, places)
    whole = page([document])
    assert alike(page(pieces)) == alike(whole)
    if not ahead:
        assert whole == to_html(escape_invisible(document))


@pytest.mark.parametrize(
    "document",
    [
        "```\nx\n\n\ny",  # lines that are added to code, blank ones too
        "```\n\n```  ",
        "[x]: https://x.example\n'ti\ntle'\n\n[x]",  # a title that comes in the next line
        "a\n\n[x]: https://x.example\n[x]: https://x.example\n'ti\ntle'\n\n[x]",
        "[x]: https://x.example '\n===\nb\n'\n\n[x]",  # a heading that becomes a definition
        "- $$\n  *x*\n# next",  # a formula that a block's end has made a paragraph
        "> $$\n> *x*\n# next",
        "> $$\n> *x*",
        "a\n$$\n- b\n\n$$\n\nc",
        "- a\n\n  b\n\n- c\n\nd",
        "\n\n    code\n\n\n    code\n\nd",
        "> ```\n> x\nlazy\n\nd",
        "a\r\n\r\nb\r\n- c\r\n",
    ],
)
def test_page_looks_like_the_final_output(document: str) -> None:
    for pieces in ([document], list(document), document.splitlines(keepends=True)):
        assert alike(page(pieces)) == alike(to_html(escape_invisible(document)))


def test_links_do_not_depend_on_the_split() -> None:
    document = "[x]\n\nb\n\n[x]: https://x.example\n\nc [x]\n\nd\n"
    whole = page([document])
    assert page(list(document)) == whole
    assert whole.count("<a ") == 1  # the one behind the definition


@pytest.mark.parametrize("nested", ["- " * 30, "> " * 30, "1. > " * 15, "- " * 9 + "> " * 3])
def test_deeply_nested_text_is_not_lost(nested: str) -> None:
    assert all(word in to_html(f"{nested}word\n\nlast") for word in ("word", "<p>last</p>"))


def test_beginnings_of_formulas_without_end_take_linear_time() -> None:
    begun = time.process_time()
    to_html("\\[a\n" * 10_000 + "\n")
    assert time.process_time() - begun < 10  # it was 20 s, and four times that for twice the text


def test_closed_block_is_sent_once() -> None:
    stream = BlockStream()
    frames = [stream.frame(c) for c in "first paragraph\n\nsecond paragraph\n\nthird"]
    assert "".join(f.closed for f in frames).count("first paragraph") == 1


def test_half_a_line_closes_nothing() -> None:
    stream = BlockStream()
    assert stream.frame("1. one\n\n2").closed == ""


def test_growing_code_is_appended_to() -> None:
    stream = BlockStream()
    stream.frame("```py\nx = 1\n")
    stream.frame("y = 2\n")
    frame = stream.frame("z < 3\n")
    assert (frame.open, frame.more) == ("", "z < 3\n")


def test_code_has_its_colours_when_it_has_ended() -> None:
    stream = BlockStream()
    stream.frame("```py\nx = 1\n")
    assert stream.frame("def f\n").more
    assert 'class="k"' in stream.frame("``` ").open


def test_unclosed_fence_looks_like_code() -> None:
    assert "<pre><code>x" in BlockStream().frame("```py\nx = 1").open


def test_bytes_of_code_are_linear() -> None:
    stream, lines = BlockStream(), 2_000
    stream.frame("```\n")
    sent = [stream.frame(f"line {i}\n") for i in range(lines)]
    assert sum(len(f.closed + f.open + (f.more or "")) for f in sent) < 3 * lines * len(
        "line 1000\n"
    )


@settings(max_examples=200, deadline=None)
@given(st.text("a\n<&\r\x1b", max_size=30), st.lists(st.integers(0, 100), max_size=5))
def test_letters_do_not_depend_on_the_split(text, places) -> None:
    whole = page([text], LetterStream())
    pieces = cut(text, places)
    if "\r\n" not in text:  # a line's end that is cut in two is shown as the letters it is
        assert unescape(page(pieces, LetterStream())) == unescape(whole)


# --- how the open block's HTML goes to the page


@given(st.text("a\U0001f600<", max_size=60), st.text("a\U0001f600<", max_size=60))
def test_page_has_the_open_block_as_the_kernel_has_it(before, after):
    sent = delta(before, after)
    kept = before.encode("utf-16-le")[: 2 * sent.get("keep", 0)].decode("utf-16-le")
    assert kept + sent["open"] == after


@given(st.text(min_size=MIN_PREFIX), st.text())
def test_what_has_not_changed_is_not_sent_again(before, more):
    assert delta(before, before + more)["open"] == more

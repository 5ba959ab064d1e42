"""The live view's frames: whatever the split, the page ends as the whole answer would look."""

from __future__ import annotations

import re
from html import escape, unescape
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan_magic.views.blocks import BlockStream, LetterStream
from qianfan_magic.views.highlight import coloured
from qianfan_magic.views.markdown import to_html

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
        else:  # the text is appended to the code
            head, end = re.fullmatch(r"(.*?)((?:</code>)?</pre>\s*)", opened, re.DOTALL).groups()
            opened = head + escape(frame.more, quote=False) + end
    return coloured(closed + opened)


def alike(html: str) -> str:
    """Fold what a browser folds: spellings of characters, and a code block's last line end."""
    return re.sub(r"\s*(</code></pre>)\s*", r"\1", unescape(html)).strip()


def cut(text, places) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(ANSWER)])
def test_page_ends_as_the_whole_answer_looks(size: int) -> None:
    pieces = [ANSWER[i : i + size] for i in range(0, len(ANSWER), size)]
    assert alike(page(pieces)) == alike(to_html(ANSWER))


WORDS = st.text("ab *_`<>&[]()#長 \t1.-", min_size=1, max_size=30).map(str.strip).filter(bool)
BLOCKS = st.one_of(
    WORDS,
    WORDS.map("# {}".format),
    st.lists(WORDS, min_size=1, max_size=3).map(lambda rows: "```py\n" + "\n".join(rows) + "\n```"),
    st.lists(st.sampled_from(["one", "*two*", "`3`"]), min_size=1, max_size=4).map(
        lambda rows: "\n".join(f"- {row}" for row in rows)
    ),
    st.just("| a | b |\n|---|---|\n| 1 | 2 |"),
    st.just("---"),
)
DOCUMENTS = st.lists(BLOCKS, min_size=1, max_size=8).map("\n\n".join)


@settings(max_examples=500, deadline=None)
@given(DOCUMENTS, st.lists(st.integers(0, 10_000), max_size=12))
def test_page_does_not_depend_on_how_the_answer_was_split(document, places) -> None:
    assert alike(page(cut(document, places))) == alike(page([document]))


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
    assert (frame.open, frame.more.strip()) == ("", "z < 3")


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

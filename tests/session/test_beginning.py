"""The text that an answer begins with, before what the service sends in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.session.beginning import Beginning


def fed(text: str, *pieces: str) -> list[str]:
    """Return what is shown after each piece of an answer; the last piece ends it."""
    beginning = Beginning(text)
    shown = [beginning.feed(piece) for piece in pieces[:-1]]
    return [*shown, beginning.feed(pieces[-1], last=True)]


def test_text_comes_with_the_first_piece_that_has_text():
    cases: list[tuple[list[str], list[str]]] = [
        (["", " is long.", ""], ["", "The wall is long.", ""]),
        (["The", " wall", " is"], ["The wall", "", " is"]),
        (["The wall is"], ["The wall is"]),
        (["The", " moon", "."], ["The wall", "The moon", "."]),
        (["The", ""], ["The wall", "The"]),
        (["The wall", "The wall"], ["The wall", "The wall"]),
        (["", ""], ["", "The wall"]),
    ]
    for pieces, shown in cases:
        assert fed("The wall", *pieces) == shown, pieces


def test_answer_without_a_beginning_is_unchanged():
    for pieces in (["a", "", "b"], ["", ""], ["a"]):
        assert fed("", *pieces) == pieces


@given(
    text=st.text("ab", min_size=1, max_size=4),
    rest=st.text("abc", max_size=6),
    repeats=st.booleans(),
    cuts=st.lists(st.integers(0, 10)),
)
def test_repetition_is_left_out_however_it_is_cut(text, rest, repeats, cuts):
    """A rest that itself begins with the text cannot be told from a repetition."""
    received = text + rest if repeats or rest.startswith(text) else rest
    ends = sorted({min(cut, len(received)) for cut in cuts} | {len(received)})
    pieces = [received[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert "".join(fed(text, *pieces)) == text + received.removeprefix(text)

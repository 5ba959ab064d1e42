"""Reasoning in the text of an answer."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.thinking import ThinkSplitter


def split(*pieces, whole=False):
    """Return the reasoning and the text of an answer that arrives in these pieces."""
    splitter = ThinkSplitter(whole=whole)
    found = [splitter.feed(piece) for piece in pieces] + [splitter.feed("", last=True)]
    return tuple(map("".join, zip(*found, strict=True)))


CASES = {
    "": ("", ""),
    " \n": ("", " \n"),
    "<": ("", "<"),
    "<thin": ("", "<thin"),
    "a<think>b</think>c": ("", "a<think>b</think>c"),
    " \n<think>\na</think>\n\nb</think>": ("a", "b</think>"),
    "<think></think>": ("", ""),
    "<think>a<b</thin</think> <think>c</think>": ("a<b</thin", "<think>c</think>"),
    "<think>a</thi": ("a</thi", ""),
    "<think>\n  a\n\nb</think>c d": ("  a\n\nb", "c d"),
}


def test_reasoning_is_what_stands_between_the_tags_at_the_beginning():
    for text, expected in CASES.items():
        assert split(text) == split(*text) == expected, text


@given(st.sampled_from(list(CASES)), st.sets(st.integers(1, 50)))
def test_reasoning_does_not_depend_on_the_split(text, places):
    cuts = [0, *sorted(place for place in places if place < len(text)), len(text)]
    found = split(*(text[start:end] for start, end in pairwise(cuts)))
    assert found == CASES[text]


# If the search began anew at each line, this would take hours.
def test_empty_lines_are_searched_once():
    text = "a" + "\n" * 1_000_000 + "b"
    assert split(text, whole=True) == ("", text)


def test_reasoning_before_an_end_alone_ends_with_its_last_word():
    assert split("Hm. \n \n</think>\n\nYes", whole=True) == ("Hm.", "Yes")
    assert split("a </think>\nb", whole=True) == ("", "a </think>\nb")


def test_text_is_held_back_only_while_it_may_be_a_tag():
    splitter = ThinkSplitter()
    assert splitter.feed("<th") == ("", "")
    assert splitter.feed("at") == ("", "<that")
    assert splitter.is_done
    splitter = ThinkSplitter()
    assert splitter.feed("<think>a<") == ("a", "")
    assert splitter.feed("b") == ("<b", "")
    assert ThinkSplitter().feed(" " * 63) == ("", "")
    assert ThinkSplitter().feed(" " * 64) == ("", " " * 64)
    assert ThinkSplitter().feed("<think>a</thi", last=True) == ("a</thi", "")
    assert ThinkSplitter().feed("<thi", last=True) == ("", "<thi")


def test_end_without_begin_counts_only_on_a_line_of_a_whole_answer():
    text = "Let me see.\n</think>\n\nYes."
    assert split(text, whole=True) == ("Let me see.", "Yes.")
    assert split(text) == ThinkSplitter().feed(text) == ("", text)
    inline = "The tag </think> ends it."
    assert split(inline, whole=True) == ("", inline)

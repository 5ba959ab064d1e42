"""Encoding of request bodies, and joining of characters that are split between chunks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.encoding import encode_body, join_surrogates

#: Fields of messages with the names that the service knows, and with arbitrary ones.
FIELDS = st.sampled_from(["role", "content", "tool_calls"]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(st.dictionaries(FIELDS, VALUES, max_size=2), max_size=2)


# --- bodies


@given(st.dictionaries(st.text(max_size=8), VALUES | MESSAGES, max_size=3))
def test_encoded_body_is_json_of_the_body(body):
    assert json.loads(encode_body(body)) == body


@given(st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_each_message_and_field_has_a_line(contents, model):
    messages = [{"role": "user", "content": content} for content in contents]
    lines = encode_body({"model": model, "messages": messages}).split("\n")
    assert len(lines) == 1 + 1 + 1 + len(contents) + 1 + 1
    assert [json.loads(line.rstrip(",")) for line in lines[3:-2]] == messages


def test_body_is_indented_and_keeps_chinese_characters():
    messages = [{"role": "user", "content": "你好\n"}, {"role": "assistant", "content": "b"}]
    body = {"model": "ernie-5.1", "messages": messages, "stop": ["a"]}
    assert encode_body(body) == (
        '{\n  "model": "ernie-5.1",\n  "messages": [\n'
        '    {"role": "user", "content": "你好\\n"},\n'
        '    {"role": "assistant", "content": "b"}\n  ],\n'
        '  "stop": ["a"]\n}'
    )


def test_value_that_json_cannot_represent_is_not_encoded():
    for value in (float("nan"), float("inf"), object(), {1}, b"x"):
        with pytest.raises((ValueError, TypeError)):
            pytest.fail(encode_body({"a": value}))


# --- surrogates

#: The first and the last code unit of each half of a surrogate pair.
HIGH, HIGHEST, LOW, LOWEST = "\ud800", "\udbff", "\udc00", "\udfff"


def test_text_without_surrogates_is_unchanged():
    for text in ("", "a", "中文 é", "😀", "\ud7ff", "\ue000"):
        assert join_surrogates("", text, last=False) == (text, ""), ascii(text)
        assert join_surrogates("", text, last=True) == (text, ""), ascii(text)


def test_high_surrogate_at_the_end_is_held_back():
    for high in (HIGH, HIGHEST, "\ud83d"):
        assert join_surrogates("", f"ab{high}", last=False) == ("ab", high), ascii(high)
        assert join_surrogates("", high, last=False) == ("", high), ascii(high)


def test_held_surrogate_is_joined_with_its_other_half():
    assert join_surrogates("\ud83d", "\ude00 b", last=False) == ("😀 b", "")
    assert join_surrogates("\ud83d", "\ude00\ud83d", last=False) == ("😀", "\ud83d")
    assert join_surrogates("\ud83d", "", last=False) == ("", "\ud83d")
    assert join_surrogates("", "a\ud83d\ude00", last=True) == ("a😀", "")
    assert join_surrogates(HIGH, LOW, last=False) == ("\U00010000", "")
    assert join_surrogates(HIGHEST, LOWEST, last=False) == ("\U0010ffff", "")


def test_surrogate_without_its_other_half_is_replaced():
    for held, text, last, joined in (
        ("", "a\ud83d", True, "a\ufffd"),
        ("\ud83d", "", True, "\ufffd"),
        ("\ud83d", "a", False, "\ufffda"),
        ("", LOW, False, "\ufffd"),
        ("", f"a{LOWEST}", False, "a\ufffd"),
        ("", f"{LOW}a", False, "\ufffda"),
    ):
        assert join_surrogates(held, text, last=last) == (joined, ""), ascii((held, text))

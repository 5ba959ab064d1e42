"""The JSON of an answer: alone, fenced, and with words around its only block."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.fenced_json import last_json_block, read_json

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_only_block_is_taken_out_of_the_words_around_it():
    for answer, has_words in (
        ("[1]", False),
        ("```json\n[1]\n```", False),
        ("```javascript\n[1]\n```", False),
        ("Here it is:\n```json\n[1]\n```", True),
        ("```\n[1]\n```\nThat is it.", True),
        ("So:\r\n~~~JSON\r\n[1]\r\n~~~~\r\nDone", True),
        ("So:\n````json\n[1]\n````", True),
    ):
        found = read_json(answer)
        assert (found.value, found.text.rstrip("\r"), found.has_words) == ([1], "[1]", has_words), (
            answer
        )
    assert read_json("```json\n[\n1]\n```").text == "[\n1]"


def test_last_block_is_read_if_it_is_json():
    for text, value in (
        ("```\n[1]\n```\nor\n```json\n{\n}\n```", {}),
        ("```\n[1]\n```\nor\n```\nno\n```", None),
        ("[1]", None),
        ("", None),
    ):
        assert last_json_block(text) == value, text


def test_error_says_in_plain_words_what_was_expected_and_where():
    for answer, words in (
        ('{"a": 1,\n b: 2}', "a name in double quotes was expected, at line 2, column 2"),
        ('{"a": 1', "it ends where a comma or a closing bracket was expected, at line 1, column 8"),
        ('["a\nb"]', "a text contains a line break or another control character, at line 1, col"),
        (r'"\q"', "a backslash begins nothing that JSON knows, at line 1, column 2"),
        ("", "it is empty, at line 1, column 1"),
        ("[NaN]", "NaN is not JSON"),
        ("[" * 9_999, "it is nested too deeply"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            read_json(answer)


def test_answer_without_exactly_one_block_of_json_is_refused():
    for answer in (
        *("", "no", "so [1]", "```json\n[1]", "so\n```json\n[1]"),
        "```json\n[1]\n```\n\n```json\n[2]\n```",
        "a\n```\n[1]\n```\nb\n```\n[1]\n```\nc",
        "In Python:\n```python\n[1]\n```",
        "so:\n```json\n{'a': 1}\n```",
        *("so:\n```json\n[NaN]\n```", "[1e999]", "[" * 9_999, "9" * 9_999),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            read_json(answer)


@given(JSON_VALUES)
def test_every_value_is_read_from_between_words(value):
    block = f"```json\n{json.dumps(value)}\n```"
    assert read_json(f"Here:\n\n{block}\n\nDone.").value == value


@given(st.text(alphabet="`~ \n[]1json", max_size=60))
def test_any_text_is_read_or_refused(answer):
    try:
        read_json(answer)
    except ValueError:
        return

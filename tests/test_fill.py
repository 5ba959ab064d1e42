"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import ParameterError
from qianfan_magic.fill import fill

VARIABLES = {"name": "Li", "count": 3, "text": "{name}", "数": "七", "_hidden": 1, "empty": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hello {name}!", "Hello Li!"),
        ("{name}{name}", "LiLi"),
        ("{count} walls", "3 walls"),
        ("{数}", "七"),
        ("{empty}.", "."),
        ("{_hidden}", "1"),
        ("no braces", "no braces"),
        ("", ""),
        ("a\n  {name}\nb\n", "a\n  Li\nb\n"),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Li}"),
        ("100 %s $name", "100 %s $name"),
    ],
)
def test_text_is_filled(text, filled):
    assert fill(text, VARIABLES) == filled


def test_value_is_not_filled_again():
    assert fill("{text}", VARIABLES) == "{name}"


def test_value_is_written_as_str_writes_it():
    assert fill("{numbers}", {"numbers": [1, 2]}) == "[1, 2]"


@pytest.mark.parametrize(
    "text",
    ["{}", "{0}", "{name.upper}", "{name[0]}", "{count:>9}", "{name!r}", "{ name }", "{a b}"],
)
def test_braces_that_hold_no_plain_name_are_refused(text):
    with pytest.raises(ParameterError, match="takes a variable's name"):
        fill(text, {**VARIABLES, "0": "zero"})


@pytest.mark.parametrize("text", ["{", "}", "{name", "name}", "{name}}", "{name!}"])
def test_unbalanced_braces_are_refused(text):
    with pytest.raises(ParameterError, match="--fill"):
        fill(text, VARIABLES)


def test_hint_says_how_a_brace_is_written():
    with pytest.raises(ParameterError) as caught:
        fill("if (x) { return }", VARIABLES)
    assert "{{ or }}" in caught.value.hint


def test_unknown_name_is_an_error():
    with pytest.raises(ParameterError, match="there is no variable nothing_like_it"):
        fill("{nothing_like_it}", VARIABLES)


def test_unknown_name_suggests_a_near_one():
    with pytest.raises(ParameterError) as caught:
        fill("{nmae}", VARIABLES)
    assert caught.value.hint == "Did you mean name?"


def test_hidden_names_are_not_suggested():
    with pytest.raises(ParameterError) as caught:
        fill("{hidden}", VARIABLES)
    assert "_hidden" not in caught.value.hint


def test_builtin_is_not_a_variable_of_the_notebook():
    with pytest.raises(ParameterError, match="there is no variable print"):
        fill("{print}", VARIABLES)


@given(st.text())
def test_doubled_braces_give_the_text_back(text):
    assert fill(text.replace("{", "{{").replace("}", "}}"), {}) == text


@given(st.text(), st.text())
def test_any_value_goes_in_whole(before, value):
    assert fill(before.replace("{", "").replace("}", "") + "{x}", {"x": value}).endswith(value)

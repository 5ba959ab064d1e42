"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from qianfan_magic import ParameterError
from qianfan_magic.magics.interpolate import interpolate

PLACE = SimpleNamespace(city="Xi'an", _secret=1, size=SimpleNamespace(km=8))
VARIABLES = {
    "name": "Li",
    "count": 3,
    "text": "{name}",
    "数": "七",
    "_hidden": 1,
    "empty": "",
    "place": PLACE,
    "rows": [{"id": 7, "a b": "spaced", "a.b": "dotted", "a:b!r": "odd", "_x": "kept"}],
    "by_number": {1: "one"},
}


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
    assert interpolate(text, VARIABLES) == filled


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{place.city}", "Xi'an"),
        ("{place.size.km}", "8"),
        ("{count.real}", "3"),
        ("{rows[0]}", str(VARIABLES["rows"][0])),
        ("{rows[0][id]}", "7"),
        ("{rows[0][a b]}", "spaced"),
        ("{rows[0][a.b]}", "dotted"),
        ("{rows[0][a:b!r]}", "odd"),
        ("{rows[0][_x]}", "kept"),
        ("{by_number[1]}", "one"),
        ("{name[0]}", "L"),
        ("{{{place.city}}}", "{Xi'an}"),
    ],
)
def test_attributes_and_keys_are_looked_up(text, filled):
    assert interpolate(text, VARIABLES) == filled


def test_value_is_not_filled_again():
    assert interpolate("{text}", VARIABLES) == "{name}"


def test_value_is_written_as_str_writes_it():
    assert interpolate("{numbers}", {"numbers": [1, 2]}) == "[1, 2]"


# --- braces


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "{0}", "{count:>9}", "{name!r}", "{ name }", "{a b}", "{name }", "{name\n}"),
        *("{.name}", "{name.}", "{name..x}", "{name.0}", "{[0]}", "{name[]}", "{rows[0]id}"),
        *("{name.upper()}", "{count + 1}", "{rows[0]:x}", "{place.city!s}"),
    ],
)
def test_braces_that_hold_no_variable_are_refused(text):
    with pytest.raises(ParameterError, match="takes a variable"):
        interpolate(text, {**VARIABLES, "0": "zero"})


@pytest.mark.parametrize("text", ["{", "}", "{name", "name}", "{name}}", "{name!}", "{rows[0}"])
def test_unbalanced_braces_are_refused(text):
    with pytest.raises(ParameterError, match="--fill"):
        interpolate(text, VARIABLES)


def test_hint_says_how_a_brace_is_written():
    with pytest.raises(ParameterError) as caught:
        interpolate("if (x) { return }", VARIABLES)
    assert "{{ or }}" in caught.value.hint


# --- names that there are not


def test_unknown_name_is_an_error():
    with pytest.raises(ParameterError, match="there is no variable nothing_like_it"):
        interpolate("{nothing_like_it}", VARIABLES)


def test_builtin_is_not_a_variable_of_the_notebook():
    with pytest.raises(ParameterError, match="there is no variable print"):
        interpolate("{print}", VARIABLES)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{place.nowhere}", "{place.nowhere}: SimpleNamespace has no nowhere"),
        ("{rows[9]}", "{rows[9]}: this list has no [9]"),
        ("{rows[9999999999999999999999]}", "this list has no [9999999999999999999999]"),
        ("{rows[-1]}", "this list has no [-1]"),
        ("{rows[0:1]}", "this list has no [0:1]"),
        ("{rows[0][color]}", "{rows[0][color]}: this dict has no [color]"),
        ("{count[0]}", "this int has no [0]"),
    ],
)
def test_unknown_attribute_or_key_is_an_error(text, says):
    with pytest.raises(ParameterError) as caught:
        interpolate(text, VARIABLES)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "near"), [("{nmae}", "name"), ("{place.ciyt}", "city"), ("{rows[0][a-b]}", "a.b")]
)
def test_near_name_is_suggested(text, near):
    assert near in hint_of(text, VARIABLES).removeprefix("Did you mean ").rstrip("?").split(", ")


@pytest.mark.parametrize("text", ["{hidden}", "{place.secret}"])
def test_hidden_names_are_not_suggested(text):
    assert "Did you mean" not in hint_of(text, VARIABLES)


def test_key_of_digits_is_text_where_there_is_no_such_number():
    assert interpolate("{prices[1]}", {"prices": {"1": 9}}) == "9"


def test_key_of_digits_is_a_number_first():
    assert interpolate("{prices[1]}", {"prices": {"1": 9, 1: 8}}) == "8"


def test_name_keys_of_an_object_need_not_be_a_method():
    with pytest.raises(ParameterError, match="has no"):
        interpolate("{piano[a]}", {"piano": SimpleNamespace(keys=88)})


def hint_of(text, variables) -> str:
    with pytest.raises(ParameterError) as caught:
        interpolate(text, variables)
    return caught.value.hint


# --- nothing is called


@pytest.mark.parametrize(
    "text", ["{place._secret}", "{name.__class__}", "{rows[0].__init__}", "{place.size.__dict__}"]
)
def test_private_attribute_is_refused(text):
    with pytest.raises(ParameterError, match="uses the private _"):
        interpolate(text, VARIABLES)


@pytest.mark.parametrize("text", ["{rows.clear}", "{name.upper}", "{rows[0].items}"])
def test_method_is_refused(text):
    with pytest.raises(ParameterError, match="is a function, which is not called"):
        interpolate(text, VARIABLES)


@pytest.mark.parametrize(
    "function", [len, interpolate, lambda: 1], ids=["built in", "def", "lambda"]
)
def test_function_is_refused(function):
    with pytest.raises(ParameterError, match="is a function, which is not called"):
        interpolate("{function}", {"function": function})


def test_hint_says_what_to_do_with_a_function():
    assert hint_of("{name.upper}", VARIABLES) == "Put its result into a variable first."


class Watched:
    """Writes down what is called of it."""

    def __init__(self) -> None:
        self.label: list[str] = []

    def __call__(self):
        self.label.append("itself")

    def keys(self):
        self.label.append("keys")
        return ()

    def __str__(self):
        return "watched"


def test_object_that_can_be_called_is_written_and_not_called():
    watched = Watched()
    assert (interpolate("{watched}", {"watched": watched}), watched.label) == ("watched", [])


def test_class_is_written_and_not_called():
    assert interpolate("{what}", {"what": Watched}) == str(Watched)


@pytest.mark.parametrize("text", ["{watched.kees}", "{watched[a]}", "{watched.keys}"])
def test_nothing_of_an_object_is_called_where_it_lacks_something(text):
    watched = Watched()
    with pytest.raises(ParameterError):
        interpolate(text, {"watched": watched})
    assert watched.label == []


# --- a table


def table(frame: pd.DataFrame) -> str:
    return interpolate("{frame}", {"frame": frame})


def read(text: str) -> list[list[str]]:
    """Read a Markdown table, the head first, as the answer's own renderer does."""
    rows: list[list[str]] = []
    cell = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        if cell:
            rows[-1].append(token.content)
        cell = token.type in {"th_open", "td_open"}
    return rows


CITIES = {"city": ["Xi'an", "北京"], "km": [13.7, 40.0]}


def test_frame_is_a_markdown_table():
    assert table(pd.DataFrame(CITIES)) == (
        "| city | km |\n|---|---|\n| Xi'an | 13.7 |\n| 北京 | 40.0 |"
    )


def test_frame_stands_in_the_text():
    filled = interpolate("Which is longer?\n\n{frame}\n", {"frame": pd.DataFrame({"km": [1]})})
    assert filled == "Which is longer?\n\n| km |\n|---|\n| 1 |\n"


def test_frame_that_is_an_attribute_is_a_table_too():
    held = SimpleNamespace(frame=pd.DataFrame({"km": [1]}))
    assert read(interpolate("{held.frame}", {"held": held})) == [["km"], ["1"]]


def test_column_of_a_frame_is_written_as_str_writes_it():
    frame = pd.DataFrame(CITIES)
    assert interpolate("{frame[city]}", {"frame": frame}) == str(frame["city"])


def test_near_column_is_suggested():
    assert hint_of("{frame[ciyt]}", {"frame": pd.DataFrame(CITIES)}) == "Did you mean city?"


def test_index_that_only_counts_is_left_out():
    assert read(table(pd.DataFrame(CITIES)))[0] == ["city", "km"]


@pytest.mark.parametrize(
    ("index", "labels"),
    [
        (["a", "b"], ["", "a", "b"]),
        ([7, 3], ["", "7", "3"]),
        (pd.Index(["a", "b"], name="id"), ["id", "a", "b"]),
        (pd.RangeIndex(2, name="id"), ["id", "0", "1"]),
        (pd.Index(["a", "b"], name=0), ["0", "a", "b"]),
        (pd.RangeIndex(0, 80, 40), ["", "0", "40"]),
        (
            pd.date_range("2024-01-01", periods=2),
            ["", "2024-01-01 00:00:00", "2024-01-02 00:00:00"],
        ),
    ],
    ids=["text", "numbers", "named", "named count", "named 0", "every 40th", "dates"],
)
def test_index_that_says_something_is_the_first_column(index, labels):
    assert [row[0] for row in read(table(pd.DataFrame(CITIES, index=index)))] == labels


YEARS = pd.MultiIndex.from_tuples([("Xi'an", 2023), ("北京", 2024)], names=["city", "year"])


def test_index_of_several_levels_is_a_column_each():
    _, *rows = read(table(pd.DataFrame({"km": [1, 2]}, index=YEARS)))
    assert rows == [["Xi'an", "2023", "1"], ["北京", "2024", "2"]]


def test_index_of_several_levels_has_their_names():
    head, *_ = read(table(pd.DataFrame({"km": [1, 2]}, index=YEARS)))
    assert head == ["city", "year", "km"]


def test_columns_of_several_levels_have_all_their_labels():
    columns = pd.MultiIndex.from_tuples([("km", "min"), ("km", "max")])
    (head, row) = read(table(pd.DataFrame([[1, 2]], columns=columns)))
    assert all("km" in one and end in one for one, end in zip(head, ["min", "max"], strict=True))
    assert row == ["1", "2"]


def test_columns_of_the_same_name_are_all_there():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    assert read(table(frame)) == [["a", "a"], ["1", "2"], ["3", "4"]]


def test_columns_need_not_be_called_by_text():
    assert read(table(pd.DataFrame([[1, 2]]))) == [["0", "1"], ["1", "2"]]


def test_frame_without_rows_is_its_head():
    assert table(pd.DataFrame({"city": [], "km": []})) == "| city | km |\n|---|---|"


@pytest.mark.parametrize("index", [None, range(3)], ids=["empty", "rows"])
def test_frame_without_columns_is_no_broken_table(index):
    assert "|" not in table(pd.DataFrame(index=index))


def test_frame_with_labels_alone_has_them():
    frame = pd.DataFrame(index=pd.Index(["a", "b"], name="id"))
    assert read(table(frame)) == [["id"], ["a"], ["b"]]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a|b", "a\\|b"),
        ("two\nlines", "two lines"),
        ("carriage\r\nreturn", "carriage return"),
        ("\u2028separated", "separated"),
        ("", ""),
        (None, "None"),
        (True, "True"),
        ([1, 2], "[1, 2]"),
        ("{name}", "{name}"),
        (0.1, "0.1"),
    ],
)
def test_cell_is_one_line_between_its_pipes(value, written):
    rows = table(pd.DataFrame({"x": pd.Series([value], dtype=object)})).splitlines()
    assert rows[2:] == [f"| {written} |"]


def test_head_is_one_line_between_its_pipes():
    head, *_ = table(pd.DataFrame([[1, 2]], columns=["a|b", "c\nd"])).splitlines()
    assert head == "| a\\|b | c d |"


@pytest.mark.parametrize("rows", [1, 19, 20])
def test_up_to_twenty_rows_are_all_there(rows):
    assert [row[0] for row in read(table(pd.DataFrame({"n": range(rows)})))[1:]] == [
        str(number) for number in range(rows)
    ]


def test_no_note_stands_where_nothing_was_cut():
    assert table(pd.DataFrame({"n": range(20)})).endswith("\n| 19 |")


@pytest.mark.parametrize("index", [None, [f"row {n}" for n in range(21)]], ids=["counts", "names"])
def test_more_than_twenty_rows_are_cut(index):
    rows = read(table(pd.DataFrame({"n": range(21)}, index=index)))
    assert [row[-1] for row in rows[1:]] == [str(number) for number in range(20)]


@pytest.mark.parametrize(("rows", "note"), [(21, "(20 of 21 rows)"), (4_321, "(20 of 4,321 rows)")])
def test_note_below_the_table_says_what_was_cut(rows, note):
    assert table(pd.DataFrame({"n": range(rows)})).endswith(f"| 19 |\n\n{note}")


def test_frame_stays_as_it_was():
    frame = pd.DataFrame(CITIES, index=["a", "b"])
    before = frame.copy()
    table(frame)
    pd.testing.assert_frame_equal(frame, before)


# --- whatever it is


@settings(deadline=None)
@given(st.text())
def test_doubled_braces_give_the_text_back(text):
    assert interpolate(text.replace("{", "{{").replace("}", "}}"), {}) == text


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_value_goes_in_whole(before, value):
    assert interpolate(before.replace("{", "").replace("}", "") + "{x}", {"x": value}).endswith(
        value
    )


@settings(deadline=None)
@given(st.text("{}[].!:abxy0_ ", max_size=12))
def test_any_text_is_filled_or_refused(text):
    variables = {"a": {"b": "x"}, "b": ["y"], "x": SimpleNamespace(a=1, y=len)}
    with contextlib.suppress(ParameterError):
        assert isinstance(interpolate(text, variables), str)


CELL = st.text("ab|\\\n\r\u2028 `*_$<>-:{}&长", max_size=6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4))
def test_every_cell_of_a_table_is_read_as_it_was(rows):
    head, *body = rows
    read_back = read(table(pd.DataFrame(body, columns=list(head))))
    assert read_back == [[" ".join(cell.split()) for cell in row] for row in rows]


class Broken:
    """An object that fails at whatever it is asked."""

    def __str__(self) -> str:
        raise OSError("no")

    @property
    def part(self) -> str:
        raise RuntimeError("secret-key-0123456789")

    def __getitem__(self, key: str) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("text", ["{broken}", "{broken.part}", "{broken[key]}"])
def test_object_that_fails_is_told_in_one_line(text):
    with pytest.raises(ParameterError, match=r"cannot be converted to text: \w+Error") as caught:
        interpolate(text, {"broken": Broken()})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["{x!r}", "{x:>9}"])
def test_refused_braces_are_quoted_whole(text):
    with pytest.raises(ParameterError) as caught:
        interpolate(text, {"x": 1})
    assert text in caught.value.message

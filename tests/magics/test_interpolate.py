"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
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
    "numbers": [1, 2],
    "place": PLACE,
    "rows": [{"id": 7, "a b": "spaced", "a.b": "dotted", "a:b!r": "odd", "_x": "private"}],
    "by_number": {1: "number"},
    "by_digits": {"1": "digits"},
    "by_both": {"1": "digits", 1: "number"},
}


def refusal(text: str, variables: Any = VARIABLES) -> ParameterError:
    """Return the error with which a text is refused."""
    with pytest.raises(ParameterError, match="--fill") as caught:
        print(interpolate(text, variables))  # shown if it was not refused
    return caught.value


def test_fields_are_replaced_by_values():
    for text, filled in [
        ("Hello {name}!", "Hello Li!"),
        ("{name}{name}", "LiLi"),
        ("{count} walls", "3 walls"),
        ("{数}", "七"),
        ("{empty}.", "."),
        ("{_hidden}", "1"),
        ("{numbers}", "[1, 2]"),
        ("no braces", "no braces"),
        ("", ""),
        ("a\n  {name}\nb\n", "a\n  Li\nb\n"),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Li}"),
        ("100 %s $name", "100 %s $name"),
        ("{text}", "{name}"),  # a value is not filled in turn
    ]:
        assert interpolate(text, VARIABLES) == filled


def test_attributes_and_keys_are_looked_up():
    for text, filled in [
        ("{place.city}", "Xi'an"),
        ("{place.size.km}", "8"),
        ("{count.real}", "3"),
        ("{rows[0]}", str(VARIABLES["rows"][0])),
        ("{rows[0][id]}", "7"),
        ("{rows[0][a b]}", "spaced"),
        ("{rows[0][a.b]}", "dotted"),
        ("{rows[0][a:b!r]}", "odd"),
        ("{rows[0][_x]}", "private"),
        ("{name[0]}", "L"),
        ("{{{place.city}}}", "{Xi'an}"),
        ("{by_number[1]}", "number"),
        ("{by_digits[1]}", "digits"),
        ("{by_both[1]}", "number"),
    ]:
        assert interpolate(text, VARIABLES) == filled


@given(st.text())
def test_doubled_braces_stand_for_braces(text):
    assert interpolate(text.replace("{", "{{").replace("}", "}}"), {}) == text


@given(st.text(), st.text())
def test_any_text_is_inserted_unchanged(before, value):
    before = before.replace("{", "").replace("}", "")
    assert interpolate(before + "{x}", {"x": value}) == before + value


# --- what is refused


@given(st.text("{}[].!:abxy0_ ", max_size=12))
def test_any_text_is_filled_or_refused(text):
    variables = {"a": {"b": "x"}, "b": ["y"], "x": SimpleNamespace(a=1, y=len)}
    with contextlib.suppress(ParameterError):
        assert isinstance(interpolate(text, variables), str)


def test_field_that_is_not_a_variable_is_refused_and_quoted():
    for text in (
        *("{}", "{0}", "{count:>9}", "{name!r}", "{ name }", "{a b}", "{name }", "{name\n}"),
        *("{.name}", "{name.}", "{name..x}", "{name.0}", "{[0]}", "{name[]}", "{rows[0]id}"),
        *("{name.upper()}", "{count + 1}", "{rows[0]:x}", "{place.city!s}"),
    ):
        error = refusal(text, VARIABLES | {"0": "zero"})
        assert "takes a variable" in error.message, text
        quoted = text.replace("\n", " ")  # a message is one line
        assert error.message.endswith(f"not {quoted}")


def test_unbalanced_brace_is_refused():
    for text in ("{", "}", "{name", "name}", "{name}}", "{name!}", "{rows[0}", "f(x) { return }"):
        assert "{{ or }}" in refusal(text).hint, text


def test_unknown_name_is_refused():
    for text, message in [
        ("{nothing_like_it}", "there is no variable nothing_like_it"),
        ("{print}", "there is no variable print"),
        ("{place.nowhere}", "{place.nowhere}: SimpleNamespace has no nowhere"),
        ("{rows[9]}", "{rows[9]}: this list has no [9]"),
        ("{rows[9999999999999999999999]}", "this list has no [9999999999999999999999]"),
        ("{rows[-1]}", "this list has no [-1]"),
        ("{rows[0:1]}", "this list has no [0:1]"),
        ("{rows[0][color]}", "{rows[0][color]}: this dict has no [color]"),
        ("{count[0]}", "this int has no [0]"),
        ("{piano[a]}", "this SimpleNamespace has no [a]"),  # whose keys are no method
    ]:
        error = refusal(text, VARIABLES | {"piano": SimpleNamespace(keys=88)})
        assert message in error.message, text


def test_similar_public_names_are_suggested():
    variables = VARIABLES | {"frame": pd.DataFrame({"river": [1]})}
    for text, name in [
        ("{nmae}", "name"),
        ("{place.ciyt}", "city"),
        ("{rows[0][a-b]}", "a.b"),
        ("{frame[rivre]}", "river"),
    ]:
        hint = refusal(text, variables).hint
        assert hint.startswith("Did you mean "), text
        assert name in hint.removeprefix("Did you mean ").rstrip("?").split(", "), text
    for text in ("{hidden}", "{place.secret}"):
        assert "Did you mean" not in refusal(text).hint, text


def test_private_attribute_is_refused():
    for text in ("{place._secret}", "{name.__class__}", "{rows[0].__init__}", "{count.__dict__}"):
        assert "uses the private _" in refusal(text).message, text


class Watched:
    """Records what is called."""

    def __init__(self) -> None:
        self.label: list[str] = []

    def __call__(self):
        self.label.append("itself")

    def keys(self):
        self.label.append("keys")
        return ()

    def __str__(self):
        return "watched"


def test_function_is_refused():
    functions = {"built_in": len, "defined": interpolate, "anonymous": lambda: 1}
    for text in (
        *("{rows.clear}", "{name.upper}", "{rows[0].items}"),
        *("{built_in}", "{defined}", "{anonymous}"),
    ):
        error = refusal(text, VARIABLES | functions)
        assert "is a function, which is not called" in error.message, text
        assert error.hint == "Put its result into a variable first.", text


def test_callable_objects_and_classes_are_converted_to_text():
    watched = Watched()
    assert interpolate("{watched}", {"watched": watched}) == "watched"
    assert watched.label == []
    assert interpolate("{cls}", {"cls": Watched}) == str(Watched)


def test_object_that_lacks_a_name_is_not_called():
    for text in ("{watched.kees}", "{watched[a]}", "{watched.keys}"):
        watched = Watched()
        refusal(text, {"watched": watched})
        assert watched.label == [], text


class Broken:
    """Fails in every way of reading it."""

    def __str__(self) -> str:
        raise OSError("no")

    @property
    def part(self) -> str:
        raise RuntimeError("secret-key-0123456789")

    def __getitem__(self, key: str) -> str:
        raise RuntimeError("no")


def test_error_of_an_object_is_named_without_its_text():
    for field, name in [
        ("broken", "OSError"),
        ("broken.part", "RuntimeError"),
        ("broken[key]", "RuntimeError"),
    ]:
        error = refusal(f"{{{field}}}", {"broken": Broken()})
        message = f"--fill: {{{field}}} cannot be converted to text: {name}"
        assert error.message == message


# --- a DataFrame


def table(frame: pd.DataFrame) -> str:
    return interpolate("{frame}", {"frame": frame})


def cells(text: str) -> list[list[str]]:
    """Return the rows of a Markdown table, the head first, as a renderer reads them."""
    rows: list[list[str]] = []
    is_cell = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        if is_cell:
            rows[-1].append(token.content)
        is_cell = token.type in {"th_open", "td_open"}
    return rows


CITIES = {"city": ["Xi'an", "北京"], "km": [13.7, 40.0]}
CITY_TABLE = "| city | km |\n|---|---|\n| Xi'an | 13.7 |\n| 北京 | 40.0 |"


def test_frame_is_a_markdown_table():
    frame = pd.DataFrame(CITIES)
    assert interpolate("Longer?\n\n{frame}\n", {"frame": frame}) == f"Longer?\n\n{CITY_TABLE}\n"
    assert interpolate("{x.frame}", {"x": SimpleNamespace(frame=frame)}) == CITY_TABLE


def test_column_of_a_frame_is_converted_by_str():
    frame = pd.DataFrame(CITIES)
    assert interpolate("{frame[city]}", {"frame": frame}) == str(frame["city"])


def test_frame_stays_unchanged():
    frame = pd.DataFrame(CITIES, index=["a", "b"])
    before = frame.copy()
    table(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_index_is_the_first_column_unless_it_only_counts():
    dates = pd.date_range("2024-01-01", periods=2)
    for index, labels in [
        (None, ["city", "Xi'an", "北京"]),
        (["a", "b"], ["", "a", "b"]),
        ([7, 3], ["", "7", "3"]),
        (pd.Index(["a", "b"], name="id"), ["id", "a", "b"]),
        (pd.RangeIndex(2, name="id"), ["id", "0", "1"]),
        (pd.Index(["a", "b"], name=0), ["0", "a", "b"]),
        (pd.RangeIndex(0, 80, 40), ["", "0", "40"]),
        (dates, ["", "2024-01-01 00:00:00", "2024-01-02 00:00:00"]),
    ]:
        frame = pd.DataFrame(CITIES, index=index)
        assert [row[0] for row in cells(table(frame))] == labels, index


def test_each_level_of_an_index_is_a_column():
    names = ["city", "year"]
    index = pd.MultiIndex.from_tuples([("Xi'an", 2023), ("北京", 2024)], names=names)
    assert cells(table(pd.DataFrame({"km": [1, 2]}, index=index))) == [
        ["city", "year", "km"],
        ["Xi'an", "2023", "1"],
        ["北京", "2024", "2"],
    ]


def test_any_labels_of_columns_are_the_head():
    levels = pd.MultiIndex.from_tuples([("km", "min"), ("km", "max")])
    for columns, head in [
        (["a", "a"], ["a", "a"]),
        ([0, 1], ["0", "1"]),
        (levels, ["('km', 'min')", "('km', 'max')"]),
    ]:
        rows = cells(table(pd.DataFrame([[1, 2], [3, 4]], columns=columns)))
        assert rows == [head, ["1", "2"], ["3", "4"]]


def test_frame_without_rows_or_columns():
    assert table(pd.DataFrame({"city": [], "km": []})) == "| city | km |\n|---|---|"
    assert table(pd.DataFrame()) == "(0 rows without columns)"
    assert table(pd.DataFrame(index=range(3))) == "(3 rows without columns)"
    labels_only = pd.DataFrame(index=pd.Index(["a", "b"], name="id"))
    assert cells(table(labels_only)) == [["id"], ["a"], ["b"]]


def test_cell_is_one_line_between_its_pipes():
    for value, cell in [
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
    ]:
        rows = table(pd.DataFrame({"x": pd.Series([value], dtype=object)})).splitlines()
        assert rows[2:] == [f"| {cell} |"], repr(value)
    head, *_ = table(pd.DataFrame([[1, 2]], columns=["a|b", "c\nd"])).splitlines()
    assert head == "| a\\|b | c d |"


CELL = st.text("ab|\\\n\r\u2028 `*_$<>-:{}&长", max_size=6)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4))
def test_every_cell_of_a_table_reads_as_it_was(rows):
    head, *body = rows
    shown = cells(table(pd.DataFrame(body, columns=list(head))))
    assert shown == [[" ".join(cell.split()) for cell in row] for row in rows]


def test_table_has_at_most_twenty_rows():
    for count in (1, 19, 20, 21, 4_321):
        for index in (None, [f"row {number}" for number in range(count)]):
            text = table(pd.DataFrame({"n": range(count)}, index=index))
            rows = [row[-1] for row in cells(text)[1:]]
            assert rows == [str(number) for number in range(min(count, 20))], count
            note = f"\n\n(20 of {count:,} rows)" if count > 20 else ""
            assert text.endswith(f"| {rows[-1]} |{note}"), count

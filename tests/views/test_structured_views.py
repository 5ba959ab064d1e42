"""JSON as a table or list: readable, complete and harmless."""

from __future__ import annotations

import json
import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st
from support.hidden import is_hidden

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.structured import structured_html, structured_plain

ROWS = [{"name": "北京", "people": 21_893_095}, {"name": "Xi'an", "people": None, "old": True}]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def texts(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r">([^<>\n]+)<", html)]


def test_list_of_flat_objects_is_a_table():
    html = structured_html(ROWS)
    assert html.count("<table") == 1
    heads, numbers = ["name", "people", "old"], ["北京", "21893095", "Xi'an", "null", "true"]
    assert texts(html) == heads + numbers
    assert html.count("<div") == html.count("</div>") == 1
    assert structured_plain(ROWS).splitlines() == [
        "name   people    old",
        "北京   21893095",
        "Xi'an  null      true",
    ]


def test_number_stands_right_and_a_short_word_is_not_divided():
    for value, style in (
        (5, "text-align: right; vertical-align: top; white-space: nowrap"),
        ("x" * 24, "text-align: left; vertical-align: top; white-space: nowrap"),
        *((text, "white-space: pre-wrap") for text in ("x" * 25, "two words", True)),
    ):
        cells = re.findall(r'<td style="(.*?)">', structured_html([{"a": value}]))
        assert len(cells) == 1, value
        assert style in cells[0], value


def test_table_of_a_terminal_is_at_most_100_columns_wide():
    for width, start in ((95, "a  "), (96, "- a: ")):
        assert structured_plain([{"a": "x" * width, "b": "y"}]).startswith(start), width


def test_short_head_is_not_divided():
    for name, style in (("x" * 24, "nowrap"), ("x" * 25, "pre-wrap")):
        (found,) = re.findall(rf'<th style="(.*?)">{name}</th>', structured_html({name: 1}))
        assert f"white-space: {style}" in found, name


def test_object_is_a_table_of_two_columns_with_what_it_holds():
    value = {"country": "China", "cities": ROWS, "none": [], "tags": ["a", {"b": ["c"]}]}
    html = structured_html(value)
    assert html.count("<table") == 3
    assert html.count("<li>") == 3
    assert structured_plain(value).splitlines() == [
        "country: China",
        "cities:",
        "  name   people    old",
        "  北京   21893095",
        "  Xi'an  null      true",
        "none: []",
        "tags:",
        "  - a",
        "  - b:",
        "      - c",
    ]


def test_long_texts_are_whole():
    long = "word " * 40 + "\nsecond line"
    assert long in structured_html([{"a": long}])
    lines = structured_plain([{"a": long}]).splitlines()
    assert lines == ["- a:", "    " + "word " * 40, "    second line"]


def test_deep_values_end_as_json():
    value: object = "长城"
    for _ in range(200):
        value = [value]
    for shown in (html := structured_html(value), structured_plain(value)):
        assert "长城" in shown
    assert html.count("<ol") == 6
    assert structured_plain(value).startswith("- - - - - - [[[")


def test_value_that_holds_no_others_is_a_text():
    for value, text in (("a", "a"), (5, "5"), (None, "null"), ([], "[]"), ({}, "{}")):
        assert structured_html(value) == structured_plain(value) == text


@given(VALUES)
def test_no_text_becomes_markup_or_hidden(value):
    output = AnswerOutput(json.dumps(value), "schema").bundle()
    tags = set(re.findall(r"<\W*(\w+)", output.get("text/html", "")))
    assert tags <= {"div", "table", "tbody", "tr", "th", "td", "ol", "li"}
    assert not [c for text in output.values() for c in text if is_hidden(c)]


def test_rows_without_common_names_are_a_list():
    rows = json.dumps([{f"name {number}": number} for number in range(500)])
    output = AnswerOutput(rows, "schema").bundle()
    assert output["text/html"].count("<td") == 500  # as a table it would have 250,000
    assert output["text/plain"].count("\n") == 499


def test_answer_that_is_not_json_is_shown_verbatim():
    output = AnswerOutput("<b>no</b>", "schema").bundle()
    assert "&lt;b&gt;no&lt;/b&gt;</pre>" in output["text/html"]
    assert output["text/plain"] == "<b>no</b>"

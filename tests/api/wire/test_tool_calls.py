"""Calls of tools that arrive in pieces."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.tool_calls import ToolCalls


def joined(*pieces):
    calls = ToolCalls()
    for piece in pieces:
        calls.add([piece])
    return [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls.build()]


def piece(name=None, arguments=None, **rest):
    return rest | {"function": {"name": name, "arguments": arguments}}


def test_pieces_belong_to_the_call_that_their_index_or_id_names():
    for pieces, expected in (
        ([piece("f", "{", index=0, id="a"), piece(None, "}", index=0)], [("a", "f", "{}")]),
        ([piece("f", "{", id="a"), piece("", "}", id="a")], [("a", "f", "{}")]),
        ([piece("f", "{"), piece(None, "}")], [("", "f", "{}")]),
        ([piece("f", "{}"), piece("g", "{}")], [("", "f", "{}"), ("", "g", "{}")]),
        ([piece("f", "{", index=0), piece("f", "}", index=0, id="a")], [("a", "f", "{}")]),
        ([piece("f", {"x": [1]}, index=0, id="a")], [("a", "f", '{"x": [1]}')]),
        (
            [piece("f", "1", index=0, id="a"), piece("g", "2", index=0, id="b")],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
    ):
        assert joined(*pieces) == expected, pieces


# It would hardly end if each call were looked for among all others.
def test_many_calls_are_told_apart_by_their_ids():
    calls = ToolCalls()
    for _ in range(2):
        calls.add([piece("", "x", id=f"call_{number}") for number in range(200_000)])
    assert {call["function"]["arguments"] for call in calls.build()} == {"xx"}


def test_arguments_that_are_too_deep_are_no_json():
    deep = json.loads("[" * 500 + "]" * 500)
    assert joined(piece("f", deep)) == [("", "f", "(nested too deeply)")]


def test_type_is_that_of_the_pieces_and_function_if_they_have_none():
    calls = ToolCalls()
    calls.add([{"index": 0}, {"index": 1, "type": "custom"}, {"index": 1}])
    assert [call["type"] for call in calls.build()] == ["function", "custom"]


FUNCTIONS = st.dictionaries(
    st.sampled_from(["name", "arguments"]), st.none() | st.integers() | st.text()
)
PIECES = st.dictionaries(
    st.sampled_from(["id", "index", "function"]),
    st.none() | st.integers() | st.text() | FUNCTIONS,
)


@given(st.lists(st.none() | st.text() | PIECES))
def test_any_json_is_joined_or_ignored(pieces):
    calls = ToolCalls()
    calls.add(pieces)
    assert all(isinstance(call["function"]["arguments"], str) for call in calls.build())

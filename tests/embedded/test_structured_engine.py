"""The scripted engine's answers to a schema."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qianfan_magic.embedded.engines.structured import document, schema_in

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 1},
            },
        }
    },
}
SCALARS = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2]}, {"const": None}]),
    st.builds(
        lambda low, size, kind: {"type": kind, "minimum": low, "maximum": low + size},
        st.integers(-50, 50),
        st.integers(0, 9),
        st.sampled_from(["integer", "number"]),
    ),
    st.builds(
        lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    st.just({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 3}),
    st.just({"type": ["string", "null"]}),
)
NAMES = st.sampled_from(["name", "cityName", "population", "price", "x", "date", "标题"])
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: (
        st.builds(
            lambda items, n: {"type": "array", "items": items, "minItems": n},
            inner,
            st.integers(0, 5),
        )
        | st.builds(
            lambda names: {"type": "object", "properties": names, "required": list(names)},
            st.dictionaries(NAMES, inner, max_size=3),
        )
        | st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner)
    ),
    max_leaves=6,
)


@given(SCHEMAS)
def test_document_fits_its_schema(schema):
    Draft202012Validator(schema).validate(json.loads(document(schema)))


def test_schema_that_refers_to_itself_ends():
    Draft202012Validator(TREE).validate(json.loads(document(TREE)))
    required = {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    for endless in (required, loop, {"type": "array", "minItems": 2, "items": {"$ref": "#"}}):
        assert document(endless)


def test_values_suit_the_names_of_properties():
    properties = {"name": {"type": "string"}, "population": {"type": "integer"}}
    items = {"type": "array", "items": {"type": "object", "properties": properties}}
    rows = json.loads(document(items))
    assert [row["name"] for row in rows] == ["Beijing", "Shanghai", "Xi'an"]
    assert all(row["population"] > 10**6 for row in rows)


def test_odd_schemas_have_some_document():
    for odd in (
        {},
        {"type": 3},
        {"properties": 1},
        {"anyOf": [1]},
        {"$ref": "#/a/b"},
        {"enum": []},
    ):
        json.loads(document(odd))


def test_schema_is_found_in_a_prompt():
    assert schema_in('Rivers?\n```json\n{"type": "array"}\n```') == {"type": "array"}
    for prompt in ("Rivers?", "```json\n[1]\n```", '```json\n{"a": 1}\n```', "```\n{\n```"):
        assert schema_in(prompt) is None, prompt

"""Schemas: what they ask for, how answers are checked, and what is no schema."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from qianfan_magic import ParameterError, QianfanClient, Reply, SchemaError
from qianfan_magic.api.catalogue.cards import CHAT, Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.structured import check_reply, read_schema
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.server import EmbeddedServer

HELLO = [{"role": "user", "content": "hi"}]


class City(BaseModel):
    name: str
    population: int


class Country(BaseModel):
    cities: list[City]


@dataclass
class Point:
    x: int
    y: list[int]


COUNTRY = {
    "title": "a country",
    "type": "object",
    "required": ["cities"],
    "properties": {"cities": {"type": "array", "items": {"$ref": "#/$defs/city"}}},
    "$defs": {"city": {"type": "object", "properties": {"population": {"type": "integer"}}}},
}
CITIES = '{"cities": [{"name": "Xi\'an", "population": %s}]}'


def refusal(schema: Any) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        read_schema(schema)
    return caught.value


# --- checking


def test_answer_that_fits_becomes_the_object():
    for schema, text, expected in (
        (Country, CITIES % 3, Country(cities=[City(name="Xi'an", population=3)])),
        (Point, '{"x": 1, "y": [2]}', Point(1, [2])),
        (COUNTRY, CITIES % 3, json.loads(CITIES % 3)),
        ({"type": "array"}, "Here:\n```json\n[1]\n```", [1]),
    ):
        reply = check_reply(Reply(text=text, id="a"), schema)
        assert (reply.parsed, reply.text, reply.id) == (expected, text, "a"), schema


def test_misfit_names_the_place_and_what_was_expected_and_has_the_reply():
    for schema, text, place, expected in (
        (Country, CITIES % '"many"', "$.cities[0].population", "integer"),
        (COUNTRY, CITIES % '"many"', "$.cities[0].population", "integer"),
        (COUNTRY, "{}", "$", "'cities' is a required property"),
        (Point, '{"x": 1, "y": [2, []]}', "$.y[1]", "integer"),
        ({"properties": {"a b": {"type": "null"}}}, '{"a b": 1}', "$['a b']", "null"),
        (COUNTRY, "none", "", "not JSON"),
        (Country, '{"cities": [NaN]}', "", "not JSON"),
    ):
        reply = Reply(text=text)
        with pytest.raises(SchemaError) as caught:
            check_reply(reply, schema)
        error = caught.value
        assert (error.place, error.reply) == (place, reply), text
        assert place in error.message, text
        assert expected in error.message, text


def test_misfit_shows_no_secret_and_no_control_character():
    for schema in (COUNTRY, Country):
        text = json.dumps({"cities": [{"population": "bce-v3/ALTAK-" + "a" * 40 + "\x1b[0m\n"}]})
        with pytest.raises(SchemaError) as caught:
            check_reply(Reply(text=text), schema)
        assert "aaaa" not in str(caught.value)
        assert caught.value.message.isprintable()


def test_dialect_of_the_schema_is_respected():
    pair = {"items": [{"type": "integer"}, {"type": "string"}]}  # draft 7's tuple
    draft_7 = pair | {"$schema": "http://json-schema.org/draft-07/schema#"}
    with pytest.raises(SchemaError):
        check_reply(Reply(text="[1, 2]"), draft_7)
    assert "not valid" in refusal(pair).message


# --- what is a schema


def test_what_is_no_schema_is_refused():
    for schema, words in (
        (3, "is int"),
        (int, "is type"),
        ({"type": "bogus"}, "$.type"),
        ({"enum": {1}}, "JSON cannot carry"),
        ({"$ref": "#/$defs/none"}, "does not contain"),
    ):
        assert words in refusal(schema).message, schema


def test_class_without_a_schema_is_refused():
    @dataclass
    class Unknown:
        value: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037

    @dataclass
    class Odd:
        value: memoryview

    assert "Unknown" in refusal(Unknown).message
    assert "Odd" in refusal(Odd).message


def test_other_documents_are_not_fetched(raw_server):
    for schema in (
        {"$ref": f"{raw_server.url}/schema.json"},
        {"properties": {"a": {"items": {"$ref": f"{raw_server.url}/schema.json"}}}},
        {"$dynamicRef": f"{raw_server.url}/schema.json"},
        {"properties": {"default": {"$ref": f"{raw_server.url}/schema.json"}}},
        {"properties": {"properties": {"$ref": f"{raw_server.url}/schema.json"}}},
        {"$id": f"{raw_server.url}/a.json", "$ref": "schema.json"},
        {"$id": "http://json-schema.org/x", "allOf": [{"$ref": "file:///etc/passwd"}]},
    ):
        assert "never fetched" in refusal(schema).hint, schema
    assert not raw_server.requests


def test_data_that_looks_like_a_reference_is_none():
    for schema in ({"const": {"$ref": "x"}}, {"properties": {"$ref": {"type": "string"}}}):
        assert read_schema(schema).document == schema


def test_missing_package_is_named_with_the_extra(monkeypatch):
    for package, schema in (("pydantic", Point), ("jsonschema", COUNTRY)):
        monkeypatch.setitem(sys.modules, package, None)
        error = refusal(schema)
        assert package in error.message
        assert "pip install 'qianfan-magic[schema]'" in error.hint


def test_name_in_the_request_is_that_of_the_class_or_the_title():
    for schema, name in ((Country, "Country"), (COUNTRY, "a_country"), ({}, "answer")):
        assert read_schema(schema).name == name
    assert read_schema({"title": "城" + "x" * 99}).name == "x" * 64


def test_class_is_asked_for_without_other_properties_and_parsed_as_it_says():
    class Open(BaseModel, extra="allow"):
        properties: dict[str, int]
        cities: list[City]

    document = read_schema(Open).document
    assert document["additionalProperties"] is True
    assert set(document["properties"]) == {"properties", "cities"}
    assert document["$defs"]["City"]["additionalProperties"] is False
    answer = Reply(text='{"name": "Xi\'an", "population": 1, "river": "Wei"}')
    assert check_reply(answer, City).parsed == City(name="Xi'an", population=1)


# --- the client


@pytest.fixture
def client():
    cards = (
        Card(name="ernie-5.1", kinds=CHAT, version=ApiVersion.V2, json=True, schema=True),
        Card(name="qwen3-coder", kinds=CHAT, version=ApiVersion.V2),
    )
    with EmbeddedServer() as server:
        made = QianfanClient(server.settings(), catalogue=Catalogue(cards))
        with made:
            yield made


def test_schema_is_sent_as_the_model_takes_it(client):
    described = {"name": "a_country", "schema": COUNTRY, "strict": True}
    as_schema = {"type": "json_schema", "json_schema": described}
    for model, field, is_in_question in (
        ("ernie-5.1", as_schema, False),
        ("model-without-a-card", as_schema, False),
        ("deepseek-v4-pro", {"type": "json_object"}, True),
        ("qwen3-coder", None, True),
    ):
        body = client.prepare("chat", HELLO, {"model": model, "schema": COUNTRY}).body
        assert body.get("response_format") == field, model
        question = body["messages"][-1]["content"]
        assert question.startswith("hi"), model
        assert (json.dumps(COUNTRY) in question) is is_in_question, model
    assert HELLO == [{"role": "user", "content": "hi"}]


def test_schema_stands_beside_pictures(client):
    parts = [{"type": "text", "text": "hi"}]
    options = {"model": "deepseek-v4-pro", "schema": COUNTRY}
    body = client.prepare("chat", [{"role": "user", "content": parts}], options).body
    assert body["messages"][-1]["content"][0] == parts[0]
    assert json.dumps(COUNTRY) in body["messages"][-1]["content"][1]["text"]


def test_client_returns_the_object(client):
    for model in ("ernie-5.1", "deepseek-v4-pro"):
        reply = client.chat(HELLO, model=model, schema=Country)
        assert isinstance(reply.parsed, Country), model
        assert reply.parsed.cities, model


def test_stream_carries_the_schema(client):
    chunks = client.stream_chat(HELLO, model="ernie-5.1", schema=Country)
    reply = Reply(text="".join(chunk.text for chunk in chunks))
    assert isinstance(check_reply(reply, Country).parsed, Country)


def test_schema_that_cannot_be_sent_is_refused(client):
    for kind, content, more in (
        ("completion", "hi", {"model": "qwen3-coder-30b-a3b-instruct"}),
        ("chat", HELLO, {"model": "ernie-5.1", "response_format": "text"}),
        ("chat", "hi", {"model": "deepseek-v4-pro"}),
    ):
        with pytest.raises(ParameterError):
            client.prepare(kind, content, {"schema": COUNTRY} | more)

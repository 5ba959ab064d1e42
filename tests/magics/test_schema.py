"""``--schema``: sent, checked, shown, bound and kept; and words around the block of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from support.notebook import Notebook
from support.requests_seen import bodies

from qianfan_magic import ParameterError, SchemaError
from qianfan_magic.embedded.faults import Fault

COUNTRY = {
    "type": "object",
    "required": ["cities"],
    "properties": {
        "country": {"type": "string"},
        "cities": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
            },
        },
    },
}
CELL = "%%qianfan_chat -m ernie-5.1 --schema COUNTRY"


@dataclass
class Point:
    x: int


@pytest.fixture
def geo(notebook: Notebook) -> Notebook:
    notebook.shell.user_ns |= {"COUNTRY": COUNTRY, "Point": Point}
    return notebook


def answer_next(notebook: Notebook, text: str) -> None:
    notebook.server.fail(Fault(fields={"result": text}))


def test_answer_is_shown_as_a_table_and_bound_as_the_object(geo):
    shown = geo.run(f"{CELL} --no-stream -o reply\nWhich cities are large?")
    [reply] = geo.bound("reply")
    assert reply.parsed == json.loads(reply.text)
    assert [city["name"] for city in reply.parsed["cities"]] == ["Beijing", "Shanghai", "Xi'an"]
    assert "Beijing" in shown


def test_schema_is_sent_with_its_question_alone(geo):
    geo.run(f"{CELL}\nWhich cities are large?", "%%qianfan_chat -m ernie-5.1\nhi")
    first, second = bodies(geo.server)
    assert "population" in json.dumps(first)
    assert "response_format" not in second
    assert [m["content"] for m in second["messages"][::2]] == ["Which cities are large?", "hi"]
    assert geo.questions() == ["Which cities are large?", "hi"]


def test_dry_run_shows_the_schema(geo):
    shown = geo.run(f"{CELL} --dry-run\nhi")
    assert "json_object" in shown
    assert "population" in shown


def test_misfit_fails_the_cell_and_is_kept(geo):
    text = '{"x": "many"}'
    answer_next(geo, text)
    error, shown = geo.fail("%%qianfan_chat --schema Point --no-stream -o reply\nhi")
    assert type(error) is SchemaError
    assert error.place == "$.x"
    assert "many" in shown
    assert [turn.assistant for turn in geo.turns()] == [text]
    [reply] = geo.bound("reply")
    assert (reply.text, reply.parsed) == (text, None)


def test_each_column_is_checked(geo):
    answer_next(geo, '{"x": 1}')
    cell = "%%qianfan_chat --schema Point --no-stream -o replies --compare top_p=0.1,0.9\nhi"
    error, _ = geo.fail(cell)
    [replies] = geo.bound("replies")
    assert sorted(str(reply.parsed) for reply in replies) == ["None", "Point(x=1)"]
    assert error.message.startswith("Column ")


def test_invalid_use_is_refused_before_anything_is_sent(geo):
    for flags, words in (
        ("--schema nothing", "no variable 'nothing'"),
        ("--schema geo", "no variable"),
        ("--schema json", "is module"),
        ("--schema Point --format code", "exclude each other"),
        ("--schema Point --continue", "exclude each other"),
    ):
        geo.shell.user_ns["json"] = json
        error, _ = geo.fail(f"%%qianfan_chat {flags}\nhi")
        assert isinstance(error, ParameterError), flags
        assert words in error.message, flags
    assert geo.bodies == []


def test_schema_with_format_json_is_shown_as_json(geo):
    answer_next(geo, '{"x": 1}')
    shown = geo.run("%%qianfan_chat --schema Point --format json --no-stream -o reply\nhi")
    assert '"x": 1' in shown
    assert geo.bound("reply")[0].parsed == Point(1)


def test_words_around_the_only_block_are_left_out_with_a_note(geo):
    for flags in ("--format json", "--schema Point"):
        answer_next(geo, 'Of course:\n```json\n{"x": 1}\n```\nDone.')
        shown = geo.run(f"%%qianfan_chat {flags} --no-stream\nhi")
        assert "words around its JSON" in shown, flags


def test_schema_in_the_question_counts_towards_the_limit(geo):
    geo.shell.user_ns["card"] = {"model": "deepseek-v4-pro", "max_characters": 800}
    geo.run("%config QianfanMagics.models = {'small': card}")
    geo.run("%%qianfan_chat -m small\n" + "x" * 400)
    assert "not sent" not in geo.run("%%qianfan_chat -m small --dry-run\nhi")
    assert "not sent" in geo.run("%%qianfan_chat -m small --schema COUNTRY\nhi")

"""Turns, conversations and records as JSON: what is written, and what is made of what is read."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import (
    KEY,
    Head,
    Record,
    conversation_from_json,
    conversation_to_json,
    is_edited,
    record_from_json,
    record_to_json,
    with_digest,
)
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.conversation.turn_json import turn_from_json, turn_to_json
from qianfan_magic.masking import forget_all, remember

SECRET = 'Wenxin-k3y/"with\\marks'
HUGE = 10**4299  # json reads no longer numbers
DEEP = 100_000

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SAID = TEXT.filter(str.strip)
PARAMETERS = st.dictionaries(
    st.sampled_from(["temperature", "top_p", "stop"]),
    st.floats(0, 1) | st.lists(TEXT, max_size=2),
    max_size=2,
)


def turns(continues: st.SearchStrategy[Turn | None]) -> st.SearchStrategy[Turn]:
    return st.builds(
        Turn,
        SAID,
        SAID,
        stopped=st.booleans(),
        truncated=st.booleans(),
        system=TEXT,
        model=TEXT,
        parameters=PARAMETERS,
        tokens=st.tuples(st.integers(0, 9_999), st.integers(0, 9_999)),
        cell=TEXT,
        continues=continues,
    )


TURNS = turns(turns(st.none()) | st.none())
NOTHING_ELSE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    NOTHING_ELSE | st.sampled_from([HUGE, -HUGE]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    conversation = Conversation(draw(SAID), draw(TEXT))
    for turn in draw(st.lists(TURNS, max_size=4)):
        conversation = conversation.append(turn)
    return conversation


def talk(*turns: Turn) -> Conversation:
    conversation = Conversation("default")
    for turn in turns:
        conversation = conversation.append(turn)
    return conversation


def written(value: Any) -> Any:
    """Write as JSON, and read that."""
    return json.loads(json.dumps(value))


def told(conversation: Conversation, clock: int = 1) -> Any:
    """Return a record of all turns of a conversation, as a notebook's file has it."""
    places = range(len(conversation.turns))
    return written(record_to_json(clock, [conversation], [(conversation, p) for p in places])[KEY])


def forged(**fields: Any) -> Any:
    """Return a record of a turn with these fields, under the digest that fits them."""
    texts = {"user": "hi", "assistant": "hello"} | fields
    said = {name: texts[name] for name in ("user", "assistant", "system") if name in texts}
    record = told(talk(Turn(**said)))
    record["turns"][0] |= texts
    return record


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def places(value: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """List the way to each value inside of a JSON value."""
    named = value.items() if isinstance(value, dict) else ()
    for name, inner in enumerate(value) if isinstance(value, list) else named:
        yield (*before, name)
        yield from places(inner, *before, name)


def changed(value: Any, place: tuple[Any, ...], to: Any) -> Any:
    made = inner = copy.deepcopy(value)
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = to
    return made


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


# --- there and back


@given(TURNS)
def test_turn_comes_back_as_it_was(turn):
    assert turn_from_json(written(turn_to_json(turn))) == turn


@given(TURNS)
def test_turn_comes_back_under_its_id(turn):
    assert turn_from_json(written(turn_to_json(turn))).id == turn.id


@given(conversations())
def test_conversation_comes_back_as_it_was(conversation):
    assert conversation_from_json(written(conversation_to_json(conversation))) == conversation


@given(conversations())
def test_turns_of_a_record_come_back_as_they_were(conversation):
    read = record_from_json(told(conversation))
    assert tuple(one.turn for one in read.turns) == conversation.turns


@given(conversations())
def test_head_of_a_record_is_the_last_turn(conversation):
    count = len(conversation.turns)
    head = Head(id=conversation.head, count=count, system=conversation.system)
    assert record_from_json(told(conversation)).heads == {conversation.name: head}


@given(conversations())
def test_no_turn_that_was_written_is_unreadable(conversation):
    assert record_from_json(told(conversation)).unreadable == ()


def test_turns_of_a_record_are_numbered_from_1():
    record = record_from_json(told(talk(Turn("a", "b"), Turn("c", "d"))))
    assert [one.number for one in record.turns] == [1, 2]


def test_turns_of_a_record_are_told_with_their_conversation():
    assert record_from_json(told(talk(Turn("a", "b")))).turns[0].conversation == "default"


def test_clock_of_a_record_comes_back():
    assert record_from_json(told(talk(), clock=7)).clock == 7


def test_record_that_tells_no_turn_has_none():
    assert record_from_json(record_to_json(1, [talk()], [])[KEY]) == Record(
        1, {"default": Head(id="", count=0, system="")}
    )


def test_what_is_empty_is_not_written():
    assert turn_to_json(Turn("hi", "hello")) == {"user": "hi", "assistant": "hello"}


def test_run_of_this_process_is_not_written():
    assert "msg-1" not in list(strings(turn_to_json(Turn("hi", "hello", run="msg-1"))))


# --- ids


@pytest.mark.parametrize(
    "other",
    [
        {"user": "ho"},
        {"assistant": "hello!"},
        {"system": "Be brief."},
        {"after": "0123"},
        {"stopped": True},
        {"truncated": True},
    ],
    ids=str,
)
def test_id_tells_turns_apart_by_what_was_said(other):
    turn = Turn("hi", "hello")
    assert replace(turn, **other).id != turn.id


def test_id_tells_where_the_question_ends():
    assert Turn("ab", "c").id != Turn("a", "bc").id


@pytest.mark.parametrize("other", [{"cell": "c1"}, {"run": "1"}, {"tokens": (1, 2)}], ids=str)
def test_id_is_of_what_was_said_alone(other):
    turn = Turn("hi", "hello")
    assert replace(turn, **other).id == turn.id


def test_id_tells_what_was_said_before():
    first, second = talk(Turn("a", "b"), Turn("x", "y")), talk(Turn("c", "d"), Turn("x", "y"))
    assert first.head != second.head


def test_same_question_twice_has_two_ids():
    first, second = talk(Turn("a", "b"), Turn("a", "b")).turns
    assert first.id != second.id


# --- secrets


@pytest.fixture
def secret() -> str:
    remember(SECRET)
    return SECRET


#: A turn that quotes a key in one of its places.
QUOTING = {
    "user": {"user": f"Is {SECRET} safe?"},
    "assistant": {"assistant": f"{SECRET}?"},
    "system": {"system": f"Never say {SECRET}."},
    "parameters": {"parameters": {"stop": [SECRET]}},
    "continues": {"continues": Turn(f"Is {SECRET} safe?", f"{SECRET} is", stopped=True)},
}


@pytest.fixture(params=QUOTING)
def quoting(request, secret) -> Conversation:
    """Give a conversation that quotes a key."""
    return talk(Turn(**{"user": "hi", "assistant": "hello"} | QUOTING[request.param]))


def test_key_stands_nowhere_in_a_record(quoting):
    assert not [text for text in strings(told(quoting)) if SECRET in text]


def test_key_stands_nowhere_in_a_file(quoting):
    assert not [text for text in strings(conversation_to_json(quoting)) if SECRET in text]


def test_turn_that_quotes_a_key_can_be_read_again(quoting):
    assert len(record_from_json(told(quoting)).turns) == 1


def test_turn_that_quotes_a_key_is_read_with_a_mask(secret):
    read = record_from_json(told(talk(Turn(f"Is {SECRET} safe?", "No."))))
    assert read.turns[0].turn.user == "Is *** safe?"


def test_turn_after_one_that_quotes_a_key_still_follows_it(secret):
    first, second = record_from_json(told(talk(Turn(SECRET, "b"), Turn("c", "d")))).turns
    assert second.turn.after == first.turn.id


def test_key_that_another_process_masked_can_be_read_without_it(secret):
    record = told(talk(Turn(SECRET, "b")))
    forget_all()
    assert record_from_json(record).turns[0].turn.user == "***"


def test_turn_written_before_its_key_was_known_can_be_read():
    record = told(talk(Turn(f"Is {SECRET} safe?", "No.")))
    remember(SECRET)
    assert record_from_json(record).unreadable == ()


# --- another version


@pytest.mark.parametrize("version", [0, 2, -1, HUGE, "1", True, None, 1.5, float("nan"), [1], {}])
def test_record_of_another_version_is_unreadable(version):
    with pytest.raises(InvalidRecord, match="it is of version"):
        record_from_json(told(talk(Turn("a", "b"))) | {"version": version})


def test_other_version_is_named():
    with pytest.raises(InvalidRecord, match=r"^it is of version 2, and this package reads 1$"):
        record_from_json({"version": 2})


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [], {}, [{"version": 1}]], ids=str)
def test_what_is_no_record_is_unreadable(value):
    with pytest.raises(InvalidRecord):
        record_from_json(value)


def test_version_is_named_shortly():
    with pytest.raises(InvalidRecord) as caught:
        record_from_json({"version": "x" * 100_000})
    assert len(str(caught.value)) < 1_000


def test_version_of_any_depth_is_unreadable():
    with pytest.raises(InvalidRecord):
        record_from_json({"version": nested(DEEP)})


# --- damaged records

WRONG = {
    "clock": [None, True, -1, -HUGE, 1.0, float("nan"), "1", [], {}],
    "heads": [None, True, 1, "x", [], {"default": None}, {"default": "x"}, {"default": []}],
    "turns": [None, True, 1, "x", {}],
}
WRONG_IN_HEAD = {
    "id": [None, 1, [], True],
    "turns": [None, "1", [], 1.0],
    "system": [None, 1, [], {}],
}
WRONG_IN_TURN = {
    "conversation": [None, 1, "", " ", [], True],
    "turn": [None, True, -1, 1.0, float("nan"), "1", []],
    "id": [None, 1, "", "0123", []],
    "user": [None, 1, "", " \n", [], "other"],
    "assistant": [None, 1, "", "\u3000", {}, "other"],
    "system": [None, 1, [], "other"],
    "after": [None, 1, [], "0123"],
    "stopped": [None, 0, 1, "false", True],
    "truncated": [None, 0, 1, "false", True],
    "model": [None, 1, []],
    "cell": [None, 1, []],
    "parameters": [None, 1, "x", []],
    "tokens": [None, 1, [], {"prompt": True}, {"prompt": -1}, {"completion": 1.0}],
    "continues": ["x", 1, True, [1], {"user": "hi"}, {"user": "hi", "assistant": ""}],
}


def cases(wrong: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(field, value, id=f"{field}-{str(value)[:16]!r}")
        for field, values in wrong.items()
        for value in values
    ]


@pytest.mark.parametrize(("field", "value"), cases(WRONG))
def test_damaged_record_is_unreadable(field, value):
    with pytest.raises(InvalidRecord):
        record_from_json(told(talk(Turn("hi", "hello"))) | {field: value})


@pytest.mark.parametrize(("field", "value"), cases(WRONG_IN_HEAD))
def test_record_with_a_damaged_head_is_unreadable(field, value):
    record = told(talk(Turn("hi", "hello")))
    record["heads"]["default"][field] = value
    with pytest.raises(InvalidRecord, match=f"^'{field}' is missing or of the wrong type$"):
        record_from_json(record)


@pytest.mark.parametrize(("field", "value"), cases(WRONG_IN_TURN))
def test_damaged_turn_is_not_told(field, value):
    record = told(talk(Turn("hi", "hello")))
    record["turns"][0][field] = value
    assert record_from_json(record).turns == ()


@pytest.mark.parametrize(("field", "value"), cases(WRONG_IN_TURN))
def test_damaged_turn_is_accounted_for(field, value):
    record = told(talk(Turn("hi", "hello")))
    record["turns"][0][field] = value
    assert len(record_from_json(record).unreadable) == 1


@pytest.mark.parametrize("field", ["user", "assistant", "id", "conversation"])
def test_turn_without_a_field_is_not_told(field):
    record = told(talk(Turn("hi", "hello")))
    del record["turns"][0][field]
    assert record_from_json(record).turns == ()


@pytest.mark.parametrize("value", [None, True, 1, "x", [], [{}]], ids=str)
def test_what_is_no_turn_is_accounted_for(value):
    record = told(talk()) | {"turns": [value]}
    assert len(record_from_json(record).unreadable) == 1


def test_damaged_turn_leaves_the_others():
    record = told(talk(Turn("a", "b"), Turn("c", "d"), Turn("e", "f")))
    record["turns"][1]["user"] = "edited"
    assert [one.turn.user for one in record_from_json(record).turns] == ["a", "e"]


def test_edited_turn_is_called_edited():
    record = told(talk(Turn("hi", "hello")))
    record["turns"][0]["assistant"] = "Hello!"
    assert record_from_json(record).unreadable == ("it has been edited by hand",)


def test_fields_of_a_later_package_do_no_harm():
    record = told(talk(Turn("hi", "hello"))) | {"mood": "good"}
    record["turns"][0]["mood"] = ["good"]
    assert record_from_json(record).turns[0].turn == Turn("hi", "hello")


# --- hostile records


@given(JSON)
def test_any_json_is_a_record_or_unreadable(value):
    read_or_unreadable(record_from_json, value)


@given(JSON)
def test_any_json_is_a_turn_or_unreadable(value):
    read_or_unreadable(turn_from_json, value)


@given(JSON)
def test_any_json_is_a_conversation_or_unreadable(value):
    read_or_unreadable(conversation_from_json, value)


LONG = talk(
    Turn("a", "b", system="s", parameters={"stop": ["x"]}, tokens=(1, 2), cell="c1", model="m"),
    Turn("c", "d", stopped=True, continues=Turn("c", "x", stopped=True)),
)


@given(st.sampled_from(list(places(told(LONG)))), JSON)
def test_record_with_anything_in_it_tells_what_was_said_or_nothing(place, value):
    read = read_or_unreadable(record_from_json, changed(told(LONG), place, value))
    said = {(turn.user, turn.assistant) for turn in LONG.turns}
    assert read is None or {(o.turn.user, o.turn.assistant) for o in read.turns} <= said


@given(st.sampled_from(list(places(conversation_to_json(LONG)))), JSON)
def test_conversation_with_anything_in_it_has_whole_turns(place, value):
    file = changed(written(conversation_to_json(LONG)), place, value)
    read = read_or_unreadable(conversation_from_json, file)
    assert read is None or all(t.user.strip() and t.assistant.strip() for t in read.turns)


def read_or_unreadable(read: Any, value: Any) -> Any:
    """Read it; anything raised but `InvalidRecord` fails the test."""
    try:
        return read(value)
    except InvalidRecord:
        return None


@pytest.mark.parametrize("clock", [2**53, HUGE * 10 - 1], ids=["2**53", "huge"])
def test_clock_that_no_browser_can_count_on_is_unreadable(clock):
    with pytest.raises(InvalidRecord, match="clock"):
        record_from_json(told(talk(), clock=1) | {"clock": clock})


@pytest.mark.parametrize("name", ["", " ", "half \ud83d"])
def test_name_that_cannot_be_one_is_unreadable(name):
    with pytest.raises(InvalidRecord, match="name"):
        record_from_json({"version": 1, "heads": {name: {}}})


def test_clock_of_now_is_read():
    now = time.time_ns() // 10**6
    assert record_from_json(told(talk(), clock=now)).clock == now


def test_clock_of_another_computer_may_be_an_hour_ahead():
    ahead = time.time_ns() // 10**6 + 3_600_000
    assert record_from_json(told(talk(), clock=ahead)).clock == ahead


def test_clock_that_is_days_ahead_is_refused():
    with pytest.raises(InvalidRecord, match="ahead of this computer's"):
        record_from_json(told(talk(), clock=time.time_ns() // 10**6 + 2 * 86_400_000))


def test_answer_that_goes_on_endlessly_is_unreadable():
    turn: dict[str, Any] = {"user": "a", "assistant": "b"}
    for _ in range(DEEP):
        turn = {"user": "a", "assistant": "b", "continues": turn}
    with pytest.raises(InvalidRecord):
        turn_from_json(turn)


#: What a notebook's file can hold, and the next one cannot: its front ends write strict JSON.
UNWRITABLE = [
    {"user": "half \ud83d"},
    {"assistant": "half \ude00"},
    {"system": "half \ud83d"},
    {"model": "half \ud83d"},
    {"cell": "half \ud83d"},
    {"parameters": {"temperature": float("nan")}},
    {"parameters": {"temperature": float("inf")}},
    {"parameters": {"stop": ["half \ud83d"]}},
    {"parameters": {"half \ud83d": 1}},
]


@pytest.mark.parametrize("fields", UNWRITABLE, ids=lambda fields: ascii(fields)[:40])
def test_what_is_read_can_be_written_again(fields):
    record = read_or_unreadable(record_from_json, forged(**fields))
    for one in record.turns if record else ():
        again = json.dumps(turn_to_json(one.turn), ensure_ascii=False, allow_nan=False)
        assert again.encode()


def test_parameters_of_any_depth_can_be_written_again():
    for one in record_from_json(forged(parameters={"stop": nested(DEEP)})).turns:
        assert json.dumps(turn_to_json(one.turn))


# --- what is shown with a record


def test_sealed_text_is_not_edited():
    assert not is_edited(with_digest(record_to_json(1, [], []), "hello")[KEY], "hello")


@pytest.mark.parametrize("text", ["", "hello ", "Hello", "hello\n"])
def test_other_text_is_edited(text):
    assert is_edited(with_digest(record_to_json(1, [], []), "hello")[KEY], text)


def test_seal_leaves_the_record_as_it_is():
    record = record_to_json(1, [talk()], [])
    assert with_digest(record, "hello")[KEY].items() > record[KEY].items()


def test_seal_does_not_change_the_record_that_it_is_given():
    record = record_to_json(1, [talk()], [])
    with_digest(record, "hello")
    assert "shown" not in record[KEY]


def test_output_without_a_record_has_no_seal():
    assert with_digest({}, "hello") == {}


def test_half_a_character_can_be_sealed():
    assert not is_edited(with_digest(record_to_json(1, [], []), "\ud83d")[KEY], "\ud83d")


def test_record_without_a_seal_is_not_edited():
    assert not is_edited(told(talk()), "whatever")


@pytest.mark.parametrize("seal", [None, True, 1, "", [], {}], ids=str)
def test_forged_seal_is_edited(seal):
    assert is_edited({"shown": seal}, "hello")


# --- conversations of a file


@pytest.mark.parametrize("name", [None, "", " ", 1, [], True])
def test_conversation_without_a_name_is_unreadable(name):
    with pytest.raises(InvalidRecord, match="name"):
        conversation_from_json({"name": name, "turns": []})


@pytest.mark.parametrize("turns", [None, {}, "x", 1])
def test_conversation_without_a_list_of_turns_is_unreadable(turns):
    with pytest.raises(InvalidRecord, match="turns"):
        conversation_from_json({"name": "default", "turns": turns})


def test_damaged_turn_is_named_by_its_number():
    file = written(conversation_to_json(talk(Turn("a", "b"), Turn("c", "d"))))
    file["turns"][1]["assistant"] = ""
    with pytest.raises(
        InvalidRecord, match=r"^turn 2 of 'default': 'assistant' is missing or empty$"
    ):
        conversation_from_json(file)


def test_turns_whose_texts_were_edited_follow_each_other():
    file = written(conversation_to_json(talk(Turn("a", "b"), Turn("c", "d"))))
    file["turns"][0]["assistant"] = "edited"
    first, second = conversation_from_json(file).turns
    assert second.after == first.id


def test_turns_written_by_hand_follow_each_other():
    turns = [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d"}]
    first, second = conversation_from_json({"name": "default", "turns": turns}).turns
    assert second.after == first.id

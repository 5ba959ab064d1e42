"""Turns, conversations and records as JSON: what is written, and how untrusted JSON is read."""

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
from qianfan_magic.conversation.turn import ImageAttachment, Turn
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
IMAGES = st.builds(
    ImageAttachment, SAID, SAID, st.sampled_from(["", "data:image/png;base64,iVBORw0KGgo="])
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
        after=TEXT,
        reasoning=TEXT,
        pictures=st.lists(IMAGES, max_size=2).map(tuple),
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


def recorded(conversation: Conversation, clock: int = 1) -> Any:
    """Return a record of all turns of a conversation, as a notebook's file has it."""
    places = range(len(conversation.turns))
    return written(record_to_json(clock, [conversation], [(conversation, p) for p in places])[KEY])


def forged(**fields: Any) -> Any:
    """Return a record of a turn with these fields, under the digest that fits them."""
    texts = {"user": "hi", "assistant": "hello"} | fields
    said = {name: texts[name] for name in ("user", "assistant", "system") if name in texts}
    record = recorded(talk(Turn(**said)))
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
def test_any_turn_survives_the_round_trip(turn):
    read = turn_from_json(written(turn_to_json(turn, whole=True)))
    assert read == turn
    assert read.id == turn.id
    # These two take no part in the equality of turns.
    assert read.reasoning == turn.reasoning
    assert [image.url for image in read.pictures] == [image.url for image in turn.pictures]


@given(conversations())
def test_conversation_comes_back_as_it_was(conversation):
    assert conversation_from_json(written(conversation_to_json(conversation))) == conversation


@given(conversations())
def test_any_record_survives_the_round_trip(conversation):
    read = record_from_json(recorded(conversation))
    count = len(conversation.turns)
    head = Head(id=conversation.head, count=count, system=conversation.system)
    assert tuple(one.turn for one in read.turns) == conversation.turns
    assert read.heads == {conversation.name: head}
    assert read.unreadable == ()


def test_turns_of_a_record_are_numbered_from_1():
    record = record_from_json(recorded(talk(Turn("a", "b"), Turn("c", "d"))))
    assert [one.number for one in record.turns] == [1, 2]


def test_turns_of_a_record_name_their_conversation():
    assert record_from_json(recorded(talk(Turn("a", "b")))).turns[0].conversation == "default"


def test_clock_of_a_record_comes_back():
    assert record_from_json(recorded(talk(), clock=7)).clock == 7


def test_record_that_holds_no_turn_has_none():
    assert record_from_json(record_to_json(1, [talk()], [])[KEY]) == Record(
        1, {"default": Head(id="", count=0, system="")}
    )


def test_empty_fields_are_not_written():
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
    assert not [text for text in strings(recorded(quoting)) if SECRET in text]


def test_key_stands_nowhere_in_a_file(quoting):
    assert not [text for text in strings(conversation_to_json(quoting)) if SECRET in text]


def test_turn_that_quotes_a_key_can_be_read_again(quoting):
    assert len(record_from_json(recorded(quoting)).turns) == 1


def test_turn_that_quotes_a_key_is_read_with_a_mask(secret):
    read = record_from_json(recorded(talk(Turn(f"Is {SECRET} safe?", "No."))))
    assert read.turns[0].turn.user == "Is *** safe?"


def test_turn_after_one_that_quotes_a_key_still_follows_it(secret):
    first, second = record_from_json(recorded(talk(Turn(SECRET, "b"), Turn("c", "d")))).turns
    assert second.turn.after == first.turn.id


def test_key_that_another_process_masked_can_be_read_without_it(secret):
    record = recorded(talk(Turn(SECRET, "b")))
    forget_all()
    assert record_from_json(record).turns[0].turn.user == "***"


def test_turn_written_before_its_key_was_known_can_be_read():
    record = recorded(talk(Turn(f"Is {SECRET} safe?", "No.")))
    remember(SECRET)
    assert record_from_json(record).unreadable == ()


# --- another version


def test_record_of_another_version_is_invalid():
    for version in [0, 2, -1, HUGE, "1", True, None, 1.5, float("nan"), [1], {}]:
        record = recorded(talk(Turn("a", "b"))) | {"version": version}
        assert "it is of version" in why_invalid(record_from_json, record), str(version)[:40]


def test_other_version_is_named():
    with pytest.raises(InvalidRecord, match=r"^it is of version 2, and this package reads 1$"):
        record_from_json({"version": 2})


def test_value_that_is_not_a_record_is_invalid():
    for value in [None, True, 1, 1.5, "x", [], {}, [{"version": 1}]]:
        assert why_invalid(record_from_json, value), value


def test_version_is_named_shortly():
    with pytest.raises(InvalidRecord) as caught:
        record_from_json({"version": "x" * 100_000})
    assert len(str(caught.value)) < 1_000


def test_version_of_any_depth_is_invalid():
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


def cases(wrong: dict[str, list[Any]]) -> Iterator[tuple[str, Any, str]]:
    """Yield each field with each of its wrong values, and a name for the assert message."""
    for field, values in wrong.items():
        for value in values:
            yield field, value, f"{field}: {str(value)[:40]}"


def why_invalid(read: Any, value: Any) -> str:
    """Return why a value is invalid; empty if it is read."""
    try:
        read(value)
    except InvalidRecord as error:
        return str(error)
    return ""


def test_record_with_a_damaged_field_is_invalid():
    for field, value, case in cases(WRONG):
        record = recorded(talk(Turn("hi", "hello"))) | {field: value}
        assert why_invalid(record_from_json, record), case


def test_record_with_a_damaged_head_is_invalid():
    for field, value, case in cases(WRONG_IN_HEAD):
        record = recorded(talk(Turn("hi", "hello")))
        record["heads"]["default"][field] = value
        why = why_invalid(record_from_json, record)
        assert why == f"{field!r} is missing or of the wrong type", case


def test_damaged_turn_is_left_out_with_a_reason():
    for field, value, case in cases(WRONG_IN_TURN):
        record = recorded(talk(Turn("hi", "hello")))
        record["turns"][0][field] = value
        read = record_from_json(record)
        assert (read.turns, len(read.unreadable)) == ((), 1), case


def test_turn_without_a_field_is_left_out():
    for field in ["user", "assistant", "id", "conversation"]:
        record = recorded(talk(Turn("hi", "hello")))
        del record["turns"][0][field]
        assert record_from_json(record).turns == (), field


def test_value_that_is_not_a_turn_is_left_out_with_a_reason():
    for value in [None, True, 1, "x", [], [{}]]:
        read = record_from_json(recorded(talk()) | {"turns": [value]})
        assert len(read.unreadable) == 1, value


def test_damaged_turn_leaves_the_others():
    record = recorded(talk(Turn("a", "b"), Turn("c", "d"), Turn("e", "f")))
    record["turns"][1]["user"] = "edited"
    assert [one.turn.user for one in record_from_json(record).turns] == ["a", "e"]


def test_edited_turn_is_described_as_edited():
    record = recorded(talk(Turn("hi", "hello")))
    record["turns"][0]["assistant"] = "Hello!"
    assert record_from_json(record).unreadable == ("it has been edited by hand",)


def test_fields_of_a_later_package_are_ignored():
    record = recorded(talk(Turn("hi", "hello"))) | {"mood": "good"}
    record["turns"][0]["mood"] = ["good"]
    assert record_from_json(record).turns[0].turn == Turn("hi", "hello")


# --- hostile records


@given(JSON)
def test_any_json_is_a_record_or_invalid(value):
    read_or_invalid(record_from_json, value)


@given(JSON)
def test_any_json_is_a_turn_or_invalid(value):
    read_or_invalid(turn_from_json, value)


@given(JSON)
def test_any_json_is_a_conversation_or_invalid(value):
    read_or_invalid(conversation_from_json, value)


LONG = talk(
    Turn("a", "b", system="s", parameters={"stop": ["x"]}, tokens=(1, 2), cell="c1", model="m"),
    Turn("c", "d", stopped=True, continues=Turn("c", "x", stopped=True)),
)


@given(st.sampled_from(list(places(recorded(LONG)))), JSON)
def test_record_with_anything_in_it_holds_the_original_texts_or_nothing(place, value):
    read = read_or_invalid(record_from_json, changed(recorded(LONG), place, value))
    said = {(turn.user, turn.assistant) for turn in LONG.turns}
    assert read is None or {(o.turn.user, o.turn.assistant) for o in read.turns} <= said


@given(st.sampled_from(list(places(conversation_to_json(LONG)))), JSON)
def test_conversation_with_anything_in_it_has_whole_turns(place, value):
    file = changed(written(conversation_to_json(LONG)), place, value)
    read = read_or_invalid(conversation_from_json, file)
    assert read is None or all(t.user.strip() and t.assistant.strip() for t in read.turns)


def read_or_invalid(read: Any, value: Any) -> Any:
    """Read it; anything raised but `InvalidRecord` fails the test."""
    try:
        return read(value)
    except InvalidRecord:
        return None


@pytest.mark.parametrize("clock", [2**53, HUGE * 10 - 1], ids=["2**53", "huge"])
def test_clock_that_a_browser_would_round_is_invalid(clock):
    with pytest.raises(InvalidRecord, match="clock"):
        record_from_json(recorded(talk(), clock=1) | {"clock": clock})


@pytest.mark.parametrize("name", ["", " ", "half \ud83d"])
def test_name_that_cannot_be_one_is_invalid(name):
    with pytest.raises(InvalidRecord, match="name"):
        record_from_json({"version": 1, "heads": {name: {}}})


def test_clock_of_now_is_read():
    now = time.time_ns() // 10**6
    assert record_from_json(recorded(talk(), clock=now)).clock == now


def test_clock_of_another_computer_may_be_an_hour_ahead():
    ahead = time.time_ns() // 10**6 + 3_600_000
    assert record_from_json(recorded(talk(), clock=ahead)).clock == ahead


def test_clock_that_is_days_ahead_is_refused():
    with pytest.raises(InvalidRecord, match="ahead of this computer's"):
        record_from_json(recorded(talk(), clock=time.time_ns() // 10**6 + 2 * 86_400_000))


def test_answer_that_is_continued_endlessly_is_invalid():
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
    record = read_or_invalid(record_from_json, forged(**fields))
    for one in record.turns if record else ():
        again = json.dumps(turn_to_json(one.turn), ensure_ascii=False, allow_nan=False)
        assert again.encode()


def test_parameters_of_any_depth_can_be_written_again():
    for one in record_from_json(forged(parameters={"stop": nested(DEEP)})).turns:
        assert json.dumps(turn_to_json(one.turn))


# --- what is shown with a record


def test_text_with_its_digest_is_not_edited():
    assert not is_edited(with_digest(record_to_json(1, [], []), "hello")[KEY], "hello")


def test_other_text_is_edited():
    for text in ["", "hello ", "Hello", "hello\n"]:
        assert is_edited(with_digest(record_to_json(1, [], []), "hello")[KEY], text), repr(text)


def test_digest_leaves_the_record_as_it_is():
    record = record_to_json(1, [talk()], [])
    assert with_digest(record, "hello")[KEY].items() > record[KEY].items()


def test_digest_does_not_change_the_record_that_it_is_given():
    record = record_to_json(1, [talk()], [])
    with_digest(record, "hello")
    assert "shown" not in record[KEY]


def test_output_without_a_record_has_no_digest():
    assert with_digest({}, "hello") == {}


def test_half_a_character_has_a_digest():
    assert not is_edited(with_digest(record_to_json(1, [], []), "\ud83d")[KEY], "\ud83d")


def test_record_without_a_digest_is_not_edited():
    assert not is_edited(recorded(talk()), "whatever")


def test_text_with_a_forged_digest_is_edited():
    for digest in [None, True, 1, "", [], {}]:
        assert is_edited({"shown": digest}, "hello"), digest


# --- conversations of a file


def test_conversation_without_a_name_is_invalid():
    for name in [None, "", " ", 1, [], True]:
        why = why_invalid(conversation_from_json, {"name": name, "turns": []})
        assert "name" in why, repr(name)


def test_conversation_without_a_list_of_turns_is_invalid():
    for turns in [None, {}, "x", 1]:
        why = why_invalid(conversation_from_json, {"name": "default", "turns": turns})
        assert "turns" in why, repr(turns)


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

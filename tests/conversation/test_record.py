"""Turns, conversations and records as JSON: how they are written, and read as untrusted input."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.mutations import paths, replaced

from qianfan_magic import SearchResult
from qianfan_magic.api.types import LARGEST_COUNT, ToolCall, ToolRound
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import (
    KEY,
    MAX_NAMES,
    MAX_SKEW,
    Head,
    Record,
    conversation_from_json,
    conversation_to_json,
    record_beside,
    record_from_json,
    record_to_json,
)
from qianfan_magic.conversation.turn import ImageAttachment, Turn
from qianfan_magic.conversation.turn_json import turn_from_json, turn_to_json
from qianfan_magic.masking import forget_all, remember

SECRET = 'Wenxin-k3y/"with\\marks'
HUGE = 10**4299  # json reads no longer numbers
DEEP = 100_000

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NONBLANK = TEXT.filter(str.strip)
PARAMETERS = st.dictionaries(
    st.sampled_from(["temperature", "top_p", "stop"]),
    st.floats(0, 1) | st.lists(TEXT, max_size=2),
    max_size=2,
)
IMAGES = st.builds(
    ImageAttachment, NONBLANK, NONBLANK, st.sampled_from(["", "data:image/png;base64,iVBORw0KGgo="])
)


CALLS = st.builds(ToolCall, NONBLANK, TEXT, NONBLANK, NONBLANK, is_error=st.booleans())
ROUNDS = st.builds(
    ToolRound,
    st.lists(CALLS, min_size=1, max_size=2, unique_by=lambda call: call.id).map(tuple),
    TEXT,
)


def turns(continues: st.SearchStrategy[Turn | None]) -> st.SearchStrategy[Turn]:
    return st.builds(
        Turn,
        NONBLANK,
        NONBLANK,
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
        rounds=st.lists(ROUNDS, max_size=2).map(tuple),
        continues=continues,
    )


TURNS = turns(turns(st.none()) | st.none())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    SCALARS | st.sampled_from([HUGE, -HUGE]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    conversation = Conversation(draw(NONBLANK), draw(TEXT))
    for turn in draw(st.lists(TURNS, max_size=4)):
        conversation = conversation.append(turn)
    return conversation


def conversation_of(*turns: Turn) -> Conversation:
    conversation = Conversation("default")
    for turn in turns:
        conversation = conversation.append(turn)
    return conversation


def through_json(value: Any) -> Any:
    """Return a value as it is read again from a file."""
    return json.loads(json.dumps(value))


def record_of(conversation: Conversation, clock: int = 1) -> Any:
    """Return a record of all turns of a conversation, as it is read from a notebook's file."""
    turns = [(conversation, index) for index in range(len(conversation.turns))]
    return through_json(record_to_json(clock, [conversation], turns)[KEY])


def forged_record(**fields: Any) -> Any:
    """Return a record of a turn with these fields, under the digest that fits them."""
    forged = {"user": "hi", "assistant": "hello"} | fields
    texts = {name: forged[name] for name in ("user", "assistant", "system") if name in forged}
    record = record_of(conversation_of(Turn(**texts)))
    record["turns"][0] |= forged
    return record


def strings(value: Any) -> Iterator[str]:
    """Yield all texts in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def nested(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


def why_invalid(read: Any, value: Any) -> str:
    """Return why a value is invalid; empty if it is valid."""
    try:
        read(value)
    except InvalidRecord as error:
        return str(error)
    return ""


def read_or_none(read: Any, value: Any) -> Any:
    """Return what is read; None if it is invalid. Any other error fails the test."""
    try:
        return read(value)
    except InvalidRecord:
        return None


# --- round trips


@given(TURNS)
def test_turn_survives_the_round_trip(turn):
    read = turn_from_json(through_json(turn_to_json(turn, whole=True)))
    assert read == turn
    assert read.id == turn.id
    # These two take no part in the equality of turns.
    assert read.reasoning == turn.reasoning
    assert [image.url for image in read.pictures] == [image.url for image in turn.pictures]


@given(conversations())
def test_conversation_survives_the_round_trip(conversation):
    assert conversation_from_json(through_json(conversation_to_json(conversation))) == conversation


@given(conversations(), st.integers(0, 10**12))
def test_record_survives_the_round_trip(conversation, clock):
    read = record_from_json(record_of(conversation, clock))
    assert read.clock == clock
    assert read.heads == {
        conversation.name: Head(
            id=conversation.head, count=len(conversation.turns), system=conversation.system
        )
    }
    assert [recorded.turn for recorded in read.turns] == list(conversation.turns)
    assert [recorded.id for recorded in read.turns] == [turn.id for turn in conversation.turns]
    assert [recorded.number for recorded in read.turns] == [
        index + 1 for index in range(len(conversation.turns))
    ]
    assert {recorded.conversation for recorded in read.turns} <= {conversation.name}
    assert read.unreadable == ()


def test_record_without_turns_has_a_clock_and_heads_only():
    record = record_to_json(1, [conversation_of()], [])[KEY]
    assert record.keys() == {"version", "clock", "heads"}
    assert record_from_json(record) == Record(1, {"default": Head(id="", count=0, system="")})


def test_fields_that_may_be_missing_are_empty():
    assert record_from_json({"version": 1}) == Record(0, {})
    assert record_from_json({"version": 1, "heads": {"a": {}}}).heads == {"a": Head("", 0, "")}


def test_empty_fields_and_the_run_are_not_written():
    turn = Turn("hi", "hello", run="msg-1")
    assert turn_to_json(turn) == {"user": "hi", "assistant": "hello"}


def test_tokens_are_written_where_one_count_is_not_0():
    for tokens in (3, 0), (0, 4):
        written = turn_to_json(Turn("hi", "hello", tokens=tokens))["tokens"]
        assert written == {"prompt": tokens[0], "completion": tokens[1]}


def test_data_of_images_is_written_into_files_and_not_into_records():
    image = ImageAttachment("wall.png", "0123", "data:image/png;base64,iVBORw0KGgo=")
    before = Turn("What?", "A w", stopped=True, pictures=(image,))
    conversation = conversation_of(Turn("What?", "A wall.", pictures=(image,), continues=before))
    file = conversation_to_json(conversation)["turns"][0]
    record = record_of(conversation)["turns"][0]
    for turn in file, file["continues"]:
        assert turn["pictures"] == [{"name": "wall.png", "digest": "0123", "url": image.url}]
    for turn in record, record["continues"]:
        assert turn["pictures"] == [{"name": "wall.png", "digest": "0123"}]


# --- secrets

#: Turns that quote a secret, each in one of its fields.
QUOTING = [
    Turn(f"Is {SECRET} safe?", "hello"),
    Turn("hi", f"{SECRET}?"),
    Turn("hi", "hello", system=f"Never say {SECRET}."),
    Turn("hi", "hello", reasoning=f"The key is {SECRET}."),
    Turn("hi", "hello", parameters={"stop": [SECRET]}),
    Turn("hi", "hello", pictures=(ImageAttachment(SECRET, "0123"),)),
    Turn("hi", "hello", continues=Turn(f"Is {SECRET} safe?", f"{SECRET} is", stopped=True)),
]


def test_secret_is_masked_in_records_and_files():
    remember(SECRET)
    for turn in QUOTING:
        conversation = Conversation(f"about {SECRET}").append(turn)
        record = record_of(conversation)
        for written in record, conversation_to_json(conversation):
            texts = list(strings(written))
            assert not [text for text in texts if SECRET in text], turn
            assert "about ***" in texts, turn
        assert len(record_from_json(record).turns) == 1, turn


def test_turn_that_quotes_a_secret_is_read_with_a_mask_and_followed_by_the_next():
    remember(SECRET)
    conversation = conversation_of(Turn(f"Is {SECRET} safe?", "No."), Turn("c", "d"))
    first, second = record_from_json(record_of(conversation)).turns
    assert first.turn.user == "Is *** safe?"
    assert second.turn.after == first.turn.id


def test_turn_that_another_process_masked_is_read_without_the_secret():
    remember(SECRET)
    record = record_of(conversation_of(Turn(SECRET, "b")))
    forget_all()
    assert record_from_json(record).turns[0].turn.user == "***"


def test_turn_recorded_before_its_secret_was_known_is_read():
    record = record_of(conversation_of(Turn(f"Is {SECRET} safe?", "No.")))
    remember(SECRET)
    assert record_from_json(record).unreadable == ()


# --- versions


def test_record_of_another_version_is_invalid():
    for version, named in (
        (0, "(unknown)"),
        (2, "2"),
        (LARGEST_COUNT - 1, str(LARGEST_COUNT - 1)),
        (LARGEST_COUNT, "(unknown)"),
        (HUGE, "(unknown)"),
        (-1, "(unknown)"),
        ("1", "(unknown)"),
        ("x" * 100_000, "(unknown)"),
        (True, "(unknown)"),
        (None, "(unknown)"),
        (1.5, "(unknown)"),
        (float("nan"), "(unknown)"),
        ([1], "(unknown)"),
        ({}, "(unknown)"),
        (nested(DEEP), "(unknown)"),
    ):
        record = record_of(conversation_of(Turn("a", "b"))) | {"version": version}
        why = why_invalid(record_from_json, record)
        assert why == f"it is of version {named}, and this package reads 1"


def test_value_that_is_not_a_record_is_invalid():
    for value in [None, True, 1, 1.5, "x", [], {}, [{"version": 1}]]:
        why = why_invalid(record_from_json, value)
        assert why == "it is of version (unknown), and this package reads 1", value


def test_fields_of_a_later_package_are_ignored():
    record = record_of(conversation_of(Turn("hi", "hello"))) | {"mood": "good"}
    record["turns"][0]["mood"] = ["good"]
    assert record_from_json(record).turns[0].turn == Turn("hi", "hello")


# --- damaged records

WRONG_IN_RECORD = {
    "clock": [None, True, -1, -HUGE, 1.0, float("nan"), "1", [], {}, 2**53 - 1, 2**53, HUGE * 10],
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
    "reasoning": [None, 1, []],
    "parameters": [None, 1, "x", [], {"top_k": None}, {"top_k": {}}, {"stop": [1]}],
    "tokens": [None, 1, [], {"prompt": True}, {"prompt": -1}, {"completion": 1.0}],
    "continues": ["x", 1, True, [1], {"user": "hi"}, {"user": "hi", "assistant": ""}],
    "pictures": [None, 1, "x", {}, [None], ["x"], [{}], [{"name": "a"}], [{"digest": "a"}]],
}


def cases(wrong: dict[str, list[Any]]) -> Iterator[tuple[str, Any, str]]:
    """Yield each field with each of its wrong values, and a name for the assert message."""
    for field, values in wrong.items():
        for number, value in enumerate(values):
            yield field, value, f"{field}: value {number}"


def test_record_with_a_damaged_field_is_invalid():
    for field, value, case in cases(WRONG_IN_RECORD):
        record = record_of(conversation_of(Turn("hi", "hello"))) | {field: value}
        why = why_invalid(record_from_json, record)
        assert why, case
        assert field != "clock" or "'clock'" in why, case


def test_record_with_a_damaged_head_is_invalid():
    for field, value, case in cases(WRONG_IN_HEAD):
        record = record_of(conversation_of(Turn("hi", "hello")))
        record["heads"]["default"][field] = value
        why = why_invalid(record_from_json, record)
        assert why == f"{field!r} is missing or of the wrong type", case


def test_name_of_a_head_is_a_text_that_is_not_blank():
    for name, why in (
        ("", "'name' is missing or empty"),
        (" ", "'name' is missing or empty"),
        ("half \ud83d", "'name' holds half of a character (a lone surrogate)"),
    ):
        record = {"version": 1, "heads": {name: {}}}
        assert why_invalid(record_from_json, record) == why, ascii(name)


def test_record_names_at_most_1000_conversations():
    heads: dict[str, Any] = {f"c{number}": {} for number in range(MAX_NAMES)}
    assert len(record_from_json({"version": 1, "heads": heads}).heads) == MAX_NAMES == 1_000
    record = {"version": 1, "heads": heads | {"one more": {}}}
    assert why_invalid(record_from_json, record) == "it names more than 1000 conversations"


def test_damaged_turn_is_left_out_with_a_reason():
    for field, value, case in cases(WRONG_IN_TURN):
        record = record_of(conversation_of(Turn("hi", "hello")))
        record["turns"][0][field] = value
        read = record_from_json(record)
        assert read.turns == (), case
        assert len(read.unreadable) == 1, case


def test_turn_without_a_required_field_is_left_out():
    for field, why in (
        ("user", "'user' is missing or empty"),
        ("assistant", "'assistant' is missing or empty"),
        ("conversation", "'conversation' is missing or empty"),
        ("id", "it, or the text of its output, has been edited"),
    ):
        record = record_of(conversation_of(Turn("hi", "hello")))
        del record["turns"][0][field]
        read = record_from_json(record)
        assert read.turns == (), field
        assert read.unreadable == (why,), field


def test_value_that_is_not_a_turn_is_left_out_with_a_reason():
    for value in [None, True, 1, "x", [], [{}]]:
        read = record_from_json(record_of(conversation_of()) | {"turns": [value]})
        assert read.turns == (), value
        assert read.unreadable == ("it is not a JSON object",), value


def test_turn_whose_record_has_no_head_of_its_conversation_is_left_out():
    record = record_of(conversation_of(Turn("a", "b"))) | {"heads": {"other": {}}}
    assert record_from_json(record).unreadable == ("its record has no head of its conversation",)


def test_edited_turn_leaves_the_others():
    record = record_of(conversation_of(Turn("a", "b"), Turn("c", "d"), Turn("e", "f")))
    record["turns"][1]["user"] = "edited"
    read = record_from_json(record)
    assert [recorded.turn.user for recorded in read.turns] == ["a", "e"]
    assert read.unreadable == ("it, or the text of its output, has been edited",)


# --- hostile records


@given(JSON)
def test_any_json_is_read_or_invalid(value):
    for read in record_from_json, turn_from_json, conversation_from_json:
        read_or_none(read, value)


LONG = conversation_of(
    Turn("a", "b", system="s", parameters={"stop": ["x"]}, tokens=(1, 2), cell="c1", model="m"),
    Turn("c", "d", stopped=True, continues=Turn("c", "x", stopped=True)),
    Turn("e", "f", rounds=(ToolRound((ToolCall("add", "{}", "3", "a"),), "I add."),)),
)


@given(st.sampled_from(list(paths(record_of(LONG)))), JSON)
def test_record_with_any_value_in_it_holds_the_original_texts_or_nothing(path, value):
    read = read_or_none(record_from_json, replaced(record_of(LONG), path, value))
    texts = {(turn.user, turn.assistant) for turn in LONG.turns}
    assert read is None or {(r.turn.user, r.turn.assistant) for r in read.turns} <= texts


@given(st.sampled_from(list(paths(conversation_to_json(LONG)))), JSON)
def test_conversation_with_any_value_in_it_has_whole_turns(path, value):
    file = replaced(through_json(conversation_to_json(LONG)), path, value)
    read = read_or_none(conversation_from_json, file)
    assert read is None or all(t.user.strip() and t.assistant.strip() for t in read.turns)


def test_clock_may_be_a_day_ahead():
    # An hour of this computer's day, since the test itself takes time.
    now, day, hour = time.time_ns() // 10**6, 86_400_000, 3_600_000
    assert day == MAX_SKEW
    for clock in 0, now, now + hour, now + day - hour:
        assert record_from_json(record_of(conversation_of(), clock)).clock == clock
    for clock in now + day + hour, now + 2 * day, 2**53 - 2:
        why = why_invalid(record_from_json, record_of(conversation_of(), clock))
        assert why == "its clock is ahead of this computer's", clock


def continued_turn(times: int) -> dict[str, Any]:
    turn: dict[str, Any] = {"user": "a", "assistant": "b"}
    for _ in range(times):
        turn = {"user": "a", "assistant": "b", "continues": turn}
    return turn


def test_answer_is_continued_at_most_100_times():
    assert len(turn_from_json(continued_turn(100)).steps()) == 101
    for times in 101, DEEP:
        why = why_invalid(turn_from_json, continued_turn(times))
        assert why == "its answer was continued more than 100 times", times


#: Fields that a notebook's file can hold and the next one cannot: front ends write strict JSON.
UNWRITABLE = [
    {"user": "half \ud83d"},
    {"assistant": "half \ude00"},
    {"model": "half \ud83d"},
    {"cell": "half \ud83d"},
    {"parameters": {"temperature": float("nan")}},
    {"parameters": {"temperature": float("inf")}},
    {"parameters": {"temperature": -HUGE}},
    {"parameters": {"stop": ["half \ud83d"]}},
    {"parameters": {"stop": "half \ud83d"}},
    {"parameters": {"half \ud83d": 1}},
    {"parameters": {"stop": nested(DEEP)}},
]


def test_values_that_cannot_be_written_again_are_not_read():
    for fields in UNWRITABLE:
        read = record_from_json(forged_record(**fields))
        assert read.turns == (), ascii(fields)[:80]
        assert len(read.unreadable) == 1, ascii(fields)[:80]


def test_parameters_are_numbers_texts_or_lists_of_texts():
    parameters = {"temperature": 0.5, "top_k": 2**53 - 2, "stop": ["x"], "format": "json"}
    turn = {"user": "a", "assistant": "b"}
    assert turn_from_json(turn | {"parameters": parameters}).parameters == parameters
    for value in 2**53 - 1, 1 - 2**53, None, {}:
        why = why_invalid(turn_from_json, turn | {"parameters": {"top_k": value}})
        assert why == "the parameter top_k is neither a number nor a text", value


def test_address_of_an_image_is_a_data_url():
    turn = {"user": "a", "assistant": "b"}
    image = {"name": "wall", "digest": "0123"}
    for url in (
        "https://example.org/a.png",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        "data:image/png;base64,",
        'data:image/png;base64,AA==" onload="x',
        "data:image/png;base64,AA==\n",
        " data:image/png;base64,AA==",
    ):
        why = why_invalid(turn_from_json, turn | {"pictures": [image | {"url": url}]})
        assert why == "one of its pictures has an address that is not image data", url
    why = why_invalid(turn_from_json, turn | {"pictures": ["wall"]})
    assert why == "one of its pictures is not a JSON object"


def test_calls_without_a_result_or_an_id_of_their_own_are_refused():
    call = {"id": "a", "name": "add", "arguments": "{}", "result": "3"}
    turn = {"user": "hi", "assistant": "hello"}
    for calls, why in (
        ([], "one of its rounds of calls is empty"),
        ([call, call], "two of its calls have the same id"),
        ([call | {"result": " "}], "'result' is missing or empty"),
        ([call | {"id": ""}], "'id' is missing or empty"),
        ([call | {"name": ""}], "'name' is missing or empty"),
    ):
        forged = turn | {"rounds": [{"calls": calls}]}
        assert why_invalid(turn_from_json, forged) == why, calls


def test_edited_result_of_a_call_is_noticed():
    called = ToolRound((ToolCall("add", "{}", "3", "a"),))
    record = record_of(conversation_of(Turn("hi", "It is 3.", rounds=(called,))))
    record["turns"][0]["rounds"][0]["calls"][0]["result"] = "4"
    why = ("it, or the text of its output, has been edited",)
    assert record_from_json(record).unreadable == why


# --- texts that the output shows


def test_record_does_not_repeat_what_its_output_shows():
    step = Turn("hi", "hel", stopped=True)
    conversation = conversation_of(Turn("hi", "hello", reasoning="Greet.", continues=step))
    shown = "[Thinking]\n\nGreet.\n\n[Answer]\n\nhello"
    record = record_beside(shown, record_to_json(1, [conversation], [(conversation, 0)]))[KEY]
    for text in "hello", "hel", "Greet.":
        assert text not in list(strings(record))
    (recorded,) = record_from_json(through_json(record), shown).turns
    assert recorded.turn == conversation.turns[0]


@given(TURNS, TEXT, TEXT)
def test_turn_is_read_back_whatever_its_output_shows(turn, before, after):
    conversation = conversation_of(turn)
    (expected,) = record_from_json(record_of(conversation)).turns
    written = record_to_json(1, [conversation], [(conversation, 0)])
    for text in turn.assistant, turn.reasoning, "":
        shown = before + text + after
        record = through_json(record_beside(shown, written)[KEY])
        assert record_from_json(record, shown).turns == (expected,)


def test_place_is_within_the_text_of_the_output():
    turn = {"user": "hi"}
    for place, why in (
        ("0..6", "the text of its output has been edited"),
        ("0:5", "'assistant_at' is not a place in a text"),
        ("-5..5", "'assistant_at' is not a place in a text"),
        ("\u0660..5", "'assistant_at' is not a place in a text"),
        (5, "'assistant_at' is missing or of the wrong type"),
        ("5..0", "'assistant' is missing or empty"),
    ):
        forged = turn | {"assistant_at": place}
        assert why_invalid(lambda written: turn_from_json(written, "hello"), forged) == why, place


def test_text_of_an_output_is_taken_a_limited_number_of_times():
    shown = "x" * 1_000_000
    turn = Turn("hi", shown)
    written = {"conversation": "a", "turn": 1, "id": turn.id, "user": "hi"}
    written |= {"assistant_at": f"0..{len(shown)}"}
    heads = {"a": {"id": turn.id, "turns": 1}}
    forged = {"version": 1, "clock": 1, "heads": heads, "turns": [written] * 30}
    read = record_from_json(forged, shown)
    assert len(read.turns) == 11
    assert set(read.unreadable) == {"its record holds the text of its output too many times"}


def test_half_a_character_in_an_output_is_refused():
    forged = {"user": "hi", "assistant_at": "0..1"}
    why = why_invalid(lambda written: turn_from_json(written, "\ud83d"), forged)
    assert why == "'assistant' holds half of a character (a lone surrogate)"


def test_output_without_turns_keeps_its_metadata():
    for metadata in {}, record_to_json(1, [conversation_of()], []):
        assert record_beside("hello", metadata) == metadata


def test_system_message_stands_once_in_a_record():
    conversation = conversation_of(Turn("hi", "hello", system="Be brief."))
    assert list(strings(record_of(conversation))).count("Be brief.") == 1
    later = record_to_json(2, [conversation], [])[KEY]  # as "%qianfan undo" writes it
    assert later["heads"]["default"]["system"] == "Be brief."


# --- conversations of a file


def test_conversation_of_a_file_needs_a_name_and_a_list_of_turns():
    for file, why in (
        *((value, "a conversation is not a JSON object") for value in (None, 1, "x", [])),
        *(({"name": name, "turns": []}, "'name' is missing or ") for name in (None, 1, [], True)),
        *(({"name": name, "turns": []}, "'name' is missing or empty") for name in ("", " ")),
        ({"turns": []}, "'name' is missing or empty"),
        ({"name": "default"}, "'turns' is missing or of the wrong type"),
        *(
            ({"name": "default", "turns": turns}, "'turns' is missing or of the wrong type")
            for turns in (None, {}, "x", 1)
        ),
        ({"name": "default", "system": 1, "turns": []}, "'system' is missing or of the wrong type"),
    ):
        assert why_invalid(conversation_from_json, file).startswith(why), file


def test_damaged_turn_of_a_file_is_named_by_its_number():
    file = through_json(conversation_to_json(conversation_of(Turn("a", "b"), Turn("c", "d"))))
    file["turns"][1]["assistant"] = ""
    why = why_invalid(conversation_from_json, file)
    assert why == "turn 2 of 'default': 'assistant' is missing or empty"


def test_turns_of_a_file_edited_by_hand_follow_each_other():
    edited = through_json(conversation_to_json(conversation_of(Turn("a", "b"), Turn("c", "d"))))
    edited["turns"][0]["assistant"] = "edited"
    typed = [{"user": "a", "assistant": "b"}, {"user": "c", "assistant": "d", "system": "new"}]
    for file in edited, {"name": "default", "system": "old", "turns": typed}:
        conversation = conversation_from_json(file)
        first, second = conversation.turns
        assert second.after == first.id, file
        assert conversation.system == second.system, file


def test_sources_of_a_web_search_are_kept_and_read_as_untrusted():
    source = SearchResult(
        index=1, url="https://example.com/", title="A page", site="Example", date="2026-01-02"
    )
    turn = Turn("hi", "Old^[1]^.", sources=(source,))
    written = turn_to_json(turn)
    assert turn_from_json(written).sources == (source,)
    assert turn.id == Turn("hi", "Old^[1]^.").id
    for sources in (None, 5, [5], [{"index": 1, "url": "javascript:alert(1)"}], {}):
        assert turn_from_json({**written, "sources": sources}).sources == (), sources

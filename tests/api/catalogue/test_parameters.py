"""The table of request parameters: what it lets through, what it refuses, and how it says so."""

import json
import math
from fractions import Fraction
from numbers import Integral, Real

import pytest

from qianfan_magic.api.catalogue.parameters import (
    BY_NAME,
    FLAGGED,
    PARAMETERS,
    SENDING,
    check_parameters,
    check_text,
    is_supported,
)
from qianfan_magic.api.types import BOTH
from qianfan_magic.errors import ParameterError

SENDING_BY_NAME = {row.name: row for row in SENDING}


@Real.register
class Half:
    """A number of another library, as numpy's are: registered, not inherited."""

    def __float__(self):
        return 0.5


@Integral.register
class Five:
    def __int__(self):
        return 5


def check(name, value):
    (checked,) = check_parameters({name: value}, "chat").values()
    return checked


def refusal(name, value):
    with pytest.raises(ParameterError) as caught:
        check(name, value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", math.nextafter(0, 1)),
        ("temperature", 1.0),
        ("top_p", 0.0),
        ("top_p", 1.0),
        ("top_k", 1),
        ("top_k", 1_000_000),
        ("penalty_score", 1.0),
        ("penalty_score", 2.0),
        ("stop", []),
        ("stop", ["a", "b", "c", "d"]),
        ("stop", ["x"]),
        ("stop", ["x" * 20]),
        ("stop", ["字" * 20]),
        ("stop", ["\n\n"]),
        ("max_tokens", 2),
        ("max_tokens", 2048),
        ("user_id", "u"),
        ("system", "Be brief."),
        ("response_format", "text"),
        ("response_format", "json_object"),
        ("disable_search", True),
        ("disable_search", False),
        ("enable_citation", True),
    ],
)
def test_value_at_the_edge_is_allowed(name, value):
    assert check(name, value) == value


@pytest.mark.parametrize("name", ["temperature", "top_p", "penalty_score", "top_k", "max_tokens"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(name, value):
    assert name in refusal(name, value).message


@pytest.mark.parametrize("name", ["temperature", "top_p", "penalty_score", "top_k", "max_tokens"])
@pytest.mark.parametrize("value", ["hot", "0.5", True, False, [1], {}, 1j, b"1", object()])
def test_what_is_no_number_is_refused(name, value):
    assert name in refusal(name, value).message


def test_temperature_zero_is_refused():
    assert "(0, 1]" in refusal("temperature", 0).message


def test_temperature_too_small_for_a_float_is_refused():
    assert "(0, 1]" in refusal("temperature", Fraction(1, 10**400)).message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.0),
        ("temperature", math.nextafter(1, 2)),
        ("top_p", math.nextafter(0, -1)),
        ("top_p", math.nextafter(1, 2)),
        ("top_k", 0),
        ("top_k", -1),
        ("top_k", 5.0),
        ("penalty_score", math.nextafter(1, 0)),
        ("penalty_score", math.nextafter(2, 3)),
        ("max_tokens", 1),
        ("max_tokens", 2049),
        ("max_tokens", 100.0),
    ],
)
def test_number_beyond_the_edge_is_refused(name, value):
    assert name in refusal(name, value).message


@pytest.mark.parametrize("name", ["temperature", "top_p", "penalty_score"])
def test_number_too_large_for_a_float_is_refused(name):
    assert name in refusal(name, 10**400).message


def test_number_too_long_to_be_written_is_refused():
    assert "max_tokens" in refusal("max_tokens", 10**5000).message


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b", "c", "d", "e"],
        ["x" * 21],
        ["a", ""],
        ["a", 1],
        [None],
        "END",
        {"END"},
        b"END",
        5,
    ],
)
def test_stop_is_refused(value):
    assert "at most 4 texts of 1 to 20 characters" in refusal("stop", value).message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", ""),
        ("user_id", 5),
        ("system", ""),
        ("system", b"Be brief."),
        ("response_format", "xml"),
        ("response_format", ["text"]),
        ("disable_search", 1),
        ("disable_search", "true"),
        ("enable_citation", 0),
    ],
)
def test_text_or_switch_is_refused(name, value):
    assert name in refusal(name, value).message


@pytest.mark.parametrize(
    ("name", "value"), [("system", "a\ud800"), ("user_id", "\udfff"), ("stop", ["\ud800"])]
)
def test_lone_surrogate_in_a_parameter_is_refused(name, value):
    assert name in refusal(name, value).message


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("temperature", Half(), 0.5),
        ("temperature", Fraction(1, 4), 0.25),
        ("temperature", 1, 1.0),
        ("top_k", Five(), 5),
    ],
)
def test_number_of_another_library_becomes_a_plain_one(name, value, plain):
    found = check(name, value)
    assert (type(found), found) == (type(plain), plain)


def test_tuple_of_stops_becomes_a_list():
    assert check("stop", ("a", "b")) == ["a", "b"]


def test_checked_values_can_be_written_as_json():
    checked = check_parameters({"temperature": Half(), "top_k": Five(), "stop": ("a",)}, "chat")
    assert json.dumps(checked) == '{"temperature": 0.5, "top_k": 5, "stop": ["a"]}'


def test_refusal_shows_the_value():
    assert "'hot'" in refusal("temperature", "hot").message


def test_refusal_of_a_long_value_is_short():
    assert len(refusal("temperature", "hot" * 1000).message) < 200


def test_refusal_names_the_flag():
    assert "--penalty-score" in refusal("penalty_score", 3).hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("temperature", "a number in (0, 1]"),
        ("top_p", "a number in [0, 1]"),
        ("top_k", "a whole number from 1"),
        ("penalty_score", "a number in [1, 2]"),
        ("stop", "at most 4 texts of 1 to 20 characters"),
        ("max_tokens", "a whole number from 1"),
        ("user_id", "text"),
        ("response_format", "text or json_object"),
        ("disable_search", "true or false"),
    ],
)
def test_range_is_told_as_a_reader_would(name, words):
    assert BY_NAME[name].range == words


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("temperature", "1", 1.0),
        ("top_k", "7", 7),
        ("user_id", "7", "7"),
        ("stop", ["END"], ["END"]),
    ],
)
def test_what_is_typed_behind_a_flag_is_read(name, text, value):
    assert BY_NAME[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temperature", "hot"),
        ("temperature", ""),
        ("temperature", "nan"),
        ("temperature", "1e400"),
        ("temperature", "0"),
        ("top_k", "5.0"),
        pytest.param("top_k", "9" * 5000, id="top_k-5000-digits"),
        ("stop", ["x" * 21]),
    ],
)
def test_what_is_typed_behind_a_flag_is_refused(name, text):
    with pytest.raises(ParameterError, match=f"^{name} is "):
        BY_NAME[name].parse(text)


def test_refusal_of_what_was_typed_has_no_second_error_behind_it():
    with pytest.raises(ParameterError) as caught:
        BY_NAME["temperature"].parse("hot")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "value"), [("timeout", 0), ("timeout", 86_400), ("retries", 1), ("retries", 100)]
)
def test_sending_at_the_edge_is_allowed(name, value):
    assert SENDING_BY_NAME[name].check(value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", -1),
        ("timeout", 86_401),
        ("timeout", math.inf),
        ("retries", 0),
        ("retries", 101),
        ("retries", 1.5),
    ],
)
def test_sending_beyond_the_edge_is_refused(name, value):
    with pytest.raises(ParameterError, match=f"^{name} is "):
        SENDING_BY_NAME[name].check(value)


def test_flags_of_the_magics():
    assert [row.flags for row in FLAGGED] == [
        ("-t", "--temperature"),
        ("--top-p",),
        ("--top-k",),
        ("--penalty-score",),
        ("--stop",),
        ("--max-tokens",),
        ("--seed",),
        ("--enable-thinking",),
        ("--thinking-budget",),
        ("--suffix",),
        ("--user-id",),
    ]


@pytest.mark.parametrize("value", [None, 0.5])
def test_unknown_name_is_refused_whatever_its_value(value):
    assert refusal("frequency", value).message == "There is no parameter 'frequency'"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("temprature", "temperature"),
        ("topp", "top_p"),
        ("penalty", "penalty_score"),
        ("max_output_tokens", "max_tokens"),
        ("stops", "stop"),
    ],
)
def test_unknown_name_gets_a_suggestion(name, suggestion):
    assert refusal(name, 1).hint == f"Did you mean {suggestion}?"


def test_unknown_name_that_resembles_none_gets_all_names():
    hint = refusal("xyz", 1).hint
    assert all(name in hint for name in BY_NAME)


def test_none_leaves_the_parameter_to_the_service():
    assert check_parameters({"temperature": None, "top_p": 0.5}, "chat") == {"top_p": 0.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 100),
        ("system", "Be brief."),
        ("response_format", "text"),
        ("disable_search", True),
        ("enable_citation", True),
    ],
)
def test_parameter_of_chat_models_is_refused_for_a_completion(name, value):
    with pytest.raises(ParameterError, match=f"^{name} is a parameter of chat services"):
        check_parameters({name: value}, "completion")


@pytest.mark.parametrize("name", ["temperature", "top_p", "penalty_score", "top_k"])
def test_parameter_of_both_kinds_is_taken_for_a_completion(name):
    assert check_parameters({name: 1}, "completion") == {name: 1}


@pytest.mark.parametrize("text", ["", " ", "\n\t \r\n", "\u3000", "\u2028"])
def test_blank_text_is_refused(text):
    with pytest.raises(ParameterError, match=r"^The prompt is empty"):
        check_text(text, "The prompt")


@pytest.mark.parametrize("text", ["a\0b", "\0", " a ", "你好 😀", "\u200b", "\x1b[31m"])
def test_text_comes_back_as_it_is(text):
    assert check_text(text, "The prompt") == text


@pytest.mark.parametrize(("text", "position"), [("\ud800", 0), ("abc\udfff", 3), ("\ud83dx", 0)])
def test_lone_surrogate_is_refused_with_its_position(text, position):
    with pytest.raises(ParameterError, match=rf"lone surrogate\) at position {position}\n"):
        check_text(text, "The prompt")


@pytest.mark.parametrize("value", [None, 5, b"hi", ["hi"]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(ParameterError, match=rf"^The prompt is {type(value).__name__}\b"):
        check_text(value, "The prompt")


# --- versions of the API

# Each parameter, a value that both versions allow, and its name in version 1 and in version 2 for
# chat and for completion; empty where there is none. The documents of both versions.
KNOWN = [
    ("temperature", 0.5, "temperature", "temperature", "temperature", "temperature"),
    ("top_p", 0.5, "top_p", "top_p", "top_p", "top_p"),
    ("top_k", 5, "top_k", "top_k", "", ""),
    ("penalty_score", 1.5, "penalty_score", "penalty_score", "penalty_score", ""),
    ("stop", ["a"], "stop", "stop", "stop", "stop"),
    ("max_tokens", 100, "max_output_tokens", "", "max_tokens", "max_tokens"),
    ("seed", 5, "", "", "seed", ""),
    ("frequency_penalty", 0.5, "", "", "frequency_penalty", ""),
    ("presence_penalty", 0.5, "", "", "presence_penalty", ""),
    ("enable_thinking", True, "", "", "enable_thinking", ""),
    ("thinking_budget", 100, "", "", "thinking_budget", ""),
    ("suffix", "}", "", "", "", "suffix"),
    ("user_id", "u", "user_id", "user_id", "user", "user"),
    ("system", "s", "system", "", "system", ""),
    ("response_format", "text", "response_format", "", "response_format", ""),
    ("disable_search", True, "disable_search", "", "", ""),
    ("enable_citation", True, "enable_citation", "", "", ""),
    ("web_search", {"enable": True}, "", "", "web_search", ""),
    ("tools", [{"type": "function"}], "", "", "tools", ""),
    ("tool_choice", "auto", "", "", "tool_choice", ""),
]
PLACES = [(1, "chat"), (1, "completion"), (2, "chat"), (2, "completion")]
THERE = [
    (name, value, *place, wire)
    for name, value, *wires in KNOWN
    for place, wire in zip(PLACES, wires, strict=True)
]


def test_every_row_is_held_against_the_documents():
    assert sorted(row[0] for row in KNOWN) == sorted(BY_NAME)


def test_supported_parameter_is_sent_by_the_name_of_its_version():
    for name, value, version, kind, wire in THERE:
        if wire:
            assert check_parameters({name: value}, kind, version) == {wire: value}, (name, version)


def test_unsupported_parameter_is_refused_by_its_name():
    for name, value, version, kind, wire in THERE:
        assert is_supported(BY_NAME[name], kind, version) is bool(wire), (name, kind, version)
        if not wire:
            with pytest.raises(ParameterError, match=f"^{name} is a parameter of ") as caught:
                check_parameters({name: value}, kind, version)
            assert caught.value.message.endswith(f"this is a {kind} service of version {version}")


@pytest.mark.parametrize(
    ("name", "kind", "version", "elsewhere"),
    [
        ("seed", "chat", 1, "chat services of version 2 of the API"),
        ("suffix", "chat", 2, "completion services of version 2 of the API"),
        ("top_k", "chat", 2, "chat and completion services of version 1 of the API"),
        ("penalty_score", "completion", 2, "chat and completion services of version 1 of the API"),
        ("penalty_score", "completion", 2, "the API, and of chat services of version 2"),
    ],
)
def test_refusal_says_where_the_parameter_is(name, kind, version, elsewhere):
    value = next(row[1] for row in KNOWN if row[0] == name)
    with pytest.raises(ParameterError) as caught:
        check_parameters({name: value}, kind, version)
    assert elsewhere in caught.value.message


def test_parameter_that_is_none_is_left_out_even_if_unsupported():
    assert check_parameters({"seed": None, "top_k": None}, "completion", 1) == {}


def test_kinds_of_a_row_are_those_of_any_version():
    for row in PARAMETERS:
        kinds = {kind for name, _, _, kind, wire in THERE if name == row.name and wire}
        assert row.kinds == tuple(kind for kind in BOTH if kind in kinds), row.name


@pytest.mark.parametrize(
    ("name", "value", "version"),
    [
        ("max_tokens", 2, 1),
        ("max_tokens", 2048, 1),
        ("max_tokens", 1, 2),
        ("max_tokens", 393_216, 2),
        ("seed", 1, 2),
        ("seed", 2_147_483_646, 2),
        ("thinking_budget", 100, 2),
        ("frequency_penalty", -2.0, 2),
        ("frequency_penalty", 2.0, 2),
        ("presence_penalty", -2.0, 2),
        ("presence_penalty", 2.0, 2),
        ("temperature", 1.0, 2),
        ("penalty_score", 2.0, 2),
    ],
)
def test_value_at_the_edge_of_its_version_is_allowed(name, value, version):
    assert list(check_parameters({name: value}, "chat", version).values()) == [value]


@pytest.mark.parametrize(
    ("name", "value", "version"),
    [
        ("max_tokens", 1, 1),
        ("max_tokens", 2049, 1),
        ("max_tokens", 0, 2),
        ("max_tokens", 100.0, 2),
        ("seed", 0, 2),
        ("seed", 2_147_483_647, 2),
        ("seed", 1.5, 2),
        ("thinking_budget", 99, 2),
        ("frequency_penalty", math.nextafter(-2, -3), 2),
        ("frequency_penalty", math.nextafter(2, 3), 2),
        ("presence_penalty", math.nextafter(2, 3), 2),
        ("enable_thinking", 1, 2),
        ("enable_thinking", "true", 2),
        ("suffix", "", 2),
        ("user_id", "", 2),
    ],
)
def test_number_beyond_the_edge_of_its_version_is_refused(name, value, version):
    kind = "completion" if name == "suffix" else "chat"
    with pytest.raises(ParameterError, match=f"^{name} is "):
        check_parameters({name: value}, kind, version)


def test_refusal_tells_the_range_of_the_version():
    with pytest.raises(ParameterError, match=r"a whole number in \[2, 2048\]"):
        check_parameters({"max_tokens": 5000}, "chat", 1)


@pytest.mark.parametrize(
    "value",
    [{"enable": True}, [], [1, None, "长城"], "auto", 1.5, {"a": {"b": [{}]}}, True],
)
@pytest.mark.parametrize("name", ["web_search", "tools", "tool_choice"])
def test_any_json_is_taken_as_it_is(name, value):
    assert check_parameters({name: value}, "chat", 2) == {name: value}


def looped():
    inner = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    "value",
    [{1, 2}, object(), math.nan, [math.inf], b"x", {"a": "\ud800"}, "\udfff", looped(), {(1,): 2}],
    ids=["set", "object", "nan", "inf", "bytes", "surrogate", "half", "loop", "key"],
)
@pytest.mark.parametrize("name", ["web_search", "tools", "tool_choice"])
def test_what_json_cannot_carry_is_refused(name, value):
    with pytest.raises(ParameterError, match=f"^{name} is "):
        check_parameters({name: value}, "chat", 2)


def test_json_is_copied_before_the_caller_can_change_it():
    given = {"enable": True}
    checked = check_parameters({"web_search": given}, "chat", 2)
    given["enable"] = False
    assert checked == {"web_search": {"enable": True}}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("enable_thinking", "true", True), ("enable_thinking", "False", False), ("seed", "7", 7)],
)
def test_what_is_typed_behind_a_flag_of_version_2_is_read(name, text, value):
    assert BY_NAME[name].parse(text) == value


@pytest.mark.parametrize("text", ["", "yes", "1", "tru"])
def test_switch_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="true or false"):
        BY_NAME["enable_thinking"].parse(text)

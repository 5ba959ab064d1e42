"""The table of request parameters: which values it accepts and refuses, and its messages."""

import json
import math
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

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
NUMBERS = ["temperature", "top_p", "penalty_score", "top_k", "max_tokens"]
JSON_NAMES = ["tools", "tool_choice"]


@Real.register
class Half:
    """A number of another library such as numpy: registered, not inherited."""

    def __float__(self):
        return 0.5


@Integral.register
class Five:
    def __int__(self):
        return 5


def check(name, value):
    (checked,) = check_parameters({name: value}, "chat").values()
    return checked


def refusal(name, value, kind="chat", version=1):
    try:
        checked = check_parameters({name: value}, kind, version)
    except ParameterError as error:
        return error
    pytest.fail(f"{name} = {value!r:.80} was accepted as {checked}")


# --- values


def test_value_in_the_range_is_accepted():
    cases: list[tuple[Any, ...]] = [
        ("temperature", [math.nextafter(0, 1), 1.0]),
        ("top_p", [0.0, 1.0]),
        ("top_k", [1, 1_000_000, 2**63 - 1]),
        ("penalty_score", [1.0, 2.0]),
        ("stop", [[], ["a", "b", "c", "d"], ["x"], ["x" * 20], ["字" * 20], ["\n\n"]]),
        ("max_tokens", [2, 2048]),
        ("user_id", ["u"]),
        ("system", ["Be brief."]),
        ("response_format", ["text", "json_object"]),
        ("disable_search", [True, False]),
        ("enable_citation", [True]),
    ]
    for name, values in cases:
        for value in values:
            assert check(name, value) == value, (name, value)


def test_number_out_of_range_is_refused():
    too_long = 10**5_000  # more digits than Python converts to text
    cases: list[tuple[Any, ...]] = [
        ("temperature", [-0.0, 0, math.nextafter(1, 2), Fraction(1, 10**400)]),
        ("top_p", [math.nextafter(0, -1), math.nextafter(1, 2)]),
        ("top_k", [0, -1, 5.0, 2**63]),
        ("penalty_score", [math.nextafter(1, 0), math.nextafter(2, 3)]),
        ("max_tokens", [1, 2049, 100.0, too_long]),
        *((name, [10**400]) for name in ("temperature", "top_p", "penalty_score")),
        *((name, [math.nan, math.inf, -math.inf]) for name in NUMBERS),
    ]
    for name, values in cases:
        for value in values:
            message = refusal(name, value).message
            assert message.startswith(f"{name} is "), message
            assert message.endswith(f", but must be {BY_NAME[name].within(1).range}"), message


def test_value_of_another_type_is_refused():
    cases: list[tuple[Any, ...]] = [
        *((name, ["hot", "0.5", True, False, [1], {}, 1j, b"1", object()]) for name in NUMBERS),
        ("user_id", ["", 5, "\udfff"]),
        ("system", ["", b"Be brief.", "a\ud800"]),
        ("response_format", ["xml", ["text"]]),
        ("disable_search", [1, "true"]),
        ("enable_citation", [0]),
    ]
    for name, values in cases:
        for value in values:
            assert refusal(name, value).message.startswith(f"{name} is "), (name, value)


def test_invalid_list_of_stops_is_refused():
    texts = [["a", "b", "c", "d", "e"], ["x" * 21], ["a", ""], ["a", 1], [None], ["\ud800"]]
    for value in (*texts, "END", {"END"}, b"END", 5):
        message = refusal("stop", value).message
        assert "at most 4 texts of 1 to 20 characters" in message, value


def test_value_is_converted_to_plain_json():
    cases: list[tuple[Any, ...]] = [
        ("temperature", Half(), 0.5),
        ("temperature", Fraction(1, 4), 0.25),
        ("temperature", 1, 1.0),
        ("top_k", Five(), 5),
        ("stop", ("a", "b"), ["a", "b"]),
    ]
    for name, value, plain in cases:
        assert repr(check(name, value)) == repr(plain), name
    checked = check_parameters({"temperature": Half(), "top_k": Five(), "stop": ("a",)}, "chat")
    assert json.dumps(checked) == '{"temperature": 0.5, "top_k": 5, "stop": ["a"]}'


def test_refusal_quotes_the_beginning_of_the_value_and_names_the_flag():
    assert "'hot'" in refusal("temperature", "hot").message
    assert len(refusal("temperature", "hot" * 1000).message) < 200
    assert refusal("max_tokens", 10**5_000).message.startswith(
        "max_tokens is a number of thousands of digits, but must be "
    )
    for name, label in (("penalty_score", "penalty_score (--penalty-score)"), ("system", "system")):
        assert refusal(name, 3).hint == f"{label}: {BY_NAME[name].help}"


def test_range_is_described_in_words():
    ranges = {
        "temperature": "a number in (0, 1]",
        "top_p": "a number in [0, 1]",
        "top_k": "a whole number from 1",
        "penalty_score": "a number in [1, 2]",
        "stop": "at most 4 texts of 1 to 20 characters",
        "max_tokens": "a whole number from 1",
        "user_id": "text",
        "response_format": "text or json_object",
        "disable_search": "true or false",
    }
    assert {name: BY_NAME[name].range for name in ranges} == ranges


# --- arguments of flags


def test_argument_of_a_flag_is_converted():
    cases: list[tuple[Any, ...]] = [
        ("temperature", "0.5", 0.5),
        ("temperature", "1", 1.0),
        ("top_k", "7", 7),
        ("user_id", "7", "7"),
        ("stop", [r"END\n", r"a\tb"], ["END\n", "a\tb"]),
        ("enable_thinking", "true", True),
        ("enable_thinking", "False", False),
        ("web_search", True, True),
        ("seed", "7", 7),
    ]
    for name, text, value in cases:
        assert repr(BY_NAME[name].parse(text)) == repr(value), name


def test_invalid_argument_of_a_flag_is_refused():
    cases: list[tuple[Any, ...]] = [
        *(("temperature", text) for text in ("hot", "", "nan", "1e400", "0")),
        ("top_k", "5.0"),
        ("top_k", "9" * 5_000),
        ("stop", ["x" * 21]),
        *(("enable_thinking", text) for text in ("", "yes", "1", "tru")),
    ]
    for name, text in cases:
        with pytest.raises(ParameterError, match=f"^{name} is ") as caught:
            pytest.fail(f"{name}: {BY_NAME[name].parse(text)!r} was accepted")
        assert caught.value.message.startswith(f"{name} is {text!r:.80}"), (name, text)
        assert caught.value.message.endswith(BY_NAME[name].range), (name, text)
        # The traceback shows no ValueError of a conversion.
        assert caught.value.__suppress_context__ or caught.value.__context__ is None, (name, text)


def test_timeout_and_retries_have_bounds():
    for name, low, high in (("timeout", 0, 86_400), ("retries", 1, 100)):
        row = SENDING_BY_NAME[name]
        assert (row.check(low), row.check(high)) == (low, high), name
        for value in (low - 1, high + 1, math.inf, *([1.5] if name == "retries" else [])):
            with pytest.raises(ParameterError, match=f"^{name} is "):
                pytest.fail(f"{name}: {row.check(value)} was accepted")


def test_flags_of_the_magics():
    assert [row.flags for row in FLAGGED] == [
        ("-t", "--temperature"),
        ("--top-p",),
        ("--top-k",),
        ("--penalty-score",),
        ("--stop",),
        ("--max-tokens",),
        ("--max-completion-tokens",),
        ("--seed",),
        ("--frequency-penalty",),
        ("--presence-penalty",),
        ("--enable-thinking",),
        ("--thinking-budget",),
        ("--reasoning-effort",),
        ("--web-search",),
        ("--search-mode",),
        ("--search-number",),
        ("--suffix",),
        ("--user-id",),
    ]


def test_levels_of_effort_are_those_of_the_documents():
    levels = ["minimal", "low", "medium", "high", "xhigh", "max"]
    for level in levels:
        sent = check_parameters({"reasoning_effort": level}, "chat", 2)
        assert sent == {"reasoning_effort": level}
    for value in ("none", "LOW", "", 5, True):
        message = refusal("reasoning_effort", value, version=2).message
        assert message.endswith(f"but must be {' or '.join(levels)}"), value


def test_two_limits_of_tokens_exclude_each_other():
    both = {"max_tokens": 5, "max_completion_tokens": 5}
    with pytest.raises(ParameterError, match="exclude each other") as caught:
        check_parameters(both, "chat", 2)
    assert "thoughts and answer together" in caught.value.hint
    for name in both:
        assert check_parameters(both | {name: None}, "chat", 2) != {}, name


# --- names


def test_unknown_name_is_refused_with_a_suggestion_or_all_names():
    suggestions = {
        "temprature": "temperature",
        "topp": "top_p",
        "penalty": "penalty_score",
        "max_output_tokens": "max_tokens",
        "stops": "stop",
    }
    for name, suggestion in suggestions.items():
        assert refusal(name, 1).hint == f"Did you mean {suggestion}?", name
    for value in (None, 0.5):
        assert refusal("frequency", value).message == "There is no parameter 'frequency'", value
    hint = refusal("xyz", 1).hint
    assert [name for name in BY_NAME if name not in hint] == []


def test_parameter_that_is_none_is_left_to_the_service():
    assert check_parameters({"temperature": None, "top_p": 0.5}, "chat") == {"top_p": 0.5}
    # Even if the service does not support it.
    assert check_parameters({"seed": None, "top_k": None}, "completion", 1) == {}


# --- texts


def test_text_is_returned_unchanged():
    for text in ("a\0b", "\0", " a ", "你好 😀", "\u200b", "\x1b[31m"):
        assert check_text(text, "The prompt") == text


def test_blank_text_and_what_is_no_text_are_refused():
    cases: list[tuple[Any, ...]] = [
        (text, "empty") for text in ("", " ", "\n\t \r\n", "\u3000", "\u2028")
    ]
    cases += [(value, rf"{type(value).__name__}\b") for value in (None, 5, b"hi", ["hi"])]
    for value, words in cases:
        with pytest.raises(ParameterError, match=f"^The prompt is {words}"):
            pytest.fail(f"{check_text(value, 'The prompt')!r} was accepted")


def test_lone_surrogate_is_refused_with_its_position():
    for text, position in (("\ud800", 0), ("abc\udfff", 3), ("\ud83dx", 0)):
        message = rf"lone surrogate\) at position {position}\n"
        with pytest.raises(ParameterError, match=message):
            pytest.fail(f"{check_text(text, 'The prompt')!r} was accepted")


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
    ("max_completion_tokens", 100, "", "", "max_completion_tokens", ""),
    ("seed", 5, "", "", "seed", ""),
    ("frequency_penalty", 0.5, "", "", "frequency_penalty", ""),
    ("presence_penalty", 0.5, "", "", "presence_penalty", ""),
    ("enable_thinking", True, "", "", "enable_thinking", ""),
    ("thinking_budget", 100, "", "", "thinking_budget", ""),
    ("reasoning_effort", "low", "", "", "reasoning_effort", ""),
    ("suffix", "}", "", "", "", "suffix"),
    ("user_id", "u", "user_id", "user_id", "user", "user"),
    ("system", "s", "system", "", "system", ""),
    ("response_format", "text", "response_format", "", "response_format", ""),
    ("disable_search", True, "disable_search", "", "", ""),
    ("enable_citation", True, "enable_citation", "", "", ""),
    ("web_search", True, "", "", "web_search", ""),
    ("search_mode", "auto", "", "", "search_mode", ""),
    ("search_number", 5, "", "", "search_number", ""),
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
            assert caught.value.hint == f"Leave {name} out."


def test_refusal_names_the_services_that_support_the_parameter():
    both = "chat and completion services of version 1 of the API"
    cases: list[tuple[Any, ...]] = [
        ("seed", "chat", 1, "chat services of version 2 of the API"),
        ("suffix", "chat", 2, "completion services of version 2 of the API"),
        ("top_k", "chat", 2, both),
        ("penalty_score", "completion", 2, f"{both}, and of chat services of version 2"),
    ]
    values = {row[0]: row[1] for row in KNOWN}
    for name, kind, version, services in cases:
        assert services in refusal(name, values[name], kind, version).message, name


def test_kinds_of_a_row_are_those_of_any_version():
    for row in PARAMETERS:
        kinds = {kind for name, _, _, kind, wire in THERE if name == row.name and wire}
        assert row.kinds == tuple(kind for kind in BOTH if kind in kinds), row.name


def test_value_in_the_range_of_its_version_is_accepted():
    cases: list[tuple[Any, ...]] = [
        ("max_tokens", 1, [2, 2048]),
        ("max_tokens", 2, [1, 393_216]),
        ("seed", 2, [1, 2_147_483_646]),
        ("thinking_budget", 2, [100]),
        ("frequency_penalty", 2, [-2.0, 2.0]),
        ("presence_penalty", 2, [-2.0, 2.0]),
        ("temperature", 2, [1.0]),
        ("penalty_score", 2, [2.0]),
    ]
    for name, version, values in cases:
        for value in values:
            checked = check_parameters({name: value}, "chat", version)
            assert list(checked.values()) == [value], (name, version)


def test_value_out_of_the_range_of_its_version_is_refused():
    cases: list[tuple[Any, ...]] = [
        ("max_tokens", 1, [1, 2049]),
        ("max_tokens", 2, [0, 100.0]),
        ("seed", 2, [0, 2_147_483_647, 1.5]),
        ("thinking_budget", 2, [99]),
        ("frequency_penalty", 2, [math.nextafter(-2, -3), math.nextafter(2, 3)]),
        ("presence_penalty", 2, [math.nextafter(2, 3)]),
        ("enable_thinking", 2, [1, "true"]),
        ("suffix", 2, [""]),
        ("user_id", 2, [""]),
    ]
    for name, version, values in cases:
        kind = "completion" if name == "suffix" else "chat"
        for value in values:
            message = refusal(name, value, kind, version).message
            assert message.startswith(f"{name} is "), message
    assert "a whole number in [2, 2048]" in refusal("max_tokens", 5000, "chat", 1).message


# --- parameters of any JSON


def test_any_json_is_accepted_unchanged():
    values = [{"enable": True}, [], [1, None, "长城"], "auto", 1.5, {"a": {"b": [{}]}}, True]
    for name in JSON_NAMES:
        for value in values:
            assert check_parameters({name: value}, "chat", 2) == {name: value}, name


def test_value_that_json_cannot_represent_is_refused():
    loop = []
    loop.append(loop)
    values = [{1, 2}, object(), math.nan, [math.inf], b"x", {"a": "\ud800"}, "\udfff", {(1,): 2}]
    for name in JSON_NAMES:
        for value in (*values, loop):
            message = refusal(name, value, "chat", 2).message
            assert message.startswith(f"{name} is "), message


def test_json_is_copied_before_the_caller_can_change_it():
    given = {"type": "function"}
    checked = check_parameters({"tool_choice": given}, "chat", 2)
    given["type"] = "other"
    assert checked == {"tool_choice": {"type": "function"}}

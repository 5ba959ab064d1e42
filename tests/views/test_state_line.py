"""The line below an answer: its tokens, its pace and its parameters."""

from __future__ import annotations

from qianfan_magic.masking import remember
from qianfan_magic.views.rendering.state_line import pace_text, parameters_text, tokens_text


def test_number_of_tokens_is_left_out_if_it_is_unknown():
    for given, text in (((0,), ""), ((1,), "1 token"), ((1200, "≈ "), "≈ 1,200 tokens")):
        assert tokens_text(*given) == text, given


def test_pace_has_a_rate_unless_it_would_say_nothing():
    for given, text in (
        ((0.32, 130, 2.5), "first token after 320 ms · 52 tokens/s"),
        ((0.9994, 3000, 2.5, "≈ "), "first token after 999 ms · ≈ 1,200 tokens/s"),
        ((0.9996, 0, 2.5), "first token after 1.0 s"),
        ((1.25, 10, 0.2), "first token after 1.2 s · 50 tokens/s"),
        ((1.25, 10, 0.19), "first token after 1.2 s"),
    ):
        assert pace_text(*given) == text, given


def test_parameters_are_written_short_and_without_secrets():
    remember("a-key-of-the-user")
    for value, text in (
        (0.5, "0.5"),
        (True, "true"),
        (["END"], "['END']"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("a-key-of-the-user", "***"),
        ("a\u202e", "a\\u202e"),
    ):
        assert parameters_text({"a": value, "b": 1}) == f"a={text}, b=1", value

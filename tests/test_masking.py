"""Secrets stay out of every text; what is no secret stays readable."""

import logging
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.masking import (
    Cause,
    MaskedStream,
    MaskingFilter,
    guard_logs,
    log,
    mask,
    remember,
)


def test_remembered_secret_is_replaced():
    remember("uYb3kq-first")
    assert mask("refused: uYb3kq-first.") == "refused: ***."


def test_every_occurrence_is_replaced():
    remember("uYb3kq-twice")
    assert mask("uYb3kq-twice/uYb3kq-twice") == "***/***"


@pytest.mark.parametrize("encode", [quote, quote_plus, lambda text: quote(text, safe="")])
def test_percent_encoded_secret_is_replaced(encode):
    remember("uYb3kq/a+b=c &d")
    assert mask(f"?x={encode('uYb3kq/a+b=c &d')}") == "?x=***"


def test_secret_that_begins_with_another_is_replaced_whole():
    remember("uYb3kq-short", "uYb3kq-short-and-longer")
    assert mask("uYb3kq-short-and-longer") == "***"


def test_missing_secret_is_passed_over():
    remember(None, "")
    assert mask("nothing to hide") == "nothing to hide"


def test_value_of_five_characters_is_not_remembered():
    remember("qwxyz")
    assert mask("qwxyz") == "qwxyz"


def test_value_of_six_characters_is_remembered():
    remember("qwxyzv")
    assert mask("qwxyzv") == "***"


def test_secret_with_a_lone_surrogate_can_be_remembered():
    remember("uYb3kq\udcff-surrogate")
    assert mask("uYb3kq\udcff-surrogate") == "***"


SECRET_LOOKS = [
    ("https://h/p?access_token=24.ab-1&x=1", "https://h/p?access_token=***&x=1"),
    ("client_id=abc&client_secret=def", "client_id=***&client_secret=***"),
    ('{"access_token": "24.abc", "expires_in": 5}', '{"access_token": "***", "expires_in": 5}'),
    ("{'session_key': 'abc'}", "{'session_key': '***'}"),
    ('"refresh_token":"25.x","session_secret":"y"', '"refresh_token":"***","session_secret":"***"'),
    ("API_KEY: abc", "API_KEY: ***"),
    ("secretkey = abc", "secretkey = ***"),
    ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
    ("bce-auth-v1/AK/2023-11-14T22:13:20Z/300/host/f530ba16 done", "bce-auth-v1/*** done"),
    ("token bce-v3/ALTAK-x/0f1e2d failed", "token *** failed"),
    ("24.0123456789abcdef0123456789abcdef.2592000.17-123 is old", "*** is old"),
    ("http://user:word@proxy:3128/", "http://***@proxy:3128/"),
    ("http://user:w@rd@proxy:3128/", "http://***@proxy:3128/"),
    ("socks5://user:word@proxy:1080", "socks5://***@proxy:1080"),
]


@pytest.mark.parametrize(("text", "masked"), SECRET_LOOKS)
def test_what_looks_like_a_secret_is_replaced(text, masked):
    assert mask(text) == masked


@pytest.mark.parametrize(("text", "masked"), SECRET_LOOKS)
def test_masked_text_stays_as_it_is(text, masked):
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "Access token invalid or no longer valid",
        "https://aip.baidubce.com:443/rpc/2.0?charset=utf-8",
        "mail me at teacher@school.cn",
        "temperature = 24.5, top_p: 0.1",
        "客户端密钥不正确",
        "",
    ],
)
def test_harmless_text_is_left_alone(text):
    assert mask(text) == text


@given(before=st.text(), after=st.text(), tail=st.text(st.characters(codec="ascii"), min_size=1))
def test_remembered_secret_never_shows(before, after, tail):
    secret = "uYb3kq" + tail + "Zz"
    remember(secret)
    assert secret not in mask(before + secret + after)


def test_cause_names_the_class_of_the_other_error():
    assert str(Cause.of(TimeoutError("too slow"))) == "TimeoutError: too slow"


def test_cause_holds_no_secret():
    shown = repr(Cause.of(OSError("https://h/?access_token=hush")))
    assert "hush" not in shown


def test_secret_in_a_log_message_is_replaced(caplog):
    log.warning("went to /?access_token=hush")
    assert caplog.messages == ["went to /?access_token=***"]


def test_secret_in_the_arguments_of_a_log_record_is_replaced(caplog):
    log.warning("%s after %d", "client_secret=hush", 5)
    assert caplog.messages == ["client_secret=*** after 5"]


def test_secret_in_a_logged_traceback_is_replaced(caplog):
    try:
        Path("/access_token=hush").read_text(encoding="utf-8")
    except OSError:
        log.exception("failed")
    assert "FileNotFoundError" in caplog.text
    assert "hush" not in caplog.text


def test_guarded_logger_masks(caplog):
    guard_logs("test_masking.guarded")
    logging.getLogger("test_masking.guarded").warning("bearer hush")
    assert caplog.messages == ["bearer ***"]


def test_logger_is_guarded_once():
    guard_logs("test_masking.once", "test_masking.once")
    filters = logging.getLogger("test_masking.once").filters
    assert [type(each) for each in filters] == [MaskingFilter]


SAID = "Your key is bce-v3/ALTAK-secret/abcdef; no key is bce-v3/ALTAK-secreT, nor is b"


@given(st.lists(st.integers(1, 12), min_size=len(SAID)))
def test_secret_is_masked_in_whatever_pieces_it_comes(sizes):
    remember("bce-v3/ALTAK-secret/abcdef", "beginning-of-another")
    stream, shown, rest = MaskedStream(), "", SAID
    for size in sizes:
        piece, rest = rest[:size], rest[size:]
        shown += stream.feed(piece, last=not rest)
        if not rest:
            break
    assert shown == "Your key is ***; no key is bce-v3/ALTAK-secreT, nor is b"


def test_only_what_may_be_a_secret_is_held_back():
    remember("bce-v3/ALTAK-secret/abcdef")
    stream = MaskedStream()
    assert [stream.feed(piece) for piece in ("It is b", "lue, and bce", ". ")] == [
        "It is ",
        "blue, and ",
        "bce. ",
    ]


@pytest.mark.parametrize(("begun", "rest"), [("bce", "bce"), ("bce-v3/ALTAK", "***"), ("x", "")])
def test_rest_of_a_text_that_ends_early(begun, rest):
    remember("bce-v3/ALTAK-secret/abcdef")
    stream = MaskedStream()
    assert (stream.feed(f"It is {begun}")[6:] + stream.rest(), stream.rest()) == (rest or begun, "")


def test_secret_is_masked_as_json_may_escape_it():
    remember("bce-v3/ALTAK-secret")
    escaped = "".join(f"\\u{ord(character):04X}" for character in "bce-v3/ALTAK-secret")
    assert mask(
        f'{{"key": "{escaped}", "k": "bce-v3\\/ALTAK-secret", "u": "bce-v3\\u002fALTAK-secret"}}'
    ) == ('{"key": "***", "k": "***", "u": "***"}')

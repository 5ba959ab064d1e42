"""Masking: secrets are replaced in every text, and other text stays readable."""

import logging
from pathlib import Path
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.masking import (
    Cause,
    MaskedStream,
    MaskingFilter,
    forget_all,
    guard_logs,
    log,
    mask,
    remember,
)


def test_every_occurrence_of_a_remembered_secret_is_replaced_until_it_is_forgotten():
    remember("uYb3kq-twice")
    assert mask("refused: uYb3kq-twice/uYb3kq-twice.") == "refused: ***/***."
    forget_all()
    assert mask("uYb3kq-twice") == "uYb3kq-twice"


def test_encoded_secret_is_replaced():
    secret = "uYb3kq/a+b=c &d"
    remember(secret)
    for encoded in (
        *(quote(secret), quote_plus(secret), quote(secret, safe="")),
        "".join(f"\\u{ord(character):04X}" for character in secret),
        secret.replace("/", "\\/"),
        secret.replace("/", "\\u002f"),
    ):
        assert mask(f'"x={encoded}"') == '"x=***"', encoded
    for other in ("uYb3kq+a+b=c &d", "uYb3kq/a+b=c +d"):
        assert mask(other) == other


def test_secret_that_contains_another_is_replaced_whole():
    for short in ("uYb3kq-short", "Yb3kq-short-and", "zb3kq1"):
        remember("uYb3kq-short-and-longer, zb3kq1", short)
        assert mask("uYb3kq-short-and-longer, zb3kq1") == "***", short
        forget_all()


def test_missing_or_short_value_is_not_remembered():
    remember(None, "", "qwxyz", "asdfgh")
    assert mask("nothing, qwxyz or asdfgh") == "nothing, qwxyz or ***"


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


def test_text_that_looks_like_a_secret_is_replaced_once():
    for text, masked in SECRET_LOOKS:
        assert mask(text) == masked
        assert mask(masked) == masked


def test_harmless_text_is_unchanged():
    for text in (
        "Access token invalid or no longer valid",
        "https://aip.baidubce.com:443/rpc/2.0?charset=utf-8",
        "the bearer token has expired, and bearer tokens are new",
        "mail me at teacher@school.cn",
        "temperature = 24.5, top_p: 0.1",
        "客户端密钥不正确",
        "",
    ):
        assert mask(text) == text


@given(before=st.text(), after=st.text(), tail=st.text(st.characters(codec="ascii"), min_size=1))
def test_remembered_secret_is_masked_in_any_text(before, after, tail):
    secret = "uYb3kq" + tail + "Zz"
    remember(secret)
    assert secret not in mask(before + secret + after)


def test_cause_names_the_class_and_the_masked_text_of_an_error():
    cause = Cause.of(OSError("https://h/?access_token=hush"))
    assert str(cause) == "OSError: https://h/?access_token=***"
    assert "hush" not in repr(cause)


def test_secret_in_a_log_message_and_its_arguments_is_replaced(caplog):
    log.warning("/?access_token=hush, %s after %d", "client_secret=hush", 5)
    assert caplog.messages == ["/?access_token=***, client_secret=*** after 5"]


def test_secret_in_a_logged_traceback_is_replaced(caplog):
    try:
        Path("/access_token=hush").read_text(encoding="utf-8")
    except OSError:
        log.exception("failed")
    assert "FileNotFoundError" in caplog.text
    assert "hush" not in caplog.text


def test_guarded_logger_masks_with_one_filter(caplog):
    guard_logs("test_masking.guarded", "test_masking.guarded")
    logger = logging.getLogger("test_masking.guarded")
    logger.warning("bearer hush")
    assert caplog.messages == ["bearer ***"]
    assert [type(each) for each in logger.filters] == [MaskingFilter]


STREAMED = "Your key is bce-v3/ALTAK-secret/abcdef; no key is bce-v3/ALTAK-secreT, nor is b"


@given(st.lists(st.integers(1, 12), min_size=len(STREAMED)))
def test_secret_is_masked_however_a_stream_is_split(sizes):
    remember("bce-v3/ALTAK-secret/abcdef", "beginning-of-another")
    stream, shown, rest = MaskedStream(), "", STREAMED
    for size in sizes:
        piece, rest = rest[:size], rest[size:]
        shown += stream.feed(piece, last=not rest)
        if not rest:
            break
    assert shown == "Your key is ***; no key is bce-v3/ALTAK-secreT, nor is b"


def test_stream_is_shown_at_once_without_a_secret():
    assert MaskedStream().feed("It is blue") == "It is blue"


def test_only_the_possible_beginning_of_a_secret_is_held_back():
    remember("bce-v3/ALTAK-secret/abcdef")
    stream = MaskedStream()
    shown = [stream.feed(piece) for piece in ("It is b", "lue, and bce", ". ")]
    assert shown == ["It is ", "blue, and ", "bce. "]


def test_rest_of_an_interrupted_stream_is_masked_from_six_characters_on():
    remember("bce-v3/ALTAK-secret/abcdef")
    for end, shown in [("bce", "bce"), ("bce-v", "bce-v"), ("bce-v3", "***"), ("x", "x")]:
        stream = MaskedStream()
        assert stream.feed(f"It is {end}") + stream.rest() == f"It is {shown}"
        assert stream.rest() == "", end

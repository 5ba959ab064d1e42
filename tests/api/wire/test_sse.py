"""Decoding of server-sent events: the examples of the standard, and streams split anywhere."""

import json
import re
import time
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.sse import EventDecoder

MEBIBYTE = b"x" * (1024 * 1024)


def events(*pieces):
    """Return the data of all events of a stream that arrives in these pieces."""
    decoder = EventDecoder()
    found = [data for piece in pieces for data in decoder.feed(piece)]
    return found + list(decoder.close())


def events_before_close(*pieces):
    """Return the data of the events that are decoded before the stream ends."""
    decoder = EventDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)]


# The examples of the HTML standard, section 9.2.6, "Interpreting an event stream". It discards an
# event at the end of the stream that no empty line follows; the decoder does not.
STOCKS = b"data: YHOO\ndata: +2\ndata: 10\n\n"
COMMENT_AND_IDS = b""": test stream

data: first event
id: 1

data:second event
id

data:  third event

"""
EMPTY = b"data\n\ndata\ndata\n\ndata:"
SPACE = b"data:test\n\ndata: test\n\n"
TWO_LINES = b"""data: This is the second message, it
data: has two lines.

data: This is the third message.

"""
NAMED = b"""event: add
data: 73857293

event: remove
data: 2153

event: add
data: 113411

"""


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (STOCKS, ["YHOO\n+2\n10"]),
        (COMMENT_AND_IDS, ["first event", "second event", " third event"]),
        (EMPTY, ["", "\n", ""]),
        (SPACE, ["test", "test"]),
        (
            TWO_LINES,
            ["This is the second message, it\nhas two lines.", "This is the third message."],
        ),
        (NAMED, ["73857293", "2153", "113411"]),
    ],
)
def test_example_of_the_standard(stream, expected):
    assert events(stream) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: a\n\n\n\ndata: b\n\n", ["a", "b"]),
        (b": keep-alive\n\n", []),
        (b":\n\n", []),
        (b"data: a\n: between\ndata: b\n\n", ["a\nb"]),
        (b"id: 7\nretry: 10\nevent: x\n\n", []),
        (b"date: a\n\n", []),
        (b"data : a\n\n", []),
        (b" data: a\n\n", []),
        (b"DATA: a\n\n", []),
        (b"database\n\n", []),
        (b"data:a:b\n\n", ["a:b"]),
        (b"data:  a \n\n", [" a "]),
        (b"data:\n\n", [""]),
        (b"data\n\n", [""]),
        (b"data: {\n\n", ["{"]),
    ],
)
def test_line_is_interpreted_as_in_the_standard(stream, expected):
    assert events(stream) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_may_end_in_three_ways(end):
    lines = [b"data: a", b"data: b", b"", b"data: c", b"", b""]
    assert events(end.join(lines)) == ["a\nb", "c"]


def test_line_ends_may_be_mixed():
    assert events(b"data: a\rdata: b\ndata: c\r\n\r\n") == ["a\nb\nc"]


def test_other_separators_do_not_end_a_line():
    for separator in "\u2028\u2029\x85\x0b\x0c\x1c\x1e\0":
        assert events(f"data: a{separator}b\n\n".encode()) == [f"a{separator}b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffdata: a\n\n", ["a"]),
        ("\ufeff\ufeffdata: a\n\n", []),
        ("data: a\n\n\ufeffdata: b\n\n", ["a"]),
        ("data: \ufeffa\n\n", ["\ufeffa"]),
    ],
    ids=["start", "second", "later line", "in data"],
)
def test_byte_order_mark_is_dropped_only_at_the_start(text, expected):
    assert events(text.encode()) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\xffb\n\n", "a\ufffdb"),
        (b'{"a": "\xff"}', '{"a": "\ufffd"}'),
        (b'{\n"a": "\xff"\n}', '{\n"a": "\ufffd"\n}'),
    ],
)
def test_invalid_utf_8_becomes_replacement_characters(stream, expected):
    assert events(stream) == [expected]


@pytest.mark.parametrize("stream", [b"data: a", b"data: a\n", b"data: a\r", b"data: a\r\n", b"{"])
def test_event_without_an_empty_line_is_decoded_when_the_stream_ends(stream):
    assert events_before_close(stream) == []
    assert events(stream) == ["{" if stream == b"{" else "a"]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_event_is_decoded_as_soon_as_its_empty_line_arrives(end):
    assert events_before_close(b"data: a" + end) == ["a"]


def test_piece_may_have_several_events():
    assert events_before_close(b"data: a\n\ndata: b\n\ndata: c") == ["a", "b"]


def test_closing_twice_returns_no_event_twice():
    decoder = EventDecoder()
    assert [*decoder.feed(b"data: a"), *decoder.close(), *decoder.close()] == ["a"]


ERROR = {"error_code": 110, "error_msg": "Access token invalid or no longer valid"}
PRETTY = json.dumps(ERROR, indent=2).encode()
FLUSH_LEFT = b'{\n"error_code": 110,\n"error_msg": "Access token invalid or no longer valid"\n}'
BARE = [json.dumps(ERROR).encode(), PRETTY, FLUSH_LEFT, PRETTY.replace(b"\n", b"\r\n")]


@pytest.mark.parametrize("bare", BARE, ids=["one line", "indented", "flush left", "crlf"])
def test_bare_json_is_an_event_of_its_own(bare):
    before = [b"", b"\n", b"data: 1\n\n", b"data: 1\n", b": ping\n", "\ufeff".encode()]
    after = [b"", b"\n", b"\r\n\r\n", b"\ndata: 2\n\n", b"\n\ndata: 2\n\n"]
    for start, end in product(before, after):
        expected = ["1"] * (b"1" in start) + [ERROR] + ["2"] * (b"2" in end)
        found = [
            data if len(data) == 1 else json.loads(data) for data in events(start + bare + end)
        ]
        assert found == expected, (start, end)


def test_comment_after_bare_json_is_ignored():
    assert events(b'{"a": 1}\n: keep-alive\n\n') == ['{"a": 1}']


TRICKY = (
    '\ufeffdata: {"result": "你好，😀 é\u2028"}\r\n\r\n: ping\r\ndata: a\rdata: b\n\n'
    'data\n\n{"error_code": 110,\r\n"error_msg": "无效"\r\n}\r\ndata: last'
).encode()
TRICKY_EVENTS = [
    '{"result": "你好，😀 é\u2028"}',
    "a\nb",
    "",
    '{"error_code": 110,\n"error_msg": "无效"\n}',
    "last",
]


def test_stream_may_be_split_at_any_byte():
    for place in range(1, len(TRICKY)):
        assert events(TRICKY[:place], TRICKY[place:]) == TRICKY_EVENTS, place
    assert events(*(TRICKY[i : i + 1] for i in range(len(TRICKY)))) == TRICKY_EVENTS


def test_empty_piece_changes_nothing():
    assert events(b"data: a\r", b"", b"\ndata: b\n\n") == ["a\nb"]


lines = st.one_of(
    st.sampled_from(["", "data", "data:", ": ping", "id: 1", '{"a": 1', "}", "\ufeffdata: x"]),
    st.text(max_size=8).map("data: {}".format),
    st.text(max_size=8),
)
streams = st.lists(st.tuples(lines, st.sampled_from(["\n", "\r\n", "\r"]))).map(
    lambda parts: "".join(line + end for line, end in parts).encode()
)


@given(stream=streams, places=st.sets(st.integers(1, 80)))
def test_events_do_not_depend_on_the_split(stream, places):
    cuts = [0, *sorted(place for place in places if place < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert events(*filter(None, pieces)) == events(stream)


def decode_whole(stream):
    """Follow the steps of the standard on a complete stream."""
    found, buffer = [], ""
    for line in re.split("\r\n|\n|\r", stream.decode("utf-8-sig", "replace")):
        name, colon, value = line.partition(":")
        if not line:
            found += [buffer[:-1]] if buffer else []
            buffer = ""
        elif name == "data":
            buffer += (value.removeprefix(" ") if colon else "") + "\n"
    return found


@given(streams.filter(lambda stream: not re.search(rb"(^|\r|\n|\xbf){", stream)))
def test_events_are_those_of_the_standard_without_bare_json(stream):
    assert events(stream + b"\n\n") == decode_whole(stream + b"\n\n")


def test_event_of_ten_megabytes_is_decoded():
    text = "字" * (10_000_000 // 3)
    stream = f"data: {text}\n\n".encode()
    pieces = [stream[i : i + 65_536] for i in range(0, len(stream), 65_536)]
    assert events(*pieces) == [text]


# Joined at each piece, this would copy 400 GB; joined once, it takes a fifth of a second.
def test_time_for_a_long_line_is_linear():
    stream = b"data: " + b"x" * 10_000_000 + b"\n\n"
    pieces = [stream[i : i + 128] for i in range(0, len(stream), 128)]
    start = time.process_time()
    assert len(events(*pieces)[0]) == 10_000_000
    assert time.process_time() - start < 3


def test_time_for_many_lines_is_linear():
    start = time.process_time()
    assert events(b"data: x\n" * 300_000)[0].count("\n") == 299_999
    assert time.process_time() - start < 3


def test_more_than_64_mebibytes_without_an_event_are_refused():
    decoder = EventDecoder()
    assert [data for _ in range(64) for data in decoder.feed(MEBIBYTE)] == []
    with pytest.raises(ValueError, match="does not end"):
        list(decoder.feed(b"x"))


def test_stream_of_many_events_may_be_larger_than_the_limit_of_one():
    decoder = EventDecoder()
    piece = b"data: " + MEBIBYTE + b"\n\n"
    assert sum(1 for _ in range(70) for _ in decoder.feed(piece)) == 70

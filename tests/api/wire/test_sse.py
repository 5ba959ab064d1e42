"""Decoding of server-sent events: the examples of the standard, and streams split anywhere."""

from __future__ import annotations

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


def test_examples_of_the_standard():
    for stream, expected in (
        (STOCKS, ["YHOO\n+2\n10"]),
        (COMMENT_AND_IDS, ["first event", "second event", " third event"]),
        (EMPTY, ["", "\n", ""]),
        (SPACE, ["test", "test"]),
        (
            TWO_LINES,
            ["This is the second message, it\nhas two lines.", "This is the third message."],
        ),
        (NAMED, ["73857293", "2153", "113411"]),
    ):
        assert events(stream) == expected


def test_line_is_interpreted_as_in_the_standard():
    for stream, expected in (
        (b"", []),
        (b"\n\n\n", []),
        (b"\ndata: a\n\n", ["a"]),
        (b"data: a\n\n\n\ndata: b\n\n", ["a", "b"]),
        (b": keep-alive\n\n", []),
        (b":\n\n", []),
        (b":data: a\n\n", []),
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
        (b"data: {\n\ndata: {}\n\n", ["{", "{}"]),
        (b"data: {\n}\n\n", ["{"]),
    ):
        assert events(stream) == expected, stream


def test_line_may_end_in_three_ways():
    for end in (b"\n", b"\r\n", b"\r"):
        lines = [b"data: a", b"data: b", b"", b"data: c", b"", b""]
        assert events(end.join(lines)) == ["a\nb", "c"], end
    assert events(b"data: a\rdata: b\ndata: c\r\n\r\n") == ["a\nb\nc"]
    for separator in "\u2028\u2029\x85\x0b\x0c\x1c\x1e\0X":
        text = f"a{separator}b{separator}"
        assert events(f"data: {text}\n\n".encode()) == [text], ascii(separator)
        assert events(f"data: {text}".encode(), b"c\n\n") == [f"{text}c"], ascii(separator)


def test_byte_order_mark_is_dropped_only_at_the_start():
    for text, expected in (
        ("\ufeffdata: a\n\n", ["a"]),
        ("\ufeff\ufeffdata: a\n\n", []),
        ("data: a\n\n\ufeffdata: b\n\n", ["a"]),
        ("\n\ufeffdata: b\n\n", []),
        ("data: \ufeffa\n\n", ["\ufeffa"]),
    ):
        assert events(text.encode()) == expected, ascii(text)


def test_invalid_utf_8_becomes_replacement_characters():
    for stream, expected in (
        (b"data: a\xffb\n\n", "a\ufffdb"),
        (b'data: {"a": "\xff"}\n\n', '{"a": "\ufffd"}'),
        (b'{"a": "\xff"}', '{"a": "\ufffd"}'),
        (b'{\n"a": "\xff"\n}', '{\n"a": "\ufffd"\n}'),
    ):
        assert events(stream) == [expected], stream


def test_event_is_decoded_at_its_empty_line_or_the_end_of_the_stream():
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        assert events_before_close(b"data: a" + end) == ["a"], end
    for end in (b"", b"\n", b"\r", b"\r\n"):
        assert events_before_close(b"data: a" + end) == [], end
        assert events(b"data: a" + end) == ["a"], end
    assert events_before_close(b"{") == []
    assert events(b"{") == ["{"]
    assert events_before_close(b"data: a\n\ndata: b\n\ndata: c") == ["a", "b"]


def test_closed_decoder_returns_no_event_twice_and_can_go_on():
    decoder = EventDecoder()
    assert [*decoder.feed(b"data: a"), *decoder.close(), *decoder.close()] == ["a"]
    assert [*decoder.feed(b"data: b\n"), *decoder.feed(b"data: c"), *decoder.close()] == ["b\nc"]


# --- what goes beyond the standard


def test_line_that_is_an_object_is_an_event_if_another_object_follows():
    for stream, expected in (
        (b'data: {"a": 1}\ndata: {"b": 2}\ndata: [DONE]\n', ['{"a": 1}', '{"b": 2}', "[DONE]"]),
        (b'data: {"a": 1}\ndata: {"b":\ndata: 2}\n\n', ['{"a": 1}', '{"b":\n2}']),
        (b'data: {"a":\ndata: {"b": 2}}\n\n', ['{"a":\n{"b": 2}}']),
        (b'data: {"a":\ndata: 1\ndata: }\n\n', ['{"a":\n1\n}']),
        (b"data: [DONE]\ndata: {}\n\n", ["[DONE]\n{}"]),
        (b"data: 1\ndata: 2\n\n", ["1\n2"]),
    ):
        assert events(stream) == expected, stream
    assert events_before_close(b"data: {}\ndata: {}\n") == ["{}"]


def test_name_is_that_of_the_event_that_was_decoded_last():
    decoder = EventDecoder()
    assert decoder.name == ""
    assert [decoder.name for _ in decoder.feed(b"data: 0\n\n")] == [""]
    stream = b"event:ping\ndata: {}\n\ndata: 1\n\ndata: 2\nevent:  add \n\nevent: x\n\ndata: 3\n\n"
    assert [decoder.name for _ in decoder.feed(stream)] == ["ping", "", "add", ""]
    assert [decoder.name for _ in decoder.feed(b"event: a\xff\ndata: 4\n\n")] == ["a\ufffd"]
    assert [decoder.name for _ in decoder.feed(b"data: {}\n\n")] == [""]
    list(decoder.feed(b"event: ping\n"))
    assert [decoder.name for _ in decoder.feed(b"data: {}\n\n")] == ["ping"]


# --- bare JSON

ERROR = {"error_code": 110, "error_msg": "Access token invalid or no longer valid"}
PRETTY = json.dumps(ERROR, indent=2).encode()
FLUSH_LEFT = b'{\n"error_code": 110,\n"error_msg": "Access token invalid or no longer valid"\n}'
BARE = [json.dumps(ERROR).encode(), PRETTY, FLUSH_LEFT, PRETTY.replace(b"\n", b"\r\n")]


def test_bare_json_is_an_event_of_its_own():
    starts = [b"", b"\n", b"data: 1\n\n", b"data: 1\n", b": ping\n", "\ufeff".encode()]
    ends = [b"", b"\n", b"\r\n\r\n", b"\ndata: 2\n\n", b"\n\ndata: 2\n\n"]
    for bare, start, end in product(BARE, starts, ends):
        expected = ["1"] * (b"1" in start) + [ERROR] + ["2"] * (b"2" in end)
        found = [
            data if len(data) == 1 else json.loads(data) for data in events(start + bare + end)
        ]
        assert found == expected, (bare, start, end)


def test_bare_json_is_dispatched_as_soon_as_it_is_complete():
    for bare in BARE:
        (data,) = events_before_close(bare + b"\n")
        assert json.loads(data) == ERROR, bare
    assert events_before_close(b'{"a": 1} \n') == ['{"a": 1} ']
    assert events_before_close(b'{"a": {}\n') == []
    assert events(b'{"a": 1}\n: keep-alive\n\n') == ['{"a": 1}']
    assert events(b'{"a":\n: keep-alive\n1}') == ['{"a":\n1}']
    assert events(b'{"a":\ndata: b\n\n') == ['{"a":', "b"]


# --- pieces

TRICKY = (
    '\ufeffdata: {"result": "你好，😀 é\u2028"}\r\n\r\n: ping\r\ndata: a\rdata: b\n\n'
    'data\n\n{"error_code": 110,\r\n"error_msg": "无效"\r\n}\r\ndata: {}\n\ndata: last'
).encode()
TRICKY_EVENTS = [
    '{"result": "你好，😀 é\u2028"}',
    "a\nb",
    "",
    '{"error_code": 110,\n"error_msg": "无效"\n}',
    "{}",
    "last",
]


def test_stream_may_be_split_at_any_byte():
    for place in range(1, len(TRICKY)):
        assert events(TRICKY[:place], TRICKY[place:]) == TRICKY_EVENTS, place
    assert events(*(TRICKY[i : i + 1] for i in range(len(TRICKY)))) == TRICKY_EVENTS
    assert events(b"data: a\r", b"", b"\ndata: b\n\n") == ["a\nb"]


def test_piece_of_one_event_may_follow_and_precede_any_other():
    whole = b"data: {}\n\n"
    assert EventDecoder().feed(whole) == ("{}",)  # by the fast path, which needs no generator
    for before, after, expected in (
        (b"", b"", ["{}"]),
        (b"", b"\n", ["{}"]),
        (b"data: a\n", b"", ["a\n{}"]),
        (b"dat", b"", []),
        (b"data: a\r\n\r", b"data: b\n\n", ["a", "{}", "b"]),
        (b"data: a\r\r", b"\n\ndata: b\n\n", ["a", "{}", "b"]),
        (b"", "\ufeffdata: b\n\n".encode(), ["{}"]),
        (b"", b"\ndata: b\n\n", ["{}", "b"]),
    ):
        assert events(before, whole, after) == expected, (before, after)
    assert events(b"data: {}\r\n\n") == ["{}"]
    assert events(b"data: {\rdata: }\n\n") == ["{\n}"]
    assert events(b"data: {\ndata: }\n\n") == ["{\n}"]
    assert events(b"data: {}\n", b"data: {}\n\n") == ["{}", "{}"]
    assert events_before_close(b"data: {}\nx") == []


LINES = st.one_of(
    st.sampled_from(["", "data", "data:", ": ping", "id: 1", '{"a": 1', "}", "\ufeffdata: x"]),
    st.text(max_size=8).map("data: {}".format),
    st.text(max_size=8),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"]))).map(
    lambda parts: "".join(line + end for line, end in parts).encode()
)


@given(stream=STREAMS, places=st.sets(st.integers(1, 80)))
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


@given(STREAMS.filter(lambda stream: not re.search(rb"(^|\r|\n|\xbf){", stream)))
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


# If the JSON were parsed again with each of its lines, this would take many minutes.
def test_bare_json_is_parsed_once():
    for stream, count in (
        (b'{"a": [{}\n' + b",{}\n" * 100_000 + b"]}\n", 1),
        (b"{x\n" + b"}\n" * 100_000, 0),
        (b"{x}\n" + b"{\n}\n" * 100_000, 0),
        (b'{"a": "\n' + b'"}\n' * 100_000, 0),
        (b'{"' + b'\\"' * 100_000 + b"\n", 0),
    ):
        assert len(events_before_close(stream)) == count, stream[:9]


def test_comments_between_events_are_not_counted():
    decoder = EventDecoder()
    for _ in range(70):
        list(decoder.feed(b":" + MEBIBYTE + b"\n"))
        assert list(decoder.feed(b"data: {}\n\n")) == ["{}"]


def test_more_than_64_mebibytes_without_an_event_are_refused():
    for before in (b"", b"data: a\n\n"):
        decoder = EventDecoder()
        list(decoder.feed(before))
        assert [data for _ in range(64) for data in decoder.feed(MEBIBYTE)] == [], before
        with pytest.raises(ValueError, match=r"^an event of the stream does not end$"):
            list(decoder.feed(b"x"))


def test_stream_of_many_events_may_be_larger_than_the_limit_of_one():
    decoder = EventDecoder()
    piece = b"data: " + MEBIBYTE + b"\n\n"
    assert sum(1 for _ in range(70) for _ in decoder.feed(piece)) == 70

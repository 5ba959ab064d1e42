"""Bytes to events: the examples of the WHATWG standard, and bytes split where it hurts."""

import json
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.wire.sse import EventDecoder

MEBIBYTE = b"x" * (1024 * 1024)


def events(*pieces):
    """Give the data of all events of a stream that arrives in these pieces."""
    decoder = EventDecoder()
    found = [data for piece in pieces for data in decoder.feed(piece)]
    return found + list(decoder.close())


def before_the_end(*pieces):
    decoder = EventDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)]


# The examples of HTML, section 9.2.6, "Interpreting an event stream". What stands at the end
# without an empty line the standard throws away; here it is an event.
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
def test_line_is_read_as_the_standard_says(stream, expected):
    assert events(stream) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_line_end_ends_lines(end):
    lines = [b"data: a", b"data: b", b"", b"data: c", b"", b""]
    assert events(end.join(lines)) == ["a\nb", "c"]


def test_line_ends_may_be_mixed():
    assert events(b"data: a\rdata: b\ndata: c\r\n\r\n") == ["a\nb\nc"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\0"])
def test_other_separators_do_not_end_a_line(mark):
    assert events(f"data: a{mark}b\n\n".encode()) == [f"a{mark}b"]


def test_byte_order_mark_at_the_start_is_dropped():
    assert events("\ufeffdata: a\n\n".encode()) == ["a"]


def test_second_byte_order_mark_belongs_to_the_line():
    assert events("\ufeff\ufeffdata: a\n\n".encode()) == []


def test_byte_order_mark_further_on_belongs_to_the_line():
    assert events("data: a\n\n\ufeffdata: b\n\n".encode()) == ["a"]


def test_byte_order_mark_in_data_stays():
    assert events("data: \ufeffa\n\n".encode()) == ["\ufeffa"]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\xffb\n\n", "a\ufffdb"),
        (b'{"a": "\xff"}', '{"a": "\ufffd"}'),
        (b'{\n"a": "\xff"\n}', '{\n"a": "\ufffd"\n}'),
    ],
)
def test_bytes_that_are_no_utf_8_become_replacement_characters(stream, expected):
    assert events(stream) == [expected]


@pytest.mark.parametrize("stream", [b"data: a", b"data: a\n", b"data: a\r", b"data: a\r\n"])
def test_event_without_an_empty_line_is_given_at_the_end(stream):
    assert events(stream) == ["a"]


@pytest.mark.parametrize("stream", [b"data: a", b"data: a\n", b"data: a\r\n", b"{"])
def test_event_without_an_empty_line_is_not_given_before_the_end(stream):
    assert before_the_end(stream) == []


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_event_is_given_as_soon_as_its_empty_line_is_there(end):
    assert before_the_end(b"data: a" + end) == ["a"]


def test_events_that_arrive_together_are_given_together():
    assert before_the_end(b"data: a\n\ndata: b\n\ndata: c") == ["a", "b"]


def test_closing_twice_gives_nothing_more():
    decoder = EventDecoder()
    assert [*decoder.feed(b"data: a"), *decoder.close(), *decoder.close()] == ["a"]


ERROR = {"error_code": 110, "error_msg": "Access token invalid or no longer valid"}
PRETTY = json.dumps(ERROR, indent=2).encode()
FLUSH_LEFT = b'{\n"error_code": 110,\n"error_msg": "Access token invalid or no longer valid"\n}'
BARE = [json.dumps(ERROR).encode(), PRETTY, FLUSH_LEFT, PRETTY.replace(b"\n", b"\r\n")]


@pytest.mark.parametrize("bare", BARE, ids=["one line", "indented", "flush left", "crlf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"], ids=["end", "line end", "empty line"])
@pytest.mark.parametrize(
    "before",
    [b"", b"\n", b"data: 1\n\n", b"data: 1\n", b": ping\n", "\ufeff".encode()],
    ids=["start", "empty line", "event", "open event", "comment", "mark"],
)
def test_bare_json_is_an_event_wherever_it_stands(bare, end, before):
    assert json.loads(events(before + bare + end)[-1]) == ERROR


@pytest.mark.parametrize("bare", BARE, ids=["one line", "indented", "flush left", "crlf"])
def test_event_before_bare_json_stays_its_own(bare):
    assert events(b"data: 1\n" + bare)[0] == "1"


@pytest.mark.parametrize("bare", BARE, ids=["one line", "indented", "flush left", "crlf"])
@pytest.mark.parametrize("between", [b"\n", b"\n\n"], ids=["line end", "empty line"])
def test_event_behind_bare_json_stays_its_own(bare, between):
    assert events(bare + between + b"data: 1\n\n")[-1] == "1"


def test_comment_behind_bare_json_does_not_belong_to_it():
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


@pytest.mark.parametrize("place", range(len(TRICKY) + 1))
def test_stream_may_be_split_anywhere(place):
    assert events(*filter(None, (TRICKY[:place], TRICKY[place:]))) == TRICKY_EVENTS


def test_stream_may_arrive_byte_by_byte():
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
def test_result_does_not_depend_on_the_split(stream, places):
    cuts = [0, *sorted(place for place in places if place < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert events(*filter(None, pieces)) == events(stream)


def by_the_letter(stream):
    """Do what the standard says, step by step, on a stream that is there as a whole."""
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
def test_result_is_the_standards_where_there_is_no_bare_json(stream):
    assert events(stream + b"\n\n") == by_the_letter(stream + b"\n\n")


def test_event_of_ten_megabytes_arrives_whole():
    text = "字" * (10_000_000 // 3)
    stream = f"data: {text}\n\n".encode()
    pieces = [stream[i : i + 65_536] for i in range(0, len(stream), 65_536)]
    assert events(*pieces) == [text]


# Joined anew for each piece, this would copy 400 GB; joined once it takes a fifth of a second.
def test_time_for_a_long_line_grows_with_its_length():
    stream = b"data: " + b"x" * 10_000_000 + b"\n\n"
    pieces = [stream[i : i + 128] for i in range(0, len(stream), 128)]
    start = time.process_time()
    assert len(events(*pieces)[0]) == 10_000_000
    assert time.process_time() - start < 3


def test_time_for_many_lines_grows_with_their_number():
    start = time.process_time()
    assert events(b"data: x\n" * 300_000)[0].count("\n") == 299_999
    assert time.process_time() - start < 3


def test_event_of_64_mebibytes_is_taken_in():
    decoder = EventDecoder()
    assert [data for _ in range(64) for data in decoder.feed(MEBIBYTE)] == []


def test_more_than_64_mebibytes_without_an_end_are_refused():
    decoder = EventDecoder()
    assert [data for _ in range(64) for data in decoder.feed(MEBIBYTE)] == []
    with pytest.raises(ValueError, match="does not end"):
        list(decoder.feed(b"x"))


def test_many_events_together_may_be_larger_than_one_event_may():
    decoder = EventDecoder()
    piece = b"data: " + MEBIBYTE + b"\n\n"
    assert sum(1 for _ in range(70) for _ in decoder.feed(piece)) == 70

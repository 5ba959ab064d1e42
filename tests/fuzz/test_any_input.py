"""Mutated answers and files: only errors of the contract come out, and only harmless HTML.

``python tests/fuzz/fuzz.py`` looks for more of them, by coverage.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.any_answer import Response, check_answer, check_events
from support.any_file import check_file
from support.any_text import FORMS, check_frames, check_page
from support.mutations import (
    JSON_WORDS,
    TEXT_WORDS,
    events,
    files,
    mutated,
    streams,
    texts,
    with_any_value,
)

from qianfan_magic.api.types import ApiVersion

PLACES = st.lists(st.integers(0, 2_000), max_size=6)
STREAMS = mutated(st.sampled_from(streams()), JSON_WORDS)


def damaged(file: tuple[str, bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    name, content = file
    contents = mutated(st.just(content), JSON_WORDS)
    if name.endswith(("json", "ipynb")):
        contents = with_any_value(content) | contents
    return st.tuples(st.just(name), contents)


TEXTS = mutated(st.sampled_from(texts()), TEXT_WORDS) | st.lists(
    st.sampled_from(TEXT_WORDS) | st.text(max_size=3), max_size=30
).map("".join)


@given(STREAMS | st.binary(max_size=60), PLACES)
def test_events_of_any_bytes_are_texts_and_do_not_depend_on_the_split(stream, places):
    check_events(stream, places)


@given(
    st.sampled_from(ApiVersion),
    STREAMS,
    PLACES,
    st.sampled_from([200, 200, 400, 401, 429, 500]),
    st.sampled_from(["text/event-stream", "application/json", "text/html", ""]),
)
def test_any_response_is_an_answer_or_an_error_of_the_contract(version, body, places, status, kind):
    for is_stream in (True, False):
        check_answer(version, Response(body, places, status, kind, is_stream))


@given(st.sampled_from(files()).flatmap(damaged))
def test_any_file_is_read_or_refused_with_an_error_of_the_contract(file):
    check_file(*file)


def test_hostile_answer_is_shown_as_harmless_html():
    for text in texts():
        for form in ("markdown", "html"):
            check_page(text, form)
        check_frames(text, range(0, len(text), 40))


@given(TEXTS, st.sampled_from(FORMS))
def test_any_answer_is_shown_as_harmless_html(text, form):
    check_page(text, form)


@given(TEXTS, PLACES)
def test_any_answer_is_harmless_while_it_arrives(text, places):
    check_frames(text, places)


@given(st.sampled_from(ApiVersion), events(), PLACES)
def test_any_values_in_events_are_an_answer_or_an_error_of_the_contract(version, stream, places):
    check_answer(version, Response(stream, places))


#: Responses in which JSON stands that may be deep.
_DEEP = (
    b'{"id": %s, "result": "a", "is_end": true, "finish_reason": %s, "ban_round": %s}',
    b'{"error_code": 17, "error_msg": %s}',
    b'{"error": %s}',
    b'{"error": {"code": %s, "message": %s, "type": %s}, "id": %s}',
    b'{"detail": %s}',
    b'{"message": [{"loc": %s, "msg": "x"}]}',
    b'{"id": %s, "choices": [{"delta": {"content": "a"}, "finish_reason": "stop", "flag": %s}]}',
    b'{"choices": [{"message": {"tool_calls": [{"id": "x", "function": {"arguments": %s}}]}}]}',
)


def test_deep_json_is_an_answer_or_an_error_of_the_contract():
    for depth in (150, 500, 900):
        deep = b"[" * depth + b"]" * depth
        for response in _DEEP:
            body = response.replace(b"%s", deep)
            for version in ApiVersion:
                check_answer(version, Response(b"data: " + body + b"\n\n"))
                check_answer(version, Response(body, (), 400, "application/json", is_stream=False))

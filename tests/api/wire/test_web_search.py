"""Web search: what is sent, and the sources that are read."""

from __future__ import annotations

import pytest

from qianfan_magic import ParameterError, SearchResult
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.wire import read_reply, v2
from qianfan_magic.api.wire.search_results import read_search_results

HELLO = [{"role": "user", "content": "hi"}]
ASKED = {"enable": True, "enable_citation": True, "enable_trace": True}
ROW = {
    "index": 1,
    "url": "https://example.com/a",
    "title": "A page",
    "site_name": "Example",
    "datetime": "2026-01-02",
}
RESULT = SearchResult(
    index=1, url="https://example.com/a", title="A page", site="Example", date="2026-01-02"
)


def sent(parameters, model="ernie-5.1"):
    service = Catalogue().resolve(None, model, "chat", (2,))
    return v2.body("chat", service, HELLO, parameters, stream=False).get("web_search")


def test_parameters_of_a_search_become_one_field():
    for parameters, field in (
        ({}, None),
        ({"web_search": True}, ASKED),
        ({"web_search": False}, {"enable": False}),
        ({"search_mode": "required"}, ASKED | {"search_mode": "required"}),
        ({"web_search": True, "search_number": 3}, ASKED | {"search_number": 3}),
        ({"web_search": {"enable": True, "new": 1}}, {"enable": True, "new": 1}),
    ):
        assert sent(parameters) == field, parameters


def test_model_that_cannot_search_is_named_and_one_without_a_card_is_asked():
    with pytest.raises(ParameterError, match="deepseek-v4-pro cannot search the web"):
        sent({"web_search": True}, "deepseek-v4-pro")
    with pytest.raises(ParameterError, match="web_search holds what JSON cannot carry"):
        sent({"web_search": {"enable": {1}}})
    assert sent({"web_search": False}, "deepseek-v4-pro") == {"enable": False}
    assert sent({"web_search": True}, "brand-new") == ASKED


def test_sources_are_read_from_either_place():
    assert read_search_results({"search_results": [ROW]}) == (RESULT,)
    assert read_search_results({"search_info": {"search_results": [ROW]}}) == (RESULT,)


def test_texts_of_a_source_can_be_saved():
    for title, read in (("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("\udc00", "\ufffd")):
        (found,) = read_search_results({"search_results": [ROW | {"title": title}]})
        assert found.title == read, ascii(title)


def test_invalid_sources_are_left_out():
    for change in (
        {"index": 0},
        {"index": "1"},
        {"index": True},
        {"index": 1_000},
        {"url": "javascript:alert(1)"},
        {"url": "https://a b"},
        {"url": None},
        {"url": "https://example.com/" + "a" * 1_981},
    ):
        assert read_search_results({"search_results": [ROW | change]}) == (), change
    for rows in (None, 5, "a", {}, [5], [None], [[]]):
        assert read_search_results({"search_results": rows}) == (), rows
    assert read_search_results({"search_info": 5}) == ()


def test_source_may_be_at_the_limits_and_have_no_more_than_an_address():
    for url in ("http://a", "HTTPS://A/?b", "https://example.com/" + "a" * 1_980):
        for row in ({"index": 999, "url": url}, {"index": 999, "url": url, "title": 5}):
            (result,) = read_search_results({"search_results": [row]})
            assert result == SearchResult(index=999, url=url), row


def test_date_has_either_of_two_names():
    row = {"index": 1, "url": "https://a", "date": "2026-01-02"}
    (result,) = read_search_results({"search_results": [row]})
    assert result.date == "2026-01-02"


def test_sources_are_bounded_and_the_first_of_each_number_counts():
    rows = [ROW | {"index": number, "title": "x" * 1_000} for number in range(900, 0, -1)]
    results = read_search_results({"search_results": rows})
    assert len(results) == 50
    assert max(len(result.title) for result in results) == 300
    twice = [ROW, ROW | {"title": "Another"}]
    assert read_search_results({"search_results": twice}) == (RESULT,)


def test_reply_has_the_sources_of_whichever_chunk_brings_them():
    chunks = [
        {"choices": [{"delta": {"content": "Old^[1]^."}}], "search_results": [ROW]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "search_results": []},
        {"choices": [{"delta": {}}]},
    ]
    reply = read_reply((v2.read_chunk(chunk) for chunk in chunks), 2)
    assert (reply.search_results, reply.finish_reason) == ((RESULT,), "stop")
    last = chunks[1] | {"search_results": None, "search_info": {"search_results": [ROW]}}
    reply = read_reply([v2.read_chunk(last)], 2)
    assert (reply.search_results, reply.finish_reason) == ((RESULT,), "stop")

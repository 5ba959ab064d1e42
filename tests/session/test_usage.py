"""``%qianfan usage``: the totals of each model, and the table that shows them."""

from __future__ import annotations

import re
from dataclasses import fields
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import Usage
from qianfan_magic.session.usage import AnswerStats, Total, totals_by_model
from qianfan_magic.views.reports.tables import USAGE_HEADERS, usage_bundle


def stats(
    model: str = "m",
    *,
    tokens: tuple[int, int] = (0, 0),
    first: float = 0.0,
    streamed: float = 0.0,
) -> AnswerStats:
    return AnswerStats(model, Usage(*tokens, sum(tokens)), first, streamed)


def total(**changed) -> dict[str, object]:
    """Return the total of a model that answered once."""
    (of_model,) = totals_by_model([stats(tokens=(10, 20), first=0.5, streamed=2.0)])
    return of_model | changed


# --- totals


def test_there_are_no_totals_without_answers():
    assert totals_by_model([]) == []


def test_each_model_has_a_total_in_the_order_of_first_use():
    totals = totals_by_model([stats("b"), stats("a"), stats("b")])
    assert [(of_model["model"], of_model["calls"]) for of_model in totals] == [("b", 2), ("a", 1)]
    assert list(totals[0]) == [field.name for field in fields(Total)]


def test_tokens_of_prompts_and_completions_are_added_up_separately():
    (of_model,) = totals_by_model([stats(tokens=(1, 10)), stats(tokens=(2, 20))])
    assert of_model["prompt_tokens"] == 3
    assert of_model["completion_tokens"] == 30


def test_time_to_the_first_token_is_the_median():
    for seconds, median in [([4.0], 4.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 9.0, 2.0, 3.0], 2.5)]:
        (of_model,) = totals_by_model([stats(first=first) for first in seconds])
        assert of_model["first_token"] == median, seconds


def test_rate_is_that_of_all_streamed_tokens_of_the_model():
    fast = stats(tokens=(5, 80), streamed=2.0)
    slow_start = stats(tokens=(5, 10), first=9.0, streamed=1.0)
    not_streamed = stats(tokens=(5, 90), first=3.0)
    other_model = stats("n", tokens=(0, 90), streamed=1.0)
    for answers, rate in [
        ([slow_start], 10.0),
        ([slow_start, fast], 30.0),
        ([slow_start, not_streamed], 10.0),
        ([slow_start, other_model], 10.0),
        ([not_streamed], None),
        ([not_streamed, other_model], None),
    ]:
        assert totals_by_model(answers)[0]["tokens_per_second"] == rate, answers


ANSWERS = st.lists(
    st.builds(
        stats,
        st.sampled_from("abc"),
        tokens=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        first=st.floats(0, 100),
        streamed=st.floats(0, 100),
    )
)


@given(ANSWERS)
def test_totals_account_for_every_answer_and_token(answers):
    totals = totals_by_model(answers)
    models = [of_model["model"] for of_model in totals]
    assert sorted(models) == sorted({answer.model for answer in answers})
    assert sum(of_model["calls"] for of_model in totals) == len(answers)
    for name in ("prompt_tokens", "completion_tokens"):
        counted = sum(getattr(answer.usage, name) for answer in answers)
        assert sum(of_model[name] for of_model in totals) == counted


# --- the table


class Table(HTMLParser):
    """Collects the rows of an HTML table, and the names of all tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags |= {tag, *(name for name, _ in attrs)}
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def html_of(*totals) -> Table:
    return Table(usage_bundle(totals)["text/html"])


def test_sentence_replaces_an_empty_table():
    bundle = usage_bundle([])
    for media_type in ("text/html", "text/plain"):
        assert "Nothing has been answered yet." in bundle[media_type], media_type
    assert "<table" not in bundle["text/html"]


def test_table_has_a_row_for_each_model():
    thousands = {"calls": 1_000, "prompt_tokens": 20_000, "completion_tokens": 3_000_000}
    totals = [total(), total(model="n", tokens_per_second=None), total(**thousands)]
    assert html_of(*totals).rows == [
        list(USAGE_HEADERS),
        ["m", "1", "10", "20", "0.50 s", "10"],
        ["n", "1", "10", "20", "0.50 s", ""],
        ["m", "1,000", "20,000", "3,000,000", "0.50 s", "10"],
    ]


def test_plain_text_is_an_aligned_table():
    models = [total(model="a_very_long_endpoint"), total(calls=123_456, tokens_per_second=None)]
    lines = usage_bundle(models)["text/plain"].splitlines()
    head, *rows = lines
    assert re.split("  +", head) == list(USAGE_HEADERS)
    assert [row.split() for row in rows] == [
        ["a_very_long_endpoint", "1", "10", "20", "0.50", "s", "10"],
        ["m", "123,456", "10", "20", "0.50", "s"],
    ]
    for header, cell in [("tokens in", "10"), ("tokens out", "20")]:
        start = head.index(header)
        assert [row[start:].split()[0] for row in rows] == [cell, cell], header
    assert lines == [line.rstrip() for line in lines]


def test_html_in_the_name_of_a_model_is_escaped():
    for model in (
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</td></tr></table><iframe src=https://evil.example>",
        '" onmouseover="alert(1)',
        "<!-- ",
        "&lt;b&gt;",
    ):
        table = html_of(total(model=model))
        allowed = {"div", "table", "thead", "tbody", "tr", "th", "td", "style", "class", "tabindex"}
        assert table.tags <= allowed, model
        assert table.rows[1][0] == model.strip()


@given(st.text("<>&\"'/!-= abcdt", max_size=20))
def test_any_name_of_a_model_leaves_the_table_intact(model):
    table = html_of(total(model=model))
    assert [len(row) for row in table.rows] == [len(USAGE_HEADERS)] * 2


def test_invisible_character_in_a_name_is_escaped():
    for hidden in ("\x1b[2J", "\u202e", "\u200b", "\x00", "\ud800"):
        for media_type, shown in usage_bundle([total(model=f"m{hidden}")]).items():
            escaped = hidden[0].encode("unicode_escape").decode()
            assert hidden[0] not in shown, (escaped, media_type)
            assert f"m{escaped}" in shown, media_type


def test_name_is_not_rendered_as_mathematics():
    html = usage_bundle([total(model="$x$")])["text/html"]
    assert re.match('<div class="[^"]*mathjax_ignore tex2jax_ignore"', html)

"""``%qianfan usage``: what was used so far, added up and as a table."""

from __future__ import annotations

from dataclasses import fields
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan_magic import Usage
from qianfan_magic.session.usage import AnswerStats, Total, totals_by_model
from qianfan_magic.views.reports.tables import USAGE_HEADERS, usage_bundle


def used(
    model: str = "m",
    *,
    tokens: tuple[int, int] = (0, 0),
    first: float = 0.0,
    streamed: float = 0.0,
) -> AnswerStats:
    return AnswerStats(model, Usage(*tokens, sum(tokens)), first, streamed)


def total(**changed) -> dict[str, object]:
    """Make the sums of a model that answered once."""
    (one,) = totals_by_model([used(tokens=(10, 20), first=0.5, streamed=2.0)])
    return one | changed


# --- added up


def test_nothing_adds_up_to_nothing():
    assert totals_by_model([]) == []


def test_sums_have_the_names_of_a_total():
    (one,) = totals_by_model([used()])
    assert list(one) == [field.name for field in fields(Total)]


def test_models_stand_in_the_order_in_which_they_were_asked():
    totals = totals_by_model([used("b"), used("a"), used("b")])
    assert [(one["model"], one["calls"]) for one in totals] == [("b", 2), ("a", 1)]


def test_tokens_are_added_up_in_and_out_apart():
    (one,) = totals_by_model([used(tokens=(1, 10)), used(tokens=(2, 20))])
    assert (one["prompt_tokens"], one["completion_tokens"]) == (3, 30)


@pytest.mark.parametrize(
    ("seconds", "median"), [([4.0], 4.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 9.0, 2.0, 3.0], 2.5)]
)
def test_time_to_the_first_token_is_the_median(seconds, median):
    (one,) = totals_by_model([used(first=first) for first in seconds])
    assert one["first_token"] == median


def test_pace_is_that_of_all_streamed_tokens():
    (one,) = totals_by_model(
        [used(tokens=(5, 10), streamed=1.0), used(tokens=(5, 80), streamed=2.0)]
    )
    assert one["tokens_per_second"] == 30.0


def test_time_to_the_first_token_does_not_slow_the_pace():
    (one,) = totals_by_model([used(tokens=(5, 10), first=9.0, streamed=1.0)])
    assert one["tokens_per_second"] == 10.0


def test_answer_in_one_piece_does_not_change_the_pace():
    (one,) = totals_by_model([used(tokens=(5, 10), streamed=1.0), used(tokens=(5, 90), first=3.0)])
    assert one["tokens_per_second"] == 10.0


def test_answers_in_one_piece_have_no_pace():
    (one,) = totals_by_model([used(tokens=(5, 10), first=1.0)])
    assert one["tokens_per_second"] is None


def test_pace_of_one_model_is_not_that_of_another():
    totals = totals_by_model([used("a", tokens=(0, 10), streamed=1.0), used("b", tokens=(0, 90))])
    assert [one["tokens_per_second"] for one in totals] == [10.0, None]


SECONDS = st.floats(0, 100)
USED = st.builds(
    used,
    st.sampled_from("abc"),
    tokens=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    first=SECONDS,
    streamed=SECONDS,
)


@settings(deadline=None)
@given(st.lists(USED))
def test_no_answer_and_no_token_is_lost(answers):
    totals = totals_by_model(answers)
    sums = [sum(one[name] for one in totals) for name in ("calls", "prompt_tokens")]
    assert sums == [len(answers), sum(one.usage.prompt_tokens for one in answers)]
    assert sum(o["completion_tokens"] for o in totals) == sum(
        one.usage.completion_tokens for one in answers
    )


@settings(deadline=None)
@given(st.lists(USED))
def test_each_model_has_one_row(answers):
    models = [one["model"] for one in totals_by_model(answers)]
    assert sorted(models) == sorted({one.model for one in answers})


# --- as a table


class Table(HTMLParser):
    """Reads a page's table: its rows, and all of its tags and their attributes."""

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


@pytest.mark.parametrize("form", ["text/html", "text/plain"])
def test_nothing_used_is_said_in_words(form):
    assert "Nothing has been answered yet." in usage_bundle([])[form]


def test_nothing_used_is_no_table():
    assert "<table" not in usage_bundle([])["text/html"]


def test_table_has_a_row_for_each_model():
    assert [row[0] for row in html_of(total(), total(model="n")).rows] == ["model", "m", "n"]


def test_row_tells_the_sums():
    assert html_of(total()).rows[1] == ["m", "1", "10", "20", "0.50 s", "10"]


def test_every_column_has_its_head():
    assert html_of(total()).rows[0] == list(USAGE_HEADERS)


def test_thousands_are_set_apart():
    row = html_of(total(calls=1_000, prompt_tokens=20_000, completion_tokens=3_000_000)).rows[1]
    assert row[1:4] == ["1,000", "20,000", "3,000,000"]


def test_no_pace_is_an_empty_cell():
    assert html_of(total(tokens_per_second=None)).rows[1][-1] == ""


def test_plain_text_says_what_the_page_says():
    plain = usage_bundle([total()])["text/plain"].splitlines()
    assert plain[0].split("  ")[0].strip() == "model"
    assert plain[1].split() == ["m", "1", "10", "20", "0.50", "s", "10"]


def test_columns_of_the_plain_text_stand_below_each_other():
    totals = [total(model="a_very_long_endpoint"), total(calls=123_456)]
    head, *rows = usage_bundle(totals)["text/plain"].splitlines()
    assert [line[head.index("tokens in") :].split()[0] for line in rows] == ["10", "10"]


def test_lines_of_the_plain_text_have_no_end_of_spaces():
    lines = usage_bundle([total(tokens_per_second=None)])["text/plain"].splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr></table><iframe src=https://evil.example>",
    '" onmouseover="alert(1)',
    "<!-- ",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("model", HOSTILE)
def test_hostile_name_of_a_model_is_text(model):
    table = html_of(total(model=model))
    assert table.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "style", "class"}
    assert table.rows[1][0] == model.strip()


@settings(deadline=None)
@given(st.text("<>&\"'/!-= abcdt", max_size=20))
def test_whatever_a_model_is_called_the_table_has_its_form(model):
    table = html_of(total(model=model))
    assert [len(row) for row in table.rows] == [len(USAGE_HEADERS)] * 2


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\u202e", "\u200b", "\x00", "\ud800"])
@pytest.mark.parametrize("form", ["text/html", "text/plain"])
def test_hidden_character_in_a_name_is_seen(hidden, form):
    shown = usage_bundle([total(model=f"m{hidden}")])[form]
    assert hidden[0] not in shown
    assert f"m{hidden[0].encode('unicode_escape').decode()}" in shown


def test_page_sets_no_mathematics_in_a_name():
    html = usage_bundle([total(model="$x$")])["text/html"]
    assert html.startswith('<div class="mathjax_ignore tex2jax_ignore"')

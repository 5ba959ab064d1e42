"""Conversations: append, truncate, rewind, and which of their turns are sent."""

from __future__ import annotations

import string
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import masking
from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.turn import CellRun, Turn, excerpt

DOLLY = Catalogue().named("Dolly-12B")[0]
BOUNDLESS = Card(name="any", kinds=("chat",))
KEY = "ALTAKqK3J9s7Vb2LmXw0"


def talk(*turns: tuple[str, str], name: str = "default", system: str = "") -> Conversation:
    """Make a conversation of these questions and answers."""
    conversation = Conversation(name, system)
    for question, answer in turns:
        conversation = conversation.append(Turn(question, answer, system=system))
    return conversation


def asked(*cells: str) -> Conversation:
    """Make a conversation of the questions of these cells, each of which ran once."""
    conversation = Conversation("default")
    for number, cell in enumerate(cells, 1):
        turn = Turn(f"q{number}", "a", cell=cell, run=f"run {number}")
        conversation = conversation.append(turn)
    return conversation


def going_on(before: Turn, *, stopped: bool = False, cell: str = "", run: str = "") -> Turn:
    """Make what an unfinished turn becomes by `--continue`."""
    text = before.assistant + "+"
    return Turn(before.user, text, stopped=stopped, cell=cell, run=run, continues=before)


def again(cell: str) -> CellRun:
    return CellRun(cell, "now")


def gone(rewound: Rewound) -> list[int]:
    """List the numbers of all turns that go."""
    return sorted([*rewound.replaced, *(number for number, _ in rewound.dropped)])


def contents(messages) -> list[str]:
    return [message["content"] for message in messages]


def questions(conversation: Conversation) -> list[str]:
    return [turn.user for turn in conversation.turns]


# --- turns of a conversation


def test_turn_is_the_question_with_its_answer():
    assert talk(("hi", "hello")).turns == (Turn("hi", "hello"),)


def test_turns_are_kept_in_order():
    assert contents(talk(("a", "b"), ("c", "d")).messages()) == ["a", "b", "c", "d"]


def test_answer_is_kept_letter_by_letter():
    assert talk(("hi", " hello\n")).messages()[1]["content"] == " hello\n"


def test_append_leaves_the_conversation_as_it_was():
    before = talk(("a", "b"))
    before.append(Turn("c", "d"))
    assert contents(before.messages()) == ["a", "b"]


def test_first_turn_comes_after_none():
    assert talk(("a", "b")).turns[0].after == ""


def test_turn_names_the_one_before_it():
    first, second = talk(("a", "b"), ("c", "d")).turns
    assert second.after == first.id


def test_head_is_the_last_turn():
    conversation = talk(("a", "b"), ("c", "d"))
    assert conversation.head == conversation.turns[1].id


def test_head_of_an_empty_conversation_is_empty():
    assert Conversation("any").head == ""


def test_system_of_the_last_turn_is_that_of_the_conversation():
    conversation = Conversation("any", "old").append(Turn("a", "b", system="new"))
    assert conversation.system == "new"


@pytest.mark.parametrize(("count", "kept"), [(0, []), (1, ["a"]), (2, ["a", "c"]), (9, ["a", "c"])])
def test_truncate_keeps_the_oldest_turns(count, kept):
    assert questions(talk(("a", "b"), ("c", "d")).truncate(count)) == kept


def test_negative_count_leaves_no_turns():
    assert talk(("a", "b"), ("c", "d")).truncate(-1).turns == ()


def test_truncate_restores_the_earlier_system_text():
    conversation = talk(("a", "b"), system="old").append(Turn("c", "d", system="new"))
    assert conversation.truncate(1).system == "old"


def test_system_stays_where_no_turn_does():
    assert talk(("a", "b"), system="Be brief.").truncate(0).system == "Be brief."


# --- a turn


def test_id_changes_with_every_part_that_was_sent_or_answered():
    others = [
        Turn("c", "b"),
        Turn("a", "c"),
        Turn("a", "b", system="c"),
        Turn("a", "b", stopped=True),
        Turn("a", "b", truncated=True),
        Turn("a", "b", after="c"),
        Turn("ab", " "),
        Turn("", "ab"),
    ]
    for other in others:
        assert other.id != Turn("a", "b").id, other


def test_stopped_and_truncated_have_two_ids():
    assert Turn("a", "b", stopped=True).id != Turn("a", "b", truncated=True).id


def test_id_is_the_same_whoever_asked_and_answered():
    unlike = Turn("a", "b", model="m", parameters={"top_k": 1}, tokens=(1, 2), cell="c", run="r")
    assert unlike.id == Turn("a", "b").id


def test_id_stays_where_a_record_masks_a_key():
    masking.remember(KEY)
    assert Turn(f"my key: {KEY}", "b").id == Turn("my key: ***", "b").id


@given(*[st.text(st.characters(exclude_categories=()))] * 2)
def test_every_text_has_an_id(user, assistant):
    assert len(Turn(user, assistant).id) == 16
    assert set(Turn(user, assistant).id) <= set(string.hexdigits)


@pytest.mark.parametrize(
    ("turn", "unfinished"),
    [
        (Turn("a", "b"), False),
        (Turn("a", "b", stopped=True), True),
        (Turn("a", "b", truncated=True), True),
    ],
)
def test_turn_is_unfinished_if_its_answer_was_stopped_or_cut(turn, unfinished):
    assert turn.is_unfinished is unfinished


def test_steps_of_a_turn_that_was_asked_once_are_itself():
    turn = Turn("a", "b")
    assert turn.steps() == [turn]


def test_steps_are_the_turn_after_each_continue():
    first = Turn("a", "b", stopped=True)
    second = going_on(first, stopped=True)
    third = going_on(second)
    assert third.steps() == [first, second, third]


def test_length_of_a_turn_is_that_of_both_texts():
    assert Turn("长城", "six").characters == 5


@given(st.text(), st.text())
def test_tokens_of_a_turn_are_estimated_by_qianfans_rule(user, assistant):
    assert Turn(user, assistant).estimate == estimate_tokens(user) + estimate_tokens(assistant)


def test_two_runs_of_a_cell_that_said_the_same_are_equal():
    assert Turn("a", "b", run="1") == Turn("a", "b", run="2")


# --- labels and excerpts


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("hi", "hi"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("two\n  lines\t here ", "two lines here"),
        ("长" * 41, "长" * 39 + "…"),
    ],
)
def test_label_is_the_beginning_of_the_question(text, label):
    assert Turn(text, "answer").label == f"“{label}”"


@given(st.text())
def test_excerpt_is_short_and_on_one_line(text):
    shown = excerpt(text)
    assert len(shown) <= 42
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("before", ["", "x" * 30], ids=["whole", "cut off"])
def test_excerpt_masks_a_known_key(before):
    masking.remember(KEY)
    assert KEY[:4] not in excerpt(f"{before} {KEY}")


# --- rewind: a cell that is run again


def test_cell_that_has_not_asked_changes_nothing():
    conversation = asked("a", "b")
    assert conversation.rewind(again("c")) == Rewound(conversation)


def test_own_turn_goes():
    rewound = asked("a", "b").rewind(again("b"))
    assert (questions(rewound.conversation), rewound.replaced) == (["q1"], (2,))


def test_turns_after_the_own_one_go_and_are_named():
    rewound = asked("a", "b", "c").rewind(again("a"))
    assert (rewound.replaced, rewound.dropped) == ((1,), ((2, "“q2”"), (3, "“q3”")))


def test_all_turns_of_a_cell_that_asked_twice_go():
    rewound = asked("a", "b", "a").rewind(again("a"))
    assert (rewound.replaced, rewound.dropped) == ((1, 3), ((2, "“q2”"),))


def test_rewind_leaves_the_original_unchanged():
    conversation = asked("a", "b")
    conversation.rewind(again("a"))
    assert questions(conversation) == ["q1", "q2"]


def test_what_the_same_run_asked_stays():
    conversation = asked("a", "b")
    assert conversation.rewind(CellRun("a", "run 1")) == Rewound(conversation)


def test_cell_without_an_id_changes_nothing():
    conversation = asked("", "")
    assert conversation.rewind(again("")) == Rewound(conversation)


def test_cells_below_that_asked_before_go():
    rewound = asked("a", "c").rewind(again("b"), {"c"})
    assert (questions(rewound.conversation), rewound.dropped) == (["q1"], ((2, "“q2”"),))


def test_nothing_is_replaced_by_a_cell_that_asks_for_the_first_time():
    assert asked("a", "c").rewind(again("b"), {"c"}).replaced == ()


def test_everything_after_a_cell_below_goes_too():
    assert questions(asked("a", "d", "b").rewind(again("c"), {"d"}).conversation) == ["q1"]


def test_system_is_that_of_the_last_turn_that_stays():
    conversation = Conversation("any")
    for cell in "ab":
        conversation = conversation.append(Turn("q", "a", system=f"of {cell}", cell=cell))
    assert conversation.rewind(again("b")).conversation.system == "of a"


def test_system_goes_with_the_cell_that_set_it():
    conversation = Conversation("any").append(Turn("q", "a", system="Be brief.", cell="a"))
    assert conversation.rewind(again("a")).conversation.system == ""


def test_name_stays_when_the_conversation_goes_back():
    conversation = Conversation("tutor").append(Turn("q", "a", cell="a"))
    assert conversation.rewind(again("a")).conversation == Conversation("tutor")


# --- rewind: a cell that continues an answer


def continued(*, stopped: bool = False) -> Conversation:
    """Make a turn that cell a asked, and cell b went on with."""
    first = Turn("q", "a", stopped=True, cell="a", run="run 1")
    return Conversation("any").append(going_on(first, stopped=stopped, cell="b", run="run 2"))


def test_cell_that_goes_on_with_its_own_answer_keeps_it():
    conversation = Conversation("any").append(Turn("q", "a", stopped=True, cell="a"))
    assert conversation.rewind(again("a"), to_continue=True) == Rewound(conversation)


def test_answer_that_is_still_unfinished_stays_as_it_is():
    conversation = continued(stopped=True)
    assert conversation.rewind(again("b"), to_continue=True) == Rewound(conversation)


def test_only_what_the_cell_added_goes():
    rewound = continued().rewind(again("b"), to_continue=True)
    assert [turn.assistant for turn in rewound.conversation.turns] == ["a"]


def test_what_others_added_before_stays():
    second = continued(stopped=True).turns[0]
    conversation = Conversation("any").append(going_on(second, cell="c", run="run 3"))
    (turn,) = conversation.rewind(again("c")).conversation.turns
    assert turn.assistant == second.assistant


def test_turn_that_loses_its_end_is_unfinished_again():
    rewound = continued().rewind(again("b"))
    assert rewound.conversation.turns[0].is_unfinished


def test_turn_that_loses_its_end_counts_as_replaced():
    assert continued().rewind(again("b"), to_continue=True).replaced == (1,)


def test_cell_that_asked_takes_what_went_on_with_it_along():
    assert continued().rewind(again("a")).conversation.turns == ()


def test_end_that_a_cell_below_added_goes():
    rewound = continued().rewind(again("c"), {"b"})
    assert [turn.assistant for turn in rewound.conversation.turns] == ["a"]


def test_cell_does_not_go_on_with_an_answer_of_a_cell_below():
    conversation = Conversation("any").append(Turn("q", "a", stopped=True, cell="b"))
    assert conversation.rewind(again("a"), {"b"}, to_continue=True).conversation.turns == ()


# --- rewind: any runs of any cells

CELLS = st.sampled_from(["", "a", "b", "c", "d"])
RUNS = st.builds(CellRun, CELLS, st.sampled_from(["1", "2", "3"]))
BELOW = st.frozensets(st.sampled_from("abcd"), max_size=2)
ASKED = st.lists(st.tuples(RUNS, *[st.booleans()] * 2, st.sampled_from(["", "s"])), max_size=9)


@st.composite
def talks(draw) -> Conversation:
    """Draw what some runs of some cells said, each going on with an answer if it can."""
    conversation = Conversation("any")
    for number, (run, goes_on, stopped, system) in enumerate(draw(ASKED)):
        last = conversation.turns[-1] if conversation.turns else None
        if goes_on and last and last.is_unfinished:
            turn = going_on(last, stopped=stopped, cell=run.cell, run=run.id)
            conversation = conversation.truncate(len(conversation.turns) - 1).append(turn)
        else:
            who = {"cell": run.cell, "run": run.id}
            turn = Turn(f"q{number}", "a", stopped=stopped, system=system, **who)
            conversation = conversation.append(turn)
    return conversation


def steps(conversation: Conversation) -> list[tuple[int, int, Turn]]:
    """List all that was asked, by the numbers of turn and step."""
    turns = enumerate(conversation.turns, 1)
    return [(n, step, one) for n, turn in turns for step, one in enumerate(turn.steps())]


@given(talks(), RUNS, BELOW)
def test_what_stays_is_what_was_said_until_the_first_that_goes(conversation, run, below):
    def stays(number_step_turn):
        *_, turn = number_step_turn
        return not run.asked_earlier(turn) and turn.cell not in below

    left = conversation.rewind(run, below).conversation
    assert steps(left) == list(takewhile(stays, steps(conversation)))


@given(talks(), RUNS, BELOW)
def test_going_on_keeps_the_questions_of_the_own_cell(conversation, run, below):
    def stays(number_step_turn):
        _, step, turn = number_step_turn
        return not (step and run.asked_earlier(turn)) and turn.cell not in below

    left = conversation.rewind(run, below, to_continue=True).conversation
    last = conversation.turns[-1] if conversation.turns else None
    if last and last.is_unfinished and last.cell not in below:
        assert left == conversation
    else:
        assert steps(left) == list(takewhile(stays, steps(conversation)))


@given(talks(), RUNS, BELOW, st.booleans())
def test_turns_that_go_and_turns_that_stay_are_all_there_are(conversation, run, below, to_continue):
    rewound = conversation.rewind(run, below, to_continue=to_continue)
    kept = rewound.conversation.turns
    behind = range(len(kept) + 1, len(conversation.turns) + 1)
    # The last that stays may have lost what a cell added to its answer.
    assert set(behind) <= set(gone(rewound)) <= {len(kept), *behind}
    assert kept[:-1] == conversation.turns[: len(kept[:-1])]
    assert all(one in conversation.turns[len(kept) - 1].steps() for one in kept[-1:])


@given(talks(), RUNS, BELOW)
def test_turns_are_replaced_that_an_earlier_run_of_the_cell_asked(conversation, run, below):
    rewound = conversation.rewind(run, below)
    own = {number for number, _, turn in steps(conversation) if run.asked_earlier(turn)}
    assert set(rewound.replaced) == own & set(gone(rewound))


@given(talks(), RUNS, BELOW)
def test_turns_that_go_are_called_by_their_questions(conversation, run, below):
    dropped = conversation.rewind(run, below).dropped
    assert dropped == tuple((number, conversation.turns[number - 1].label) for number, _ in dropped)


@given(talks(), RUNS, BELOW, st.booleans())
def test_rewind_is_idempotent(conversation, run, below, to_continue):
    left = conversation.rewind(run, below, to_continue=to_continue).conversation
    assert left.rewind(run, below, to_continue=to_continue) == Rewound(left)


@given(talks(), RUNS, BELOW, st.booleans())
def test_each_turn_that_stays_still_names_the_one_before_it(conversation, run, below, to_continue):
    turns = conversation.rewind(run, below, to_continue=to_continue).conversation.turns
    assert [turn.after for turn in turns] == ["", *(turn.id for turn in turns[:-1])][: len(turns)]


@given(talks(), RUNS, BELOW, st.booleans())
def test_system_is_always_that_of_the_last_turn(conversation, run, below, to_continue):
    left = conversation.rewind(run, below, to_continue=to_continue).conversation
    assert left.system == (left.turns[-1].system if left.turns else "")


@given(st.lists(st.sampled_from("abcdef"), max_size=20))
def test_cells_run_in_any_order_are_read_from_the_top_down(cells):
    conversation = Conversation("any")
    for number, cell in enumerate(cells):
        run = CellRun(cell, str(number))
        below = set("abcdef"["abcdef".index(cell) + 1 :])
        turn = Turn(f"q{number}", "a", cell=run.cell, run=run.id)
        conversation = conversation.rewind(run, below).conversation.append(turn)
    in_order = [turn.cell for turn in conversation.turns]
    assert in_order == sorted(set(in_order))


# --- turns that the service finds unsafe


@pytest.mark.parametrize(
    ("ban_round", "left_out", "kept"),
    [
        (-1, 0, ["a", "c", "e"]),
        (1, 0, []),
        (2, 0, ["a"]),
        (3, 0, ["a", "c"]),
        (4, 0, ["a", "c", "e"]),
        (99, 0, ["a", "c", "e"]),
        (1, 1, ["a"]),
        (2, 1, ["a", "c"]),
        (-1, 2, ["a", "c", "e"]),
        (None, 0, []),
        (None, 2, []),
        (0, 0, []),
    ],
)
def test_turns_from_the_unsafe_one_on_are_forgotten(ban_round, left_out, kept):
    conversation = talk(("a", "b"), ("c", "d"), ("e", "f"))
    assert questions(conversation.without_unsafe(ban_round, left_out)) == kept


def test_system_stays_when_the_conversation_is_emptied():
    conversation = talk(("a", "b"), system="Be brief.").without_unsafe(None, 0)
    assert conversation.system == "Be brief."


def test_conversation_goes_on_after_it_was_emptied():
    conversation = talk(("a", "b")).without_unsafe(1, 0)
    assert contents(conversation.messages("e")) == ["e"]


# --- messages: the rules of Dolly-12B's document


def test_first_question_is_sent_alone():
    assert Conversation("any").messages("hi") == [{"role": "user", "content": "hi"}]


def test_question_stands_behind_what_was_said():
    assert contents(talk(("a", "b")).messages("c")) == ["a", "b", "c"]


def test_messages_without_a_question_are_those_that_were_said():
    assert contents(talk(("a", "b")).messages()) == ["a", "b"]


def test_messages_are_copies():
    conversation = talk(("a", "b"))
    conversation.messages()[0]["content"] = "changed"
    assert contents(conversation.messages()) == ["a", "b"]


@given(talks(), RUNS, BELOW)
def test_whatever_is_run_the_roles_alternate_and_the_question_is_last(conversation, run, below):
    sent = conversation.rewind(run, below).conversation.fit("q", DOLLY).messages
    roles = [message["role"] for message in sent]
    assert roles == ["user", "assistant"] * (len(sent) // 2) + ["user"]
    assert sent[-1]["content"] == "q"


# --- fit: what is sent


def test_everything_is_sent_where_it_fits():
    conversation = talk(("a", "b"), ("c", "d"))
    assert conversation.fit("e", DOLLY) == Fit(conversation.messages("e"))


@pytest.mark.parametrize("card", [None, BOUNDLESS], ids=["no card", "no limit"])
def test_everything_is_sent_where_no_limit_is_known(card):
    fit = talk(("a" * 9_000, "b")).fit("c", card)
    assert (len(fit.messages), fit.left_out) == (3, 0)


# 4,800 characters: Dolly-12B's document.
@pytest.mark.parametrize(("question", "left_out"), [(4_797, 0), (4_798, 1)])
def test_oldest_pair_is_dropped_beyond_4800_characters(question, left_out):
    assert talk(("a", "bc")).fit("q" * question, DOLLY).left_out == left_out


def test_exactly_4800_characters_are_sent():
    fit = talk(("a" * 1_000, "b" * 2_000)).fit("q" * 1_800, DOLLY)
    assert sum(map(len, contents(fit.messages))) == 4_800


@pytest.mark.parametrize(("system", "left_out"), [(700, 0), (701, 1)])
def test_system_text_counts_for_the_characters(system, left_out):
    conversation = talk(("a" * 2_000, "b" * 2_000), system="s" * system)
    assert conversation.fit("q" * 100, DOLLY).left_out == left_out


# Three Chinese characters and two words of 1.3: six tokens in the turn, and one in the question.
@pytest.mark.parametrize(("max_turns", "left_out"), [(7, 0), (6, 1)])
def test_oldest_pair_is_dropped_beyond_the_tokens_of_the_card(max_turns, left_out):
    card = Card(name="any", kinds=("chat",), max_tokens=max_turns)
    assert talk(("长城长", "two words")).fit("q", card).left_out == left_out


@pytest.mark.parametrize(("system", "left_out"), [("", 0), (" 长", 1)])
def test_system_text_counts_for_the_tokens(system, left_out):
    card = Card(name="any", kinds=("chat",), max_tokens=7)
    assert talk(("长城长", "two words"), system=system).fit("q", card).left_out == left_out


@pytest.mark.parametrize(("characters", "tokens", "left_out"), [(5, 5, 0), (4, 5, 1), (5, 4, 1)])
def test_the_narrower_of_both_limits_applies(characters, tokens, left_out):
    card = Card(name="any", kinds=("chat",), max_characters=characters, max_tokens=tokens)
    assert talk(("长", "城"), ("a", "b")).fit("长", card).left_out == left_out


def test_oldest_pairs_are_dropped_first():
    conversation = talk(("a", "b" * 2_000), ("c", "d" * 2_000), ("e", "f" * 2_000))
    fit = conversation.fit("q", DOLLY)
    sent = [text[0] for text in contents(fit.messages)]
    assert (sent, fit.left_out) == (["c", "d", "e", "f", "q"], 1)


def test_short_old_pair_is_dropped_with_a_long_newer_one():
    """A gap in the middle would make the answers contradict the questions."""
    conversation = talk(("a", "b"), ("c", "d" * 4_000), ("e", "f" * 2_000))
    assert [text[0] for text in contents(conversation.fit("q", DOLLY).messages)] == ["e", "f", "q"]


def test_dropped_pairs_stay_in_the_conversation():
    conversation = talk(("a", "b" * 4_800))
    conversation.fit("q", DOLLY)
    assert len(conversation.turns) == 1


def test_question_is_sent_even_if_it_is_too_long_alone():
    """The check of its length, with the right error, is the client's."""
    assert contents(talk(("a", "b")).fit("q" * 5_000, DOLLY).messages) == ["q" * 5_000]


def test_characters_are_counted_and_not_bytes():
    assert talk(("长" * 2_000, "城" * 2_000)).fit("多长", DOLLY).left_out == 0


@pytest.mark.parametrize(("max_turns", "sent"), [(0, "e"), (1, "cde"), (2, "abcde"), (3, "abcde")])
def test_at_most_max_turns_are_sent(max_turns, sent):
    fit = talk(("a", "b"), ("c", "d")).fit("e", DOLLY, max_turns=max_turns)
    assert "".join(contents(fit.messages)) == sent


def test_min_turns_are_sent_whatever_their_length():
    fit = talk(("a", "b"), ("c", "d" * 5_000)).fit("e", DOLLY, min_turns=1)
    assert (len(fit.messages), fit.left_out) == (3, 1)


def test_min_turns_may_be_more_than_there_are():
    assert talk(("a", "b")).fit("c", DOLLY, min_turns=2).left_out == 0


@pytest.mark.parametrize(("drop", "sent"), [(0, "abcde"), (1, "cde"), (2, "e"), (3, "e")])
def test_drop_sends_so_many_turns_fewer(drop, sent):
    fit = talk(("a", "b"), ("c", "d")).fit("e", DOLLY, drop=drop)
    assert "".join(contents(fit.messages)) == sent


def test_min_turns_takes_precedence_over_max_turns_and_drop():
    assert (
        talk(("a", "b"), ("c", "d")).fit("e", None, max_turns=0, min_turns=1, drop=1).left_out == 1
    )


@pytest.mark.parametrize(
    ("card", "limits", "reason"),
    [
        (DOLLY, {}, "Dolly-12B takes at most 4,800 characters"),
        (Card(name="T", kinds=("chat",), max_tokens=3_000), {}, "T takes at most 3,000 tokens"),
        (None, {"max_turns": 0}, "max_turns is 0"),
        (None, {"drop": 1}, "the service found more too long"),
    ],
)
def test_reason_names_the_limit(card, limits, reason):
    assert talk(("a", "长" * 5_000)).fit("q", card, **limits).reason == reason


# --- fit: any turns and limits

SAID = st.lists(st.text("a 长", min_size=1, max_size=9), max_size=4).map(" ".join)
TALKS = st.builds(
    lambda turns, system: talk(*turns, system=system), st.lists(st.tuples(SAID, SAID)), SAID
)
CARDS = st.none() | st.builds(
    Card,
    name=st.just("any"),
    kinds=st.just(("chat",)),
    max_characters=st.none() | st.integers(0, 200),
    max_tokens=st.none() | st.integers(0, 200),
)
MOST = st.none() | st.integers(0, 6)
FEW = st.integers(0, 6)


def is_within(
    conversation: Conversation, kept: int, card: Card | None, max_turns: int | None
) -> bool:
    """Tell whether the question q fits with so many of the newest turns."""
    turns = conversation.turns[len(conversation.turns) - kept :]
    texts = [text for turn in turns for text in (turn.user, turn.assistant)]
    always = "q" + conversation.system
    characters = len(always) + sum(map(len, texts))
    tokens = estimate_tokens(always) + sum(map(estimate_tokens, texts))
    limits = [(kept, max_turns)]
    if card:
        limits += [(characters, card.max_characters), (tokens, card.max_tokens)]
    return all(limit is None or has <= limit for has, limit in limits)


@given(TALKS, CARDS, MOST, FEW, FEW)
def test_newest_turns_are_sent_and_the_others_left_out(
    conversation, card, max_turns, min_turns, drop
):
    fit = conversation.fit("q", card, max_turns=max_turns, min_turns=min_turns, drop=drop)
    assert 0 <= fit.left_out <= len(conversation.turns)
    newest = contents(conversation.messages("q"))[2 * fit.left_out :]
    assert contents(fit.messages) == newest


@given(TALKS, CARDS, MOST)
def test_as_many_turns_are_sent_as_are_within_all_limits(conversation, card, max_turns):
    left_out = conversation.fit("q", card, max_turns=max_turns).left_out
    kept = len(conversation.turns) - left_out
    assert kept == 0 or is_within(conversation, kept, card, max_turns)
    assert left_out == 0 or not is_within(conversation, kept + 1, card, max_turns)


@given(TALKS, CARDS, MOST, FEW)
def test_drop_leaves_out_exactly_so_many_more(conversation, card, max_turns, drop):
    fitting = conversation.fit("q", card, max_turns=max_turns).left_out
    shorter = conversation.fit("q", card, max_turns=max_turns, drop=drop)
    assert shorter.left_out == min(fitting + drop, len(conversation.turns))


@given(TALKS, CARDS, MOST, FEW, FEW)
def test_min_turns_are_sent_and_no_more(conversation, card, max_turns, min_turns, drop):
    count = len(conversation.turns)
    free = conversation.fit("q", card, max_turns=max_turns, drop=drop).left_out
    held = conversation.fit("q", card, max_turns=max_turns, min_turns=min_turns, drop=drop).left_out
    assert held == min(free, max(count - min_turns, 0))


@given(TALKS, CARDS, MOST, FEW, FEW)
def test_there_is_a_reason_where_something_is_left_out(
    conversation, card, max_turns, min_turns, drop
):
    fit = conversation.fit("q", card, max_turns=max_turns, min_turns=min_turns, drop=drop)
    assert bool(fit.reason) == bool(fit.left_out)


@given(TALKS, CARDS)
def test_conversation_can_always_be_cut_down_to_the_question(conversation, card):
    fit = conversation.fit("q", card, drop=len(conversation.turns))
    assert contents(fit.messages) == ["q"]

"""Conversations: appended, truncated, rewound, and which of their turns are sent."""

from __future__ import annotations

import string
from collections.abc import Iterable
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import masking
from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Message, ToolCall, ToolRound
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.turn import (
    CellRun,
    ImageAttachment,
    Turn,
    excerpt,
    sent_cell_id,
)

#: A model that takes at most 4,800 characters (Dolly-12B's document).
DOLLY = Catalogue().named("Dolly-12B")[0]
UNLIMITED = Card(name="any", kinds=("chat",))
SECRET = "ALTAKqK3J9s7Vb2LmXw0"
PNG = "data:image/png;base64,iVBORw0KGgo="


def make_conversation(
    *turns: tuple[str, str], name: str = "default", system: str = ""
) -> Conversation:
    """Make a conversation of these questions and answers."""
    conversation = Conversation(name, system)
    for question, answer in turns:
        conversation = conversation.append(Turn(question, answer, system=system))
    return conversation


def conversation_of_cells(cells: Iterable[str]) -> Conversation:
    """Make a conversation to which each of these cells added a turn: q1, q2 and so on."""
    conversation = Conversation("default")
    for number, cell in enumerate(cells, 1):
        turn = Turn(f"q{number}", "a", cell=cell, run=f"run {number}")
        conversation = conversation.append(turn)
    return conversation


def continuation(before: Turn, *, stopped: bool = False, cell: str = "", run: str = "") -> Turn:
    """Make the turn that continues an unfinished one."""
    text = before.assistant + "+"
    return Turn(before.user, text, stopped=stopped, cell=cell, run=run, continues=before)


def rerun(cell: str) -> CellRun:
    return CellRun(cell, "now")


def contents(messages: Iterable[Message]) -> list[str]:
    return [message["content"] for message in messages]


def questions(conversation: Conversation) -> list[str]:
    return [turn.user for turn in conversation.turns]


def answers(conversation: Conversation) -> list[str]:
    return [turn.assistant for turn in conversation.turns]


# --- turns of a conversation


def test_append_adds_the_turn_as_the_last_of_a_copy():
    before = make_conversation(("a", "b"))
    after = before.append(Turn("c", " d\n"))
    assert before.turns == (Turn("a", "b"),)
    assert contents(after.messages()) == ["a", "b", "c", " d\n"]


def test_each_turn_names_the_one_before_it():
    conversation = make_conversation(("a", "b"), ("c", "d"))
    first, second = conversation.turns
    assert first.after == ""
    assert second.after == first.id
    assert conversation.head == second.id


def test_new_conversation_is_empty():
    conversation = Conversation("any")
    assert conversation.head == ""
    assert conversation.system == ""
    assert conversation.turns == ()


def test_turns_are_counted_in_words():
    for count, words in (0, "0 turns"), (1, "1 turn"), (2, "2 turns"):
        assert make_conversation(*[("a", "b")] * count).counted == words


def test_system_message_is_that_of_the_last_turn():
    conversation = Conversation("any", "old").append(Turn("a", "b", system="new"))
    assert conversation.system == "new"


def test_truncate_keeps_the_oldest_turns():
    conversation = make_conversation(("a", "b"), ("c", "d"))
    for count, left in (-1, []), (0, []), (1, ["a"]), (2, ["a", "c"]), (9, ["a", "c"]):
        assert questions(conversation.truncate(count)) == left, count


def test_truncate_restores_the_system_message_of_the_last_turn_that_is_left():
    conversation = make_conversation(("a", "b"), system="old").append(Turn("c", "d", system="new"))
    for count, system in (2, "new"), (1, "old"), (0, "new"):  # for 0, it stays as it is
        assert conversation.truncate(count).system == system, count


# --- a turn


def test_defaults_of_a_turn_are_empty():
    turn = Turn("a", "b")
    assert (turn.system, turn.model, turn.cell, turn.run, turn.after) == ("",) * 5
    assert (turn.parameters, turn.tokens, turn.pictures) == ({}, (0, 0), ())
    assert turn.reasoning == ""
    assert turn.continues is None


def test_id_depends_on_all_that_was_sent_or_answered():
    turns = [
        Turn("a", "b"),
        Turn("c", "b"),
        Turn("a", "c"),
        Turn("a", "b", system="c"),
        Turn("a", "b", stopped=True),
        Turn("a", "b", truncated=True),
        Turn("a", "b", after="c"),
        Turn("a", "b", pictures=(ImageAttachment("image", "1"),)),
        Turn("a", "b", pictures=(ImageAttachment("image", "2"),)),
        Turn("ab", " "),
        Turn("", "ab"),
        Turn("ab", "c"),
        Turn("a", "bc"),
    ]
    assert len({turn.id for turn in turns}) == len(turns)


def test_id_depends_on_the_turns_before():
    for other in ("c", "d"), ("a", "b"):  # also where a question is repeated
        conversation = make_conversation(("a", "b"), other, ("a", "b"))
        assert len({turn.id for turn in conversation.turns}) == 3, other
    ends = [make_conversation((first, "b"), ("x", "y")).head for first in "ab"]
    assert ends[0] != ends[1]


def test_id_does_not_depend_on_who_asked_and_answered():
    other = Turn("a", "b", model="m", parameters={"top_k": 1}, tokens=(1, 2), cell="c", run="r")
    assert other.id == Turn("a", "b").id


def test_id_is_that_of_the_masked_texts():
    masking.remember(SECRET)
    for turn, masked in (
        (Turn(f"my key: {SECRET}", "b"), Turn("my key: ***", "b")),
        (Turn("a", f"{SECRET}?"), Turn("a", "***?")),
        (Turn("a", "b", system=SECRET), Turn("a", "b", system="***")),
    ):
        assert turn.id == masked.id, masked
        assert turn.digest(str) != masked.id, masked


@given(*[st.text(st.characters(exclude_categories=()))] * 2)
def test_every_text_has_an_id(user, assistant):
    id_ = Turn(user, assistant).id
    assert len(id_) == 16
    assert set(id_) <= set(string.hexdigits)


def test_ids_are_those_that_saved_records_have():
    called = ToolRound((ToolCall("add", "{}", "3", "a"),), "I add.")
    ids = [Turn("a", "b", after="c").id, Turn("a", "b", rounds=(called,)).id]
    assert ids == ["2a2796548d8fa4da", "b6bb78aaf6729169"]


def test_turns_can_be_sent_without_their_calls():
    called = Turn("a", "b", rounds=(ToolRound((ToolCall("add", "{}", "3", "a"),)),))
    conversation = Conversation("x").append(called).without_calls()
    assert [turn.messages() for turn in conversation.turns] == [Turn("a", "b").messages()]


def test_turn_is_unfinished_if_its_answer_was_stopped_or_truncated():
    assert not Turn("a", "b").is_unfinished
    assert Turn("a", "b", stopped=True).is_unfinished
    assert Turn("a", "b", truncated=True).is_unfinished


def test_steps_are_the_turn_as_first_answered_and_after_each_continuation():
    first = Turn("a", "b", stopped=True)
    second = continuation(first, stopped=True)
    third = continuation(second)
    assert first.steps() == [first]
    assert third.steps() == [first, second, third]


def test_size_of_a_turn_is_that_of_both_texts():
    for user, assistant in ("长城", "six"), ("长城长", "two words"), ("a b c", "多长"), ("", ""):
        turn = Turn(user, assistant)
        assert turn.characters == len(user) + len(assistant), user
        assert turn.estimate == estimate_tokens(user) + estimate_tokens(assistant), user


def test_id_of_the_cell_is_where_its_front_end_writes_it():
    for metadata, cell in (
        (None, ""),
        ({}, ""),
        ({"cellId": "a"}, "a"),
        ({"colab": {"cell_id": "b"}}, "b"),
        ({"colab": "b"}, ""),
        ({"cellId": 5}, ""),
    ):
        assert sent_cell_id({"metadata": metadata}) == cell, metadata


def test_turns_of_two_runs_are_equal():
    assert Turn("a", "b", run="1", reasoning="so") == Turn("a", "b", run="2")


def test_images_are_sent_before_the_question():
    pictures = (ImageAttachment("wall", "1", PNG), ImageAttachment("lost", "2"))
    image = {"type": "image_url", "image_url": {"url": PNG}}
    conversation = Conversation("any").append(Turn("What?", "A wall.", pictures=pictures))
    assert contents(conversation.messages()) == [
        [image, {"type": "text", "text": "What?"}],
        "A wall.",
    ]


def test_question_whose_images_have_no_url_is_sent_as_text():
    assert Turn("What?", "x", pictures=(ImageAttachment("lost", "2"),)).content == "What?"


# --- labels and excerpts


def test_label_is_the_beginning_of_the_question_in_quotes():
    for question, label in (
        ("hi", "hi"),
        ("x" * 40, "x" * 40),
        ("x" * 41, "x" * 39 + "…"),
        ("two\n  lines\t here ", "two lines here"),
        ("长" * 41, "长" * 39 + "…"),
    ):
        assert Turn(question, "answer").label == f"“{label}”"


@given(st.text())
def test_excerpt_is_short_and_on_one_line(text):
    shown = excerpt(text)
    assert len(shown) <= 42
    assert len(shown.splitlines()) == 1


def test_excerpt_masks_a_known_secret_even_where_it_would_be_cut():
    masking.remember(SECRET)
    for before in "", "x" * 30:
        assert SECRET[:4] not in excerpt(f"{before} {SECRET}"), before


# --- rewind: a cell that runs again


def test_rewind_removes_the_turns_of_the_cell_and_all_after_them():
    for cells, cell, left, replaced, dropped in (
        ("ab", "b", ["q1"], (2,), ()),
        ("abc", "a", [], (1,), (2, 3)),
        ("abc", "b", ["q1"], (2,), (3,)),
        ("aba", "a", [], (1, 3), (2,)),
    ):
        rewound = conversation_of_cells(cells).rewind(rerun(cell))
        assert questions(rewound.conversation) == left, cells
        assert rewound.replaced == replaced, cells
        assert rewound.dropped == tuple((number, f"“q{number}”") for number in dropped), cells
        assert rewound.gone == ()
        assert rewound.is_unordered is False


def test_rewind_removes_the_turns_of_cells_below_and_all_after_them():
    for cells, cell, below, dropped in ("ac", "b", {"c"}, (2,)), ("adb", "c", {"d"}, (2, 3)):
        rewound = conversation_of_cells(cells).rewind(rerun(cell), below)
        assert questions(rewound.conversation) == ["q1"], cells
        assert rewound.replaced == (), cells
        assert rewound.dropped == tuple((number, f"“q{number}”") for number in dropped), cells


def test_rewind_changes_nothing_without_an_earlier_run_of_the_cell():
    for cells, run in (
        (["a", "b"], rerun("c")),
        (["a", "b"], CellRun("a", "run 1")),  # the same run
        (["", ""], rerun("")),  # a front end that sends no ids
        ([], rerun("a")),
    ):
        conversation = conversation_of_cells(cells)
        assert conversation.rewind(run) == Rewound(conversation), run


def test_rewind_leaves_the_original_unchanged():
    conversation = conversation_of_cells("ab")
    conversation.rewind(rerun("a"))
    assert questions(conversation) == ["q1", "q2"]


def test_rewind_restores_the_system_message_of_the_last_turn_that_is_left():
    conversation = Conversation("tutor")
    for cell in "ab":
        conversation = conversation.append(Turn("q", "a", system=f"of {cell}", cell=cell))
    assert conversation.rewind(rerun("b")).conversation.system == "of a"
    assert conversation.rewind(rerun("a")).conversation == Conversation("tutor")


# --- rewind: a cell that continues an answer


def continued(*, stopped: bool = False) -> Conversation:
    """Make a conversation of a turn that cell a added and cell b continued."""
    first = Turn("q", "a", stopped=True, cell="a", run="run 1")
    turn = continuation(first, stopped=stopped, cell="b", run="run 2")
    return Conversation("any").append(turn)


def test_rewind_to_continue_leaves_an_unfinished_answer_as_it_is():
    own = Conversation("any").append(Turn("q", "a", stopped=True, cell="a"))
    for conversation, cell in (own, "a"), (own, "b"), (continued(stopped=True), "b"):
        rewound = conversation.rewind(rerun(cell), to_continue=True)
        assert rewound == Rewound(conversation), cell


def test_rewind_of_a_continuation_removes_only_what_the_cell_added():
    for to_continue in True, False:
        rewound = continued().rewind(rerun("b"), to_continue=to_continue)
        assert answers(rewound.conversation) == ["a"], to_continue
        assert rewound.conversation.turns[0].is_unfinished, to_continue
        assert rewound.replaced == (1,), to_continue


def test_rewind_keeps_what_other_cells_continued_before():
    second = continued(stopped=True).turns[0]
    conversation = Conversation("any").append(continuation(second, cell="c", run="run 3"))
    assert answers(conversation.rewind(rerun("c")).conversation) == [second.assistant]


def test_rewind_of_a_question_removes_its_continuations():
    assert continued().rewind(rerun("a")).conversation.turns == ()


def test_rewind_removes_the_continuation_of_a_cell_below():
    rewound = continued().rewind(rerun("c"), {"b"})
    assert answers(rewound.conversation) == ["a"]
    assert rewound.replaced == ()
    assert rewound.dropped == ()


def test_answer_of_a_cell_below_is_not_continued():
    conversation = Conversation("any").append(Turn("q", "a", stopped=True, cell="b"))
    assert conversation.rewind(rerun("a"), {"b"}, to_continue=True).conversation.turns == ()


# --- rewind: any runs of any cells

CELLS = st.sampled_from(["", "a", "b", "c", "d"])
RUNS = st.builds(CellRun, CELLS, st.sampled_from(["1", "2", "3"]))
BELOW = st.frozensets(st.sampled_from("abcd"), max_size=2)
REQUESTS = st.lists(st.tuples(RUNS, *[st.booleans()] * 2, st.sampled_from(["", "s"])), max_size=9)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Draw a conversation of some runs of some cells, which continue answers where they can."""
    conversation = Conversation("any")
    for number, (run, continues, stopped, system) in enumerate(draw(REQUESTS)):
        last = conversation.turns[-1] if conversation.turns else None
        origin = {"cell": run.cell, "run": run.id}
        if continues and last and last.is_unfinished:
            turn = continuation(last, stopped=stopped, **origin)
            conversation = conversation.truncate(len(conversation.turns) - 1).append(turn)
        else:
            turn = Turn(f"q{number}", "a", stopped=stopped, system=system, **origin)
            conversation = conversation.append(turn)
    return conversation


def steps(conversation: Conversation) -> list[tuple[int, int, Turn]]:
    """List all steps of all turns, with the numbers of turn and step."""
    turns = enumerate(conversation.turns, 1)
    return [(n, number, step) for n, turn in turns for number, step in enumerate(turn.steps())]


@given(conversations(), RUNS, BELOW, st.booleans())
def test_steps_before_the_first_that_is_removed_are_left(conversation, run, below, to_continue):
    def is_left(numbered: tuple[int, int, Turn]) -> bool:
        _, number, step = numbered
        is_own = run.asked_earlier(step) and not (to_continue and number == 0)
        return not is_own and step.cell not in below

    left = conversation.rewind(run, below, to_continue=to_continue).conversation
    last = conversation.turns[-1] if conversation.turns else None
    if to_continue and last and last.is_unfinished and last.cell not in below:
        assert left == conversation
    else:
        assert steps(left) == list(takewhile(is_left, steps(conversation)))


@given(conversations(), RUNS, BELOW, st.booleans())
def test_every_removed_turn_is_either_replaced_or_dropped(conversation, run, below, to_continue):
    rewound = conversation.rewind(run, below, to_continue=to_continue)
    left = rewound.conversation.turns
    numbered = list(enumerate(conversation.turns, 1))
    # The last turn that is left may have lost a continuation.
    changed = [(n, turn) for n, turn in numbered if n > len(left) or left[n - 1] != turn]
    own = [n for n, turn in changed if any(map(run.asked_earlier, turn.steps()))]
    others = [(n, turn.label) for n, turn in changed if n not in own and n > len(left)]
    assert rewound.replaced == tuple(own)
    assert rewound.dropped == tuple(others)
    assert left[:-1] == conversation.turns[: len(left[:-1])]
    assert all(turn in conversation.turns[len(left) - 1].steps() for turn in left[-1:])


@given(conversations(), RUNS, BELOW, st.booleans())
def test_rewound_conversation_is_consistent(conversation, run, below, to_continue):
    left = conversation.rewind(run, below, to_continue=to_continue).conversation
    ids = ["", *(turn.id for turn in left.turns)]
    assert [turn.after for turn in left.turns] == ids[:-1]
    assert left.system == (left.turns[-1].system if left.turns else "")
    # To rewind it once more changes nothing.
    assert left.rewind(run, below, to_continue=to_continue) == Rewound(left)


@given(st.lists(st.sampled_from("abcdef"), max_size=20))
def test_turns_of_cells_run_in_any_order_stand_in_the_order_of_the_cells(cells):
    conversation = Conversation("any")
    for number, cell in enumerate(cells):
        run = CellRun(cell, str(number))
        below = set("abcdef"["abcdef".index(cell) + 1 :])
        turn = Turn(f"q{number}", "a", cell=run.cell, run=run.id)
        conversation = conversation.rewind(run, below).conversation.append(turn)
    in_order = [turn.cell for turn in conversation.turns]
    assert in_order == sorted(set(in_order))


# --- turns of deleted cells, and turns that the service finds unsafe


def test_turns_of_deleted_cells_are_removed_and_named():
    conversation = Conversation("tutor")
    for number, cell in enumerate("abca", 1):
        conversation = conversation.append(Turn(f"q{number}", "a", cell=cell, system=f"s{number}"))
    for cells, left, numbers, system in (
        ({"a"}, ["q2", "q3"], [1, 4], "s3"),
        ({"b", "x"}, ["q1", "q3", "q4"], [2], "s4"),
        ({"a", "b", "c"}, [], [1, 2, 3, 4], ""),
        (set(), ["q1", "q2", "q3", "q4"], [], "s4"),
    ):
        remaining, removed = conversation.without(cells)
        assert questions(remaining) == left, cells
        assert removed == tuple((number, f"“q{number}”") for number in numbers), cells
        assert remaining.system == system, cells
        assert remaining.name == "tutor", cells


def test_continued_turn_belongs_to_the_cell_that_asked_the_question():
    conversation = continued()
    assert conversation.without({"b"}) == (conversation, ())
    assert conversation.without({"a"}) == (Conversation("any"), ((1, "“q”"),))


def test_system_message_of_a_conversation_without_turns_survives_deleted_cells():
    conversation = Conversation("any", "Be brief.")
    assert conversation.without({"a"}) == (conversation, ())


def test_turns_from_the_unsafe_one_on_are_removed():
    conversation = make_conversation(("a", "b"), ("c", "d"), ("e", "f"), system="Be brief.")
    for ban_round, left_out, left in (
        (-1, 0, ["a", "c", "e"]),
        (-1, 2, ["a", "c", "e"]),
        (1, 0, []),
        (2, 0, ["a"]),
        (3, 0, ["a", "c"]),
        (4, 0, ["a", "c", "e"]),
        (99, 0, ["a", "c", "e"]),
        (1, 1, ["a"]),
        (2, 1, ["a", "c"]),
        (None, 0, []),
        (None, 2, []),
        (0, 0, []),
        (0, 2, []),
        (-2, 2, []),
    ):
        remaining = conversation.without_unsafe(ban_round, left_out)
        assert questions(remaining) == left, (ban_round, left_out)
        assert remaining.system == "Be brief.", (ban_round, left_out)


def test_conversation_without_its_unsafe_turns_can_be_continued():
    conversation = make_conversation(("a", "b")).without_unsafe(1, 0)
    assert contents(conversation.messages("e")) == ["e"]


# --- messages: the rules of Dolly-12B's document


def test_messages_are_the_turns_and_then_the_question():
    conversation = make_conversation(("a", "b"))
    assert Conversation("any").messages("hi") == [{"role": "user", "content": "hi"}]
    assert contents(conversation.messages("c")) == ["a", "b", "c"]
    assert contents(conversation.messages("")) == ["a", "b", ""]
    assert contents(conversation.messages()) == ["a", "b"]


def test_messages_are_copies():
    conversation = make_conversation(("a", "b"))
    conversation.messages()[0]["content"] = "changed"
    assert contents(conversation.messages()) == ["a", "b"]


@given(conversations(), RUNS, BELOW)
def test_roles_alternate_and_the_question_is_last(conversation, run, below):
    sent = conversation.rewind(run, below).conversation.fit("q", DOLLY).messages
    roles = [message["role"] for message in sent]
    assert roles == ["user", "assistant"] * (len(sent) // 2) + ["user"]
    assert sent[-1]["content"] == "q"


# --- fit: which turns are sent


def limited(characters: int | None = None, tokens: int | None = None) -> Card:
    return Card(name="any", kinds=("chat",), max_characters=characters, max_tokens=tokens)


def test_all_turns_are_sent_within_the_limits():
    conversation = make_conversation(("a", "b"), ("c", "d"))
    assert conversation.fit("e", DOLLY) == Fit(conversation.messages("e"))
    assert Fit([]) == Fit([], left_out=0, reason="")


def test_all_turns_are_sent_where_no_limit_is_known():
    conversation = make_conversation(("a" * 9_000, "b"))
    for card in None, UNLIMITED:
        assert conversation.fit("c", card) == Fit(conversation.messages("c")), card


def test_oldest_turn_is_left_out_beyond_the_limit_of_characters():
    turn = ("a" * 2_000, "b" * 2_000)
    for conversation, question, left_out in (
        (make_conversation(("a", "bc")), 4_797, 0),
        (make_conversation(("a", "bc")), 4_798, 1),
        (make_conversation(("a" * 1_000, "b" * 2_000)), 1_800, 0),
        (make_conversation(turn, system="s" * 700), 100, 0),
        (make_conversation(turn, system="s" * 701), 100, 1),
        (make_conversation(("长" * 2_000, "城" * 2_000)), 800, 0),  # characters, not bytes
        (make_conversation(("长" * 2_000, "城" * 2_000)), 801, 1),
    ):
        fit = conversation.fit("q" * question, DOLLY)
        assert fit.left_out == left_out, question


def test_oldest_turn_is_left_out_beyond_the_limit_of_tokens():
    # Three Chinese characters and two words of 1.3: six tokens, and one in the question.
    for system, tokens, left_out in ("", 7, 0), ("", 6, 1), (" 长", 8, 0), (" 长", 7, 1):
        conversation = make_conversation(("长城长", "two words"), system=system)
        fit = conversation.fit("q", limited(tokens=tokens))
        assert fit.left_out == left_out, (system, tokens)


def test_lower_limit_of_both_applies():
    conversation = make_conversation(("长", "城"), ("a", "b"))
    for characters, tokens, left_out in (5, 5, 0), (4, 5, 1), (5, 4, 1):
        fit = conversation.fit("长", limited(characters, tokens))
        assert fit.left_out == left_out, (characters, tokens)


def test_only_newest_turns_are_sent_without_a_gap():
    """A gap in the middle would make the answers contradict the questions."""
    for turns, sent, left_out in (
        ([("a", "b" * 2_000), ("c", "d" * 2_000), ("e", "f" * 2_000)], "cdefq", 1),
        ([("a", "b"), ("c", "d" * 4_000), ("e", "f" * 2_000)], "efq", 2),
    ):
        conversation = make_conversation(*turns)
        fit = conversation.fit("q", DOLLY)
        assert "".join(text[0] for text in contents(fit.messages)) == sent
        assert fit.left_out == left_out, sent
        assert len(conversation.turns) == 3, "turns that are left out stay in the conversation"


def test_question_is_sent_even_if_it_is_too_long_alone():
    """The check of its length, with the right error, is the client's."""
    fit = make_conversation(("a", "b")).fit("q" * 5_000, DOLLY)
    assert contents(fit.messages) == ["q" * 5_000]


def test_number_of_turns_is_limited():
    conversation = make_conversation(("a", "b"), ("c", "d"))
    for limits, sent in (
        ({"max_turns": 0}, "e"),
        ({"max_turns": 1}, "cde"),
        ({"max_turns": 2}, "abcde"),
        ({"max_turns": 3}, "abcde"),
        ({"drop": 0}, "abcde"),
        ({"drop": 1}, "cde"),
        ({"drop": 2}, "e"),
        ({"drop": 3}, "e"),
        ({"max_turns": 1, "drop": 1}, "e"),
        ({"min_turns": 3}, "abcde"),
        ({"max_turns": 0, "min_turns": 1, "drop": 1}, "cde"),
    ):
        fit = conversation.fit("e", None, **limits)
        assert "".join(contents(fit.messages)) == sent, limits
        assert fit.left_out == (5 - len(sent)) // 2, limits


def test_min_turns_are_sent_whatever_their_length():
    fit = make_conversation(("a", "b"), ("c", "d" * 5_000)).fit("e", DOLLY, min_turns=1)
    assert len(fit.messages) == 3
    assert fit.left_out == 1


def test_reason_names_the_limit_that_leaves_turns_out():
    conversation = make_conversation(("a", "长" * 5_000))
    tokens = Card(name="T", kinds=("chat",), max_tokens=3_000)
    for card, limits, reason in (
        (DOLLY, {}, "Dolly-12B takes at most 4,800 characters"),
        (tokens, {}, "T takes at most 3,000 tokens"),
        (None, {"max_turns": 0}, "max_turns is 0"),
        (None, {"drop": 1}, "the service found more too long"),
        (None, {}, ""),
        (DOLLY, {"min_turns": 1}, ""),
    ):
        assert conversation.fit("q", card, **limits).reason == reason


# --- fit: any turns and limits

TEXTS = st.lists(st.text("a 长", min_size=1, max_size=9), max_size=4).map(" ".join)
CONVERSATIONS = st.builds(
    lambda turns, system: make_conversation(*turns, system=system),
    st.lists(st.tuples(TEXTS, TEXTS)),
    TEXTS,
)
CARDS = st.none() | st.builds(limited, *[st.none() | st.integers(0, 200)] * 2)
MAX_TURNS = st.none() | st.integers(0, 6)
FEW = st.integers(0, 6)


def is_within(
    conversation: Conversation, count: int, card: Card | None, max_turns: int | None
) -> bool:
    """Return whether the question q fits with this number of the newest turns."""
    turns = conversation.turns[len(conversation.turns) - count :]
    texts = [text for turn in turns for text in (turn.user, turn.assistant)]
    always = "q" + conversation.system
    characters = len(always) + sum(map(len, texts))
    tokens = estimate_tokens(always) + sum(map(estimate_tokens, texts))
    limits = [(count, max_turns)]
    if card:
        limits += [(characters, card.max_characters), (tokens, card.max_tokens)]
    return all(limit is None or size <= limit for size, limit in limits)


@given(CONVERSATIONS, CARDS, MAX_TURNS)
def test_as_many_turns_are_sent_as_are_within_all_limits(conversation, card, max_turns):
    left_out = conversation.fit("q", card, max_turns=max_turns).left_out
    count = len(conversation.turns) - left_out
    assert count == 0 or is_within(conversation, count, card, max_turns)
    assert left_out == 0 or not is_within(conversation, count + 1, card, max_turns)


@given(CONVERSATIONS, CARDS, MAX_TURNS, FEW, FEW)
def test_drop_sends_fewer_turns_but_at_least_min_turns(
    conversation, card, max_turns, min_turns, drop
):
    fitting = conversation.fit("q", card, max_turns=max_turns).left_out
    fit = conversation.fit("q", card, max_turns=max_turns, min_turns=min_turns, drop=drop)
    droppable = max(len(conversation.turns) - min_turns, 0)
    assert fit.left_out == min(fitting + drop, droppable)
    assert fit.messages == conversation.messages("q")[2 * fit.left_out :]
    assert bool(fit.reason) == bool(fit.left_out)

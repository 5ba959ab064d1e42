"""Conversations: what is kept, what is sent, what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import Reply
from qianfan_magic.catalogue import Card, card_of_model
from qianfan_magic.conversation import Conversation, Turn

DOLLY = card_of_model("Dolly-12B")
BOUNDLESS = Card(name="any", kind="chat")
REPLIES = st.builds(
    Reply,
    text=st.text(max_size=12),
    is_truncated=st.booleans(),
    need_clear_history=st.integers(0, 9).map(lambda n: n == 0),
)
TAKEN = st.lists(st.tuples(st.text(min_size=1, max_size=12), REPLIES, st.booleans()), max_size=8)


def talk(*turns: tuple[str, str], name: str = "default") -> Conversation:
    """Make a conversation of these questions and answers."""
    conversation = Conversation(name)
    for question, answer in turns:
        conversation.take(question, Reply(text=answer))
    return conversation


def contents(messages) -> list[str]:
    return [message["content"] for message in messages]


# --- what is kept


def test_turn_is_the_question_with_its_answer():
    assert talk(("hi", "hello")).turns == [Turn("hi", "hello")]


def test_turns_are_kept_in_order():
    assert contents(talk(("a", "b"), ("c", "d")).messages()) == ["a", "b", "c", "d"]


def test_answer_is_kept_letter_by_letter():
    assert talk(("hi", " hello\n")).messages()[1]["content"] == " hello\n"


def test_take_tells_that_the_turn_is_kept():
    assert Conversation("any").take("hi", Reply(text="hello")) is True


@pytest.mark.parametrize("text", ["", " ", "\n\t\n"])
def test_question_without_an_answer_is_not_kept(text):
    conversation = talk(("hi", "hello"))
    conversation.take("still there?", Reply(text=text))
    assert conversation.turns == [Turn("hi", "hello")]


def test_take_tells_that_an_empty_answer_is_not_kept():
    assert Conversation("any").take("hi", Reply(text="")) is False


def test_stopped_answer_without_a_word_is_not_kept():
    conversation = Conversation("any")
    conversation.take("hi", Reply(text=""), stopped=True)
    assert conversation.turns == []


def test_stopped_answer_is_marked():
    conversation = Conversation("any")
    conversation.take("hi", Reply(text="hel"), stopped=True)
    assert conversation.turns == [Turn("hi", "hel", stopped=True)]


def test_truncated_answer_is_marked():
    conversation = Conversation("any")
    conversation.take("hi", Reply(text="hel", is_truncated=True))
    assert conversation.turns == [Turn("hi", "hel", truncated=True)]


def test_conversations_of_two_names_are_apart():
    first, second = talk(("hi", "hello"), name="first"), Conversation("second")
    assert (len(first.turns), second.turns) == (1, [])


# --- need_clear_history


def test_need_clear_history_empties_the_conversation():
    conversation = talk(("a", "b"), ("c", "d"))
    conversation.take("e", Reply(text="f", need_clear_history=True, ban_round=-1))
    assert conversation.turns == []


def test_need_clear_history_keeps_nothing_of_its_own_turn():
    kept = Conversation("any").take("e", Reply(text="f", need_clear_history=True))
    assert kept is False


def test_need_clear_history_counts_in_a_stopped_answer_too():
    conversation = talk(("a", "b"))
    conversation.take("e", Reply(text="f", need_clear_history=True), stopped=True)
    assert conversation.turns == []


def test_conversation_goes_on_after_it_was_emptied():
    conversation = talk(("a", "b"))
    conversation.take("c", Reply(text="d", need_clear_history=True))
    assert contents(conversation.messages("e")) == ["e"]


def test_system_stays_when_the_conversation_is_emptied():
    conversation = Conversation("any", system="Be brief.")
    conversation.take("c", Reply(text="d", need_clear_history=True))
    assert conversation.system == "Be brief."


# --- what is sent: the rules of Dolly-12B's document


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


@given(TAKEN)
def test_whatever_is_taken_the_number_of_messages_is_odd(taken):
    assert len(after(taken).messages("q")) % 2 == 1


@given(TAKEN)
def test_whatever_is_taken_the_roles_alternate(taken):
    roles = [message["role"] for message in after(taken).messages("q")]
    assert roles == (["user", "assistant"] * len(roles))[: len(roles)]


@given(TAKEN)
def test_whatever_is_taken_no_content_is_empty(taken):
    assert all(text.strip() for text in contents(after(taken).messages("q"))[1::2])


@given(TAKEN)
def test_whatever_is_taken_the_question_is_last(taken):
    assert contents(after(taken).messages("q"))[-1] == "q"


def after(taken) -> Conversation:
    conversation = Conversation("any")
    for question, reply, stopped in taken:
        conversation.take(question, reply, stopped=stopped)
    return conversation


# --- what still fits


def test_everything_is_sent_where_it_fits():
    messages, left_out = talk(("a", "b"), ("c", "d")).fit("e", DOLLY)
    assert (contents(messages), left_out) == (["a", "b", "c", "d", "e"], 0)


@pytest.mark.parametrize("card", [None, BOUNDLESS], ids=["no card", "no limit"])
def test_everything_is_sent_where_no_limit_is_known(card):
    messages, left_out = talk(("a" * 9_000, "b")).fit("c", card)
    assert (len(messages), left_out) == (3, 0)


# 4,800 characters: Dolly-12B's document.
@pytest.mark.parametrize(("question", "left_out"), [(4_797, 0), (4_798, 1)])
def test_oldest_pair_is_dropped_beyond_4800_characters(question, left_out):
    conversation = talk(("a", "bc"))
    assert conversation.fit("q" * question, DOLLY)[1] == left_out


def test_exactly_4800_characters_are_sent():
    messages, _ = talk(("a" * 1_000, "b" * 2_000)).fit("q" * 1_800, DOLLY)
    assert sum(map(len, contents(messages))) == 4_800


def test_oldest_pairs_are_dropped_first():
    conversation = talk(("a", "b" * 2_000), ("c", "d" * 2_000), ("e", "f" * 2_000))
    messages, left_out = conversation.fit("q", DOLLY)
    assert ([text[0] for text in contents(messages)], left_out) == (["c", "d", "e", "f", "q"], 1)


def test_short_old_pair_is_dropped_with_a_long_newer_one():
    """A gap in the middle would make the answers contradict the questions."""
    conversation = talk(("a", "b"), ("c", "d" * 4_000), ("e", "f" * 2_000))
    assert [text[0] for text in contents(conversation.fit("q", DOLLY)[0])] == ["e", "f", "q"]


def test_dropped_pairs_stay_in_the_conversation():
    conversation = talk(("a", "b" * 4_800))
    conversation.fit("q", DOLLY)
    assert len(conversation.turns) == 1


def test_question_is_sent_even_if_it_is_too_long_alone():
    """The check of its length, with the right error, is the client's."""
    messages, _ = talk(("a", "b")).fit("q" * 5_000, DOLLY)
    assert contents(messages) == ["q" * 5_000]


def test_characters_are_counted_and_not_bytes():
    assert talk(("长" * 2_000, "城" * 2_000)).fit("多长", DOLLY)[1] == 0


LENGTHS = st.lists(st.tuples(st.integers(1, 2_500), st.integers(1, 2_500)), max_size=8)


@given(LENGTHS, st.integers(1, 4_800))
def test_what_fits_is_within_the_limit(lengths, asked):
    messages, _ = long_talk(lengths).fit("q" * asked, DOLLY)
    assert sum(map(len, contents(messages))) <= 4_800


@given(LENGTHS, st.integers(1, 4_800))
def test_one_more_pair_would_not_fit(lengths, asked):
    conversation = long_talk(lengths)
    messages, left_out = conversation.fit("q" * asked, DOLLY)
    next_pair = sum(lengths[left_out - 1]) if left_out else 4_801
    assert sum(map(len, contents(messages))) + next_pair > 4_800


@given(LENGTHS, st.integers(1, 4_800))
def test_left_out_pairs_and_sent_ones_are_all_there_are(lengths, asked):
    messages, left_out = long_talk(lengths).fit("q" * asked, DOLLY)
    assert len(messages) == 2 * (len(lengths) - left_out) + 1


def long_talk(lengths) -> Conversation:
    return talk(*(("u" * asked, "a" * answered) for asked, answered in lengths))

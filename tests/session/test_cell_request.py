"""The request of one cell: its conversation, the messages sent, and the effect of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import ParameterError, QianfanClient, Reply, Usage
from qianfan_magic.api.catalogue.cards import CHAT, Card
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import CellOrder
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import CellRun, Turn
from qianfan_magic.session.cell_options import CellOptions
from qianfan_magic.session.cell_request import CONTINUE, CONTINUE_CHINESE, CellRequest

NOW = CellRun("a", "now")
#: The default service, whose model takes 4,800 characters.
DOLLY = ("my_dolly_12b", None)


def make_request(text: str = "hi", parameters: Any = (), **options: Any) -> CellRequest:
    """Return the request of a chat cell, not yet within its conversation."""
    parameters = dict(parameters)
    named = parameters.pop("endpoint", None), parameters.pop("model", None)
    return CellRequest(
        kind="chat",
        text=text,
        service=Catalogue().resolve(*named, "chat", [ApiVersion.V1], defaults=[DOLLY]),
        parameters=parameters,
        options=CellOptions(**options),
        format="markdown",
    )


def make_store(*conversations: Conversation) -> ConversationStore:
    """Return the conversations of a notebook that has never been saved."""
    store = ConversationStore(CellOrder({}))
    store.keep(*conversations)
    return store


def talk(*cells: str, name: str = "default", stopped: bool = False) -> Conversation:
    """Return a conversation with one turn of each cell; the last answer may be stopped."""
    conversation = Conversation(name)
    for number, cell in enumerate(cells, 1):
        is_stopped = stopped and number == len(cells)
        turn = Turn(f"q{number}", "so far", stopped=is_stopped, cell=cell, run=f"run {number}")
        conversation = conversation.append(turn)
    return conversation


def within(*conversations: Conversation, run: CellRun = NOW, **arguments: Any) -> CellRequest:
    """Return a request within the conversation that its options name."""
    return make_request(**arguments).within(make_store(*conversations), run, None)


def answered(request: CellRequest, text: str = "answer", **arguments: Any) -> Any:
    """Return the conversation after an answer to a request that sent all its turns."""
    fields = {name: arguments.pop(name) for name in list(arguments) if name in Reply.__slots__}
    return request.updated_conversation(Reply(text=text, **fields), left_out=0, **arguments)


def questions(conversation: Any) -> list[str]:
    return [turn.user for turn in conversation.turns]


def contents(messages) -> list[str]:
    return [message["content"] for message in messages]


@pytest.fixture
def client(make_client) -> QianfanClient:
    return make_client(chat_endpoint=DOLLY[0])


# --- its conversation


def test_first_request_begins_a_conversation():
    assert within().conversation == Conversation("default")


def test_request_continues_the_named_conversation():
    tutor = talk("x", name="tutor")
    assert within(talk("y"), tutor, conversation="tutor").conversation == tutor
    request = within(tutor)
    assert request.conversation == Conversation("default")
    assert request.others == []


def test_request_has_its_run_and_the_maximum_number_of_turns():
    request = make_request().within(make_store(), NOW, 5)
    assert request.run == NOW
    assert request.max_turns == 5


def test_turns_since_the_earlier_run_of_the_cell_are_removed():
    request = within(talk("x", "a", "y"))
    assert questions(request.conversation) == ["q1"]
    assert request.rewound.replaced == (2,)
    assert request.rewound.dropped == ((3, "“q3”"),)
    assert contents(request.fit().messages) == ["q1", "so far", "hi"]
    assert questions(answered(request)) == ["q1", "hi"]


def test_earlier_turn_of_the_cell_is_removed_from_another_conversation():
    (other,) = within(talk("x", "a", name="tutor")).others
    assert questions(other.conversation) == ["q1"]


def test_stored_conversations_are_unchanged_before_an_answer():
    store = make_store(talk("a"), talk("a", name="tutor"))
    before = list(store)
    make_request().within(store, NOW, None)
    with pytest.raises(ParameterError):
        make_request(continues=True).within(store, NOW, None)
    assert list(store) == before


def test_cell_with_append_or_without_an_id_removes_nothing():
    request = within(talk("a", "y"), talk("a", name="tutor"), append=True)
    assert questions(request.conversation) == ["q1", "q2"]
    assert request.others == []
    assert questions(within(talk("", ""), run=CellRun()).conversation) == ["q1", "q2"]


def test_turns_of_cells_below_in_the_saved_notebook_are_removed(tmp_path):
    path = tmp_path / "talk.ipynb"
    path.write_text(json.dumps({"cells": [{"id": cell} for cell in "abcde"]}))
    for earlier, cell, remaining in [
        ("bd", "a", []),
        ("bd", "c", ["q1"]),
        ("bd", "e", ["q1", "q2"]),
        # Cells that were added after the last save are assumed to be the last ones.
        (["a", "new"], "b", ["q1"]),
        ("bd", "new", ["q1", "q2"]),
    ]:
        store = ConversationStore(CellOrder({"__vsc_ipynb_file__": str(path)}))
        store.keep(talk(*earlier))
        request = make_request().within(store, CellRun(cell, "now"), None)
        assert questions(request.conversation) == remaining, (earlier, cell)


# --- its system text


def instructed(system: str) -> Conversation:
    return Conversation("default").append(Turn("q", "a", system=system))


def test_system_text_of_the_cell_takes_precedence_and_an_empty_one_ends_it():
    for of_conversation, of_cell, sent in [
        ("Be brief.", None, {"system": "Be brief."}),
        ("", None, {}),
        ("Be brief.", "Be kind.", {"system": "Be kind."}),
        ("Be brief.", "", {}),
    ]:
        request = within(instructed(of_conversation), parameters={"top_k": 3}, system=of_cell)
        assert request.parameters == {"top_k": 3} | sent, (of_conversation, of_cell)


def test_system_text_of_the_cell_applies_to_later_turns():
    for system in ("Be kind.", ""):
        after = answered(within(instructed("Be brief."), system=system))
        assert after.system == system
        assert after.turns[0].system == "Be brief.", system


# --- continuing an unfinished answer


def test_last_answer_is_continued_on_request_only():
    assert within(talk("x", "y", stopped=True), continues=True).continues.user == "q2"
    assert within(talk("x", stopped=True)).continues is None


def test_continuation_is_requested_in_the_language_of_the_question_or_by_the_text_of_the_cell():
    for question, text, sent in [
        ("How long?", "", CONTINUE),
        ("How long?", " \n", CONTINUE),
        ("How long?", "How long?", CONTINUE),
        ("长城有多长", "", CONTINUE_CHINESE),
        ("How long?", "And then?", "And then?"),
    ]:
        stopped = Conversation("default").append(Turn(question, "It", truncated=True))
        assert within(stopped, text=text, continues=True).text == sent, (question, text)


def test_only_an_unfinished_answer_is_continued():
    for conversation, state in [
        (talk(), "has no answer yet"),
        (talk("x"), "ends with a whole answer"),
        (talk("x", stopped=True).append(Turn("q2", "whole")), "ends with a whole answer"),
    ]:
        with pytest.raises(ParameterError) as caught:
            within(conversation, continues=True)
        assert caught.value.message == f"--continue: the conversation 'default' {state}"
        assert "cut off at a limit, or stopped" in caught.value.hint


def test_cell_continues_the_answer_that_its_earlier_run_left_unfinished():
    store = make_store(talk("a", stopped=True))
    texts = ["so far, and more", "so far, and more, and more"]
    for text in texts:
        request = make_request(continues=True).within(store, CellRun("b", text), None)
        store.keep(answered(request, text, stopped=True))
    (turn,) = store.get("default").turns
    assert [step.assistant for step in turn.steps()] == ["so far", *texts]


def test_cell_continues_from_the_same_text_if_its_earlier_run_finished():
    store = make_store(talk("x", stopped=True))
    for run in ("1", "2"):
        request = make_request(continues=True).within(store, CellRun("b", run), None)
        assert request.continues.assistant == "so far", run
        store.keep(answered(request, "so far, end"))


def test_answer_is_continued_with_its_system_text():
    stopped = Conversation("default").append(Turn("q", "a", stopped=True, system="Be brief."))
    assert within(stopped, continues=True).parameters["system"] == "Be brief."


# --- the messages that are sent


def test_completion_is_sent_without_a_conversation():
    request = CellRequest(
        kind="completion",
        text="def f(",
        service=Service("starcoder"),
        parameters={},
        options=CellOptions(),
        format="text",
    )
    assert request.content(request.fit()) == "def f("
    assert answered(request) is None


def test_chat_is_sent_with_its_conversation():
    request = within(talk("x"))
    assert contents(request.content(request.fit())) == ["q1", "so far", "hi"]


def long_talk(*lengths: int, system: str = "", stopped: bool = False) -> Conversation:
    """Return a conversation with a turn of each length; its questions have one character."""
    conversation = Conversation("default")
    for length in lengths:
        turn = Turn("q", "a" * (length - 1), system=system, stopped=stopped, cell="x")
        conversation = conversation.append(turn)
    return conversation


def test_limit_of_characters_is_that_of_the_service():
    for length, service, left_out in [
        (4_798, {}, 0),
        (4_799, {}, 1),
        (9_000, {"endpoint": "my_dolly_12b"}, 1),
        (9_000, {"endpoint": "unknown"}, 0),
        (9_000, {"model": "ERNIE-4.0-8K"}, 0),
    ]:
        request = within(long_talk(length), parameters=service)
        assert request.fit().left_out == left_out, (length, service)


def test_system_text_that_is_sent_counts_towards_the_limit():
    for of_conversation, of_cell, left_out in [(0, 798, 0), (0, 799, 1), (4_000, 0, 0)]:
        conversation = long_talk(4_000, system="s" * of_conversation)
        fit = within(conversation, system="s" * of_cell).fit()
        assert fit.left_out == left_out, (of_conversation, of_cell)


def test_at_most_max_turns_are_sent():
    request = make_request().within(make_store(talk("x", "y", "z")), NOW, 2)
    assert contents(request.fit().messages)[::2] == ["q2", "q3", "hi"]


def test_drop_sends_fewer_turns():
    for drop, left_out in [(0, 0), (1, 1), (2, 2), (3, 2)]:
        assert within(talk("x", "y")).fit(drop=drop).left_out == left_out, drop


def test_answer_that_is_continued_is_always_sent():
    for drop in (0, 9):
        request = within(long_talk(1, 5_000, stopped=True), continues=True)
        assert request.fit(drop=drop).left_out == 1, drop
    request = make_request(continues=True).within(make_store(talk("x", stopped=True)), NOW, 0)
    assert contents(request.fit().messages) == ["q1", "so far", "hi"]


def able(request: CellRequest, characters: int | None = None) -> CellRequest:
    """Return the request to a model that goes on from the beginning of an answer."""
    card = Card(name="able", kinds=CHAT, prefix=True, max_characters=characters)
    return replace(request, service=Service("able", version=ApiVersion.V2, card=card))


def test_beginning_of_the_answer_counts_towards_the_limit():
    for prefix, left_out in [("p" * 18, 0), ("p" * 19, 1)]:
        request = able(within(long_talk(80), prefix=prefix), 100)
        assert request.fit().left_out == left_out, len(prefix)
    for length, left_out in [(20, 0), (21, 1)]:
        talked = long_talk(80, length, stopped=True)
        request = able(within(talked, text="", continues=True), 100)
        assert request.fit().left_out == left_out, length


def test_unfinished_answer_is_sent_whatever_its_length():
    request = able(within(long_talk(1, 5_000, stopped=True), text="", continues=True), 100)
    for drop in (0, 9):
        question, beginning = list(request.content(request.fit(drop=drop)))
        assert question == {"role": "user", "content": "q"}, drop
        assert (len(beginning["content"]), beginning["prefix"]) == (4_999, True), drop


def test_description_shows_the_request_for_a_continuation(client):
    described = within(talk("x", stopped=True), text="", continues=True).describe(client)
    assert CONTINUE in described
    assert "so far" in described


# --- the effect of an answer


def test_turn_records_how_it_was_requested_and_answered():
    shaping = {"temperature": 0.5, "stop": ["."]}
    others = {"user_id": "li", "endpoint": "my_dolly_12b", "timeout": 3.0, "retries": 2}
    request = within(parameters=shaping | others, system="Be brief.")
    after = answered(request, " answer\n", usage=Usage(5, 7, 12))
    assert after.turns == (
        Turn(
            "hi",
            " answer\n",
            system="Be brief.",
            model="my_dolly_12b",
            parameters=shaping,
            tokens=(5, 7),
            cell="a",
        ),
    )
    assert after.turns[0].run == NOW.id


def test_answer_is_appended_to_a_copy_of_the_conversation():
    request = within(talk("x"))
    assert questions(answered(request)) == ["q1", "hi"]
    assert questions(request.conversation) == ["q1"]


def test_empty_answer_changes_nothing():
    for text in ("", " ", "\n\t\n"):
        for stopped in (False, True):
            assert answered(within(talk("x", "a")), text, stopped=stopped) is None, repr(text)
    assert answered(within(talk("x", stopped=True), continues=True), "") is None


def test_unfinished_answer_is_marked():
    for arguments, marks in [
        ({"stopped": True}, (True, False)),
        ({"is_truncated": True}, (False, True)),
    ]:
        (turn,) = answered(within(), **arguments).turns
        assert (turn.stopped, turn.truncated) == marks


def test_continued_answer_is_one_turn():
    conversation = talk("x", "y", stopped=True)
    request = within(conversation, continues=True, text="And then?")
    after = answered(request, "so far, and so on")
    assert contents(after.messages()) == ["q1", "so far", "q2", "so far, and so on"]
    turn = after.turns[1]
    assert turn.after == conversation.turns[0].id
    assert turn.continues == conversation.turns[1]
    assert [step.cell for step in turn.steps()] == ["y", "a"]
    assert not turn.is_unfinished


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=8))
def test_answer_is_one_turn_however_often_it_is_continued(runs):
    store = make_store(talk("x", stopped=True))
    for number, (cell, truncated) in enumerate(runs):
        request = make_request(continues=True)
        try:
            request = request.within(store, CellRun(cell, str(number)), None)
        except ParameterError:  # another cell has finished it
            continue
        text = request.continues.assistant + "+"
        store.keep(answered(request, text, is_truncated=truncated))
    (turn,) = store.get("default").turns
    assert turn.assistant == "so far" + "+" * (len(turn.steps()) - 1)
    assert turn.user == "q1"


# --- need_clear_history: turns that the service finds unsafe


def after_unsafe(
    request: CellRequest, ban_round: int | None, *, left_out: int = 0, text: str = "I cannot say."
) -> list[str]:
    """Return the questions that remain after the service found a round unsafe."""
    reply = Reply(text=text, need_clear_history=True, ban_round=ban_round)
    stopped = request.updated_conversation(reply, left_out=left_out, stopped=True)
    after = request.updated_conversation(reply, left_out=left_out)
    assert after == stopped
    return questions(after)


def test_unsafe_turn_and_all_after_it_are_removed():
    for ban_round, left_out, remaining in [
        (-1, 0, ["q1", "q2", "q3"]),
        (1, 0, []),
        (2, 0, ["q1"]),
        (3, 0, ["q1", "q2"]),
        (1, 1, ["q1"]),
        (2, 1, ["q1", "q2"]),
        (None, 0, []),
        (None, 1, []),
    ]:
        for text in ("I cannot say.", ""):
            request = within(talk("x", "y", "z"))
            after = after_unsafe(request, ban_round, left_out=left_out, text=text)
            assert after == remaining, (ban_round, left_out, text)


def test_unsafe_question_removes_the_turn_of_the_earlier_run():
    assert after_unsafe(within(talk("x", "a", "y")), -1) == ["q1"]


def test_unfinished_answer_is_removed_only_if_it_is_unsafe_itself():
    request = within(talk("x", "y", stopped=True), continues=True)
    assert after_unsafe(request, -1) == ["q1", "q2"]
    assert after_unsafe(request, 2) == ["q1"]

"""Questions: within which conversation a cell asks, what goes along, what its answer leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianfan_magic import ParameterError, QianfanClient, Reply, Usage
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


def make_question(text: str = "hi", options: Any = (), **flags: Any) -> CellRequest:
    """Make what a chat cell asks, not yet within its conversation."""
    parameters = dict(options)
    named = parameters.pop("endpoint", None), parameters.pop("model", None)
    return CellRequest(
        kind="chat",
        text=text,
        service=Catalogue().resolve(*named, "chat", [ApiVersion.V1], defaults=[DOLLY]),
        parameters=parameters,
        options=CellOptions(**flags),
        format="markdown",
    )


def make_completion(text: str) -> CellRequest:
    """Make the request of a completion cell."""
    return CellRequest(
        kind="completion",
        text=text,
        service=Service("starcoder"),
        parameters={},
        options=CellOptions(),
        format="text",
    )


def make_store(*conversations: Conversation) -> ConversationStore:
    """Make the conversations of a notebook that has never been saved."""
    store = ConversationStore(CellOrder({}))
    store.keep(*conversations)
    return store


def asked(*cells: str, name: str = "default", stopped: bool = False) -> Conversation:
    """Make a conversation of the questions of these cells; the last may have been stopped."""
    conversation = Conversation(name)
    for number, cell in enumerate(cells, 1):
        end = stopped and number == len(cells)
        turn = Turn(f"q{number}", "so far", stopped=end, cell=cell, run=f"run {number}")
        conversation = conversation.append(turn)
    return conversation


def within(*conversations: Conversation, run: CellRun = NOW, **given: Any) -> CellRequest:
    """Make a question as one of the conversation that its flags name."""
    return make_question(**given).within(make_store(*conversations), run, None)


def take(question: CellRequest, text: str = "answer", **given: Any) -> Any:
    """Let the conversation take an answer of which all has been sent."""
    reply = {name: given.pop(name) for name in list(given) if name in Reply.__slots__}
    return question.updated_conversation(Reply(text=text, **reply), left_out=0, **given)


def questions(conversation: Any) -> list[str]:
    return [turn.user for turn in conversation.turns]


def contents(messages) -> list[str]:
    return [message["content"] for message in messages]


@pytest.fixture
def client(make_client) -> QianfanClient:
    """Make a client that by default asks a model of 4,800 characters."""
    return make_client(chat_endpoint="my_dolly_12b")


# --- within its conversation


def test_first_question_is_of_an_empty_conversation():
    assert within().conversation == Conversation("default")


def test_question_goes_on_with_the_conversation_that_is_named():
    tutor = asked("x", name="tutor")
    assert within(asked("y"), tutor, conversation="tutor").conversation == tutor


def test_other_conversations_are_left_alone():
    assert within(asked("x", name="tutor")).others == []


def test_question_keeps_its_run_and_how_many_turns_go_along():
    question = make_question().within(make_store(), NOW, 5)
    assert (question.run, question.max_turns) == (NOW, 5)


def test_earlier_turn_of_the_cell_is_not_in_the_conversation():
    assert questions(within(asked("x", "a", "y")).conversation) == ["q1"]


def test_what_goes_is_told():
    rewound = within(asked("x", "a", "y")).rewound
    assert (rewound.replaced, rewound.dropped) == ((2,), ((3, "“q3”"),))


def test_earlier_turn_of_the_cell_goes_from_another_conversation_too():
    (other,) = within(asked("x", "a", name="tutor")).others
    assert questions(other.conversation) == ["q1"]


def test_nothing_goes_before_there_is_an_answer():
    store = make_store(asked("a"), asked("a", name="tutor"))
    before = list(store)
    make_question().within(store, NOW, None)
    assert list(store) == before


def test_cell_that_appends_changes_nothing():
    question = within(asked("a", "y"), asked("a", name="tutor"), append=True)
    assert (questions(question.conversation), question.others) == (["q1", "q2"], [])


def test_cell_without_an_id_changes_nothing():
    assert questions(within(asked("", ""), run=CellRun()).conversation) == ["q1", "q2"]


@pytest.mark.parametrize(("run", "kept"), [("a", []), ("b", ["q1"]), ("c", ["q1", "q2"])])
def test_turns_of_cells_below_in_the_saved_notebook_go(tmp_path, run, kept):
    path = tmp_path / "talk.ipynb"
    path.write_text(json.dumps({"cells": [{"id": one} for one in "abc"]}))
    store = ConversationStore(CellOrder({"__vsc_ipynb_file__": str(path)}))
    store.keep(asked("a", "b", "c"))
    question = make_question().within(store, CellRun(run, "now"), None)
    assert questions(question.conversation) == kept


# --- its system text


def talk(system: str) -> Conversation:
    return Conversation("default").append(Turn("q", "a", system=system))


def test_system_text_of_the_conversation_goes_along():
    assert within(talk("Be brief.")).parameters == {"system": "Be brief."}


def test_question_has_no_system_text_where_the_conversation_has_none():
    assert "system" not in within(talk("")).parameters


def test_system_text_of_the_cell_counts():
    assert within(talk("Be brief."), system="Be kind.").parameters["system"] == "Be kind."


def test_empty_system_text_of_the_cell_ends_that_of_the_conversation():
    assert "system" not in within(talk("Be brief."), system="").parameters


def test_system_text_of_the_cell_counts_from_then_on():
    after = take(within(talk("Be brief."), system="Be kind."))
    assert (after.system, after.turns[0].system) == ("Be kind.", "Be brief.")


def test_ended_system_text_is_ended_from_then_on():
    after = take(within(talk("Be brief."), system=""))
    assert after.system == ""


def test_other_options_stay_with_a_system_text():
    question = within(talk("Be brief."), options={"top_k": 3})
    assert question.parameters == {"top_k": 3, "system": "Be brief."}


# --- going on with an unfinished answer


def test_answer_that_goes_on_is_the_last_one():
    question = within(asked("x", "y", stopped=True), continues=True)
    assert question.continues.user == "q2"


def test_question_that_does_not_go_on_is_asked_after_an_unfinished_answer():
    assert within(asked("x", stopped=True)).continues is None


@pytest.mark.parametrize("text", ["", " \n", "q1"], ids=["empty", "blank", "the question itself"])
def test_rest_is_asked_for_where_the_cell_says_nothing_else(text):
    assert within(asked("a", stopped=True), text=text, continues=True).text == CONTINUE


def test_rest_is_asked_for_in_chinese_where_the_question_was_chinese():
    said = Conversation("default").append(Turn("长城有多长", "It", truncated=True))
    assert within(said, text="", continues=True).text == CONTINUE_CHINESE


def test_rest_is_asked_for_in_the_words_of_the_cell():
    assert within(asked("x", stopped=True), text="And then?", continues=True).text == "And then?"


@pytest.mark.parametrize(
    ("conversation", "state"),
    [(asked(), "has no answer yet"), (asked("x"), "ends with a whole answer")],
)
def test_only_an_unfinished_answer_goes_on(conversation, state):
    with pytest.raises(ParameterError, match=f"--continue: the conversation 'default' {state}"):
        within(conversation, continues=True)


def test_whole_answer_after_an_unfinished_one_does_not_go_on():
    said = asked("x", stopped=True).append(Turn("q2", "whole"))
    with pytest.raises(ParameterError, match="whole answer"):
        within(said, continues=True)


def test_what_cannot_go_on_is_left_as_it_was():
    store = make_store(asked("a", "b"))
    with pytest.raises(ParameterError):
        make_question(continues=True).within(store, NOW, None)
    assert questions(store.get("default")) == ["q1", "q2"]


def test_hint_says_what_goes_on():
    with pytest.raises(ParameterError) as caught:
        within(continues=True)
    assert "cut off at a limit, or stopped" in caught.value.hint


def test_cell_that_goes_on_twice_goes_on_from_what_it_left():
    store = make_store(asked("a", stopped=True))
    for text in ("so far, and more", "so far, and more, and more"):
        question = make_question(continues=True).within(store, CellRun("b", text), None)
        after = take(question, text, stopped=True)
        store.keep(after)
    (turn,) = store.get("default").turns
    assert [step.assistant for step in turn.steps()] == [
        "so far",
        "so far, and more",
        "so far, and more, and more",
    ]


def test_cell_that_went_on_to_the_end_does_so_again_from_the_same_place():
    store = make_store(asked("x", stopped=True))
    after = take(
        make_question(continues=True).within(store, CellRun("b", "1"), None), "so far, end"
    )
    store.keep(after)
    question = make_question(continues=True).within(store, CellRun("b", "2"), None)
    assert question.continues.assistant == "so far"


def test_system_text_is_that_of_the_answer_that_goes_on():
    said = Conversation("default").append(Turn("q", "a", stopped=True, system="Be brief."))
    assert within(said, continues=True).parameters["system"] == "Be brief."


# --- what is sent


def test_completion_is_sent_alone():
    question = make_completion("def f(")
    assert question.content(question.fit()) == "def f("


def test_chat_is_sent_with_its_conversation():
    question = within(asked("x"))
    assert contents(question.content(question.fit())) == ["q1", "so far", "hi"]


def test_what_goes_is_not_sent():
    question = within(asked("x", "a", "y"))
    assert contents(question.fit().messages) == ["q1", "so far", "hi"]


def long_talk(*lengths: int, system: str = "", stopped: bool = False) -> Conversation:
    """Make a conversation of answers of these lengths, each to a question of one character."""
    conversation = Conversation("default")
    for length in lengths:
        turn = Turn("q", "a" * (length - 1), system=system, stopped=stopped, cell="x")
        conversation = conversation.append(turn)
    return conversation


@pytest.mark.parametrize(("length", "left_out"), [(4_798, 0), (4_799, 1)])
def test_limit_is_that_of_the_endpoint_of_the_settings(length, left_out):
    assert within(long_talk(length)).fit().left_out == left_out


@pytest.mark.parametrize(("endpoint", "left_out"), [("my_dolly_12b", 1), ("unknown", 0)])
def test_limit_is_that_of_the_endpoint_of_the_cell(endpoint, left_out):
    question = within(long_talk(9_000), options={"endpoint": endpoint})
    assert question.fit().left_out == left_out


def test_limit_is_that_of_the_model_of_the_cell():
    fit = within(long_talk(9_000), options={"model": "ERNIE-4.0-8K"}).fit()
    assert fit.left_out == 0


@pytest.mark.parametrize(("length", "left_out"), [(798, 0), (799, 1)])
def test_system_text_of_the_cell_takes_room(length, left_out):
    question = within(long_talk(4_000), system="s" * length)
    assert question.fit().left_out == left_out


def test_ended_system_text_takes_no_room():
    question = within(long_talk(4_000, system="s" * 4_000), system="")
    assert question.fit().left_out == 0


def test_no_more_turns_are_sent_than_the_notebook_wants():
    question = make_question().within(make_store(asked("x", "y", "z")), NOW, 2)
    assert contents(question.fit().messages)[::2] == ["q2", "q3", "hi"]


@pytest.mark.parametrize(("drop", "left_out"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_fewer_turns_are_sent_where_the_service_counts_otherwise(drop, left_out):
    assert within(asked("x", "y")).fit(drop=drop).left_out == left_out


@pytest.mark.parametrize("drop", [0, 9])
def test_answer_that_goes_on_is_sent_whatever_its_length(drop):
    question = within(long_talk(1, 5_000, stopped=True), continues=True)
    assert question.fit(drop=drop).left_out == 1


def test_answer_that_goes_on_is_sent_where_the_notebook_wants_no_turns():
    question = make_question(continues=True).within(make_store(asked("x", stopped=True)), NOW, 0)
    assert contents(question.fit().messages) == ["q1", "so far", "hi"]


def test_dry_run_shows_what_asks_for_the_rest(client):
    described = within(asked("x", stopped=True), text="", continues=True).describe(client)
    assert CONTINUE in described
    assert "so far" in described


# --- what the conversation takes


def test_completion_has_no_conversation():
    question = make_completion("def f(")
    assert take(question) is None


def test_answer_becomes_a_turn():
    assert questions(take(within(asked("x")))) == ["q1", "hi"]


def test_turn_tells_how_it_was_asked_and_answered():
    options = {"temperature": 0.5, "stop": ["."]}
    question = within(options=options, system="Be brief.")
    after = take(question, " answer\n", usage=Usage(5, 7, 12))
    assert after.turns == (
        Turn(
            "hi",
            " answer\n",
            system="Be brief.",
            model="my_dolly_12b",
            parameters=options,
            tokens=(5, 7),
            cell="a",
        ),
    )


def test_turn_knows_its_run():
    after = take(within())
    assert after.turns[0].run == NOW.id


@pytest.mark.parametrize(
    "options", [{"user_id": "li"}, {"endpoint": "e"}, {"timeout": 3.0}, {"retries": 2}]
)
def test_turn_tells_only_the_parameters_that_shape_an_answer(options):
    after = take(within(options=options))
    assert after.turns[0].parameters == {}


def test_taking_leaves_the_question_as_it_was():
    question = within(asked("x"))
    take(question)
    assert questions(question.conversation) == ["q1"]


def test_answer_takes_the_place_of_the_earlier_one():
    assert questions(take(within(asked("x", "a", "y"), text="anew"))) == ["q1", "anew"]


@pytest.mark.parametrize("text", ["", " ", "\n\t\n"])
@pytest.mark.parametrize("stopped", [False, True])
def test_question_without_an_answer_is_not_kept(text, stopped):
    assert take(within(asked("x", "a")), text, stopped=stopped) is None


@pytest.mark.parametrize("mark", ["stopped", "truncated"])
def test_unfinished_answer_is_marked(mark):
    given = {"stopped": {"stopped": True}, "truncated": {"is_truncated": True}}[mark]
    after = take(within(), **given)
    marks = {name: getattr(after.turns[0], name) for name in ("stopped", "truncated")}
    assert marks == {"stopped": False, "truncated": False} | {mark: True}


# --- what goes on is one turn


def test_answer_that_went_on_is_one_turn():
    question = within(asked("x", "y", stopped=True), continues=True, text="And then?")
    after = take(question, "so far, and so on")
    assert contents(after.messages()) == ["q1", "so far", "q2", "so far, and so on"]


def test_turn_that_went_on_comes_after_the_same_one():
    said = asked("x", "y", stopped=True)
    after = take(within(said, continues=True))
    assert after.turns[1].after == said.turns[0].id


def test_turn_that_went_on_to_its_end_is_finished():
    after = take(within(asked("x", stopped=True), continues=True))
    assert not after.turns[0].is_unfinished


def test_turn_that_went_on_remembers_what_there_was():
    said = asked("x", stopped=True)
    after = take(within(said, continues=True))
    assert after.turns[0].continues == said.turns[0]


def test_turn_that_went_on_is_the_cells_that_went_on():
    after = take(within(asked("x", stopped=True), continues=True))
    assert [step.cell for step in after.turns[0].steps()] == ["x", "a"]


def test_nothing_that_came_leaves_the_answer_unfinished():
    assert take(within(asked("x", stopped=True), continues=True), "") is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=8))
def test_however_often_an_answer_goes_on_it_is_one_turn(runs):
    store = make_store(asked("x", stopped=True))
    for number, (cell, truncated) in enumerate(runs):
        question = make_question(continues=True)
        try:
            question = question.within(store, CellRun(cell, str(number)), None)
        except ParameterError:  # it is whole, and another cell made it so
            continue
        after = take(question, question.continues.assistant + "+", is_truncated=truncated)
        store.keep(after)
    (turn,) = store.get("default").turns
    assert turn.assistant == "so far" + "+" * (len(turn.steps()) - 1)
    assert turn.user == "q1"


# --- what the service finds unsafe


def unsafe(question: CellRequest, ban_round: int | None, *, left_out: int = 0, **given: Any) -> Any:
    reply = Reply(text="I cannot say.", need_clear_history=True, ban_round=ban_round)
    return questions(question.updated_conversation(reply, left_out=left_out, **given))


@pytest.mark.parametrize(
    ("ban_round", "left_out", "kept"),
    [
        (-1, 0, ["q1", "q2", "q3"]),
        (1, 0, []),
        (2, 0, ["q1"]),
        (3, 0, ["q1", "q2"]),
        (1, 1, ["q1"]),
        (2, 1, ["q1", "q2"]),
        (None, 0, []),
        (None, 1, []),
    ],
)
def test_what_the_service_finds_unsafe_is_forgotten(ban_round, left_out, kept):
    assert unsafe(within(asked("x", "y", "z")), ban_round, left_out=left_out) == kept


def test_question_that_is_unsafe_in_its_new_words_loses_its_old_turn():
    assert unsafe(within(asked("x", "a", "y")), -1) == ["q1"]


def test_unsafe_turn_is_forgotten_where_the_user_stopped_the_answer():
    assert unsafe(within(asked("x", "y")), 2, stopped=True) == ["q1"]


def test_unsafe_turn_is_forgotten_where_there_is_no_answer():
    reply = Reply(text="", need_clear_history=True, ban_round=1)
    assert within(asked("x")).updated_conversation(reply, left_out=0) == Conversation("default")


def test_unfinished_answer_stays_where_what_asked_for_the_rest_is_unsafe():
    assert unsafe(within(asked("x", "y", stopped=True), continues=True), -1) == ["q1", "q2"]


def test_unfinished_answer_that_is_unsafe_itself_goes():
    assert unsafe(within(asked("x", "y", stopped=True), continues=True), 2) == ["q1"]

"""Answers that go on from a beginning: ``--prefix``, and ``--continue`` where a model has that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support.kernel import Kernel
from support.notebook import Notebook, answer_in, assert_fails_cleanly
from support.page import turns_of
from support.requests_seen import V2, bodies, dry_run_body

from qianfan_magic import ParameterError
from qianfan_magic.conversation.record import KEY
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.masking import remember
from qianfan_magic.session.cell_request import CONTINUE

#: A model that goes on from the beginning of an answer, and one that does not.
ABLE, UNABLE = "deepseek-v4-pro", "ernie-5.1"
CHAT = f"%%qianfan_chat -m {ABLE}"
BEIJING = "Please introduce Beijing"
WALL = "Please introduce The Great Wall"


def beginning(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "prefix": True}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def last_messages(notebook: Notebook) -> list[dict[str, Any]]:
    return bodies(notebook.server)[-1]["messages"]


def whole_answer(notebook: Notebook, question: str) -> str:
    """Return the answer to a question, asked in another conversation."""
    notebook.run(f"{CHAT} -n other -o whole\n{question}", "%qianfan reset -n other")
    return notebook.bound("whole")[0].text


def streamed(*deltas: dict[str, str], end: str = "data: [DONE]\n\n") -> Fault:
    """Let version 2 answer with a stream of these deltas."""
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    body = "".join(events) + end
    return Fault(path=V2, headers={"Content-Type": "text/event-stream"}, body=body.encode())


# --- an unfinished answer


def test_unfinished_answer_is_sent_as_the_beginning_where_the_card_has_it(notebook):
    whole = whole_answer(notebook, BEIJING)
    for flags in ("", "--no-stream"):
        notebook.run("%qianfan reset", f"{CHAT}\nhi", f"{CHAT} --max-tokens 10\n{BEIJING}")
        cut_off = notebook.turns()[-1].assistant
        assert whole.startswith(cut_off)
        assert whole != cut_off
        shown = notebook.run(f"{CHAT} --continue {flags} -o reply\n")
        *earlier, question, last = last_messages(notebook)
        assert (question, last) == (user(BEIJING), beginning(cut_off)), flags
        assert [message["role"] for message in earlier] == ["user", "assistant"], flags
        assert answer_in(shown) == whole.strip(), flags
        assert notebook.bound("reply")[0].text == whole, flags
        assert [turn.user for turn in notebook.turns()] == ["hi", BEIJING], flags
        assert notebook.turns()[-1].assistant == whole, flags


def test_other_models_are_asked_to_go_on(notebook):
    notebook.run(f"{CHAT} --max-tokens 10\n{BEIJING}")
    cut_off = notebook.turns()[0].assistant
    asked = [user(BEIJING), {"role": "assistant", "content": cut_off}, user(CONTINUE)]
    for model in (UNABLE, "brand-new"):
        body = dry_run_body(notebook, f"%%qianfan_chat -m {model} --continue --dry-run\n")
        assert body["messages"] == asked, model


def test_text_of_the_cell_asks_for_the_rest(notebook):
    notebook.run(f"{CHAT} --max-tokens 10\n{BEIJING}")
    for text, last in (
        ("And its food?", user("And its food?")),
        (BEIJING, beginning(notebook.turns()[0].assistant)),
    ):
        body = dry_run_body(notebook, f"{CHAT} --continue --dry-run\n{text}")
        assert body["messages"][-1] == last, text


def test_columns_of_a_comparison_go_on_each_in_its_way(notebook):
    whole = whole_answer(notebook, BEIJING)
    notebook.run(f"{CHAT} --max-tokens 10\n{BEIJING}")
    notebook.run(f"%%qianfan_chat --continue --compare model={ABLE},{UNABLE}\n")
    sent = {body["model"]: body["messages"] for body in bodies(notebook.server)[-2:]}
    assert {model: len(messages) for model, messages in sent.items()} == {ABLE: 2, UNABLE: 3}
    assert [column.reply.text for column in notebook.columns] == [whole, whole]


def test_answer_that_is_found_unsafe_is_removed_with_its_question(notebook):
    """The current question (-1) is the one that the unfinished answer has begun to answer."""
    notebook.run(f"{CHAT}\nhi", f"{CHAT} --max-tokens 10\n{BEIJING}")
    notebook.server.fail(Fault(path=V2, fields={"flag": 2, "ban_round": -1}))
    notebook.run(f"{CHAT} --continue\n")
    assert notebook.questions() == ["hi"]


def test_picture_of_an_unfinished_answer_is_sent_with_its_question(notebook):
    able = '{"able": {"model": "ernie-5.0", "prefix": True}}'
    notebook.run(f"%config QianfanMagics.models = {able}", "from PIL import Image")
    notebook.run("red = Image.new('RGB', (16, 16), 'red')")
    notebook.run("%%qianfan_chat -m able -i red --max-tokens 10\nWhat is this?")
    body = dry_run_body(notebook, "%%qianfan_chat -m able --continue --dry-run\n")
    question, last = body["messages"]
    assert [part["type"] for part in question["content"]] == ["image_url", "text"]
    assert last["prefix"] is True


# --- --prefix


def test_answer_begins_with_the_prefix(notebook):
    prefix = "The **Great"
    whole = whole_answer(notebook, WALL)
    for flags in ("", "--no-stream"):
        notebook.run("%qianfan reset")
        shown = notebook.run(f"{CHAT} --prefix '{prefix}' {flags} -o reply\n{WALL}")
        assert last_messages(notebook) == [user(WALL), beginning(prefix)], flags
        assert answer_in(shown) == whole.strip(), flags
        assert notebook.bound("reply")[0].text == whole, flags
        assert [(t.user, t.assistant) for t in notebook.turns()] == [(WALL, whole)], flags
    notebook.run(f"{CHAT}\nhi")
    assert last_messages(notebook)[1] == {"role": "assistant", "content": whole}


def test_prefix_is_in_the_record(quiet):
    ran = quiet.run(f"{CHAT} --prefix 'The **Great'\n{WALL}")
    (turn,) = turns_of(ran.contents("display_data")[-1])
    assert turn.assistant.startswith("The **Great Wall")


def test_prefix_that_the_service_repeats_is_shown_once(notebook):
    for texts in (["The wa", "ll is", " long."], [" is", " long."], ["The wall is long."]):
        notebook.server.fail(streamed(*({"content": text} for text in texts)))
        shown = notebook.run("%qianfan reset", f"{CHAT} --prefix 'The wall'\nhi")
        assert answer_in(shown) == "The wall is long.", texts
        assert notebook.turns()[0].assistant == "The wall is long.", texts


def test_prefix_is_parsed_like_other_flags(notebook):
    for written, text in {
        "Yes": "Yes",
        "'{\"a\": '": '{"a": ',
        r"'```python\n'": "```python\n",
        r"'a\tb'": "a\tb",
        "{name}": "{name}",
        "'  是'": "  是",
    }.items():
        body = dry_run_body(notebook, f"{CHAT} --dry-run --prefix {written}\nhi")
        assert body["messages"][-1] == beginning(text), written


def test_prefix_makes_an_answer_code(notebook):
    notebook.server.fail(streamed({"content": "x = 1\n```"}))
    notebook.run(rf"{CHAT} --format code --prefix '```python\n'" + "\nhi")
    assert notebook.shell.rl_next_input == "x = 1"


def test_schema_is_described_in_the_question_and_checks_the_whole_answer(notebook):
    notebook.shell.user_ns["SCHEMA"] = {"type": "object", "required": ["a"]}
    notebook.server.fail(streamed({"content": "1}"}))
    notebook.run(f"{CHAT} --schema SCHEMA -o reply --prefix '{{\"a\": '\nhi")
    question, last = last_messages(notebook)
    assert question["content"].startswith("hi\n")
    assert '"required"' in question["content"]
    assert last == beginning('{"a": ')
    assert notebook.bound("reply")[0].parsed == {"a": 1}


def test_prefix_of_each_column(notebook):
    notebook.run(f"{CHAT} --prefix 'The **Great' --compare temperature=0.1,0.9\n{WALL}")
    assert [body["messages"][-1] for body in bodies(notebook.server)] == [
        beginning("The **Great")
    ] * 2
    for column in notebook.columns:
        assert column.reply.text.startswith("The **Great Wall")


def test_prefix_follows_the_thoughts(notebook):
    notebook.server.fail(streamed({"reasoning_content": "Hm."}, {"content": " long."}))
    notebook.run(f"{CHAT} --prefix 'It is' -o reply\nhi")
    (reply,) = notebook.bound("reply")
    assert (reply.reasoning, reply.text) == ("Hm.", "It is long.")


THOUGHT = {"reasoning_content": "Hm."}


def stopped(kernel: Kernel, cell: str, *deltas: dict[str, str]) -> tuple[str, list[Any]]:
    """Stop an answer that falls silent; return what it shows and the answers in its record."""
    kernel.server.fail(replace(streamed(*deltas, end=""), end="silence"))
    ran = kernel.stopped(cell, lambda ran: ran.seen or any("thinking" in f for f in ran.frames))
    assert ran.reply["ename"] == "KeyboardInterrupt"
    last = ran.contents("update_display_data")[-1]
    turns = turns_of(last) if KEY in last["metadata"] else []
    return last["data"]["text/plain"], [turn.assistant for turn in turns]


def test_stopped_answer_keeps_the_prefix_with_what_followed_it(live):
    for deltas, answers in (
        ([{"content": " is long"}], ["The wall is long"]),
        ([{"content": "The wa"}], ["The wall"]),  # a part of a repetition
        ([THOUGHT], []),
    ):
        live.run("%qianfan reset --all")
        shown, kept = stopped(live, f"{CHAT} --prefix 'The wall'\nhi", *deltas)
        assert kept == answers, deltas
        assert ("The wall" in shown) is bool(answers), deltas


def test_stopped_thoughts_keep_the_unfinished_answer(live):
    live.run("%qianfan reset --all")
    live.run(f"{CHAT} --max-tokens 10\n{BEIJING}")
    _, (answer,) = stopped(live, f"{CHAT} --continue\n", THOUGHT)
    assert answer.startswith("**Beijing**")


def test_broken_stream_keeps_what_arrived_after_the_prefix(notebook):
    notebook.server.fail(Fault(path=V2, after=3, end="close"))
    _, shown = notebook.fail(f"{CHAT} --prefix 'The **Great'\n{WALL}")
    assert "The **Great Wall" in shown
    assert notebook.turns() == []


def test_model_without_a_card_is_sent_the_prefix(notebook):
    body = dry_run_body(notebook, "%%qianfan_chat -m brand-new --prefix Yes --dry-run\nhi")
    assert body["messages"][-1] == beginning("Yes")


def test_secret_in_a_prefix_is_sent_and_not_shown(notebook):
    remember("q7mYb3kq")
    shown = notebook.run(f"{CHAT} --prefix 'q7mYb3kq is'\nhi")
    assert last_messages(notebook)[-1] == beginning("q7mYb3kq is")
    assert "q7mYb3kq" not in shown + notebook.turns()[0].assistant
    assert shown.startswith("*** is")


def test_prefix_counts_towards_the_limit_of_the_model(notebook):
    small = '{"small": {"model": "deepseek-v4-pro", "max_characters": 40}}'
    notebook.run(f"%config QianfanMagics.models = {small}", "%%qianfan_chat -m small\nhi")
    cell = f"%%qianfan_chat -m small --prefix {'x' * 38}"
    assert len(dry_run_body(notebook, f"{cell} --dry-run\nhi")["messages"]) == 2
    assert_fails_cleanly(notebook, f"{cell}xx\nhi", "42 characters", ParameterError)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (f"%%qianfan_chat -m {UNABLE} --prefix Yes\nhi", "ernie-5.1 does not go on from the begin"),
        ("%%qianfan_chat --prefix Yes\nhi", "Version 1 of the API does not go on"),
        (f"{CHAT} --prefix Yes --continue\n", "--prefix and --continue exclude each other"),
        (f"{CHAT} --prefix ' '\nhi", "--prefix is empty"),
        (f"{CHAT} --prefix\nhi", "--prefix needs a value"),
        (f"%%qianfan_chat --prefix A --compare model={ABLE},{UNABLE}\nhi", "ernie-5.1 does not go"),
        ("%%qianfan_complete --prefix Yes\nhi", "no flag --prefix, which is for chats"),
    ],
)
def test_prefix_is_refused(notebook, cell, words):
    assert_fails_cleanly(notebook, cell, words, ParameterError)


def test_error_says_which_models_can_and_where_a_completion_begins(notebook):
    error, _ = notebook.fail(f"%%qianfan_chat -m {UNABLE} --prefix Yes\nhi")
    assert ABLE in error.hint
    error, _ = notebook.fail("%%qianfan_complete --prefix Yes\nhi")
    assert "goes on from the cell's text" in error.hint

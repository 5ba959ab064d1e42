"""Conversations in a notebook: what is sent with a question, and what an answer leaves behind."""

from __future__ import annotations

import re
import signal
import sys
from typing import Any

from support.notebook import CUT_OFF, GREETING, LONG, WALL, Notebook, answer_in, sent
from support.requests_seen import two_lines
from support.waiting import until

from qianfan_magic import APIError, StreamError
from qianfan_magic.embedded.engines.scripted import BEIJING
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.session.last_answer import LastAnswer

# --- the turns that are sent


def test_question_is_sent_with_the_turns_before_it(notebook):
    notebook.run(f"%%qianfan_chat -o reply\n{WALL}", "%%qianfan_chat\nHow long is it?")
    contents = [message["content"] for message in notebook.bodies[-1]["messages"]]
    assert contents == [WALL, notebook.bound("reply")[0].text, "How long is it?"]


def test_named_conversations_are_separate(notebook):
    for name in ("-n 'my tutor'", "", "-n 'my tutor'"):
        notebook.run(f"%%qianfan_chat {name}\nhi")
    assert [len(body["messages"]) for body in notebook.bodies] == [1, 1, 3]
    assert "Conversation my tutor: 2 turns" in notebook.run("%qianfan history -n 'my tutor'")


def test_conversation_without_an_answer_is_not_created(notebook):
    for flags in ("--dry-run", "-t 3", "-e nothing"):
        notebook.shell.run_cell(f"%%qianfan_chat -n typo {flags}\nhi")
        assert notebook.conversation_names() == [], flags
    assert "Conversations" not in notebook.run("%qianfan history", "%qianfan reset", "%qianfan")


def test_system_message_is_sent_with_each_question_of_its_conversation(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat\nhi")
    assert sent(notebook)["system"] == "Be brief."
    notebook.run("%%qianfan_chat -n other\nhi")
    assert "system" not in sent(notebook)


def test_empty_system_message_removes_the_earlier_one(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat -s ''\nhi")
    notebook.run("%%qianfan_chat\nhi")
    assert ["system" in body for body in notebook.bodies] == [True, False, False]


def test_oldest_turn_that_does_not_fit_is_not_sent_but_stays(notebook):
    question = "y" * 300
    shown = notebook.run(f"%%qianfan_chat\n{LONG}", f"%%qianfan_chat\n{question}")
    assert [message["content"] for message in notebook.bodies[-1]["messages"]] == [question]
    assert "oldest turn was not sent" in shown
    assert notebook.questions() == [LONG, question]


def test_max_turns_limits_what_is_sent_and_not_what_is_kept(notebook):
    notebook.run(*(f"%%qianfan_chat\n{question}" for question in ("one", "two", "three")))
    for max_turns, left_out in ((0, 3), (1, 2), (2, 1), (None, 0)):
        notebook.run(f"%config QianfanMagics.max_turns = {max_turns}")
        shown = notebook.run("%%qianfan_chat\nfour")
        sent = [message["content"] for message in notebook.bodies[-1]["messages"]][::2]
        questions = ["one", "two", "three", "four"]
        assert sent == questions[left_out:], max_turns
        assert (f"not sent: max_turns is {max_turns}." in shown) is bool(left_out), max_turns
        assert notebook.questions() == questions, max_turns
        notebook.run("%qianfan undo")


def test_continued_answer_is_shown_bound_and_counted_as_one(notebook):
    whole = "%%qianfan_chat -n other -o whole\nPlease introduce Beijing"
    for flags in ("", "--no-stream"):
        notebook.run("%qianfan reset --all", whole, CUT_OFF)
        shown = notebook.run(f"%%qianfan_chat --continue {flags} -o reply\n")
        assert answer_in(shown) == BEIJING.strip(), flags
        whole_reply, reply = notebook.bound("whole", "reply")
        assert reply.text == BEIJING, flags
        assert not reply.is_truncated, flags
        assert reply.usage.completion_tokens == whole_reply.usage.completion_tokens, flags
        assert notebook.turns()[0].tokens[1] == reply.usage.completion_tokens, flags


# --- failures


def test_refused_question_leaves_the_conversation_unchanged(notebook):
    notebook.run("%%qianfan_chat\nhi")
    for fault, flags, code in (
        ((Fault(error_code=336003),), "-s 'Be brief.'", "336003"),
        ((), "-e nothing", "336005"),
    ):
        notebook.server.fail(*fault)
        error, shown = notebook.fail(f"%%qianfan_chat {flags}\nagain")
        assert code in error.message
        assert shown.splitlines() == two_lines(error)
        assert error.hint, code
        assert notebook.questions() == ["hi"], code
    notebook.run("%%qianfan_chat\nhow are you?")
    assert "system" not in sent(notebook)


def test_broken_stream_fails_and_shows_its_text_but_adds_no_turn(notebook):
    notebook.run("%%qianfan_chat\nhi")
    for fault in (
        Fault(after=3, end="close"),
        Fault(after=3, end="reset"),
        Fault(after=3, error_code=336000, error_msg="x"),
        Fault(after=3, body=b"data: {bro\n\n"),
        Fault(after=3, body=b""),
    ):
        notebook.server.fail(fault)
        error, shown = notebook.fail(f"%%qianfan_chat -o reply\n{WALL}")
        assert isinstance(error, StreamError | APIError), fault
        assert error.partial, fault
        assert error.partial.strip("\n") in shown, fault
        assert "[dolly_12b · broken off]" in shown, fault
        assert "reply" not in notebook.shell.user_ns, fault
        assert notebook.questions() == ["hi"], fault


# --- what the service reports with an answer


def test_answer_with_need_clear_history_is_noted_and_not_kept(notebook):
    notebook.run("%%qianfan_chat -n other\nhi", "%%qianfan_chat\nhi")
    notebook.server.fail(Fault(fields={"need_clear_history": True, "ban_round": -1}))
    assert "ban_round -1" in notebook.run("%%qianfan_chat\nsomething bad")
    assert notebook.questions() == ["hi"]
    assert notebook.questions("other") == ["hi"]


def test_unsafe_turn_is_counted_among_those_that_were_sent(notebook):
    too_long = Fault(error_code=336007)
    for max_turns, faults, ban_round, remaining in (
        (2, [], 1, ["one"]),
        (2, [], 2, ["one", "two"]),
        (None, [too_long], 2, ["one", "two"]),
        (2, [too_long], 1, ["one", "two"]),
    ):
        notebook.run("%config QianfanMagics.max_turns = None", "%qianfan reset")
        notebook.run(*(f"%%qianfan_chat\n{question}" for question in ("one", "two", "three")))
        notebook.run(f"%config QianfanMagics.max_turns = {max_turns}")
        unsafe = Fault(fields={"need_clear_history": True, "ban_round": ban_round})
        notebook.server.fail(*faults, unsafe)
        notebook.run("%%qianfan_chat\nsomething bad")
        assert notebook.questions() == remaining, (max_turns, faults, ban_round)


def test_unsafe_completion_is_noted(notebook):
    notebook.server.fail(Fault(fields={"is_safe": 0}))
    assert "is_safe 0" in notebook.run("%%qianfan_complete\nhi")


def test_truncated_answer_is_noted_and_marked_in_the_history(notebook):
    for flags in ("", "--no-stream"):
        shown = notebook.run(f"%%qianfan_chat --max-tokens 5 {flags}\n{WALL}")
        assert "cut off" in shown, flags
        history = notebook.run("%qianfan history")
        assert "assistant (truncated, 5 tokens, max_tokens=5)" in history, flags
        notebook.run("%qianfan reset")


def test_empty_answer_is_noted_and_not_kept(notebook):
    notebook.server.fail(Fault(fields={"result": ""}))
    assert "The answer is empty." in notebook.run("%%qianfan_chat\nhi")
    assert notebook.turns() == []


def test_control_characters_of_an_answer_do_not_reach_the_terminal(notebook):
    notebook.server.fail(Fault(fields={"result": "\x1b[2J"}))
    assert "\x1b" not in notebook.run("%%qianfan_chat --no-stream\nhi")


# --- interrupts


def interrupt(notebook: Notebook, cell: str, chunks: int = 6) -> tuple[BaseException, str]:
    """Run a cell whose answer falls silent after some chunks; interrupt it once they are shown."""
    notebook.server.fail(Fault(after=chunks, end="silence"))
    before = len(notebook.bodies)

    def have_arrived() -> bool:
        begun = len(notebook.bodies) > before
        return begun and bool(not chunks or sys.stdout.getvalue().strip())

    return notebook.stopped(cell, have_arrived)


def test_interrupted_answer_is_kept_as_a_turn(notebook):
    error, shown = interrupt(notebook, f"%%qianfan_chat -s 'Be brief.'\n{WALL}")
    assert isinstance(error, KeyboardInterrupt)
    assert until(lambda: notebook.server.seen[-1].closed_early)
    (turn,) = notebook.turns()
    assert turn.user == WALL
    assert turn.stopped
    assert turn.assistant
    assert answer_in(shown) == turn.assistant.strip()
    assert "assistant (stopped)" in notebook.run("%qianfan history")
    notebook.run("%%qianfan_chat\nHow long is it?")
    roles = [message["role"] for message in notebook.bodies[-1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert sent(notebook)["system"] == "Be brief."


def test_answer_is_kept_and_shown_whole_where_the_interrupt_comes_after_it(notebook, monkeypatch):
    """The signal takes effect once the cell has done so."""
    keep = LastAnswer.add_to_conversation

    def stop_and_keep(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return keep(*args)

    monkeypatch.setattr(LastAnswer, "add_to_conversation", stop_and_keep)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    error, shown = notebook.fail("%%qianfan_chat\nhi")
    signal.signal(signal.SIGINT, before)
    assert isinstance(error, KeyboardInterrupt)
    assert GREETING.search(shown)
    assert [(turn.user, turn.stopped) for turn in notebook.turns()] == [("hi", False)]


def test_interrupted_completion_ends_in_one_line_without_variables(notebook):
    notebook.shell.run_line_magic("xmode", "Verbose")
    error, shown = interrupt(notebook, "%%qianfan_complete\ndef is_prime(n):")
    assert isinstance(error, KeyboardInterrupt)
    assert until(lambda: notebook.server.seen[-1].closed_early)
    assert shown.endswith("]\nStopped. What had arrived is kept.\n")


def test_interrupt_before_the_first_chunk_is_neither_kept_nor_retried(notebook):
    notebook.run("%%qianfan_chat\nhi")
    interrupt(notebook, f"%%qianfan_chat\n{WALL}", chunks=0)
    assert notebook.questions() == ["hi"]
    assert len(notebook.bodies) == 2


# --- %qianfan history and reset


def test_history_shows_the_turns_of_a_conversation(notebook):
    assert "0 turns" in notebook.run("%qianfan history")
    shown = notebook.run("%%qianfan_chat\nhi", "%qianfan history")
    assert re.search(r"default: 1 turn\n\n1\. user: hi\n\n1\. assistant \(\d+ tokens\): \w+", shown)
    notebook.run("%%qianfan_chat -n tutor\nhello")
    assert "user: hello" in notebook.run("%qianfan history -n tutor")


def test_history_binds_a_copy_of_the_messages(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan history -o bound", "%%qianfan_chat\nhey")
    assert notebook.bound("bound")[0] == notebook.bodies[-1]["messages"][:-1]
    notebook.run("bound.clear()")
    assert notebook.questions() == ["hi", "hey"]


def test_reset_forgets_the_turns_and_the_system_message(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat\nhey")
    assert "2 turns" in notebook.run("%qianfan reset")
    notebook.run("%%qianfan_chat\nhey")
    assert len(notebook.bodies[-1]["messages"]) == 1
    assert "system" not in sent(notebook)


def test_reset_forgets_the_named_conversation_or_all(notebook):
    for name in ("tutor", "default", "other"):
        notebook.run(f"%%qianfan_chat -n {name}\nhi")
    notebook.run("%qianfan reset -n tutor")
    assert notebook.conversation_names() == ["default", "other"]
    notebook.run("%qianfan reset --all")
    assert notebook.conversation_names() == []

"""Answers side by side: in a real shell and a real kernel, over connections to a real server."""

from __future__ import annotations

import gc
import json
import re
import signal
import threading
from typing import Any

import pytest
from support.kernel import WIDGET, Ran, is_view
from support.notebook import BOTH, LONG, WALL, Notebook
from support.raw_server import stream_answer
from support.waiting import until

from qianfan_magic import APIError, ParameterError, Reply, StreamError
from qianfan_magic.embedded.faults import Fault

#: Two services of one model; a fault is for the one whose name it holds.
ENDPOINTS = "--compare endpoint=a_dolly_12b,b_dolly_12b"
#: The first answer is shorter than the second.
LENGTHS = "--compare max_tokens=4,40"


def answers(notebook: Notebook, *texts: str) -> None:
    """Have each column of `ENDPOINTS` answer with its own text."""
    for letter, text in zip("ab", texts, strict=False):
        notebook.server.fail(Fault(path=f"/{letter}_dolly", fields={"result": text}))


def compared(notebook: Notebook, *texts: str, flags: str = "") -> str:
    answers(notebook, *(texts or ("first", "second")))
    return notebook.run(f"%%qianfan_chat {ENDPOINTS} --no-stream {flags}\nhi")


def contents(notebook: Notebook) -> list[str]:
    """Give the messages that the last question took along."""
    return [message["content"] for message in notebook.bodies[-1]["messages"]]


def said(notebook: Notebook) -> list[str]:
    return [turn.assistant for turn in notebook.turns()]


# --- what is asked


def values(notebook: Notebook, name: str) -> list[Any]:
    """Give what each request said of a parameter; they arrive in any order."""
    return sorted((body.get(name) for body in notebook.bodies), key=str)


@pytest.mark.parametrize("magic", BOTH)
@pytest.mark.parametrize(
    ("flag", "wire", "sent"),
    [
        ("temperature=0.1,0.9", "temperature", [0.1, 0.9]),
        ("top-p=0.1,0.9", "top_p", [0.1, 0.9]),
        ("top_k=1,2,3", "top_k", [1, 2, 3]),
        ("stop=a,b", "stop", [["a"], ["b"]]),
        ("'temperature= 0.1 , 0.9 '", "temperature", [0.1, 0.9]),
    ],
)
def test_each_column_asks_with_its_own_value(notebook, magic, flag, wire, sent):
    notebook.run(f"%%{magic} --compare {flag}\nhi")
    assert values(notebook, wire) == sent


def test_wire_name_of_a_parameter_is_used(notebook):
    notebook.run(f"%%qianfan_chat {LENGTHS}\nhi")
    assert values(notebook, "max_output_tokens") == [4, 40]


def test_columns_share_all_other_flags(notebook):
    notebook.run("%%qianfan_chat --compare top_k=1,2 -t 0.5 -s 'Be brief.'\nhi")
    shared = [(body["temperature"], body["system"]) for body in notebook.bodies]
    assert shared == [(0.5, "Be brief.")] * 2


@pytest.mark.parametrize("setting", ["-t 0.5", ""])
def test_column_wins_over_flag_and_config(notebook, setting):
    notebook.run("%config QianfanMagics.temperature = 0.4")
    notebook.run(f"%%qianfan_chat --compare temperature=0.1,0.9 {setting}\nhi")
    assert values(notebook, "temperature") == [0.1, 0.9]


def asked(notebook: Notebook) -> list[str]:
    """Give the services that were asked, by name."""
    paths = [seen.path for seen in notebook.server.seen if "wenxinworkshop" in seen.path]
    return sorted(path.rpartition("/")[2] for path in paths)


def test_each_endpoint_is_asked(notebook):
    notebook.run(f"%%qianfan_chat {ENDPOINTS}\nhi")
    assert asked(notebook) == ["a_dolly_12b", "b_dolly_12b"]


def test_each_model_is_asked(notebook):
    notebook.fail("%%qianfan_chat --compare model=ERNIE-Speed,ERNIE-Tiny-8K --retries 1\nhi")
    assert asked(notebook) == ["ernie-tiny-8k", "ernie_speed"]


@pytest.mark.parametrize("flags", ["-e c_dolly_12b", "-e c_dolly_12b -m Dolly-12B"])
def test_endpoint_of_a_column_wins_over_the_flag(notebook, flags):
    notebook.run(f"%%qianfan_chat {ENDPOINTS} {flags}\nhi")
    assert asked(notebook) == ["a_dolly_12b", "b_dolly_12b"]


def test_endpoint_of_the_flag_is_asked_by_all_columns(notebook):
    notebook.run("%%qianfan_chat -e c_dolly_12b --compare top_k=1,2\nhi")
    assert asked(notebook) == ["c_dolly_12b"] * 2


def test_columns_take_the_conversation_along(notebook):
    notebook.run("%%qianfan_chat -o reply\nhi", f"%%qianfan_chat {LENGTHS}\n{WALL}")
    took = [[m["content"] for m in body["messages"]] for body in notebook.bodies[1:]]
    assert took == [["hi", notebook.shell.user_ns["reply"].text, WALL]] * 2


@pytest.mark.parametrize(("flag", "stream"), [("", True), ("--no-stream", None)])
def test_columns_stream_unless_told_otherwise(notebook, flag, stream):
    notebook.run(f"%%qianfan_chat {LENGTHS} {flag}\nhi")
    assert values(notebook, "stream") == [stream] * 2


# --- what is shown


def test_columns_are_shown_under_their_titles(notebook):
    shown = compared(notebook)
    titles = r"endpoint=a_dolly_12b\n\nfirst\n.*---\n\nendpoint=b_dolly_12b\n\nsecond\n"
    assert re.match(titles, shown, re.DOTALL)


def test_column_says_who_answered(notebook):
    lines = [line for line in compared(notebook).splitlines() if "· done" in line]
    assert [line.partition(" · ")[0] for line in lines] == ["[a_dolly_12b", "[b_dolly_12b"]


def test_each_stream_is_shown_whole(notebook):
    shown = notebook.run(f"%%qianfan_chat --compare top_k=1,2\n{WALL}")
    assert shown.count("UNESCO World Heritage Site.") == 2


def test_note_stands_in_its_column(notebook):
    first, second = notebook.run("%%qianfan_chat --compare max_tokens=2,999\nhi").split("\n---\n")
    assert ("is_truncated" in first, "is_truncated" in second) == (True, False)


def test_turns_that_were_left_out_are_told_in_each_column(notebook):
    long = f"%%qianfan_chat\n{LONG}"
    shown = notebook.run(long, f"%%qianfan_chat --compare top_k=1,2\n{'y' * 300}")
    assert shown.count("oldest turn was not sent") == 2


# --- what is kept and bound


def test_conversation_takes_the_first_column(notebook):
    compared(notebook)
    assert said(notebook) == ["first"]


def test_next_question_goes_on_from_the_first_column(notebook):
    compared(notebook)
    notebook.run("%%qianfan_chat\nnext")
    assert contents(notebook) == ["hi", "first", "next"]


def test_system_of_a_comparison_is_kept(notebook):
    notebook.run(f"%%qianfan_chat {LENGTHS} -s 'Be brief.'\nhi", "%%qianfan_chat\nhi")
    assert notebook.bodies[-1]["system"] == "Be brief."


def test_completions_are_no_conversation(notebook):
    notebook.run("%%qianfan_complete --compare top_k=1,2\nhi")
    assert notebook.conversation_names() == []


@pytest.mark.parametrize("magic", BOTH)
def test_output_binds_the_replies(notebook, magic):
    notebook.run(f"%%{magic} --compare top_k=1,2,3 -o replies\nhi")
    assert [type(reply) for reply in notebook.shell.user_ns["replies"]] == [Reply] * 3


def test_replies_stand_in_the_order_of_the_columns(notebook):
    compared(notebook, flags="-o replies")
    assert [reply.text for reply in notebook.shell.user_ns["replies"]] == ["first", "second"]


# --- --dry-run


def test_dry_run_of_a_comparison_sends_nothing(notebook):
    notebook.run(f"%%qianfan_chat --dry-run {ENDPOINTS}\nhi")
    assert notebook.server.seen == []


@pytest.mark.parametrize(
    ("flag", "seen"),
    [
        (ENDPOINTS, ["/chat/a_dolly_12b", "/chat/b_dolly_12b"]),
        ("--compare temperature=0.1,0.9", ['"temperature": 0.1', '"temperature": 0.9']),
    ],
)
def test_dry_run_shows_the_request_of_each_column(notebook, flag, seen):
    shown = notebook.run(f"%%qianfan_chat --dry-run {flag}\nhi")
    assert [part for part in seen if part not in shown] == []


@pytest.mark.parametrize("flag", ["model=Dolly-12B,ERNIE-Speed", "endpoint=../x,dolly_12b"])
def test_dry_run_checks_each_column(notebook, flag):
    error, _ = notebook.fail(f"%%qianfan_chat --dry-run --compare {flag}\nhi")
    assert isinstance(error, ParameterError)


# --- %qianfan keep


def test_keep_lists_the_columns(notebook):
    compared(notebook)
    listed = "1, kept: endpoint=a_dolly_12b: “first”\n2: endpoint=b_dolly_12b: “second”\n"
    assert notebook.run("%qianfan keep") == listed


def test_keep_marks_the_column_that_is_kept(notebook):
    compared(notebook)
    listed = "1: endpoint=a_dolly_12b: “first”\n2, kept: endpoint=b_dolly_12b: “second”\n"
    assert notebook.run("%qianfan keep 2") == listed


def test_keep_cuts_a_long_answer(notebook):
    compared(notebook, "word " * 99, "second")
    assert re.search(
        r": \u201c(word ){7}word\u2026\u201d$", notebook.run("%qianfan keep"), re.MULTILINE
    )


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["%qianfan keep 2"], "second"),
        (["%qianfan keep 1"], "first"),
        (["%qianfan keep 2", "%qianfan keep 1"], "first"),
        (["%qianfan keep 2", "%qianfan keep 2"], "second"),
        (["%qianfan keep 2", "%qianfan history"], "second"),
    ],
)
def test_conversation_goes_on_from_the_column_that_is_kept(notebook, lines, kept):
    compared(notebook)
    notebook.run(*lines, "%%qianfan_chat\nnext")
    assert contents(notebook) == ["hi", kept, "next"]


def test_keep_leaves_the_turns_before(notebook):
    notebook.run("%%qianfan_chat -o reply\nhello")
    compared(notebook)
    notebook.run("%qianfan keep 2")
    assert said(notebook) == [notebook.shell.user_ns["reply"].text, "second"]


def test_keep_is_of_the_conversation_that_was_compared(notebook):
    compared(notebook, flags="-n tutor")
    notebook.run("%qianfan keep 2")
    kept = [turn.assistant for turn in notebook.turns("tutor")]
    assert (kept, said(notebook)) == (["second"], [])


def test_cell_that_failed_since_changes_nothing(notebook):
    compared(notebook)
    notebook.fail("%%qianfan_chat -t 3\nhi")
    notebook.run("%qianfan keep 2")
    assert said(notebook) == ["second"]


REFUSED_KEEPS = {
    "no column": (["%qianfan keep 3"], "no column 3"),
    "column zero": (["%qianfan keep 0"], "no column 0"),
    "column before the first": (["%qianfan keep -1"], "-1"),
    "no number": (["%qianfan keep b"], "'b'"),
    "gone on since": (["%%qianfan_chat\nnext", "%qianfan keep 2"], "compared nothing"),
    "other conversation since": (["%%qianfan_chat -n x\nhi", "%qianfan keep"], "compared nothing"),
    "reset": (["%qianfan reset", "%qianfan keep 2"], "continued since"),
    "reset all": (["%qianfan reset --all", "%qianfan keep 2"], "continued since"),
}


@pytest.mark.parametrize(("lines", "words"), REFUSED_KEEPS.values(), ids=REFUSED_KEEPS)
def test_keep_is_refused(notebook, lines, words):
    compared(notebook)
    notebook.run(*lines[:-1])
    error, shown = notebook.fail(lines[-1])
    assert (type(error), words in error.message) == (ParameterError, True), shown


@pytest.mark.parametrize("line", ["%qianfan reset", "%qianfan reset --all"])
def test_keep_brings_no_forgotten_conversation_back(notebook, line):
    compared(notebook)
    notebook.run(line)
    notebook.shell.run_cell("%qianfan keep 2")
    assert notebook.turns() == []


@pytest.mark.parametrize("before", ["%qianfan", "%%qianfan_chat\nhi", "%%qianfan_complete\nhi"])
def test_without_a_comparison_there_is_nothing_to_keep(notebook, before):
    notebook.run(before)
    error, shown = notebook.fail("%qianfan keep")
    assert ("compared nothing" in error.message, len(shown.splitlines())) == (True, 2)


def test_completion_has_nothing_to_go_on_from(notebook):
    notebook.run("%%qianfan_complete --compare top_k=1,2\nhi")
    error, _ = notebook.fail("%qianfan keep 2")
    assert isinstance(error, ParameterError)


def test_every_refusal_of_keep_says_what_to_do(notebook):
    notebook.run("%%qianfan_complete --compare top_k=1,2\nhi")
    error, _ = notebook.fail("%qianfan keep 2")
    assert error.hint


# --- a column that fails

FAILURES = {
    "refused": Fault(error_code=336003, error_msg="x"),
    "unavailable": Fault(status=404),
    "closed": Fault(after=3, end="close"),
    "reset": Fault(after=3, end="reset"),
    "no protocol": Fault(after=3, body=b"data: {bro\n\n"),
}
failures = pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)


def failing(notebook: Notebook, letter: str, fault: Fault, flags: str = "") -> tuple[Any, str]:
    """Ask both columns and have one of them fail."""
    fields = {name: getattr(fault, name) for name in fault.__slots__}
    notebook.server.fail(Fault(**fields | {"path": f"/{letter}_dolly"}))
    return notebook.fail(f"%%qianfan_chat {ENDPOINTS} {flags}\n{WALL}")


@failures
@pytest.mark.parametrize(("letter", "number"), [("a", 1), ("b", 2)])
def test_failing_column_fails_the_cell_and_is_named(notebook, fault, letter, number):
    error, _ = failing(notebook, letter, fault)
    assert error.message.startswith(f"Column {number} (endpoint={letter}_dolly_12b): ")


@failures
def test_error_of_a_column_is_of_the_usual_kind(notebook, fault):
    error, _ = failing(notebook, "b", fault)
    assert type(error).__name__ in {"APIError", "TransportError", "StreamError"}


@failures
def test_error_of_a_column_is_shown_in_two_lines(notebook, fault):
    error, shown = failing(notebook, "b", fault)
    lines = [f"{type(error).__name__}: {error.message}", f"→ {error.hint}"]
    assert shown.splitlines()[-2:] == lines


@failures
@pytest.mark.parametrize("letter", ["a", "b"])
def test_failing_column_does_not_take_the_other_down(notebook, fault, letter):
    _, shown = failing(notebook, letter, fault)
    assert shown.count("UNESCO World Heritage Site.") == 1


@failures
def test_failing_column_says_in_its_place_what_is_wrong(notebook, fault):
    error, shown = failing(notebook, "a", fault)
    first = shown.partition("\n---\n")[0]
    assert (f"[{type(error).__name__}: " in first, error.hint in first) == (True, True)


@pytest.mark.parametrize("name", ["closed", "reset", "no protocol"])
def test_column_that_breaks_off_leaves_its_text(notebook, name):
    _, shown = failing(notebook, "b", FAILURES[name])
    second = shown.partition("\n---\n")[2]
    assert re.match(r"\nendpoint=b_dolly_12b\n\n The \*\*Great.*broken off", second, re.DOTALL)


def test_both_columns_fail_and_the_first_is_named(notebook):
    notebook.server.fail(Fault(error_code=336003), Fault(error_code=336003))
    error, _ = notebook.fail(f"%%qianfan_chat {ENDPOINTS}\nhi")
    assert (type(error), error.message[:8]) == (APIError, "Column 1")


def test_conversation_takes_the_first_column_though_another_fails(notebook):
    failing(notebook, "b", FAILURES["refused"])
    assert [turn.user for turn in notebook.turns()] == [WALL]


def test_conversation_takes_nothing_if_the_first_column_fails(notebook):
    failing(notebook, "a", FAILURES["closed"])
    assert notebook.turns() == []


def test_output_binds_the_error_in_its_place(notebook):
    failing(notebook, "b", FAILURES["closed"], "-o replies")
    kinds = [type(one) for one in notebook.shell.user_ns["replies"]]
    assert kinds == [Reply, StreamError]


def test_column_beside_a_failing_one_can_be_kept(notebook):
    failing(notebook, "a", FAILURES["refused"])
    notebook.run("%qianfan keep 2")
    assert [turn.user for turn in notebook.turns()] == [WALL]


def test_column_beside_a_failing_one_can_be_kept_in_a_conversation(notebook):
    notebook.run("%%qianfan_chat\nhi")
    failing(notebook, "a", FAILURES["refused"])
    notebook.run("%qianfan keep 2")
    assert [turn.user for turn in notebook.turns()] == ["hi", WALL]


@pytest.mark.parametrize("name", ["refused", "closed"])
def test_failing_column_cannot_be_kept(notebook, name):
    failing(notebook, "b", FAILURES[name])
    error, _ = notebook.fail("%qianfan keep 2")
    assert "Column 2 has no answer" in error.message


def test_keep_lists_a_failing_column_as_such(notebook):
    failing(notebook, "b", FAILURES["refused"])
    listed = notebook.run("%qianfan keep").splitlines()
    assert listed[1].startswith("2: endpoint=b_dolly_12b (broken off):")


def test_empty_column_cannot_be_kept(notebook):
    compared(notebook, "first", " ")
    error, _ = notebook.fail("%qianfan keep 2")
    assert "Column 2 has no answer" in error.message


def test_column_may_succeed_at_its_second_attempt(own, bare):
    own.fail(Fault(status=503, path="/b_dolly"))
    shown = bare.run(f"%%qianfan_chat {ENDPOINTS} --retries 2\n{WALL}")
    assert shown.count("UNESCO World Heritage Site.") == 2


# --- what cannot be compared

WRONG = {
    "no value": ("temperature", "cannot|0 values"),
    "no values": ("temperature=", "0 values"),
    "one value": ("temperature=0.1", "1 values"),
    "only commas": ("temperature=,,", "0 values"),
    "the same twice": ("temperature=0.1,0.1", "1 of them different"),
    "too many": ("top_k=1,2,3,4,5,6,7", "7 values"),
    "no key": ("=0.1,0.9", "''"),
    "unknown key": ("nonsense=1,2", "'nonsense'"),
    "key that is no parameter": ("timeout=1,2", "'timeout'"),
    "out of range": ("temperature=0.1,3", r"temperature is .*\(0, 1\]"),
    "no number": ("top_k=1,many", "top_k is 'many'"),
    "long stop": (f"stop=a,{'b' * 21}", "stop"),
    "model without an address": ("model=ERNIE-Speed,Dolly-12B", "no preset address"),
    "model of the other kind": ("model=ERNIE-Speed,StarCoder", "completion model"),
    "endpoint with a path": ("endpoint=dolly_12b,../x", "endpoint"),
    "code": ("top_k=1,2 --format code", "--format code"),
}
wrong = pytest.mark.parametrize(("flag", "words"), WRONG.values(), ids=WRONG)


@wrong
def test_wrong_comparison_says_what_is_wrong(notebook, flag, words):
    error, _ = notebook.fail(f"%%qianfan_chat --compare {flag}\nhi")
    assert (type(error), bool(re.search(words, error.message))) == (ParameterError, True)


@wrong
def test_wrong_comparison_is_shown_in_two_lines(notebook, flag, words):
    error, shown = notebook.fail(f"%%qianfan_chat --compare {flag}\nhi")
    assert shown.splitlines() == [f"ParameterError: {error.message}", f"→ {error.hint}"]


@wrong
def test_wrong_comparison_says_what_to_do(notebook, flag, words):
    error, _ = notebook.fail(f"%%qianfan_chat --compare {flag}\nhi")
    assert error.hint


@wrong
def test_wrong_comparison_sends_nothing(notebook, flag, words):
    notebook.fail(f"%%qianfan_chat --compare {flag}\nhi")
    assert notebook.server.seen == []


def test_parameter_of_chats_is_not_compared_in_completions(notebook):
    error, _ = notebook.fail(f"%%qianfan_complete {LENGTHS}\nhi")
    assert ("max_tokens" in error.message, notebook.server.seen) == (True, [])


# --- several connections, and Stop


def silent(notebook: Notebook, after: int = 6) -> None:
    """Have both columns pause after some chunks, until the client goes away."""
    stream = {"Content-Type": "text/event-stream"}
    for letter in "ab":
        fault = Fault(path=f"/{letter}_dolly", after=after, end="silence", headers=stream)
        notebook.server.fail(fault)


def stopped(notebook: Notebook, cell: str, seen: Any) -> tuple[BaseException, str]:
    """Run a cell, and press Stop once something holds."""
    main, done = threading.main_thread().ident, threading.Event()

    def press() -> None:
        until(seen)
        signal.pthread_kill(main, signal.SIGINT)
        # Python misses a signal that comes just before it begins to wait.
        while not done.wait(2):
            signal.pthread_kill(main, signal.SIGINT)

    user = threading.Thread(target=press)
    gc.collect()
    gc.disable()
    user.start()
    try:
        return notebook.fail(cell)
    finally:
        done.set()
        gc.enable()
        user.join()


def stop(notebook: Notebook, chunks: int = 6) -> tuple[BaseException, str]:
    """Stop a comparison both of whose columns have got some chunks."""
    silent(notebook, chunks)

    def seen() -> bool:
        arrived = [len(one.sender.exchange.received) for one in notebook.columns]
        return arrived == [chunks] * 2

    return stopped(notebook, f"%%qianfan_chat {ENDPOINTS}\n{WALL}", seen)


def questions(notebook: Notebook) -> list[Any]:
    return [seen for seen in notebook.server.seen if "wenxinworkshop" in seen.path]


def test_connections_are_open_at_once(notebook):
    """Neither answer ends before the user stops them, and both have begun by then."""
    stop(notebook)
    assert [seen.sent for seen in questions(notebook)] == [6, 6]


def test_stop_goes_on_as_keyboard_interrupt(notebook):
    error, shown = stop(notebook)
    last = shown.strip().splitlines()[-1]
    assert (type(error), last[:18]) == (KeyboardInterrupt, "KeyboardInterrupt:")


def test_stop_ends_every_connection(notebook):
    stop(notebook)
    assert until(lambda: [seen.closed_early for seen in questions(notebook)] == [True, True])


def test_stop_ends_connections_whose_answer_has_not_begun(notebook):
    silent(notebook, after=0)
    both = lambda: len(questions(notebook)) == 2  # noqa: E731
    stopped(notebook, f"%%qianfan_chat {ENDPOINTS}\n{WALL}", both)
    assert until(lambda: all(seen.closed_early for seen in questions(notebook)[:2]))


def test_stop_ends_the_threads_that_read(notebook):
    before = threading.active_count()
    stop(notebook)
    assert until(lambda: threading.active_count() <= before)


def test_nothing_is_sent_again_after_a_stop(own, bare):
    before = threading.active_count()
    for letter in "ab":
        head = {"Content-Type": "text/event-stream"}
        own.fail(Fault(path=f"/{letter}_dolly", end="silence", headers=head))
    asked = lambda: [seen for seen in own.seen if "/chat/" in seen.path]  # noqa: E731
    stopped(bare, f"%%qianfan_chat {ENDPOINTS} --retries 5\n{WALL}", lambda: len(asked()) == 2)
    until(lambda: threading.active_count() <= before)
    assert len(asked()) == 2


def test_stop_leaves_what_has_arrived_in_every_column(notebook):
    _, shown = stop(notebook)
    texts = [column.reply.text for column in notebook.columns]
    assert [text.strip() in shown for text in texts] == [True, True]


def test_stop_is_marked_in_every_column(notebook):
    _, shown = stop(notebook)
    assert re.findall(r"\[(\w)_dolly_12b · (\w+)", shown) == [("a", "stopped"), ("b", "stopped")]


def test_stop_keeps_the_first_column(notebook):
    stop(notebook)
    text = notebook.columns[0].reply.text
    kept = [(turn.user, turn.assistant, turn.stopped) for turn in notebook.turns()]
    assert kept == [(WALL, text, True)]


def test_column_that_was_whole_before_a_stop_is_not_marked(notebook):
    notebook.server.fail(Fault(path="/b_dolly", after=6, end="silence"))

    def seen() -> bool:
        states = [column.state for column in notebook.columns]
        return states[:1] == ["done"] and len(notebook.columns[1].sender.exchange.received) == 6

    stopped(notebook, f"%%qianfan_chat {ENDPOINTS}\n{WALL}", seen)
    assert ([c.state for c in notebook.columns], notebook.turns()[0].stopped) == (
        ["done", "stopped"],
        False,
    )


def test_comparison_works_after_a_stop(notebook):
    stop(notebook)
    assert "second" in compared(notebook)


# --- abort: what ends one connection from another thread

CHUNK = {"result": "a", "is_end": False, "usage": {}, "id": "x"}


def reading(call: Any, ended: list[Exception]) -> None:
    """Read an answer to its end; note how it failed."""
    try:
        for _ in call.chunks():
            pass
    except Exception as error:  # noqa: BLE001  which one it is, the test says
        ended.append(error)


def aborted(call: Any) -> list[Exception]:
    """Abort a call that is read while its stream pauses; return how the reading ended."""
    ended: list[Exception] = []
    reader = threading.Thread(target=reading, args=(call, ended), daemon=True)
    reader.start()
    assert until(lambda: call._response is not None)
    call.abort()
    reader.join(2)
    return ended


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_abort_ends_a_stream_that_is_read(raw_server, make_client, framing, connection):
    head = {"Connection": connection}
    raw_server.script.append(stream_answer(CHUNK, end="silent", framing=framing, headers=head))
    call = make_client(retry_count=1).start("completion", "hi", {})
    assert [type(error) for error in aborted(call)] == [StreamError]


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_abort_hangs_up(raw_server, make_client, connection):
    head = {"Connection": connection}
    raw_server.script.append(stream_answer(CHUNK, end="silent", headers=head))
    aborted(make_client(retry_count=1).start("completion", "hi", {}))
    assert raw_server.hung_up.wait(2)


def test_call_that_was_aborted_before_it_began_gives_nothing(raw_server, make_client):
    raw_server.script.append(stream_answer(CHUNK | {"is_end": True}))
    call = make_client().start("completion", "hi", {})
    call.abort()
    with pytest.raises(StreamError, match="was aborted"):
        list(call.chunks())


def test_call_that_was_aborted_before_it_began_sends_nothing(raw_server, make_client):
    call = make_client().start("completion", "hi", {})
    call.abort()
    with pytest.raises(StreamError):
        list(call.chunks())
    assert raw_server.requests == []


def test_abort_of_a_call_that_is_over_does_nothing(raw_server, make_client):
    raw_server.script.append(stream_answer(CHUNK | {"is_end": True}))
    call = make_client().start("completion", "hi", {})
    texts = [chunk.text for chunk in call.chunks()]
    call.abort()
    assert texts == ["a"]


def test_abort_of_a_call_that_is_over_spares_the_next(raw_server, make_client):
    end = CHUNK | {"is_end": True}
    raw_server.script += [stream_answer(end, end="keep"), stream_answer(end, CHUNK, end="keep")]
    client = make_client()
    first, second = client.start("completion", "hi", {}), client.start("completion", "hi", {})
    list(first.chunks())
    chunks = second.chunks()
    got = [next(chunks).text]
    first.abort()
    assert [*got, *(chunk.text for chunk in chunks)] == ["a"]


# --- in a kernel


@pytest.fixture(scope="module")
def watched(kernels) -> Ran:
    kernels["on"].server.pace = 0.02
    ran = kernels["on"].run(f"%%qianfan_chat --compare top_k=1,2 -n watched\n{WALL}")
    kernels["on"].server.pace = 0
    return ran


def test_watched_columns_are_one_widget(watched):
    opened = [c["data"]["state"] for c in watched.contents("comm_open") if is_view(c)]
    assert [(s["titles"], s["services"]) for s in opened] == [
        (["top_k=1", "top_k=2"], ["dolly_12b", "dolly_12b"])
    ]


def test_every_watched_column_grows(watched):
    grown = [frame.get("column", 0) for frame in watched.frames]
    assert min(grown.count(0), grown.count(1)) > 2


def test_watched_columns_grow_side_by_side(watched):
    grown = [frame.get("column", 0) for frame in watched.frames]
    assert grown != sorted(grown)


def test_watched_columns_end_as_plain_output(watched):
    assert [set(bundle) - {"text/plain"} for bundle in watched.bundles] == [
        {WIDGET},
        {"text/html"},
    ]


def test_widget_of_columns_is_closed(watched):
    opened = {c["comm_id"] for c in watched.contents("comm_open") if is_view(c)}
    assert opened <= {c["comm_id"] for c in watched.contents("comm_close")}


def test_unwatched_columns_are_one_output(quiet):
    ran = quiet.run("%%qianfan_chat --compare top_k=1,2\nhi")
    assert [set(bundle) for bundle in ran.bundles] == [{"text/html", "text/plain"}]


def test_columns_stand_beside_each_other(kernel):
    html = kernel.run("%%qianfan_chat --compare top_k=1,2,3\nhi").bundles[-1]["text/html"]
    grid = re.search(r'<div style="display: grid;.*', html, re.DOTALL)[0]
    assert grid.count("<strong>top_k=") == 3


def test_title_is_no_html(kernel):
    html = kernel.run("%%qianfan_chat --compare 'stop=<b>x,y'\nhi").bundles[-1]["text/html"]
    assert ("stop=&lt;b&gt;x" in html, "<b>" in html) == (True, False)


def test_failing_column_fails_the_cell_in_a_kernel(kernel):
    kernel.server.fail(Fault(path="/b_dolly", error_code=336003))
    ran = kernel.run(f"%%qianfan_chat {ENDPOINTS}\nhi")
    traceback = ran.contents("error")[0]["traceback"]
    assert (ran.reply["status"], traceback[0][:18]) == ("error", "APIError: Column 2")


def test_columns_write_nothing_to_stderr(kernel):
    kernel.server.fail(Fault(path="/b_dolly", after=3, end="reset"))
    assert kernel.run(f"%%qianfan_chat {ENDPOINTS}\n{WALL}").stderr == ""


def interrupted(live: Any) -> Ran:
    """Interrupt a comparison in a kernel once a word of each column is seen."""
    live.server.pace = 0.05
    for letter in "ab":
        live.server.fail(Fault(path=f"/{letter}_dolly", after=12, end="silence"))
    seen = lambda ran: {frame.get("column", 0) for frame in ran.frames} == {0, 1}  # noqa: E731
    return live.stopped(f"%%qianfan_chat {ENDPOINTS}\n{WALL}", seen)


def test_interrupt_marks_every_column(live):
    lines = re.findall(r"\[(\w)_dolly_12b · (\w+)", interrupted(live).bundles[-1]["text/plain"])
    assert lines == [("a", "stopped"), ("b", "stopped")]


def test_interrupt_ends_every_connection(live):
    assert interrupted(live).reply["ename"] == "KeyboardInterrupt"
    assert until(lambda: all(seen.closed_early for seen in live.server.seen[-2:]))


def test_keep_goes_on_in_a_kernel(kernel):
    kernel.run(f"%%qianfan_chat {LENGTHS}\n{WALL}", lambda _: None)
    kernel.run("%qianfan keep 2")
    history = kernel.run("%qianfan history").bundles[0]["text/plain"]
    assert history.count("earthen walls") == 1


def test_bodies_of_columns_are_whole(kernel):
    before = len(kernel.server.seen)
    kernel.run("%%qianfan_chat --compare top_k=1,2\nhi")
    bodies = [
        json.loads(seen.body) for seen in kernel.server.seen[before:] if "/chat/" in seen.path
    ]
    assert sorted(body["top_k"] for body in bodies) == [1, 2]

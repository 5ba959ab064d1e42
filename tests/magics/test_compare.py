"""`--compare`: answers side by side, in a shell and in kernels, over connections to a server."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
from support.kernel import WIDGET, Ran, is_view
from support.notebook import BOTH, ENDPOINTS, LONG, WALL, Notebook, assert_fails_cleanly
from support.raw_server import stream_answer
from support.waiting import until

from qianfan_magic import (
    APIError,
    ParameterError,
    QianfanError,
    Reply,
    StreamError,
    TransportError,
)
from qianfan_magic.api.http.exchange import events_of
from qianfan_magic.embedded.faults import Fault

#: The first answer is shorter than the second.
LENGTHS = "--compare max_tokens=4,40"


def compare(notebook: Notebook, *texts: str, flags: str = "") -> str:
    """Compare both services of `ENDPOINTS`, each with its own answer; return the output."""
    for letter, text in zip("ab", texts or ("first", "second"), strict=True):
        notebook.server.fail(Fault(path=f"/{letter}_dolly", fields={"result": text}))
    return notebook.run(f"%%qianfan_chat {ENDPOINTS} --no-stream {flags}\nhi")


def contents(notebook: Notebook) -> list[str]:
    """Return the messages of the last request."""
    return [message["content"] for message in notebook.bodies[-1]["messages"]]


def answers(notebook: Notebook, name: str = "default") -> list[str]:
    return [turn.assistant for turn in notebook.turns(name)]


# --- what is sent


def values_sent(notebook: Notebook, name: str, cell: str) -> list[Any]:
    """Run a comparison; return a parameter's values in its requests, which arrive in any order."""
    before = len(notebook.bodies)
    notebook.run(cell)
    return sorted((body.get(name) for body in notebook.bodies[before:]), key=str)


def test_each_column_is_sent_its_own_value(notebook):
    cases = [
        ("temperature=0.1,0.9", "temperature", [0.1, 0.9]),
        ("top-p=0.1,0.9", "top_p", [0.1, 0.9]),
        ("top_k=1,2,3", "top_k", [1, 2, 3]),
        ("stop=a,b", "stop", [["a"], ["b"]]),
        ("'temperature= 0.1 , 0.9 '", "temperature", [0.1, 0.9]),
    ]
    for magic in BOTH:
        for flag, name, values in cases:
            cell = f"%%{magic} --compare {flag}\nhi"
            assert values_sent(notebook, name, cell) == values, cell


def test_parameter_is_sent_by_its_name_in_the_request(notebook):
    cell = f"%%qianfan_chat {LENGTHS}\nhi"
    assert values_sent(notebook, "max_output_tokens", cell) == [4, 40]


def test_columns_share_all_other_flags(notebook):
    notebook.run("%%qianfan_chat --compare top_k=1,2 -t 0.5 -s 'Be brief.'\nhi")
    shared = [(body["temperature"], body["system"]) for body in notebook.bodies]
    assert shared == [(0.5, "Be brief.")] * 2


def test_value_of_a_column_takes_precedence_over_flag_and_config(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.4")
    for flags in ("", "-t 0.5"):
        cell = f"%%qianfan_chat --compare temperature=0.1,0.9 {flags}\nhi"
        assert values_sent(notebook, "temperature", cell) == [0.1, 0.9], flags


def endpoints_called(notebook: Notebook) -> list[str]:
    """Return the endpoints that received a request, and forget them."""
    paths = [seen.path for seen in notebook.server.seen if "wenxinworkshop" in seen.path]
    notebook.server.seen.clear()
    return sorted(path.rpartition("/")[2] for path in paths)


def test_each_model_is_called_at_its_endpoint(notebook):
    notebook.fail("%%qianfan_chat --compare model=ERNIE-Speed,ERNIE-Tiny-8K --retries 1\nhi")
    assert endpoints_called(notebook) == ["ernie-tiny-8k", "ernie_speed"]


def test_endpoint_of_a_column_takes_precedence_over_the_flags(notebook):
    for flags in ("", "-e c_dolly_12b", "-e c_dolly_12b -m Dolly-12B"):
        notebook.run(f"%%qianfan_chat {ENDPOINTS} {flags}\nhi")
        assert endpoints_called(notebook) == ["a_dolly_12b", "b_dolly_12b"], flags


def test_endpoint_of_the_flag_is_called_by_all_columns(notebook):
    notebook.run("%%qianfan_chat -e c_dolly_12b --compare top_k=1,2\nhi")
    assert endpoints_called(notebook) == ["c_dolly_12b"] * 2


def test_columns_send_the_conversation(notebook):
    notebook.run("%%qianfan_chat -o reply\nhi", f"%%qianfan_chat {LENGTHS}\n{WALL}")
    messages = [[m["content"] for m in body["messages"]] for body in notebook.bodies[1:]]
    assert messages == [["hi", notebook.shell.user_ns["reply"].text, WALL]] * 2


def test_columns_stream_unless_the_cell_says_otherwise(notebook):
    for flag, stream in (("", True), ("--no-stream", None)):
        cell = f"%%qianfan_chat {LENGTHS} {flag}\nhi"
        assert values_sent(notebook, "stream", cell) == [stream] * 2, cell


# --- what is shown


def test_columns_are_shown_under_their_titles_with_their_endpoints(notebook):
    shown = compare(notebook)
    titles = r"endpoint=a_dolly_12b\n\nfirst\n.*---\n\nendpoint=b_dolly_12b\n\nsecond\n"
    assert re.match(titles, shown, re.DOTALL)
    endpoints = [line.partition(" · ")[0] for line in shown.splitlines() if "· done" in line]
    assert endpoints == ["[a_dolly_12b", "[b_dolly_12b"]


def test_line_below_a_column_names_the_parameters_that_its_title_does_not(notebook):
    notebook.run("%qianfan params top_k=5")
    shown = notebook.run("%%qianfan_chat --compare temperature=0.1,0.9\nhi")
    lines = [line.rpartition(" · ")[2] for line in shown.splitlines() if "· done" in line]
    assert lines == ["top_k=5]", "top_k=5]"]


def test_each_stream_is_shown_whole(notebook):
    shown = notebook.run(f"%%qianfan_chat --compare top_k=1,2\n{WALL}")
    assert shown.count("UNESCO World Heritage Site.") == 2


def test_note_on_an_answer_stands_in_its_column(notebook):
    first, second = notebook.run("%%qianfan_chat --compare max_tokens=2,999\nhi").split("\n---\n")
    assert "cut off" in first
    assert "cut off" not in second


def test_note_on_omitted_turns_stands_in_each_column(notebook):
    long = f"%%qianfan_chat\n{LONG}"
    shown = notebook.run(long, f"%%qianfan_chat --compare top_k=1,2\n{'y' * 300}")
    assert shown.count("oldest turn was not sent") == 2


def test_columns_are_shortened_one_by_one(notebook):
    notebook.run("%%qianfan_chat\none", "%%qianfan_chat\ntwo")
    notebook.server.seen.clear()
    notebook.server.fail(*[Fault(path="/b_dolly", error_code=336007)] * 2)
    shown = notebook.run(f"%%qianfan_chat {ENDPOINTS}\nthree")
    lengths: dict[str, list[int]] = {"a_dolly_12b": [], "b_dolly_12b": []}
    for seen in notebook.server.seen:
        lengths[seen.path.rpartition("/")[2]].append(len(json.loads(seen.body)["messages"]))
    assert lengths == {"a_dolly_12b": [5], "b_dolly_12b": [5, 3, 1]}
    first, second = shown.split("\n---\n")
    assert "not sent" not in first
    assert "[The oldest 2 turns were not sent: the service found more too long.]" in second


# --- what is stored and bound


def test_system_text_of_a_comparison_is_stored(notebook):
    notebook.run(f"%%qianfan_chat {LENGTHS} -s 'Be brief.'\nhi", "%%qianfan_chat\nhi")
    assert notebook.bodies[-1]["system"] == "Be brief."


def test_completions_are_no_conversation_and_cannot_be_kept(notebook):
    notebook.run("%%qianfan_complete --compare top_k=1,2\nhi")
    assert notebook.conversation_names() == []
    assert_fails_cleanly(notebook, "%qianfan keep 2", "no conversation", ParameterError)


def test_output_is_bound_to_the_replies_in_the_order_of_the_columns(notebook):
    for magic in BOTH:
        notebook.run(f"%%{magic} --compare top_k=1,2,3 -o replies\nhi")
        kinds = [type(reply) for reply in notebook.shell.user_ns["replies"]]
        assert kinds == [Reply] * 3, magic
    compare(notebook, flags="-o replies")
    assert [reply.text for reply in notebook.shell.user_ns["replies"]] == ["first", "second"]


# --- --dry-run


def test_dry_run_shows_the_request_of_each_column_and_sends_nothing(notebook):
    cases = [
        (ENDPOINTS, ["/chat/a_dolly_12b", "/chat/b_dolly_12b"]),
        ("--compare temperature=0.1,0.9", ['"temperature": 0.1', '"temperature": 0.9']),
    ]
    for flag, parts in cases:
        shown = notebook.run(f"%%qianfan_chat --dry-run {flag}\nhi")
        assert [part for part in parts if part not in shown] == [], flag
    assert notebook.server.seen == []


# --- %qianfan keep


def test_keep_lists_the_columns_and_marks_the_kept_one(notebook):
    compare(notebook)
    for line, states in (("", ["done, kept", "done"]), (" 2", ["done", "done, kept"])):
        _, *rows = notebook.run(f"%qianfan keep{line}").splitlines()
        listed = [re.split(" {2,}", row) for row in rows]
        assert listed == [
            ["1", "endpoint=a_dolly_12b", states[0], "“first”"],
            ["2", "endpoint=b_dolly_12b", states[1], "“second”"],
        ]


def test_keep_shortens_a_long_answer(notebook):
    compare(notebook, "word " * 99, "second")
    first = notebook.run("%qianfan keep").splitlines()[1]
    assert re.search("  “(word ){7}word…”$", first)


def test_conversation_continues_with_the_column_that_is_kept(notebook):
    cases = [
        ([], "first"),
        (["%qianfan keep 2"], "second"),
        (["%qianfan keep 1"], "first"),
        (["%qianfan keep 2", "%qianfan keep 1"], "first"),
        (["%qianfan keep 2", "%qianfan keep 2"], "second"),
        (["%qianfan keep 2", "%qianfan history"], "second"),
    ]
    for lines, kept in cases:
        compare(notebook)
        notebook.run(*lines, "%%qianfan_chat\nnext")
        assert contents(notebook) == ["hi", kept, "next"], lines
        notebook.run("%qianfan reset")


def test_keep_changes_the_last_turn_of_the_compared_conversation(notebook):
    notebook.run("%%qianfan_chat -n tutor -o reply\nhello")
    compare(notebook, flags="-n tutor")
    notebook.run("%qianfan keep 2")
    assert answers(notebook, "tutor") == [notebook.shell.user_ns["reply"].text, "second"]
    assert answers(notebook) == []


def test_cell_that_failed_after_a_comparison_does_not_prevent_keep(notebook):
    compare(notebook)
    notebook.fail("%%qianfan_chat -t 3\nhi")
    notebook.run("%qianfan keep 2")
    assert answers(notebook) == ["second"]


def test_keep_is_refused_and_changes_nothing(notebook):
    cases = [
        (["%qianfan keep 3"], "no column 3"),
        (["%qianfan keep 0"], "no column 0"),
        (["%qianfan keep -1"], "-1"),
        (["%qianfan keep b"], "'b'"),
        (["%%qianfan_chat\nnext", "%qianfan keep 2"], "compared nothing"),
        (["%%qianfan_chat -n x\nhi", "%qianfan keep"], "compared nothing"),
        (["%qianfan reset", "%qianfan keep 2"], "been continued"),
        (["%qianfan reset --all", "%qianfan keep 2"], "been continued"),
    ]
    for lines, words in cases:
        compare(notebook)
        for line in lines[:-1]:
            notebook.run(line)
        assert_fails_cleanly(notebook, lines[-1], words, ParameterError)
        notebook.run("%qianfan reset --all")


def test_keep_without_a_comparison_is_refused(notebook):
    for cell in ("%qianfan", "%%qianfan_chat\nhi", "%%qianfan_complete\nhi"):
        notebook.run(cell)
        assert_fails_cleanly(notebook, "%qianfan keep", "compared nothing", ParameterError)


# --- a column that fails

REFUSED, CLOSED = Fault(error_code=336003, error_msg="x"), Fault(after=3, end="close")
#: A fault, its error, and whether some text has arrived by then.
FAILURES: list[tuple[Fault, type[QianfanError], bool]] = [
    (REFUSED, APIError, False),
    (Fault(status=404), TransportError, False),
    (CLOSED, StreamError, True),
    (Fault(after=3, end="reset"), StreamError, True),
    (Fault(after=3, body=b"data: {bro\n\n"), StreamError, True),
]


def fail_column(notebook: Notebook, letter: str, fault: Fault, flags: str = "") -> tuple[Any, str]:
    """Compare both services, one of which fails; return the error and the output."""
    fields = {name: getattr(fault, name) for name in fault.__slots__}
    notebook.server.fail(Fault(**fields | {"path": f"/{letter}_dolly"}))
    return notebook.fail(f"%%qianfan_chat {ENDPOINTS} {flags}\n{WALL}")


def test_failing_column_fails_the_cell_and_leaves_the_other_whole(notebook):
    for fault, kind, has_text in FAILURES:
        for number, letter in enumerate("ab"):
            error, shown = fail_column(notebook, letter, fault)
            where = f"{fault} of {letter}: {shown}"
            assert type(error) is kind, where
            title = f"endpoint={letter}_dolly_12b"
            assert error.message.startswith(f"Column {number + 1} ({title}): "), where
            *outputs, name, hint = shown.splitlines()
            assert [name, hint] == [f"{kind.__name__}: {error.message}", f"→ {error.hint}"], where
            columns = "\n".join(outputs).split("\n---\n")
            assert columns[1 - number].count("UNESCO World Heritage Site.") == 1, where
            assert "UNESCO" not in columns[number], where
            assert f"[{kind.__name__}: " in columns[number], where
            assert error.hint in columns[number], where
            unfinished = rf"\n?{title}\n\n The \*\*Great.*broken off"
            assert bool(re.match(unfinished, columns[number], re.DOTALL)) is has_text, where


def test_column_that_is_too_long_by_itself_fails(notebook):
    notebook.run("%%qianfan_chat\none")
    notebook.server.fail(*[Fault(path="/b_dolly", error_code=336007)] * 2)
    error, shown = notebook.fail(f"%%qianfan_chat {ENDPOINTS}\n{WALL}")
    assert error.message.startswith("Column 2")
    assert error.hint == "It is too long even without the conversation: shorten the cell."
    assert "UNESCO World Heritage Site." in shown
    assert notebook.questions() == ["one", WALL]


def test_first_of_two_failing_columns_is_named(notebook):
    notebook.server.fail(Fault(error_code=336003), Fault(error_code=336003))
    error, _ = notebook.fail(f"%%qianfan_chat {ENDPOINTS}\nhi")
    assert type(error) is APIError
    assert error.message.startswith("Column 1")


def test_only_the_answer_of_the_first_column_is_stored(notebook):
    fail_column(notebook, "a", CLOSED)
    assert notebook.turns() == []
    fail_column(notebook, "b", REFUSED)
    assert notebook.questions() == [WALL]


def test_output_is_bound_to_an_error_in_its_column(notebook):
    fail_column(notebook, "b", CLOSED, "-o replies")
    kinds = [type(reply) for reply in notebook.shell.user_ns["replies"]]
    assert kinds == [Reply, StreamError]


def test_column_beside_a_failing_one_can_be_kept(notebook):
    fail_column(notebook, "a", REFUSED)
    notebook.run("%qianfan keep 2")
    assert notebook.questions() == [WALL]
    notebook.run("%%qianfan_chat -n begun\nhi")
    fail_column(notebook, "a", REFUSED, "-n begun")
    notebook.run("%qianfan keep 2")
    assert notebook.questions("begun") == ["hi", WALL]


def test_column_without_an_answer_cannot_be_kept(notebook):
    for fault in (REFUSED, CLOSED):
        fail_column(notebook, "b", fault)
        assert_fails_cleanly(notebook, "%qianfan keep 2", "Column 2 has no answer")
    compare(notebook, "first", " ")
    assert_fails_cleanly(notebook, "%qianfan keep 2", "Column 2 has no answer")


def test_keep_lists_a_failing_column_as_such(notebook):
    fail_column(notebook, "b", REFUSED)
    listed = notebook.run("%qianfan keep").splitlines()
    assert listed[2].startswith("2  endpoint=b_dolly_12b  broken off  ")


def test_column_may_succeed_at_its_second_attempt(own, bare):
    own.fail(Fault(status=503, path="/b_dolly"))
    shown = bare.run(f"%%qianfan_chat {ENDPOINTS} --retries 2\n{WALL}")
    assert shown.count("UNESCO World Heritage Site.") == 2


# --- what cannot be compared


def test_invalid_comparison_sends_nothing(notebook):
    cases = [
        ("temperature", "cannot|0 values"),
        ("temperature=", "0 values"),
        ("temperature=0.1", "1 values"),
        ("temperature=,,", "0 values"),
        ("temperature=0.1,0.1", "1 of them different"),
        ("top_k=1,2,3,4,5,6,7", "7 values"),
        ("=0.1,0.9", "''"),
        ("nonsense=1,2", "'nonsense'"),
        ("timeout=1,2", "'timeout'"),
        ("temperature=0.1,3", r"temperature is .*\(0, 1\]"),
        ("top_k=1,many", "top_k is 'many'"),
        (f"stop=a,{'b' * 21}", "stop"),
        ("model=ERNIE-Speed,Dolly-12B", "no preset address"),
        ("model=ERNIE-Speed,StarCoder", "completion model"),
        ("endpoint=dolly_12b,../x", "endpoint"),
        ("top_k=1,2 --format code", "--format code"),
        ("model=Dolly-12B,ERNIE-Speed --dry-run", "no preset address"),
        ("endpoint=../x,dolly_12b --dry-run", "endpoint"),
    ]
    for flag, words in cases:
        assert_fails_cleanly(
            notebook, f"%%qianfan_chat --compare {flag}\nhi", words, ParameterError
        )


def test_parameter_of_chats_is_not_compared_in_completions(notebook):
    assert_fails_cleanly(notebook, f"%%qianfan_complete {LENGTHS}\nhi", "max_tokens")


# --- several connections, and Stop

STREAM = {"Content-Type": "text/event-stream"}


def requests(server: Any) -> list[Any]:
    return [seen for seen in server.seen if "wenxinworkshop" in seen.path]


def pause(server: Any, after: int) -> None:
    """Have both columns pause after some chunks, until the client closes the connection."""
    for letter in "ab":
        server.fail(Fault(path=f"/{letter}_dolly", after=after, end="silence", headers=STREAM))


def arrived(column) -> int:
    """Return how many events of a column's stream have arrived."""
    return len(list(events_of(column.sender.exchange)))


def stop(notebook: Notebook, chunks: int = 6) -> tuple[BaseException, str]:
    """Stop a comparison both of whose columns have received some chunks."""
    pause(notebook.server, chunks)

    def have_arrived() -> bool:
        return [arrived(column) for column in notebook.columns] == [chunks] * 2

    return notebook.stopped(f"%%qianfan_chat {ENDPOINTS}\n{WALL}", have_arrived)


def test_stop_ends_both_connections_and_their_threads(notebook):
    """Neither answer ends before the user stops them, and both have begun by then."""
    before = threading.active_count()
    stop(notebook)
    assert [seen.sent for seen in requests(notebook.server)] == [6, 6]
    assert until(lambda: all(seen.closed_early for seen in requests(notebook.server)))
    assert until(lambda: threading.active_count() <= before)


def test_stop_leaves_what_has_arrived_in_every_column_marked(notebook):
    error, shown = stop(notebook)
    assert type(error) is KeyboardInterrupt
    assert shown.endswith("\nStopped. What had arrived is kept.\n")
    for column in notebook.columns:
        assert column.reply.text.strip() in shown, column.title
    assert re.findall(r"\[(\w)_dolly_12b · (\w+)", shown) == [("a", "stopped"), ("b", "stopped")]


def test_stop_stores_the_first_column_and_the_next_comparison_works(notebook):
    stop(notebook)
    (turn,) = notebook.turns()
    assert (turn.user, turn.assistant) == (WALL, notebook.columns[0].reply.text)
    assert turn.stopped
    assert "second" in compare(notebook)


def test_stop_ends_connections_whose_answer_has_not_begun(notebook):
    pause(notebook.server, after=0)
    cell = f"%%qianfan_chat {ENDPOINTS}\n{WALL}"
    notebook.stopped(cell, lambda: len(requests(notebook.server)) == 2)
    assert until(lambda: all(seen.closed_early for seen in requests(notebook.server)[:2]))


def test_nothing_is_sent_again_after_a_stop(own, bare):
    before = threading.active_count()
    pause(own, after=0)
    cell = f"%%qianfan_chat {ENDPOINTS} --retries 5\n{WALL}"
    bare.stopped(cell, lambda: len(requests(own)) == 2)
    until(lambda: threading.active_count() <= before)
    assert len(requests(own)) == 2


def test_column_that_was_whole_before_a_stop_is_not_marked(notebook):
    notebook.server.fail(Fault(path="/b_dolly", after=6, end="silence"))

    def first_is_done() -> bool:
        states = [column.state for column in notebook.columns]
        return states[:1] == ["done"] and arrived(notebook.columns[1]) == 6

    notebook.stopped(f"%%qianfan_chat {ENDPOINTS}\n{WALL}", first_is_done)
    assert [column.state for column in notebook.columns] == ["done", "stopped"]
    assert not notebook.turns()[0].stopped


# --- abort: how one thread ends the connection of another

CHUNK = {"result": "a", "is_end": False, "usage": {}, "id": "x"}
END = CHUNK | {"is_end": True}


def aborted(call: Any) -> list[Exception]:
    """Abort a call that is read while its stream pauses; return how the reading ended."""
    ended: list[Exception] = []

    def read() -> None:
        try:
            for _ in call.chunks():
                pass
        except Exception as error:  # noqa: BLE001  the test says which one it must be
            ended.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert until(lambda: call._response is not None)
    call.abort()
    reader.join(2)
    return ended


def test_abort_ends_a_stream_that_is_read_and_hangs_up(raw_server, make_client):
    for framing in ("chunked", "close"):
        for connection in ("close", "keep-alive"):
            head = {"Connection": connection}
            answer = stream_answer(CHUNK, end="silent", framing=framing, headers=head)
            raw_server.script.append(answer)
            raw_server.hung_up.clear()
            call = make_client(retry_count=1).start("completion", "hi", {})
            assert [type(error) for error in aborted(call)] == [StreamError], answer
            assert raw_server.hung_up.wait(2), answer


def test_call_that_is_aborted_before_it_begins_sends_nothing(raw_server, make_client):
    call = make_client().start("completion", "hi", {})
    call.abort()
    with pytest.raises(StreamError, match="was aborted"):
        list(call.chunks())
    assert raw_server.requests == []


def test_abort_of_a_call_that_is_over_spares_the_next_on_its_connection(raw_server, make_client):
    raw_server.script += [stream_answer(END, end="keep"), stream_answer(END, CHUNK, end="keep")]
    client = make_client()
    first, second = client.start("completion", "hi", {}), client.start("completion", "hi", {})
    assert [chunk.text for chunk in first.chunks()] == ["a"]
    chunks = second.chunks()
    received = [next(chunks).text]
    first.abort()
    assert [*received, *(chunk.text for chunk in chunks)] == ["a"]


# --- in a kernel


@pytest.fixture(scope="module")
def watched(kernels) -> Ran:
    kernels["on"].server.pace = 0.02
    ran = kernels["on"].run(f"%%qianfan_chat --compare top_k=1,2 -n watched\n{WALL}")
    kernels["on"].server.pace = 0
    return ran


def test_watched_columns_are_one_widget_that_ends_as_plain_output(watched):
    opened = [c for c in watched.contents("comm_open") if is_view(c)]
    (state,) = [content["data"]["state"] for content in opened]
    assert state["titles"] == ["top_k=1", "top_k=2"]
    assert state["services"] == ["dolly_12b", "dolly_12b"]
    kinds = [set(bundle) - {"text/plain"} for bundle in watched.bundles]
    assert kinds == [{WIDGET}, {"text/html"}]
    closed = {content["comm_id"] for content in watched.contents("comm_close")}
    assert opened[0]["comm_id"] in closed


def test_watched_columns_grow_side_by_side(watched):
    grown = [frame.get("column", 0) for frame in watched.frames]
    assert min(grown.count(0), grown.count(1)) > 2
    assert grown != sorted(grown)


def test_unwatched_columns_are_one_output_beside_each_other(quiet):
    before = len(quiet.server.seen)
    (bundle,) = quiet.run("%%qianfan_chat --compare 'stop=<b>x,y,z'\nhi").bundles
    assert set(bundle) == {"text/html", "text/plain"}
    html = bundle["text/html"]
    grid = re.search(r'<div style="--most:3;display:grid;.*', html, re.DOTALL)[0]
    assert grid.count(">stop=") == 3
    assert "stop=&lt;b&gt;x" in html
    assert "<b>" not in html
    assert len([seen for seen in quiet.server.seen[before:] if "/chat/" in seen.path]) == 3


def test_failing_column_fails_the_cell_in_a_kernel(kernel):
    kernel.server.fail(Fault(path="/b_dolly", after=3, end="reset"))
    ran = kernel.run(f"%%qianfan_chat {ENDPOINTS}\n{WALL}")
    assert ran.reply["status"] == "error"
    assert ran.contents("error")[0]["traceback"][0].startswith("StreamError: Column 2")
    assert ran.stderr == ""


def test_interrupt_marks_every_column_and_ends_every_connection(live):
    live.server.pace = 0.05
    for letter in "ab":
        live.server.fail(Fault(path=f"/{letter}_dolly", after=12, end="silence"))
    both = lambda ran: {frame.get("column", 0) for frame in ran.frames} == {0, 1}  # noqa: E731
    ran = live.stopped(f"%%qianfan_chat {ENDPOINTS}\n{WALL}", both)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    lines = re.findall(r"\[(\w)_dolly_12b · (\w+)", ran.bundles[-1]["text/plain"])
    assert lines == [("a", "stopped"), ("b", "stopped")]
    assert until(lambda: all(seen.closed_early for seen in live.server.seen[-2:]))


def test_column_is_kept_in_a_kernel(kernel):
    kernel.run(f"%%qianfan_chat {LENGTHS}\n{WALL}")
    kernel.run("%qianfan keep 2")
    history = kernel.run("%qianfan history").bundles[0]["text/plain"]
    assert history.count("earthen walls") == 1

"""A real kernel, asked as a front end asks it: what it publishes while a cell runs, and after."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Callable
from typing import Any

import pytest
from support.kernel import WIDGET, Kernel, Ran, is_view, letters, words_of
from support.notebook import WALL
from support.waiting import until

from qianfan_magic.embedded.faults import Fault

# --- nobody watches: one plain output


@pytest.mark.parametrize("cell", ["%%qianfan_chat\nhi", "%%qianfan_complete\ndef fibonacci(n):"])
def test_unwatched_answer_is_one_output(quiet, cell):
    kinds = [m["header"]["msg_type"] for m in quiet.run(cell).published]
    assert [kind for kind in kinds if kind not in {"status", "execute_input"}] == ["display_data"]


@pytest.mark.parametrize(
    ("cell", "kinds"),
    [
        ("%%qianfan_chat\nhi", {"text/html", "text/plain", "text/markdown"}),
        ("%%qianfan_complete\nx", {"text/html", "text/plain"}),
        ("%qianfan", {"text/html", "text/plain"}),
        ("%qianfan history", {"text/html", "text/plain"}),
    ],
)
def test_unwatched_output_is_html_and_text(quiet, cell, kinds):
    assert [set(bundle) for bundle in quiet.run(cell).bundles] == [kinds]


@pytest.mark.parametrize(
    ("flags", "html"),
    [
        ("", "<p>The <strong>Great Wall"),
        ("--format markdown", "<p>The <strong>Great Wall"),
        ("--format text", "The **Great Wall"),
        ("--no-stream", "<p>The <strong>Great Wall"),
    ],
)
def test_format_of_a_chat(quiet, flags, html):
    assert html in quiet.run(f"%%qianfan_chat {flags}\n{WALL}").bundles[0]["text/html"]


@pytest.mark.parametrize(("flags", "tag"), [("", "<pre"), ("--format markdown", "<p>")])
def test_format_of_a_completion(quiet, flags, tag):
    cell = f"%%qianfan_complete {flags} -e stablelm_alpha_7b\nIntroduce the city Beijing"
    assert quiet.run(cell).bundles[0]["text/html"].partition("\n")[2].startswith(tag)


def test_format_of_config_counts_where_no_flag_is_given(quiet):
    quiet.run("%config QianfanMagics.format = 'text'")
    shown = quiet.run(f"%%qianfan_chat\n{WALL}").bundles[0]["text/html"]
    quiet.run("%config QianfanMagics.format = ''")
    assert "The **Great Wall" in shown


def test_hostile_answer_has_no_tag_of_its_own(kernel):
    kernel.server.fail(Fault(fields={"result": "<script>alert(1)</script>"}))
    shown = kernel.run("%%qianfan_chat --no-stream\nhi").bundles[-1]["text/html"]
    assert ("<script" in shown, "&lt;script&gt;" in shown) == (False, True)


def test_unwatched_answer_has_its_notes(quiet):
    shown = quiet.run(f"%%qianfan_chat --max-tokens 5\n{WALL}").bundles[0]
    assert all("is_truncated" in shown[kind] for kind in ("text/html", "text/plain"))


# --- somebody watches: a widget that grows, plain output in its place at the end


@pytest.fixture(scope="module")
def watched(kernels) -> Ran:
    """Give an answer of many chunks at a reader's pace, with its reply bound."""
    kernels["on"].server.pace = 0.04
    return kernels["on"].run(f"%%qianfan_chat -o reply -n watched\n{WALL}")


@pytest.fixture
def answer(watched, live) -> str:
    text = live.run("reply.text").contents("execute_result")[0]["data"]["text/plain"]
    return literal_eval(text)


def test_watched_answer_begins_as_a_widget(watched):
    assert WIDGET in watched.bundles[0]


def test_watched_answer_grows(watched):
    assert len(watched.frames) > 3


def test_frames_together_are_the_answer_as_far_as_it_was_seen(watched):
    assert letters(words_of(watched.bundles[-1]["text/html"])).startswith(letters(watched.seen))


def test_most_of_the_answer_is_seen_while_it_arrives(watched):
    assert len(watched.seen) > len(words_of(watched.bundles[-1]["text/html"])) / 2


def test_watched_answer_ends_as_plain_output(watched):
    assert set(watched.bundles[-1]) == {"text/html", "text/plain", "text/markdown"}


def test_plain_output_is_the_whole_answer(watched, answer):
    text, _, line = watched.bundles[-1]["text/plain"].rpartition("\n\n")
    assert (text, line) == (answer.strip("\n"), "[dolly_12b · done · 114 tokens]")


def test_plain_output_takes_the_widgets_place(watched):
    first, last = watched.contents("display_data", "update_display_data")
    assert first["transient"]["display_id"] == last["transient"]["display_id"]


def test_widget_is_closed(watched):
    opened = {c["comm_id"] for c in watched.contents("comm_open") if is_view(c)}
    closed = {c["comm_id"] for c in watched.contents("comm_close")}
    assert (len(opened), opened - closed) == (1, set())


def test_widget_is_closed_after_the_plain_output_is_there(watched):
    """Otherwise the page says for a moment that a model was not found."""
    kinds = [m["header"]["msg_type"] for m in watched.published]
    assert kinds.index("update_display_data") < kinds.index("comm_close")


def test_answer_is_in_no_state_of_the_widget(watched):
    """State would be saved with the notebook and sent whole each time."""
    states = [c["data"].get("state", {}) for c in watched.contents("comm_open", "comm_msg")]
    assert "Great Wall" not in json.dumps([s | {"_esm": "", "_css": ""} for s in states])


def test_widget_says_who_is_waited_for(watched):
    opened = next(c for c in watched.contents("comm_open") if is_view(c))
    assert "dolly_12b" in opened["data"]["state"]["services"]


# Each piece at once, where it would otherwise wait for the eye.
GROW = """
from qianfan_magic.views import live
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.api.types import Chunk, Usage
piece = lambda text: Chunk(text, False, Usage(), {{}})
interval, live.INTERVAL = live.INTERVAL, 0
view = live.LiveView(CellOutput(), ["asked"], markdown=True)
for number in range({count}):
    view.write(piece("eight by"))
view.end(AnswerOutput("eight by" * {count}, "markdown"))
live.INTERVAL = interval
"""


def test_bytes_grow_with_the_length_and_not_with_its_square(live):
    none, some, many = (live.run(GROW.format(count=n)).size for n in (0, 200, 800))
    assert many - none < 6 * (some - none)  # 16 times if it were the square


def test_pieces_that_come_fast_are_put_together(live):
    ran = live.run(GROW.format(count=200).replace("live.INTERVAL, 0", "live.INTERVAL, 3600"))
    assert [words_of(frame["open"]) for frame in ran.frames] == ["eight by"]


def test_watched_failure_leaves_no_widget(live):
    live.server.fail(Fault(error_code=336003))
    ran = live.run("%%qianfan_chat\nhi")
    assert WIDGET not in ran.bundles[-1]


def test_watched_break_leaves_the_text(live):
    live.server.fail(Fault(after=6, end="close"))
    shown = live.run(f"%%qianfan_chat\n{WALL}").bundles[-1]["text/plain"]
    assert re.search(r"Great.*\[dolly_12b · broken off[^\]]*\]$", shown, re.DOTALL)


# --- Stop


def words(ran: Ran) -> bool:
    """Tell whether words are seen, and not only the space that many answers begin with."""
    return bool(ran.seen)


def stop(kernel: Kernel, when: Callable[[Ran], Any] = words) -> Ran:
    """Stop a cell; its answer pauses after twenty chunks, in case nobody stops it before."""
    kernel.server.pace = 0.05
    kernel.server.fail(Fault(after=20, end="silence"))
    return kernel.stopped(f"%%qianfan_chat\n{WALL}", when)


def test_interrupt_fails_the_cell(live):
    ran = stop(live)
    assert (ran.reply["status"], ran.reply["ename"]) == ("error", "KeyboardInterrupt")


def test_interrupt_leaves_what_was_seen(live):
    ran = stop(live)
    assert letters(words_of(ran.bundles[-1]["text/html"])).startswith(letters(ran.seen))


def test_interrupt_is_marked(live):
    ran = stop(live)
    assert ran.bundles[-1]["text/plain"].rpartition("\n\n")[2].startswith("[dolly_12b · stopped")


def test_interrupt_leaves_no_widget(live):
    ran = stop(live)
    assert WIDGET not in ran.bundles[-1]


def test_interrupt_closes_the_connection(live):
    stop(live)
    assert until(lambda: live.server.seen[-1].closed_early)


def test_interrupt_keeps_the_turn(live):
    stop(live)
    assert "(stopped)" in live.run("%qianfan history").bundles[0]["text/plain"]


def test_interrupt_of_an_unwatched_cell_is_marked(quiet):
    """Nothing is published before the end, so the server tells when to stop."""
    asked = len(quiet.server.seen)
    ran = stop(quiet, lambda _: until(lambda: any(s.sent > 3 for s in quiet.server.seen[asked:])))
    line = ran.bundles[-1]["text/plain"].rpartition("\n\n")[2]
    assert (ran.reply["ename"], "· stopped" in line) == ("KeyboardInterrupt", True)


def test_interrupt_stops_run_all(live):
    """The cells that wait behind are not run."""
    waiting: list[str] = []

    def when(ran: Ran) -> bool:
        waiting[:] = waiting or [live.client.execute("reached = True")]
        return words(ran)

    stop(live, when)
    assert live.reply(waiting[0])["status"] == "aborted"


def test_kernel_goes_on_after_an_interrupt(live):
    stop(live)
    assert live.run("%%qianfan_chat\nhi").reply["status"] == "ok"


# --- failure


def test_failing_cell_has_the_status_error(kernel):
    reply = kernel.run("%%qianfan_chat -t 3\nhi").reply
    assert (reply["status"], reply["ename"]) == ("error", "ParameterError")


def test_failing_cell_shows_two_lines(kernel):
    traceback = kernel.run("%%qianfan_chat -t 3\nhi").contents("error")[0]["traceback"]
    assert [line[:6] for line in traceback] == ["Parame", "→ temp"]


def test_empty_cell_fails(kernel):
    assert kernel.run("%%qianfan_chat").reply["ename"] == "ParameterError"


def test_failing_cell_shows_nothing_else(quiet):
    assert quiet.run("%%qianfan_chat -t 3\nhi").bundles == []


# --- help and Tab


@pytest.mark.parametrize("magic", ["%%qianfan_chat", "%%qianfan_complete"])
def test_question_mark_opens_the_help(kernel, magic):
    payload = kernel.run(f"{magic}?").reply["payload"][0]
    assert (payload["source"], "--temperature" in payload["data"]["text/plain"]) == ("page", True)


@pytest.mark.parametrize("magic", ["%%qianfan_chat", "%%qianfan_complete"])
def test_inspection_shows_the_help(kernel, magic):
    found = kernel.ask("inspect", magic, len(magic))
    assert (found["found"], "--temperature" in found["data"]["text/plain"]) == (True, True)


def test_inspection_shows_the_help_of_the_line_magic(kernel):
    assert kernel.ask("inspect", "%qianfan", 8)["found"] is True


@pytest.mark.parametrize(
    ("code", "matches"),
    [
        ("%%qianfan_chat --temp", ["--temperature"]),
        ("%%qianfan_complete -t 0.5 --dry", ["--dry-run"]),
        ("%qianfan hi", ["history"]),
    ],
)
def test_tab_offers_flags(kernel, code, matches):
    assert kernel.ask("complete", code, len(code))["matches"] == matches


def test_tab_in_the_first_line_of_a_cell_offers_flags(kernel):
    reply = kernel.ask("complete", "%%qianfan_chat --temp\nhow are you?", 21)
    assert (reply["matches"], reply["cursor_start"]) == (["--temperature"], 15)


def test_tab_in_the_text_of_a_cell_offers_no_flags(kernel):
    code = "%%qianfan_chat\nhow --temp"
    assert "--temperature" not in kernel.ask("complete", code, len(code))["matches"]


# --- nothing on stderr, which nbval compares and a notebook shows in red


@pytest.mark.parametrize(
    "cell",
    [
        "%reload_ext qianfan_magic",
        "%%qianfan_chat\nhi",
        "%%qianfan_complete\nhi",
        "%%qianfan_chat --dry-run\nhi",
        "%%qianfan_chat -t 3\nhi",
        "%%qianfan_chat?",
        "%qianfan",
        "%qianfan history",
        "%qianfan nonsense",
    ],
)
def test_nothing_is_written_to_stderr(kernel, cell):
    assert kernel.run(cell).stderr == ""


@pytest.mark.parametrize(
    "fault", [Fault(after=3, end="close"), Fault(after=3, end="reset"), Fault(error_code=336003)]
)
def test_failure_writes_nothing_to_stderr(kernel, fault):
    kernel.server.fail(fault)
    assert kernel.run(f"%%qianfan_chat\n{WALL}").stderr == ""


def test_interrupt_writes_nothing_to_stderr(live):
    assert stop(live).stderr == ""


def test_answer_writes_nothing_to_stderr(watched):
    assert watched.stderr == ""


PAUSE = """
import time
from qianfan_magic.views import live
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.api.types import Chunk, Usage
piece = lambda text: Chunk(text, False, Usage(), {})
view = live.LiveView(CellOutput(), ["asked"], markdown=True)
view.write(piece("first "))
view.write(piece("second"))
while view._columns[0].wait() is not None:
    time.sleep(0.01)
view.end(AnswerOutput("first second", "markdown"))
"""


def test_held_text_is_shown_though_the_stream_pauses(live):
    assert live.run(PAUSE).seen == "first second"

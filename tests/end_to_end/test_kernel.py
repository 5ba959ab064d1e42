"""What a real kernel publishes and replies to a front end, while a cell runs and afterwards.

The fixtures give two kernels: in one, live views are off (*unwatched*), in the other they are on
(*watched*): the answer grows in a widget, which plain output replaces at the end.
"""

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

# --- unwatched: one plain output


def test_unwatched_cell_publishes_one_output_in_several_formats(quiet):
    for cell, formats in (
        ("%%qianfan_chat\nhi", {"text/html", "text/plain", "text/markdown"}),
        ("%%qianfan_complete\ndef fibonacci(n):", {"text/html", "text/plain"}),
        ("%qianfan", {"text/html", "text/plain"}),
        ("%qianfan history", {"text/html", "text/plain"}),
    ):
        ran = quiet.run(cell)
        kinds = [message["header"]["msg_type"] for message in ran.published]
        kinds = [kind for kind in kinds if kind not in {"status", "execute_input"}]
        assert kinds == ["display_data"], cell
        assert set(ran.bundles[0]) == formats, cell


def test_format_of_a_chat_is_the_flags_or_that_of_config(quiet):
    markdown, text = "<p>The <strong>Great Wall", "The **Great Wall"
    for config, flags, html in (
        ("", "", markdown),
        ("", "--format markdown", markdown),
        ("", "--format text", text),
        ("", "--no-stream", markdown),
        ("text", "", text),
        ("text", "--format markdown", markdown),
    ):
        quiet.run(f"%config QianfanMagics.format = {config!r}")
        shown = quiet.run(f"%%qianfan_chat {flags}\n{WALL}").bundles[0]["text/html"]
        assert html in shown, (config, flags)
    quiet.run("%config QianfanMagics.format = ''")


def test_completion_is_preformatted_unless_markdown_is_chosen(quiet):
    for flags, tag in (("", "<pre"), ("--format markdown", "<p>")):
        cell = f"%%qianfan_complete {flags} -e stablelm_alpha_7b\nIntroduce the city Beijing"
        html = quiet.run(cell).bundles[0]["text/html"]
        assert html.partition("\n")[2].startswith(tag), flags


def test_html_in_an_answer_is_escaped(fresh):
    for live, kernel in fresh.items():
        kernel.server.fail(Fault(fields={"result": "<script>alert(1)</script>"}))
        html = kernel.run("%%qianfan_chat --no-stream\nhi").bundles[-1]["text/html"]
        assert "<script" not in html, live
        assert "&lt;script&gt;" in html, live


def test_note_about_a_truncated_answer_is_in_every_format(quiet):
    bundle = quiet.run(f"%%qianfan_chat --max-tokens 5\n{WALL}").bundles[0]
    for kind in ("text/html", "text/plain"):
        assert "cut off" in bundle[kind], kind


# --- watched: a widget that grows


@pytest.fixture(scope="module")
def watched(kernels) -> Ran:
    """Return a cell whose answer arrived in many chunks at the pace of a reader."""
    kernels["on"].server.pace = 0.04
    return kernels["on"].run(f"%%qianfan_chat -o reply -n watched\n{WALL}")


def test_watched_answer_grows_in_a_widget(watched):
    assert WIDGET in watched.bundles[0]
    assert watched.bundles[0]["text/plain"].startswith("An answer is arriving")
    assert len(watched.frames) > 3
    text = words_of(watched.bundles[-1]["text/html"])
    assert letters(text).startswith(letters(watched.seen))
    assert len(watched.seen) > len(text) / 2  # the end may arrive with the plain output only


def test_cell_that_the_server_runs_shows_its_answer_once_and_without_a_widget(live):
    """A server that runs cells for its pages sends no id of the cell, and ignores updates."""
    live.run("import os; os.environ['JPY_SESSION_NAME'] = 'shared.ipynb'")
    answered, params = live.run("%%qianfan_chat -n shared\nhi"), live.run("%qianfan params")
    live.run("del os.environ['JPY_SESSION_NAME']")
    for ran in (answered, params):
        assert [WIDGET in bundle for bundle in ran.bundles] == [False]
        assert not ran.contents("update_display_data", "comm_open")
    assert "qianfan_magic" in answered.contents("display_data")[0]["metadata"]


def test_state_of_the_widget_names_the_service_and_has_no_text(watched):
    """Jupyter would save the text with the notebook, and send all of it after each change."""
    opened = next(c for c in watched.contents("comm_open") if is_view(c))
    assert "dolly_12b" in opened["data"]["state"]["services"]
    states = [c["data"].get("state", {}) for c in watched.contents("comm_open", "comm_msg")]
    # The widget's own JavaScript and CSS are part of its state too.
    assert "Great Wall" not in json.dumps([s | {"_esm": "", "_css": ""} for s in states])


def test_plain_output_replaces_the_widget_before_it_is_closed(watched, live):
    assert set(watched.bundles[-1]) == {"text/html", "text/plain", "text/markdown"}
    reply = live.run("reply.text").contents("execute_result")[0]["data"]["text/plain"]
    text, _, line = watched.bundles[-1]["text/plain"].rpartition("\n\n")
    assert text == literal_eval(reply).strip("\n")
    assert line == "[dolly_12b · done · 114 tokens]"
    first, last = watched.contents("display_data", "update_display_data")
    assert first["transient"]["display_id"] == last["transient"]["display_id"]
    assert watched.stderr == ""
    opened, closed = watched.contents("comm_open"), watched.contents("comm_close")
    assert [c["comm_id"] for c in opened] == [c["comm_id"] for c in closed]  # no layout stays
    # In the other order the page would say for a moment that it cannot find the widget's model.
    kinds = [message["header"]["msg_type"] for message in watched.published]
    assert kinds.index("update_display_data") < kinds.index("comm_close")


#: Evaluates to the ids of the open comms, and of the widgets.
LEFT = """[*__import__("comm").get_comm_manager().comms], [*ipywidgets.widgets.widget._instances]"""


def test_answers_leave_no_comm_and_no_widget_however_they_end(live):
    live.run("import ipywidgets")
    before = live.run(LEFT).contents("execute_result")
    live.server.fail(Fault(path="/starcoder", after=3, end="close"), Fault(error_code=336003))
    live.run("%%qianfan_complete\ndef fibonacci(n):")
    for flags in ("", "", "--format text", "--compare temperature=0.1,0.9"):
        live.run(f"%%qianfan_chat {flags}\n{WALL}")
    interrupt(live)
    assert live.run(LEFT).contents("execute_result")[0]["data"] == before[0]["data"]


#: Writes chunks into a live view; `delay` is the time in seconds between its frames.
GROW = """
from qianfan_magic.views import live
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.state_line import AnswerHead
from qianfan_magic.api.types import Chunk, Usage
defaults = live.INTERVAL, live.MAX_DELAY, live.MAX_RENDER_SHARE
live.INTERVAL, live.MAX_DELAY, live.MAX_RENDER_SHARE = {delay}, {delay}, 1e9
view = live.LiveView(CellOutput(), [AnswerHead("dolly_12b")], markdown=True)
for number in range({count}):
    view.write(Chunk("eight by", False, Usage(), {{}}))
view.end(AnswerOutput("eight by" * {count}, "markdown"))
live.INTERVAL, live.MAX_DELAY, live.MAX_RENDER_SHARE = defaults
"""


def test_published_bytes_grow_linearly_with_the_answer(live):
    none, some, many = (live.run(GROW.format(count=n, delay=0)) for n in (0, 200, 800))
    assert len(many.frames) == 800
    assert many.size - none.size < 6 * (
        some.size - none.size
    )  # four times the text; quadratic would be 16 times


def test_chunks_that_arrive_fast_are_sent_in_one_frame(live):
    ran = live.run(GROW.format(count=200, delay=3600))
    assert [words_of(frame["open"]) for frame in ran.frames] == ["eight by"]


#: The second piece comes within the interval after the first; then the stream pauses.
PAUSE = """
import time
from qianfan_magic.views import live
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.state_line import AnswerHead
from qianfan_magic.api.types import Chunk, Usage
view = live.LiveView(CellOutput(), [AnswerHead("dolly_12b")], markdown=True)
for text in ("first ", "second"):
    view.write(Chunk(text, False, Usage(), {}))
while view._columns[0].wait() is not None:
    time.sleep(0.01)
view.end(AnswerOutput("first second", "markdown"))
"""


def test_delayed_text_is_shown_although_the_stream_pauses(live):
    assert live.run(PAUSE).seen == "first second"


def test_failed_answer_leaves_its_text_and_no_widget(live):
    live.server.fail(Fault(error_code=336003))
    assert WIDGET not in live.run("%%qianfan_chat\nhi").bundles[-1]
    live.server.fail(Fault(after=6, end="close"))
    bundle = live.run(f"%%qianfan_chat\n{WALL}").bundles[-1]
    assert WIDGET not in bundle
    pattern = r"Great.*\[dolly_12b · broken off[^\]]*\]$"
    assert re.search(pattern, bundle["text/plain"], re.DOTALL)


# --- interrupt


def shows_words(ran: Ran) -> bool:
    """Tell whether words are shown: many answers begin with a space."""
    return bool(ran.seen)


def interrupt(kernel: Kernel, when: Callable[[Ran], Any] = shows_words) -> Ran:
    """Run a cell and interrupt it; its answer pauses after twenty chunks until then."""
    kernel.server.pace = 0.05
    kernel.server.fail(Fault(after=20, end="silence"))
    return kernel.stopped(f"%%qianfan_chat\n{WALL}", when)


def test_interrupted_cell_fails_and_keeps_the_text_that_was_shown(live):
    ran = interrupt(live)
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert ran.stderr == ""
    bundle = ran.bundles[-1]
    assert WIDGET not in bundle
    assert letters(words_of(bundle["text/html"])).startswith(letters(ran.seen))
    assert bundle["text/plain"].rpartition("\n\n")[2].startswith("[dolly_12b · stopped")


def test_interrupt_closes_the_connection_and_records_the_turn(live):
    interrupt(live)
    assert until(lambda: live.server.seen[-1].closed_early)
    assert "(stopped)" in live.run("%qianfan history").bundles[0]["text/plain"]
    assert live.run("%%qianfan_chat\nhi").reply["status"] == "ok"


def test_interrupted_unwatched_cell_is_marked(quiet):
    """Nothing is published before the end, so the server tells when to interrupt."""
    before = len(quiet.server.seen)

    def is_answering(_: Ran) -> bool:
        return until(lambda: any(request.sent > 3 for request in quiet.server.seen[before:]))

    ran = interrupt(quiet, is_answering)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert "· stopped" in ran.bundles[-1]["text/plain"].rpartition("\n\n")[2]


def test_interrupt_aborts_the_cells_that_wait(live):
    """As after Run All."""
    waiting: list[str] = []

    def when(ran: Ran) -> bool:
        waiting[:] = waiting or [live.client.execute("reached = True")]
        return shows_words(ran)

    interrupt(live, when)
    assert live.reply(waiting[0])["status"] == "aborted"


# --- failure


def test_failing_cell_has_the_status_error_and_two_lines(fresh):
    for live, kernel in fresh.items():
        ran = kernel.run("%%qianfan_chat -t 3\nhi")
        assert ran.reply["status"] == "error", live
        assert ran.reply["ename"] == "ParameterError", live
        traceback = ran.contents("error")[0]["traceback"]
        assert [line[:6] for line in traceback] == ["Parame", "→ temp"], live
        assert ran.bundles == [], live
        assert kernel.run("%%qianfan_chat").reply["ename"] == "ParameterError", live


def test_nothing_is_written_to_stderr(fresh):
    """A notebook shows stderr in red, and nbval compares it."""
    cells = [
        "%reload_ext qianfan_magic",
        "%%qianfan_chat\nhi",
        "%%qianfan_complete\nhi",
        "%%qianfan_chat --dry-run\nhi",
        "%%qianfan_chat -t 3\nhi",
        "%%qianfan_chat?",
        "%qianfan",
        "%qianfan history",
        "%qianfan nonsense",
    ]
    faults = [
        Fault(after=3, end="close"),
        Fault(after=3, end="reset"),
        Fault(error_code=336003),
    ]
    for live, kernel in fresh.items():
        for cell in cells:
            assert kernel.run(cell).stderr == "", (live, cell)
        for fault in faults:
            kernel.server.fail(fault)
            assert kernel.run(f"%%qianfan_chat\n{WALL}").stderr == "", (live, fault)


# --- help and Tab


def test_question_mark_and_inspection_show_the_help(quiet):
    for magic in ("%%qianfan_chat", "%%qianfan_complete"):
        payload = quiet.run(f"{magic}?").reply["payload"][0]
        assert payload["source"] == "page", magic
        assert "--temperature" in payload["data"]["text/plain"], magic
        found = quiet.ask("inspect", magic, len(magic))
        assert found["found"], magic
        assert "--temperature" in found["data"]["text/plain"], magic
    assert quiet.ask("inspect", "%qianfan", 8)["found"]


def test_tab_offers_flags_in_the_first_line_of_a_cell(quiet):
    for code, matches in (
        ("%%qianfan_chat --temp", ["--temperature"]),
        ("%%qianfan_complete -t 0.5 --dry", ["--dry-run"]),
        ("%qianfan hi", ["history"]),
    ):
        assert quiet.ask("complete", code, len(code))["matches"] == matches, code
    reply = quiet.ask("complete", "%%qianfan_chat --temp\nhow are you?", 21)
    assert reply["matches"] == ["--temperature"]
    assert reply["cursor_start"] == 15
    code = "%%qianfan_chat\nhow --temp"
    assert "--temperature" not in quiet.ask("complete", code, len(code))["matches"]

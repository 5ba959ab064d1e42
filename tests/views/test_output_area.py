"""``--into``: an answer inside an `ipywidgets.Output` of the notebook."""

from __future__ import annotations

import re
from typing import Any

from support.kernel import WIDGET, Kernel, Ran, is_view
from support.notebook import WALL

from qianfan_magic import ParameterError
from qianfan_magic.embedded.faults import Fault

BOX = "import ipywidgets; box = ipywidgets.Output()"


def contents(ran: Ran) -> list[dict[str, Any]]:
    """Return the bundles that the Output showed, in order."""
    states = [content["data"].get("state", {}) for content in ran.contents("comm_msg")]
    return [state["outputs"][0]["data"] for state in states if state.get("outputs")]


def into_box(kernel: Kernel, magic: str = "%%qianfan_chat", question: str = "hi") -> Ran:
    kernel.run(BOX)
    return kernel.run(f"{magic} --into box\n{question}")


def value(kernel: Kernel, code: str) -> str:
    return kernel.run(code).contents("execute_result")[0]["data"]["text/plain"]


def test_watched_answer_is_a_widget_and_then_plain_output(live):
    for magic in ("%%qianfan_chat", "%%qianfan_complete"):
        first, *rest = contents(into_box(live, magic))
        assert WIDGET in first, magic
        assert [set(bundle) - {"text/markdown"} for bundle in rest] == [{"text/html", "text/plain"}]
    assert "widget-view" not in value(live, "str(box.outputs)")


def test_widget_of_an_answer_is_closed(live):
    ran = into_box(live)
    opened = {content["comm_id"] for content in ran.contents("comm_open") if is_view(content)}
    closed = {content["comm_id"] for content in ran.contents("comm_close")}
    assert len(opened) == 1
    assert opened <= closed


def test_unwatched_answer_is_shown_once(quiet):
    kinds = [set(bundle) for bundle in contents(into_box(quiet))]
    assert kinds == [{"text/html", "text/plain", "text/markdown"}]


def test_answer_is_in_the_output_and_not_below_the_cell(kernel):
    ran = into_box(kernel)
    assert re.search("Hello!|Hi there!", contents(ran)[-1]["text/plain"])
    assert ran.bundles == [{"text/plain": ""}]


def test_next_answer_replaces_the_one_before(kernel):
    into_box(kernel)
    kernel.run("%%qianfan_chat --into box\nWhere is Beijing?")
    assert value(kernel, "len(box.outputs), 'capital' in str(box.outputs)") == "(1, True)"


def test_answer_that_breaks_off_is_marked_in_the_output(kernel):
    kernel.server.fail(Fault(after=6, end="close"))
    text = contents(into_box(kernel, question=WALL))[-1]["text/plain"]
    assert re.search(r"Great.*\[dolly_12b · broken off", text, re.DOTALL)


def test_columns_are_shown_in_the_output(quiet):
    ran = into_box(quiet, "%%qianfan_chat --compare temperature=0.1,0.9")
    titles = re.findall(">(temp[^<]*)</p>\n<p>", contents(ran)[-1]["text/html"])
    assert titles == ["temperature=0.1", "temperature=0.9"]


def test_name_that_is_not_an_output_is_refused_before_the_request(notebook):
    notebook.run("number = 1")
    for name in ("nothing", "number", "box.outputs", "''"):
        error, shown = notebook.fail(f"%%qianfan_chat --into {name}\nhi")
        assert type(error) is ParameterError, name
        assert "--into" in error.message, name
        assert "= ipywidgets.Output()" in error.hint, name
        assert len(shown.splitlines()) == 2, name
    assert notebook.bodies == []

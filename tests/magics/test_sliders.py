"""`%qianfan params`: typed in a shell, and as a panel in a kernel, used as a page uses it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.kernel import WIDGET, Ran, is_view
from support.notebook import LOAD_ANEW, WALL, Notebook, assert_fails_cleanly, sent
from support.panel import PanelPage, panels

from qianfan_magic import ParameterError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.views.offer import UNSET

NAMES = ["temperature", "top_p", "top_k", "penalty_score", "stop", "max_tokens"]
NAMES += ["max_completion_tokens", "seed", "frequency_penalty", "presence_penalty"]
NAMES += ["enable_thinking", "thinking_budget", "reasoning_effort"]
NAMES += ["web_search", "search_mode", "search_number"]

#: Those of a chat model of version 1.
V1_NAMES = ["temperature", "top_p", "top_k", "penalty_score", "stop", "max_tokens"]

# --- typed


def unset(notebook: Notebook) -> None:
    notebook.run("%qianfan params " + " ".join(f"{name}=none" for name in NAMES))


def test_sliders_apply_to_the_next_chat(notebook):
    cases = [
        (["temperature=0.3"], {"temperature": 0.3}),
        (["top-p=0.25"], {"top_p": 0.25}),
        (["top_k=5 penalty_score=1.5"], {"top_k": 5, "penalty_score": 1.5}),
        (["stop=END"], {"stop": ["END"]}),
        (["stop=a stop=b"], {"stop": ["a", "b"]}),
        (["'stop=b c'"], {"stop": ["b c"]}),
        (["stop=a=b"], {"stop": ["a=b"]}),
        ([r"'stop=\n'"], {"stop": ["\n"]}),
        (["max_tokens=50"], {"max_output_tokens": 50}),
        (["temperature=0.1 temperature=0.9"], {"temperature": 0.9}),
        (["temperature=none"], {}),
        (["temperature=0.3", "temperature=None"], {}),
        (["temperature=0.3 stop=a", "stop=none"], {"temperature": 0.3}),
        (["temperature=0.3 stop=a", "temperature=NONE"], {"stop": ["a"]}),
        (["top_k=5", "temperature=0.3"], {"top_k": 5, "temperature": 0.3}),
        (["stop=a stop=b", "stop=c"], {"stop": ["c"]}),
    ]
    for lines, parameters in cases:
        unset(notebook)
        notebook.run(*(f"%qianfan params {line}" for line in lines), "%%qianfan_chat\nhi")
        assert sent(notebook) == parameters | {"stream": True}, lines


def test_slider_can_be_set_from_a_variable(notebook):
    notebook.run("top = 5", "%qianfan params top_k={top}", "%%qianfan_chat\nhi")
    assert sent(notebook)["top_k"] == 5


def test_slider_applies_to_every_cell(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_complete\nx", "%%qianfan_chat\nhi")
    assert [body["top_k"] for body in notebook.bodies] == [5, 5]


def test_slider_of_chats_is_ignored_in_completions(notebook):
    notebook.run("%qianfan params max_tokens=50", "%%qianfan_complete\nhi")
    assert sent(notebook) == {"stream": True}


def test_slider_survives_demo_and_reset(notebook):
    notebook.run("%qianfan params top_k=5")
    for line in ("%qianfan demo", "%qianfan reset --all"):
        notebook.run(line, "%%qianfan_chat\nhi")
        assert sent(notebook)["top_k"] == 5, line


def test_loading_anew_unsets_the_sliders(notebook):
    notebook.run("%qianfan params top_k=5", LOAD_ANEW, "%qianfan demo")
    notebook.run("%%qianfan_chat\nhi")
    assert sent(notebook) == {"stream": True}


def test_flag_takes_precedence_over_slider_and_slider_over_config(notebook):
    config, slider = "%config QianfanMagics.top_k = 3", "%qianfan params top_k=5"
    cases = [
        ([config, slider], "", 5),
        ([slider, config], "", 5),
        ([slider], "--top-k 7", 7),
        ([config, slider, "%qianfan params top_k=none"], "", 3),
    ]
    for lines, flags, value in cases:
        unset(notebook)
        notebook.run("%config QianfanMagics.top_k = None", *lines, f"%%qianfan_chat {flags}\nhi")
        assert sent(notebook)["top_k"] == value, lines


def test_column_of_a_comparison_takes_precedence_over_slider(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_chat --compare top_k=1,2\nhi")
    assert sorted(body["top_k"] for body in notebook.bodies) == [1, 2]


def test_invalid_value_changes_no_slider(bare):
    bare.run("%qianfan params top_k=5")
    cases = [
        ("nonsense=1", "nonsense"),
        ("user_id=li", "user_id"),
        ("timeout=5", "timeout"),
        ("temperature", "NAME=VALUE"),
        ("=0.3", "NAME=VALUE"),
        ("temperature=", "temperature"),
        ("temperature=3", r"temperature is .*\(0, 1\]"),
        ("top_k=many", "top_k is 'many'"),
        ("top_k=1.5", "top_k"),
        ("top_p=nan", "top_p"),
        ("stop=", "stop"),
        ("stop=a stop=b stop=c stop=d stop=e", "stop"),
        (f"stop={'x' * 21}", "stop"),
        ("'stop=open", "quot"),
        ("top_k=7 temperature=3", "temperature"),
    ]
    for words, message in cases:
        assert_fails_cleanly(bare, f"%qianfan params {words}", message, ParameterError)
    assert bare.sliders == {"top_k": 5}


# --- what is shown


def rows(shown: str) -> dict[str, str]:
    """Return the values of the table by name, without the ranges."""
    return dict(re.findall(r"^(\w+) {2,}(\S.*?) {2,}\S", shown, re.MULTILINE))


def test_table_shows_the_value_of_every_slider(bare):
    assert rows(bare.run("%qianfan params")) == dict.fromkeys(NAMES, UNSET)
    shown = rows(bare.run("%qianfan params temperature=0.3 stop=a stop=b search_mode=auto"))
    assert shown["temperature"] == "0.3"
    assert shown["stop"] == "['a', 'b']"
    assert shown["search_mode"] == "auto"


def test_table_is_that_of_the_model_which_a_cell_without_flags_asks(notebook):
    version_1, endpoint = notebook.run("%qianfan params"), "%config QianfanMagics.chat_endpoint"
    assert version_1.startswith("Parameters for Dolly-12B")
    assert list(rows(version_1)) == V1_NAMES
    version_2 = notebook.run(f"{endpoint} = ''", "%qianfan params")
    assert version_2.startswith("Parameters for ernie-5.1")
    assert list(rows(version_2)) == [n for n in NAMES if n not in {"top_k", "reasoning_effort"}]


def test_without_a_default_the_table_is_that_of_the_model_which_answered_last(
    bare, own, monkeypatch
):
    assert own
    monkeypatch.delenv("QIANFAN_CHAT_ENDPOINT")
    monkeypatch.delenv("QIANFAN_COMPLETE_ENDPOINT")
    bare.run("%%qianfan_chat -m ernie-5.0\nhi")
    assert bare.run("%qianfan params").startswith("Parameters for ernie-5.0")


def test_status_names_what_is_set_but_not_sent(notebook):
    shown = notebook.run("%qianfan params temperature=0.3 seed=7 max_tokens=9", "%qianfan")
    assert "dolly_12b (version 1); does not take seed" in shown
    assert "starcoder (version 1); does not take seed, max_tokens" in shown


def test_status_shows_the_sliders(bare):
    bare.run("%config QianfanMagics.top_k = 3", "%qianfan params temperature=0.3 stop=a")
    parameters = re.search("Parameters: +(.*)", bare.run("%qianfan"))[1]
    assert set(parameters.split(", ")) == {"top_k=3", "temperature=0.3", "stop=['a']"}


def test_tab_offers_params(bare):
    assert bare.complete("%qianfan par") == ["params"]


def test_unwatched_table_is_one_plain_output_without_html_in_its_values(quiet):
    ran = quiet.run("%qianfan params top_k=5 'stop=<b>x\u202e'")
    quiet.run("%qianfan params top_k=none stop=none")
    (bundle,) = ran.bundles
    assert set(bundle) == {"text/html", "text/plain"}
    assert ran.contents("comm_open") == []
    cells = re.findall("<td[^>]*>(.*?)</td>", bundle["text/html"])
    assert cells[::3] == V1_NAMES
    assert cells[cells.index("top_k") + 1] == "5"
    assert "&lt;b&gt;x" in cells[cells.index("stop") + 1]
    assert "\u202e" not in bundle["text/html"]


# --- the panel in a kernel with a page


@pytest.fixture
def page(live) -> PanelPage:
    """Return a panel of an extension that was just loaded."""
    live.run(LOAD_ANEW)
    shown = live.run("%qianfan params")
    return PanelPage(live, shown, panels(shown)[0])


def displays(ran: Ran, kind: str = "display_data") -> list[str]:
    """Return the identifiers of the outputs that were shown, or updated."""
    return [content["transient"]["display_id"] for content in ran.contents(kind)]


def closed(ran: Ran) -> list[str]:
    return [content["comm_id"] for content in ran.contents("comm_close")]


def test_panel_is_one_widget_with_a_row_for_every_slider(page):
    again = page.kernel.run("%qianfan params")
    for ran in (page.shown, again):
        shown = [content["data"] for content in ran.contents("display_data")]
        assert [bundle[WIDGET]["model_id"] for bundle in shown] == [page.model]
    state = page.shown.contents("comm_open")[-1]["data"]["state"]
    assert [row["name"] for row in state["offer"]["taken"]] == V1_NAMES
    assert [row["name"] for row in state["offer"]["others"]] == [
        name for name in NAMES if name not in V1_NAMES
    ]
    assert panels(again) == []


def test_panel_that_the_page_shows_leaves_a_table_in_its_place(page):
    ran = page.click("shown")
    assert [set(bundle) for bundle in ran.bundles] == [{"text/html", "text/plain"}]
    assert displays(ran, "update_display_data") == displays(page.shown)
    assert all(displays(page.shown))
    assert closed(ran) == []


def test_newer_panel_leaves_a_plain_table_of_the_older_ones_values(page):
    page.click("shown")
    page.set(top_k=5)
    page.click("left")
    newer = page.kernel.run("%qianfan params temperature=0.1")
    [older] = newer.contents("update_display_data")
    assert [older["transient"]["display_id"]] == displays(page.shown)
    html = older["data"]["text/html"]
    assert "qianfan-panel" not in html
    assert re.findall(r"(temperature|top_k)</td><td[^>]*>(.*?)<", html) == [
        ("temperature", "\N{EN DASH}"),
        ("top_k", "5"),
    ]
    assert "The panel of a later cell has the controls." in older["data"]["text/plain"]


def test_table_follows_once_the_reader_has_left_the_controls(page):
    assert page.click("left").bundles == []  # the widget itself stays until the page shows it
    page.click("shown")
    page.set(top_k=5)
    [table] = page.click("left").bundles
    assert re.search("top_k +5", table["text/plain"])
    assert page.click("left").bundles == []


def test_panel_names_the_question_that_again_asks(page):
    assert not page.shown.contents("comm_open")[-1]["data"]["state"]["can_ask"]
    asked = page.state(page.ask(cell="How long is it?"))
    assert asked["can_ask"]
    assert re.fullmatch(r"asks cell \[\d+\] again: “How long is it\?”", asked["question"])
    compared = page.state(page.ask(flags="--compare top_k=1,2"))
    assert not compared["can_ask"]
    assert "compared several" in compared["question"]


def test_value_set_in_the_panel_applies_to_the_next_cell(page):
    page.set(temperature=1, stop=["a", "b"], top_k=5)
    page.ask()
    body = page.bodies[-1]
    assert json.dumps(body["temperature"]) == "1.0"
    assert body["stop"] == ["a", "b"]
    page.ask(flags="--top-k 7")
    assert page.bodies[-1]["top_k"] == 7
    page.set()
    page.ask()
    assert "top_k" not in page.bodies[-1]


def test_invalid_value_is_named_and_reverted(page):
    page.set(top_k=5)
    cases: list[dict[str, Any]] = [
        {"temperature": 3},
        {"top_k": 1.5},
        {"stop": "a"},
        {"max_tokens": None},
        {"top_p": "x"},
        {"search_mode": "x"},
        *({name: "x"} for name in ("nonsense", "user_id", "messages", "stream", "system")),
    ]
    for values in cases:
        state = page.set(**{"top_k": 5} | values)
        assert state["values"] == {"top_k": 5}, values
        name = next(iter(values))
        assert name in state["errors"][name], values
        page.ask()
        parameters = {k: v for k, v in page.bodies[-1].items() if k != "messages"}
        assert parameters == {"top_k": 5}, values
    assert page.set(temperature=0.3)["errors"] == {}


def test_typed_value_moves_the_slider(page):
    assert page.state(page.kernel.run("%qianfan params top_k=5"))["values"] == {"top_k": 5}


def test_panel_advises_against_both_temperature_and_top_p(page):
    state = page.set(temperature=0.3, top_p=0.3)
    assert "only one of temperature and top_p" in state["advice"]


def test_status_shows_a_value_of_the_panel(page):
    page.set(top_k=5)
    assert "top_k=5" in page.kernel.run("%qianfan").bundles[0]["text/plain"]


# --- Again


def test_again_sends_the_question_and_shows_the_answer_in_the_panel(page):
    page.ask("first", cell="one")
    page.ask("second", cell="two")
    ran = page.again("third")
    assert page.bodies[-1]["messages"] == page.bodies[-2]["messages"]
    assert [m["content"] for m in page.bodies[-1]["messages"]] == ["one", "first", "two"]
    state = page.state(ran)
    opened = [c["comm_id"] for c in ran.contents("comm_open") if is_view(c)]
    assert state["reply"] in opened
    assert ran.seen == "third"
    assert state["can_keep"] is True
    assert "third" not in json.dumps(state)
    assert ran.stderr == ""


def test_again_changes_neither_the_cell_nor_the_conversation(page):
    page.ask()
    assert page.again().bundles == []
    assert page.history() == ["hi", "first"]


def test_again_sends_the_flags_of_the_cell(page):
    for flags in ("-s 'Be brief.'", "-e x_dolly_12b", "--user-id li"):
        page.ask(flags=flags)
        page.again()
        paths = [seen.path for seen in page.kernel.server.seen[-2:]]
        assert page.bodies[-1] == page.bodies[-2], flags
        assert paths[0] == paths[1], flags
        page.kernel.run("%qianfan reset")


def test_again_sends_the_values_of_the_sliders(page):
    page.ask(flags="--top-k 7 -t 0.5")
    page.set(top_k=5)
    page.again()
    assert page.bodies[-1]["top_k"] == 5
    assert page.bodies[-1]["temperature"] == 0.5


def test_second_again_closes_the_answer_of_the_first(page):
    page.ask()
    reply = page.state(page.again())["reply"]
    assert closed(page.again("third")) == [reply]


def test_again_repeats_the_last_of_the_cells(page):
    page.ask(cell="one")
    page.kernel.run("%%qianfan_complete\ntwo")
    page.click("again")
    assert page.bodies[-1]["prompt"] == "two"


def test_again_without_an_answer_is_refused(page):
    failed, compared = "%%qianfan_chat -t 3\nhi", "%%qianfan_chat --compare top_k=1,2\nhi"
    for number, cell in enumerate(["x = 1", "%qianfan", failed, compared], 1):
        page.kernel.run(cell)
        page.set(top_k=number)  # removes the message of the case before
        assert page.message_after("again").startswith("There is no answer to request again"), cell


def test_again_that_fails_shows_why_and_cannot_be_kept(page):
    page.kernel.run(f"%%qianfan_chat\n{WALL}")
    for fault, words in ((Fault(error_code=336003), "336003"), (Fault(after=3, end="close"), "")):
        assert page.state(page.click("again"))["can_keep"] is True, fault
        page.kernel.server.fail(fault)
        state = page.state(page.click("again"))
        assert state["can_keep"] is False, fault
        assert words in state["message"], fault


def test_again_can_be_stopped(page):
    page.kernel.run(f"%%qianfan_chat\n{WALL}")
    page.kernel.server.fail(Fault(after=6, end="silence"))
    pressed: list[bool] = []

    def press(ran: Ran) -> None:
        if ran.frames and not pressed:
            pressed.append(True)
            page.kernel.manager.interrupt_kernel()

    asked = page.send({"method": "custom", "content": {"click": "again"}})
    assert page.state(page.result_of(asked, press))["message"] == "Stopped."


# --- Keep


def kept(page: PanelPage, flags: str = "") -> Ran:
    """Keep the second of two answers to a cell."""
    page.ask(flags=flags)
    page.again()
    return page.click("keep")


def test_keep_replaces_the_last_answer_of_the_conversation(page):
    page.ask("zeroth", cell="before")
    kept(page)
    assert page.history() == ["before", "zeroth", "hi", "second"]
    page.ask("third", cell="next")
    contents = [message["content"] for message in page.bodies[-1]["messages"]]
    assert contents == ["before", "zeroth", "hi", "second", "next"]


def test_keep_changes_the_conversation_of_the_cell(page):
    kept(page, "-n tutor")
    shown = page.kernel.run("%qianfan history -n tutor").bundles[0]["text/plain"]
    assert shown.endswith("second")
    assert page.history() == []


def test_keep_replaces_the_answer_under_its_cell(page):
    before = displays(page.ask())
    page.again()
    ran = page.click("keep")
    assert [bundle["text/plain"].split()[0] for bundle in ran.bundles] == ["second"]
    assert displays(ran, "update_display_data") == before


def test_keep_replaces_a_completion_under_its_cell(page):
    page.kernel.run("%%qianfan_complete\nx = 1")
    page.again()
    assert page.click("keep").bundles[0]["text/plain"].startswith("second")


def test_keep_replaces_the_answer_in_the_output_widget_of_its_cell(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    kept(page, "--into box")
    result = page.kernel.run("box.outputs[0]['data']['text/plain'].split()[0]")
    assert result.contents("execute_result")[0]["data"]["text/plain"] == "'second'"


def test_keep_binds_the_reply(page):
    kept(page, "-o reply")
    result = page.kernel.run("reply.text").contents("execute_result")[0]
    assert result["data"]["text/plain"] == "'second'"


def test_answer_is_kept_once_and_closed_in_the_panel(page):
    page.ask()
    assert page.message_after("keep").startswith("There is no answer to keep")
    reply = page.state(page.again())["reply"]
    ran = page.click("keep")
    assert page.state(ran)["message"].startswith("Kept")
    assert page.state(ran)["reply"] == ""
    assert closed(ran) == [reply]
    assert page.message_after("keep").startswith("There is no answer to keep")


def test_next_again_can_be_kept_too(page):
    kept(page)
    page.again("third")
    page.click("keep")
    assert page.history() == ["hi", "third"]


def test_keep_changes_nothing_once_the_notebook_has_moved_on(page):
    cases = [
        ("%%qianfan_chat --no-stream\nnext", ["hi", "first", "next", "third"]),
        ("%%qianfan_complete --no-stream\nnext", ["hi", "first"]),
        ("%qianfan reset", []),
        ("%qianfan reset --all", []),
    ]
    for cell, history in cases:
        page.ask()
        page.again()
        page.answer("third")
        shown = displays(page.kernel.run(cell))
        page.kernel.server.faults.clear()
        ran = page.click("keep")
        assert re.search("asked since|been continued", page.state(ran)["message"]), cell
        assert page.history() == history, cell
        assert not set(shown) & set(displays(ran, "update_display_data")), cell
        page.kernel.run("%qianfan reset --all")


def test_keep_changes_no_other_conversation(page):
    page.ask()
    page.again()
    page.ask("third", "-n other")
    page.click("keep")
    shown = page.kernel.run("%qianfan history -n other").bundles[0]["text/plain"]
    assert shown.endswith("third")


# --- the end


def test_reload_closes_the_panel_and_its_answer_and_opens_a_new_one(page):
    page.ask()
    reply = page.state(page.again())["reply"]
    ran = page.kernel.run("%reload_ext qianfan_magic")
    assert {page.model, reply} <= set(closed(ran))
    (new,) = panels(page.kernel.run("%qianfan params"))
    assert new != page.model

"""`%qianfan params`: by hand in a shell, and as a panel in a kernel, moved as a page moves it."""

from __future__ import annotations

import json
import re

import pytest
from support.kernel import WIDGET, Ran, is_view
from support.notebook import WALL, sent
from support.panel import PanelPage, panels

from qianfan_magic import ParameterError
from qianfan_magic.embedded.faults import Fault

NAMES = ["temperature", "top_p", "top_k", "penalty_score", "stop", "max_tokens"]
NAMES += ["seed", "enable_thinking", "thinking_budget"]

# --- by hand


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ("temperature=0.3", {"temperature": 0.3}),
        ("top-p=0.25", {"top_p": 0.25}),
        ("top_k=5 penalty_score=1.5", {"top_k": 5, "penalty_score": 1.5}),
        ("stop=END", {"stop": ["END"]}),
        ("stop=a stop=b", {"stop": ["a", "b"]}),
        ("'stop=b c'", {"stop": ["b c"]}),
        ("stop=a=b", {"stop": ["a=b"]}),
        (r"'stop=\n'", {"stop": ["\n"]}),
        ("max_tokens=50", {"max_output_tokens": 50}),
        ("temperature=0.1 temperature=0.9", {"temperature": 0.9}),
        ("temperature=none", {}),
    ],
)
def test_slider_counts_for_the_next_cell(notebook, words, parameters):
    notebook.run(f"%qianfan params {words}", "%%qianfan_chat\nhi")
    assert sent(notebook) == parameters | {"stream": True}


def test_slider_counts_for_every_cell(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_complete\nx", "%%qianfan_chat\nhi")
    assert [body["top_k"] for body in notebook.bodies] == [5, 5]


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
@pytest.mark.parametrize("name", ["temperature", "stop"])
def test_none_leaves_it_to_the_service_again(notebook, name, word):
    notebook.run("%qianfan params temperature=0.3 stop=a", f"%qianfan params {name}={word}")
    notebook.run("%%qianfan_chat\nhi")
    assert name not in sent(notebook)


def test_slider_leaves_the_others_as_they_are(notebook):
    notebook.run("%qianfan params top_k=5", "%qianfan params temperature=0.3", "%%qianfan_chat\nhi")
    assert (sent(notebook)["top_k"], sent(notebook)["temperature"]) == (5, 0.3)


def test_stop_that_is_set_anew_takes_the_place_of_the_ones_before(notebook):
    notebook.run("%qianfan params stop=a stop=b", "%qianfan params stop=c", "%%qianfan_chat\nhi")
    assert sent(notebook)["stop"] == ["c"]


def test_slider_of_chats_spares_completions(notebook):
    notebook.run("%qianfan params max_tokens=50", "%%qianfan_complete\nhi")
    assert sent(notebook) == {"stream": True}


@pytest.mark.parametrize("line", ["%qianfan demo", "%qianfan reset --all"])
def test_slider_outlasts(notebook, line):
    notebook.run("%qianfan params top_k=5", line, "%%qianfan_chat\nhi")
    assert sent(notebook)["top_k"] == 5


def test_reload_forgets_the_sliders(notebook):
    notebook.run("%qianfan params top_k=5", "%reload_ext qianfan_magic", "%qianfan demo")
    notebook.run("%%qianfan_chat\nhi")
    assert sent(notebook) == {"stream": True}


# --- precedence: flag, slider, %config


def test_slider_wins_over_config(notebook):
    notebook.run("%config QianfanMagics.top_k = 3", "%qianfan params top_k=5", "%%qianfan_chat\nhi")
    assert sent(notebook)["top_k"] == 5


def test_config_that_is_set_later_does_not_win(notebook):
    notebook.run("%qianfan params top_k=5", "%config QianfanMagics.top_k = 3", "%%qianfan_chat\nhi")
    assert sent(notebook)["top_k"] == 5


def test_flag_wins_over_slider(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_chat --top-k 7\nhi")
    assert sent(notebook)["top_k"] == 7


def test_config_counts_again_where_a_slider_is_unset(notebook):
    notebook.run("%config QianfanMagics.top_k = 3", "%qianfan params top_k=5")
    notebook.run("%qianfan params top_k=none", "%%qianfan_chat\nhi")
    assert sent(notebook)["top_k"] == 3


def test_column_of_a_comparison_wins_over_slider(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_chat --compare top_k=1,2\nhi")
    assert sorted(body["top_k"] for body in notebook.bodies) == [1, 2]


# --- what is refused

WRONG = {
    "unknown name": ("nonsense=1", "nonsense"),
    "no slider": ("user_id=li", "user_id"),
    "of sending": ("timeout=5", "timeout"),
    "no value": ("temperature", "NAME=VALUE"),
    "no name": ("=0.3", "NAME=VALUE"),
    "empty value": ("temperature=", "temperature"),
    "out of range": ("temperature=3", r"temperature is .*\(0, 1\]"),
    "no number": ("top_k=many", "top_k is 'many'"),
    "half a number": ("top_k=1.5", "top_k"),
    "no finite number": ("top_p=nan", "top_p"),
    "empty stop": ("stop=", "stop"),
    "five stops": ("stop=a stop=b stop=c stop=d stop=e", "stop"),
    "long stop": (f"stop={'x' * 21}", "stop"),
    "quote": ("'stop=open", "quot"),
    "good and wrong": ("top_k=7 temperature=3", "temperature"),
}
wrong = pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=WRONG)


@wrong
def test_wrong_slider_says_what_is_wrong(bare, words, says):
    error, _ = bare.fail(f"%qianfan params {words}")
    assert (type(error), bool(re.search(says, error.message))) == (ParameterError, True)


@wrong
def test_wrong_slider_is_shown_in_two_lines(bare, words, says):
    error, shown = bare.fail(f"%qianfan params {words}")
    assert shown.splitlines() == [f"ParameterError: {error.message}", f"→ {error.hint}"]


@wrong
def test_wrong_slider_says_what_to_do(bare, words, says):
    error, _ = bare.fail(f"%qianfan params {words}")
    assert error.hint


@wrong
def test_wrong_slider_changes_nothing(bare, words, says):
    bare.run("%qianfan params top_k=5")
    bare.fail(f"%qianfan params {words}")
    assert bare.sliders == {"top_k": 5}


# --- what is shown


def rows(shown: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) +(\S.*)$", shown, re.MULTILINE))


def test_table_names_every_slider(bare):
    assert list(rows(bare.run("%qianfan params"))) == NAMES


def test_table_shows_the_values(bare):
    shown = rows(bare.run("%qianfan params temperature=0.3 stop=a stop=b"))
    assert (shown["temperature"], shown["stop"]) == ("0.3", "['a', 'b']")


def test_table_says_who_decides_the_rest(bare):
    assert set(rows(bare.run("%qianfan params")).values()) == {"the service decides"}


@pytest.mark.parametrize(("words", "advised"), [("temperature=0.3", 0), ("top_p=0.3", 1)])
def test_table_advises_against_both(bare, words, advised):
    shown = bare.run("%qianfan params temperature=0.9", f"%qianfan params {words}")
    assert shown.count("set only one of temperature and top_p") == advised


def test_status_shows_the_sliders(bare):
    shown = bare.run("%config QianfanMagics.top_k = 3", "%qianfan params temperature=0.3 stop=a")
    shown = bare.run("%qianfan")
    parameters = re.search("Parameters: +(.*)", shown)[1]
    assert set(parameters.split(", ")) == {"top_k=3", "temperature=0.3", "stop=['a']"}


def test_tab_offers_params(bare):
    assert bare.complete("%qianfan par") == ["params"]


def test_unwatched_table_is_one_plain_output(quiet):
    ran = quiet.run("%qianfan params top_k=5")
    quiet.run("%qianfan params top_k=none")
    kinds = [set(bundle) for bundle in ran.bundles]
    assert (kinds, ran.contents("comm_open")) == ([{"text/html", "text/plain"}], [])


def test_unwatched_table_is_a_table(quiet):
    html = quiet.run("%qianfan params top_k=5").bundles[0]["text/html"]
    quiet.run("%qianfan params top_k=none")
    cells = re.findall("<td[^>]*>(.*?)</td>", html)
    assert (cells[::3], cells[cells.index("top_k") + 1]) == (NAMES, "5")


def test_value_in_a_table_is_no_html(quiet):
    html = quiet.run("%qianfan params 'stop=<b>x\u202e'").bundles[0]["text/html"]
    quiet.run("%qianfan params stop=none")
    assert ("&lt;b&gt;x" in html, "\u202e" in html) == (True, False)


# --- the panel in a kernel that somebody watches


@pytest.fixture
def page(live) -> PanelPage:
    """Give a panel of an extension that was just loaded."""
    live.run("%reload_ext qianfan_magic")
    shown = live.run("%qianfan params")
    return PanelPage(live, shown, panels(shown)[0])


def test_panel_is_a_widget(page):
    views = [bundle[WIDGET]["model_id"] for bundle in page.shown.bundles]
    assert views == [page.model]


def test_panel_is_opened_once_though_it_is_shown_twice(page):
    again = page.kernel.run("%qianfan params")
    views = [bundle[WIDGET]["model_id"] for bundle in again.bundles]
    assert (panels(again), views) == ([], [page.model])


def test_panel_has_a_row_for_every_slider(page):
    state = page.shown.contents("comm_open")[-1]["data"]["state"]
    assert [row["name"] for row in state["rows"]] == NAMES


def test_panel_that_the_page_has_taken_over_leaves_a_table(page):
    ran = page.click("shown")
    assert [set(bundle) for bundle in ran.bundles] == [{"text/html", "text/plain"}]


def test_table_takes_the_panels_place(page):
    before = page.shown.contents("display_data")[0]["transient"]
    after = page.click("shown").contents("update_display_data")[0]["transient"]
    assert (before["display_id"], bool(before["display_id"])) == (after["display_id"], True)


def test_panel_stays_open_for_the_page(page):
    assert page.click("shown").contents("comm_close") == []


def test_every_panel_that_is_shown_leaves_its_table(page):
    page.kernel.run("%qianfan params")
    assert len(page.click("shown").contents("update_display_data")) == 2


# --- values


def test_value_that_is_moved_counts_for_the_next_cell(page):
    page.set(temperature=0.3, stop=["a", "b"])
    page.ask()
    assert (page.bodies[-1]["temperature"], page.bodies[-1]["stop"]) == (0.3, ["a", "b"])


def test_value_that_is_taken_away_is_left_to_the_service(page):
    page.set(top_k=5)
    page.set()
    page.ask()
    assert "top_k" not in page.bodies[-1]


def test_whole_number_of_a_page_is_a_number(page):
    page.set(temperature=1)
    page.ask()
    assert page.bodies[-1]["temperature"] == 1.0


def test_flag_wins_over_a_value_that_is_moved(page):
    page.set(top_k=5)
    page.ask(flags="--top-k 7")
    assert page.bodies[-1]["top_k"] == 7


INVALID = [{"temperature": 3}, {"top_k": 1.5}, {"stop": "a"}, {"max_tokens": None}, {"top_p": "x"}]


@pytest.mark.parametrize("values", INVALID)
def test_invalid_value_is_reverted(page, values):
    page.set(top_k=5)
    assert page.set(**{"top_k": 5} | values)["values"] == {"top_k": 5}


@pytest.mark.parametrize("values", INVALID)
def test_invalid_value_is_said(page, values):
    assert next(iter(values)) in page.set(**values)["message"]


@pytest.mark.parametrize("values", INVALID)
def test_invalid_value_does_not_count(page, values):
    page.set(**values)
    page.ask()
    assert not values.keys() & page.bodies[-1].keys()


@pytest.mark.parametrize("name", ["nonsense", "user_id", "messages", "stream", "system"])
def test_value_of_an_unknown_name_is_reverted(page, name):
    assert page.set(**{name: "x"})["values"] == {}


def test_good_value_takes_back_what_was_said(page):
    page.set(temperature=3)
    assert page.set(temperature=0.3)["message"] == ""


def test_value_set_by_hand_moves_the_slider(page):
    assert page.state(page.kernel.run("%qianfan params top_k=5"))["values"] == {"top_k": 5}


def test_panel_advises_against_both(page):
    told = page.set(temperature=0.3, top_p=0.3)
    assert "only one of temperature and top_p" in told["advice"]


def test_status_shows_a_value_that_was_moved(page):
    page.set(top_k=5)
    assert "top_k=5" in page.kernel.run("%qianfan").bundles[0]["text/plain"]


# --- Again


def test_again_sends_the_question_once_more(page):
    page.ask()
    page.again()
    assert page.bodies[-1]["messages"] == page.bodies[-2]["messages"]


def test_again_takes_the_conversation_before_along(page):
    page.ask("first", cell="one")
    page.ask("second", cell="two")
    page.again()
    assert [m["content"] for m in page.bodies[-1]["messages"]] == ["one", "first", "two"]


@pytest.mark.parametrize("flags", ["-s 'Be brief.'", "-e x_dolly_12b", "--user-id li"])
def test_again_keeps_the_flags(page, flags):
    page.ask(flags=flags)
    page.again()
    paths = [seen.path for seen in page.kernel.server.seen[-2:]]
    assert (page.bodies[-1], paths[1]) == (page.bodies[-2], paths[0])


def test_again_takes_the_values_of_the_sliders(page):
    page.ask(flags="--top-k 7 -t 0.5")
    page.set(top_k=5)
    page.again()
    assert (page.bodies[-1]["top_k"], page.bodies[-1]["temperature"]) == (5, 0.5)


def test_again_shows_the_answer_in_the_panel(page):
    page.ask()
    ran = page.again()
    opened = [c["comm_id"] for c in ran.contents("comm_open") if is_view(c)]
    assert (page.state(ran)["reply"] in opened, ran.seen) == (True, "second")


def test_again_changes_nothing_under_the_cell(page):
    page.ask()
    assert page.again().bundles == []


def test_again_changes_no_conversation(page):
    page.ask()
    page.again()
    assert page.history() == ["hi", "first"]


def test_again_can_be_kept(page):
    page.ask()
    assert page.state(page.again())["can_keep"] is True


def test_second_again_closes_the_answer_of_the_first(page):
    page.ask()
    reply = page.state(page.again())["reply"]
    assert [c["comm_id"] for c in page.again("third").contents("comm_close")] == [reply]


def test_again_asks_the_last_of_the_cells(page):
    page.ask(cell="one")
    page.kernel.run("%%qianfan_complete\ntwo")
    page.click("again")
    assert page.bodies[-1]["prompt"] == "two"


@pytest.mark.parametrize("cell", ["x = 1", "%qianfan", "%%qianfan_chat -t 3\nhi"])
def test_again_without_an_answer_says_so(page, cell):
    page.kernel.run(cell)
    assert page.says("again").startswith("There is no answer to request again")


def test_again_after_a_comparison_says_so(page):
    page.kernel.run("%%qianfan_chat --compare top_k=1,2\nhi")
    assert page.says("again").startswith("There is no answer to request again")


def test_again_that_fails_says_why(page):
    page.ask()
    page.kernel.server.fail(Fault(error_code=336003, error_msg="odd"))
    assert "336003" in page.says("again")


@pytest.mark.parametrize("fault", [Fault(error_code=336003), Fault(after=3, end="close")])
def test_again_that_fails_cannot_be_kept(page, fault):
    page.kernel.run(f"%%qianfan_chat\n{WALL}")
    page.click("again")
    page.kernel.server.fail(fault)
    assert page.state(page.click("again"))["can_keep"] is False


def test_again_can_be_stopped(page):
    page.kernel.run(f"%%qianfan_chat\n{WALL}")
    page.kernel.server.fail(Fault(after=6, end="silence"))
    pressed: list[bool] = []

    def press(ran: Ran) -> None:
        if ran.frames and not pressed:
            pressed.append(True)
            page.kernel.manager.interrupt_kernel()

    asked = page.tell({"method": "custom", "content": {"click": "again"}})
    assert page.state(page.ran(asked, press))["message"] == "Stopped."


def test_again_writes_nothing_to_stderr(page):
    page.ask()
    assert page.again().stderr == ""


# --- Keep


def kept(page: PanelPage, flags: str = "") -> Ran:
    """Keep the second of two answers to a cell."""
    page.ask(flags=flags)
    page.again()
    return page.click("keep")


def test_keep_exchanges_the_turn(page):
    kept(page)
    assert page.history() == ["hi", "second"]


def test_keep_leaves_the_turns_before(page):
    page.ask("zeroth", cell="before")
    kept(page)
    assert page.history() == ["before", "zeroth", "hi", "second"]


def test_keep_is_of_the_conversation_of_the_cell(page):
    kept(page, "-n tutor")
    shown = page.kernel.run("%qianfan history -n tutor").bundles[0]["text/plain"]
    assert (shown.endswith("second"), page.history()) == (True, [])


def test_keep_puts_the_answer_under_its_cell(page):
    bundles = kept(page).bundles
    assert [bundle["text/plain"].split()[0] for bundle in bundles] == ["second"]


def test_keep_puts_the_answer_into_the_place_of_the_one_before(page):
    before = page.ask().contents("display_data")[0]["transient"]["display_id"]
    page.again()
    after = page.click("keep").contents("update_display_data")
    assert [content["transient"]["display_id"] for content in after] == [before]


def test_keep_puts_a_completion_under_its_cell(page):
    page.kernel.run("%%qianfan_complete\nx = 1")
    page.again()
    assert page.click("keep").bundles[0]["text/plain"].startswith("second")


def test_keep_puts_the_answer_into_the_output_of_its_cell(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    kept(page, "--into box")
    result = page.kernel.run("box.outputs[0]['data']['text/plain'].split()[0]")
    assert result.contents("execute_result")[0]["data"]["text/plain"] == "'second'"


def test_keep_binds_the_reply(page):
    kept(page, "-o reply")
    result = page.kernel.run("reply.text").contents("execute_result")[0]
    assert result["data"]["text/plain"] == "'second'"


def test_keep_says_where_the_answer_is(page):
    assert page.state(kept(page))["message"].startswith("Kept")


def test_keep_closes_the_answer_in_the_panel(page):
    page.ask()
    reply = page.state(page.again())["reply"]
    ran = page.click("keep")
    closed = [content["comm_id"] for content in ran.contents("comm_close")]
    assert (closed, page.state(ran)["reply"]) == ([reply], "")


def test_answer_is_kept_once(page):
    kept(page)
    assert page.says("keep").startswith("There is no answer to keep")


def test_keep_without_again_says_so(page):
    page.ask()
    assert page.says("keep").startswith("There is no answer to keep")


def test_next_again_can_be_kept_too(page):
    kept(page)
    page.again("third")
    page.click("keep")
    assert page.history() == ["hi", "third"]


def test_answer_that_was_kept_goes_along_with_the_next_question(page):
    kept(page)
    page.ask("third", cell="next")
    assert [m["content"] for m in page.bodies[-1]["messages"]] == ["hi", "second", "next"]


NEXT = "%%qianfan_chat --no-stream\nnext"


@pytest.mark.parametrize(
    ("cell", "history"),
    [
        (NEXT, ["hi", "first", "next", "third"]),
        ("%qianfan reset", []),
        ("%qianfan reset --all", []),
    ],
)
def test_keep_changes_no_conversation_that_has_gone_on(page, cell, history):
    page.ask()
    page.again()
    page.answer("third")
    page.kernel.run(cell)
    page.click("keep")
    assert page.history() == history


def test_keep_changes_no_other_conversation(page):
    page.ask()
    page.again()
    page.ask("third", "-n other")
    page.click("keep")
    shown = page.kernel.run("%qianfan history -n other").bundles[0]["text/plain"]
    assert shown.endswith("third")


@pytest.mark.parametrize("cell", [NEXT, "%%qianfan_complete --no-stream\nnext"])
def test_keep_puts_no_answer_under_the_cell_of_another_question(page, cell):
    page.ask()
    page.again()
    page.answer("third")
    after = page.kernel.run(cell).contents("display_data")[0]["transient"]["display_id"]
    updated = page.click("keep").contents("update_display_data")
    assert after not in [content["transient"]["display_id"] for content in updated]


def test_keep_after_the_conversation_has_gone_on_says_so(page):
    page.ask()
    page.again()
    page.ask("third", cell="next")
    assert re.search("an answer since|continued since", page.says("keep"))


# --- the end


def test_unload_closes_the_panel(page):
    ran = page.kernel.run("%unload_ext qianfan_magic")
    page.kernel.run("%load_ext qianfan_magic")
    assert page.model in [content["comm_id"] for content in ran.contents("comm_close")]


def test_unload_closes_the_answer_in_the_panel(page):
    page.ask()
    reply = page.state(page.again())["reply"]
    ran = page.kernel.run("%reload_ext qianfan_magic")
    assert reply in [content["comm_id"] for content in ran.contents("comm_close")]


def test_panel_after_a_reload_is_a_new_one(page):
    page.kernel.run("%reload_ext qianfan_magic")
    assert page.model not in panels(page.kernel.run("%qianfan params"))


def test_panel_holds_no_answer_in_its_state(page):
    page.ask()
    told = page.state(page.again("a secret answer"))
    assert "a secret answer" not in json.dumps(told)

"""The conversation follows the notebook: cells run again, in any order, stopped, restored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import permutations
from typing import Any

import pytest
from support.kernel import WIDGET, Ran, running
from support.notebook import WALL, Notebook
from support.page import Page, cleared, records_of, text_of
from support.waiting import until

from qianfan_magic import ParameterError, QianfanError, Reply
from qianfan_magic.embedded.engines.scripted import BEIJING
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.session.cell_request import CONTINUE, CONTINUE_CHINESE

KEY = "qianfan_magic"
REFUSED = Fault(error_code=336003)
CUT_OFF = "%%qianfan_chat --max-tokens 10\nPlease introduce Beijing"
#: Two services of one model; a fault is for the one whose name it holds.
ENDPOINTS = "--compare endpoint=a_dolly_12b,b_dolly_12b"


def told(ran: Ran) -> list[tuple[int, str]]:
    """Give number and question of each turn that the last output's record tells."""
    return [(turn["turn"], turn["user"]) for turn in records_of(ran)[-1]["turns"]]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Iterator[dict[str, Page]]:
    """Give a notebook that nobody watches, and one that somebody does."""
    with ExitStack() as stack:
        made = {}
        for live in ("off", "on"):
            folder = tmp_path_factory.mktemp(live)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("JPY_SESSION_NAME", str(folder / "page.ipynb"))
                kernel = stack.enter_context(running(live, folder))
            made[live] = Page(kernel, folder / "page.ipynb")
        yield made


@pytest.fixture
def page(pages) -> Page:
    return cleared(pages["off"])


@pytest.fixture
def watched(pages) -> Page:
    return cleared(pages["on"])


# --- a cell that is run again


def test_cells_that_are_run_once_add_their_turns(page):
    page.talk("one", "two", "three")
    assert page.questions() == ["one", "two", "three"]


def test_first_run_tells_of_nothing_that_goes(page):
    page.talk("one")
    shown = text_of(page.ask("b", "two"))
    assert re.findall(r"^\[(\w+)", shown, re.MULTILINE) == ["dolly_12b"]


def test_rerun_replaces_its_turn(page):
    page.talk("one")
    page.ask("a", "uno")
    assert page.questions() == ["uno"]


def test_rerun_drops_what_was_said_after(page):
    page.talk("one", "two", "three")
    page.ask("b", "dos")
    assert page.questions() == ["one", "dos"]


def test_rerun_sends_what_was_said_before(page):
    page.talk("one", "two", "three")
    page.ask("b", "dos")
    assert page.sent() == ["one", "dos"]


def test_question_after_a_rerun_sends_the_new_turn(page):
    page.talk("one", "two", "three")
    page.ask("b", "dos")
    page.ask("c", "tres")
    assert page.sent() == ["one", "dos", "tres"]


def test_rerun_names_the_turn_that_it_replaces(page):
    page.talk("one", "two")
    shown = text_of(page.ask("b", "dos"))
    assert "[Replaces turn 2, which this cell asked before.]" in shown


def test_rerun_names_what_it_drops(page):
    page.talk("one", "two", "three")
    shown = text_of(page.ask("a", "uno"))
    dropped = "turn 2 (\u201ctwo\u201d), turn 3 (\u201cthree\u201d)"
    assert f" Dropped turns that followed: {dropped}.]" in shown


def test_rerun_counts_what_it_drops_beyond_three(page):
    page.talk("one", "two", "three", "four", "five", "six")
    shown = text_of(page.ask("a", "uno"))
    assert "turn 4 (\u201cfour\u201d), 2 more." in shown


def test_rerun_of_the_last_cell_drops_nothing(page):
    page.talk("one", "two")
    assert "Dropped" not in text_of(page.ask("b", "dos"))


def test_rerun_takes_the_system_text_back_to_what_it_was_before(page):
    page.ask("a", "one")
    page.ask("b", "two", "-s 'Be brief.'")
    page.ask("b", "dos")
    assert "system" not in page.bodies[-1]


def test_rerun_keeps_the_system_text_of_the_turns_before(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.ask("b", "two", "-s 'Be long.'")
    page.ask("b", "dos")
    assert page.bodies[-1]["system"] == "Be brief."


@pytest.mark.parametrize("again", [1, 3])
def test_cell_has_one_turn_however_often_it_is_run(page, again):
    for _ in range(again):
        page.ask("a", "one")
    assert page.questions() == ["one"]


def test_rerun_in_another_conversation_takes_the_turn_out_of_the_first(page):
    page.talk("one", "two")
    page.ask("b", "two", "-n tutor")
    assert (page.questions(), page.questions("tutor")) == (["one"], ["two"])


def test_rerun_in_another_conversation_drops_what_followed_in_the_first(page):
    page.talk("one", "two", "three")
    page.ask("b", "two", "-n tutor")
    assert page.questions() == ["one"]


def test_rerun_in_another_conversation_tells_which_it_takes_from(page):
    page.talk("one", "two")
    shown = text_of(page.ask("a", "one", "-n tutor"))
    dropped = "Dropped turns that followed: turn 2 (\u201ctwo\u201d)."
    replaced = "In default: Replaces turn 1, which this cell asked before."
    assert f"[{replaced} {dropped}]" in shown


def test_rerun_in_another_conversation_records_both(page):
    page.talk("one")
    (record,) = records_of(page.ask("a", "one", "-n tutor"))
    assert (set(record["heads"]), record["heads"]["default"]["id"]) == ({"tutor", "default"}, "")


def test_rerun_of_one_conversation_spares_the_other(page):
    page.ask("a", "one")
    page.ask("b", "two", "-n tutor")
    page.ask("a", "uno")
    assert page.questions("tutor") == ["two"]


def test_cells_without_an_id_add_each_time(page):
    page.ask("", "one")
    page.ask("", "one")
    assert page.questions() == ["one", "one"]


def test_cell_with_an_id_spares_the_turns_of_those_without(page):
    page.ask("", "one")
    page.ask("a", "two")
    page.ask("a", "dos")
    assert page.questions() == ["one", "dos"]


# --- --append


def test_append_adds(page):
    page.talk("one", "two")
    page.ask("a", "uno", "--append")
    assert page.questions() == ["one", "two", "uno"]


def test_append_tells_of_nothing_that_goes(page):
    page.talk("one", "two")
    assert "this cell asked" not in text_of(page.ask("a", "uno", "--append"))


def test_append_records_the_earlier_turn_too(page):
    """The front end has cleared the output that told it."""
    page.talk("one", "two")
    assert told(page.ask("a", "uno", "--append")) == [(1, "one"), (3, "uno")]


def test_rerun_after_append_replaces_all_turns_of_the_cell(page):
    page.ask("a", "one")
    page.ask("a", "uno", "--append")
    shown = text_of(page.ask("a", "eins"))
    assert ("Replaces turns 1, 2," in shown, page.questions()) == (True, ["eins"])


# --- a run that changes nothing


WITHOUT_AN_ANSWER: dict[str, tuple[str, Fault | None]] = {
    "refused": ("%%qianfan_chat\nuno", REFUSED),
    "broken off": ("%%qianfan_chat\nPlease introduce Beijing", Fault(after=4, end="close")),
    "too hot": ("%%qianfan_chat -t 3\nuno", None),
    "unknown flag": ("%%qianfan_chat --nonsense\nuno", None),
    "open quote": ("%%qianfan_chat -s 'x\nuno", None),
    "no text": ("%%qianfan_chat\n", None),
    "too long": (f"%%qianfan_chat\n{'x' * 4_801}", None),
    "unknown variable": ("%%qianfan_chat --fill\n{nobody}", None),
    "no widget": ("%%qianfan_chat --into nobody\nuno", None),
    "dry run": ("%%qianfan_chat --dry-run\nuno", None),
    "help": ("%%qianfan_chat -h\n", None),
    "empty answer": ("%%qianfan_chat\nuno", Fault(fields={"result": ""})),
    "blank answer": ("%%qianfan_chat --no-stream\nuno", Fault(fields={"result": " \n"})),
    "comparison": (f"%%qianfan_chat {ENDPOINTS}\nuno", Fault(path="/a_dolly", error_code=336003)),
}
without_an_answer = pytest.mark.parametrize(
    ("code", "fault"), WITHOUT_AN_ANSWER.values(), ids=WITHOUT_AN_ANSWER
)


def fruitless(page: Page, code: str, fault: Fault | None) -> Ran:
    """Run the first of two cells again, in vain."""
    page.talk("one", "two")
    if fault:
        page.server.fail(fault)
    return page.run("a", code)


@without_an_answer
def test_run_without_an_answer_leaves_the_conversation(page, code, fault):
    fruitless(page, code, fault)
    assert page.questions() == ["one", "two"]


@without_an_answer
def test_run_without_an_answer_says_what_stays(page, code, fault):
    shown = text_of(fruitless(page, code, fault))
    stays = "The conversation default is unchanged: it still has turn 1,"
    assert f"{stays} which this cell asked before." in shown


@without_an_answer
def test_run_without_an_answer_drops_nothing_in_words_either(page, code, fault):
    shown = text_of(fruitless(page, code, fault))
    assert ("Dropped" in shown, "In the place" in shown) == (False, False)


@without_an_answer
def test_run_without_an_answer_records_the_turn_that_stays(page, code, fault):
    assert told(fruitless(page, code, fault)) == [(1, "one")]


@without_an_answer
def test_notebook_after_a_run_without_an_answer_is_restored_whole(page, code, fault):
    fruitless(page, code, fault)
    said = page.messages()
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.messages() == said


def test_first_run_without_an_answer_says_nothing_of_turns(page):
    page.talk("one")
    page.server.fail(REFUSED)
    assert page.run("b", "%%qianfan_chat\ntwo").bundles == []


def test_run_without_an_answer_in_another_conversation_leaves_the_first(page):
    page.talk("one", "two")
    page.server.fail(REFUSED)
    ran = page.run("a", "%%qianfan_chat -n tutor\none")
    assert (page.questions(), told(ran)) == (["one", "two"], [(1, "one")])


def test_run_without_an_answer_says_what_stays_in_each_conversation(page):
    page.ask("a", "one")
    page.ask("a", "uno", "-n tutor --append")
    page.server.fail(REFUSED)
    shown = text_of(page.run("a", "%%qianfan_chat\neins"))
    assert re.findall(r"The conversation (\w+) is unchanged", shown) == ["default", "tutor"]


def stop_before_a_word(page: Page, cell: str, question: str = "uno") -> Ran:
    """Stop a cell once the server has the question and says nothing."""
    asked = len(page.bodies)
    page.server.fail(Fault(end="silence"))
    came = lambda _: until(lambda: len(page.bodies) > asked)  # noqa: E731
    return page.stop(cell, f"%%qianfan_chat\n{question}", came)


def test_stop_before_a_word_leaves_the_conversation(page):
    page.talk("one", "two")
    ran = stop_before_a_word(page, "a")
    assert (ran.reply["ename"], page.questions()) == ("KeyboardInterrupt", ["one", "two"])


def test_stop_before_a_word_says_what_stays(page):
    page.talk("one", "two")
    assert "it still has turn 1, which this cell" in text_of(stop_before_a_word(page, "a"))


def test_stop_before_a_word_records_the_turn_that_stays(page):
    page.talk("one", "two")
    assert told(stop_before_a_word(page, "a")) == [(1, "one")]


# --- a stopped cell


def stop_in_the_middle(page: Page, cell: str, code: str = f"%%qianfan_chat\n{WALL}"):
    """Stop a cell once words are seen; its answer pauses after some chunks."""
    page.server.fail(Fault(after=8, end="silence"))
    return page.stop(cell, code, lambda ran: ran.seen)


def test_stopped_rerun_keeps_what_came(watched):
    watched.talk("one", "two")
    stop_in_the_middle(watched, "b")
    assert watched.questions() == ["one", WALL]


def test_stopped_rerun_shows_what_is_kept(watched):
    watched.talk("one")
    shown = text_of(stop_in_the_middle(watched, "a"))
    kept = watched.messages()[1].strip()
    assert (bool(kept), kept in shown) == (True, True)


def test_stopped_rerun_tells_what_it_replaces(watched):
    watched.talk("one")
    assert "[Replaces turn 1, which" in text_of(stop_in_the_middle(watched, "a"))


def test_stopped_rerun_says_nothing_of_what_stays(watched):
    watched.talk("one")
    assert "is unchanged" not in text_of(stop_in_the_middle(watched, "a"))


def test_stopped_turn_is_marked_in_its_record(watched):
    (turn,) = records_of(stop_in_the_middle(watched, "a"))[-1]["turns"]
    assert (turn["stopped"], "truncated" in turn) == (True, False)


def test_stopped_turn_is_marked_in_the_history(watched):
    stop_in_the_middle(watched, "a")
    assert "1. assistant (stopped)" in watched.say("%qianfan history")


def test_stopped_turn_is_replaced_by_the_next_run(watched):
    stop_in_the_middle(watched, "a")
    watched.ask("a", "uno")
    assert watched.questions() == ["uno"]


# --- several questions of one cell


LOOP = """for question in {!r}:
    get_ipython().run_cell_magic("qianfan_chat", "", question)"""


def loop(page: Page, *questions: str) -> Ran:
    return page.run("a", LOOP.format(questions))


def test_loop_adds_a_turn_each_time(page):
    loop(page, "one", "two", "three")
    assert page.questions() == ["one", "two", "three"]


def test_loop_that_is_run_again_replaces_all_its_turns(page):
    loop(page, "one", "two", "three")
    loop(page, "eins", "zwei")
    assert page.questions() == ["eins", "zwei"]


def test_loop_that_is_run_again_says_so_once(page):
    loop(page, "one", "two")
    shown = text_of(loop(page, "eins", "zwei"))
    assert re.findall("Replaces (.*), which", shown) == ["turns 1, 2"]


def test_each_output_of_a_loop_records_its_turn(page):
    records = records_of(loop(page, "one", "two"))
    assert [[t["user"] for t in r["turns"]] for r in records] == [["one"], ["two"]]


def test_loop_that_fails_at_once_leaves_all_its_turns(page):
    loop(page, "one", "two")
    page.server.fail(REFUSED)
    ran = loop(page, "eins", "zwei")
    assert ("it still has turns 1, 2," in text_of(ran), told(ran)) == (
        True,
        [(1, "one"), (2, "two")],
    )


def test_loop_that_fails_later_keeps_what_it_asked_until_then(page):
    loop(page, "one", "two")
    loop(page, "eins", "")  # a question without text is refused
    assert page.questions() == ["eins"]


# --- the order of the saved notebook


def test_cell_above_others_drops_what_they_asked_before(page):
    page.save("a", "b", "c")
    page.ask("b", "two")
    page.ask("c", "three")
    page.ask("a", "one")
    assert (page.sent(), page.questions()) == (["one"], ["one"])


def test_cell_above_others_names_what_it_drops(page):
    page.save("a", "b")
    page.ask("b", "two")
    shown = text_of(page.ask("a", "one"))
    dropped = "turn 1 (\u201ctwo\u201d)"
    assert f"[Dropped turns of cells below, which ran before this one: {dropped}.]" in shown


def test_cell_above_others_spares_what_those_above_it_asked(page):
    page.save("a", "b", "c")
    page.ask("a", "one")
    page.ask("c", "three")
    page.ask("b", "two")
    assert page.sent() == ["one", "two"]


def test_cell_above_others_spares_another_conversation(page):
    page.save("a", "b")
    page.ask("b", "two", "-n tutor")
    page.ask("a", "one")
    assert page.questions("tutor") == ["two"]


def test_cell_above_others_that_fails_drops_nothing(page):
    page.save("a", "b")
    page.ask("b", "two")
    page.server.fail(REFUSED)
    page.run("a", "%%qianfan_chat\none")
    assert page.questions() == ["two"]


def test_append_above_others_drops_nothing(page):
    page.save("a", "b")
    page.ask("b", "two")
    page.ask("a", "one", "--append")
    assert page.questions() == ["two", "one"]


@pytest.mark.parametrize("order", [*permutations("abc")], ids="".join)
def test_cells_run_in_any_order_are_sent_in_that_of_the_notebook(page, order):
    page.save("a", "b", "c")
    for cell in order:
        page.ask(cell, cell)
        above = [one for one in page.sent() if one != cell]
        assert all(one < cell for one in above), page.sent()


@pytest.mark.parametrize("order", [*permutations("abc")], ids="".join)
def test_conversation_is_what_a_reader_finds_from_the_top_down(page, order):
    page.save("a", "b", "c")
    for cell in order:
        page.ask(cell, cell)
    page.talk("a", "b", "c")
    assert page.messages() == [said for o in "abc" for said in (o, answer_under(page, o))]


def answer_under(page: Page, cell: str) -> str:
    """Give the answer that stands under a cell, as its record tells it."""
    (turn,) = page.under[cell][0]["metadata"][KEY]["turns"]
    return turn["assistant"]


def test_cell_that_is_not_in_the_file_counts_as_last(page):
    page.save("a", "b")
    page.talk("one", "two")
    page.ask("new", "three")
    assert page.questions() == ["one", "two", "three"]


def test_cell_that_was_added_since_counts_as_the_last(page):
    page.save("a", "b")
    page.ask("new", "three")
    page.ask("a", "one")
    assert page.questions() == ["one"]


@pytest.fixture
def deleted(page) -> Page:
    """Give a page of three cells that asked, the second of which was deleted."""
    page.save("a", "b", "c", "d")
    page.talk("one", "two", "three")
    del page.under["b"]
    page.save("a", "c", "d")
    return page


def test_cell_that_was_deleted_takes_its_turn_with_it(deleted):
    deleted.ask("d", "four")
    assert deleted.questions() == ["one", "three", "four"]


def test_turn_of_a_deleted_cell_is_named(deleted):
    gone = "Dropped turns of cells that are gone: turn 2 (\u201ctwo\u201d)."
    assert gone in text_of(deleted.ask("d", "four"))


def test_turn_of_a_deleted_cell_is_not_sent(deleted):
    deleted.ask("d", "four")
    assert deleted.sent() == ["one", "three", "four"]


def test_notebook_with_a_deleted_cell_comes_back(deleted):
    deleted.ask("d", "four")
    deleted.save("a", "c", "d")
    deleted.restart()
    deleted.say("%qianfan restore")
    assert deleted.questions() == ["one", "three", "four"]


def test_deleted_cell_costs_nothing_where_the_cell_that_asks_is_not_saved(deleted):
    deleted.ask("new", "four")
    assert deleted.questions() == ["one", "two", "three", "four"]


def test_missing_notebook_costs_no_turn(deleted):
    deleted.path.unlink()
    deleted.ask("d", "four")
    assert deleted.questions() == ["one", "two", "three", "four"]


def test_order_is_read_again_once_the_notebook_is_saved(page):
    page.save("a", "b")
    page.ask("b", "two")
    page.save("b", "a", "c")
    page.ask("a", "one")
    assert page.questions() == ["two", "one"]


def test_path_of_vs_code_wins(page, tmp_path):
    page.save("a", "b")
    other = Page(page.kernel, tmp_path / "code.ipynb")
    other.save("b", "a")
    page.kernel.run(f"__vsc_ipynb_file__ = {str(other.path)!r}")
    page.ask("b", "two")
    page.ask("a", "one")
    questions = page.questions()
    page.kernel.run("del __vsc_ipynb_file__")
    assert questions == ["two", "one"]


def test_records_of_an_earlier_kernel_that_were_never_saved_are_older(page):
    page.talk("one", "two", "three")
    page.restart()
    page.ask("a", "uno")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["uno"]


@pytest.fixture
def renamed(page) -> Page:
    """Give a page whose notebook was renamed once two cells had asked."""
    page.save("a", "b", "c")
    page.talk("one", "two")
    page.path.rename(page.path.with_name("renamed.ipynb"))
    return page


LOST = "The saved notebook is no longer where it was when the kernel started"


def test_notebook_that_was_renamed_is_told(renamed):
    assert LOST in text_of(renamed.ask("c", "three"))


def test_notebook_that_was_renamed_is_told_once(renamed):
    renamed.ask("c", "three")
    assert LOST not in text_of(renamed.ask("d", "four"))


def test_notebook_that_was_never_saved_is_not_called_lost(page):
    page.talk("one")
    assert LOST not in text_of(page.ask("b", "two"))


VSCODE = "vscode-notebook-cell:/home/li/lessons/a.ipynb#W0sZmlsZQ%3D%3D"


def test_cell_of_vscode_is_known_again(page):
    page.ask(VSCODE, "one")
    page.ask(VSCODE, "uno")
    assert page.questions() == ["uno"]


def test_path_that_vscode_sends_is_not_saved(page):
    assert "/li/" not in json.dumps(page.ask(VSCODE, "one").published, default=str)


def test_path_that_vscode_sends_is_in_no_file(page, tmp_path):
    page.ask(VSCODE, "one")
    page.say(f"%qianfan save {tmp_path}/talk.json")
    assert "lessons" not in (tmp_path / "talk.json").read_text()


def test_cell_without_an_id_has_no_output_but_its_own(page):
    page.ask("", "one")
    page.run("", "%qianfan")
    assert len(page.under[""]) == 1


def test_cell_that_never_told_anything_has_no_output_but_its_own(page):
    page.ask("a", "one")
    page.run("b", "%qianfan")
    assert len(page.under["b"]) == 1


def test_line_in_the_place_of_an_answer_keeps_its_record(page):
    page.ask("a", "one")
    assert records_of(page.run("a", "%qianfan"))[-1]["turns"][0]["user"] == "one"


BROKEN = {
    "empty": b"",
    "half": b'{"cells": [{"id": "a"}, {"id"',
    "no object": b"[]",
    "no cells": b"{}",
    "cells of no list": b'{"cells": 3}',
    "cells of no objects": b'{"cells": [1, "a", null]}',
    "outputs of no list": b'{"cells": [{"id": "a", "outputs": 3}, {"id": "b"}]}',
    "output of no object": b'{"cells": [{"id": "a", "outputs": [null]}, {"id": "b"}]}',
    "metadata of no object": b'{"cells": [{"id": "z", "outputs": [{"metadata": 3}]}]}',
    "record of no object": b'{"cells": [{"outputs": [{"metadata": {"qianfan_magic": 3}}]}]}',
    "deep": b"[" * 100_000,
    "no UTF-8": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_file_does_no_harm(page, content):
    page.path.write_bytes(content)
    page.talk("one", "two")
    page.ask("a", "uno")
    assert page.questions() == ["uno"]


def test_missing_file_does_no_harm(page):
    page.ask("b", "two")
    page.ask("a", "one")
    assert page.questions() == ["two", "one"]


def test_folder_in_the_files_place_does_no_harm(page):
    page.path.mkdir()
    page.talk("one", "two")
    page.path.rmdir()
    assert page.questions() == ["one", "two"]


# --- --continue


def rest(page: Page, cell: str = "b", flags: str = "", text: str = "") -> Ran:
    return page.ask(cell, text, f"--continue {flags}")


def test_cut_off_answer_is_part_of_the_whole(page):
    page.run("a", CUT_OFF)
    assert (BEIJING.startswith(page.messages()[1]), len(page.messages()[1]) < 60) == (True, True)


@pytest.mark.parametrize("cell", ["a", "b"])
@pytest.mark.parametrize("flags", ["", "--no-stream"])
def test_continue_shows_one_answer(page, cell, flags):
    page.run("a", CUT_OFF)
    (bundle,) = rest(page, cell, flags).bundles
    assert bundle["text/plain"].startswith(BEIJING.strip("\n") + "\n\n[dolly_12b")


@pytest.mark.parametrize("cell", ["a", "b"])
@pytest.mark.parametrize("flags", ["", "--no-stream"])
def test_continue_keeps_one_turn(page, cell, flags):
    page.run("a", CUT_OFF)
    rest(page, cell, flags)
    assert page.messages() == ["Please introduce Beijing", BEIJING]


def test_continue_sends_the_question_the_beginning_and_a_request_to_go_on(page):
    page.run("a", CUT_OFF)
    begun = page.messages()[1]
    rest(page)
    sent = [m["content"] for m in page.bodies[-1]["messages"]]
    assert sent == ["Please introduce Beijing", begun, CONTINUE]


def test_continue_of_the_cell_with_its_own_question_asks_to_go_on(page):
    page.run("a", CUT_OFF)
    rest(page, "a", text="Please introduce Beijing")
    assert page.sent()[-1] == CONTINUE


def test_continue_with_other_words_sends_those(page):
    page.run("a", CUT_OFF)
    rest(page, text="continue in verse")
    assert (page.sent()[-1], page.questions()) == (
        "continue in verse",
        ["Please introduce Beijing"],
    )


def test_continue_asks_in_chinese_where_the_question_was(page):
    page.ask("a", "\u4ecb\u7ecd\u5317\u4eac", "--max-tokens 10")
    rest(page)
    assert (page.sent()[-1], page.messages()[1]) == (CONTINUE_CHINESE, BEIJING)


def test_continue_binds_the_whole_reply(page):
    page.run("a", CUT_OFF)
    rest(page, flags="-o reply")
    assert page.value("reply.text, reply.is_truncated") == (BEIJING, False)


def test_continue_counts_the_tokens_of_both_parts(page):
    page.ask("a", "Please introduce Beijing", "--max-tokens 10 -o first")
    rest(page, flags="-o reply")
    first, whole = page.value("first.usage.completion_tokens, reply.usage.completion_tokens")
    assert 0 < first < whole == records_tokens(page, "b")


def records_tokens(page: Page, cell: str) -> int:
    (turn,) = page.under[cell][-1]["metadata"][KEY]["turns"]
    return turn["tokens"]["completion"]


def test_continue_takes_the_mark_away(page):
    page.run("a", CUT_OFF)
    (turn,) = records_of(rest(page))[-1]["turns"]
    assert ("truncated" in turn, turn["continues"]["truncated"]) == (False, True)


def test_continue_drops_nothing_of_what_was_said_before(page):
    page.ask("z", "hi")
    page.run("a", CUT_OFF)
    rest(page)
    assert page.questions() == ["hi", "Please introduce Beijing"]


def test_continue_may_be_cut_off_again(page):
    page.run("a", CUT_OFF)
    rest(page, "b", "--max-tokens 10")
    rest(page, "c")
    assert page.messages() == ["Please introduce Beijing", BEIJING]


@pytest.mark.parametrize("cell", ["a", "b"])
def test_continue_that_is_run_again_goes_on_with_the_beginning(page, cell):
    page.run("a", CUT_OFF)
    rest(page, cell)
    rest(page, cell)
    assert page.bodies[-1] == page.bodies[-2]


@pytest.mark.parametrize("cell", ["a", "b"])
def test_continue_that_is_run_again_keeps_one_turn(page, cell):
    page.run("a", CUT_OFF)
    rest(page, cell)
    rest(page, cell)
    assert page.messages() == ["Please introduce Beijing", BEIJING]


def test_rerun_of_the_cell_that_was_gone_on_with_replaces_all_of_it(page):
    page.run("a", CUT_OFF)
    rest(page)
    page.ask("a", "one")
    assert page.questions() == ["one"]


def test_rerun_of_a_continuing_cell_with_a_question_leaves_the_beginning(page):
    page.run("a", CUT_OFF)
    begun = page.messages()
    rest(page, "b")
    page.ask("b", "two")
    assert page.messages()[:3] == [*begun, "two"]


@pytest.mark.parametrize("cell", ["a", "b"])
def test_continue_of_a_whole_answer_fails(page, cell):
    page.talk("one")
    reply = page.run(cell, "%%qianfan_chat --continue\n").reply
    message = "--continue: the conversation 'default' ends with a whole answer"
    assert (reply["ename"], reply["evalue"].startswith(message)) == ("ParameterError", True)


def test_continue_of_a_conversation_without_an_answer_fails(page):
    reply = page.run("a", "%%qianfan_chat --continue\n").reply
    assert "has no answer yet" in reply["evalue"]


def test_continue_of_a_whole_answer_sends_nothing(page):
    page.talk("one")
    page.run("b", "%%qianfan_chat --continue\n")
    assert len(page.bodies) == 1


@pytest.mark.parametrize("cell", ["a", "b"])
@pytest.mark.parametrize("fault", [REFUSED, Fault(after=3, end="close")], ids=["refused", "broken"])
def test_continue_that_fails_leaves_the_beginning(page, cell, fault):
    page.run("a", CUT_OFF)
    begun = page.messages()
    page.server.fail(fault)
    page.run(cell, "%%qianfan_chat --continue\n")
    assert page.messages() == begun


def test_continue_that_fails_can_be_run_again(page):
    page.run("a", CUT_OFF)
    page.server.fail(REFUSED)
    page.run("a", "%%qianfan_chat --continue\n")
    rest(page, "a")
    assert page.messages() == ["Please introduce Beijing", BEIJING]


def test_continue_that_fails_in_the_same_cell_records_the_beginning(page):
    page.run("a", CUT_OFF)
    page.server.fail(REFUSED)
    ran = page.run("a", "%%qianfan_chat --continue\n")
    assert ("it still has turn 1," in text_of(ran), told(ran)) == (
        True,
        [(1, "Please introduce Beijing")],
    )


def stop_the_rest(page: Page, cell: str) -> Ran:
    """Stop a cell that goes on, once more is seen than there was."""
    page.run("a", CUT_OFF)
    page.server.fail(Fault(after=8, end="silence"))
    return page.stop(cell, "%%qianfan_chat --continue\n", lambda ran: "million" in ran.seen)


@pytest.mark.parametrize("cell", ["a", "b"])
def test_continue_that_is_stopped_keeps_both_parts_as_one(watched, cell):
    stop_the_rest(watched, cell)
    question, answer = watched.messages()
    assert (question, BEIJING.startswith(answer)) == ("Please introduce Beijing", True)


def test_continue_that_is_stopped_is_marked(watched):
    (turn,) = records_of(stop_the_rest(watched, "b"))[-1]["turns"]
    assert (turn["stopped"], "truncated" in turn) == (True, False)


def test_continue_goes_on_with_what_was_stopped(watched):
    stop_the_rest(watched, "b")
    rest(watched, "c")
    assert watched.messages() == ["Please introduce Beijing", BEIJING]


def test_continued_answer_is_seen_from_its_beginning(watched):
    watched.run("a", CUT_OFF)
    assert rest(watched).seen.startswith("Beijing")


def test_continued_turn_is_restored(page):
    page.run("a", CUT_OFF)
    rest(page)
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.messages() == ["Please introduce Beijing", BEIJING]


def test_continue_takes_its_turn_along_whatever_max_turns_says(page):
    page.run("a", CUT_OFF)
    page.say("%config QianfanMagics.max_turns = 0")
    rest(page)
    assert page.messages()[1] == BEIJING


# --- need_clear_history


def unsafe(page: Page, ban_round: int | None, cell: str = "d") -> Ran:
    """Ask a question after which the service wants turns forgotten."""
    fields: dict[str, Any] = {"need_clear_history": True}
    if ban_round is not None:
        fields["ban_round"] = ban_round
    page.server.fail(Fault(fields=fields))
    return page.ask(cell, "something bad")


BANNED = [
    (1, []),
    (2, ["one"]),
    (3, ["one", "two"]),
    (4, ["one", "two", "three"]),
    (-1, ["one", "two", "three"]),
    (0, []),
    (None, []),
]


@pytest.mark.parametrize(("ban_round", "left"), BANNED)
def test_turns_from_the_unsafe_one_on_go(page, ban_round, left):
    page.talk("one", "two", "three")
    unsafe(page, ban_round)
    assert page.questions() == left


@pytest.mark.parametrize(("ban_round", "left"), BANNED)
def test_next_question_is_sent_with_what_is_left(page, ban_round, left):
    page.talk("one", "two", "three")
    unsafe(page, ban_round)
    page.ask("e", "five")
    assert page.sent() == [*left, "five"]


@pytest.mark.parametrize(
    ("ban_round", "notice"),
    [
        (2, "turn 2 of those sent unsafe (ban_round 2): it is forgotten, with all turns after it."),
        (-1, "this question unsafe (ban_round -1): it is not kept."),
        (None, "the conversation unsafe: it is empty now."),
    ],
)
def test_forgetting_is_told(page, ban_round, notice):
    page.talk("one", "two", "three")
    assert f"[The service found {notice}]" in text_of(unsafe(page, ban_round))


@pytest.mark.parametrize(("ban_round", "left"), [(1, ["one"]), (2, ["one", "two"])])
def test_unsafe_turn_is_counted_among_those_sent(page, ban_round, left):
    page.talk("one", "two", "three")
    page.say("%config QianfanMagics.max_turns = 2")
    unsafe(page, ban_round)
    assert page.questions() == left


def test_unsafe_question_of_a_rerun_goes_with_the_turn_that_it_replaces(page):
    page.talk("one", "two")
    unsafe(page, -1, "b")
    assert page.questions() == ["one"]


def test_forgetting_is_recorded(page):
    page.talk("one", "two", "three")
    (record,) = records_of(unsafe(page, 2))
    (first,) = page.under["a"][0]["metadata"][KEY]["turns"]
    assert (record["heads"]["default"]["id"], "turns" in record) == (first["id"], False)


def test_forgetting_is_restored(page):
    page.talk("one", "two", "three")
    unsafe(page, 2)
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["one"]


# --- too long for the service


too_long = pytest.mark.parametrize("code", [336007, 336103])


def refuse_length(page: Page, code: int, times: int) -> Ran:
    page.talk("one", "two", "three")
    page.server.fail(*[Fault(error_code=code)] * times)
    return page.run("d", "%%qianfan_chat\nfour")


@too_long
@pytest.mark.parametrize("times", [1, 2, 3])
def test_one_turn_less_is_sent_each_time(page, code, times):
    refuse_length(page, code, times)
    asked = ["one", "two", "three", "four"]
    assert [page.sent(n) for n in range(3, len(page.bodies))] == [
        asked[less:] for less in range(times + 1)
    ]


@pytest.mark.parametrize(("times", "turns"), [(1, "turn was"), (2, "2 turns were")])
def test_turns_that_were_too_long_are_told(page, times, turns):
    shown = text_of(refuse_length(page, 336007, times))
    assert f"[The oldest {turns} not sent: the service found more too long.]" in shown


def test_turns_that_were_too_long_stay_in_the_conversation(page):
    refuse_length(page, 336007, 2)
    assert page.questions() == ["one", "two", "three", "four"]


@too_long
def test_question_that_is_too_long_by_itself_fails(page, code):
    ran = refuse_length(page, code, 4)
    assert (ran.reply["ename"], len(page.bodies)) == ("APIError", 7)


@too_long
def test_question_that_is_too_long_by_itself_fails_with_a_hint(page, code):
    (error,) = refuse_length(page, code, 4).contents("error")
    hint = "It is too long even without the conversation: shorten the cell."
    assert hint in error["traceback"][-1]


def test_question_that_is_too_long_by_itself_leaves_the_conversation(page):
    refuse_length(page, 336007, 4)
    assert page.questions() == ["one", "two", "three"]


def test_system_text_stays_where_turns_do_not(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.server.fail(Fault(error_code=336007))
    page.ask("b", "two")
    assert (page.bodies[-1]["system"], page.sent()) == ("Be brief.", ["two"])


def test_turn_that_goes_on_is_never_left_out(page):
    page.ask("z", "hi")
    page.run("a", CUT_OFF)
    page.server.fail(*[Fault(error_code=336007)] * 2)
    ran = page.run("b", "%%qianfan_chat --continue\n")
    sent = [page.sent(number) for number in (2, 3)]
    asked = ["Please introduce Beijing", CONTINUE]
    assert (ran.reply["ename"], sent, len(page.bodies)) == ("APIError", [["hi", *asked], asked], 4)


def test_unsafe_turn_is_counted_among_those_that_were_short_enough(page):
    page.talk("one", "two", "three")
    unsafe_fields = {"need_clear_history": True, "ban_round": 2}
    page.server.fail(Fault(error_code=336007), Fault(fields=unsafe_fields))
    page.ask("d", "four")
    assert page.questions() == ["one", "two"]


def test_columns_are_shortened_one_by_one(page):
    page.talk("one", "two")
    page.server.fail(*[Fault(path="/b_dolly", error_code=336007)] * 2)
    page.ask("c", "three", ENDPOINTS)
    sent = sorted((s.path[-11:], len(json.loads(s.body)["messages"])) for s in asked_of(page)[2:])
    assert sent == [("a_dolly_12b", 5), *(("b_dolly_12b", n) for n in (1, 3, 5))]


def asked_of(page: Page) -> list[Any]:
    return [seen for seen in page.server.seen if "wenxinworkshop" in seen.path]


def test_column_that_was_shortened_says_so(page):
    page.talk("one", "two")
    page.server.fail(Fault(path="/b_dolly", error_code=336007))
    first, second = text_of(page.ask("c", "three", ENDPOINTS)).split("\n\n---\n\n")
    assert ("not sent" in first, "[The oldest turn was not sent:" in second) == (False, True)


def test_column_that_is_too_long_by_itself_fails(page):
    page.talk("one")
    page.server.fail(*[Fault(path="/b_dolly", error_code=336007)] * 2)
    ran = page.run("b", f"%%qianfan_chat {ENDPOINTS}\ntwo")
    assert (ran.reply["ename"], "Column 2" in ran.reply["evalue"]) == ("APIError", True)


def test_column_that_is_too_long_by_itself_leaves_the_other(page):
    page.talk("one")
    page.server.fail(*[Fault(path="/b_dolly", error_code=336007)] * 2)
    page.run("b", f"%%qianfan_chat {ENDPOINTS}\ntwo")
    assert page.questions() == ["one", "two"]


# --- %config QianfanMagics.max_turns


@pytest.mark.parametrize(
    ("most", "sent"),
    [("0", ["four"]), ("2", ["two", "three", "four"]), ("None", ["one", "two", "three", "four"])],
)
def test_max_turns_limits_what_is_sent(page, most, sent):
    page.talk("one", "two", "three")
    page.say(f"%config QianfanMagics.max_turns = {most}")
    page.ask("d", "four")
    assert page.sent() == sent


def test_turns_beyond_max_turns_are_told(page):
    page.talk("one", "two", "three")
    page.say("%config QianfanMagics.max_turns = 1")
    assert "[The oldest 2 turns were not sent: max_turns is 1.]" in text_of(page.ask("d", "four"))


def test_turns_beyond_max_turns_stay_in_the_conversation(page):
    page.say("%config QianfanMagics.max_turns = 0")
    page.talk("one", "two")
    assert page.questions() == ["one", "two"]


@pytest.mark.parametrize("value", ["-1", "'two'", "1.5", "[2]"])
def test_wrong_max_turns_is_refused(notebook, value):
    notebook.run("%config QianfanMagics.max_turns = 2")
    notebook.run(f"%config QianfanMagics.max_turns = {value}")
    assert notebook.magics.max_turns == 2


def test_wrong_max_turns_is_told(bare, caplog):
    bare.run("%config QianfanMagics.max_turns = -1")
    assert "should not be less than 0" in caplog.text


# --- %qianfan history


def test_history_shows_where_it_is_cut(page):
    page.talk("one", "two", "three")
    page.say("%config QianfanMagics.max_turns = 2")
    above, cut, below = page.say("%qianfan history").partition(
        "--- Cut here: the turns above are no longer sent, since max_turns is 2."
    )
    assert (bool(cut), "1. user: one" in above, below.strip()[:11]) == (True, True, "2. user: tw")


def test_history_shows_where_the_models_limit_cuts_it(page):
    page.talk("x" * 3_000, "y" * 1_700)
    cut = "Cut here: the turns above are no longer sent, since Dolly-12B takes at most 4,800"
    assert cut in page.say("%qianfan history")


@pytest.mark.parametrize("most", ["None", "3"])
def test_history_that_fits_is_not_cut(page, most):
    page.talk("one", "two", "three")
    page.say(f"%config QianfanMagics.max_turns = {most}")
    assert "no longer sent" not in page.say("%qianfan history")


def test_history_of_which_nothing_is_sent_says_so(page):
    page.talk("one")
    page.say("%config QianfanMagics.max_turns = 0")
    assert "No turn is sent any more, since max_turns is 0." in page.say("%qianfan history")


def test_history_counts_the_answers_tokens(page):
    page.ask("a", "hi", "-o reply")
    tokens = page.value("reply.usage.completion_tokens")
    assert f"1. assistant ({tokens} tokens): H" in page.say("%qianfan history")


def test_history_marks_what_was_cut_off(page):
    page.run("a", CUT_OFF)
    assert "1. assistant (truncated, " in page.say("%qianfan history")


def test_history_shows_the_system_text(page):
    page.ask("a", "hi", "-n tutor -s 'Be brief.'")
    assert "System: Be brief." in page.say("%qianfan history -n tutor")


# --- %qianfan undo


def test_undo_forgets_the_last_turn(page):
    page.talk("one", "two")
    page.say("%qianfan undo")
    assert page.questions() == ["one"]


def test_undo_names_the_turn(page):
    page.talk("one", "two")
    shown = page.say("%qianfan undo")
    last = "The last turn of the conversation default is forgotten (\u201ctwo\u201d)"
    assert f"{last}: it has 1 turn now." in shown


def test_undo_of_a_name_spares_the_others(page):
    page.ask("a", "one")
    page.ask("b", "two", "-n tutor")
    page.say("%qianfan undo -n tutor")
    assert (page.questions(), page.questions("tutor")) == (["one"], [])


def test_undo_of_a_continued_answer_forgets_all_of_it(page):
    page.run("a", CUT_OFF)
    rest(page)
    page.say("%qianfan undo")
    assert page.questions() == []


def test_undo_of_nothing_fails(bare):
    error, _ = bare.fail("%qianfan undo")
    assert (type(error), "has no turn to forget" in error.message) == (ParameterError, True)


@pytest.mark.parametrize("line", ["undo", "history", "reset", "save talk.json"])
def test_conversation_that_there_is_not_fails(notebook, line):
    notebook.run("%%qianfan_chat -n tutor\nhi")
    error, _ = notebook.fail(f"%qianfan {line} -n nobody")
    assert ("'nobody'" in error.message, error.hint) == (True, "There are: default, tutor.")


def test_cell_whose_turn_was_undone_asks_anew(page):
    page.talk("one", "two")
    page.say("%qianfan undo")
    shown = text_of(page.ask("b", "dos"))
    assert (page.questions(), "In the place" in shown) == (["one", "dos"], False)


@pytest.mark.parametrize(("line", "left"), [("undo", ["one"]), ("reset", []), ("reset --all", [])])
def test_what_was_forgotten_is_not_restored(page, line, left):
    page.talk("one", "two")
    page.run("c", f"%qianfan {line}")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == left


# --- %qianfan save and load


def test_load_brings_back_what_was_saved(page):
    page.talk("one", "two")
    said = page.messages()
    page.say("%qianfan save talk.json")
    page.restart()
    page.say("%qianfan load talk.json")
    assert page.messages() == said


def test_loaded_conversation_goes_on(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.say("%qianfan save talk.json")
    page.restart()
    page.say("%qianfan load talk.json")
    page.ask("b", "two")
    assert (page.sent(), page.bodies[-1]["system"]) == (["one", "two"], "Be brief.")


def test_cell_of_a_loaded_turn_replaces_it(page):
    page.talk("one", "two")
    page.say("%qianfan save talk.json")
    page.restart()
    page.say("%qianfan load talk.json")
    page.ask("b", "dos")
    assert page.questions() == ["one", "dos"]


def test_save_says_what(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi")
    shown = notebook.run("%qianfan save talk.json")
    assert shown == "Saved in talk.json:\ndefault: 2 turns\ntutor: 1 turn\n"


def test_save_of_a_name_saves_that_alone(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi")
    notebook.run("%qianfan save talk.json -n tutor", "%qianfan reset --all")
    assert notebook.run("%qianfan load talk.json") == "Loaded from talk.json:\ntutor: 1 turn\n"


def test_load_of_a_name_loads_that_alone(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi")
    notebook.run("%qianfan save talk.json", "%qianfan reset --all")
    notebook.run("%qianfan load talk.json -n tutor")
    assert (len(notebook.turns()), len(notebook.turns("tutor"))) == (0, 1)


def test_load_of_a_name_that_the_file_has_not_fails(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json")
    error, _ = notebook.fail("%qianfan load talk.json -n nobody")
    assert ("has no conversation 'nobody'" in error.message, error.hint) == (
        True,
        "It has: default.",
    )


def test_load_tells_what_it_takes_the_place_of(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json", "%%qianfan_chat\nhello")
    shown = notebook.run("%qianfan load talk.json")
    assert shown.endswith("default: 1 turn\nReplaced:\ndefault: 2 turns\n")


def test_save_takes_the_place_of_a_file_of_ours(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json", "%%qianfan_chat\nhello")
    notebook.run("%qianfan save talk.json", "%qianfan reset", "%qianfan load talk.json")
    assert len(notebook.turns()) == 2


def test_save_spares_a_file_that_is_not_ours(notebook, tmp_path):
    (tmp_path / "talk.json").write_text('{"mine": 1}')
    notebook.run("%%qianfan_chat\nhi")
    error, _ = notebook.fail("%qianfan save talk.json")
    assert (type(error), "--force" in error.hint) == (QianfanError, True)
    assert (tmp_path / "talk.json").read_text() == '{"mine": 1}'


def test_save_with_force_takes_the_place_of_any_file(notebook, tmp_path):
    (tmp_path / "talk.json").write_text('{"mine": 1}')
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json --force")
    assert json.loads((tmp_path / "talk.json").read_text())["version"] == 1


def test_save_of_nothing_fails(bare, tmp_path):
    error, _ = bare.fail("%qianfan save talk.json")
    assert (type(error), list(tmp_path.glob("talk*"))) == (ParameterError, [])


def test_save_into_a_missing_folder_fails(notebook):
    notebook.run("%%qianfan_chat\nhi")
    error, _ = notebook.fail("%qianfan save nowhere/talk.json")
    assert "cannot be written" in error.message


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other"}', '{"version": 1}'])
def test_load_of_another_file_fails(bare, tmp_path, content):
    (tmp_path / "talk.json").write_text(content)
    error, _ = bare.fail("%qianfan load talk.json")
    assert (type(error), "is not loaded" in error.message) == (QianfanError, True)


def test_load_of_a_missing_file_fails(bare):
    error, _ = bare.fail("%qianfan load talk.json")
    assert "cannot be read: No such file" in error.message


def test_load_that_fails_leaves_the_conversations(notebook, tmp_path):
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json", "%%qianfan_chat\nhello")
    saved = json.loads((tmp_path / "talk.json").read_text())
    saved["conversations"][0]["turns"].append({"user": "half"})
    (tmp_path / "talk.json").write_text(json.dumps(saved))
    notebook.fail("%qianfan load talk.json")
    assert [turn.user for turn in notebook.turns()] == ["hi", "hello"]


@pytest.mark.parametrize("line", ["save", "load", "save a b", "restore a b", "usage x"])
def test_line_with_too_few_or_many_words_fails(bare, line):
    error, _ = bare.fail(f"%qianfan {line}")
    assert isinstance(error, ParameterError)


def test_loaded_turns_are_recorded(page):
    page.talk("one", "two")
    page.say("%qianfan save talk.json")
    page.restart()
    assert told(page.run("z", "%qianfan load talk.json")) == [(1, "one"), (2, "two")]


# --- %qianfan restore


def test_restore_brings_back_the_conversation(page):
    page.talk("one", "two", "three")
    said = page.messages()
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.messages() == said


def test_restore_says_what_it_restored(page):
    page.talk("one", "two")
    page.save()
    page.restart()
    assert page.say("%qianfan restore") == "default: 2 turns restored."


def test_restored_conversation_goes_on(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    page.ask("b", "two")
    assert (page.sent(), page.bodies[-1]["system"]) == (["one", "two"], "Be brief.")


def test_cell_of_a_restored_turn_replaces_it(page):
    page.talk("one", "two")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    page.ask("b", "dos")
    assert page.questions() == ["one", "dos"]


def test_restore_brings_back_each_name(page):
    page.ask("a", "one")
    page.ask("b", "two", "-n tutor")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert (page.questions(), page.questions("tutor")) == (["one"], ["two"])


def test_restore_of_a_replaced_turn_brings_back_the_new_one(page):
    page.talk("one", "two")
    page.save()
    page.ask("a", "uno")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["uno"]


def test_restore_tells_of_a_turn_that_was_dropped(page):
    page.talk("one", "two")
    page.ask("a", "uno")
    page.save()
    page.restart()
    left_out = "turn 2 (\u201ctwo\u201d, cell 2)"
    left_out = f"left out, since the conversation had been rewound: {left_out}."
    assert f"default: {left_out}" in page.say("%qianfan restore")


def test_restore_of_another_notebook_takes_its_path(page, tmp_path):
    page.talk("one")
    saved = Page(page.kernel, tmp_path / "other.ipynb")
    saved.under = page.under
    saved.save()
    page.restart()
    page.say(f"%qianfan restore {saved.path}")
    assert page.questions() == ["one"]


def test_restore_of_another_notebook_records_what_it_brought(page, tmp_path):
    page.talk("one", "two")
    saved = Page(page.kernel, tmp_path / "other.ipynb")
    saved.under = page.under
    saved.save()
    page.restart()
    assert told(page.run("z", f"%qianfan restore {saved.path}")) == [(1, "one"), (2, "two")]


def test_restore_of_this_notebook_tells_no_turn_again(page):
    page.talk("one")
    page.save()
    page.restart()
    assert "turns" not in records_of(page.run("z", "%qianfan restore"))[0]


def test_restore_never_writes_over_unsaved_turns(page):
    page.talk("one")
    page.save()
    page.ask("b", "two")
    page.say("%qianfan restore")
    assert page.questions() == ["one", "two"]


def test_restore_that_writes_over_nothing_says_why(page):
    page.talk("one")
    page.save()
    page.ask("b", "two")
    shown = page.say("%qianfan restore")
    assert "default: left unchanged: page.ipynb lacks 1 turn that this kernel has." in shown


def test_restore_with_force_writes_over_unsaved_turns(page):
    page.talk("one")
    page.save()
    page.ask("b", "two")
    page.say("%qianfan restore --force")
    assert page.questions() == ["one"]


def test_restore_writes_over_nothing_of_one_name_and_restores_the_other(page):
    page.ask("a", "one")
    page.ask("b", "two", "-n tutor")
    page.save()
    page.ask("c", "three")
    page.say("%qianfan reset -n tutor")
    page.say("%qianfan restore")
    assert (page.questions(), page.questions("tutor")) == (["one", "three"], ["two"])


def test_restore_of_an_answer_that_was_not_saved_says_so(page):
    page.talk("one", "two", "three")
    page.under["b"] = []
    page.save()
    page.restart()
    assert "default: turn 2 is missing from the notebook." in page.say("%qianfan restore")


def test_restore_of_a_notebook_without_answers_says_so(page):
    page.save("a")
    assert "page.ipynb holds no answers of a conversation." in page.say("%qianfan restore")


def test_restore_without_a_notebook_fails(bare, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    error, _ = bare.fail("%qianfan restore")
    assert (type(error), "restore NOTEBOOK.ipynb" in error.hint) == (ParameterError, True)


def test_restore_of_a_missing_notebook_fails(bare):
    error, _ = bare.fail("%qianfan restore nowhere.ipynb")
    assert "cannot be read: No such file" in error.message


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_restore_of_a_broken_notebook_fails(bare, tmp_path, content):
    (tmp_path / "broken.ipynb").write_bytes(content)
    error, _ = bare.fail("%qianfan restore broken.ipynb")
    assert (type(error), "is not a notebook" in error.message) == (QianfanError, True)


# --- %qianfan usage


def test_usage_of_nothing_says_so(bare):
    assert bare.run("%qianfan usage") == "Nothing has been answered yet.\n"


def test_usage_counts_answers_by_model(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_complete\nx", "%%qianfan_chat\nhello")
    shown = notebook.run("%qianfan usage").splitlines()
    assert [line.split()[:2] for line in shown[1:-1]] == [["dolly_12b", "2"], ["starcoder", "1"]]
    assert shown[-1].startswith("[The service's limits leave")


def test_usage_counts_tokens(notebook):
    notebook.run("%%qianfan_chat -o one\nhi", "%%qianfan_chat -o two\nhello")
    notebook.run("%qianfan usage -o table")
    (row,), (one, two) = (notebook.shell.user_ns["table"], replies(notebook, "one", "two"))
    assert (row["prompt_tokens"], row["completion_tokens"]) == (
        one.usage.prompt_tokens + two.usage.prompt_tokens,
        one.usage.completion_tokens + two.usage.completion_tokens,
    )


def replies(notebook: Notebook, *names: str) -> list[Reply]:
    return [notebook.shell.user_ns[name] for name in names]


def test_usage_counts_the_rest_of_a_continued_answer_alone(notebook):
    notebook.run(CUT_OFF.replace("chat", "chat -o one", 1), "%%qianfan_chat --continue -o two\n")
    notebook.run("%qianfan usage -o table")
    (row,), (_, whole) = (notebook.shell.user_ns["table"], replies(notebook, "one", "two"))
    assert row["completion_tokens"] == whole.usage.completion_tokens


def test_usage_binds_a_list_of_dicts(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan usage -o table")
    (row,) = notebook.shell.user_ns["table"]
    assert list(row) == [
        *("model", "calls", "prompt_tokens", "completion_tokens"),
        *("first_token", "tokens_per_second"),
    ]


def test_usage_has_no_pace_of_answers_in_one_piece(notebook):
    notebook.run("%%qianfan_chat --no-stream\nhi", "%qianfan usage -o table")
    assert notebook.shell.user_ns["table"][0]["tokens_per_second"] is None


def test_usage_leaves_out_what_was_refused(notebook):
    notebook.server.fail(REFUSED)
    notebook.fail("%%qianfan_chat\nhi")
    assert notebook.run("%qianfan usage") == "Nothing has been answered yet.\n"


def test_usage_counts_each_column(notebook):
    notebook.run(f"%%qianfan_chat {ENDPOINTS}\nhi", "%qianfan usage -o table")
    assert sorted((row["model"], row["calls"]) for row in notebook.shell.user_ns["table"]) == [
        ("a_dolly_12b", 1),
        ("b_dolly_12b", 1),
    ]


def test_usage_with_a_name_that_is_none_fails(notebook):
    error, _ = notebook.fail("%qianfan usage -o 'a b'")
    assert "not the name of a variable" in error.message


# --- the record that an answer's output carries


FLAGS = "-n tutor -s 'Be brief.' -t 0.3 --stop Z --user-id somebody-4711"


@pytest.fixture
def record(page) -> dict[str, Any]:
    page.ask("a", "hi", "-n tutor")
    (record,) = records_of(page.ask("b", "hello there", FLAGS))
    return record


def test_record_has_its_keys(record):
    assert set(record) == {"version", "clock", "heads", "turns", "shown"}


def test_record_has_its_version(record):
    assert record["version"] == 1


def test_record_tells_one_turn(record):
    (turn,) = record["turns"]
    assert set(turn) == {
        *("conversation", "turn", "id", "after", "cell", "system"),
        *("user", "assistant", "model", "parameters", "tokens"),
    }


def test_record_tells_conversation_and_number(record):
    (turn,) = record["turns"]
    assert (turn["conversation"], turn["turn"], turn["cell"]) == ("tutor", 2, "b")


def test_record_tells_system_text_and_question(record):
    (turn,) = record["turns"]
    assert (turn["system"], turn["user"]) == ("Be brief.", "hello there")


def test_record_tells_the_answer_letter_by_letter(page, record):
    (turn,) = record["turns"]
    assert turn["assistant"] == page.messages("tutor")[-1]


def test_record_tells_model_and_parameters(record):
    (turn,) = record["turns"]
    assert (turn["model"], turn["parameters"]) == (
        "dolly_12b",
        {"temperature": 0.3, "stop": ["Z"]},
    )


def test_record_tells_the_head(record):
    (turn,) = record["turns"]
    head = {"id": turn["id"], "turns": 2, "system": "Be brief."}
    assert record["heads"] == {"tutor": head}


def test_record_names_no_user(record):
    assert "somebody-4711" not in json.dumps(record)


def test_record_tells_the_filled_question(page):
    page.kernel.run("city = 'Beijing'")
    (record,) = records_of(page.ask("a", "Where is {city}?", "--fill"))
    assert record["turns"][0]["user"] == "Where is Beijing?"


def test_clock_of_the_records_counts_up(page):
    clocks = [records_of(page.ask(cell, "hi"))[0]["clock"] for cell in "aba"]
    assert clocks[0] < clocks[1] < clocks[2]


def test_clock_goes_on_from_the_saved_notebook(page):
    page.talk("one", "two")
    before = page.under["b"][0]["metadata"][KEY]["clock"]
    page.save()
    page.restart()
    assert records_of(page.ask("c", "three"))[0]["clock"] > before


def test_completion_carries_no_record(page):
    ran = page.run("a", "%%qianfan_complete\nx")
    assert (len(ran.bundles), records_of(ran)) == (1, [])


@pytest.mark.parametrize("form", ["markdown", "text", "json", "html", "code"])
def test_answer_of_each_form_carries_its_record(page, form):
    ran = page.run("a", f"%%qianfan_chat --format {form}\nhi")
    assert told(ran) == [(1, "hi")]


def secrets(page: Page) -> list[str]:
    """List the server's keys, and the tokens that it gave."""
    keys = page.server.authenticator.keys
    return [keys.ak, keys.sk, keys.access_key, keys.secret_key, *page.server.authenticator.tokens]


@pytest.mark.parametrize(
    "flags", [FLAGS, "--no-stream", "--compare temperature=0.1,0.9", "--dry-run"]
)
def test_no_secret_is_published(page, flags):
    ran = page.ask("a", "hi", flags)
    published = json.dumps(ran.published, default=str)
    assert (
        page.server.authenticator.tokens != {},
        [s for s in secrets(page) if s in published],
    ) == (
        True,
        [],
    )


def test_key_that_a_question_quotes_is_not_in_the_record(page):
    keys = page.server.authenticator.keys
    ran = page.ask("a", f"Is {keys.ak} or {keys.sk} my key?", f"-s 'Never say {keys.sk}.'")
    kept = json.dumps(records_of(ran))
    assert (records_of(ran) != [], [k for k in (keys.ak, keys.sk) if k in kept]) == (True, [])


def test_key_that_a_question_quotes_does_not_keep_it_from_being_restored(page):
    page.ask("a", f"Is {page.server.authenticator.keys.sk} my key?")
    page.ask("b", "two")
    page.save()
    page.restart()
    assert page.say("%qianfan restore") == "default: 2 turns restored."


# --- --compare and keep


def compared(page: Page, cell: str) -> Ran:
    page.server.fail(
        Fault(path="/a_dolly", fields={"result": "first"}),
        Fault(path="/b_dolly", fields={"result": "second"}),
    )
    return page.ask(cell, "which?", f"{ENDPOINTS} --no-stream")


def test_comparison_records_the_first_column(page):
    ((turn,),) = [record["turns"] for record in records_of(compared(page, "a"))]
    assert (turn["assistant"], turn["model"]) == ("first", "a_dolly_12b")


def test_keep_updates_the_record_under_the_comparison(page):
    compared(page, "a")
    page.run("b", "%qianfan keep 2")
    ((turn,),) = [output["metadata"][KEY]["turns"] for output in page.under["a"]]
    assert (turn["assistant"], turn["model"]) == ("second", "b_dolly_12b")


def test_keep_updates_the_head(page):
    compared(page, "a")
    page.run("b", "%qianfan keep 2")
    record = page.under["a"][0]["metadata"][KEY]
    assert record["heads"]["default"]["id"] == record["turns"][0]["id"]


def test_keep_leaves_the_columns_as_they_are_shown(page):
    compared(page, "a")
    before = page.under["a"][0]["data"]
    page.run("b", "%qianfan keep 2")
    assert page.under["a"][0]["data"] == before


def test_keep_leaves_the_notes_of_a_rerun_as_they_are_shown(page):
    page.talk("one", "two")
    compared(page, "a")
    page.run("c", "%qianfan keep 2")
    assert "[Replaces turn 1, which" in page.under["a"][0]["data"]["text/plain"]


def test_kept_column_is_restored(page):
    compared(page, "a")
    page.run("b", "%qianfan keep 2")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.messages() == ["which?", "second"]


def test_rerun_of_a_comparison_replaces_what_was_kept(page):
    compared(page, "a")
    page.run("b", "%qianfan keep 2")
    compared(page, "a")
    assert page.messages() == ["which?", "first"]


def test_rerun_as_a_comparison_tells_what_it_replaces(page):
    page.talk("one")
    assert "[Replaces turn 1, which" in text_of(compared(page, "a"))


def test_comparison_that_fails_in_its_first_column_can_go_on_from_the_second(page):
    page.talk("one", "two")
    page.server.fail(Fault(path="/a_dolly", error_code=336003))
    page.run("b", f"%%qianfan_chat {ENDPOINTS}\ndos")
    page.say("%qianfan keep 2")
    assert page.questions() == ["one", "dos"]


# --- where the answer is shown elsewhere


def test_answer_inside_an_output_leaves_its_record_under_the_cell(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    page.ask("a", "hi", "--into box")
    (under,) = page.under["a"]
    assert (under["data"], under["metadata"][KEY]["turns"][0]["user"]) == ({"text/plain": ""}, "hi")


def test_answer_inside_an_output_is_restored(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    page.ask("a", "hi", "--into box")
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.questions() == ["hi"]


def test_rerun_inside_an_output_shows_its_notes_there(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    page.ask("a", "hi", "--into box")
    page.ask("a", "hi", "--into box")
    inside = page.value("box.outputs[0]['data']['text/plain']")
    assert "Replaces turn 1" in inside


def test_watched_answer_carries_its_record_at_the_end(watched):
    ran = watched.ask("a", "hi")
    outputs = ran.contents("display_data", "update_display_data")
    assert [(WIDGET in o["data"], KEY in o["metadata"]) for o in outputs] == [
        (True, False),
        (False, True),
    ]


def test_watched_answer_records_its_turn(watched):
    assert told(watched.ask("a", "hi")) == [(1, "hi")]


def test_watched_notebook_is_restored(watched):
    watched.talk("one", "two")
    watched.ask("a", "uno")
    watched.ask("b", "dos")
    said = watched.messages()
    watched.save()
    watched.restart()
    watched.say("%qianfan restore")
    assert watched.messages() == said


def test_watched_rerun_tells_what_it_drops(watched):
    watched.talk("one", "two")
    assert "turn 2 (\u201ctwo\u201d)" in text_of(watched.ask("a", "uno"))


def test_watched_failure_records_the_turn_that_stays(watched):
    watched.talk("one")
    watched.server.fail(REFUSED)
    assert told(watched.run("a", "%%qianfan_chat\nuno")) == [(1, "one")]


def test_watched_columns_carry_their_record_at_the_end(watched):
    assert told(watched.ask("a", "hi", ENDPOINTS)) == [(1, "hi")]


# --- what must not be lost, or made


def test_keep_spares_what_another_conversation_was_given_since(page):
    """The comparison took the cell's turn out of that one; it must not be taken back again."""
    page.ask("z", "one")
    page.say("%qianfan save talk.json")
    page.say("%qianfan reset")
    page.ask("a", "two")
    page.server.fail(Fault(path="/b_dolly", fields={"result": "second"}))
    page.ask("a", "which?", f"-n tutor {ENDPOINTS} --no-stream")
    page.say("%qianfan load talk.json")
    page.say("%qianfan keep 2")
    assert (page.questions(), page.messages("tutor")[1]) == (["one"], "second")


def test_clock_goes_on_though_a_record_was_damaged(page):
    page.talk("one", "two")
    del page.under["a"][0]["metadata"][KEY]["clock"]
    before = page.under["b"][0]["metadata"][KEY]["clock"]
    page.save()
    page.restart()
    assert records_of(page.ask("c", "three"))[0]["clock"] > before


@pytest.mark.parametrize("name", ["''", "' '"])
def test_conversation_without_a_name_is_refused(notebook, name):
    """Neither a file nor a notebook that tells of one can be read again."""
    error, _ = notebook.fail(f"%%qianfan_chat -n {name}\nhi")
    assert (type(error), notebook.bodies) == (ParameterError, [])


# --- several of these at once


def test_rerun_of_the_first_cell_takes_its_system_text_back(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.ask("a", "uno")
    assert "system" not in page.bodies[-1]


def test_one_turn_less_is_sent_in_one_piece_too(page):
    page.talk("one", "two")
    page.server.fail(Fault(error_code=336103))
    page.ask("c", "three", "--no-stream")
    assert page.sent() == ["two", "three"]


def test_stopped_comparison_keeps_what_its_first_column_had(watched):
    watched.talk("one", "two")
    faults = [Fault(path=f"/{letter}_dolly", after=8, end="silence") for letter in "ab"]
    watched.server.fail(*faults)
    code = f"%%qianfan_chat {ENDPOINTS}\n{WALL}"
    columns = lambda ran: {f.get("column", 0) for f in ran.frames} == {0, 1}  # noqa: E731
    ran = watched.stop("b", code, columns)
    assert (ran.reply["ename"], watched.questions()) == (
        "KeyboardInterrupt",
        ["one", WALL],
    )


def test_continued_columns_go_on_with_one_beginning(page):
    page.run("a", CUT_OFF)
    page.ask("b", "", f"--continue {ENDPOINTS}")
    page.say("%qianfan keep 2")
    assert page.messages() == ["Please introduce Beijing", BEIJING]


def test_cell_that_goes_on_with_another_keeps_its_own_turn(page):
    page.talk("one")
    page.run("b", CUT_OFF)
    ran = rest(page, "a")
    assert told(ran) == [(1, "one"), (2, "Please introduce Beijing")]


def test_continue_above_the_cell_that_was_cut_off_drops_it_and_fails(page):
    page.save("a", "b")
    page.run("b", CUT_OFF)
    reply = page.run("a", "%%qianfan_chat --continue\n").reply
    assert ("has no answer yet" in reply["evalue"], page.questions()) == (
        True,
        ["Please introduce Beijing"],
    )


def test_keep_after_a_failed_first_column_takes_the_cells_turn_out_of_the_other(page):
    page.ask("a", "one")
    page.server.fail(Fault(path="/a_dolly", error_code=336003))
    page.run("a", f"%%qianfan_chat -n tutor {ENDPOINTS}\none")
    page.say("%qianfan keep 2")
    assert (page.questions(), page.questions("tutor")) == ([], ["one"])

"""Cells that run again: their turns are replaced, kept, or continued, in a real kernel.

The rules themselves are tested in ``tests/conversation`` and ``tests/session``. Here a kernel gets
each cell with its id, as a front end sends it, and shows what has become of the conversation.
"""

from __future__ import annotations

import re

from support.kernel import Ran
from support.notebook import CUT_OFF, ENDPOINTS, WALL
from support.page import Page, cleared, recorded_turns, records_of, text_of
from support.waiting import until

from qianfan_magic.embedded.engines.scripted import BEIJING
from qianfan_magic.embedded.faults import Fault

REFUSED = Fault(error_code=336003)
#: The conversation once the answer to `CUT_OFF` is complete.
WHOLE = ["Please introduce Beijing", BEIJING]


# --- a cell that is run again


def test_rerun_follows_the_turns_above_it_and_drops_those_below(page):
    page.talk("one", "two", "three")
    page.ask("b", "dos")
    assert page.sent() == ["one", "dos"]
    for _ in range(3):
        page.ask("c", "tres")
        assert page.sent() == ["one", "dos", "tres"]
    assert page.questions() == ["one", "dos", "tres"]


def test_rerun_names_the_turns_that_it_replaces_and_drops(page):
    page.talk("one", "two", "three", "four", "five", "six")
    followed = "turn 2 (“two”), turn 3 (“three”), turn 4 (“four”), 2 more"
    replaced = "Replaces turn 1, which this cell asked before."
    shown = text_of(page.ask("a", "uno"))
    assert f"[{replaced} Dropped turns that followed: {followed}.]" in shown
    assert f"[{replaced}]" in text_of(page.ask("a", "eins"))


def test_cell_that_replaces_no_turn_has_no_note(page):
    page.talk("one", "two")
    page.say("%qianfan undo")
    for cell, flags in (("b", ""), ("c", ""), ("a", "--append"), ("", "")):
        shown = text_of(page.ask(cell, "next", flags))
        assert re.findall(r"^\[(\w+)", shown, re.MULTILINE) == ["dolly_12b"], (cell, flags)
    assert page.questions() == ["one", "next", "next", "next", "next"]


def shown_under(page: Page, cell: str) -> str:
    """Return the text of a cell's only output, as the page shows it now."""
    (output,) = page.under[cell]
    return output["data"]["text/plain"]


def test_output_of_a_dropped_turn_says_so_until_the_turn_is_there_again(live_page):
    gone = "[This turn is no longer in the conversation default.]"
    live_page.talk("one", "two", "three")
    live_page.run("x", "%qianfan save talk.json --force")
    live_page.ask("b", "dos")
    marked = [cell for cell in "abc" if gone in shown_under(live_page, cell)]
    assert marked == ["c"]
    live_page.save()
    live_page.run("x", "%qianfan undo")
    assert gone in shown_under(live_page, "b")
    live_page.run("x", "%qianfan load talk.json")
    assert gone not in shown_under(live_page, "c")
    assert gone in shown_under(live_page, "b")  # it is not the turn of the file
    live_page.restart()
    live_page.say("%qianfan restore --force")
    assert live_page.questions() == ["one", "dos"]


def test_output_of_a_forgotten_turn_stays_marked_when_another_cell_asks_the_same(live_page):
    gone = "[This turn is no longer in the conversation default.]"
    live_page.ask("a", "one")
    live_page.run("x", "%qianfan reset")
    live_page.ask("b", "one")
    assert gone in shown_under(live_page, "a")
    assert gone not in shown_under(live_page, "b")


def test_output_of_an_answer_that_another_cell_continued_is_not_marked(live_page):
    live_page.run("a", CUT_OFF)
    resume(live_page, "b")
    assert "no longer" not in shown_under(live_page, "a")


def test_rerun_takes_its_system_message_back(page):
    page.ask("a", "one", "-s 'Be brief.'")
    page.ask("b", "two", "-s 'Be long.'")
    page.ask("b", "dos")
    assert page.bodies[-1]["system"] == "Be brief."
    page.ask("a", "uno")
    assert "system" not in page.bodies[-1]


def test_rerun_in_another_conversation_moves_its_turn(page):
    page.talk("one", "two", "three")
    ran = page.ask("b", "two", "-n tutor")
    replaced = "In default: Replaces turn 2, which this cell asked before."
    assert f"[{replaced} Dropped turns that followed: turn 3 (“three”).]" in text_of(ran)
    assert page.questions() == ["one"]
    assert page.questions("tutor") == ["two"]
    (record,) = records_of(page.ask("a", "one", "-n tutor"))
    assert set(record["heads"]) == {"default", "tutor"}
    assert record["heads"]["default"]["id"] == ""


def test_cell_without_an_id_adds_a_turn_each_time(page):
    page.ask("", "one")
    page.ask("", "one")
    page.ask("a", "two")
    page.ask("a", "dos")
    assert page.questions() == ["one", "one", "dos"]


def test_append_adds_a_turn_and_records_the_earlier_one_too(page):
    """The front end has cleared the output that held the earlier one."""
    page.talk("one", "two")
    ran = page.ask("a", "uno", "--append")
    assert page.questions() == ["one", "two", "uno"]
    assert recorded_turns(ran) == [(1, "one"), (3, "uno")]


def test_rerun_after_append_replaces_all_turns_of_the_cell(page):
    page.ask("a", "one")
    page.ask("a", "uno", "--append")
    assert "Replaces turns 1, 2," in text_of(page.ask("a", "eins"))
    assert page.questions() == ["eins"]


# --- a run without an answer

#: What a cell may contain, and the fault of the service, so that there is no answer.
WITHOUT_AN_ANSWER: dict[str, tuple[str, Fault | None]] = {
    "refused": ("%%qianfan_chat\nuno", REFUSED),
    "broken off": ("%%qianfan_chat\nPlease introduce Beijing", Fault(after=4, end="close")),
    "temperature out of range": ("%%qianfan_chat -t 3\nuno", None),
    "unknown flag": ("%%qianfan_chat --nonsense\nuno", None),
    "open quote": ("%%qianfan_chat -s 'x\nuno", None),
    "no text": ("%%qianfan_chat\n", None),
    "text too long": (f"%%qianfan_chat\n{'x' * 4_801}", None),
    "unknown variable": ("%%qianfan_chat --fill\n{nobody}", None),
    "unknown widget": ("%%qianfan_chat --into nobody\nuno", None),
    "dry run": ("%%qianfan_chat --dry-run\nuno", None),
    "help": ("%%qianfan_chat -h\n", None),
    "empty answer": ("%%qianfan_chat\nuno", Fault(fields={"result": ""})),
    "blank answer": ("%%qianfan_chat --no-stream\nuno", Fault(fields={"result": " \n"})),
    "comparison": (f"%%qianfan_chat {ENDPOINTS}\nuno", Fault(path="/a_dolly", error_code=336003)),
}


def assert_unchanged(page: Page, ran: Ran, before: list[str], case: str = "") -> None:
    """Assert that a run of cell a left its turn 1, said so, and recorded it for a restore."""
    shown = text_of(ran)
    unchanged = "The conversation default is unchanged: it still has turn 1,"
    assert f"{unchanged} which this cell asked before." in shown, case
    assert "Dropped" not in shown, case
    assert "Replaces" not in shown, case
    assert recorded_turns(ran) == [(1, before[0])], case
    assert page.messages() == before, case
    page.save()
    page.restart()
    page.say("%qianfan restore")
    assert page.messages() == before, case


def test_rerun_without_an_answer_changes_nothing(page):
    for case, (code, fault) in WITHOUT_AN_ANSWER.items():
        cleared(page)
        page.talk("one", "two")
        before = page.messages()
        page.server.fail(*[fault] * (fault is not None))
        assert_unchanged(page, page.run("a", code), before, case)


def test_rerun_stopped_before_its_first_chunk_changes_nothing(page):
    page.talk("one", "two")
    before, requests = page.messages(), len(page.bodies)
    page.server.fail(Fault(end="silence"))
    is_received = lambda _: until(lambda: len(page.bodies) > requests)  # noqa: E731
    ran = page.stop("a", "%%qianfan_chat\nuno", is_received)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert_unchanged(page, ran, before)


def test_rerun_without_an_answer_names_each_conversation_that_is_unchanged(page):
    page.ask("a", "one")
    page.ask("a", "uno", "-n tutor --append")
    for flags in ("", "-n other"):
        page.server.fail(REFUSED)
        ran = page.run("a", f"%%qianfan_chat {flags}\neins")
        names = re.findall(r"The conversation (\w+) is unchanged", text_of(ran))
        assert names == ["default", "tutor"], flags
        assert recorded_turns(ran) == [(1, "one"), (1, "uno")], flags


def test_first_run_without_an_answer_shows_no_note(page):
    page.talk("one")
    page.server.fail(REFUSED)
    assert page.run("b", "%%qianfan_chat\ntwo").bundles == []


def test_other_output_of_a_cell_keeps_the_record_of_its_answer(page):
    page.ask("a", "one")
    assert recorded_turns(page.run("a", "%qianfan")) == [(1, "one")]


def test_cell_without_an_earlier_record_has_only_its_own_output(page):
    page.ask("", "one")
    page.ask("a", "two")
    for cell in ("", "b"):
        page.run(cell, "%qianfan")
        assert len(page.under[cell]) == 1, cell


# --- a run that is stopped


def test_stopped_rerun_keeps_what_has_arrived_until_the_next_run(live_page):
    live_page.talk("one", "two")
    live_page.server.fail(Fault(after=8, end="silence"))
    ran = live_page.stop("b", f"%%qianfan_chat\n{WALL}", lambda ran: ran.seen)
    *_, question, answer = live_page.messages()
    assert question == WALL
    assert answer.strip()
    assert answer.strip() in text_of(ran)
    assert "[Replaces turn 2, which" in text_of(ran)
    assert "is unchanged" not in text_of(ran)
    (turn,) = records_of(ran)[-1]["turns"]
    assert turn["stopped"]
    assert "truncated" not in turn
    live_page.ask("b", "dos")
    assert live_page.questions() == ["one", "dos"]


def test_stopped_comparison_keeps_what_its_first_column_has_received(live_page):
    live_page.talk("one", "two")
    faults = [Fault(path=f"/{letter}_dolly", after=8, end="silence") for letter in "ab"]
    live_page.server.fail(*faults)
    both = lambda ran: {frame.get("column", 0) for frame in ran.frames} == {0, 1}  # noqa: E731
    ran = live_page.stop("b", f"%%qianfan_chat {ENDPOINTS}\n{WALL}", both)
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert live_page.questions() == ["one", WALL]


# --- a cell that sends several questions


def loop(page: Page, *questions: str) -> Ran:
    """Run a cell that asks these questions in a loop."""
    call = 'get_ipython().run_cell_magic("qianfan_chat", "", question)'
    return page.run("a", f"for question in {questions!r}:\n    {call}")


def test_loop_adds_and_records_a_turn_for_each_question(page):
    records = records_of(loop(page, "one", "two"))
    assert page.questions() == ["one", "two"]
    assert [[t["user"] for t in r["turns"]] for r in records] == [["one"], ["two"]]


def test_rerun_of_a_loop_replaces_all_its_turns_and_says_so_once(page):
    loop(page, "one", "two", "three")
    shown = text_of(loop(page, "eins", "zwei"))
    assert page.questions() == ["eins", "zwei"]
    assert re.findall("Replaces (.*), which", shown) == ["turns 1, 2, 3"]


def test_rerun_of_a_loop_that_fails_at_once_leaves_all_its_turns(page):
    loop(page, "one", "two")
    page.server.fail(REFUSED)
    ran = loop(page, "eins", "zwei")
    assert "it still has turns 1, 2," in text_of(ran)
    assert recorded_turns(ran) == [(1, "one"), (2, "two")]


def test_rerun_of_a_loop_that_fails_later_keeps_its_new_turns(page):
    loop(page, "one", "two")
    loop(page, "eins", "")  # a question without text is refused
    assert page.questions() == ["eins"]


# --- a cell that continues an answer


def resume(page: Page, cell: str, flags: str = "", text: str = "") -> Ran:
    """Run a cell that continues the last answer."""
    return page.ask(cell, text, f"--continue {flags}")


def test_cell_continues_its_own_or_another_answer_as_one_turn(page):
    for cell in "ab":
        cleared(page)
        page.run("a", CUT_OFF)
        ran = resume(page, cell)
        (bundle,) = ran.bundles
        assert bundle["text/plain"].startswith(BEIJING.strip("\n") + "\n\n[dolly_12b"), cell
        record = records_of(ran)[-1]
        assert "truncated" not in record["turns"][0], cell
        assert record["turns"][0]["continues"]["truncated"], cell
        assert page.messages() == WHOLE, cell
        page.save()
        page.restart()
        page.say("%qianfan restore")
        assert page.messages() == WHOLE, cell


def test_rerun_continues_from_the_same_beginning(page):
    for cell in "ab":
        cleared(page)
        page.run("a", CUT_OFF)
        resume(page, cell)
        resume(page, cell)
        assert page.bodies[-1] == page.bodies[-2], cell
        assert page.messages() == WHOLE, cell


def test_rerun_with_another_question_takes_back_what_its_cell_added(page):
    for cell, expected in (("a", ["new"]), ("b", ["Please introduce Beijing", "new"])):
        cleared(page)
        page.run("a", CUT_OFF)
        resume(page, "b")
        page.ask(cell, "new")
        assert page.questions() == expected, cell
    assert len(page.messages()[1]) < len(BEIJING)


def test_cell_that_continues_another_answer_keeps_its_own_turn(page):
    page.talk("one")
    page.run("b", CUT_OFF)
    ran = resume(page, "a")
    assert recorded_turns(ran) == [(1, "one"), (2, "Please introduce Beijing")]


def test_whole_answer_is_not_continued(page):
    page.talk("one")
    for cell in "ab":
        reply = page.run(cell, "%%qianfan_chat --continue\n").reply
        assert "'default' ends with a whole answer" in reply["evalue"], cell
    assert len(page.bodies) == 1


def test_answer_of_a_cell_below_is_not_continued(page):
    page.save("a", "b")
    page.run("b", CUT_OFF)
    reply = page.run("a", "%%qianfan_chat --continue\n").reply
    assert "has no answer yet" in reply["evalue"]
    assert page.questions() == ["Please introduce Beijing"]


def test_continuation_that_fails_leaves_the_beginning_and_can_be_run_again(page):
    for cell in "ab":
        for fault in (REFUSED, Fault(after=3, end="close")):
            case = f"cell {cell}, {fault}"
            cleared(page)
            page.run("a", CUT_OFF)
            before = page.messages()
            page.server.fail(fault)
            ran = page.run(cell, "%%qianfan_chat --continue\n")
            assert page.messages() == before, case
            if cell == "a":
                assert recorded_turns(ran) == [(1, "Please introduce Beijing")], case
                assert "it still has turn 1," in text_of(ran), case
            resume(page, cell)
            assert page.messages() == WHOLE, case


def test_stopped_continuation_is_one_turn_that_can_be_continued(live_page):
    for cell in "ab":
        cleared(live_page)
        live_page.run("a", CUT_OFF)
        live_page.server.fail(Fault(after=8, end="silence"))
        continuation = "%%qianfan_chat --continue\n"
        ran = live_page.stop(cell, continuation, lambda ran: "million" in ran.seen)
        question, answer = live_page.messages()
        assert question == "Please introduce Beijing", cell
        assert BEIJING.startswith(answer), cell
        (turn,) = records_of(ran)[-1]["turns"]
        assert turn["stopped"], cell
        assert "truncated" not in turn, cell
        assert resume(live_page, "c").seen.startswith("Beijing"), cell
        assert live_page.messages() == WHOLE, cell

"""Records in a notebook's outputs, and the conversations restored from them, in a real kernel.

The records themselves are tested in ``tests/conversation``. Here each command and each way to show
an answer leaves its record in the saved notebook, and a new kernel restores it.
"""

from __future__ import annotations

import json

import pytest
from support.kernel import WIDGET, Ran
from support.notebook import CUT_OFF, ENDPOINTS
from support.page import KEY, Page, cleared, recorded_turns, records_of, text_of, turns_of

from qianfan_magic.embedded.engines.scripted import BEIJING
from qianfan_magic.embedded.faults import Fault

FLAGS = "-n tutor -s 'Be brief.' -t 0.3 --stop Z --user-id somebody-4711"


def reopen(page: Page, notebook: Page | None = None) -> None:
    """Save the page, or another notebook with its outputs, and start anew."""
    if notebook is not None:
        notebook.under = page.under
    (notebook or page).save()
    page.restart()


def put_ahead(page: Page, cell: str) -> int:
    """Make the clock of a cell's record an hour later, as a computer that is ahead does."""
    record = page.under[cell][0]["metadata"][KEY]
    record["clock"] += 3_600_000
    return int(record["clock"])


def compare(page: Page, cell: str, flags: str = "") -> Ran:
    """Compare two services that answer "first" and "second"."""
    page.server.fail(
        Fault(path="/a_dolly", fields={"result": "first"}),
        Fault(path="/b_dolly", fields={"result": "second"}),
    )
    return page.ask(cell, "which?", f"{flags} {ENDPOINTS} --no-stream")


# --- the record of an answer


def test_record_has_the_turn_as_it_was_sent_and_the_head_of_its_conversation(page):
    page.ask("a", "hi", "-n tutor")
    (record,) = records_of(page.ask("b", "hello there", FLAGS))
    assert set(record) == {"version", "clock", "heads", "turns"}
    assert record["version"] == 1
    (turn,) = record["turns"]
    assert turn == {
        "conversation": "tutor",
        "turn": 2,
        "id": turn["id"],
        "after": page.under["a"][0]["metadata"][KEY]["turns"][0]["id"],
        "cell": "b",
        "system": "Be brief.",
        "user": "hello there",
        "assistant_at": f"0..{len(page.messages('tutor')[-1])}",
        "model": "dolly_12b",
        "parameters": {"temperature": 0.3, "stop": ["Z"]},
        "tokens": turn["tokens"],
    }
    assert record["heads"] == {"tutor": {"id": turn["id"], "turns": 2}}
    assert "somebody-4711" not in json.dumps(record)


def test_answer_of_each_format_carries_its_record(page):
    page.kernel.run("city = 'Beijing'")
    for flags in ("markdown", "text", "json", "html", "code", "text --fill"):
        cleared(page)
        question = "Where is {city}?" if "fill" in flags else "Where is Beijing?"
        ran = page.run("a", f"%%qianfan_chat --format {flags}\n{question}")
        assert recorded_turns(ran) == [(1, "Where is Beijing?")], flags


def test_completion_carries_no_record(page):
    ran = page.run("a", "%%qianfan_complete\nx")
    assert len(ran.bundles) == 1
    assert records_of(ran) == []


def test_clock_of_the_records_counts_up_across_kernels(page):
    """The wall clock would do, unless the notebook comes from a computer that is ahead."""
    clocks = [records_of(page.ask(cell, "hi"))[0]["clock"] for cell in "aba"]
    clocks.append(put_ahead(page, "b"))
    reopen(page)
    clocks.append(records_of(page.ask("c", "three"))[0]["clock"])
    del page.under["a"][0]["metadata"][KEY]["clock"]
    reopen(page)
    clocks.append(records_of(page.ask("d", "four"))[0]["clock"])
    assert clocks == sorted(set(clocks))


def test_record_of_a_streamed_answer_comes_with_its_plain_output(live_page):
    for flags in ("", ENDPOINTS):
        ran = live_page.ask("a", "hi", flags)
        outputs = ran.contents("display_data", "update_display_data")
        assert [WIDGET in output["data"] for output in outputs] == [True, False], flags
        assert [KEY in output["metadata"] for output in outputs] == [False, True], flags
        assert recorded_turns(ran) == [(1, "hi")], flags


def test_streamed_rerun_names_what_it_drops_and_records_what_stays(live_page):
    live_page.talk("one", "two")
    assert "turn 2 (“two”)" in text_of(live_page.ask("a", "uno"))
    live_page.server.fail(Fault(error_code=336003))
    assert recorded_turns(live_page.run("a", "%%qianfan_chat\neins")) == [(1, "uno")]


# --- secrets


def test_nothing_that_is_published_has_a_secret(page):
    for flags in (FLAGS, "--no-stream", "--compare temperature=0.1,0.9", "--dry-run"):
        published = json.dumps(page.ask("a", "hi", flags).published, default=str)
        authenticator = page.server.authenticator
        keys = authenticator.keys
        assert authenticator.tokens
        for secret in (keys.ak, keys.sk, keys.access_key, keys.secret_key, *authenticator.tokens):
            assert secret not in published, flags


def test_turn_that_quotes_a_key_is_recorded_without_it_and_restored(page):
    keys = page.server.authenticator.keys
    ran = page.ask("a", f"Is {keys.ak} or {keys.sk} my key?", f"-s 'Never say {keys.sk}.'")
    page.ask("b", "two")
    (record,) = records_of(ran)
    assert keys.ak not in json.dumps(record)
    assert keys.sk not in json.dumps(record)
    reopen(page)
    assert page.say("%qianfan restore").startswith("default: 2 turns restored")


# --- restore


@pytest.mark.parametrize("streams", [False, True], ids=["at once", "streamed"])
def test_restored_conversations_are_as_they_were_and_continue(page, live_page, streams):
    page = live_page if streams else page
    page.ask("a", "one")
    page.ask("a", "uno", "-s 'Be brief.'")
    page.ask("b", "dos")
    page.ask("c", "hello", "-n tutor")
    messages = page.messages(), page.messages("tutor")
    reopen(page)
    ran = page.run("z", "%qianfan restore")
    system = ", with the system text “Be brief.”"
    assert text_of(ran) == f"default: 2 turns restored{system}.\ntutor: 1 turn restored."
    # The notebook's outputs hold the turns: this one need not record them again.
    assert "turns" not in records_of(ran)[0]
    assert (page.messages(), page.messages("tutor")) == messages
    page.ask("b", "deux")
    assert page.sent() == ["uno", "deux"]
    assert page.bodies[-1]["system"] == "Be brief."
    assert page.questions() == ["uno", "deux"]


def test_turns_that_were_dropped_stay_so_and_are_named(page):
    page.talk("one", "two")
    page.save()
    page.ask("a", "uno")
    reopen(page)
    left_out = "default: left out, since the conversation had been rewound: turn 2 (“two”, cell 2)."
    assert left_out in page.say("%qianfan restore")
    assert page.questions() == ["uno"]


def test_turns_that_were_forgotten_are_not_restored(page):
    for command, remaining in (("undo", ["one"]), ("reset", []), ("reset --all", [])):
        cleared(page)
        page.talk("one", "two")
        page.run("c", f"%qianfan {command}")
        reopen(page)
        page.say("%qianfan restore")
        assert page.questions() == remaining, command


def test_missing_answers_are_reported(page):
    page.save("a")
    assert "page.ipynb holds no answers of a conversation." in page.say("%qianfan restore")
    page.talk("one", "two", "three")
    page.under["b"] = []
    reopen(page)
    assert "default: turn 2 is missing from the notebook." in page.say("%qianfan restore")


def test_turns_of_another_notebook_are_restored_and_recorded(page, tmp_path):
    page.talk("one", "two")
    other = Page(page.kernel, tmp_path / "other.ipynb")
    reopen(page, other)
    ahead = put_ahead(page, "b")
    other.save()
    ran = page.run("z", f"%qianfan restore {other.path}")
    assert page.questions() == ["one", "two"]
    assert recorded_turns(ran) == [(1, "one"), (2, "two")]
    assert records_of(ran)[0]["clock"] > ahead


def test_turns_that_are_not_saved_are_overwritten_only_by_force(page):
    page.ask("a", "one")
    page.ask("b", "two", "-n tutor")
    page.save()
    page.ask("c", "three")
    page.say("%qianfan reset -n tutor")
    shown = page.say("%qianfan restore")
    assert "default: left unchanged: page.ipynb lacks 1 turn that this kernel has." in shown
    assert page.questions() == ["one", "three"]
    assert page.questions("tutor") == ["two"]
    page.say("%qianfan restore --force")
    assert page.questions() == ["one"]


# --- load


def test_loaded_turns_are_recorded_and_belong_to_their_cells(page):
    page.talk("one", "two")
    page.say("%qianfan save talk.json")
    page.restart()
    assert recorded_turns(page.run("z", "%qianfan load talk.json")) == [(1, "one"), (2, "two")]
    page.ask("b", "dos")
    assert page.questions() == ["one", "dos"]


# --- compare and keep


def test_kept_column_replaces_the_first_in_the_record_alone(page):
    page.talk("one", "two")
    compare(page, "a")
    (before,) = page.under["a"]
    (turn,) = turns_of(before)
    assert (turn.assistant, turn.model) == ("first", "a_dolly_12b")
    assert "[Replaces turn 1, which" in before["data"]["text/plain"]
    page.run("b", "%qianfan keep 2")
    (output,) = page.under["a"]
    assert output["data"] == before["data"]
    (turn,) = turns_of(output)
    assert (turn.assistant, turn.model) == ("second", "b_dolly_12b")
    assert output["metadata"][KEY]["heads"]["default"]["id"] == turn.id
    reopen(page)
    page.say("%qianfan restore")
    assert page.messages() == ["which?", "second"]
    compare(page, "a")
    assert page.messages() == ["which?", "first"]


def test_kept_column_is_restored_without_the_output_of_the_comparison(page):
    compare(page, "a")
    page.run("b", "%qianfan keep 2")
    page.under["a"] = []
    reopen(page)
    page.say("%qianfan restore")
    assert page.messages() == ["which?", "second"]


def test_column_beside_a_failed_one_replaces_the_turn_of_its_cell(page):
    for flags, name, others in (("", "default", []), ("-n tutor", "tutor", ["one"])):
        cleared(page)
        page.talk("one", "two")
        page.server.fail(Fault(path="/a_dolly", error_code=336003))
        page.run("b", f"%%qianfan_chat {flags} {ENDPOINTS}\ndos")
        page.say("%qianfan keep 2")
        assert page.questions(name)[-1] == "dos", flags
        assert page.questions() == (others or ["one", "dos"]), flags


def test_keep_does_not_remove_turns_that_were_loaded_after_the_comparison(page):
    """The comparison removed the cell's turn there; keep must not remove it a second time."""
    page.ask("z", "one")
    page.say("%qianfan save talk.json")
    page.say("%qianfan reset")
    page.ask("a", "two")
    compare(page, "a", "-n tutor")
    page.say("%qianfan load talk.json")
    page.say("%qianfan keep 2")
    assert page.questions() == ["one"]
    assert page.messages("tutor")[1] == "second"


def test_columns_continue_the_same_beginning(page):
    page.run("a", CUT_OFF)
    page.ask("b", "", f"--continue {ENDPOINTS}")
    page.say("%qianfan keep 2")
    assert page.messages() == ["Please introduce Beijing", BEIJING]


# --- answers inside an output widget


def test_answer_in_an_output_widget_leaves_its_record_under_the_cell(page):
    page.kernel.run("import ipywidgets; box = ipywidgets.Output()")
    for _ in range(2):
        page.ask("a", "hi", "--into box")
    (output,) = page.under["a"]
    assert output["data"] == {"text/plain": ""}
    assert output["metadata"][KEY]["turns"][0]["user"] == "hi"
    assert "Replaces turn 1" in page.value("box.outputs[0]['data']['text/plain']")
    reopen(page)
    page.say("%qianfan restore")
    assert page.questions() == ["hi"]

"""Turns that are not sent, or that the service wants forgotten, in a real kernel and its records.

Which turns are sent is tested in ``tests/conversation`` and ``tests/magics``. Here the notebook is
saved and restored afterwards: what was forgotten stays away, and what was not sent comes back.
"""

from __future__ import annotations

from support.page import KEY, Page, recorded_turns, records_of, text_of

from qianfan_magic.embedded.faults import Fault


def restored_questions(page: Page) -> list[str]:
    """Save the notebook, restore it in a new kernel, and return the questions that are back."""
    page.save()
    page.restart()
    page.say("%qianfan restore")
    return page.questions()


def test_turns_from_the_unsafe_one_on_are_forgotten_and_not_restored(page):
    page.talk("one", "two", "three")
    page.server.fail(Fault(fields={"need_clear_history": True, "ban_round": 2}))
    ran = page.ask("d", "something bad")
    unsafe = "The service found turn 2 of those sent unsafe (ban_round 2)"
    assert f"[{unsafe}: it is forgotten, with all turns after it.]" in text_of(ran)
    (record,) = records_of(ran)
    (first,) = page.under["a"][0]["metadata"][KEY]["turns"]
    assert record["heads"]["default"]["id"] == first["id"]
    assert "turns" not in record
    assert page.questions() == ["one"]
    assert restored_questions(page) == ["one"]
    page.ask("e", "five")
    assert page.sent() == ["one", "five"]


def test_unsafe_question_is_forgotten_with_the_turn_of_its_earlier_run(page):
    page.talk("one", "two")
    page.server.fail(Fault(fields={"need_clear_history": True, "ban_round": -1}))
    shown = text_of(page.ask("b", "something bad"))
    assert "[The service found this question unsafe (ban_round -1): it is not kept.]" in shown
    assert "[Replaces turn 2, which this cell asked before.]" in shown
    assert page.questions() == ["one"]


def test_turns_that_the_service_finds_too_long_are_not_sent_and_restored(live_page):
    page = live_page
    page.talk("one", "two", "three")
    page.server.fail(*[Fault(error_code=336103)] * 2)
    ran = page.ask("c", "tres")
    assert [page.sent(number) for number in (3, 4, 5)] == [
        ["one", "two", "tres"],
        ["two", "tres"],
        ["tres"],
    ]
    shown = text_of(ran)
    assert "[The oldest 2 turns were not sent: the service found more too long.]" in shown
    assert recorded_turns(ran) == [(3, "tres")]
    assert restored_questions(page) == ["one", "two", "tres"]


def test_turns_beyond_max_turns_are_not_sent_and_restored(page):
    page.say("%config QianfanMagics.max_turns = 1")
    page.talk("one", "two", "three")
    shown = text_of(page.ask("d", "four"))
    assert "[The oldest 2 turns were not sent: max_turns is 1.]" in shown
    assert page.sent() == ["three", "four"]
    assert restored_questions(page) == ["one", "two", "three", "four"]
    # IPython keeps a setting of %config when the extension is loaded again.
    page.ask("e", "five")
    assert page.sent() == ["four", "five"]

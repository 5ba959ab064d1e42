"""The reasoning that comes before an answer: live, folded, saved.

`HandServer` sends a piece when the test says so, which holds each live state as long as needed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from support.hand_server import HandServer
from support.hostile import GROUPS
from support.page import turns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Locator, Page
    from support.jupyterlab import Lab, OpenAndRun, OpenNotebook

    Ask = Callable[..., OpenNotebook]

CELL = "%%qianfan_chat -m ernie-5.1 --enable-thinking"
ASK = f"{CELL}\nA bat and a ball."
LIVE, SAVED = ".qianfan-reply details", ".qianfan-answer details"
AGAIN = "%%qianfan_chat -m ernie-5.1\nAnd now?"


@pytest.fixture
def ask(
    lab: Lab, open_notebook: OpenAndRun, hand: HandServer, request: pytest.FixtureRequest
) -> Ask:
    """Run cells that ask the server by hand; do not wait for them."""

    def ask_cells(*cells: str, **look: object) -> OpenNotebook:
        path = lab.write(f"{request.node.name}.ipynb", hand.setup(), *cells)
        notebook = open_notebook(path, **look)
        notebook.run_all()
        return notebook

    return ask_cells


def thoughts(notebook: OpenNotebook) -> Locator:
    return notebook.page.locator(LIVE)


def is_open(details: Locator) -> bool:
    return details.evaluate("e => e.open")


def wait_for_answer(notebook: OpenNotebook, text: str) -> None:
    """Wait until the answer so far shows a text."""
    notebook.page.locator(".qianfan-body", has_text=text).wait_for()


def wait_for_thoughts(notebook: OpenNotebook, text: str) -> None:
    """Wait until the thoughts so far hold a text, whether or not they are open."""
    expect(notebook.page.locator(".qianfan-thought")).to_contain_text(text)


# --- while it runs


def test_thoughts_are_open_until_the_answer_begins(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("Ten cents? ", "No.")
    expect(notebook.page.locator(".qianfan-thought")).to_have_text("Ten cents? No.")
    expect(notebook.page.locator(".qianfan-state")).to_contain_text("ernie-5.1 · thinking")
    assert is_open(thoughts(notebook))
    assert notebook.page.locator(".qianfan-body").inner_text() == ""
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    expect(notebook.page.locator(".qianfan-state")).to_contain_text("ernie-5.1 · streaming")
    assert not is_open(thoughts(notebook))


def test_reader_who_opened_the_thoughts_again_keeps_them_open(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("Ten cents? ")
    wait_for_thoughts(notebook, "Ten cents?")
    for _ in range(2):
        thoughts(notebook).locator("summary").click()
    hand.think("No.")
    wait_for_thoughts(notebook, "No.")
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    assert is_open(thoughts(notebook))


def test_reader_who_closed_the_thoughts_keeps_them_closed(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("Ten cents? ")
    wait_for_thoughts(notebook, "Ten cents?")
    thoughts(notebook).locator("summary").click()
    hand.think("No.")
    wait_for_thoughts(notebook, "No.")
    assert not is_open(thoughts(notebook))
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    assert not is_open(thoughts(notebook))


def test_thoughts_opened_under_the_answer_stay_open_to_its_end(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("Ten cents? No.")
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    thoughts(notebook).locator("summary").click()
    hand.say(" cents.")
    wait_for_answer(notebook, "Five cents.")
    assert is_open(thoughts(notebook))
    hand.end()
    expect(notebook.page.locator(SAVED)).to_have_attribute("open", "")


SELECT = """words => { const text = document.querySelector('.qianfan-thought').firstChild;
    const at = text.data.indexOf(words);
    document.getSelection().setBaseAndExtent(text, at, text, at + words.length); }"""


def test_selection_in_the_thoughts_survives_the_next_pieces(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("Is it ten cents? ")
    wait_for_thoughts(notebook, "ten cents?")
    notebook.page.evaluate(SELECT, "ten cents")
    hand.think("No, ", "five.")
    wait_for_thoughts(notebook, "No, five.")
    assert notebook.page.evaluate("document.getSelection().toString()") == "ten cents"


def test_stop_keeps_the_thoughts_and_adds_no_turn(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK, "print('went on')")
    hand.think("Ten cents? ", "Let me")
    wait_for_thoughts(notebook, "Let me")
    notebook.page.get_by_role("button", name="Stop", exact=True).click()
    notebook.output(1).get_by_text("Stopped. What had arrived is kept.").wait_for()
    expect(notebook.page.locator(SAVED)).to_contain_text("Ten cents? Let me")
    expect(notebook.output(1)).to_contain_text("ernie-5.1 · stopped")
    notebook.screenshot("thinking-stopped")
    notebook.wait_idle()
    expect(notebook.run_code("%qianfan history")).to_contain_text(": 0 turns")


# --- long thoughts

LONG = [f"Step {number}: {'and so on ' * 9}\n" for number in range(1000)]
BOTTOM = "() => document.querySelector('.qianfan-state').getBoundingClientRect().bottom"
SCROLLER = """() => { let e = document.querySelector('.qianfan-reply');
    while (!(/auto|scroll/.test(getComputedStyle(e).overflowY)
             && e.scrollHeight > e.clientHeight + 1)) e = e.parentElement;
    return e; }"""


def test_page_follows_the_end_of_the_thoughts(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK, height=500)
    hand.think(*LONG[:20])
    wait_for_thoughts(notebook, "Step 19:")
    hand.think(*LONG[20:60])
    wait_for_thoughts(notebook, "Step 59:")
    assert notebook.page.evaluate(BOTTOM) < 500


def test_page_stays_where_the_reader_has_scrolled_up(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK, height=500)
    hand.think(*LONG[:60])
    wait_for_thoughts(notebook, "Step 59:")
    scroller = notebook.page.evaluate_handle(SCROLLER)
    scroller.evaluate("e => { e.scrollTop = 40 }")
    hand.think(*LONG[60:])
    wait_for_thoughts(notebook, "Step 999:")
    assert scroller.evaluate("e => e.scrollTop") == 40


def test_state_line_stays_in_view_when_long_thoughts_fold(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK, *["print('a cell below')"] * 12, height=500)
    notebook.page.locator(".qianfan-state").scroll_into_view_if_needed()
    hand.think(*LONG[:60])
    wait_for_thoughts(notebook, "Step 59:")
    expect(notebook.page.locator(".qianfan-state")).to_be_in_viewport()
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    expect(notebook.page.locator(".qianfan-state")).to_be_in_viewport()


def test_reader_within_long_thoughts_finds_where_they_were_folded(
    ask: Ask, hand: HandServer
) -> None:
    notebook = ask(ASK, *["print('a cell below')"] * 12, height=500)
    notebook.page.locator(".qianfan-state").scroll_into_view_if_needed()
    hand.think(*LONG[:100])
    wait_for_thoughts(notebook, "Step 99:")
    notebook.page.evaluate_handle(SCROLLER).evaluate("e => { e.scrollTop -= 700 }")
    assert notebook.page.evaluate(BOTTOM) > 500
    hand.say("Five")
    wait_for_answer(notebook, "Five")
    expect(thoughts(notebook).locator("summary")).to_be_in_viewport()


def test_long_thoughts_cost_little_more_than_their_length(ask: Ask, hand: HandServer) -> None:
    notebook = ask()
    received: list[int] = []
    developer_tools = notebook.page.context.new_cdp_session(notebook.page)
    developer_tools.on(
        "Network.webSocketFrameReceived",
        lambda event: received.append(len(event["response"]["payloadData"])),
    )
    developer_tools.send("Network.enable")
    notebook.run_code(ASK)
    hand.think(*LONG)
    wait_for_thoughts(notebook, "Step 999:")
    assert 100_000 < sum(received) < 200_000


# --- saved


@pytest.fixture
def answered(ask: Ask, hand: HandServer) -> OpenNotebook:
    """A notebook with an answer that has ended."""
    notebook = ask(ASK)
    hand.think("Ten cents? No.")
    hand.say("**Five** cents.")
    hand.end()
    notebook.page.locator(SAVED).wait_for()
    notebook.wait_idle()
    return notebook


def test_saved_notebook_has_one_closed_fold_and_no_widget(answered: OpenNotebook) -> None:
    saved = answered.save()
    (output,) = saved["cells"][1]["outputs"]
    html = "".join(output["data"]["text/html"])
    assert html.count("<details") == 1
    assert "<details open" not in html
    assert html.index("Ten cents? No.") < html.index("</details>") < html.index("Five")
    assert "widget" not in json.dumps(saved)


def test_fold_opens_by_click_and_keyboard_without_the_kernel(answered: OpenNotebook) -> None:
    answered.reload_without_kernel()
    page, text = answered.page, answered.page.get_by_text("Ten cents? No.")
    summary = page.locator(f"{SAVED} summary")
    expect(text).to_be_hidden()
    summary.click()
    expect(text).to_be_visible()
    summary.click()
    expect(text).to_be_hidden()
    page.locator(".jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
    page.keyboard.press("Escape")
    for _ in range(30):
        page.keyboard.press("Tab")
        if summary.evaluate("e => e === document.activeElement"):
            break
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    expect(text).to_be_visible()


def test_fold_is_there_in_a_notebook_that_is_not_trusted(
    answered: OpenNotebook, lab: Lab, open_notebook: OpenAndRun
) -> None:
    saved = answered.save()
    saved["cells"][1]["outputs"][0]["data"]["text/html"] += "\n"  # no signature fits it now
    path = lab.folder / "from-a-stranger.ipynb"
    path.write_text(json.dumps(saved))
    page = open_notebook(path).page
    expect(page.get_by_text("Ten cents? No.")).to_be_hidden()
    page.get_by_text("Thinking", exact=True).click()
    expect(page.get_by_text("Ten cents? No.")).to_be_visible()


def test_thoughts_are_in_the_record_and_not_in_the_next_request(
    answered: OpenNotebook, hand: HandServer
) -> None:
    (output,) = answered.save()["cells"][1]["outputs"]
    (turn,) = turns_of(output)
    assert turn.reasoning == "Ten cents? No."
    hand.end()
    answered.run_code(AGAIN)
    answered.wait_idle()
    first, then = hand.seen
    assert first["enable_thinking"] is True
    assert [message["content"] for message in then["messages"]] == [
        "A bat and a ball.",
        "**Five** cents.",
        "And now?",
    ]
    assert "Ten cents" not in json.dumps(then)


FORMS = [("text", "*five*", "*five*"), ("json", '{"cents":5}', '"cents": 5')]


@pytest.mark.parametrize(("form", "text", "shown"), FORMS)
def test_thoughts_stand_above_other_forms_too(
    ask: Ask, hand: HandServer, form: str, text: str, shown: str
) -> None:
    notebook = ask(ASK.replace(CELL, f"{CELL} --format {form}"))
    hand.think("Ten *cents*? No.")
    wait_for_thoughts(notebook, "Ten *cents*? No.")
    hand.say(text)
    hand.end()
    expect(notebook.output(1).locator(".qianfan-answer > pre")).to_contain_text(shown)
    expect(notebook.page.locator(SAVED)).to_contain_text("Ten *cents*? No.")
    assert not is_open(notebook.page.locator(SAVED))


def test_one_column_thinks_and_the_other_does_not(run: OpenAndRun) -> None:
    notebook = run(
        "%%qianfan_chat -m ernie-5.1 --compare enable_thinking=true,false\n"
        "A bat and a ball cost 1.10 together; the bat costs 1.00 more. What does the ball cost?"
    )
    columns = notebook.output(1).locator(".qianfan-answer > div > div")
    expect(columns).to_have_count(2)
    expect(columns.nth(0)).to_contain_text("5 cents")
    expect(columns.nth(1)).to_contain_text("10 cents")
    assert [columns.nth(n).locator("details").count() for n in range(2)] == [1, 0]


def test_character_in_two_pieces_of_the_thoughts_is_whole(ask: Ask, hand: HandServer) -> None:
    notebook = ask(ASK)
    hand.think("A ball \ud83c", "\udfc0 and a bat")
    hand.say("Five")
    hand.end()
    expect(notebook.page.locator(SAVED)).to_contain_text("A ball \U0001f3c0 and a bat")


# --- hostile thoughts: they are text and nothing else

#: Collects every element that ever appears within the thoughts.
WATCH = """() => {
    window.strange = [];
    new MutationObserver(() => {
        for (const e of document.querySelectorAll('.qianfan-thought *')) strange.push(e.outerHTML);
    }).observe(document.body, { childList: true, subtree: true });
}"""
PARTS = "all => all.flatMap(e => [...e.querySelectorAll('*')].map(f => f.tagName))"


@pytest.fixture
def hostile(ask: Ask, hand: HandServer) -> OpenNotebook:
    """A notebook with all payloads as thoughts, each group of which was shown live."""
    notebook = ask(
        f"for n in range({len(GROUPS)}):\n    get_ipython().run_cell_magic("
        "'qianfan_chat', '-m ernie-5.1 --enable-thinking', f'{n}')"
    )
    notebook.page.evaluate(WATCH)
    for number, group in enumerate(GROUPS):
        hand.think(*(f"{text}\n\n" for text in group.values()), f"(end of {number})")
        wait_for_thoughts(notebook, f"(end of {number})")
        hand.say("Seen.")
        hand.end()
    expect(notebook.page.locator(SAVED)).to_have_count(len(GROUPS))
    notebook.wait_idle()
    return notebook


def assert_only_text(page: Page, requested: list[str]) -> None:
    """Assert that the folded thoughts have no elements, and that nothing ran or was loaded."""
    body = page.locator(f"{SAVED} > :not(summary)")
    assert body.count() == len(GROUPS)
    assert body.evaluate_all(PARTS) == []
    assert page.evaluate("window.ran") is None
    assert [url for url in requested if "evil" in url or ":9/" in url] == []


def test_hostile_thoughts_are_text_live_saved_and_exported(
    hostile: OpenNotebook, browser: Browser
) -> None:
    assert hostile.page.evaluate("window.strange") == []
    assert hostile.page.evaluate("window.ran") is None
    hostile.save()
    hostile.page.reload()
    expect(hostile.page.locator(SAVED)).to_have_count(len(GROUPS))
    for number in range(len(GROUPS)):
        hostile.page.locator(f"{SAVED} summary").nth(number).click()
    assert_only_text(hostile.page, hostile.requested)
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(hostile.path, as_version=4))
    context = browser.new_context()
    requested: list[str] = []
    # The page's own scripts come from a CDN that is out of reach here; let them fail at once.
    context.route("**/*", lambda route: (requested.append(route.request.url), route.abort()))
    page = context.new_page()
    page.set_content(html)
    assert_only_text(page, requested)
    context.close()

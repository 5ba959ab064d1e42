"""Reading an answer while it arrives: selection, scrolling, code, mathematics, formats."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.jupyterlab import SETUP, next_answer, set_pace

if TYPE_CHECKING:
    from support.jupyterlab import Lab, OpenAndRun, OpenNotebook

MIXED = r"""# Walls and numbers

The wall is **21,196 km** long, and $E = mc^2$ holds; \(a^2 + b^2 = c^2\) too. It costs $5 or $6.

$$
\int_0^1 x^2\,dx = \frac{1}{3}
+ 0
$$

```python
def area(width, height=2):
    # of a rectangle
    return "about " + str(width * height)
```

- [x] read
- [ ] write

| name | length |
|---|---:|
| 长城 | 21,196 |

A note[^1] and a link to [paypal.com](https://evil.example/login).

[^1]: From a survey.
"""
SLOWLY = set_pace(0.15)
WALL = "%%qianfan_chat\nPlease introduce The Great Wall"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_everything_of_markdown_is_shown(run: OpenAndRun, theme: str) -> None:
    notebook = run(*next_answer(MIXED), theme=theme, height=1300)
    answer = notebook.output(2).locator(".qianfan-answer")
    answer.locator("mjx-container").nth(2).wait_for()
    notebook.wait_idle()
    notebook.screenshot(f"markdown-{theme.split()[1].lower()}")
    assert answer.locator("mjx-container").count() == 3
    expect(answer).to_contain_text("It costs $5 or $6.")
    expect(answer).to_contain_text("paypal.com (evil.example)")
    plain = answer.locator("pre").evaluate("e => getComputedStyle(e).color")
    keyword = answer.get_by_text("def", exact=True).evaluate("e => getComputedStyle(e).color")
    assert keyword != plain


def test_formulas_are_typeset_while_the_answer_arrives(run: OpenAndRun) -> None:
    notebook = run(*next_answer(MIXED + "more\n\n" * 40, pace=0.1))
    live = notebook.page.locator(".qianfan-reply")
    live.locator("mjx-container").nth(2).wait_for()
    notebook.screenshot("markdown-streaming")
    expect(live).to_contain_text("streaming")


def test_code_can_be_copied_from_the_plain_output(run: OpenAndRun) -> None:
    notebook = run(*next_answer(MIXED))
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook.output(2).locator(".qianfan-answer pre").hover()
    notebook.output(2).get_by_role("button", name="Copy the code").click()
    copied = notebook.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("def area(width, height=2):\n    # of a rectangle\n")


#: Returns where the first letter of an element begins, in pixels from the left.
LEFT = """element => {
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode() && !texts.currentNode.data.trim());
    const range = document.createRange();
    range.setStart(texts.currentNode, 0);
    range.setEnd(texts.currentNode, 1);
    return range.getBoundingClientRect().left; }"""


def test_text_and_tables_begin_at_the_left_edge_of_the_code(run: OpenAndRun) -> None:
    notebook = run("%%qianfan_chat\nPlease introduce Beijing", "%qianfan models")
    notebook.wait_idle()
    answer = notebook.output(1).locator(".qianfan-answer")
    texts = [answer.locator("> p").first, answer.locator("table"), notebook.output(2).locator("td")]
    code = notebook.page.locator(".jp-CodeCell").nth(1).locator(".cm-line").first
    for width in (1200, 761, 760, 500):  # JupyterLab's narrow layout begins at 760 pixels
        notebook.resize(width, 800)
        for text in texts:
            assert abs(text.first.evaluate(LEFT) - code.evaluate(LEFT)) < 1.5, (width, text)


def test_line_under_the_answer_tells_how_fast_it_comes(run: OpenAndRun) -> None:
    notebook = run(SLOWLY, WALL)
    state = notebook.page.locator(".qianfan-state")
    expect(state).to_contain_text("ernie-5.1 · streaming")
    expect(state).to_contain_text(re.compile(r"first token after \d+ ms · ≈ \d+ tokens/s"))
    answer = notebook.output(2).locator(".qianfan-answer")
    expect(answer).to_contain_text(
        re.compile(r"ernie-5.1 · done · \d+ tokens · first token after \d+ ms · \d+ tokens/s")
    )
    assert "tokens/s" not in str(notebook.save())


def select(notebook: OpenNotebook, words: str) -> None:
    """Select words of the answer as a reader would."""
    notebook.page.evaluate(
        """words => {
            const texts = document.createTreeWalker(
                document.querySelector('.qianfan-body'), NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                const at = texts.currentNode.data.indexOf(words);
                if (at < 0) continue;
                const node = texts.currentNode;
                document.getSelection().setBaseAndExtent(node, at, node, at + words.length);
            }
        }""",
        words,
    )


def selected(notebook: OpenNotebook) -> str:
    return notebook.page.evaluate("document.getSelection().toString()")


def test_selected_text_stays_selected(run: OpenAndRun) -> None:
    notebook = run(SLOWLY, WALL)
    body = notebook.page.locator(".qianfan-body")
    body.get_by_text("not one wall").wait_for()
    select(notebook, "not one wall")
    body.get_by_text("earthen walls").wait_for()  # in the next block
    assert selected(notebook) == "not one wall"
    notebook.output(2).locator(".qianfan-answer").wait_for()
    expect(notebook.page.locator(".qianfan-reply")).to_have_count(0)
    assert selected(notebook) == "not one wall"


LONG = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(60))
BOTTOM = "() => document.querySelector('.qianfan-state').getBoundingClientRect().bottom"


def scroller(notebook: OpenNotebook):
    """The element of the page that scrolls."""
    return notebook.page.evaluate_handle(
        """() => { let e = document.querySelector('.qianfan-reply');
                   while (!(/auto|scroll/.test(getComputedStyle(e).overflowY)
                            && e.scrollHeight > e.clientHeight + 1)) e = e.parentElement;
                   return e; }"""
    )


def test_page_follows_the_end_where_the_reader_is_there(run: OpenAndRun) -> None:
    notebook = run(*next_answer(LONG, pace=0.05), height=500)
    notebook.page.locator(".qianfan-body", has_text="Paragraph 30").wait_for()
    assert notebook.page.evaluate(BOTTOM) < 500


def test_page_stays_where_the_reader_has_scrolled_up(run: OpenAndRun) -> None:
    notebook = run(*next_answer(LONG, pace=0.05), height=500)
    notebook.page.locator(".qianfan-body", has_text="Paragraph 25").wait_for()
    view = scroller(notebook)
    view.evaluate("e => { e.scrollTop = 40 }")
    notebook.page.locator(".qianfan-body", has_text="Paragraph 40").wait_for()
    assert view.evaluate("e => e.scrollTop") == 40
    notebook.output(2).locator(".qianfan-answer").wait_for()
    notebook.wait_idle()
    assert view.evaluate("e => e.scrollTop") == 40


def test_page_does_not_jump_when_the_answer_ends(lab: Lab, open_notebook: OpenAndRun) -> None:
    path = lab.write("does-not-jump.ipynb", SETUP, *next_answer(LONG, pace=0.02))
    notebook = open_notebook(path, height=500)
    notebook.page.evaluate(
        """() => { window.tops = [];
                   const see = () => {
                     const text = [...document.querySelectorAll('.jp-OutputArea-output p')]
                       .find(p => p.textContent.startsWith('Paragraph 50 '));
                     window.tops.push(text ? text.getBoundingClientRect().top : null);
                     requestAnimationFrame(see); };
                   see(); }"""
    )
    notebook.run_all()
    notebook.output(2).locator(".qianfan-answer").wait_for()
    notebook.wait_idle()
    tops = [top for top in notebook.page.evaluate("window.tops") if top is not None]
    # Up, as it follows the end; never down again by more than the line under the answer.
    assert max(after - before for before, after in pairwise(tops)) < 60


def test_answer_can_be_shown_inside_an_output_widget(run: OpenAndRun) -> None:
    notebook = run(
        "import ipywidgets\nbox = ipywidgets.Output()\nbox", "%%qianfan_chat --into box\nhi"
    )
    notebook.wait_idle()
    expect(notebook.output(1)).to_contain_text("What is on your mind today?")
    notebook.screenshot("into")
    assert notebook.output(2).inner_text() == ""


def test_code_goes_into_the_next_cell_and_is_not_run(run: OpenAndRun) -> None:
    fenced = "Here:\n\n```python\nprint('it ran')\n```\n"
    say, ask = next_answer(fenced)
    notebook = run(
        say, ask.replace("%%qianfan_chat", "%%qianfan_chat --format code"), "print('last')"
    )
    notebook.output(4).get_by_text("last").wait_for()
    notebook.wait_idle()
    saved = notebook.save()
    assert saved["cells"][3]["source"] in ("print('it ran')", ["print('it ran')"])
    assert saved["cells"][3]["outputs"] == []


def test_json_is_shown_pretty(run: OpenAndRun) -> None:
    say, ask = next_answer('{"wall": [1, 2.5, null, "长城"], "open": true}')
    notebook = run(say, ask.replace("%%qianfan_chat", "%%qianfan_chat --format json"))
    expect(notebook.output(2)).to_contain_text('"wall": [\n    1,')
    notebook.screenshot("json")


#: A cell in which 300,000 characters arrive at once.
VERY_LONG = """
from qianfan_magic.api.types import Chunk, Usage
from qianfan_magic.views import live
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.state_line import AnswerHead
text = "".join(f"**Tower** {number} {'of the wall ' * 9}\\n\\n" for number in range(2_500))
live.MAX_RENDER_SHARE = 1e9
view = live.LiveView(CellOutput(), [AnswerHead("dolly_12b")], markdown=True)
for start in range(0, len(text), 50_000):
    view.write(Chunk(text[start : start + 50_000], False, Usage(), {}))
"""
NUMBERS = "element => element.textContent.match(/(?<=Tower(\\*\\*)? )\\d+/g).map(Number)"


def test_rest_of_a_very_long_answer_is_plain_text(run: OpenAndRun) -> None:
    notebook = run(VERY_LONG)
    body = notebook.output(1).locator(".qianfan-body")
    expect(body).to_contain_text("**Tower** 2499")
    assert body.evaluate(NUMBERS) == list(range(2_500))
    notebook.run_code('view.end(AnswerOutput(text, "markdown", state="done"))')
    answer = notebook.output(1).locator(".qianfan-answer")
    answer.get_by_text(re.compile("[0-9,]+ more characters, as plain text")).click()
    assert answer.evaluate(NUMBERS) == list(range(2_500))
    last = answer.locator("pre").last
    last.evaluate("element => element.scrollIntoView(false)")
    expect(last).to_be_in_viewport()
    notebook.screenshot("very-long-answer")

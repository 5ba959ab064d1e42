"""Screenshots of images, reasoning and reports, in both themes and on a narrow page.

The tests check that no output is wider than its cell; the looks are for a person to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from support.hand_server import HandServer

from qianfan_magic.embedded.engines.reasoning import BAT_AND_BALL, CHICKENS

if TYPE_CHECKING:
    from support.jupyterlab import Lab, OpenAndRun, OpenNotebook

CELL = "%%qianfan_chat -m ernie-5.1 --enable-thinking"
PUZZLES = {
    "english": (
        "A bat and a ball cost 1.10; the bat costs 1.00 more than the ball. And the ball?",
        BAT_AND_BALL,
    ),
    "chinese": ("鸡兔同笼，共有 35 个头、94 只脚，鸡兔各几只？", CHICKENS),
}
DRAW = """from PIL import Image, ImageDraw
wide = Image.new("RGB", (1600, 900), "#dfe7d8")
draw = ImageDraw.Draw(wide)
draw.polygon([(0, 900), (500, 250), (900, 700), (1200, 380), (1600, 900)], fill="#6b7f5c")
draw.ellipse([1250, 90, 1400, 240], fill="#f0c419")
tall = wide.crop((300, 0, 800, 900)).resize((300, 540))
icon = Image.new("RGBA", (24, 24), (200, 40, 40, 128))
text, number = {"type": "string"}, {"type": "integer"}
city = {"type": "object", "properties": {"name": text, "population": number, "description": text}}
COUNTRY = {
    "type": "object",
    "properties": {"country": text, "cities": {"type": "array", "items": city}, "complete": {}},
}"""

ASK = f"{CELL}\n{PUZZLES['english'][0]}"
COMPARE = ASK.replace("--enable-thinking", "--compare enable_thinking=true,false")
#: What a cell shows, by the screenshot's name, and a text that is there when it is whole.
SHOWN = {
    "picture": (
        "%%qianfan_chat -m ernie-5.0 -n seen -i wide -i tall -i icon\nWhat is it?",
        "cannot see",
    ),
    "thinking-compare": (COMPARE, "10 cents"),
    "models": ("%qianfan models", "ernie-5.1"),
    "request": ("%qianfan request", "Came back"),
    "request-as": ("%qianfan request --as python", "enable_thinking"),
    "doctor": ("%qianfan doctor", "Python"),
    "params-v2": ("%qianfan params enable_thinking=true seed=7", "thinking_budget"),
    "schema": (
        "%%qianfan_chat -m ernie-5.1 -n table --schema COUNTRY\nWhich cities are large?",
        "21893095",
    ),
    "web-search": (
        "%%qianfan_chat -m ernie-5.1 -n web --web-search\nPlease introduce The Great Wall",
        "Example Domain",
    ),
    "schema-compare": (
        "%%qianfan_chat -m ernie-5.1 -n two --schema city --compare seed=1,2\nWhich city is large?",
        "21893095",
    ),
}
LOOKS = {
    f"{theme.lower()}-{width}": {"theme": f"JupyterLab {theme}", "width": width, "height": 1000}
    for theme, width in (("Light", 1200), ("Dark", 600))
}


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> str:
    return request.param


def show_from_the_top(notebook: OpenNotebook, cell: int) -> None:
    """Scroll so that a cell begins at the upper edge."""
    cells = notebook.page.locator(".jp-CodeCell")
    cells.nth(cell).evaluate("e => e.scrollIntoView({ block: 'start' })")


@pytest.mark.parametrize("language", PUZZLES)
def test_thoughts_fit(
    lab: Lab, open_notebook: OpenAndRun, hand: HandServer, look: str, language: str
) -> None:
    question, puzzle = PUZZLES[language]
    name = f"thinking-{language}-{look}"
    path = lab.write(f"{name}.ipynb", hand.setup(), f"{CELL}\n{question}")
    notebook = open_notebook(path, **LOOKS[look])
    notebook.run_all()
    hand.think(puzzle.thought)
    expect(notebook.page.locator(".qianfan-state")).to_contain_text("tokens")
    notebook.screenshot(f"{name}-live")
    hand.say(puzzle.right)
    hand.end()
    details = notebook.output(1).locator(".qianfan-answer details")
    details.wait_for()
    notebook.wait_idle()
    notebook.screenshot(f"{name}-folded")
    details.locator("summary").click()
    notebook.screenshot(f"{name}-opened")
    assert notebook.overflow(1) == 0


def test_what_is_shown_fits(run: OpenAndRun, look: str) -> None:
    notebook = run(DRAW, *(cell for cell, _ in SHOWN.values()), **LOOKS[look])
    wide = []
    for number, (name, (_, text)) in enumerate(SHOWN.items(), 2):
        expect(notebook.output(number)).to_contain_text(text)
        notebook.wait_idle()
        show_from_the_top(notebook, number)
        notebook.screenshot(f"{name}-{look}")
        wide += [name] * bool(notebook.overflow(number))
    assert wide == []

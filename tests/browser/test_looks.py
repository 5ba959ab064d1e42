"""Pictures of all that a notebook shows, in both themes and at three widths.

The tests check that no output is wider than its cell, and that axe-core finds nothing serious; the
looks are for a person to judge. ``tests/support/compare_pictures.py`` compares two runs.
"""

from __future__ import annotations

from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import axe_playwright_python
import pytest
from PIL import Image
from playwright.sync_api import expect
from support.hand_server import HandServer
from support.jupyterlab import SCREENSHOTS, SETUP, set_pace

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
}

import matplotlib.pyplot as plt
import pandas as pd

def weather(city: str) -> str:
    "Look up the weather."
    raise LookupError(f"no station in {city}")

def cities(near: str) -> pd.DataFrame:
    "List cities."
    return pd.DataFrame({"city": [near, "Tianjin"], "people": [21_893_095, 13_866_009]})

def curve(points: int):
    "Draw a curve."
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot(range(points))
    plt.close(figure)
    return figure"""

ASK = f"{CELL}\n{PUZZLES['english'][0]}"
COMPARE = ASK.replace("--enable-thinking", "--compare enable_thinking=true,false")
#: What a cell shows, by the screenshot's name, and a text that is there when it is whole.
SHOWN = {
    "answer": ("%%qianfan_chat -n pythagoras -t 0.3\nExplain Pythagoras, please.", "hypotenuse"),
    "chinese": ("%%qianfan_chat -n chinese\n请介绍长城", "城墙"),
    "code": ("%%qianfan_complete\n# quicksort in Python", "pivot"),
    "columns": (
        "%%qianfan_chat -n beijing --compare temperature=0.1,0.5,0.9\nPlease introduce Beijing",
        "Beijing",
    ),
    "keep": ("%qianfan keep 2", "kept"),
    "history": ("%qianfan history -n pythagoras", "Explain Pythagoras"),
    "status": ("%qianfan status", "Credentials"),
    "help": ("%qianfan help", "%qianfan"),
    "flags": ("%%qianfan_chat -h\n", "temperature"),
    "dry-run": ("%%qianfan_chat --dry-run\nhi", "POST"),
    "usage": ("%qianfan usage", "tokens"),
    "picture": (
        "%%qianfan_chat -m ernie-5.0 -n seen -i wide -i tall -i icon\nWhat is it?",
        "cannot see",
    ),
    "thinking-compare": (COMPARE, "10 cents"),
    "models": ("%qianfan models", "ernie-5.1"),
    "request": ("%qianfan request", "Came back"),
    "request-as": ("%qianfan request --as python", "enable_thinking"),
    "doctor": ("%qianfan doctor", "Python"),
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
    "calls": (
        """%%qianfan_chat -m ernie-5.1 -n calls --tool weather --tool cities --tool curve
The weather and the cities near Beijing, and a curve of 9 points, please.""",
        "The result is",
    ),
    "params": ("%qianfan params enable_thinking=true seed=7", "thinking_budget"),
}
THEMES, WIDTHS = ("Light", "Dark"), (1200, 760, 500)
#: JupyterLab's own parts of an output are left out.
OURS = ".qianfan-answer, .qianfan-params, .qianfan-controls, .qianfan-reply"


def find_barriers(notebook: OpenNotebook) -> list[str]:
    """List what axe-core finds in our outputs that shuts readers out: contrast, names, roles."""
    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
    notebook.page.evaluate("source => { window.axe ?? window.eval(source) }", axe)
    parts = [[part] for part in OURS.split(", ") if notebook.page.locator(part).count()]
    found = notebook.page.evaluate("include => axe.run({ include })", parts)
    assert found["passes"]
    return [
        f"{finding['id']}: {node['html']}"
        for finding in found["violations"]
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]


@pytest.mark.parametrize("language", PUZZLES)
def test_thoughts_fit_and_are_accessible(
    lab: Lab, open_notebook: OpenAndRun, hand: HandServer, language: str
) -> None:
    question, puzzle = PUZZLES[language]
    path = lab.write(f"thinking-{language}.ipynb", hand.setup(), f"{CELL}\n{question}")
    notebook = open_notebook(path)
    notebook.run_all()
    hand.think(puzzle.thought)
    expect(notebook.page.locator(".qianfan-state")).to_contain_text("tokens")
    assert take_pictures(notebook, {1: f"thinking-{language}-live"}) == []
    hand.say(puzzle.right)
    hand.end()
    details = notebook.output(1).locator(".qianfan-answer details")
    details.wait_for()
    notebook.wait_idle()
    details.locator("summary").click()
    assert take_pictures(notebook, {1: f"thinking-{language}"}) == []


PARTS = """

Text.

- one
- two

```python
x = 1
```

| a | b |
|---|---|
| 1 | 2 |

> Said.

1. first

## End

Last."""
#: Where the parts of an answer stand, and the surface of its code.
MEASURE = """answer => {
  const top = answer.querySelector('p').getBoundingClientRect().y;
  const parts = answer.querySelectorAll('p, ul, ol, pre, table, blockquote, h2, details');
  const places = [...parts].map(part => {
    const { x, y, width, height } = part.getBoundingClientRect();
    return [part.tagName, ...[x, y - top, width, height].map(Math.round)];
  });
  return [places, getComputedStyle(answer.querySelector('pre code')).backgroundColor];
}"""


@pytest.mark.parametrize("width", [1200, 500])
def test_live_view_and_plain_output_look_the_same(
    lab: Lab, open_notebook: OpenAndRun, hand: HandServer, width: int
) -> None:
    function = 'def add(x: int) -> int:\n    "Add one."\n    return x + 1'
    cell = "%%qianfan_chat -m ernie-5.1 --tool add\nhi"
    path = lab.write(f"same-{width}.ipynb", hand.setup() + "\n" + function, cell)
    notebook = open_notebook(path)
    notebook.resize(width, 1500)
    notebook.run_all()
    hand.say("I add.")
    hand.call("add", x=1)
    hand.say(PARTS.strip())
    live = notebook.output(1).locator(".qianfan-body")
    live.get_by_text("Last.").wait_for()
    shown_live = live.evaluate(MEASURE)
    hand.end()
    notebook.wait_idle()
    plain = notebook.output(1).locator(".qianfan-answer")
    plain.wait_for()
    places, surface = plain.evaluate(MEASURE)
    assert [places[:-1], surface] == shown_live  # the last is the line below the answer


def test_what_is_shown_fits_and_is_accessible(run: OpenAndRun) -> None:
    notebook = run(DRAW, *(cell for cell, _ in SHOWN.values()))
    for number, (_, text) in enumerate(SHOWN.values(), 2):
        expect(notebook.output(number)).to_contain_text(text)
    notebook.wait_idle()
    assert take_pictures(notebook, dict(enumerate(SHOWN, 2))) == []


def test_panel_and_notes_are_chinese(lab: Lab, open_notebook: OpenAndRun) -> None:
    # Under pytest all is in English.
    chinese = "import os\ndel os.environ['PYTEST_VERSION']\nos.environ['QIANFAN_LANGUAGE'] = 'zh'\n"
    ask = "%%qianfan_chat --max-tokens 20\n请介绍长城"
    params, help_line = "%qianfan params temperature=0.5", "%qianfan help"
    path = lab.write("language.ipynb", chinese + SETUP, ask, params, help_line)
    notebook = open_notebook(path)
    notebook.run_all()
    expect(notebook.output(2).get_by_role("button", name="再问一次")).to_be_enabled()
    notebook.wait_idle()
    expect(notebook.output(1)).to_contain_text("回答达到服务的长度上限")
    assert take_pictures(notebook, {1: "zh-note", 2: "zh-params", 3: "zh-help"}) == []


def test_animation_of_an_arriving_answer_is_small(run: OpenAndRun) -> None:
    """It is the first picture of the README and of the documentation."""
    notebook = run(set_pace(0.15))
    notebook.resize(760, 1000)
    notebook.run_code("%%qianfan_chat\nExplain Pythagoras, please.")
    cell = notebook.page.locator(".jp-CodeCell").last
    cell.locator(".qianfan-body p").first.wait_for()
    frames, is_last = [], False
    while not is_last:
        is_last = not notebook.page.locator(".qianfan-reply").count()
        box = {**(cell.bounding_box() or {}), "height": 600}
        frames.append(Image.open(BytesIO(notebook.page.screenshot(clip=box))).convert("RGB"))
    # One palette for all, or the same gray would differ from frame to frame.
    palette = frames[-1].quantize(96)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    path = SCREENSHOTS / "streaming.gif"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    pauses = [1_000, *[200] * (len(others) - 1), 5_000]
    first.save(path, save_all=True, append_images=others, duration=pauses, loop=0)
    assert len({frame.tobytes() for frame in frames}) > 2
    assert path.stat().st_size < 2_000_000


def take_pictures(notebook: OpenNotebook, names: dict[int, str]) -> list[str]:
    """Take a picture of each cell in each theme and width; return what is wrong there."""
    wrong = []
    for theme, width in product(THEMES, WIDTHS):
        notebook.set_theme(f"JupyterLab {theme}")
        notebook.resize(width, 3200)  # the tallest output is whole
        notebook.page.wait_for_timeout(300)  # until JupyterLab has laid out its cells again
        look = f"{theme.lower()}-{width}"
        for cell, name in names.items():
            notebook.picture(cell, f"{name}-{look}")
            wrong += [f"{name}-{look} is too wide"] * bool(notebook.overflow(cell))
        wrong += [f"{look}: {barrier}" for barrier in find_barriers(notebook)]
    return wrong

"""Answers of a hostile model in a real JupyterLab: they are read, and do nothing else.

Every payload of `hostile` is streamed, one character an event, into an output of its own, with
pauses so that halves of it are shown live; those that are HTML are asked for as HTML too. A judge
that is written without a look at the package sits in the page: while the answers stream, when they
have ended, after the saved notebook has been loaded again, and in nbconvert's page. It judges what
a payload has brought about and not how the package builds its answers.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import nbformat
import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Error
from playwright.sync_api import TimeoutError as Waited
from support.hostile import CLASSES, GROUPS, HTML, MATHEMATICS, NAMES, PAYLOADS
from support.jupyterlab import OpenNotebook, running_lab
from support.slow_server import TOKEN, SlowServer
from support.watch import OUTSIDE, Watch, answer_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route
    from support.jupyterlab import Lab

PHASES = ("streaming", "ended", "reloaded", "exported")
#: Cells before the payloads': setting up, mathematics of the page's own, a harmless answer.
FIRST = 3
#: Answers under one cell; JupyterLab shows at most 50 outputs, and many cells take it long.
BATCH = 40
#: Notebooks that run side by side: an answer takes its time, and most of it is a pause.
SHEETS = 3
PATIENCE = 60_000  # milliseconds; only a test that fails waits so long
SETTLED = 200  # milliseconds in which what was set off would have happened
LONGEST_RUN = 180_000  # milliseconds; about 30 s if the computer has nothing else to do
ALL_HAVE_RUN = """() => {
  const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
  const cells = [...content.model.cells].filter((cell) => cell.type === "code");
  return cells.every((cell) => cell.executionState === "idle")
    && sessionContext.session?.kernel?.status === "idle";
}"""
EXPORTED = "http://exported.example/"
HARMLESS = "Harmless **words** and $x$."
ANSWERS = [HARMLESS, *PAYLOADS.values()]
WHOSE = ["harmless", *PAYLOADS]
#: Typeset before and after the answers: none of them may change what it looks like.
FORMULAS = r"""from IPython.display import Math
Math(r"\sin x \cos x \frac{1}{2} \alpha \bar{z} \color{red}{r} \begin{matrix}m\end{matrix}")"""

# Runs before all else in a page. What stands in an output is judged by what it could do, by its
# name and by its place; `log` has what was found while the page changed.
JUDGE = r"""
window.judge = (() => {
  const AREA = ".jp-OutputArea-output";
  const FORBIDDEN = `script, iframe, frame, frameset, fencedframe, portal, object, embed, applet,
    param, form, textarea, select, keygen, isindex, style, link, meta, base, template, slot, title,
    noscript, noembed, noframes, plaintext, xmp, listing, video, audio, source, track, picture,
    marquee, dialog, area, map, bgsound, animate, set, use, foreignObject, annotation-xml`;
  const LOADS = `src srcset srcdoc background poster ping action formaction data codebase archive
    manifest lowsrc dynsrc longdesc usemap imagesrcset`.split(/\s+/);
  const ACTS = `autofocus accesskey contenteditable popover popovertarget download is slot
    http-equiv`.split(/\s+/);
  const ACTS_SO = /^(on|data-commandlinker-|v-|ng-|x-)/i;
  const RASTER = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+\/=]*$/i;
  const WEB = /^(https?:\/\/|mailto:)/i;
  const DIRECTS = /[\u202a-\u202e\u2066-\u2069]/;
  const log = new Set();
  const halves = {};

  // Of which cell, and which of its outputs.
  function placeOf(area) {
    const cells = [...document.querySelectorAll(".jp-CodeCell")];
    const cell = area.closest(".jp-CodeCell");
    const outputs = [...(cell?.querySelectorAll(".jp-OutputArea-child") ?? [])];
    return [cells.indexOf(cell), outputs.indexOf(area.closest(".jp-OutputArea-child"))];
  }

  // A form's own property may be an element of the payload's that is named so.
  const attributesOf = Function.prototype.call.bind(
    Object.getOwnPropertyDescriptor(Element.prototype, "attributes").get);
  const linkOf = (a) => a.getAttribute("href") ?? a.getAttribute("xlink:href");

  function ofThePackage(element) {
    // MathJax writes MathML for those who listen; the package has buttons of its own.
    return element.closest("mjx-container") || element.closest("button[class^=qianfan-]");
  }

  function forbidden(element) {
    if (element.matches(FORBIDDEN)) return true;
    if (element.matches("svg, math")) return !ofThePackage(element);
    if (element.matches("button")) return !element.matches("[class^=qianfan-]");
    if (element.matches("input")) return !element.matches("[type=checkbox][disabled]");
    return element.matches("img") && !RASTER.test(element.getAttribute("src"));
  }

  function badLink(element) {
    const href = linkOf(element);
    if (href === null) return false;
    return !WEB.test(href) || element.host === location.host;
  }

  function badAttribute({ name, value }, element) {
    if (ACTS.includes(name) || ACTS_SO.test(name)) return true;
    if (LOADS.includes(name)) return !(element.matches("img") && RASTER.test(value));
    if (name === "target") return value !== "_blank";
    if (name === "style") return /url\(|image-set|@import|expression|behavior/i.test(value);
    return (name === "id" || name === "name") && NAMES.includes(value);
  }

  function covers(element, area) {
    const position = getComputedStyle(element).position;
    if (position === "fixed" || position === "sticky") return true;
    if (position !== "absolute" || area.contains(element.offsetParent)) return false;
    const { width, height } = element.getBoundingClientRect();
    return width * height > innerWidth * innerHeight / 4;
  }

  function faults(area) {
    const found = new Set();
    for (const element of area.querySelectorAll("*")) {
      const tag = element.localName;
      if (forbidden(element)) found.add(`<${tag}>`);
      if (badLink(element)) found.add(`<${tag} href=${linkOf(element)}>`);
      for (const attribute of attributesOf(element))
        if (badAttribute(attribute, element)) found.add(`<${tag} ${attribute.name}=…>`);
      for (const name of CLASSES) if (element.classList.contains(name)) found.add(`.${name}`);
      if (covers(element, area)) found.add(`<${tag}> lies over the page`);
    }
    if (DIRECTS.test(area.textContent)) found.add("a direction override");
    return [...found];
  }

  // What a link of another scheme does when it is followed; the rest would only leave the page.
  function follow(area) {
    for (const link of area.querySelectorAll("a, area"))
      link.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  }
  document.addEventListener("click", (event) => {
    const link = event.composedPath().find((at) => at.localName === "a" || at.localName === "area");
    if (event.isTrusted || !link) return;
    if (!/^[\s\0-\x20]*javascript:/i.test(link.protocol ?? linkOf(link))) event.preventDefault();
  }, true);

  function look(area) {
    if (!area.isConnected) return;
    const live = area.querySelector(".qianfan-reply");
    const place = placeOf(area);
    const found = faults(area);
    if (window.ran !== undefined) found.push("window.ran is set");
    for (const fault of found) log.add(JSON.stringify([!!live, place, fault]));
    if (!live) return;
    follow(live);
    const copy = live.cloneNode(true);
    copy.querySelectorAll(".qianfan-state").forEach((state) => state.remove());
    if (copy.textContent.trim()) (halves[place] ??= new Set()).add(copy.textContent);
  }

  new MutationObserver((records) => {
    const changed = new Set();
    for (const { target, addedNodes } of records) {
      const area = (target.closest ? target : target.parentElement)?.closest(AREA);
      if (area) changed.add(area);
      else for (const node of addedNodes)
        if (node.querySelectorAll)
          for (const inner of node.querySelectorAll(AREA)) changed.add(inner);
    }
    changed.forEach(look);
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });

  // Where an answer is hit though the point is not within its own output; a screenful at a time.
  function covered() {
    const found = new Set();
    let probed = -1;
    for (const part of document.querySelectorAll(".jp-OutputArea-child")) {
      const scroller = part.closest(".jp-WindowedPanel-outer") ?? document.scrollingElement;
      if (part.getBoundingClientRect().bottom + scroller.scrollTop <= probed) continue;
      part.scrollIntoView({ block: "start" });
      probed = scroller.scrollTop + innerHeight * 0.9;
      for (let x = 5; x < innerWidth; x += innerWidth / 9)
        for (let y = 5; y < innerHeight; y += innerHeight / 27) {
          const area = document.elementFromPoint(x, y)?.closest(AREA);
          if (area && !within(area.getBoundingClientRect(), x, y)) found.add(`${placeOf(area)}`);
        }
    }
    return [...found].map((place) => place.split(",").map(Number));
  }

  function within({ left, right, top, bottom }, x, y) {
    return x >= left - 2 && x <= right + 2 && y >= top - 2 && y <= bottom + 2;
  }

  return {
    covered,
    follow: () => document.querySelectorAll(AREA).forEach(follow),
    logged: () => [...log].map((entry) => JSON.parse(entry)),
    halves: () => Object.entries(halves).map(([place, seen]) => [place.split(",").map(Number),
      seen.size]),
    now: () => [...document.querySelectorAll(AREA)].flatMap(
      (area) => faults(area).map((fault) => [placeOf(area), fault])),
  };
})();
"""
JUDGE = f"const NAMES = {json.dumps(NAMES)}, CLASSES = {json.dumps(CLASSES)};\n{JUDGE}"


class Batch(NamedTuple):
    """Answers that one cell asks for, one after the other, and the form they are shown in."""

    form: str
    numbers: Sequence[int]

    def cell(self) -> str:
        # HTML is shown when it is whole; until then it is letters, and there is no need to look.
        live, pace = ("on", "") if self.form == "markdown" else ("off", " at once")
        flags = "" if self.form == "markdown" else f" --format {self.form}"
        return (
            f"os.environ['QIANFAN_LIVE'] = {live!r}\n"
            f"for n in {self.numbers}:\n"
            "    ask = get_ipython().run_cell_magic\n"
            f"    ask('qianfan_chat', f'-n p{{n}}{flags}', f'payload {{n}}{pace}')"
        )


@dataclass
class Evidence:
    """What the answers of one notebook did in one phase; all of it is to be empty."""

    ran: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


@dataclass
class Sheet:
    """A notebook of hostile answers, and what they did in each phase."""

    batches: list[Batch]
    notebook: OpenNotebook
    watch: Watch
    evidence: dict[str, Evidence] = field(default_factory=dict)
    halves: dict[str, int] = field(default_factory=dict)
    saved: dict[str, Any] = field(default_factory=dict)
    mathematics: list[str] = field(default_factory=list)

    @property
    def page(self) -> Page:
        return self.notebook.page

    def whose(self, place: tuple[int, int]) -> str:
        """Name the payload of a cell's output."""
        cell, output = place
        if not FIRST <= cell < FIRST + len(self.batches):
            return f"cell {cell}"
        form, numbers = self.batches[cell - FIRST]
        known = 0 <= output < len(numbers)
        return f"{WHOSE[numbers[output]] if known else f'cell {cell}'} ({form})"

    def note(self, phase: str, page: Page, found: list[list[Any]]) -> None:
        """Take down what was found, and what else there is to see in a page."""
        # While answers stream the reader scrolls, nobody else; `found` has what is laid over.
        covered = page.evaluate("judge.covered()") if phase != "streaming" else []
        self.evidence[phase] = Evidence(
            ran=page.evaluate("window.ran === undefined ? [] : [String(window.ran)]"),
            faults=sorted({f"{self.whose(place)}: {fault}" for place, fault in found}),
            covered=[self.whose(place) for place in covered],
            **self.watch.take(),
        )

    def attempt(self, phase: str, step: Callable[[], None]) -> None:
        """Take a step; where the answers have broken the page, that is evidence, too."""
        try:
            step()
        except Error as broken:
            evidence = self.evidence.setdefault(phase, Evidence())
            evidence.opened.append(f"the page is broken: {broken.message.splitlines()[0]}")

    def begin(self) -> None:
        """Run the notebook as soon as there is a kernel; do not wait for its end."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext"
            "?.session?.kernel?.status === 'idle'"
        )
        # What leads away is noted and comes to nothing, so that the rest can be looked at.
        self.page.context.route(OUTSIDE, answer_nothing)
        self.notebook.run_all()

    def look_at_mathematics(self) -> None:
        """Keep how the notebook's own mathematics look, before and behind the answers."""
        cells = self.page.locator(".jp-CodeCell")
        for cell in (cells.nth(1), cells.last):
            self.mathematics.append(cell.locator("mjx-container").inner_html())

    def ask(self) -> None:
        """Have all answers stream; take down what they did meanwhile, and afterwards."""
        self.page.wait_for_function(ALL_HAVE_RUN, timeout=LONGEST_RUN)
        self.page.wait_for_timeout(SETTLED)
        logged = self.page.evaluate("judge.logged()")
        self.note("streaming", self.page, [[place, fault] for live, place, fault in logged if live])
        after = [[place, fault] for live, place, fault in logged if not live]
        self.note("ended", self.page, after + self.page.evaluate("judge.now()"))
        halves = self.page.evaluate("judge.halves()")
        self.halves = {self.whose(place): count for place, count in halves}
        self.look_at_mathematics()
        self.follow("ended", self.page)
        self.saved = self.notebook.save()

    def look_again(self) -> None:
        """Take down what the saved notebook does when it is loaded again."""
        self.page.locator(".jp-CodeCell").last.locator("mjx-container").wait_for()
        self.page.wait_for_timeout(SETTLED)
        self.note("reloaded", self.page, self.page.evaluate("judge.now()"))
        self.look_at_mathematics()
        self.follow("reloaded", self.page)

    def export(self, html: str, template_asks: set[str]) -> None:
        """Look at nbconvert's page; what it loads for itself counts for nothing."""
        page, self.watch = open_exported(self.page.context.browser, html)
        self.note("exported", page, page.evaluate("judge.now()"))
        asked = self.evidence["exported"].asked
        self.evidence["exported"].asked = [url for url in asked if url not in template_asks]
        self.follow("exported", page)
        page.context.close()

    def follow(self, phase: str, page: Page) -> None:
        """Follow every link within the page, and some as a reader does, with the mouse."""
        page.evaluate("judge.follow()")
        links = page.locator(".jp-OutputArea-output a[href^='http']:visible")
        for number in range(0, links.count(), links.count() // 2 + 1):
            try:
                links.nth(number).click(timeout=PATIENCE / 6)
            except Waited:
                self.evidence[phase].covered.append("a link cannot be clicked")
        page.wait_for_timeout(SETTLED)
        self.evidence[phase].ran += page.evaluate("window.ran === undefined ? [] : ['a link']")
        for opened in page.context.pages:
            if opened != page:
                opened.close()
        self.watch.take()


def batches_of(part: int) -> list[Batch]:
    """Give a notebook's share of the answers, as Markdown and as HTML."""
    numbers = range(1 + part, len(ANSWERS), SHEETS)
    shares = {"markdown": [*numbers], "html": [n for n in numbers if WHOSE[n] in HTML]}
    return [
        Batch(form, share[at : at + BATCH])
        for form, share in shares.items()
        for at in range(0, len(share), BATCH)
    ]


def open_sheet(lab: Lab, browser: Browser, part: int, server: SlowServer) -> Sheet:
    """Open a new notebook in a window of its own."""
    names = {"ACCESS_TOKEN": TOKEN, "BASE_URL": server.url, "CHAT_ENDPOINT": "hostile"}
    environment = {f"QIANFAN_{name}": value for name, value in names.items()}
    setup = f"import os\nos.environ |= {environment}\n%load_ext qianfan_magic"
    batches = batches_of(part)
    harmless, *asked = (batch.cell() for batch in (Batch("markdown", [0]), *batches))
    cells = [setup, FORMULAS, harmless, *asked, FORMULAS]
    path = lab.write(f"sheet-{part}.ipynb", *cells)
    page = browser.new_context(viewport={"width": 1100, "height": 2400}).new_page()
    page.add_init_script(JUDGE)
    page.set_default_timeout(PATIENCE)
    watch = Watch(page, lab.url)
    # A workspace of its own: when it is loaded again, no other notebook opens beside it.
    address = f"{lab.url}lab/workspaces/{path.stem}/tree/{path.name}?token={lab.token}"
    page.goto(address, wait_until="commit")
    return Sheet(batches, OpenNotebook(page, path, []), watch)


def open_exported(browser: Browser, html: str) -> tuple[Page, Watch]:
    """Open an exported page at an address of its own; everything else is out of reach."""
    page = browser.new_context(viewport={"width": 1100, "height": 2400}).new_page()
    page.add_init_script(JUDGE)
    watch = Watch(page, EXPORTED)

    def answer(route: Route) -> None:
        if route.request.url == EXPORTED:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        else:
            answer_nothing(route)

    page.context.route("**/*", answer)
    page.goto(EXPORTED)
    page.wait_for_timeout(SETTLED)
    return page, watch


def nbconvert(folder: Path, sheets: list[Sheet]) -> list[str]:
    """Export the saved notebooks, and before them one whose answers are harmless."""
    harmless = nbformat.read(sheets[0].notebook.path, as_version=4)
    for cell in harmless.cells[FIRST:-1]:
        cell.outputs = harmless.cells[FIRST - 1].outputs * len(cell.outputs)
    nbformat.write(harmless, folder / "harmless.ipynb")
    paths = [folder / "harmless.ipynb", *(sheet.notebook.path for sheet in sheets)]
    command = [sys.executable, "-m", "nbconvert", "--to", "html", *map(str, paths)]
    subprocess.run(command, check=True, capture_output=True)
    return [path.with_suffix(".html").read_text() for path in paths]


@pytest.fixture(scope="module")
def sheets(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sheet]]:
    """All answers in both forms, shown in all phases. The notebooks run side by side."""
    folder = tmp_path_factory.mktemp("hostile")
    with SlowServer(ANSWERS) as server, running_lab(folder) as lab:
        lab.set_windowing("none")
        sheets = [open_sheet(lab, browser, part, server) for part in range(SHEETS)]
        for sheet in sheets:
            sheet.begin()
        for sheet in sheets:
            sheet.attempt("ended", sheet.ask)
        for sheet in sheets:
            sheet.page.reload(wait_until="commit")
        harmless, *exported = nbconvert(folder, sheets)
        for sheet in sheets:
            sheet.attempt("reloaded", sheet.look_again)
        page, watch = open_exported(browser, harmless)
        page.context.close()
        for sheet, html in zip(sheets, exported, strict=True):
            sheet.attempt("exported", partial(sheet.export, html, set(watch.asked)))
        yield sheets
        for sheet in sheets:
            sheet.page.context.close()


def gathered(sheets: list[Sheet], phase: str, what: str) -> list[str]:
    return [each for sheet in sheets for each in getattr(sheet.evidence[phase], what)]


def test_no_payload_is_there_twice() -> None:
    assert len(PAYLOADS) == sum(map(len, GROUPS))
    seen = [re.sub(r"\s+", " ", text).strip() for text in PAYLOADS.values()]
    assert len(set(seen)) == len(seen)


in_each_phase = pytest.mark.parametrize("phase", PHASES)


@in_each_phase
def test_nothing_runs(sheets: list[Sheet], phase: str) -> None:
    assert gathered(sheets, phase, "ran") == []


@in_each_phase
def test_nothing_is_asked_of_another_host(sheets: list[Sheet], phase: str) -> None:
    assert gathered(sheets, phase, "asked") == []


@in_each_phase
def test_no_dialog_opens_and_nothing_leads_away(sheets: list[Sheet], phase: str) -> None:
    assert gathered(sheets, phase, "opened") == []


@in_each_phase
def test_nothing_is_there_that_could_act(sheets: list[Sheet], phase: str) -> None:
    assert gathered(sheets, phase, "faults") == []


@pytest.mark.parametrize("phase", PHASES[1:])
def test_nothing_lies_over_the_page(sheets: list[Sheet], phase: str) -> None:
    assert gathered(sheets, phase, "covered") == []


def test_every_answer_is_shown(sheets: list[Sheet]) -> None:
    cells = [cell for sheet in sheets for cell in sheet.saved.get("cells", [])[FIRST:-1]]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len([each for each in outputs if "text/html" in each["data"]]) == len(PAYLOADS) + len(
        HTML
    )


def test_halves_of_most_answers_were_shown_live(sheets: list[Sheet]) -> None:
    counts = {name: n for sheet in sheets for name, n in sheet.halves.items()}
    seen_growing = [name for name, count in counts.items() if count > 1]
    assert len(seen_growing) > 0.75 * len(PAYLOADS)


def test_mathematics_of_the_notebook_looks_as_before(sheets: list[Sheet]) -> None:
    looks = [look for sheet in sheets for look in sheet.mathematics]
    assert set(looks) == {looks[0]}


# --- the judge itself: it must see what a renderer does that trusts what it renders

#: As JupyterLab shows HTML that it trusts: scripts are made anew, so that they run.
SHOW_TRUSTED = """html => {
  const child = [...document.querySelectorAll(".jp-CodeCell")].at(-1).appendChild(
    document.createElement("div"));
  child.className = "jp-OutputArea-child";
  const area = child.appendChild(document.createElement("div"));
  area.className = "jp-OutputArea-output";
  area.innerHTML = html;
  for (const script of area.querySelectorAll("script")) {
    const fresh = document.createElement("script");
    for (const { name, value } of script.attributes) fresh.setAttribute(name, value);
    fresh.textContent = script.textContent;
    script.replaceWith(fresh);
  }
}"""
TRUSTING = "<!DOCTYPE html><title>x</title>" + "<div class=jp-CodeCell></div>" * (FIRST + 1)


def naive(text: str) -> str:
    """Render as a tool does that trusts a model: raw HTML, any link."""
    parser: Any = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = lambda _url: True
    return parser.render(text)


@pytest.fixture(scope="module")
def trusted(browser: Browser) -> Iterator[Sheet]:
    """The answers in a page that trusts them."""
    page, watch = open_exported(browser, TRUSTING)
    for text in PAYLOADS.values():
        page.evaluate(SHOW_TRUSTED, naive(text))
    page.wait_for_timeout(SETTLED)
    batch = Batch("trusted", range(1, len(ANSWERS)))
    sheet = Sheet([batch], OpenNotebook(page, EXPORTED, []), watch)
    logged = page.evaluate("judge.logged()")
    sheet.note("ended", page, [[place, fault] for _, place, fault in logged])
    yield sheet
    page.context.close()


@pytest.mark.parametrize("what", ["ran", "asked", "opened", "faults", "covered"])
def test_judge_sees_what_a_trusting_page_does(trusted: Sheet, what: str) -> None:
    assert getattr(trusted.evidence["ended"], what) != []


def test_most_payloads_would_do_something_if_they_were_trusted(trusted: Sheet) -> None:
    faults = trusted.evidence["ended"].faults
    caught = {fault.partition(" (trusted): ")[0] for fault in faults if "is set" not in fault}
    harmful = PAYLOADS.keys() - MATHEMATICS.keys()  # that page has no MathJax
    assert len(caught) > 0.75 * len(harmful), sorted(harmful - caught)

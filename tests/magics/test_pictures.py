"""`-i`: pictures in questions, in a real shell and kernel, on the wire, in files and records."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.kernel import running
from support.notebook import Notebook
from support.page import Page, cleared, records_of, text_of
from support.panel import PanelPage, panels
from support.requests_seen import V2, bodies, two_lines

from qianfan_magic import ParameterError, QianfanError
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import KEY, record_from_json
from qianfan_magic.conversation.turn import ImageAttachment, Turn
from qianfan_magic.conversation.turn_json import turn_from_json, turn_to_json
from qianfan_magic.embedded.faults import Fault

SEES = "%%qianfan_chat -m ernie-5.0"
RED, BLUE = (255, 0, 0), (0, 0, 255)
DATA = "data:image/png;base64,"


def picture(color: tuple[int, int, int] = RED, size: tuple[int, int] = (12, 8)) -> Image.Image:
    return Image.new("RGB", size, color)


@pytest.fixture
def notebook(bare) -> Notebook:
    """Give a notebook with pictures in variables, and one as a file beside it."""
    picture(BLUE).save("blue.png")
    bare.shell.user_ns |= {"red": picture(), "blue": picture(BLUE)}
    bare.run("%qianfan demo")
    return bare


def colors(content: Any) -> list[Any]:
    """Give the parts of a message: of a picture its color, of a text the text."""
    if isinstance(content, str):
        return [content]
    return [part["text"] if part["type"] == "text" else color_of(part) for part in content]


def color_of(part: dict[str, Any]) -> Any:
    data = base64.b64decode(part["image_url"]["url"].removeprefix(DATA), validate=True)
    return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))


def asked(notebook: Any, number: int = -1) -> list[list[Any]]:
    """Give what the user said in the messages of one request."""
    messages = bodies(notebook.server)[number]["messages"]
    return [colors(one["content"]) for one in messages if one["role"] == "user"]


# --- what is sent


def test_picture_of_a_variable_goes_before_the_text(notebook):
    notebook.run(f"{SEES} -i red\nWhat is it?")
    assert asked(notebook) == [[RED, "What is it?"]]


def test_picture_of_a_file_is_sent(notebook):
    notebook.run(f"{SEES} -i blue.png\nhi")
    assert asked(notebook) == [[BLUE, "hi"]]


def test_picture_of_a_path_in_a_variable_is_sent(notebook):
    notebook.run("where = 'blue.png'", f"{SEES} -i where\nhi")
    assert asked(notebook) == [[BLUE, "hi"]]


def test_picture_of_bytes_is_sent(notebook, tmp_path):
    notebook.shell.user_ns["data"] = (tmp_path / "blue.png").read_bytes()
    notebook.run(f"{SEES} --image=data\nhi")
    assert asked(notebook) == [[BLUE, "hi"]]


def test_file_with_spaces_can_be_quoted(notebook):
    picture().save("my own.png")
    notebook.run(f"{SEES} -i 'my own.png'\nhi")
    assert asked(notebook) == [[RED, "hi"]]


def test_path_starts_where_the_notebook_is_now(notebook, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    notebook.run(f"{SEES} -i ../blue.png\nhi")
    assert asked(notebook) == [[BLUE, "hi"]]


def test_several_pictures_are_sent_in_their_order(notebook):
    notebook.run(f"{SEES} -i red -i blue.png -i red\nhi")
    assert asked(notebook) == [[RED, BLUE, RED, "hi"]]


def test_picture_reaches_the_model_whole(notebook):
    shown = notebook.run(f"{SEES} -i red -i blue\nhi")
    assert ("2 pictures" in shown, shown.count("a PNG of 12 by 8 pixels")) == (True, 2)


def test_whole_answer_takes_pictures_too(notebook):
    notebook.run(f"{SEES} -i red --no-stream\nhi")
    assert asked(notebook) == [[RED, "hi"]]


def test_system_text_goes_before_the_picture(notebook):
    notebook.run(f"{SEES} -i red -s 'Be brief.'\nhi")
    assert [m["role"] for m in bodies(notebook.server)[-1]["messages"]] == ["system", "user"]


@pytest.mark.parametrize("name", ["", "-n tutor"])
def test_later_question_takes_the_picture_along(notebook, name):
    notebook.run(f"{SEES} {name} -i red\none", f"{SEES} {name}\ntwo")
    assert asked(notebook) == [[RED, "one"], ["two"]]


def test_later_question_with_a_picture_takes_both_along(notebook):
    notebook.run(f"{SEES} -i red\none", f"{SEES} -i blue\ntwo", f"{SEES}\nthree")
    assert asked(notebook) == [[RED, "one"], [BLUE, "two"], ["three"]]


def test_other_conversation_goes_without(notebook):
    notebook.run(f"{SEES} -i red\none", f"{SEES} -n other\ntwo")
    assert asked(notebook) == [["two"]]


def test_picture_stays_as_it_was_when_it_was_asked_with(notebook):
    notebook.run(f"{SEES} -i red\none", "red.putpixel((0, 0), (0, 255, 0))", f"{SEES}\ntwo")
    assert asked(notebook) == [[RED, "one"], ["two"]]


def test_json_is_asked_for_with_a_picture(notebook):
    notebook.run(f"{SEES} -i red --format json -o reply\nhi")
    body = bodies(notebook.server)[-1]
    said = json.loads(notebook.shell.user_ns["reply"].text)["answer"]
    assert (body["response_format"], "1 picture" in said) == ({"type": "json_object"}, True)


def test_thinking_goes_with_a_picture(notebook):
    notebook.run(f"{SEES} -i red --enable-thinking\nhi")
    assert (bodies(notebook.server)[-1]["enable_thinking"], asked(notebook)) == (
        True,
        [[RED, "hi"]],
    )


COLUMNS = "%%qianfan_chat --compare model=ernie-5.0,ernie-4.5-turbo-vl"


def test_each_column_gets_the_picture(notebook):
    notebook.run(f"{COLUMNS} -i red\nhi")
    assert [asked(notebook, number) for number in (0, 1)] == [[[RED, "hi"]]] * 2


def test_picture_is_shown_once_above_columns(notebook):
    assert notebook.run(f"{COLUMNS} -i red\nhi").count("[Picture red") == 1


def test_column_that_is_kept_keeps_the_picture(notebook):
    notebook.run(f"{COLUMNS} -i red\none", "%qianfan keep 2", f"{SEES}\ntwo")
    assert asked(notebook) == [[RED, "one"], ["two"]]


def test_picture_of_an_answer_that_goes_on_stays(notebook):
    notebook.run(f"{SEES} -i red --max-tokens 10\none", f"{SEES} --continue\n", f"{SEES}\ntwo")
    assert (asked(notebook, 1)[0], asked(notebook, 2)) == ([RED, "one"], [[RED, "one"], ["two"]])


# --- what is not sent


WRONG = {
    "no such thing": (f"{SEES} -i nobody\nhi", "neither a variable nor a file", 0),
    "no such file": (f"{SEES} -i nobody.png\nhi", "no file of that name", 0),
    "second of two": (f"{SEES} -i red -i nobody\nhi", "-i nobody", 0),
    "no picture": (f"{SEES} -i number\nhi", "-i number: this int is not a picture", 0),
    "text file": (f"{SEES} -i notes.txt\nhi", "-i notes.txt", 0),
    "folder": (f"{SEES} -i .\nhi", "this is a folder", 0),
    "no value": (f"{SEES} -i\nhi", "expected one argument", 0),
    "completion": ("%%qianfan_complete -m ernie-5.0 -i red\nhi", "-i", 0),
    "model that does not see": ("%%qianfan_chat -m ernie-5.1 -i red\nhi", "takes no pictures", 1),
    "version 1": ("%%qianfan_chat -i red\nhi", "version 1", 1),
    "column that does not see": (
        "%%qianfan_chat --compare model=ernie-5.0,ernie-5.1 -i red\nhi",
        "ernie-5.1 takes no pictures",
        1,
    ),
    "column of version 1": (
        "%%qianfan_chat --compare model=ernie-5.0,ERNIE-Speed -i red\nhi",
        "version 1",
        1,
    ),
    "dry run": ("%%qianfan_chat -m ernie-5.1 -i red --dry-run\nhi", "takes no pictures", 1),
    "without a text": (f"{SEES} -i red\n ", "is empty", 0),
}
wrong = pytest.mark.parametrize(("cell", "words", "copies"), WRONG.values(), ids=WRONG)


@pytest.fixture
def strict(notebook, tmp_path) -> Notebook:
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    notebook.run("number = 7", f"{SEES} -n before\nhi", f"{SEES}\nfirst")
    notebook.server.seen.clear()
    return notebook


@wrong
def test_wrong_picture_says_what_happened(strict, cell, words, copies):
    error, _ = strict.fail(cell)
    assert (type(error), words in error.message) == (ParameterError, True)


@wrong
def test_wrong_picture_is_told_in_two_lines(strict, cell, words, copies):
    error, shown = strict.fail(cell)
    above = shown.splitlines()[:-2]
    assert (shown.splitlines()[-2:], bool(error.hint)) == (two_lines(error), True)
    assert [line[:9] for line in above] == ["[Picture "] * copies


@wrong
def test_wrong_picture_sends_nothing(strict, cell, words, copies):
    strict.fail(cell)
    assert strict.server.seen == []


@wrong
def test_wrong_picture_leaves_the_conversation_as_it_was(strict, cell, words, copies):
    strict.fail(cell)
    assert [turn.user for turn in strict.turns()] == ["first"]


def test_misspelt_variable_is_guessed(notebook):
    error, _ = notebook.fail(f"{SEES} -i rad\nhi")
    assert "red" in error.hint


def test_model_that_does_not_see_is_not_asked_in_a_conversation_with_pictures(notebook):
    notebook.run(f"{SEES} -i red\none")
    error, _ = notebook.fail("%%qianfan_chat -m ernie-5.1\ntwo")
    assert ("an earlier message has one" in error.message, "-n NAME" in error.hint) == (True, True)


def test_version_1_is_not_asked_in_a_conversation_with_pictures(notebook):
    notebook.run(f"{SEES} -i red\none")
    error, shown = notebook.fail("%%qianfan_chat\ntwo")
    assert (type(error), shown.splitlines()) == (ParameterError, two_lines(error))


def test_picture_that_the_service_refuses_is_no_turn(notebook):
    notebook.shell.user_ns["dot"] = picture(size=(3, 3))
    error, _ = notebook.fail(f"{SEES} -i dot\nhi")
    assert (error.error_code, notebook.turns()) == ("invalid_image_url", [])


# --- what is shown


def test_terminal_names_the_picture_and_its_size(notebook):
    shown = notebook.run(f"{SEES} -i red -i blue.png\nhi").splitlines()
    size = "12 \N{MULTIPLICATION SIGN} 8 pixels, 1 kB]"
    assert shown[:2] == [f"[Picture red: {size}", f"[Picture blue.png: {size}"]


def test_history_names_the_pictures(notebook):
    notebook.run(f"{SEES} -i red -i blue.png\nhi")
    assert "1. user (red; blue.png): hi" in notebook.run("%qianfan history")


def test_messages_of_the_history_have_the_pictures(notebook):
    notebook.run(f"{SEES} -i red\nhi", "%qianfan history -o messages")
    assert colors(notebook.shell.user_ns["messages"][0]["content"]) == [RED, "hi"]


def test_dry_run_shows_no_data_of_pictures(notebook):
    shown = notebook.run(f"{SEES} -i red -i blue\nhi --dry-run", f"{SEES} -i red --dry-run\nhi")
    assert re.findall(r"base64,[^\"]*", shown) == ["base64,***"] * 3


def test_dry_run_with_a_picture_sends_nothing(notebook):
    notebook.run(f"{SEES} -i red --dry-run\nhi")
    assert (notebook.server.seen, notebook.turns()) == ([], [])


# --- in a real notebook


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Iterator[dict[str, Page]]:
    """Give a notebook that nobody watches, and one that somebody does, with pictures."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        made = {}
        for live in ("off", "on"):
            folder = tmp_path_factory.mktemp(live)
            patch.setenv("JPY_SESSION_NAME", str(folder / "page.ipynb"))
            kernel = stack.enter_context(running(live, folder))
            made[live] = Page(kernel, folder / "page.ipynb")
        yield made


MAKE = f"""
from PIL import Image
red = Image.new("RGB", (12, 8), {RED})
blue = Image.new("RGB", (12, 8), {BLUE})
"""


def begun(page: Page) -> Page:
    cleared(page).kernel.run(MAKE)
    return page


@pytest.fixture(params=["off", "on"])
def either(request, pages) -> Page:
    return begun(pages[request.param])


@pytest.fixture
def page(pages) -> Page:
    return begun(pages["off"])


@pytest.fixture
def watched(pages) -> Page:
    return begun(pages["on"])


def outputs(page: Page, code: str) -> list[dict[str, Any]]:
    """Run a cell; give what stands under it in the end."""
    page.run("a", code)
    return [one["data"] for one in page.under["a"]]


def test_cell_shows_a_small_copy(either):
    html = either.run("a", f"{SEES} -i red\nhi").bundles[0]["text/html"]
    ((data, name),) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)" alt="(\w+)"', html)
    copy = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (copy.size, copy.convert("RGB").getpixel((0, 0)), name) == ((12, 8), RED, "red")


def test_copy_of_a_large_picture_is_small(page):
    page.kernel.run("from random import Random; pixels = Random(7).randbytes(540_000)")
    page.kernel.run("noise = Image.frombytes('L', (900, 600), pixels)")
    html = page.run("a", f"{SEES} -i noise\nhi").bundles[0]["text/html"]
    data = base64.b64decode(re.search(r'base64,([^"]+)"', html)[1])
    assert (max(Image.open(io.BytesIO(data)).size) <= 240, len(data) <= 20_000) == (True, True)


def test_copy_stands_above_the_answer(either):
    plain = [bundle["text/plain"] for bundle in outputs(either, f"{SEES} -i red\nhi")]
    assert [text[:12] for text in plain] == ["[Picture red", "This is the "]


def test_output_with_a_picture_is_the_same_each_time(page, watched):
    """Nbval compares it, in another process."""
    cell = f"{SEES} -i red\nhi"
    shown = [outputs(one, cell)[0] for one in (page, page, watched)]
    assert (shown[1], shown[2]) == (shown[0], shown[0])


def test_name_of_a_file_is_no_html(page):
    page.kernel.run("red.save('<b>bold.png')")
    html = page.run("a", f"{SEES} -i '<b>bold.png'\nhi").bundles[0]["text/html"]
    assert ("<b>" in html, "&lt;b&gt;bold.png: 12" in html) == (False, True)


def test_copy_is_no_answer_of_a_record(page):
    first, second = page.run("a", f"{SEES} -i red\nhi").contents("display_data")
    assert (KEY in first["metadata"], KEY in second["metadata"]) == (False, True)


def test_record_names_the_picture_and_has_no_data(page):
    (record,) = records_of(page.run("a", f"{SEES} -i red\nhi"))
    (named,) = record["turns"][0]["pictures"]
    assert (set(named), named["name"], "base64" in json.dumps(record)) == (
        {"name", "digest"},
        "red",
        False,
    )


def test_rerun_with_another_picture_replaces_the_turn(page):
    page.run("a", f"{SEES} -i red\none")
    page.run("b", f"{SEES}\ntwo")
    shown = text_of(page.run("a", f"{SEES} -i blue\none"))
    page.run("b", f"{SEES}\ntwo")
    assert ("Replaces turn 1" in shown, asked(page)) == (True, [[BLUE, "one"], ["two"]])


def test_rerun_without_the_picture_replaces_the_turn(page):
    page.run("a", f"{SEES} -i red\none")
    page.run("a", f"{SEES}\none")
    page.run("b", f"{SEES}\ntwo")
    assert asked(page) == [["one"], ["two"]]


def test_failed_rerun_keeps_the_picture(page):
    page.run("a", f"{SEES} -i red\none")
    page.run("a", "%%qianfan_chat -m ernie-5.1 -i blue\none")
    page.run("b", f"{SEES}\ntwo")
    assert asked(page) == [[RED, "one"], ["two"]]


def restored(page: Page) -> str:
    """Ask with a picture, save, restart, restore; return what that said."""
    page.run("a", f"{SEES} -i red\none")
    page.save()
    page.restart()
    return page.say("%qianfan restore")


def test_turn_with_a_picture_is_restored(page):
    first, note = restored(page).splitlines()
    assert (first, page.questions()) == ("default: 1 turn restored.", ["one"])
    assert note.endswith("A notebook keeps no pictures: later questions go without red.")


def test_restored_turn_knows_only_the_name_of_its_picture(page):
    restored(page)
    assert "1. user (red, not sent any more): one" in page.say("%qianfan history")


@pytest.mark.parametrize("model", ["ernie-5.0", "ernie-5.1"])
def test_question_after_a_restored_turn_goes_without_the_picture(page, model):
    restored(page)
    page.run("b", f"%%qianfan_chat -m {model}\ntwo")
    assert asked(page) == [["one"], ["two"]]


def test_restored_turn_can_be_asked_again_with_its_picture(page):
    restored(page)
    page.run("a", f"{SEES} -i red\none")
    page.run("b", f"{SEES}\ntwo")
    assert asked(page) == [[RED, "one"], ["two"]]


def test_restored_turn_can_be_saved_and_loaded(page):
    restored(page)
    page.say("%qianfan save a.json --force")
    page.restart()
    page.say("%qianfan load a.json")
    assert "(red, not sent any more)" in page.say("%qianfan history")


def test_again_keeps_the_picture(watched):
    shown = watched.kernel.run("%qianfan params")
    watched.run("a", f"{SEES} -i red\none")
    controls = PanelPage(watched.kernel, shown, panels(shown)[0])
    controls.click("again")
    assert [asked(watched, number) for number in (0, 1)] == [[[RED, "one"]]] * 2


def test_answer_that_is_kept_from_again_keeps_the_picture(watched):
    shown = watched.kernel.run("%qianfan params")
    watched.run("a", f"{SEES} -i red\none")
    controls = PanelPage(watched.kernel, shown, panels(shown)[0])
    controls.click("again")
    controls.click("keep")
    watched.run("b", f"{SEES}\ntwo")
    assert asked(watched) == [[RED, "one"], ["two"]]


# --- files


def test_file_carries_the_picture(notebook):
    notebook.run(f"{SEES} -i red\none", "%qianfan save a.json", "%qianfan reset --all")
    notebook.run("%qianfan load a.json", f"{SEES}\ntwo")
    assert asked(notebook) == [[RED, "one"], ["two"]]


def test_file_carries_the_pictures_of_an_answer_that_goes_on(notebook):
    notebook.run(f"{SEES} -i red --max-tokens 10\none", f"{SEES} --continue\n")
    notebook.run("%qianfan save a.json", "%qianfan reset --all", "%qianfan load a.json")
    notebook.run(f"{SEES}\ntwo")
    assert asked(notebook) == [[RED, "one"], ["two"]]


ADDRESSES = [
    "http://127.0.0.1:1/spy.png",
    "https://example.invalid/spy.png",
    "file:///etc/passwd",
    "//example.invalid/spy.png",
    "javascript:alert(1)",
    "data:text/html;base64,PGI+",
    "data:image/svg+xml;base64,PHN2Zz4=",
    'data:image/png;base64,AAAA" onerror="alert(1)',
    "data:image/png;base64,AAAA\n",
    "data:image/png,AAAA",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_strangers_file_with_an_address_is_refused(notebook, address):
    notebook.run(f"{SEES} -i red\none", "%qianfan save a.json")
    path = Path("a.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    written["conversations"][0]["turns"][0]["pictures"][0]["url"] = address
    path.write_text(json.dumps(written), encoding="utf-8")
    error, shown = notebook.fail("%qianfan load a.json")
    assert (isinstance(error, QianfanError), "turn 1" in error.message) == (True, True)
    assert shown.splitlines() == two_lines(error)


@pytest.mark.parametrize(
    "pictures",
    [
        7,
        {},
        ["x"],
        [{}],
        [{"name": "a"}],
        [{"name": "", "digest": "b"}],
        [{"name": 1, "digest": "b"}],
    ],
)
def test_turn_with_pictures_that_are_none_is_unreadable(pictures):
    with pytest.raises(InvalidRecord):
        turn_from_json({"user": "a", "assistant": "b", "pictures": pictures})


# --- ids

PICTURE = ImageAttachment("red", "0123456789abcdef", f"{DATA}AAAA")


def turn(*pictures: ImageAttachment) -> Turn:
    return Turn("a", "b", pictures=pictures)


def test_id_of_a_turn_depends_on_its_pictures():
    other = ImageAttachment("red", "f" * 16)
    ids = {one.id for one in (turn(), turn(PICTURE), turn(other), turn(PICTURE, other))}
    assert (len(ids), turn(PICTURE, other).id == turn(other, PICTURE).id) == (4, False)


def test_id_of_a_turn_is_that_of_its_record():
    assert turn_from_json(turn_to_json(turn(PICTURE))).id == turn(PICTURE).id


def test_id_of_a_turn_without_pictures_is_as_it_was():
    """Notebooks of an earlier version are still read."""
    assert turn().id == "9fb151ff01a5d557"


def test_record_with_another_picture_was_edited(page):
    (record,) = records_of(page.run("a", f"{SEES} -i red\none"))
    record["turns"][0]["pictures"][0]["digest"] = "f" * 16
    assert record_from_json(record).unreadable == ("it has been edited by hand",)


def test_pictures_come_back_from_a_file_whole():
    (read,) = turn_from_json(turn_to_json(turn(PICTURE), whole=True)).pictures
    assert (read.name, read.digest, read.url) == (PICTURE.name, PICTURE.digest, PICTURE.url)


def test_stream_that_breaks_leaves_no_turn_with_a_picture(notebook):
    notebook.server.fail(Fault(after=3, end="close", path=V2))
    notebook.fail(f"{SEES} -i red\none")
    notebook.run(f"{SEES}\ntwo")
    assert asked(notebook) == [["two"]]


def test_answer_does_not_go_on_with_another_picture(notebook):
    error, shown = notebook.fail("%%qianfan_chat --continue -i red\n\n")
    assert "--continue and -i exclude each other" in error.message
    assert shown.splitlines() == two_lines(error)

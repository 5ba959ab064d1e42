"""`-i`: pictures in questions, in a shell and in kernels, in requests, files and records."""

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
from support.notebook import Notebook, assert_fails_cleanly, state
from support.page import Page, cleared, records_of, text_of
from support.panel import PanelPage, panels
from support.requests_seen import V2, bodies

from qianfan_magic import ParameterError
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
    """Return a notebook with pictures in variables and in a file beside it."""
    picture(BLUE).save("blue.png")
    bare.shell.user_ns |= {"red": picture(), "blue": picture(BLUE)}
    bare.run("%qianfan demo")
    return bare


def colors(content: Any) -> list[Any]:
    """Return the parts of a message: the color of a picture, the text of a text."""
    if isinstance(content, str):
        return [content]
    return [part["text"] if part["type"] == "text" else color_of(part) for part in content]


def color_of(part: dict[str, Any]) -> Any:
    data = base64.b64decode(part["image_url"]["url"].removeprefix(DATA), validate=True)
    return Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))


def user_messages(notebook: Any, number: int = -1) -> list[list[Any]]:
    """Return the parts of the user's messages of one request."""
    messages = bodies(notebook.server)[number]["messages"]
    return [colors(message["content"]) for message in messages if message["role"] == "user"]


# --- what is sent


def test_pictures_of_variables_and_files_are_sent_before_the_text(notebook, tmp_path):
    picture().save("my own.png")
    data = (tmp_path / "blue.png").read_bytes()
    notebook.shell.user_ns |= {"data": data, "where": "blue.png"}
    cases = [
        ("-i red", [RED]),
        ("-i blue.png", [BLUE]),
        ("-i where", [BLUE]),
        ("--image=data", [BLUE]),
        ("-i 'my own.png'", [RED]),
        ("-i red -i blue.png -i red", [RED, BLUE, RED]),
        ("-i red --no-stream", [RED]),
    ]
    for flags, pictures in cases:
        notebook.run("%qianfan reset --all", f"{SEES} {flags}\nWhat is it?")
        assert user_messages(notebook) == [[*pictures, "What is it?"]], flags


def test_path_is_relative_to_the_working_directory(notebook, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    notebook.run(f"{SEES} -i ../blue.png\nhi")
    assert user_messages(notebook) == [[BLUE, "hi"]]


def test_model_receives_whole_pictures(notebook):
    shown = notebook.run(f"{SEES} -i red -i blue\nhi")
    assert "2 pictures" in shown
    assert shown.count("a PNG of 12 by 8 pixels") == 2


def test_system_text_goes_before_the_picture(notebook):
    notebook.run(f"{SEES} -i red -s 'Be brief.'\nhi")
    assert [m["role"] for m in bodies(notebook.server)[-1]["messages"]] == ["system", "user"]


def test_pictures_are_sent_again_with_later_questions_of_their_conversation(notebook):
    for name in ("", "-n tutor"):
        first, second = f"{SEES} {name} -i red\none", f"{SEES} {name} -i blue\ntwo"
        notebook.run(first, second, f"{SEES} {name}\nthree")
        assert user_messages(notebook) == [[RED, "one"], [BLUE, "two"], ["three"]], name
    notebook.run(f"{SEES} -n other\nfour")
    assert user_messages(notebook) == [["four"]]


def test_picture_is_sent_again_as_it_was_at_first(notebook):
    notebook.run(f"{SEES} -i red\none", "red.putpixel((0, 0), (0, 255, 0))", f"{SEES}\ntwo")
    assert user_messages(notebook) == [[RED, "one"], ["two"]]


def test_picture_goes_together_with_json_and_thinking(notebook):
    notebook.run(f"{SEES} -i red --format json -o reply\nhi")
    assert bodies(notebook.server)[-1]["response_format"] == {"type": "json_object"}
    assert "1 picture" in json.loads(notebook.shell.user_ns["reply"].text)["answer"]
    notebook.run(f"{SEES} -n other -i red --enable-thinking\nhi")
    assert bodies(notebook.server)[-1]["enable_thinking"] is True
    assert user_messages(notebook) == [[RED, "hi"]]


def test_columns_share_a_picture_that_is_shown_once(notebook):
    models = "--compare model=ernie-5.0,ernie-4.5-turbo-vl"
    shown = notebook.run(f"%%qianfan_chat {models} -i red\none")
    assert shown.count("[Picture red") == 1
    assert [user_messages(notebook, number) for number in (0, 1)] == [[[RED, "one"]]] * 2
    notebook.run("%qianfan keep 2", f"{SEES}\ntwo")
    assert user_messages(notebook) == [[RED, "one"], ["two"]]


def test_picture_of_an_answer_that_is_continued_stays(notebook):
    notebook.run(f"{SEES} -i red --max-tokens 10\none", f"{SEES} --continue\n", f"{SEES}\ntwo")
    assert user_messages(notebook, 1)[0] == [RED, "one"]
    assert user_messages(notebook, 2) == [[RED, "one"], ["two"]]


# --- what is not sent


def test_invalid_picture_sends_nothing(notebook, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    notebook.run("number = 7", f"{SEES} -n before\nhi", f"{SEES}\nfirst")
    compare = "%%qianfan_chat --compare"
    # Each cell with the error's words, and how many copies are shown before it.
    cases = [
        (f"{SEES} -i nobody\nhi", "neither a variable nor a file", 0),
        (f"{SEES} -i nobody.png\nhi", "no file of that name", 0),
        (f"{SEES} -i red -i nobody\nhi", "-i nobody", 0),
        (f"{SEES} -i number\nhi", "-i number: this int is not a picture", 0),
        (f"{SEES} -i notes.txt\nhi", r"-i notes\.txt", 0),
        (f"{SEES} -i .\nhi", "this is a folder", 0),
        (f"{SEES} -i\nhi", "-i/--image needs a value", 0),
        ("%%qianfan_complete -m ernie-5.0 -i red\nhi", "-i", 0),
        ("%%qianfan_chat -m ernie-5.1 -i red\nhi", "accepts no pictures", 1),
        ("%%qianfan_chat -e dolly_12b -i red\nhi", "version 1", 1),
        (f"{compare} model=ernie-5.0,ernie-5.1 -i red\nhi", "ernie-5.1 accepts no pictures", 1),
        (f"{compare} model=ernie-5.0,ERNIE-Speed -i red\nhi", "version 1", 1),
        ("%%qianfan_chat -m ernie-5.1 -i red --dry-run\nhi", "accepts no pictures", 1),
        (f"{SEES} -i red\n ", "is empty", 0),
        ("%%qianfan_chat --continue -i red\n\n", "--continue and -i exclude each other", 0),
    ]
    for cell, words, copies in cases:
        assert_fails_cleanly(notebook, cell, words, ParameterError, notes=copies)


def test_misspelt_variable_is_guessed(notebook):
    error, _ = notebook.fail(f"{SEES} -i rad\nhi")
    assert "red" in error.hint


def test_conversation_with_pictures_is_not_sent_to_a_model_that_takes_none(notebook):
    notebook.run(f"{SEES} -i red\none")
    cell = "%%qianfan_chat -m ernie-5.1\ntwo"
    assert_fails_cleanly(notebook, cell, "an earlier message has one", ParameterError)
    assert "-n NAME" in notebook.fail(cell)[0].hint
    on_version_1 = "%%qianfan_chat -e dolly_12b\ntwo"
    assert_fails_cleanly(notebook, on_version_1, "version 1", ParameterError)


def test_question_that_fails_leaves_no_turn_with_a_picture(notebook):
    notebook.shell.user_ns["dot"] = picture(size=(3, 3))
    error, _ = notebook.fail(f"{SEES} -i dot\nhi")
    assert error.error_code == "invalid_image_url"
    notebook.server.fail(Fault(after=3, end="close", path=V2))
    notebook.fail(f"{SEES} -i red\none")
    notebook.run(f"{SEES}\ntwo")
    assert user_messages(notebook) == [["two"]]


# --- what is shown


def test_pictures_are_named_in_the_terminal_and_in_the_history(notebook):
    shown = notebook.run(f"{SEES} -i red -i blue.png\nhi").splitlines()
    size = "12 \N{MULTIPLICATION SIGN} 8 pixels, 1 kB]"
    assert shown[:2] == [f"[Picture red: {size}", f"[Picture blue.png: {size}"]
    assert "1. user (red; blue.png): hi" in notebook.run("%qianfan history")


def test_messages_of_the_history_have_the_pictures(notebook):
    notebook.run(f"{SEES} -i red\nhi", "%qianfan history -o messages")
    assert colors(notebook.shell.user_ns["messages"][0]["content"]) == [RED, "hi"]


def test_dry_run_shows_no_data_of_pictures_and_sends_nothing(notebook):
    notebook.run(f"{SEES} -i red -i blue\nhi")
    before = state(notebook)
    shown = notebook.run(f"{SEES} -i red --dry-run\nhi")
    assert re.findall(r"base64,[^\"]*", shown) == ["base64,***"] * 3
    assert state(notebook) == before


# --- in a real notebook


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Iterator[dict[str, Page]]:
    """Yield a notebook without a page and one with a page."""
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


def test_small_copy_stands_above_the_answer_and_is_no_part_of_its_record(either):
    ran = either.run("a", f"{SEES} -i red\nhi")
    html = ran.bundles[0]["text/html"]
    ((data, name),) = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)" alt="(\w+)"', html)
    copy = Image.open(io.BytesIO(base64.b64decode(data)))
    assert name == "red"
    assert copy.size == (12, 8)
    assert copy.convert("RGB").getpixel((0, 0)) == RED
    above, answer = [output["data"]["text/plain"] for output in either.under["a"]]
    assert above.startswith("[Picture red")
    assert answer.startswith("This is the ")
    assert KEY not in ran.contents("display_data")[0]["metadata"]
    (record,) = records_of(ran)
    (recorded,) = record["turns"][0]["pictures"]
    assert recorded.keys() == {"name", "digest"}
    assert recorded["name"] == "red"
    assert "base64" not in json.dumps(record)


def test_copy_of_a_large_picture_is_small(page):
    page.kernel.run("from random import Random; pixels = Random(7).randbytes(540_000)")
    page.kernel.run("noise = Image.frombytes('L', (900, 600), pixels)")
    html = page.run("a", f"{SEES} -i noise\nhi").bundles[0]["text/html"]
    data = base64.b64decode(re.search(r'base64,([^"]+)"', html)[1])
    assert max(Image.open(io.BytesIO(data)).size) <= 240
    assert len(data) <= 20_000


def test_output_with_a_picture_is_the_same_each_time(page, watched):
    """Nbval compares it, in another process."""
    shown = []
    for one in (page, page, watched):
        one.run("a", f"{SEES} -i red\nhi")
        shown.append(one.under["a"][0]["data"])
    assert shown == [shown[0]] * 3


def test_name_of_a_file_is_no_html(page):
    page.kernel.run("red.save('<b>bold.png')")
    html = page.run("a", f"{SEES} -i '<b>bold.png'\nhi").bundles[0]["text/html"]
    assert "&lt;b&gt;bold.png: 12" in html
    assert "<b>" not in html


def test_rerun_replaces_the_picture_of_the_turn_unless_it_fails(page):
    page.run("a", f"{SEES} -i red\none")
    page.run("b", f"{SEES}\ntwo")
    assert "Replaces turn 1" in text_of(page.run("a", f"{SEES} -i blue\none"))
    page.run("a", "%%qianfan_chat -m ernie-5.1 -i red\none")
    page.run("b", f"{SEES}\ntwo")
    assert user_messages(page) == [[BLUE, "one"], ["two"]]
    page.run("a", f"{SEES}\none")
    page.run("b", f"{SEES}\ntwo")
    assert user_messages(page) == [["one"], ["two"]]


def restored(page: Page) -> str:
    """Ask with a picture, save, restart, restore; return the output of that."""
    page.run("a", f"{SEES} -i red\none")
    page.save()
    page.restart()
    return page.say("%qianfan restore")


def test_restored_turn_has_only_the_name_of_its_picture(page):
    first, note = restored(page).splitlines()
    assert first == "default: 1 turn restored."
    assert note.endswith("A notebook keeps no pictures: later questions go without red.")
    history = page.say("%qianfan history")
    assert "1. user (red, not sent any more): one" in history
    page.say("%qianfan save a.json --force")
    page.restart()
    page.say("%qianfan load a.json")
    assert page.say("%qianfan history") == history


def test_restored_turn_is_sent_without_its_picture_until_it_is_asked_again(page):
    restored(page)
    for model in ("ernie-5.0", "ernie-5.1"):
        page.run("b", f"%%qianfan_chat -m {model}\ntwo")
        assert user_messages(page) == [["one"], ["two"]], model
    page.run("a", f"{SEES} -i red\none")
    page.run("b", f"{SEES}\ntwo")
    assert user_messages(page) == [[RED, "one"], ["two"]]


def test_again_and_keep_leave_the_picture(watched):
    shown = watched.run("controls", "%qianfan params")
    watched.run("a", f"{SEES} -i red\none")
    controls = PanelPage(watched.kernel, shown, panels(shown)[0])
    controls.click("again")
    assert [user_messages(watched, number) for number in (0, 1)] == [[[RED, "one"]]] * 2
    controls.click("keep")
    watched.run("b", f"{SEES}\ntwo")
    assert user_messages(watched) == [[RED, "one"], ["two"]]


# --- files


def test_saved_file_has_the_pictures(notebook):
    cases = [
        [f"{SEES} -i red\none"],
        [f"{SEES} -i red --max-tokens 10\none", f"{SEES} --continue\n"],
    ]
    for cells in cases:
        notebook.run(*cells, "%qianfan save a.json --force", "%qianfan reset --all")
        notebook.run("%qianfan load a.json", f"{SEES}\ntwo")
        assert user_messages(notebook) == [[RED, "one"], ["two"]], cells
        notebook.run("%qianfan reset --all")


def test_file_with_an_address_for_a_picture_is_refused(notebook):
    notebook.run(f"{SEES} -i red\none", "%qianfan save a.json")
    path = Path("a.json")
    saved = json.loads(path.read_text(encoding="utf-8"))
    for address in [
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
    ]:
        saved["conversations"][0]["turns"][0]["pictures"][0]["url"] = address
        path.write_text(json.dumps(saved), encoding="utf-8")
        assert_fails_cleanly(notebook, "%qianfan load a.json", "turn 1")
        assert address not in notebook.fail("%qianfan load a.json")[1], address


# --- turns and records


def test_turn_with_invalid_pictures_is_refused():
    valid = {"name": "a", "digest": "b"}
    assert turn_from_json({"user": "a", "assistant": "b", "pictures": [valid]}).pictures
    for pictures in [
        7,
        {},
        ["x"],
        [{}],
        [{"name": "a"}],
        [valid | {"name": ""}],
        [valid | {"name": 1}],
    ]:
        try:
            turn_from_json({"user": "a", "assistant": "b", "pictures": pictures})
        except InvalidRecord:
            continue
        pytest.fail(f"{pictures} was accepted")


PICTURE = ImageAttachment("red", "0123456789abcdef", f"{DATA}AAAA")


def turn(*pictures: ImageAttachment) -> Turn:
    return Turn("a", "b", pictures=pictures)


def test_id_of_a_turn_depends_on_its_pictures_and_their_order():
    other = ImageAttachment("red", "f" * 16)
    turns = [turn(), turn(PICTURE), turn(other), turn(PICTURE, other), turn(other, PICTURE)]
    assert len({each.id for each in turns}) == 5
    # Notebooks of an earlier version are still read.
    assert turn().id == "9fb151ff01a5d557"


def test_turn_with_a_picture_is_read_from_its_json():
    assert turn_from_json(turn_to_json(turn(PICTURE))).id == turn(PICTURE).id
    (read,) = turn_from_json(turn_to_json(turn(PICTURE), whole=True)).pictures
    assert (read.name, read.digest, read.url) == (PICTURE.name, PICTURE.digest, PICTURE.url)


def test_record_with_another_picture_was_edited(page):
    page.run("a", f"{SEES} -i red\none")
    output = page.under["a"][-1]
    record = output["metadata"][KEY]
    record["turns"][0]["pictures"][0]["digest"] = "f" * 16
    (why,) = record_from_json(record, output["data"]["text/plain"]).unreadable
    assert why == "it, or the text of its output, has been edited"

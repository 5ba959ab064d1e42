"""Conversations in a file: written in one step and over nothing else, read whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic import QianfanError
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.save_file import FORMAT, load_conversations, save_conversations
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.masking import remember

SECRET = 'Wenxin-k3y/"with\\marks'
FILE = Path("talk.json")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SAID = TEXT.filter(str.strip)
TURNS = st.builds(
    Turn,
    SAID,
    SAID,
    stopped=st.booleans(),
    system=TEXT,
    tokens=st.tuples(st.integers(0, 999), st.integers(0, 999)),
    parameters=st.dictionaries(st.just("stop"), st.lists(TEXT, max_size=2)),
)
TALKS = st.dictionaries(SAID, st.lists(TURNS, max_size=3), max_size=3)


def talk(*questions: str, name: str = "default", **said: Any) -> Conversation:
    """Make a conversation; each answer is the question in capitals."""
    conversation = Conversation(name)
    for question in questions:
        conversation = conversation.append(Turn(question, question.upper(), **said))
    return conversation


def content(*conversations: Any, **fields: Any) -> dict[str, Any]:
    return {"format": FORMAT, "version": 1, "conversations": list(conversations)} | fields


def one(*turns: Any, name: str = "default") -> dict[str, Any]:
    return {"name": name, "system": "", "turns": list(turns)}


GOOD = {"user": "hi", "assistant": "HI"}


def not_written(path: Path, *conversations: Conversation, force: bool = False) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        save_conversations(path, conversations or [talk("hi")], force=force)
    return caught.value


def not_read(written: Any = None, path: Path = FILE) -> QianfanError:
    if written is not None:
        path.write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(QianfanError) as caught:
        load_conversations(path)
    return caught.value


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 64 bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- there and back


@given(TALKS)
def test_conversations_come_back_as_they_were(said):
    talks = []
    for name, turns in said.items():
        conversation = Conversation(name, "Be brief.")
        for turn in turns:
            conversation = conversation.append(turn)
        talks.append(conversation)
    with tempfile.TemporaryDirectory() as folder:
        save_conversations(Path(folder) / "talk.json", talks)
        assert load_conversations(Path(folder) / "talk.json") == talks


def test_system_text_of_a_conversation_without_a_turn_comes_back():
    save_conversations(FILE, [Conversation("default", "Be brief.")])
    assert load_conversations(FILE) == [Conversation("default", "Be brief.")]


def test_answer_that_went_on_comes_back():
    begun = Turn("tell", "Once ", truncated=True)
    whole = Conversation("default").append(Turn("tell", "Once upon a time.", continues=begun))
    save_conversations(FILE, [whole])
    assert load_conversations(FILE) == [whole]


def test_500_turns_come_back():
    save_conversations(FILE, [talk(*map(str, range(500)))])
    assert load_conversations(FILE) == [talk(*map(str, range(500)))]


def test_what_was_read_and_written_is_the_same_file():
    save_conversations(FILE, [talk("hi", "ho"), talk("hi", name="tutor")])
    before = FILE.read_bytes()
    save_conversations(FILE, load_conversations(FILE))
    assert FILE.read_bytes() == before


def test_no_conversations_come_back_as_none():
    save_conversations(FILE, [])
    assert load_conversations(FILE) == []


def test_file_says_what_it_is():
    save_conversations(FILE, [talk("hi")])
    written = json.loads(FILE.read_text())
    assert (written["format"], written["version"]) == ("qianfan_magic conversations", 1)


def test_chinese_stands_in_the_file_as_it_is():
    save_conversations(FILE, [talk("长城")])
    assert "长城" in FILE.read_text(encoding="utf-8")


def test_key_stands_nowhere_in_the_file():
    remember(SECRET)
    save_conversations(FILE, [talk(f"Is {SECRET} safe?", system=f"Hide {SECRET}.")])
    said = json.loads(FILE.read_text())["conversations"][0]["turns"][0]
    assert (said["user"], said["system"]) == ("Is *** safe?", "Hide ***.")


def test_conversation_that_quotes_a_key_comes_back():
    remember(SECRET)
    save_conversations(FILE, [talk(f"Is {SECRET} safe?", "Why?")])
    assert [turn.user for turn in load_conversations(FILE)[0].turns] == ["Is *** safe?", "Why?"]


# --- over what it is written


def test_file_of_ours_is_replaced():
    save_conversations(FILE, [talk("old")])
    save_conversations(FILE, [talk("new")])
    assert load_conversations(FILE) == [talk("new")]


def test_file_of_ours_of_another_version_is_replaced():
    FILE.write_text(json.dumps(content(version=2)))
    save_conversations(FILE, [talk("new")])
    assert load_conversations(FILE) == [talk("new")]


FOREIGN = [
    b"",
    b"hello",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"qianfan_magic conversations"',
    b'["qianfan_magic conversations"]',
    b'{"format": "other"}',
    b'{"format": null}',
    b'{"format": ["qianfan_magic conversations"]}',
    b'{"nbformat": 4, "cells": []}',
    b"\xff\xfe",
    b"[" * 100_000,
    b"1" * 5_000,
]


def test_foreign_file_is_neither_read_nor_replaced_without_force():
    for foreign in FOREIGN:
        FILE.write_bytes(foreign)
        not_written(FILE)
        assert FILE.read_bytes() == foreign
        message = not_read().message
        expected = "'talk.json' is not loaded: it is not a file of conversations"
        assert message == expected, foreign[:30]


def test_foreign_file_is_replaced_by_force():
    for foreign in FOREIGN:
        FILE.write_bytes(foreign)
        save_conversations(FILE, [talk("hi")], force=True)
        assert load_conversations(FILE) == [talk("hi")], foreign[:30]


def test_refusal_to_replace_says_what_to_do():
    FILE.write_text("mine")
    error = not_written(FILE)
    assert (error.message, error.hint) == (
        "'talk.json' exists already, and is not a file of conversations",
        "Choose another name, or write over it with --force.",
    )


def test_force_is_not_needed_for_a_new_file():
    save_conversations(FILE, [talk("hi")], force=True)
    assert load_conversations(FILE) == [talk("hi")]


@pytest.mark.parametrize("force", [False, True])
def test_folder_is_not_replaced(tmp_path, force):
    folder = tmp_path / "folder"
    folder.mkdir()
    not_written(folder, force=force)
    assert folder.is_dir()


@pytest.mark.parametrize("force", [False, True])
def test_folder_that_is_not_replaced_leaves_no_litter(tmp_path, force):
    (tmp_path / "folder").mkdir()
    not_written(tmp_path / "folder", force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# --- links


def test_link_stays_a_link():
    save_conversations(Path("real.json"), [talk("old")])
    FILE.symlink_to("real.json")
    save_conversations(FILE, [talk("new")])
    assert FILE.is_symlink()


def test_file_behind_a_link_is_replaced():
    save_conversations(Path("real.json"), [talk("old")])
    FILE.symlink_to("real.json")
    save_conversations(FILE, [talk("new")])
    assert load_conversations(Path("real.json")) == [talk("new")]


def test_file_that_is_not_ours_behind_a_link_is_not_replaced():
    Path("real.txt").write_text("mine")
    FILE.symlink_to("real.txt")
    not_written(FILE)
    assert Path("real.txt").read_text() == "mine"


def test_link_to_what_is_not_there_makes_it():
    FILE.symlink_to("real.json")
    save_conversations(FILE, [talk("hi")])
    assert load_conversations(Path("real.json")) == [talk("hi")]


def test_link_to_itself_is_not_written():
    FILE.symlink_to(FILE)
    not_written(FILE)


def test_link_to_itself_is_not_read():
    FILE.symlink_to(FILE)
    not_read()


# --- paths


def test_relative_path_is_of_this_folder(tmp_path):
    Path("sub").mkdir()
    save_conversations(Path("sub/../sub/talk.json"), [talk("hi")])
    assert load_conversations(tmp_path / "sub" / "talk.json") == [talk("hi")]


def test_tilde_is_the_home_when_written(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_conversations(Path("~/talk.json"), [talk("hi")])
    assert (tmp_path / "talk.json").exists()


def test_tilde_is_the_home_when_read(monkeypatch, tmp_path):
    save_conversations(tmp_path / "talk.json", [talk("hi")])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_conversations(Path("~/talk.json")) == [talk("hi")]


def test_name_in_chinese_is_a_name():
    save_conversations(Path("长城.json"), [talk("hi")])
    assert load_conversations(Path("长城.json")) == [talk("hi")]


@pytest.mark.parametrize("name", ["x" * 250 + ".json", "长" * 83 + ".json"], ids=["ascii", "utf-8"])
def test_longest_name_that_a_folder_takes_is_a_name(name):
    save_conversations(Path(name), [talk("hi")])
    assert load_conversations(Path(name)) == [talk("hi")]


#: Where no file can be, also for root.
NOWHERE = {
    "missing folder": "missing/talk.json",
    "below a file": "plain.txt/talk.json",
    "folder of the system": "/proc/talk.json",
    "name too long": "x" * 300,
    "path too long": "x/" * 4_000 + "talk.json",
    "nobody's home": "~nobody-of-this-name/talk.json",
    "null character": "a\0b.json",
}


@pytest.fixture(params=NOWHERE)
def nowhere(request) -> Path:
    Path("plain.txt").write_text("plain")
    return Path(NOWHERE[request.param])


def test_path_where_no_file_can_be_is_not_written(nowhere):
    not_written(nowhere)


def test_path_where_no_file_can_be_is_not_read(nowhere):
    not_read(path=nowhere)


def test_missing_folder_is_told():
    error = not_written(Path("missing/talk.json"))
    assert error.message == "'missing/talk.json' cannot be written: No such file or directory"


# --- in one step


@pytest.mark.parametrize("force", [False, True])
def test_full_disk_leaves_the_file_as_it_was(force):
    save_conversations(FILE, [talk("old")])
    before = FILE.read_bytes()
    with full_disk():
        not_written(FILE, talk("new"), force=force)
    assert FILE.read_bytes() == before


def test_full_disk_leaves_no_litter(tmp_path):
    save_conversations(tmp_path / FILE, [talk("old")])
    with full_disk():
        not_written(tmp_path / FILE, talk("new"))
    assert [path.name for path in tmp_path.iterdir()] == [FILE.name]


def test_full_disk_leaves_no_new_file(tmp_path):
    with full_disk():
        not_written(tmp_path / FILE)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told():
    with full_disk():
        assert "cannot be written: File too large" in not_written(FILE).message


def unwritable() -> Conversation:
    return talk("new", parameters={"temperature": object()})


def test_what_cannot_be_written_leaves_the_file_as_it_was():
    save_conversations(FILE, [talk("old")])
    with pytest.raises((QianfanError, TypeError)):
        save_conversations(FILE, [unwritable()])
    assert load_conversations(FILE) == [talk("old")]


def test_what_cannot_be_written_leaves_no_litter(tmp_path):
    with pytest.raises((QianfanError, TypeError)):
        save_conversations(tmp_path / FILE, [unwritable()])
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_the_file_is_left(tmp_path):
    save_conversations(tmp_path / FILE, [talk("old")])
    save_conversations(tmp_path / FILE, [talk("new")])
    assert [path.name for path in tmp_path.iterdir()] == [FILE.name]


def test_who_reads_the_old_file_reads_it_to_its_end():
    save_conversations(FILE, [talk("old")])
    with FILE.open(encoding="utf-8") as reader:
        save_conversations(FILE, [talk("new")])
        assert json.load(reader)["conversations"][0]["turns"][0]["user"] == "old"


# --- rights


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_new_file_is_its_owners_alone(mask):
    before = os.umask(mask)
    try:
        save_conversations(FILE, [talk("hi")])
    finally:
        os.umask(before)
    assert rights(FILE) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600, 0o664])
def test_file_that_is_replaced_keeps_its_rights(mode):
    save_conversations(FILE, [talk("old")])
    FILE.chmod(mode)
    save_conversations(FILE, [talk("new")])
    assert rights(FILE) == mode


def test_file_that_is_replaced_by_force_keeps_its_rights():
    FILE.write_text("mine")
    FILE.chmod(0o644)
    save_conversations(FILE, [talk("hi")], force=True)
    assert rights(FILE) == 0o644


# --- what is read


def test_file_that_is_not_there_is_told():
    error = not_read()
    assert (error.message, error.hint) == (
        "'talk.json' cannot be read: No such file or directory",
        "Check its name and folder.",
    )


def test_folder_is_not_read(tmp_path):
    assert "cannot be read" in not_read(path=tmp_path).message


def test_file_of_another_version_is_not_read():
    for version in [0, 2, "1", None, True, 1.5, [], {}]:
        assert "it is of version" in not_read(content(version=version)).message, version


def test_other_version_is_named():
    assert not_read(content(version=2)).message == (
        "'talk.json' is not loaded: it is of version 2, and this package reads 1"
    )


def test_file_without_a_list_of_conversations_is_not_read():
    for value in [None, {}, "x", 1]:
        assert "no list of conversations" in not_read(content(conversations=value)).message, value


def test_damaged_file_names_the_turn():
    error = not_read(content(one(GOOD), one(GOOD, {"user": "hi"}, name="tutor")))
    assert error.message == (
        "'talk.json' is not loaded: turn 2 of 'tutor': 'assistant' is missing or empty"
    )


@pytest.mark.parametrize("field", ["user", "assistant"])
def test_half_a_turn_is_not_read(field):
    for value in [None, 1, True, "", " \n", [], {}]:
        error = not_read(content(one(GOOD | {field: value})))
        assert f"turn 1 of 'default': '{field}' is missing or" in error.message, repr(value)


def test_two_conversations_of_one_name_are_not_read():
    error = not_read(content(one(GOOD), one(GOOD)))
    assert "two of its conversations have the same name" in error.message


def test_value_that_is_not_a_conversation_is_not_read():
    for value in [None, 1, "x", [], {}]:
        assert "is not loaded" in not_read(content(value)).message, value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_editors_are_read(encoding):
    text = json.dumps(content(one(GOOD | {"user": "长城"})), ensure_ascii=False)
    FILE.write_text(text, encoding=encoding)
    assert load_conversations(FILE)[0].turns[0].user == "长城"


def test_file_of_ours_with_a_byte_order_mark_is_replaced():
    FILE.write_text(json.dumps(content()), encoding="utf-8-sig")
    save_conversations(FILE, [talk("hi")])
    assert load_conversations(FILE) == [talk("hi")]


def test_fields_of_a_later_package_do_no_harm():
    FILE.write_text(json.dumps(content(one(GOOD | {"mood": "good"}), mood="good")))
    assert load_conversations(FILE) == [talk("hi")]


#: Hostile turns: what of them is read can be written again.
HOSTILE = {
    "half a character": GOOD | {"user": "half \ud83d"},
    "half in a parameter": GOOD | {"parameters": {"stop": ["half \ud83d"]}},
    "no number": GOOD | {"parameters": {"temperature": float("nan")}},
    "huge number": GOOD | {"tokens": {"prompt": 10**4299}},
}


@pytest.mark.parametrize("turn", HOSTILE.values(), ids=HOSTILE)
def test_file_that_is_read_can_be_written_again(turn):
    FILE.write_text(json.dumps(content(one(turn))))
    try:
        read = load_conversations(FILE)
    except QianfanError:
        return
    save_conversations(Path("again.json"), read)
    assert len(load_conversations(Path("again.json"))[0].turns) == 1


def test_turn_of_any_depth_is_read_or_refused():
    whole = json.dumps(GOOD)
    begin = whole[:-1] + ', "continues": '
    for depth in range(800, 1_000):  # to where Python's own reader of JSON gives up
        turn = begin * depth + whole + "}" * depth
        FILE.write_text(json.dumps(content(one("TURN"))).replace('"TURN"', turn))
        with suppress(QianfanError):
            load_conversations(FILE)

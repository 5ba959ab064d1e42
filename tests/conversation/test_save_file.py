"""Conversations saved in a file: written atomically over no other kind, loaded whole or not."""

from __future__ import annotations

import json
import os
import resource
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
NONBLANK = TEXT.filter(str.strip)
TURNS = st.builds(
    Turn,
    NONBLANK,
    NONBLANK,
    stopped=st.booleans(),
    system=TEXT,
    tokens=st.tuples(st.integers(0, 999), st.integers(0, 999)),
    parameters=st.dictionaries(st.just("stop"), st.lists(TEXT, max_size=2)),
)
TURNS_BY_NAME = st.dictionaries(NONBLANK, st.lists(TURNS, max_size=3), max_size=3)
#: A turn as it is saved.
TURN = {"user": "hi", "assistant": "HI"}


def talk(*questions: str, name: str = "default", **fields: Any) -> Conversation:
    """Return a conversation; each answer is the question in capitals."""
    conversation = Conversation(name)
    for question in questions:
        conversation = conversation.append(Turn(question, question.upper(), **fields))
    return conversation


def content(*conversations: Any, **fields: Any) -> dict[str, Any]:
    """Return the content of a file, with some of its fields replaced."""
    return {"format": FORMAT, "version": 1, "conversations": list(conversations)} | fields


def saved(*turns: Any, name: str = "default") -> dict[str, Any]:
    """Return a conversation as it is saved."""
    return {"name": name, "system": "", "turns": list(turns)}


def write(written: Any) -> None:
    FILE.write_text(json.dumps(written), encoding="utf-8")


def save_error(
    path: Path = FILE, conversation: Conversation | None = None, *, force: bool = False
) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        save_conversations(path, [conversation or talk("hi")], force=force)
    return caught.value


def load_error(path: Path = FILE) -> QianfanError:
    with pytest.raises(QianfanError) as caught:
        load_conversations(path)
    return caught.value


def file_names() -> list[str]:
    """Return the names of all files in this folder, with temporary ones that were left."""
    return [path.name for path in Path().iterdir()]


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit files to 64 bytes, which fails as a full disk does: while the file is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- the round trip


@given(TURNS_BY_NAME)
def test_conversations_are_loaded_as_they_were_saved_and_saved_as_the_same_file(turns_by_name):
    conversations = []
    for name, turns in turns_by_name.items():
        conversation = Conversation(name, "Be brief.")
        for turn in turns:
            conversation = conversation.append(turn)
        conversations.append(conversation)
    save_conversations(FILE, conversations)
    before = FILE.read_bytes()
    assert load_conversations(FILE) == conversations
    save_conversations(FILE, load_conversations(FILE))
    assert FILE.read_bytes() == before


def test_conversations_without_turns_continued_and_long_ones_are_loaded_as_they_were_saved():
    unfinished = Turn("tell", "Once ", truncated=True)
    continued = Turn("tell", "Once upon a time.", continues=unfinished)
    for name, conversations in {
        "none": [],
        "without turns": [Conversation("default", "Be brief.")],
        "continued": [Conversation("default").append(continued)],
        "500 turns": [talk(*map(str, range(500)))],
    }.items():
        save_conversations(FILE, conversations)
        assert load_conversations(FILE) == conversations, name


def test_file_names_its_format_and_version_and_holds_chinese_unescaped():
    save_conversations(FILE, [talk("长城")])
    text = FILE.read_text(encoding="utf-8")
    assert json.loads(text)["format"] == "qianfan_magic conversations"
    assert json.loads(text)["version"] == 1
    assert "长城" in text


def test_secret_is_masked_in_the_file_and_in_what_is_loaded():
    remember(SECRET)
    save_conversations(FILE, [talk(f"Is {SECRET} safe?", "Why?", system=f"Hide {SECRET}.")])
    first = json.loads(FILE.read_text())["conversations"][0]["turns"][0]
    assert first["user"] == "Is *** safe?"
    assert first["system"] == "Hide ***."
    (conversation,) = load_conversations(FILE)
    assert [turn.user for turn in conversation.turns] == ["Is *** safe?", "Why?"]


# --- files that exist already

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


def test_file_of_conversations_is_replaced():
    for name, text in {
        "this version": json.dumps(content(saved(TURN))),
        "another version": json.dumps(content(version=2)),
        "byte order mark": "\ufeff" + json.dumps(content()),
    }.items():
        FILE.write_text(text, encoding="utf-8")
        save_conversations(FILE, [talk("new")])
        assert load_conversations(FILE) == [talk("new")], name
        assert file_names() == [FILE.name], name


def test_foreign_file_is_neither_loaded_nor_replaced_without_force():
    for foreign in FOREIGN:
        FILE.write_bytes(foreign)
        error = save_error()
        assert error.message == "'talk.json' exists already, and is not a file of conversations"
        assert error.hint == "Choose another name, or write over it with --force."
        assert FILE.read_bytes() == foreign
        expected = "'talk.json' is not loaded: it is not a file of conversations"
        assert load_error().message == expected, foreign[:30]


def test_force_replaces_a_foreign_file_and_is_not_needed_for_a_new_one():
    save_conversations(FILE, [talk("hi")], force=True)
    assert load_conversations(FILE) == [talk("hi")]
    for foreign in FOREIGN:
        FILE.write_bytes(foreign)
        save_conversations(FILE, [talk("hi")], force=True)
        assert load_conversations(FILE) == [talk("hi")], foreign[:30]


def test_folder_is_neither_loaded_nor_replaced():
    Path("folder").mkdir()
    assert "cannot be read" in load_error(Path("folder")).message
    for force in (False, True):
        assert "exists already" in save_error(Path("folder"), force=force).message
        assert file_names() == ["folder"], force
        assert Path("folder").is_dir(), force


def test_named_pipe_is_an_error_instead_of_an_endless_wait():
    os.mkfifo(FILE)
    assert load_error().message == "'talk.json' cannot be read: there can be no such file"
    assert "exists already" in save_error(force=True).message


# --- symbolic links


def test_link_is_kept_and_its_target_replaced():
    save_conversations(Path("real.json"), [talk("old")])
    FILE.symlink_to("real.json")
    save_conversations(FILE, [talk("new")])
    assert FILE.is_symlink()
    assert load_conversations(Path("real.json")) == [talk("new")]


def test_target_of_a_link_that_is_missing_is_created():
    FILE.symlink_to("real.json")
    save_conversations(FILE, [talk("hi")])
    assert load_conversations(Path("real.json")) == [talk("hi")]


def test_foreign_target_of_a_link_is_not_replaced():
    Path("real.txt").write_text("mine")
    FILE.symlink_to("real.txt")
    save_error()
    assert Path("real.txt").read_text() == "mine"


# --- paths


def test_relative_path_is_resolved_in_this_folder(tmp_path):
    Path("sub").mkdir()
    save_conversations(Path("sub/../sub/talk.json"), [talk("hi")])
    assert load_conversations(tmp_path / "sub" / "talk.json") == [talk("hi")]


def test_tilde_is_the_home_directory(monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    save_conversations(Path("~/talk.json"), [talk("hi")])
    assert (home / "talk.json").exists()
    assert load_conversations(Path("~/talk.json")) == [talk("hi")]


def test_chinese_and_very_long_names_are_allowed():
    # The two long ones have 255 and 254 bytes; the file system allows 255.
    for name in ("长城.json", "x" * 250 + ".json", "长" * 83 + ".json"):
        save_conversations(Path(name), [talk("hi")])
        assert load_conversations(Path(name)) == [talk("hi")], name


def test_path_where_no_file_can_be_is_an_error_that_says_why():
    Path("plain.txt").write_text("plain")
    # All of them fail for root, too.
    for path, reason in {
        "missing/talk.json": "No such file or directory",
        "plain.txt/talk.json": "Not a directory",
        "/proc/talk.json": "No such file or directory",
        "x" * 300: "File name too long",
        "~nobody-of-this-name/talk.json": "there can be no such file",
        "a\0b.json": "there can be no such file",
        "half \ud83d.json": "a text in it holds half of a character (a lone surrogate)",
    }.items():
        error = save_error(Path(path))
        assert error.message == f"{path!r} cannot be written: {reason}"
        assert error.hint == "Choose an existing folder that you may write to."
        assert load_error(Path(path)).message == f"{path!r} cannot be read: {reason}"


def test_loop_of_links_and_too_long_path_are_errors():
    FILE.symlink_to(FILE)
    for path in (FILE, Path("x/" * 4_000 + "talk.json")):
        assert save_error(path).hint == "Choose an existing folder that you may write to."
        assert load_error(path).hint == "Check its name and folder."


def test_missing_file_is_an_error_that_says_what_to_check():
    error = load_error()
    assert error.message == "'talk.json' cannot be read: No such file or directory"
    assert error.hint == "Check its name and folder."


# --- atomic writes


def test_write_to_a_full_disk_fails_and_leaves_the_file_unchanged():
    save_conversations(FILE, [talk("old")])
    before = FILE.read_bytes()
    for force in (False, True):
        with full_disk():
            error = save_error(conversation=talk("new"), force=force)
        assert error.message == "'talk.json' cannot be written: File too large", force
        assert FILE.read_bytes() == before, force
        assert file_names() == [FILE.name], force


def test_write_of_a_new_file_to_a_full_disk_leaves_no_file():
    with full_disk():
        save_error()
    assert file_names() == []


def test_value_that_json_cannot_hold_leaves_the_file_unchanged():
    invalid = talk("new", parameters={"temperature": object()})
    with pytest.raises((QianfanError, TypeError)):
        save_conversations(FILE, [invalid])
    assert file_names() == []
    save_conversations(FILE, [talk("old")])
    with pytest.raises((QianfanError, TypeError)):
        save_conversations(FILE, [invalid])
    assert load_conversations(FILE) == [talk("old")]


def test_open_file_can_be_read_to_its_end_while_it_is_replaced():
    save_conversations(FILE, [talk("old")])
    with FILE.open(encoding="utf-8") as reader:
        save_conversations(FILE, [talk("new")])
        assert json.load(reader)["conversations"][0]["turns"][0]["user"] == "old"


# --- permissions


def test_new_file_is_accessible_to_its_owner_only():
    for mask in (0, 0o022, 0o077):
        before = os.umask(mask)
        try:
            save_conversations(FILE, [talk("hi")])
        finally:
            os.umask(before)
        assert permissions(FILE) == 0o600, oct(mask)
        FILE.unlink()


def test_replaced_file_keeps_its_permissions():
    for mode in (0o644, 0o640, 0o600, 0o664):
        for text, force in ((json.dumps(content()), False), ("mine", True)):
            FILE.write_text(text)
            FILE.chmod(mode)
            save_conversations(FILE, [talk("new")], force=force)
            assert permissions(FILE) == mode, (oct(mode), force)


# --- contents


def test_invalid_content_is_an_error_that_says_why():
    no_list = "it has no list of conversations"
    incomplete = saved(TURN, {"user": "hi"}, name="tutor")
    for reason, contents in {
        "it is of version 2, and this package reads 1": [content(version=2)],
        no_list: [content(conversations=value) for value in (None, {}, "x", 1)],
        "turn 2 of 'tutor': 'assistant' is missing or empty": [content(saved(TURN), incomplete)],
        "two of its conversations have the same name": [content(saved(TURN), saved(TURN))],
    }.items():
        for written in contents:
            write(written)
            assert load_error().message == f"'talk.json' is not loaded: {reason}", written


def test_file_of_another_version_is_not_loaded():
    for version in [0, 2, "1", None, True, 1.5, [], {}]:
        write(content(version=version))
        assert "is not loaded: it is of version" in load_error().message, repr(version)


def test_half_a_turn_is_not_loaded():
    for field in ("user", "assistant"):
        for value in [None, 1, True, "", " \n", [], {}]:
            write(content(saved(TURN | {field: value})))
            reason = f"turn 1 of 'default': '{field}' is missing or"
            assert reason in load_error().message, repr(value)


def test_value_that_is_not_a_conversation_is_not_loaded():
    for value in [None, 1, "x", [], {}]:
        write(content(value))
        assert "is not loaded" in load_error().message, value


def test_encodings_that_editors_write_are_read():
    text = json.dumps(content(saved(TURN | {"user": "长城"})), ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        FILE.write_text(text, encoding=encoding)
        assert load_conversations(FILE)[0].turns[0].user == "长城", encoding


def test_unknown_fields_are_ignored():
    # A later version of the package may add some.
    write(content(saved(TURN | {"mood": "good"}), mood="good"))
    assert load_conversations(FILE) == [talk("hi")]


def test_hostile_values_are_refused_or_can_be_saved_again():
    for name, fields in {
        "lone surrogate": {"user": "half \ud83d"},
        "lone surrogate in a parameter": {"parameters": {"stop": ["half \ud83d"]}},
        "NaN": {"parameters": {"temperature": float("nan")}},
        "huge number": {"tokens": {"prompt": 10**4299}},
    }.items():
        write(content(saved(TURN | fields)))
        with suppress(QianfanError):
            save_conversations(Path("again.json"), load_conversations(FILE))
            assert len(load_conversations(Path("again.json"))[0].turns) == 1, name


def test_continuations_of_any_depth_are_loaded_or_refused():
    whole = json.dumps(TURN)
    begin = whole[:-1] + ', "continues": '
    for depth in range(800, 1_000):  # the standard library's parser fails at about 1,000
        turn = begin * depth + whole + "}" * depth
        FILE.write_text(json.dumps(content(saved("TURN"))).replace('"TURN"', turn))
        with suppress(QianfanError):
            load_conversations(FILE)

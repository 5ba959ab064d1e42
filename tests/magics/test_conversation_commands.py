"""``%qianfan history``, ``undo``, ``save``, ``load``, ``restore`` and ``usage``, without a kernel.

The files are tested in ``tests/conversation``, and what becomes of the cells of a notebook in
``tests/end_to_end/test_restoring.py``.
"""

from __future__ import annotations

import json

from support.notebook import CUT_OFF, ENDPOINTS, assert_fails_cleanly

from qianfan_magic import ParameterError
from qianfan_magic.embedded.faults import Fault

# --- history


def test_history_shows_which_turns_are_no_longer_sent(notebook):
    notebook.run(*(f"%%qianfan_chat\n{question}" for question in ("one", "two", "three")))
    cut = "--- Cut here: the turns above are no longer sent, since max_turns is 2."
    for max_turns, words in (
        (2, cut),
        (0, "No turn is sent any more, since max_turns is 0."),
        (None, None),
        (3, None),
    ):
        notebook.run(f"%config QianfanMagics.max_turns = {max_turns}")
        shown = notebook.run("%qianfan history")
        assert (words or "") in shown, max_turns
        assert ("sent" in shown) is bool(words), max_turns
        if max_turns == 2:
            above, _, below = shown.partition(cut)
            assert "1. user: one" in above
            assert below.strip().startswith("2. user: two")


def test_history_shows_where_the_limit_of_the_model_cuts_it(notebook):
    notebook.run(f"%%qianfan_chat\n{'x' * 3_000}", f"%%qianfan_chat\n{'y' * 1_700}")
    cut = "Cut here: the turns above are no longer sent, since Dolly-12B takes at most 4,800"
    assert cut in notebook.run("%qianfan history")


def test_history_shows_the_system_message_and_the_tokens_of_each_answer(notebook):
    shown = notebook.run("%%qianfan_chat -s 'Be brief.' -o reply\nhi", "%qianfan history")
    (reply,) = notebook.bound("reply")
    assert "System: Be brief." in shown
    assert f"1. assistant ({reply.usage.completion_tokens} tokens): H" in shown


# --- undo


def test_undo_forgets_the_last_turn_of_one_conversation_and_names_it(notebook):
    notebook.run("%%qianfan_chat\none", "%%qianfan_chat\ntwo", "%%qianfan_chat -n tutor\none")
    last = "The last turn of the conversation default is forgotten (“two”): it has 1 turn now."
    assert last in notebook.run("%qianfan undo")
    notebook.run("%qianfan undo -n tutor")
    assert notebook.questions() == ["one"]
    assert notebook.questions("tutor") == []
    notebook.run("%qianfan undo")
    assert_fails_cleanly(notebook, "%qianfan undo", "has no turn to forget", ParameterError)


def test_undo_forgets_a_continued_answer_as_a_whole(notebook):
    notebook.run(CUT_OFF, "%%qianfan_chat --continue\n", "%qianfan undo")
    assert notebook.questions() == []


# --- save and load


def test_saved_conversations_are_loaded_and_listed(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi")
    default, tutor = notebook.turns(), notebook.turns("tutor")
    listed = "default: 2 turns\ntutor: 1 turn\n"
    assert notebook.run("%qianfan save talk.json") == f"Saved in talk.json:\n{listed}"
    notebook.run("%qianfan reset --all")
    assert notebook.run("%qianfan load talk.json") == f"Loaded from talk.json:\n{listed}"
    assert notebook.turns() == default
    assert notebook.turns("tutor") == tutor


def test_one_conversation_is_saved_or_loaded_alone(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi")
    loaded = "Loaded from talk.json:\ntutor: 1 turn\n"
    for save, load in ((" -n tutor", ""), ("", " -n tutor")):
        notebook.run(f"%qianfan save talk.json --force{save}", "%qianfan reset --all")
        assert notebook.run(f"%qianfan load talk.json{load}") == loaded, (save, load)
        assert notebook.conversation_names() == ["tutor"], (save, load)
        notebook.run("%%qianfan_chat\nhi")


def test_load_lists_what_it_replaces_and_continues_from_there(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\none", "%qianfan save talk.json")
    notebook.run("%%qianfan_chat -s ''\ntwo")
    shown = notebook.run("%qianfan load talk.json")
    assert shown.endswith("text “Be brief.”\nReplaced:\ndefault: 2 turns\n")
    notebook.run("%%qianfan_chat\nthree")
    assert notebook.questions() == ["one", "three"]
    assert notebook.bodies[-1]["system"] == "Be brief."


def test_save_overwrites_its_own_files_and_others_only_by_force(notebook, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text('{"mine": 1}')
    notebook.run("%%qianfan_chat\nhi")
    error, _ = notebook.fail("%qianfan save talk.json")
    assert "--force" in error.hint
    assert path.read_text() == '{"mine": 1}'
    notebook.run("%qianfan save talk.json --force", "%%qianfan_chat\nhello")
    notebook.run("%qianfan save talk.json", "%qianfan reset", "%qianfan load talk.json")
    assert notebook.questions() == ["hi", "hello"]


def test_load_of_a_damaged_file_changes_nothing(notebook, tmp_path):
    notebook.run("%%qianfan_chat\nhi", "%qianfan save talk.json", "%%qianfan_chat\nhello")
    saved = json.loads((tmp_path / "talk.json").read_text())
    saved["conversations"][0]["turns"].append({"user": "half"})
    (tmp_path / "talk.json").write_text(json.dumps(saved))
    assert_fails_cleanly(notebook, "%qianfan load talk.json", "is not loaded")


# --- usage


def test_usage_counts_the_answers_and_tokens_of_each_model(notebook):
    notebook.run("%%qianfan_chat -o one\nhi", "%%qianfan_complete\nx")
    notebook.run("%%qianfan_chat -o two\nhello", f"%%qianfan_chat {ENDPOINTS}\nhi")
    notebook.server.fail(Fault(error_code=336003))
    notebook.fail("%%qianfan_chat\nhi")
    shown = notebook.run("%qianfan usage -o table").splitlines()
    (table,) = notebook.bound("table")
    calls = {"dolly_12b": 2, "starcoder": 1, "a_dolly_12b": 1, "b_dolly_12b": 1}
    assert {row["model"]: row["calls"] for row in table} == calls
    assert [line.split()[0] for line in shown[1:5]] == [row["model"] for row in table]
    one, two = (reply.usage for reply in notebook.bound("one", "two"))
    assert table[0]["prompt_tokens"] == one.prompt_tokens + two.prompt_tokens
    assert table[0]["completion_tokens"] == one.completion_tokens + two.completion_tokens
    assert list(table[0]) == [
        *("model", "calls", "prompt_tokens", "completion_tokens"),
        *("first_token", "tokens_per_second"),
    ]


def test_usage_counts_each_part_of_a_continued_answer_once(notebook):
    notebook.run(CUT_OFF, "%%qianfan_chat --continue -o whole\n", "%qianfan usage -o table")
    whole, (row,) = notebook.bound("whole", "table")
    assert row["completion_tokens"] == whole.usage.completion_tokens


def test_usage_has_no_rate_of_answers_that_were_not_streamed(notebook):
    notebook.run("%%qianfan_chat --no-stream\nhi", "%qianfan usage -o table")
    assert notebook.bound("table")[0][0]["tokens_per_second"] is None


def test_usage_without_an_answer_is_a_sentence(bare):
    assert bare.run("%qianfan usage") == "Nothing has been answered yet.\n"


# --- lines that fail


def test_wrong_line_fails_cleanly(monkeypatch, notebook, tmp_path):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (tmp_path / "other.json").write_text('{"format": "other"}')
    (tmp_path / "other.ipynb").write_text("[]")
    nothing = "%qianfan save talk.json"
    assert_fails_cleanly(notebook, nothing, "no conversation to save", ParameterError)
    assert not (tmp_path / "talk.json").exists()
    notebook.run("%%qianfan_chat -n tutor\nhi", nothing)
    for line, words in (
        *((f"{command} -n nobody", "'nobody'") for command in ("undo", "history", "reset")),
        ("save talk.json -n nobody", "no conversation 'nobody'"),
        ("load talk.json -n nobody", "has no conversation 'nobody'"),
        ("save nowhere/talk.json", "cannot be written"),
        ("load nowhere.json", "cannot be read: No such file"),
        ("load other.json", "is not loaded"),
        ("restore", "path of this notebook is unknown"),
        ("restore nowhere.ipynb", "cannot be read: No such file"),
        ("restore other.ipynb", "is not a notebook"),
        *((line, "") for line in ("save", "load", "save a b", "restore a b", "usage x")),
        ("usage -o 'a b'", "not the name of a variable"),
    ):
        assert_fails_cleanly(notebook, f"%qianfan {line}", words)


def test_unknown_conversation_fails_with_the_names_of_the_existing_ones(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%qianfan save talk.json")
    error, _ = notebook.fail("%qianfan history -n nobody")
    assert error.hint == "There are: default, tutor."
    error, _ = notebook.fail("%qianfan load talk.json -n nobody")
    assert error.hint == "It has: tutor."

"""A user's own model cards: `%config QianfanMagics.models` and `qianfan.toml`, in a real shell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.notebook import Notebook
from support.requests_seen import JSON, bodies, tried, two_lines, with_keys

from qianfan_magic import ParameterError, SettingsError
from qianfan_magic.api.catalogue.user_cards import FIELDS, FILE, read_cards

CONFIG, TOML = "%config QianfanMagics.models", f"[qianfan.models] in {FILE}"


def configure(notebook: Notebook, **models: Any) -> None:
    notebook.run(f"{CONFIG} = {models!r}")


def write(text: str | bytes) -> None:
    Path(FILE).write_bytes(text.encode() if isinstance(text, str) else text)


def in_toml(**models: Any) -> None:
    """Write the file; JSON's texts, numbers and lists are TOML's too."""
    lines = ["[qianfan.models]"]
    for name, value in models.items():
        fields = value.items() if isinstance(value, dict) else ()
        inner = ", ".join(f"{field} = {json.dumps(one)}" for field, one in fields)
        written = f"{{ {inner} }}" if isinstance(value, dict) else json.dumps(value)
        lines.append(f"{json.dumps(name)} = {written}")
    write("\n".join(lines))


def set_in(place: str, notebook: Notebook, **models: Any) -> None:
    if place == "config":
        configure(notebook, **models)
    else:
        in_toml(**models)


places = pytest.mark.parametrize("place", ["config", "toml"])


def ask(notebook: Notebook, name: str, flags: str = "", text: str = "hi") -> dict[str, Any]:
    """Ask a model of one's own; return the body that was sent."""
    notebook.run(f"%%qianfan_chat -m {name} {flags}\n{text}")
    return bodies(notebook.server)[-1]


# --- who is asked


@places
def test_short_name_of_a_model_is_asked(notebook, place):
    set_in(place, notebook, tutor="ernie-5.1")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


@places
@pytest.mark.parametrize("written", ["Tutor-A", "tutor_a", "TUTOR A"])
def test_short_name_is_found_in_any_spelling(notebook, place, written):
    set_in(place, notebook, **{"tutor-a": "ernie-5.1"})
    assert ask(notebook, f"'{written}'")["model"] == "ernie-5.1"


@places
def test_short_name_may_be_chinese(notebook, place):
    set_in(place, notebook, 老师="ernie-5.1")
    assert ask(notebook, "老师")["model"] == "ernie-5.1"


@places
def test_short_name_of_a_model_without_a_card_is_asked(notebook, place):
    set_in(place, notebook, tutor="brand-new-model")
    assert tried(notebook, "%%qianfan_chat -m tutor --dry-run\nhi")["model"] == "brand-new-model"


@places
@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ("v1", "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions_pro?access_token=***"),
        ("v2", "/v2/chat/completions"),
        ("both", "/v2/chat/completions"),
    ],
)
def test_short_name_is_asked_as_its_model_would_be(monkeypatch, bare, place, keys, path):
    """Both versions have this one."""
    with_keys(monkeypatch, keys)
    set_in(place, bare, tutor="ERNIE-4.0-8K")
    shown = [
        bare.run(f"%%qianfan_chat -m {name} --dry-run\nhi").split(" ")[1]
        for name in ("ERNIE-4.0-8K", "tutor")
    ]
    assert shown == [path, path]


@places
def test_model_is_asked_by_its_name_on_the_wire(notebook, place):
    set_in(place, notebook, tutor={"model": "ERNIE_5.1"})
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


@places
def test_endpoint_is_asked_in_version_1(notebook, place):
    set_in(place, notebook, ours={"endpoint": "a_dolly_12b"})
    ask(notebook, "ours")
    assert notebook.server.seen[-1].path.endswith("/chat/a_dolly_12b")


@places
def test_name_without_a_model_stands_for_itself(notebook, place):
    set_in(place, notebook, **{"ernie-5.1": {"max_characters": 5}})
    assert ask(notebook, "ernie-5.1")["model"] == "ernie-5.1"


@places
def test_conversation_is_said_to_be_with_who_was_asked(notebook, place):
    set_in(place, notebook, tutor="ernie-5.1")
    ask(notebook, "tutor")
    assert notebook.turns()[0].model == "ernie-5.1"


@places
def test_short_name_is_asked_without_a_flag(notebook, place):
    set_in(place, notebook, tutor="ernie-5.1")
    notebook.run("%config QianfanMagics.model = 'tutor'", "%%qianfan_chat\nhi")
    assert bodies(notebook.server)[-1]["model"] == "ernie-5.1"


@places
def test_short_name_of_qianfan_model_is_asked(monkeypatch, bare, place):
    monkeypatch.setenv("QIANFAN_MODEL", "tutor")
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-made/up")
    set_in(place, bare, tutor="ernie-5.1")
    assert tried(bare, "%%qianfan_chat --dry-run\nhi")["model"] == "ernie-5.1"


@places
def test_short_names_can_be_compared(notebook, place):
    set_in(place, notebook, one="ernie-5.1", two={"endpoint": "dolly_12b"})
    shown = notebook.run("%%qianfan_chat --compare model=one,two\nhi")
    assert re.findall(r"^model=\w+$|^\[[\w.-]+ · done", shown, re.MULTILINE) == [
        *("model=one", "[ernie-5.1 · done"),
        *("model=two", "[dolly_12b · done"),
    ]


@places
def test_card_counts_for_its_endpoint(notebook, place):
    set_in(place, notebook, ours={"endpoint": "a_dolly_12b", "max_characters": 5})
    error, _ = notebook.fail("%%qianfan_chat -e a_dolly_12b\nlonger")
    assert "ours takes at most 5" in error.message


# --- each field


@places
def test_max_characters_refuses_a_question(notebook, place):
    set_in(place, notebook, tutor={"model": "ernie-5.1", "max_characters": 5})
    error, shown = notebook.fail("%%qianfan_chat -m tutor\nlonger")
    assert ("tutor takes at most 5" in error.message, shown.splitlines()) == (
        True,
        two_lines(error),
    )


@places
@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_characters": 30}, "tutor takes at most 30 characters"),
        ({"max_tokens": 20}, "tutor takes at most 20 tokens"),
    ],
)
def test_limit_cuts_the_conversation(notebook, place, limit, reason):
    set_in(place, notebook, tutor={"model": "ernie-5.1"} | limit)
    ask(notebook, "tutor")
    shown = notebook.run("%%qianfan_chat -m tutor\nhello again")
    told = f"The oldest turn was not sent: {reason}." in shown
    assert (told, len(bodies(notebook.server)[-1]["messages"])) == (True, 1)


@places
def test_limit_cuts_the_conversation_with_an_endpoint(notebook, place):
    set_in(place, notebook, ours={"endpoint": "a_dolly_12b", "max_characters": 30})
    ask(notebook, "ours")
    assert len(ask(notebook, "ours", text="hello again")["messages"]) == 1


@places
def test_sees_lets_pictures_through(notebook, place):
    set_in(place, notebook, eyes={"model": "brand-new", "sees": True})
    notebook.shell.user_ns["red"] = Image.new("RGB", (12, 8), "red")
    shown = notebook.run("%%qianfan_chat -m eyes -i red --dry-run\nhi")
    assert "data:image/png;base64,***" in shown


@places
@pytest.mark.parametrize("card", [{"model": "ernie-5.0", "sees": False}, {"model": "brand-new"}])
def test_card_that_does_not_see_keeps_pictures_back(notebook, place, card):
    set_in(place, notebook, blind=card)
    notebook.shell.user_ns["red"] = Image.new("RGB", (12, 8), "red")
    error, _ = notebook.fail("%%qianfan_chat -m blind -i red\nhi")
    assert "blind takes no pictures" in error.message


@places
@pytest.mark.parametrize(
    ("thinks", "sent"),
    [
        ("thinking", {"thinking": {"type": "enabled"}}),
        ("enable_thinking", {"enable_thinking": True}),
    ],
)
def test_thinks_says_by_which_field(notebook, place, thinks, sent):
    set_in(place, notebook, tutor={"model": "brand-new", "thinks": thinks})
    body = tried(notebook, "%%qianfan_chat -m tutor --enable-thinking --dry-run\nhi")
    assert {k: v for k, v in body.items() if "thinking" in k} == sent


@places
@pytest.mark.parametrize("can", [True, False])
@pytest.mark.parametrize("model", ["ernie-5.1", "brand-new"])
def test_json_says_whether_to_ask_for_it(notebook, place, can, model):
    set_in(place, notebook, tutor={"model": model, "json": can})
    body = tried(notebook, "%%qianfan_chat -m tutor --format json --dry-run\nhi")
    assert body.get("response_format") == (JSON if can else None)


@places
def test_json_of_an_endpoint_is_asked_for_as_version_1_does(notebook, place):
    set_in(place, notebook, ours={"endpoint": "dolly_12b", "json": True})
    body = tried(notebook, "%%qianfan_chat -m ours --format json --dry-run\nhi")
    assert body["response_format"] == "json_object"


@places
@pytest.mark.parametrize("kind", ["completion", ["completion"], ["chat", "completion"]])
@pytest.mark.parametrize(
    ("card", "path"),
    [
        ({"model": "qwen3-coder-30b-a3b-instruct"}, "/v2/completions"),
        ({"endpoint": "a_starcoder"}, "/completions/a_starcoder"),
    ],
)
def test_kind_completion_completes(notebook, place, kind, card, path):
    set_in(place, notebook, coder=card | {"kind": kind})
    notebook.run("%%qianfan_complete -m coder\nx = 1")
    assert notebook.server.seen[-1].path.endswith(path)


@places
@pytest.mark.parametrize(("kind", "magic"), [("completion", "chat"), ("chat", "complete")])
def test_kind_that_is_not_asked_for_is_refused(notebook, place, kind, magic):
    set_in(place, notebook, tutor={"model": "brand-new", "kind": kind})
    error, shown = notebook.fail(f"%%qianfan_{magic} -m tutor\nhi")
    assert (error.message, shown.splitlines()) == (f"tutor is a {kind} model", two_lines(error))


@places
def test_both_kinds_chat_too(notebook, place):
    set_in(place, notebook, tutor={"model": "ernie-5.1", "kind": ["chat", "completion"]})
    assert ask(notebook, "tutor")["messages"] == [{"role": "user", "content": "hi"}]


@places
def test_card_of_the_package_counts_where_the_table_says_nothing(notebook, place):
    set_in(place, notebook, tutor={"model": "deepseek-v3.2", "max_characters": 500})
    body = ask(notebook, "tutor", "--enable-thinking")
    assert body["thinking"] == {"type": "enabled"}


@places
def test_card_of_version_1_counts_for_an_endpoint_of_that_model(notebook, place):
    set_in(place, notebook, ours={"endpoint": "test1", "model": "Dolly-12B"})
    error, _ = notebook.fail(f"%%qianfan_chat -m ours\n{'x' * 4_801}")
    assert "4,800" in error.message


def test_numbers_of_a_short_name_stand_in_the_table(notebook):
    configure(notebook, tutor={"model": "ernie-5.1", "max_characters": 5_000, "sees": True})
    row = re.search(r"^tutor .*$", notebook.run("%qianfan models"), re.MULTILINE)[0]
    assert row.split() == [
        *("tutor", "chat", "2", "-m", "5,000", "119,000", "think,", "see,", "JSON", "yes"),
    ]


# --- which counts


def test_file_wins_over_the_package(notebook):
    in_toml(**{"ernie-5.1": {"max_characters": 5}})
    error, _ = notebook.fail("%%qianfan_chat -m ernie-5.1\nlonger")
    assert "at most 5" in error.message


def test_config_wins_over_the_file(notebook):
    in_toml(tutor="ernie-5.1")
    configure(notebook, tutor="ernie-5.0")
    assert ask(notebook, "tutor")["model"] == "ernie-5.0"


def test_config_wins_though_the_file_is_written_later(notebook):
    configure(notebook, tutor="ernie-5.0")
    in_toml(tutor="ernie-5.1")
    assert ask(notebook, "tutor")["model"] == "ernie-5.0"


def test_config_leaves_other_names_of_the_file(notebook):
    in_toml(tutor="ernie-5.1")
    configure(notebook, other="ernie-5.0")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


@pytest.mark.parametrize(
    ("file", "config"),
    [("ernie-5.1", {"endpoint": "a_dolly_12b"}), ({"endpoint": "a_dolly_12b"}, "ernie-5.1")],
)
def test_config_wins_over_the_file_in_the_other_version_too(notebook, file, config):
    in_toml(tutor=file)
    configure(notebook, tutor=config)
    notebook.run("%%qianfan_chat -m tutor\nhi")
    is_new = notebook.server.seen[-1].path.startswith("/v2/")
    assert is_new == (config == "ernie-5.1")


@pytest.mark.parametrize("name", ["ERNIE-Speed-128K", "ernie-4.0-8k"])
def test_own_card_wins_over_the_packages_of_the_other_version(notebook, name):
    """One that the package has in version 2 too."""
    configure(notebook, **{name: {"endpoint": "a_dolly_12b"}})
    notebook.run(f"%%qianfan_chat -m {name}\nhi")
    assert notebook.server.seen[-1].path.endswith("/chat/a_dolly_12b")


def test_config_can_be_emptied(notebook):
    configure(notebook, tutor="ernie-5.1")
    configure(notebook)
    assert tried(notebook, "%%qianfan_chat -m tutor --dry-run\nhi")["model"] == "tutor"


def test_file_beside_the_notebook_counts_wherever_its_cells_have_gone(notebook, tmp_path):
    in_toml(tutor="ernie-5.1")
    (tmp_path / "elsewhere").mkdir()
    notebook.run("import os; os.chdir('elsewhere')")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


def test_file_counts_from_the_next_cell(notebook):
    ask(notebook, "ernie-5.1")
    in_toml(tutor="ernie-5.1")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


def test_file_that_is_changed_counts_from_the_next_cell(notebook):
    in_toml(tutor="ernie-5.1")
    ask(notebook, "tutor")
    in_toml(tutor="ernie-5.0")
    assert ask(notebook, "tutor")["model"] == "ernie-5.0"


def test_file_that_is_removed_counts_no_longer(notebook):
    in_toml(tutor="ernie-5.1")
    ask(notebook, "tutor")
    Path(FILE).unlink()
    assert tried(notebook, "%%qianfan_chat -m tutor --dry-run\nhi")["model"] == "tutor"


def test_file_that_is_corrected_counts_from_the_next_cell(notebook):
    write("[qianfan.models\n")
    notebook.fail("%%qianfan_chat -m tutor\nhi")
    in_toml(tutor="ernie-5.1")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


@pytest.mark.parametrize("text", ["", "[qianfan]\n", "[qianfan.models]\n"])
def test_file_without_models_changes_nothing(notebook, text):
    write(text)
    assert ask(notebook, "ernie-5.1")["model"] == "ernie-5.1"


@places
def test_tab_offers_own_names(notebook, place):
    set_in(place, notebook, tutor="ernie-5.1", tutti={"endpoint": "dolly_12b"})
    assert notebook.complete("%%qianfan_chat -m tu") == ["tutor", "tutti"]


def test_tab_does_not_fail_where_the_file_is_wrong(notebook):
    write("[qianfan.models\n")
    assert notebook.complete("%%qianfan_chat --temp") == ["--temperature"]


# --- what is wrong

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"tutor": {"max_caracters": 5}}, "'max_caracters'"),
    "nothing said": ({"tutor": {}}, "neither a name nor a table"),
    "number": ({"tutor": 5}, "neither a name nor a table"),
    "empty model": ({"tutor": ""}, "'' is not the name of a model"),
    "blank name": ({" ": "ernie-5.1"}, "has no name"),
    "model that is none": ({"tutor": {"model": 5}}, "5 is not the name of a model"),
    "endpoint with a path": ({"tutor": {"endpoint": "../x"}}, "'../x'"),
    "endpoint that is none": ({"tutor": {"endpoint": 5}}, "endpoint 5"),
    "unknown kind": ({"tutor": {"kind": "picture"}}, "kind is 'picture'"),
    "no kind": ({"tutor": {"kind": []}}, "kind is []"),
    "one unknown kind": ({"tutor": {"kind": ["chat", "x"]}}, "kind is ['chat', 'x']"),
    "no characters": ({"tutor": {"max_characters": 0}}, "max_characters is 0"),
    "characters in words": ({"tutor": {"max_characters": "5"}}, "max_characters is '5'"),
    "true characters": ({"tutor": {"max_characters": True}}, "max_characters is True"),
    "half a token": ({"tutor": {"max_tokens": 1.5}}, "max_tokens is 1.5"),
    "sees in words": ({"tutor": {"sees": "yes"}}, "sees is 'yes'"),
    "json in words": ({"tutor": {"json": 1}}, "json is 1"),
    "thinks": ({"tutor": {"thinks": "often"}}, "thinks is 'often'"),
    "thinks a list": ({"tutor": {"thinks": ["always"]}}, "thinks is ['always']"),
    "second of two": ({"good": "ernie-5.1", "tutor": {"sees": 1}}, "'tutor': sees is 1"),
}
wrong = pytest.mark.parametrize(("models", "words"), WRONG.values(), ids=WRONG)


@wrong
def test_wrong_card_of_the_file_is_named(notebook, models, words):
    in_toml(**models)
    error, shown = notebook.fail("%%qianfan_chat -m ernie-5.1\nhi")
    assert (type(error), error.message.startswith(f"{TOML}: ")) == (SettingsError, True)
    assert (words in error.message, shown.splitlines()) == (True, two_lines(error))


@wrong
def test_wrong_card_of_config_is_told(notebook, caplog, models, words):
    configure(notebook, **models)  # IPython writes it into the log and lets the cell pass
    assert (CONFIG in caplog.text, words in caplog.text) == (True, True)


@wrong
def test_wrong_card_of_config_changes_nothing(notebook, models, words):
    configure(notebook, tutor="ernie-5.1")
    configure(notebook, **models)
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


@wrong
def test_wrong_card_says_what_to_do(models, words):
    with pytest.raises(ParameterError) as caught:
        read_cards(models, "here")
    assert caught.value.hint


def test_misspelt_field_is_guessed():
    with pytest.raises(ParameterError) as caught:
        read_cards({"tutor": {"max_caracters": 5}}, "here")
    assert caught.value.hint == "Did you mean max_characters?"


def test_fields_are_listed_where_none_is_near():
    with pytest.raises(ParameterError) as caught:
        read_cards({"tutor": {"colour": 5}}, "here")
    assert all(field in caught.value.hint for field in FIELDS)


@pytest.mark.parametrize("value", ["'ernie-5.1'", "['ernie-5.1']", "5", "None", "{5: 'ernie-5.1'}"])
def test_config_that_is_no_table_is_told(notebook, caplog, value):
    notebook.run(f"{CONFIG} = {value}")
    assert (CONFIG in caplog.text, notebook.magics.models) == (True, {})


def folder() -> None:
    Path(FILE).mkdir()


FILES: dict[str, tuple[Any, str]] = {
    "no TOML": ("[qianfan.models\n", "is not TOML"),
    "half a line": ("[qianfan.models]\ntutor =", "is not TOML"),
    "name twice": ("[qianfan.models]\na = 'x'\na = 'y'\n", "is not TOML"),
    "no UTF-8": ("[qianfan.models]\n'é' = 'ernie-5.1'".encode("latin-1"), "not UTF-8"),
    "UTF-16": ("[qianfan.models]\n".encode("utf-16"), "not UTF-8"),
    "folder": (folder, "cannot be read"),
    "qianfan a text": ("qianfan = 'x'\n", "is not a table"),
    "qianfan a number": ("qianfan = 5\n", "is not a table"),
    "qianfan a list": ("qianfan = ['x']\n", "is not a table"),
    "models a text": ("[qianfan]\nmodels = 'ernie-5.1'\n", "is not a table"),
    "models a list": ("[[qianfan.models]]\ntutor = 'ernie-5.1'\n", "is not a table"),
    "nested without end": ("a = " + "[" * 5_000 + "]" * 5_000, "is not TOML"),
    "another table": ("[models]\ntutor = 'ernie-5.1'\n", "unknown table"),
    "misspelt table": ("[qianfan.model]\ntutor = 'ernie-5.1'\n", "has [qianfan.model]"),
    "digits": (f"[qianfan.models.x]\nmax_tokens = {'9' * 5_000}\n", "too long"),
    "date": ("[qianfan.models]\ntutor = 2026-01-01\n", "neither a name nor a table"),
}
files = pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)


def put(content: Any) -> None:
    if callable(content):
        content()
    else:
        write(content)


@files
def test_wrong_file_is_told(notebook, content, words):
    put(content)
    error, shown = notebook.fail("%%qianfan_chat -m ernie-5.1\nhi")
    told = (type(error), FILE in error.message, words in error.message, bool(error.hint))
    assert (told, shown.splitlines()) == ((SettingsError, True, True, True), two_lines(error))


@files
def test_wrong_file_sends_nothing(notebook, content, words):
    put(content)
    notebook.fail("%%qianfan_chat\nhi")
    assert notebook.server.seen == []


@files
@pytest.mark.parametrize("line", ["%qianfan models", "%qianfan", "%qianfan history"])
def test_wrong_file_fails_other_lines_in_two_lines_if_at_all(notebook, content, words, line):
    put(content)
    result = notebook.shell.run_cell(line)
    error = result.error_in_exec
    assert error is None or (type(error), FILE in error.message) == (SettingsError, True)


def test_file_with_a_byte_order_mark_is_read(notebook):
    """Windows' editor writes one."""
    write("\ufeff[qianfan.models]\ntutor = 'ernie-5.1'\n")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


def test_file_of_windows_is_read(notebook):
    write("[qianfan.models]\r\ntutor = 'ernie-5.1'\r\n")
    assert ask(notebook, "tutor")["model"] == "ernie-5.1"


def test_status_of_a_wrong_file_is_told_by_the_line_that_is_wrong(notebook):
    write("[qianfan.models]\ngood = 'ernie-5.1'\ntutor =\n")
    error, _ = notebook.fail("%%qianfan_chat\nhi")
    assert "line 3" in error.message

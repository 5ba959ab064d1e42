"""The user's model cards: `%config QianfanMagics.models` and `qianfan.toml`, in a real shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.notebook import Notebook, assert_fails_cleanly
from support.requests_seen import JSON, bodies, dry_run_body, with_keys

from qianfan_magic import ParameterError, SettingsError
from qianfan_magic.api.catalogue.cards import CHAT, Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.user_cards import FIELDS, read_cards, read_file
from qianfan_magic.api.config.qianfan_toml import FILE
from qianfan_magic.api.types import BOTH

CONFIG, TOML = "%config QianfanMagics.models", f"[qianfan.models] in {FILE}"


def configure(notebook: Notebook, **models: Any) -> None:
    notebook.run(f"{CONFIG} = {models!r}")


def write(text: str | bytes) -> None:
    Path(FILE).write_bytes(text.encode() if isinstance(text, str) else text)


def in_toml(**models: Any) -> None:
    """Write the file; texts, numbers and lists are the same in JSON and TOML."""
    lines = [f"{json.dumps(name)} = {toml(entry)}" for name, entry in models.items()]
    write("\n".join(["[qianfan.models]", *lines]))


def toml(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    return f"{{ {', '.join(f'{field} = {toml(inner)}' for field, inner in value.items())} }}"


def each_place(notebook: Notebook, **models: Any) -> Iterator[str]:
    """Set the models in the configuration alone, then in the file alone; yield the place."""
    Path(FILE).unlink(missing_ok=True)
    configure(notebook, **models)
    yield f"config {models}"
    configure(notebook)
    in_toml(**models)
    yield f"{FILE} {models}"


def ask(notebook: Notebook, name: str, flags: str = "", text: str = "hi") -> dict[str, Any]:
    """Ask a model in a new conversation; return the body that was sent."""
    notebook.run(f"%%qianfan_chat -m {name} {flags}\n{text}")
    return bodies(notebook.server)[-1]


def dry_run(notebook: Notebook, flags: str) -> dict[str, Any]:
    return dry_run_body(notebook, f"%%qianfan_chat {flags} --dry-run\nhi")


# --- cards


def test_card_has_the_fields_of_its_table_and_else_those_of_its_model():
    ernie, dolly = (Catalogue().named(name)[-1] for name in ("ernie-5.1", "Dolly-12B"))
    fields = {"max_characters": 5, "max_tokens": 6, "sees": True, "thinks": "thinking"}
    fields |= {"json": False, "schema": False, "search": True, "prefix": True, "effort": True}
    fields |= {"tools": False, "defaults": {"top_p": 0.5}}
    unknown = Card(name="mine", kinds=CHAT, version=2, model="new", json=True, schema=True)
    published = Card(name="mine", kinds=CHAT, endpoint="ep")
    for entry, expected in (
        ("ernie-5.1", replace(ernie, model="ernie-5.1")),
        ({"model": "ERNIE_5.1", "sees": True}, replace(ernie, model="ernie-5.1", sees=True)),
        ("new", unknown),
        ({"model": "new"} | fields, replace(unknown, **fields)),
        ({"model": "new", "kind": "completion"}, replace(unknown, kinds=("completion",))),
        ({"model": "new", "kind": ["completion", "chat"]}, replace(unknown, kinds=BOTH)),
        ({"endpoint": "ep"}, published),
        ({"endpoint": "ep", "model": "ernie-5.1"}, published),
        ({"endpoint": "ep", "model": "Dolly-12B"}, replace(dolly, endpoint="ep")),
        ({"endpoint": "ep"} | fields, replace(published, **fields)),
    ):
        (card,) = read_cards({"mine": entry}, "here")
        assert card == replace(expected, name="mine", source="yours"), entry


# --- which service is called


def test_short_name_stands_for_its_model(notebook):
    cases = [
        ({"tutor": "ernie-5.1"}, "tutor", "ernie-5.1"),
        ({"tutor-a": "ernie-5.1"}, "Tutor-A", "ernie-5.1"),
        ({"tutor-a": "ernie-5.1"}, "tutor_a", "ernie-5.1"),
        ({"tutor-a": "ernie-5.1"}, "'TUTOR A'", "ernie-5.1"),
        ({"老师": "ernie-5.1"}, "老师", "ernie-5.1"),
        ({"tutor": "brand-new-model"}, "tutor", "brand-new-model"),
        ({"tutor": {"model": "ERNIE_5.1"}}, "tutor", "ernie-5.1"),
        ({"ernie-5.0": {"max_characters": 5}}, "ernie-5.0", "ernie-5.0"),
        ({"tutor": {"model": "ernie-5.1", "kind": ["chat", "completion"]}}, "tutor", "ernie-5.1"),
    ]
    for models, name, model in cases:
        for where in each_place(notebook, **models):
            body = dry_run(notebook, f"-m {name}")
            assert body["model"] == model, where
            assert body["messages"] == [{"role": "user", "content": "hi"}], where


def test_short_name_is_called_at_the_version_that_serves_its_model(monkeypatch, bare):
    """Both versions serve this one."""
    v1 = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/completions_pro?access_token=***"
    v2 = "/v2/chat/completions"
    for keys, path in (("v1", v1), ("v2", v2), ("both", v2)):
        with monkeypatch.context() as patch:
            with_keys(patch, keys)
            for where in each_place(bare, tutor="ERNIE-4.0-8K"):
                for name in ("ERNIE-4.0-8K", "tutor"):
                    shown = bare.run(f"%%qianfan_chat -m {name} --dry-run\nhi")
                    assert shown.split(" ")[1] == path, (keys, where, name)


def test_short_name_has_the_limits_of_both_versions_that_serve_its_model():
    (card,) = read_cards({"tutor": "ERNIE-4.0-8K"}, "here")
    assert (card.version, card.endpoint, card.name) == (2, "completions_pro", "tutor")
    assert card.max_characters == 20_000
    assert card.max_tokens == 5_120


def test_short_name_of_an_endpoint_is_called_in_version_1(notebook):
    for where in each_place(notebook, ours={"endpoint": "a_dolly_12b"}):
        notebook.run("%%qianfan_chat -m ours\nhi")
        assert notebook.server.seen[-1].path.endswith("/chat/a_dolly_12b"), where


def test_turn_names_the_model_that_was_called(notebook):
    for where in each_place(notebook, tutor="ernie-5.1"):
        assert ask(notebook, "tutor")["model"] == "ernie-5.1", where
        assert notebook.turns()[-1].model == "ernie-5.1", where


def test_short_name_may_be_the_default_model(notebook):
    notebook.run("%config QianfanMagics.chat_endpoint = ''")
    for where in each_place(notebook, tutor="ernie-5.1"):
        notebook.run("%config QianfanMagics.model = 'tutor'")
        assert dry_run(notebook, "")["model"] == "ernie-5.1", where
        notebook.run("%config QianfanMagics.model = ''")


def test_short_name_may_be_the_model_of_the_environment(monkeypatch, bare):
    monkeypatch.setenv("QIANFAN_MODEL", "tutor")
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-made/up")
    for where in each_place(bare, tutor="ernie-5.1"):
        assert dry_run(bare, "")["model"] == "ernie-5.1", where


def test_short_names_can_be_compared(notebook):
    for where in each_place(notebook, one="ernie-5.1", two={"endpoint": "dolly_12b"}):
        shown = notebook.run("%%qianfan_chat --compare model=one,two\nhi")
        columns = re.findall(r"^model=\w+$|^\[[\w.-]+ · done", shown, re.MULTILINE)
        one, two = ["model=one", "[ernie-5.1 · done"], ["model=two", "[dolly_12b · done"]
        assert columns == [*one, *two], where


# --- each field


def test_max_characters_refuses_a_longer_question(notebook):
    cases = [
        ({"tutor": {"model": "ernie-5.1", "max_characters": 5}}, "-m tutor", "tutor"),
        ({"ours": {"endpoint": "a_dolly_12b", "max_characters": 5}}, "-m ours", "ours"),
        ({"ours": {"endpoint": "a_dolly_12b", "max_characters": 5}}, "-e a_dolly_12b", "ours"),
        ({"ernie-5.1": {"max_characters": 5}}, "-m ernie-5.1", "ernie-5.1"),
    ]
    for models, flags, name in cases:
        for _ in each_place(notebook, **models):
            cell = f"%%qianfan_chat {flags}\nlonger"
            assert_fails_cleanly(notebook, cell, f"{name} takes at most 5", ParameterError)


def test_limit_omits_the_oldest_turns(notebook):
    cases = [
        ({"model": "ernie-5.1", "max_characters": 30}, "at most 30 characters"),
        ({"model": "ernie-5.1", "max_tokens": 20}, "at most 20 tokens"),
        ({"endpoint": "a_dolly_12b", "max_characters": 30}, "at most 30 characters"),
    ]
    for card, reason in cases:
        for where in each_place(notebook, tutor=card):
            notebook.run("%qianfan reset --all")
            ask(notebook, "tutor")
            shown = notebook.run("%%qianfan_chat -m tutor\nhello again")
            assert f"The oldest turn was not sent: tutor takes {reason}." in shown, where
            assert len(bodies(notebook.server)[-1]["messages"]) == 1, where


def test_sees_decides_whether_pictures_are_sent(notebook):
    notebook.shell.user_ns["red"] = Image.new("RGB", (12, 8), "red")
    for where in each_place(notebook, eyes={"model": "brand-new", "sees": True}):
        shown = notebook.run("%%qianfan_chat -m eyes -i red --dry-run\nhi")
        assert "data:image/png;base64,***" in shown, where
    for card in ({"model": "ernie-5.0", "sees": False}, {"model": "brand-new"}):
        for _ in each_place(notebook, blind=card):
            cell = "%%qianfan_chat -m blind -i red\nhi"
            assert_fails_cleanly(notebook, cell, "blind accepts no pictures", notes=1)


def test_thinks_names_the_field_of_the_request(notebook):
    cases = [
        ("thinking", {"thinking": {"type": "enabled"}}),
        ("enable_thinking", {"enable_thinking": True}),
    ]
    for thinks, fields in cases:
        for where in each_place(notebook, tutor={"model": "brand-new", "thinks": thinks}):
            body = dry_run(notebook, "-m tutor --enable-thinking")
            assert {k: v for k, v in body.items() if "thinking" in k} == fields, where


def test_json_decides_whether_the_format_is_requested(notebook):
    cases = [
        ({"model": "ernie-5.1", "json": True}, JSON),
        ({"model": "ernie-5.1", "json": False}, None),
        ({"model": "brand-new", "json": True}, JSON),
        ({"model": "brand-new", "json": False}, None),
        ({"endpoint": "dolly_12b", "json": True}, "json_object"),
    ]
    for card, response_format in cases:
        for where in each_place(notebook, tutor=card):
            body = dry_run(notebook, "-m tutor --format json")
            assert body.get("response_format") == response_format, where


def test_model_of_kind_completion_completes(notebook):
    cases = [
        ({"model": "qwen3-coder-30b-a3b-instruct"}, "/v2/completions"),
        ({"endpoint": "a_starcoder"}, "/completions/a_starcoder"),
    ]
    for card, path in cases:
        for kind in ("completion", ["completion"], ["chat", "completion"]):
            for where in each_place(notebook, coder=card | {"kind": kind}):
                notebook.run("%%qianfan_complete -m coder\nx = 1")
                assert notebook.server.seen[-1].path.endswith(path), where


def test_model_of_the_other_kind_is_refused(notebook):
    for kind, magic in (("completion", "chat"), ("chat", "complete")):
        for _ in each_place(notebook, tutor={"model": "brand-new", "kind": kind}):
            cell = f"%%qianfan_{magic} -m tutor\nhi"
            assert_fails_cleanly(notebook, cell, f"^tutor is a {kind} model$")


def test_omitted_fields_are_those_of_the_packages_card(notebook):
    card = {"model": "deepseek-v3.2", "max_characters": 500}
    for where in each_place(notebook, tutor=card):
        body = dry_run(notebook, "-m tutor --enable-thinking")
        assert body["thinking"] == {"type": "enabled"}, where
    for _ in each_place(notebook, ours={"endpoint": "test1", "model": "Dolly-12B"}):
        assert_fails_cleanly(notebook, f"%%qianfan_chat -m ours\n{'x' * 4_801}", "4,800")


def test_limits_of_a_short_name_are_in_the_table_of_models(notebook):
    configure(notebook, tutor={"model": "ernie-5.1", "max_characters": 5_000, "sees": True})
    row = re.search(r"^tutor .*$", notebook.run("%qianfan models"), re.MULTILINE)[0]
    abilities = ("think,", "see,", "search,", "JSON")
    assert row.split() == ["tutor", "chat", "5,000", "119,000", *abilities, "yes"]


# --- precedence


def test_configuration_takes_precedence_over_the_file(notebook):
    in_toml(tutor="ernie-5.1", other="ernie-5.1")
    configure(notebook, tutor="ernie-5.0")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.0"
    assert dry_run(notebook, "-m other")["model"] == "ernie-5.1"
    in_toml(tutor="ernie-5.1")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.0"


def test_configuration_takes_precedence_over_a_card_of_the_other_version(notebook):
    model, endpoint = "ernie-5.1", {"endpoint": "a_dolly_12b"}
    for file, config, path in (
        (model, endpoint, "/chat/a_dolly_12b"),
        (endpoint, model, "/v2/chat/completions"),
    ):
        in_toml(tutor=file)
        configure(notebook, tutor=config)
        notebook.run("%%qianfan_chat -m tutor\nhi")
        assert notebook.server.seen[-1].path.endswith(path), config


def test_card_of_the_user_takes_precedence_over_the_packages_of_both_versions(notebook):
    for name in ("ERNIE-Speed-128K", "ernie-4.0-8k"):
        configure(notebook, **{name: {"endpoint": "a_dolly_12b"}})
        notebook.run(f"%%qianfan_chat -m {name}\nhi")
        assert notebook.server.seen[-1].path.endswith("/chat/a_dolly_12b"), name


def test_configuration_can_be_emptied(notebook):
    configure(notebook, tutor="ernie-5.1")
    configure(notebook)
    assert dry_run(notebook, "-m tutor")["model"] == "tutor"


def test_file_is_read_beside_the_notebook_whatever_the_working_directory(notebook, tmp_path):
    in_toml(tutor="ernie-5.1")
    (tmp_path / "elsewhere").mkdir()
    notebook.run("import os; os.chdir('elsewhere')")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.1"


def test_file_is_read_anew_for_each_cell(notebook):
    assert dry_run(notebook, "-m tutor")["model"] == "tutor"
    in_toml(tutor="ernie-5.1")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.1"
    in_toml(tutor="ernie-5.0")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.0"
    write("[qianfan.models\n")
    notebook.fail("%%qianfan_chat -m tutor\nhi")
    in_toml(tutor="ernie-5.1")
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.1"
    Path(FILE).unlink()
    assert dry_run(notebook, "-m tutor")["model"] == "tutor"


def test_tab_offers_short_names(notebook):
    for where in each_place(notebook, tutor="ernie-5.1", tutti={"endpoint": "dolly_12b"}):
        assert notebook.complete("%%qianfan_chat -m tu") == ["tutor", "tutti"], where
    write("[qianfan.models\n")
    assert notebook.complete("%%qianfan_chat --temp") == ["--temperature"]


# --- invalid cards

INVALID: list[tuple[dict[str, Any], str]] = [
    ({"tutor": {"max_caracters": 5}}, "'max_caracters'"),
    ({"tutor": {}}, "neither a name nor a table"),
    ({"tutor": 5}, "neither a name nor a table"),
    ({"tutor": ""}, "'' is not the name of a model"),
    ({" ": "ernie-5.1"}, "has no name"),
    ({"tutor": {"model": 5}}, "5 is not the name of a model"),
    ({"tutor": {"endpoint": "../x"}}, "'../x'"),
    ({"tutor": {"endpoint": 5}}, "endpoint 5"),
    ({"tutor": {"kind": "picture"}}, "kind is 'picture'"),
    ({"tutor": {"kind": []}}, "kind is []"),
    ({"tutor": {"kind": ["chat", "x"]}}, "kind is ['chat', 'x']"),
    ({"tutor": {"max_characters": 0}}, "max_characters is 0"),
    ({"tutor": {"max_characters": "5"}}, "max_characters is '5'"),
    ({"tutor": {"max_characters": True}}, "max_characters is True"),
    ({"tutor": {"max_tokens": 1.5}}, "max_tokens is 1.5"),
    ({"tutor": {"sees": "yes"}}, "sees is 'yes', but must be true or false"),
    ({"tutor": {"json": 1}}, "json is 1"),
    ({"tutor": {"prefix": 1}}, "prefix is 1"),
    ({"tutor": {"effort": "low"}}, "effort is 'low'"),
    ({"tutor": {"schema": 1}}, "schema is 1"),
    ({"tutor": {"search": "web"}}, "search is 'web'"),
    ({"tutor": {"defaults": 1}}, "defaults is 1"),
    ({"tutor": {"defaults": {"temprature": 1}}}, "defaults is {'temprature': 1}"),
    ({"tutor": {"defaults": {"temperature": 3}}}, "defaults is {'temperature': 3}"),
    ({"tutor": {"thinks": "often"}}, "thinks is 'often'"),
    ({"tutor": {"thinks": ["always"]}}, "thinks is ['always']"),
    ({"good": "ernie-5.1", "tutor": {"sees": 1}}, "'tutor': sees is 1"),
]
MENTIONS = "(?s)^{}.*{}"


def test_invalid_card_is_refused_with_its_name_and_field():
    for models, words in INVALID:
        with pytest.raises(ParameterError) as caught:
            pytest.fail(f"{models} was accepted as {read_cards(models, 'here')}")
        name = list(models)[-1]
        assert caught.value.message.startswith(f"here: the model {name!r}"), models
        assert words in caught.value.message, models
        assert caught.value.hint.startswith(("Such as {", "Did you mean ")), models


def test_what_is_no_table_of_models_is_refused():
    for value in (5, "ernie-5.1", ["ernie-5.1"], None):
        with pytest.raises(ParameterError, match=r"^here is not a table of models\nSuch as {"):
            pytest.fail(f"{value} was accepted as {read_cards(value, 'here')}")


def test_error_of_the_file_names_it_and_keeps_the_hint():
    in_toml(**INVALID[-1][0])
    with pytest.raises(SettingsError) as caught:
        read_file(Path())
    assert caught.value.message.startswith(f"{TOML}: the model 'tutor'")
    assert caught.value.hint.startswith("Such as {")


def test_invalid_card_of_the_file_fails_the_cell(notebook):
    for models, words in INVALID[-2:]:
        in_toml(**models)
        message = MENTIONS.format(re.escape(f"{TOML}: "), re.escape(words))
        assert_fails_cleanly(notebook, "%%qianfan_chat -m ernie-5.1\nhi", message, SettingsError)


def test_invalid_card_of_the_configuration_is_logged_and_changes_nothing(notebook, caplog):
    configure(notebook, tutor="ernie-5.1")
    for models, words in INVALID[-2:]:
        caplog.clear()
        configure(notebook, **models)  # IPython logs the error and lets the cell pass
        assert CONFIG in caplog.text, models
        assert words in caplog.text, models
        assert notebook.magics.models == {"tutor": "ernie-5.1"}, models
    assert dry_run(notebook, "-m tutor")["model"] == "ernie-5.1"


def test_hint_on_an_unknown_field_suggests_a_near_one_or_lists_all():
    hints = {"max_caracters": "Did you mean max_characters?", "colour": ", ".join(FIELDS)}
    for field, hint in hints.items():
        with pytest.raises(ParameterError) as caught:
            read_cards({"tutor": {field: 5}}, "here")
        assert hint in caught.value.hint, field


def test_configuration_that_is_no_table_is_logged(notebook, caplog):
    for value in ("'ernie-5.1'", "['ernie-5.1']", "5", "None", "{5: 'ernie-5.1'}"):
        caplog.clear()
        notebook.run(f"{CONFIG} = {value}")
        assert CONFIG in caplog.text, value
        assert notebook.magics.models == {}, value


def test_invalid_file_fails_the_cell(notebook):
    contents: list[tuple[str | bytes, str]] = [
        ("[qianfan.models\n", "is not TOML"),
        ("[qianfan.models]\ntutor =", "is not TOML"),
        ("[qianfan.models]\na = 'x'\na = 'y'\n", "is not TOML"),
        ("[qianfan.models]\ngood = 'ernie-5.1'\ntutor =\n", "line 3"),
        ("[qianfan.models]\n'é' = 'ernie-5.1'".encode("latin-1"), "not UTF-8"),
        ("[qianfan.models]\n".encode("utf-16"), "not UTF-8"),
        ("qianfan = 'x'\n", "is not a table"),
        ("qianfan = 5\n", "is not a table"),
        ("qianfan = ['x']\n", "is not a table"),
        ("[qianfan]\nmodels = 'ernie-5.1'\n", "is not a table"),
        ("[[qianfan.models]]\ntutor = 'ernie-5.1'\n", "is not a table"),
        ("a = " + "[" * 5_000 + "]" * 5_000, "is not TOML"),
        ("[models]\ntutor = 'ernie-5.1'\n", "an unknown table"),
        ("[qianfan.model]\ntutor = 'ernie-5.1'\n", "has [qianfan.model]"),
        (f"[qianfan.models.x]\nmax_tokens = {'9' * 5_000}\n", "too long"),
        (f"[qianfan.models.x]\nmax_tokens = 0x{'f' * 5_000}\n", "too long"),
        (f"[qianfan.models.x]\nkind = [0x{'f' * 5_000}]\n", "too long"),
        ("[qianfan.models]\n'-/-' = 'ernie-5.1'\n", "has no name"),
        ("[qianfan.models]\ntutor = 2026-01-01\n", "neither a name nor a table"),
    ]
    for content, words in contents:
        write(content)
        message = MENTIONS.format(f".*{re.escape(FILE)}", re.escape(words))
        for cell in ("%%qianfan_chat -m ernie-5.1\nhi", "%%qianfan_chat\nhi"):
            assert_fails_cleanly(notebook, cell, message, SettingsError)
        assert_lines_fail_cleanly_if_at_all(notebook, str(content[:80]))


def assert_lines_fail_cleanly_if_at_all(notebook: Notebook, where: str) -> None:
    for line in ("%qianfan models", "%qianfan", "%qianfan history"):
        error = notebook.shell.run_cell(line).error_in_exec
        if error is not None:
            assert type(error) is SettingsError, (where, line)
            assert FILE in error.message, (where, line)


def test_folder_with_the_name_of_the_file_fails_the_cell(notebook):
    Path(FILE).mkdir()
    message = f"{re.escape(FILE)} cannot be read"
    assert_fails_cleanly(notebook, "%%qianfan_chat\nhi", message, SettingsError)
    assert_lines_fail_cleanly_if_at_all(notebook, "folder")


def test_file_that_would_take_long_or_never_end_is_refused():
    """A key of many parts takes tomllib minutes."""
    for text, why in (
        ("#" * 70_000, "File too large"),
        ("a." * 32_000 + "a = 1", "nested too deeply"),
        ("[" + "a." * 32_000 + "a]", "nested too deeply"),
    ):
        write(text)
        with pytest.raises(SettingsError, match=why):
            read_file(Path())
    Path(FILE).unlink()
    Path(FILE).symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match="it is not a file"):
        read_file(Path())


def test_file_of_windows_is_read():
    """Its editor ends lines with CR and LF, and may begin with a byte order mark."""
    for start, end in (("\ufeff", "\n"), ("", "\r\n")):
        write(f"{start}[qianfan.models]{end}tutor = 'ernie-5.1'{end}")
        assert [card.model for card in read_file(Path())] == ["ernie-5.1"], (start, end)


def test_file_without_models_has_no_cards():
    for text in ("", "[qianfan]\n", "[qianfan.models]\n"):
        write(text)
        assert read_file(Path()) == [], text

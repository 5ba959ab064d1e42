"""``%%qianfan_chat`` and ``%%qianfan_complete``: what their flags and settings send."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.notebook import BOTH, GREETING, WALL, Notebook, assert_fails_cleanly, sent

from qianfan_magic import ParameterError, Reply, SettingsError, StreamError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

# --- request and answer


def test_chat_sends_the_cell_as_a_message_and_shows_the_answer(notebook):
    assert GREETING.search(notebook.run("%%qianfan_chat\nhi"))
    assert notebook.bodies == [{"messages": [{"role": "user", "content": "hi"}], "stream": True}]


def test_completion_sends_the_cell_as_a_prompt_and_shows_the_answer(notebook):
    assert "a, b = b, a + b" in notebook.run("%%qianfan_complete\ndef fibonacci(n):")
    assert notebook.bodies == [{"prompt": "def fibonacci(n):", "stream": True}]


def test_cell_is_sent_without_its_outer_line_ends(notebook):
    prompts = {
        "def f(n):\n    return": "def f(n):\n    return",
        "\n    x = 1\n\n": "    x = 1",
        "a {b} %c $d": "a {b} %c $d",
        "计算\n数组": "计算\n数组",
        "!ls\n%time": "!ls\n%time",
    }
    for cell, prompt in prompts.items():
        notebook.run(f"%%qianfan_complete\n{cell}")
        assert notebook.bodies[-1]["prompt"] == prompt, f"{cell!r}"


def test_cell_magic_returns_no_value(notebook):
    assert notebook.shell.run_cell("%%qianfan_chat\nhi").result is None


def test_whole_answer_is_shown_and_bound_like_a_streamed_one(notebook):
    for magic in BOTH:
        shown = []
        for flags in ("-o streamed", "--no-stream --output whole"):
            shown.append(notebook.run(f"%%{magic} {flags}\n{WALL}"))
            notebook.run("%qianfan reset --all")
        streamed, whole = notebook.bound("streamed", "whole")
        assert shown[0] == shown[1], magic
        assert isinstance(streamed, Reply), magic
        assert streamed.text == whole.text, magic
        assert streamed.text.strip("\n") in shown[0], magic


def test_conversation_is_not_sent_with_a_completion(notebook):
    notebook.run("%%qianfan_complete\nx = 1", "%%qianfan_complete\ny = 1")
    assert notebook.bodies[-1]["prompt"] == "y = 1"


# --- flags

FLAGS: dict[str, dict[str, Any]] = {
    "": {},
    "-t 0.5": {"temperature": 0.5},
    "--temperature 1": {"temperature": 1.0},
    "--top-p 0.25": {"top_p": 0.25},
    "--top-k 5": {"top_k": 5},
    "--penalty-score 1.5": {"penalty_score": 1.5},
    "--stop END": {"stop": ["END"]},
    "--stop a --stop 'b c'": {"stop": ["a", "b c"]},
    r"--stop '\n'": {"stop": ["\n"]},
    "--user-id 李": {"user_id": "李"},
    "-t 0.5 --top-k=5": {"temperature": 0.5, "top_k": 5},
}
CHAT_FLAGS: dict[str, dict[str, Any]] = {
    "--max-tokens 5": {"max_output_tokens": 5},
    "-s 'Be brief.'": {"system": "Be brief."},
}


def test_flags_are_sent_as_parameters_and_nothing_else_is(notebook):
    cases = [(magic, *case) for magic in BOTH for case in FLAGS.items()]
    cases += [("qianfan_chat", *case) for case in CHAT_FLAGS.items()]
    for magic, flags, parameters in cases:
        notebook.run(f"%%{magic} {flags}\nhi")
        assert sent(notebook) == parameters | {"stream": True}, f"%%{magic} {flags}"


def test_no_stream_requests_a_whole_answer(notebook):
    for magic in BOTH:
        notebook.run(f"%%{magic} --no-stream\nhi")
        assert sent(notebook) == {}, magic


def test_flag_chooses_the_endpoint_or_model(notebook):
    # The embedded server has no ERNIE-Speed, so these cells fail.
    for flag, endpoint in {
        "-e ngx_dolly_12b": "ngx_dolly_12b",
        "--endpoint=ngx_dolly_12b": "ngx_dolly_12b",
        "-m ERNIE-Speed": "ernie_speed",
        "--model ernie_speed": "ernie_speed",
    }.items():
        notebook.shell.run_cell(f"%%qianfan_chat {flag}\nhi")
        assert notebook.server.seen[-1].path.endswith(f"/chat/{endpoint}"), flag


def test_fill_interpolates_variables(notebook):
    notebook.run("who = '李'", "%%qianfan_chat --fill\nhello {who}")
    assert notebook.bodies[0]["messages"][0]["content"] == "hello 李"


def test_braces_and_dollars_in_the_line_arrive_as_written(notebook):
    """IPython would replace {name} and $name by the variable, even without --fill."""
    notebook.run("name = 5")
    for text in ("{", "{name}", "$name", "{name}$name"):
        for flags in ("", "--fill"):
            for magic in BOTH:
                notebook.run(f"%%{magic} {flags} --stop {text} --user-id '{text}'\nhi")
                where = f"%%{magic} {flags} --stop {text}"
                assert (sent(notebook)["stop"], sent(notebook)["user_id"]) == ([text], text), where


def test_timeout_ends_a_stream_that_falls_silent(own, bare):
    own.fail(Fault(end="silence", after=2))
    error, _ = bare.fail("%%qianfan_chat --timeout 0.2\nhi")
    assert isinstance(error, StreamError)
    assert error.partial


def test_help_of_a_cell_magic_lists_its_flags_and_sends_nothing(notebook):
    for magic in BOTH:
        for cell in ("-h", "--help", "-h\n", "-t 0.5 -h\nhi"):
            shown = notebook.run(f"%%{magic} {cell}")
            assert shown.startswith(f"%%{magic} [flags]\n"), f"%%{magic} {cell!r}"
    shown = notebook.run("%%qianfan_chat -h")
    for flag in ("--temperature", "--stop", "--max-tokens", "--fill", "--dry-run", "--system"):
        assert re.search(rf"^(-\w, )?{flag}\b", shown, re.MULTILINE), flag
    everyday, more = shown.split("\nMore\n")
    assert "--temperature" in everyday
    assert "--retries" in more
    assert notebook.server.seen == []


# --- precedence: a flag over %config, %config over the environment and .env


def test_environment_leads_to_the_service(own, bare):
    bare.run("%%qianfan_chat\nhi")
    assert own.seen[-1].path.endswith("/chat/dolly_12b")


def test_dot_env_is_read_again_by_each_cell(bare):
    cell = "%%qianfan_chat -e x_dolly_12b\nhi"
    assert_fails_cleanly(bare, cell, "no credentials", SettingsError)
    with EmbeddedServer() as server:
        lines = [f"{name}={value}" for name, value in server.environment().items()]
        (bare.folder / ".env").write_text("\n".join(lines), encoding="utf-8")
        assert GREETING.search(bare.run(cell))
        assert server.seen[-1].path.endswith("/chat/x_dolly_12b")


def test_corrected_setting_applies_to_the_next_cell(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_LIVE", "maybe")
    error, _ = bare.fail("%%qianfan_chat\nhi")
    assert isinstance(error, SettingsError)
    monkeypatch.setenv("QIANFAN_LIVE", "auto")
    assert GREETING.search(bare.run("%%qianfan_chat\nhi"))


def test_parameter_of_a_flag_takes_precedence_over_config(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.25", "%%qianfan_chat\nhi")
    assert sent(notebook)["temperature"] == 0.25
    notebook.run("%%qianfan_chat -t 0.5\nhi")
    assert sent(notebook)["temperature"] == 0.5
    notebook.run("%config QianfanMagics.temperature = None", "%%qianfan_chat\nhi")
    assert "temperature" not in sent(notebook)


def test_config_of_a_chat_parameter_does_not_apply_to_completions(notebook):
    """Completions have no ``max_tokens``, and one setting serves both magics."""
    notebook.run("%config QianfanMagics.max_tokens = 50", "%%qianfan_complete\nhi")
    assert sent(notebook) == {"stream": True}


def test_endpoint_of_a_flag_takes_precedence_over_config_and_settings(notebook):
    for magic, setting, name in (
        ("qianfan_chat", "chat_endpoint", "dolly_12b"),
        ("qianfan_complete", "complete_endpoint", "starcoder"),
    ):
        notebook.run(f"%%{magic}\nhi")
        notebook.run(f"%config QianfanMagics.{setting} = 'b_{name}'", f"%%{magic}\nhi")
        notebook.run(f"%%{magic} -e c_{name}\nhi")
        paths = [seen.path.rpartition("/")[2] for seen in notebook.server.seen[-3:]]
        assert paths == [name, f"b_{name}", f"c_{name}"], magic


def test_model_of_a_flag_takes_precedence_over_the_endpoint_of_config(notebook):
    notebook.run("%config QianfanMagics.chat_endpoint = 'dolly_12b'")
    notebook.fail("%%qianfan_chat -m ERNIE-Speed\nhi")
    assert notebook.server.seen[-1].path.endswith("/ernie_speed")


def test_chat_model_of_config_applies_to_chats_without_a_flag(own, bare):
    for model, path, status in (
        ("ERNIE-Speed", "/chat/ernie_speed", r"(ernie_speed|ERNIE-Speed)\b"),
        ("ernie-5.1", "/v2/chat/completions", r"ernie-5.1 \(version 2\)"),
    ):
        bare.run(f"%config QianfanMagics.model = {model!r}")
        bare.shell.run_cell("%%qianfan_chat\nhi")  # the embedded server has no ERNIE-Speed
        assert own.seen[-1].path.endswith(path), model
        assert re.search(f"Chat: +{status}", bare.run("%qianfan")), model
        bare.run("%%qianfan_complete\nhi")
        assert own.seen[-1].path.endswith("/completions/starcoder"), model
        bare.run("%%qianfan_chat -e a_dolly_12b\nhi")
        assert own.seen[-1].path.endswith("/chat/a_dolly_12b"), model


def test_retries_is_the_number_of_attempts(own, bare):
    own.fail(*[Fault(error_code=336100)] * 7)  # the service is busy
    bare.fail("%%qianfan_chat --retries 2\nhi")
    bare.run("%config QianfanMagics.retries = 4")
    bare.fail("%%qianfan_chat\nhi")
    assert [seen.path.rsplit("/", 1)[1] for seen in own.seen[1:]] == ["dolly_12b"] * 6
    bare.fail("%%qianfan_chat --retries 1\nhi")
    assert len(own.seen[1:]) == 7
    own.fail(*[Fault(error_code=336100)] * 3)
    assert GREETING.search(bare.run("%%qianfan_chat\nhi"))


def test_config_out_of_range_is_refused_with_a_message(bare, caplog):
    """IPython logs the error of a wrong value, and the cell succeeds."""
    for setting in (
        *("temperature = 3", "top_k = 0", "stop = 'END'", "timeout = -1", "format = 'nonsense'"),
        *("enable_thinking = 'yes'", "thinking_budget = 5", "seed = 0"),
        *("max_turns = -1", "max_turns = 'two'", "max_turns = 1.5", "max_turns = [2]"),
    ):
        caplog.clear()
        name = setting.split()[0]
        before = getattr(bare.magics, name)
        bare.run(f"%config QianfanMagics.{setting}")
        assert getattr(bare.magics, name) == before, setting
        assert name in caplog.text, setting


def test_config_of_a_profile_applies(shell, capsys):
    shell.config.QianfanMagics.temperature = 0.25
    shell.run_line_magic("load_ext", "qianfan_magic")
    notebook = Notebook(shell, capsys)
    notebook.run("%qianfan demo", "%%qianfan_chat -e dolly_12b\nhi")
    assert sent(notebook)["temperature"] == 0.25


def test_config_lists_each_setting_once(bare):
    listed = re.findall(r"^QianfanMagics\.(\w+)=", bare.run("%config QianfanMagics"), re.MULTILINE)
    assert listed == sorted(set(listed))
    assert set(listed) >= {
        *("temperature", "top_p", "top_k", "penalty_score", "stop", "max_tokens", "user_id"),
        *("timeout", "retries", "chat_endpoint", "complete_endpoint", "model", "format"),
        "complete_model",
    }


# --- --dry-run; that it shows what is sent, byte for byte, is tested in test_request.py


def test_dry_run_shows_the_conversation_and_changes_nothing(notebook):
    notebook.run("%%qianfan_chat -o reply\nhi")
    shown = notebook.run("%%qianfan_chat --dry-run -s 'Be brief.'\nHow are you?")
    body = json.loads(shown[shown.index("{") :])
    contents = [message["content"] for message in body["messages"]]
    assert contents == ["hi", notebook.bound("reply")[0].text, "How are you?"]
    assert body["system"] == "Be brief."
    assert len(notebook.bodies) == 1
    assert notebook.questions() == ["hi"]
    notebook.run("%%qianfan_chat\nagain")
    assert "system" not in sent(notebook)


# --- errors: the cell fails, in two lines

WRONG = {
    "%%qianfan_chat": "is empty",
    "%%qianfan_complete -t 0.5": "is empty",
    "%%qianfan_chat\n  \n": "is empty",
    "%%qianfan_chat --nonsense\nhi": "--nonsense",
    "%%qianfan_complete -s x\nhi": "-s",
    "%%qianfan_chat -t\nhi": "-t/--temperature needs a value",
    "%%qianfan_chat --to 1\nhi": "--to may stand for --top-p, --top-k",
    "%%qianfan_chat --format pdf\nhi": "pdf",
    "%%qianfan_chat hello\nhi": "hello",
    "%%qianfan_chat -t 3\nhi": r"temperature is .*\(0, 1\]",
    "%%qianfan_chat --dry-run -t 3\nhi": "temperature",
    "%%qianfan_chat -t 0\nhi": "temperature",
    "%%qianfan_chat --top-k many\nhi": "top_k is 'many'",
    "%%qianfan_chat" + " --stop x" * 5 + "\nhi": "stop",
    f"%%qianfan_chat --stop {'x' * 21}\nhi": "stop",
    "%%qianfan_chat --timeout -1\nhi": "timeout",
    "%%qianfan_chat --retries 0\nhi": "retries",
    "%%qianfan_complete --max-tokens 5\nhi": "max_tokens",
    "%%qianfan_chat -s 'open\nhi": "a quote in its line is not closed",
    "%%qianfan_chat -o my-reply\nhi": "my-reply",
    "%%qianfan_chat -o class\nhi": "class",
    "%%qianfan_chat -o a.b\nhi": "a.b",
    "%%qianfan_chat -e ../x\nhi": "endpoint",
    "%%qianfan_chat -n ''\nhi": "-n needs a name",
    "%%qianfan_chat -n ' '\nhi": "-n needs a name",
    "%%qianfan_chat -m StarCoder\nhi": "completion model",
    "%%qianfan_chat -m Dolly-12B\nhi": "no preset address",
    "%%qianfan_chat --fill\n{nobody}": "no variable nobody",
    "%%qianfan_chat --fill\n{half}": "half of a character",
    f"%%qianfan_chat\n{'x' * 4_801}": "4,801 characters",
    # The model gives the limits of the endpoint.
    f"%%qianfan_chat -e test1 -m Dolly-12B\n{'x' * 4_801}": "4,800",
}


def test_wrong_cell_fails_cleanly(notebook):
    notebook.shell.user_ns["half"] = "\ud83d"  # a lone surrogate
    notebook.run("%%qianfan_chat\nhi")
    for cell, words in WRONG.items():
        assert_fails_cleanly(notebook, cell, words, ParameterError)


#: Cells with a typo, and what the hint suggests.
TYPOS = {
    "%qianfan modls": "models",
    "%qianfan history --conversaton x": "--conversation",
    "%qianfan params temprature=1": "temperature",
    "%%qianfan_chat --temprature 0.3\nhi": "--temperature",
    "%%qianfan_chat --no-strem\nhi": "--no-stream",
    "%%qianfan_chat --format markdwn\nhi": "markdown",
    "%%qianfan_chat --compare temprature=0.1,0.9\nhi": "temperature",
}


def test_typo_is_answered_with_the_nearest_name(notebook):
    notebook.run("%%qianfan_chat\nhi")
    for cell, name in TYPOS.items():
        assert_fails_cleanly(notebook, cell, "", ParameterError)
        error, _ = notebook.fail(cell)
        assert error.hint.startswith(f"Did you mean {name}?"), cell


def test_line_below_an_answer_names_every_parameter_that_is_set(notebook):
    notebook.run("%config QianfanMagics.penalty_score = 1.5", "%qianfan params top_k=5")
    shown = notebook.run("%%qianfan_chat -t 0.3 --stop END\nhi")
    assert shown.splitlines()[-1].endswith(
        " · temperature=0.3, top_k=5, penalty_score=1.5, stop=['END']]"
    )


def test_error_of_a_cell_magic_reaches_its_caller(notebook):
    with pytest.raises(ParameterError):
        notebook.shell.run_cell_magic("qianfan_chat", "-t 3", "hi")

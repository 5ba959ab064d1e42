"""The magics in a real IPython shell, asking the embedded server over HTTP."""

from __future__ import annotations

import gc
import json
import re
import signal
import sys
import threading
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support.notebook import BOTH, LONG, WALL, Notebook, sent
from support.waiting import until

from qianfan_magic import (
    APIError,
    ParameterError,
    Reply,
    SettingsError,
    StreamError,
    TransportError,
)
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

# --- asking


def test_chat_shows_the_answer(notebook):
    assert re.search(r"Hello!|Hi there!", notebook.run("%%qianfan_chat\nhi"))


def test_completion_shows_the_answer(notebook):
    assert "a, b = b, a + b" in notebook.run("%%qianfan_complete\ndef fibonacci(n):")


def test_chat_sends_the_cell_as_a_message(notebook):
    notebook.run("%%qianfan_chat\nhi")
    assert notebook.bodies == [{"messages": [{"role": "user", "content": "hi"}], "stream": True}]


def test_completion_sends_the_cell_as_a_prompt(notebook):
    notebook.run("%%qianfan_complete\ndef f(n):")
    assert notebook.bodies == [{"prompt": "def f(n):", "stream": True}]


@pytest.mark.parametrize(
    ("cell", "prompt"),
    [
        ("def f(n):\n    return", "def f(n):\n    return"),
        ("\n    x = 1\n\n", "    x = 1"),
        ("a {b} %c $d", "a {b} %c $d"),
        ("计算\n数组", "计算\n数组"),
        ("!ls\n%time", "!ls\n%time"),
    ],
)
def test_cell_is_sent_but_for_its_outer_line_ends(notebook, cell, prompt):
    notebook.run(f"%%qianfan_complete\n{cell}")
    assert notebook.bodies[0]["prompt"] == prompt


def test_answer_is_no_output_of_the_cell(notebook):
    assert notebook.shell.run_cell("%%qianfan_chat\nhi").result is None


def test_demo_says_that_no_key_is_needed(bare):
    assert "no key is needed" in bare.run("%qianfan demo")


def test_demo_takes_a_seed(bare):
    bare.run("%qianfan demo --seed 3")
    assert bare.server.seed == 3


def test_demo_works_beside_keys_that_are_wrong(monkeypatch, bare):
    monkeypatch.setenv("QIANFAN_AK", "alone")
    bare.run("%qianfan demo")
    assert re.search(r"Hello!|Hi there!", bare.run("%%qianfan_chat\nhi"))


def test_second_demo_ends_the_first(notebook):
    first = notebook.server
    notebook.run("%qianfan demo")
    assert not first._thread.is_alive()


def test_conversation_goes_on_after_a_second_demo(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan demo", "%%qianfan_chat\nhi")
    assert len(notebook.bodies[-1]["messages"]) == 3


def test_environment_leads_to_the_service(own, bare):
    bare.run("%%qianfan_chat\nhi")
    assert own.seen[-1].path.endswith("/chat/dolly_12b")


def test_dot_env_leads_to_the_service(bare, tmp_path):
    with EmbeddedServer() as server:
        lines = [f"{name}={value}" for name, value in server.environment().items()]
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
        bare.run("%%qianfan_chat -e x_dolly_12b\nhi")
        assert server.seen[-1].path.endswith("/chat/x_dolly_12b")


# --- each flag reaches the wire

FLAGS = {
    "-t 0.5": {"temperature": 0.5},
    "--temperature 1": {"temperature": 1.0},
    "--top-p 0.25": {"top_p": 0.25},
    "--top-k 5": {"top_k": 5},
    "--penalty-score 1.5": {"penalty_score": 1.5},
    "--stop END": {"stop": ["END"]},
    "--stop a --stop 'b c'": {"stop": ["a", "b c"]},
    "--user-id 李": {"user_id": "李"},
    "-t 0.5 --top-k=5": {"temperature": 0.5, "top_k": 5},
}


@pytest.mark.parametrize("magic", BOTH)
@pytest.mark.parametrize(("flags", "parameters"), FLAGS.items())
def test_flag_reaches_the_wire(notebook, magic, flags, parameters):
    notebook.run(f"%%{magic} {flags}\nhi")
    assert sent(notebook) == parameters | {"stream": True}


@pytest.mark.parametrize(
    ("flags", "parameters"),
    [("--max-tokens 5", {"max_output_tokens": 5}), ("-s 'Be brief.'", {"system": "Be brief."})],
)
def test_flag_of_chats_reaches_the_wire(notebook, flags, parameters):
    notebook.run(f"%%qianfan_chat {flags}\nhi")
    assert sent(notebook) == parameters | {"stream": True}


@pytest.mark.parametrize("magic", BOTH)
def test_nothing_is_sent_that_was_not_asked_for(notebook, magic):
    notebook.run(f"%%{magic}\nhi")
    assert sent(notebook) == {"stream": True}


@pytest.mark.parametrize("magic", BOTH)
def test_no_stream_asks_for_a_whole_answer(notebook, magic):
    notebook.run(f"%%{magic} --no-stream\nhi")
    assert sent(notebook) == {}


@pytest.mark.parametrize("magic", BOTH)
def test_whole_answer_is_shown_like_a_stream(notebook, magic):
    streamed = notebook.run(f"%%{magic}\n{WALL}", "%qianfan reset --all", f"%%{magic}\n{WALL}")
    notebook.run("%qianfan reset --all")
    assert notebook.run(f"%%{magic} --no-stream\n{WALL}") == streamed


@pytest.mark.parametrize("flag", ["-e ngx_dolly_12b", "--endpoint=ngx_dolly_12b"])
def test_endpoint_is_asked(notebook, flag):
    notebook.run(f"%%qianfan_chat {flag}\nhi")
    assert notebook.server.seen[-1].path.endswith("/chat/ngx_dolly_12b")


@pytest.mark.parametrize("flag", ["-m ERNIE-Speed", "--model ernie_speed"])
def test_model_leads_to_its_address(notebook, flag):
    notebook.fail(f"%%qianfan_chat {flag}\nhi")  # it is none of the embedded server's
    assert notebook.server.seen[-1].path.endswith("/chat/ernie_speed")


def test_model_with_an_endpoint_gives_its_limits(notebook):
    error, _ = notebook.fail(f"%%qianfan_chat -e test1 -m Dolly-12B\n{'x' * 4_801}")
    assert "4,800" in str(error)


@pytest.mark.parametrize("magic", BOTH)
def test_output_binds_the_reply(notebook, magic):
    notebook.run(f"%%{magic} -o reply --no-stream\nhi")
    assert isinstance(notebook.shell.user_ns["reply"], Reply)


def test_reply_holds_what_was_shown(notebook):
    shown = notebook.run("%%qianfan_complete --output reply\ndef is_prime(n):")
    assert shown.strip("\n") == notebook.shell.user_ns["reply"].text.strip("\n")


def test_fill_puts_variables_in(notebook):
    notebook.run("who = '李'", "%%qianfan_chat --fill\nhello {who}")
    assert notebook.bodies[0]["messages"][0]["content"] == "hello 李"


def test_unknown_variable_is_not_sent(notebook):
    notebook.fail("%%qianfan_chat --fill\nhello {nobody}")
    assert notebook.bodies == []


# --- --timeout and --retries


def test_retries_is_the_number_of_attempts(own, bare):
    own.fail(*[Fault(error_code=336100)] * 5)
    bare.fail("%%qianfan_chat --retries 2\nhi")
    assert [seen.path.rsplit("/", 1)[1] for seen in own.seen[1:]] == ["dolly_12b"] * 2


def test_last_attempt_may_succeed(own, bare):
    own.fail(Fault(error_code=336100), Fault(status=503))
    assert re.search(r"Hello!|Hi there!", bare.run("%%qianfan_chat --retries 3\nhi"))


def test_timeout_gives_up_a_silent_server(own, bare):
    own.fail(Fault(end="silence"))
    error, _ = bare.fail("%%qianfan_chat --timeout 0.2 --retries 1\nhi")
    assert isinstance(error, StreamError | TransportError)


def test_timeout_gives_up_a_stream_that_falls_silent(own, bare):
    own.fail(Fault(end="silence", after=2))
    error, _ = bare.fail("%%qianfan_chat --timeout 0.2\nhi")
    assert (type(error), bool(error.partial)) == (StreamError, True)


# --- precedence: flag, then %config, then settings


def test_config_counts_where_no_flag_is_given(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.25", "%%qianfan_chat\nhi")
    assert sent(notebook)["temperature"] == 0.25


def test_flag_wins_over_config(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.25", "%%qianfan_chat -t 0.5\nhi")
    assert sent(notebook)["temperature"] == 0.5


def test_config_can_be_unset(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.25")
    notebook.run("%config QianfanMagics.temperature = None", "%%qianfan_chat\nhi")
    assert "temperature" not in sent(notebook)


def test_config_of_chats_spares_completions(notebook):
    """Completions know no max_tokens, and one setting serves both magics."""
    notebook.run("%config QianfanMagics.max_tokens = 50", "%%qianfan_complete\nhi")
    assert sent(notebook) == {"stream": True}


SERVICES = [("qianfan_chat", "chat_endpoint", "dolly_12b")]
SERVICES += [("qianfan_complete", "complete_endpoint", "starcoder")]


@pytest.mark.parametrize(("magic", "setting", "name"), SERVICES)
def test_endpoint_of_config_wins_over_settings(notebook, magic, setting, name):
    notebook.run(f"%config QianfanMagics.{setting} = 'b_{name}'", f"%%{magic}\nhi")
    assert notebook.server.seen[-1].path.endswith(f"/b_{name}")


@pytest.mark.parametrize(("magic", "setting", "name"), SERVICES)
def test_endpoint_of_a_flag_wins_over_config(notebook, magic, setting, name):
    notebook.run(f"%config QianfanMagics.{setting} = 'b_{name}'", f"%%{magic} -e c_{name}\nhi")
    assert notebook.server.seen[-1].path.endswith(f"/c_{name}")


@pytest.mark.parametrize(("magic", "setting", "name"), SERVICES)
def test_endpoint_of_settings_counts_last(notebook, magic, setting, name):
    notebook.run(f"%%{magic}\nhi")
    assert notebook.server.seen[-1].path.endswith(f"/{name}")


def test_model_of_a_flag_wins_over_the_endpoint_of_config(notebook):
    notebook.run("%config QianfanMagics.chat_endpoint = 'dolly_12b'")
    notebook.fail("%%qianfan_chat -m ERNIE-Speed\nhi")
    assert notebook.server.seen[-1].path.endswith("/ernie_speed")


def test_model_of_config_is_asked(bare, own):
    bare.run("%config QianfanMagics.model = 'ERNIE-Speed'")
    bare.fail("%%qianfan_chat\nhi")
    assert own.seen[-1].path.endswith("/ernie_speed")


def test_chat_model_of_config_spares_completions(notebook):
    notebook.run("%config QianfanMagics.model = 'ERNIE-Speed'", "%%qianfan_complete\nhi")
    assert notebook.server.seen[-1].path.endswith("/starcoder")


def test_status_names_the_model_that_config_would_ask(notebook):
    notebook.run("%config QianfanMagics.model = 'ERNIE-Speed'")
    assert re.search(r"Chat: +(ernie_speed|ERNIE-Speed)\b", notebook.run("%qianfan"))


def test_retries_of_config_count(own, bare):
    own.fail(*[Fault(error_code=336100)] * 5)
    bare.run("%config QianfanMagics.retries = 4")
    bare.fail("%%qianfan_chat\nhi")
    assert len(own.seen[1:]) == 4


def test_retries_of_a_flag_win_over_config(own, bare):
    own.fail(*[Fault(error_code=336100)] * 5)
    bare.run("%config QianfanMagics.retries = 4")
    bare.fail("%%qianfan_chat --retries 1\nhi")
    assert len(own.seen[1:]) == 1


# IPython's %config writes the error of a wrong value into the log and lets the cell pass.
out_of_range = pytest.mark.parametrize(
    "setting",
    ["temperature = 3", "top_k = 0", "stop = 'END'", "timeout = -1", "format = 'nonsense'"],
)


@out_of_range
def test_config_out_of_range_is_refused(bare, setting):
    name = setting.split()[0]
    before = getattr(bare.magics, name)
    bare.run(f"%config QianfanMagics.{setting}")
    assert getattr(bare.magics, name) == before


@out_of_range
def test_config_out_of_range_is_said(bare, caplog, setting):
    bare.run(f"%config QianfanMagics.{setting}")
    assert setting.split()[0] in caplog.text


def test_config_of_a_profile_counts(shell, capsys):
    shell.config.QianfanMagics.temperature = 0.25
    shell.run_line_magic("load_ext", "qianfan_magic")
    notebook = Notebook(shell, capsys)
    notebook.run("%qianfan demo", "%%qianfan_chat\nhi")
    assert sent(notebook)["temperature"] == 0.25


def test_config_lists_each_setting_once(bare):
    listed = re.findall(r"^QianfanMagics\.(\w+)=", bare.run("%config QianfanMagics"), re.MULTILINE)
    assert listed == sorted(set(listed))


SETTINGS = ["temperature", "top_p", "top_k", "penalty_score", "stop", "max_tokens", "user_id"]
SETTINGS += ["timeout", "retries", "chat_endpoint", "complete_endpoint", "model", "format"]


@pytest.mark.parametrize("name", SETTINGS)
def test_config_lists_the_setting(bare, name):
    assert f"QianfanMagics.{name}=" in bare.run("%config QianfanMagics")


# --- --dry-run


@pytest.mark.parametrize("magic", BOTH)
def test_dry_run_sends_nothing(notebook, magic):
    notebook.run(f"%%{magic} --dry-run\nhi")
    assert notebook.server.seen == []


def test_dry_run_shows_the_address(notebook):
    shown = notebook.run("%%qianfan_chat --dry-run -e a_dolly_12b\nhi")
    assert "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/a_dolly_12b" in shown


@pytest.mark.parametrize("flags", ["", "-t 0.5 --stop END", "--no-stream", "-s 'Be brief.'"])
def test_dry_run_shows_the_body_that_would_be_sent(notebook, flags):
    shown = notebook.run(f"%%qianfan_chat --dry-run {flags}\n你好")
    notebook.run(f"%%qianfan_chat {flags}\n你好")
    assert json.loads(shown[shown.index("{") :]) == notebook.bodies[0]


def test_dry_run_shows_the_conversation(notebook):
    notebook.run("%%qianfan_chat\nhi")
    assert "stays here" in notebook.run("%%qianfan_chat --dry-run\nstays here")


def test_dry_run_keeps_nothing(notebook):
    notebook.run("%%qianfan_chat --dry-run -s 'Be brief.'\nhi", "%%qianfan_chat\nhi")
    assert (len(notebook.turns()), "system" in notebook.bodies[0]) == (1, False)


def test_dry_run_shows_no_key(own, bare):
    keys = own.authenticator.keys
    bare.run("%%qianfan_chat\nhi")
    shown = bare.run("%%qianfan_chat --dry-run\nhi")
    assert [
        secret for secret in (keys.ak, keys.sk, *own.authenticator.tokens) if secret in shown
    ] == []


def test_dry_run_of_a_signed_request_shows_no_key(monkeypatch, bare):
    keys = {"QIANFAN_ACCESS_KEY": "ALTAKsecret0", "QIANFAN_SECRET_KEY": "deep0secret"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    shown = bare.run("%%qianfan_chat --dry-run -e test1\nhi")
    assert [value for value in keys.values() if value in shown] == []


def test_dry_run_checks_the_request(notebook):
    error, _ = notebook.fail("%%qianfan_chat --dry-run -t 3\nhi")
    assert isinstance(error, ParameterError)


# --- conversations


def test_next_question_takes_what_was_said_along(notebook):
    notebook.run(f"%%qianfan_chat -o reply\n{WALL}", "%%qianfan_chat\nHow long is it?")
    answer = notebook.shell.user_ns["reply"].text
    contents = [message["content"] for message in notebook.bodies[-1]["messages"]]
    assert contents == [WALL, answer, "How long is it?"]


def test_completions_are_no_conversation(notebook):
    notebook.run("%%qianfan_complete\nx = 1", "%%qianfan_complete\ny = 1")
    assert notebook.bodies[-1]["prompt"] == "y = 1"


def test_name_keeps_conversations_apart(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi")
    assert len(notebook.bodies[-1]["messages"]) == 1


def test_name_goes_on_with_its_conversation(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi")
    assert len(notebook.bodies[-1]["messages"]) == 3


def test_name_may_be_quoted(notebook):
    notebook.run("%%qianfan_chat -n 'my tutor'\nhi")
    assert "Conversation my tutor: 1 turn" in notebook.run("%qianfan history -n 'my tutor'")


@pytest.mark.parametrize("flags", ["--dry-run", "-t 3", "-e nothing"])
def test_cell_that_asks_nothing_begins_no_conversation(notebook, flags):
    notebook.shell.run_cell(f"%%qianfan_chat -n typo {flags}\nhi")
    assert "typo" not in notebook.conversation_names()


@pytest.mark.parametrize("line", ["%qianfan history", "%qianfan reset"])
def test_looking_at_nothing_begins_no_conversation(notebook, line):
    assert "Conversations" not in notebook.run(line, "%qianfan")


def test_system_is_kept_for_the_conversation(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat\nhi")
    assert sent(notebook)["system"] == "Be brief."


def test_system_is_of_its_conversation_only(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat -n other\nhi")
    assert "system" not in sent(notebook)


def test_empty_system_takes_it_back(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%%qianfan_chat -s ''\nhi")
    notebook.run("%%qianfan_chat\nhi")
    assert ["system" in body for body in notebook.bodies] == [True, False, False]


def test_system_of_a_cell_that_failed_is_not_kept(notebook):
    notebook.server.fail(Fault(error_code=336003))
    notebook.fail("%%qianfan_chat -s 'Be brief.'\nhi")
    notebook.run("%%qianfan_chat\nhi")
    assert "system" not in sent(notebook)


def test_question_that_was_refused_is_not_kept(notebook):
    notebook.run("%%qianfan_chat\nhi")
    notebook.server.fail(Fault(error_code=336003))
    notebook.fail("%%qianfan_chat\nagain")
    assert [turn.user for turn in notebook.turns()] == ["hi"]


BREAKS = {
    "closed": Fault(after=3, end="close"),
    "reset": Fault(after=3, end="reset"),
    "error": Fault(after=3, error_code=336000, error_msg="x"),
    "no protocol": Fault(after=3, body=b"data: {bro\n\n"),
    "ended": Fault(after=3, body=b""),
}
breaks = pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)


def break_off(notebook: Notebook, fault: Fault) -> tuple[BaseException, str]:
    notebook.run("%%qianfan_chat\nhi")
    notebook.server.fail(fault)
    return notebook.fail(f"%%qianfan_chat\n{WALL}")


@breaks
def test_stream_that_breaks_fails_the_cell(notebook, fault):
    error, _ = break_off(notebook, fault)
    assert isinstance(error, StreamError | APIError)


@breaks
def test_stream_that_breaks_leaves_the_conversation_as_it_was(notebook, fault):
    break_off(notebook, fault)
    assert [turn.user for turn in notebook.turns()] == ["hi"]


@breaks
def test_stream_that_breaks_leaves_its_text(notebook, fault):
    error, shown = break_off(notebook, fault)
    assert (error.partial.strip("\n") in shown, bool(error.partial)) == (True, True)


@breaks
def test_stream_that_breaks_is_marked(notebook, fault):
    _, shown = break_off(notebook, fault)
    assert "[broken off]" in shown


@breaks
def test_stream_that_breaks_binds_no_reply(notebook, fault):
    notebook.server.fail(fault)
    notebook.fail(f"%%qianfan_chat -o reply\n{WALL}")
    assert "reply" not in notebook.shell.user_ns


def test_oldest_turn_is_dropped_where_it_does_not_fit(notebook):
    notebook.run(f"%%qianfan_chat\n{LONG}", f"%%qianfan_chat\n{'y' * 300}")
    assert [m["content"] for m in notebook.bodies[-1]["messages"]] == ["y" * 300]


def test_dropped_turn_is_told(notebook):
    shown = notebook.run(f"%%qianfan_chat\n{LONG}", f"%%qianfan_chat\n{'y' * 300}")
    assert "oldest turn was not sent" in shown


def test_dropped_turn_stays_in_the_history(notebook):
    notebook.run(f"%%qianfan_chat\n{LONG}", f"%%qianfan_chat\n{'y' * 300}")
    assert [turn.user for turn in notebook.turns()] == [LONG, "y" * 300]


def test_question_that_is_too_long_is_not_sent(notebook):
    notebook.fail(f"%%qianfan_chat\n{'x' * 4_801}")
    assert notebook.server.seen == []


# --- what the service says of an answer


def refuse_history(notebook: Notebook) -> str:
    notebook.run("%%qianfan_chat\nhi")
    notebook.server.fail(Fault(fields={"need_clear_history": True, "ban_round": -1}))
    return notebook.run("%%qianfan_chat\nsomething bad")


def test_unsafe_question_is_not_kept(notebook):
    refuse_history(notebook)
    assert [turn.user for turn in notebook.turns()] == ["hi"]


def test_need_clear_history_is_told_with_its_ban_round(notebook):
    assert "ban_round -1" in refuse_history(notebook)


def test_need_clear_history_spares_other_conversations(notebook):
    notebook.run("%%qianfan_chat -n other\nhi")
    refuse_history(notebook)
    assert len(notebook.turns("other")) == 1


def test_unsafe_question_is_told(notebook):
    notebook.server.fail(Fault(fields={"is_safe": 0}))
    assert "is_safe 0" in notebook.run("%%qianfan_complete\nhi")


@pytest.mark.parametrize("flags", ["", "--no-stream"])
def test_truncated_answer_is_told(notebook, flags):
    shown = notebook.run(f"%%qianfan_chat --max-tokens 5 {flags}\n{WALL}")
    assert "is_truncated" in shown


def test_truncated_answer_is_marked_in_the_history(notebook):
    notebook.run(f"%%qianfan_chat --max-tokens 5\n{WALL}")
    assert "assistant (truncated, 5 tokens)" in notebook.run("%qianfan history")


def test_empty_answer_is_told(notebook):
    notebook.server.fail(Fault(fields={"result": ""}))
    assert "The answer is empty." in notebook.run("%%qianfan_chat\nhi")


def test_empty_answer_is_not_kept(notebook):
    notebook.server.fail(Fault(fields={"result": ""}))
    notebook.run("%%qianfan_chat\nhi")
    assert notebook.turns() == []


def test_control_characters_of_an_answer_do_not_reach_the_terminal(notebook):
    notebook.server.fail(Fault(fields={"result": "\x1b[2J"}))
    assert "\x1b" not in notebook.run("%%qianfan_chat --no-stream\nhi")


# --- Stop


def interrupted(notebook: Notebook, cell: str, chunks: int = 6) -> tuple[BaseException, str]:
    """Run a cell whose answer pauses after some chunks; press Stop once they are seen."""
    notebook.server.fail(Fault(after=chunks, end="silence"))
    before = len(notebook.bodies)
    main = threading.main_thread().ident

    def press() -> None:
        asked = until(lambda: len(notebook.bodies) > before)
        if asked and until(lambda: not chunks or sys.stdout.getvalue().strip()):
            signal.pthread_kill(main, signal.SIGINT)
            # Python misses a signal that comes just before it begins to wait for the network.
            while not done.wait(2):
                signal.pthread_kill(main, signal.SIGINT)

    user, done = threading.Thread(target=press), threading.Event()
    gc.collect()  # Python loses an interrupt that hits the end of an object, such as an old pool's
    gc.disable()
    user.start()
    try:
        return notebook.fail(cell)
    finally:
        done.set()
        gc.enable()
        user.join()


#: Their scripted answers are of many chunks.
LONG_ANSWERS = [f"%%qianfan_chat\n{WALL}", "%%qianfan_complete\ndef is_prime(n):"]


@pytest.mark.parametrize("cell", LONG_ANSWERS)
def test_stop_goes_on_as_keyboard_interrupt(notebook, cell):
    error, _ = interrupted(notebook, cell)
    assert isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize("cell", LONG_ANSWERS)
def test_stop_closes_the_connection(notebook, cell):
    interrupted(notebook, cell)
    assert until(lambda: notebook.server.seen[-1].closed_early)


def test_stop_leaves_what_has_arrived(notebook):
    _, shown = interrupted(notebook, f"%%qianfan_chat\n{WALL}")
    assert shown.partition("\n[stopped]\n")[0].strip() == notebook.turns()[0].assistant.strip()


def test_stopped_turn_stays_and_is_marked(notebook):
    interrupted(notebook, f"%%qianfan_chat\n{WALL}")
    kept = [(turn.user, turn.stopped, bool(turn.assistant)) for turn in notebook.turns()]
    assert kept == [(WALL, True, True)]


def test_stopped_turn_is_marked_in_the_history(notebook):
    interrupted(notebook, f"%%qianfan_chat\n{WALL}")
    assert "assistant (stopped)" in notebook.run("%qianfan history")


def test_conversation_goes_on_after_a_stop(notebook):
    interrupted(notebook, f"%%qianfan_chat\n{WALL}")
    notebook.run("%%qianfan_chat\nHow long is it?")
    assert [m["role"] for m in notebook.bodies[-1]["messages"]] == ["user", "assistant", "user"]


def test_system_of_a_stopped_turn_is_kept_with_it(notebook):
    interrupted(notebook, f"%%qianfan_chat -s 'Be brief.'\n{WALL}")
    notebook.run("%%qianfan_chat\nHow long is it?")
    assert sent(notebook).get("system") == "Be brief."


def test_stop_before_the_first_word_keeps_nothing(notebook):
    notebook.run("%%qianfan_chat\nhi")
    interrupted(notebook, f"%%qianfan_chat\n{WALL}", chunks=0)
    assert [turn.user for turn in notebook.turns()] == ["hi"]


def test_stop_before_the_first_word_is_not_tried_again(notebook):
    interrupted(notebook, f"%%qianfan_chat\n{WALL}", chunks=0)
    assert len(notebook.bodies) == 1


# --- %qianfan history, reset, status, help


def test_history_shows_the_conversation(notebook):
    shown = notebook.run("%%qianfan_chat\nhi", "%qianfan history")
    assert re.search(r"default: 1 turn\n\n1\. user: hi\n\n1\. assistant \(\d+ tokens\): \w+", shown)


def test_history_of_a_name_is_of_that_conversation(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhello")
    assert "user: hi" in notebook.run("%qianfan history -n tutor")


def test_history_binds_the_messages(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan history -o said", "%%qianfan_chat\nhey")
    assert notebook.shell.user_ns["said"] == notebook.bodies[-1]["messages"][:-1]


def test_bound_messages_are_the_users_own(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan history -o said", "said.clear()")
    assert len(notebook.turns()) == 1


def test_history_of_nothing_is_empty(notebook):
    assert "0 turns" in notebook.run("%qianfan history")


def test_reset_forgets_the_conversation(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan reset", "%%qianfan_chat\nhey")
    assert len(notebook.bodies[-1]["messages"]) == 1


def test_reset_forgets_the_system(notebook):
    notebook.run("%%qianfan_chat -s 'Be brief.'\nhi", "%qianfan reset", "%%qianfan_chat\nhey")
    assert "system" not in sent(notebook)


def test_reset_says_how_much_is_forgotten(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat\nhey")
    assert "2 turns" in notebook.run("%qianfan reset")


def test_reset_of_a_name_spares_the_others(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi", "%qianfan reset -n tutor")
    assert notebook.conversation_names() == ["default"]


def test_reset_all_forgets_all(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat\nhi", "%qianfan reset --all")
    assert notebook.conversation_names() == []


@pytest.mark.parametrize("line", ["%qianfan", "%qianfan status"])
def test_status_names_the_services(notebook, line):
    shown = notebook.run(line)
    assert re.search(
        r"Chat: +dolly_12b \(version 1\)\nCompletion: +starcoder \(version 1\)\n", shown
    )


def test_status_without_keys_says_so(bare):
    assert re.search(r"Credentials: +none\n", bare.run("%qianfan"))


def test_status_names_the_kind_of_keys(own, bare):
    shown = bare.run("%qianfan")
    keys = "ak=***, sk=***, bearer_token=***"
    assert re.search(rf"Credentials: +Credentials\({re.escape(keys)}\)", shown)


def test_status_shows_no_key(own, bare):
    shown = bare.run("%%qianfan_chat\nhi", "%qianfan")
    secrets = (own.authenticator.keys.ak, own.authenticator.keys.sk, *own.authenticator.tokens)
    assert [secret for secret in secrets if secret in shown] == []


def test_status_shows_the_parameters_in_force(notebook):
    notebook.run("%config QianfanMagics.temperature = 0.25")
    assert re.search(r"Parameters: +temperature=0.25\n", notebook.run("%qianfan"))


def test_status_shows_the_conversations(notebook):
    shown = notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi", "%qianfan")
    assert re.search(r"Conversations: +default \(1 turn\), tutor \(1 turn\)", shown)


def test_status_shows_the_endpoint_of_config(notebook):
    notebook.run("%config QianfanMagics.chat_endpoint = 'b_dolly_12b'")
    assert re.search(r"Chat: +b_dolly_12b \(version 1\)\n", notebook.run("%qianfan"))


@pytest.mark.parametrize("line", ["%qianfan help", "%qianfan -h", "%qianfan help -h"])
def test_help_is_shown(bare, line):
    assert "usage: %qianfan" in bare.run(line)


@pytest.mark.parametrize(
    "name", [*("status", "demo", "params", "history", "reset", "keep", "help")]
)
def test_help_lists_the_subcommand(bare, name):
    assert re.search(rf"^ +{name} +\w", bare.run("%qianfan help"), re.MULTILINE)


@pytest.mark.parametrize(("name", "flag"), [("history", "--output"), ("reset", "--all")])
def test_subcommand_has_its_own_help(bare, name, flag):
    shown = bare.run(f"%qianfan {name} -h")
    assert (f"usage: %qianfan {name}" in shown, flag in shown) == (True, True)


def test_help_of_reset_resets_nothing(notebook):
    notebook.run("%%qianfan_chat\nhi", "%qianfan reset -h")
    assert len(notebook.turns()) == 1


@pytest.mark.parametrize("magic", BOTH)
@pytest.mark.parametrize("cell", ["-h", "--help", "-h\n", "-t 0.5 -h\nhi"])
def test_help_of_a_cell_magic_is_shown(bare, magic, cell):
    assert f"%%{magic} [-e ENDPOINT]" in bare.run(f"%%{magic} {cell}")


@pytest.mark.parametrize(
    "flag", ["--temperature", "--stop", "--max-tokens", "--fill", "--dry-run", "--system"]
)
def test_help_lists_the_flag(bare, flag):
    assert re.search(rf"^ +(-\w \w+, )?{flag}\b", bare.run("%%qianfan_chat -h"), re.MULTILINE)


def test_help_sends_nothing(notebook):
    notebook.run("%%qianfan_chat -h\nhi")
    assert notebook.server.seen == []


def test_question_mark_shows_the_flags(bare):
    assert "--temperature TEMPERATURE" in bare.run("%%qianfan_chat?")


# --- errors: the cell fails, in two lines

WRONG = {
    "empty cell": ("%%qianfan_chat", "is empty"),
    "empty cell of a completion": ("%%qianfan_complete -t 0.5", "is empty"),
    "blank cell": ("%%qianfan_chat\n  \n", "is empty"),
    "unknown flag": ("%%qianfan_chat --nonsense\nhi", "--nonsense"),
    "flag of chats": ("%%qianfan_complete -s x\nhi", "-s"),
    "flag without its value": ("%%qianfan_chat -t\nhi", "expected one argument"),
    "unknown format": ("%%qianfan_chat --format pdf\nhi", "pdf"),
    "word that is no flag": ("%%qianfan_chat hello\nhi", "hello"),
    "out of range": ("%%qianfan_chat -t 3\nhi", r"temperature is .*\(0, 1\]"),
    "zero temperature": ("%%qianfan_chat -t 0\nhi", "temperature"),
    "no number": ("%%qianfan_chat --top-k many\nhi", "top_k is 'many'"),
    "too many stops": ("%%qianfan_chat" + " --stop x" * 5 + "\nhi", "stop"),
    "long stop": (f"%%qianfan_chat --stop {'x' * 21}\nhi", "stop"),
    "timeout": ("%%qianfan_chat --timeout -1\nhi", "timeout"),
    "no attempt": ("%%qianfan_chat --retries 0\nhi", "retries"),
    "parameter of chats": ("%%qianfan_complete --max-tokens 5\nhi", "max_tokens"),
    "quote": ("%%qianfan_chat -s 'open\nhi", "closing quotation"),
    "output": ("%%qianfan_chat -o my-reply\nhi", "my-reply"),
    "output a keyword": ("%%qianfan_chat -o class\nhi", "class"),
    "output an attribute": ("%%qianfan_chat -o a.b\nhi", "a.b"),
    "endpoint with a path": ("%%qianfan_chat -e ../x\nhi", "endpoint"),
    "unknown model": ("%%qianfan_chat -m gpt\nhi", "there is no such model"),
    "model of the other kind": ("%%qianfan_chat -m StarCoder\nhi", "completion model"),
    "model without an address": ("%%qianfan_chat -m Dolly-12B\nhi", "no preset address"),
    "unknown variable": ("%%qianfan_chat --fill\n{nobody}", "no variable nobody"),
    "lone surrogate": ("%%qianfan_chat --fill\n{half}", "half of a character"),
    "unknown endpoint": ("%%qianfan_chat -e nothing\nhi", "336005"),
    "too long": (f"%%qianfan_chat\n{'x' * 4_801}", "4,801 characters"),
    "unknown subcommand": ("%qianfan nonsense", "nonsense"),
    "unknown flag of a subcommand": ("%qianfan reset --nonsense", "--nonsense"),
    "quote of a subcommand": ("%qianfan reset -n 'open", "quot"),
    "unknown engine": ("%qianfan demo --engine gpt", "gpt"),
    "seed that is no number": ("%qianfan demo --seed x", "seed"),
    "unknown conversation": ("%qianfan reset -n nobody", "no conversation 'nobody'"),
    "unknown history": ("%qianfan history -n nobody", "no conversation 'nobody'"),
    "variable of a history": ("%qianfan history -o 1st", "1st"),
}
wrong = pytest.mark.parametrize(("cell", "words"), WRONG.values(), ids=WRONG)


@pytest.fixture
def strict(notebook) -> Notebook:
    notebook.shell.user_ns["half"] = "\ud83d"
    return notebook


@wrong
def test_error_says_what_happened(strict, cell, words):
    error, _ = strict.fail(cell)
    assert re.search(words, error.message)


@wrong
def test_error_is_shown_in_two_lines(strict, cell, words):
    error, shown = strict.fail(cell)
    lines = [f"{type(error).__name__}: {error.message}", f"→ {error.hint}"]
    assert shown.splitlines()[-2:] == lines


@wrong
def test_error_says_what_to_do(strict, cell, words):
    error, _ = strict.fail(cell)
    assert error.hint


@wrong
def test_nothing_is_shown_above_the_error(strict, cell, words):
    _, shown = strict.fail(cell)
    assert len(shown.splitlines()) == 2


@wrong
def test_error_leaves_the_conversation_as_it_was(strict, cell, words):
    strict.run("%%qianfan_chat\nhi")
    strict.fail(cell)
    assert [turn.user for turn in strict.turns()] == ["hi"]


def test_no_service_is_named(bare):
    error, _ = bare.fail("%%qianfan_chat\nhi")
    assert ("No service is named" in error.message, "%qianfan demo" in error.hint) == (True, True)


def test_there_are_no_credentials(bare):
    error, _ = bare.fail("%%qianfan_chat -e test1\nhi")
    assert (type(error), "%qianfan demo" in error.hint) == (SettingsError, True)


def test_wrong_key_is_said_without_the_key(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_SK", "0badbadbadbad0")
    error, shown = bare.fail("%%qianfan_chat\nhi")
    assert ("QIANFAN_SK" in error.hint, "0badbadbadbad0" in shown) == (True, False)


def test_broken_settings_fail_the_cell(monkeypatch, bare):
    monkeypatch.setenv("QIANFAN_LIVE", "maybe")
    error, _ = bare.fail("%%qianfan_chat -e test1\nhi")
    assert isinstance(error, SettingsError)


def test_setting_that_was_mended_counts_at_once(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_LIVE", "maybe")
    bare.fail("%%qianfan_chat\nhi")
    monkeypatch.setenv("QIANFAN_LIVE", "auto")
    assert re.search(r"Hello!|Hi there!", bare.run("%%qianfan_chat\nhi"))


def test_cell_magic_raises_to_who_calls_it(notebook):
    with pytest.raises(ParameterError):
        notebook.shell.run_cell_magic("qianfan_chat", "-t 3", "hi")


def test_failed_cell_stops_the_lines_behind_it(bare):
    bare.fail("%qianfan nonsense\nreached = True")
    assert "reached" not in bare.shell.user_ns


# --- load and unload


def test_magics_are_there(bare):
    kinds = bare.shell.magics_manager.magics
    there = [name in kinds["cell"] for name in BOTH] + ["qianfan" in kinds["line"]]
    assert there == [True, True, True]


def test_extension_can_be_asked_for_twice(bare):
    bare.run("%load_ext qianfan_magic")
    ours = [one for one in bare.shell.configurables if type(one).__name__ == "QianfanMagics"]
    assert len(ours) == 1


def attachments(shell: InteractiveShell) -> dict[str, list[Any]]:
    """Give everything that an extension may have hung onto a shell."""
    kinds = shell.magics_manager.magics
    return {
        "line magics": sorted(kinds["line"]),
        "cell magics": sorted(kinds["cell"]),
        "registry": sorted(shell.magics_manager.registry),
        "configurables": list(shell.configurables),
        "matchers": list(shell.Completer.custom_matchers),
        "cleanup": list(shell.input_transformers_cleanup),
        "post": list(shell.input_transformers_post),
        "events": [len(callbacks) for callbacks in shell.events.callbacks.values()],
        "variables": sorted(shell.user_ns),
        "handlers": sorted(map(str, shell.custom_exceptions)),
    }


def test_load_hangs_something_onto_the_shell(shell):
    before = attachments(shell)
    shell.extension_manager.load_extension("qianfan_magic")
    assert attachments(shell) != before


def test_unload_takes_everything_back(shell):
    before = attachments(shell)
    shell.extension_manager.load_extension("qianfan_magic")
    shell.run_line_magic("qianfan", "demo")
    shell.extension_manager.unload_extension("qianfan_magic")
    assert attachments(shell) == before


def test_unload_ends_the_server(notebook):
    thread = notebook.server._thread
    notebook.run("%unload_ext qianfan_magic")
    assert not thread.is_alive()


def test_magic_is_unknown_after_unload(notebook):
    notebook.run("%unload_ext qianfan_magic")
    error, _ = notebook.fail("%qianfan")
    assert "not found" in str(error)


@pytest.mark.parametrize("lines", [["%reload_ext"], ["%unload_ext", "%load_ext"]])
def test_extension_works_after_a_reload(notebook, lines):
    notebook.run(*[f"{line} qianfan_magic" for line in lines], "%qianfan demo")
    assert re.search(r"Hello!|Hi there!", notebook.run("%%qianfan_chat\nhi"))


def test_reload_ends_the_old_server(notebook):
    thread = notebook.server._thread
    notebook.run("%reload_ext qianfan_magic")
    assert not thread.is_alive()


def test_reload_begins_anew(notebook):
    notebook.run("%%qianfan_chat\nhi", "%reload_ext qianfan_magic", "%qianfan demo")
    assert notebook.conversation_names() == []


def test_other_cells_are_left_alone(bare):
    bare.run("x = '%%qianfan_chat'")
    assert bare.shell.user_ns["x"] == "%%qianfan_chat"


# --- Tab


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%%qianfan_chat --temp", ["--temperature"]),
        ("%%qianfan_chat -t 0.5 --top", ["--top-p", "--top-k"]),
        ("%%qianfan_complete --dry", ["--dry-run"]),
        ("%%qianfan_chat --sys", ["--system"]),
        ("%%qianfan_chat --format ", ["markdown", "text", "json", "html", "code"]),
        ("%%qianfan_chat --format m", ["markdown"]),
        ("%%qianfan_chat --compare temp", ["temperature="]),
        ("%qianfan params to", ["top_p=", "top_k="]),
        ("%%qianfan_chat -m ERNIE-4", ["ERNIE-4.0-8K"]),
        ("%qianfan h", ["history", "help"]),
        ("%qianfan reset --a", ["--all"]),
        ("%qianfan history --o", ["--output"]),
    ],
)
def test_tab_offers(bare, line, offered):
    assert bare.complete(line) == offered


def test_tab_offers_completions_no_flag_of_chats(bare):
    assert "--system" not in bare.complete("%%qianfan_complete --")


def test_tab_offers_all_subcommands(bare):
    assert bare.complete("%qianfan ") == [
        *("status", "demo", "params", "history", "undo", "reset", "keep"),
        *("save", "load", "restore", "models", "request", "usage", "doctor", "help"),
    ]


@pytest.mark.parametrize("flag", ["-e", "--endpoint"])
def test_tab_offers_endpoints_that_were_used_the_last_first(notebook, flag):
    notebook.run("%%qianfan_chat -e a_dolly_12b\nhi", "%%qianfan_chat -e b_dolly_12b\nhi")
    assert notebook.complete(f"%%qianfan_chat {flag} ") == ["b_dolly_12b", "a_dolly_12b"]


def test_tab_offers_an_endpoint_once(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat\nhi")
    assert notebook.complete("%%qianfan_chat -e d") == ["dolly_12b"]


@pytest.mark.parametrize(
    "before", ["%%qianfan_chat -n", "%qianfan reset -n", "%qianfan history -n"]
)
def test_tab_offers_conversations(notebook, before):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat -n trial\nhi")
    assert notebook.complete(f"{before} t") == ["trial", "tutor"]


@pytest.mark.parametrize("name", ["%%qianfan_chat", "%%qianfan_complete", "%qianfan"])
def test_tab_offers_the_magic(bare, name):
    assert name in bare.complete(name[:-1])


def test_tab_leaves_python_alone(bare):
    bare.run("walls = 1")
    assert "walls" in bare.complete("wal")


def test_tab_puts_the_offer_in_the_place_of_what_was_typed(bare):
    line = "%%qianfan_chat -t 0.5 --temp"
    with provisionalcompleter():
        offered = list(bare.shell.Completer.completions(line, len(line)))
    assert [(one.start, one.end, one.text) for one in offered] == [(22, 28, "--temperature")]


def test_tab_in_the_body_of_a_cell_offers_no_flags(bare):
    assert "--temperature" not in bare.complete("%%qianfan_chat -t 0.5\nhow --t")


def test_stop_is_one_line_and_shows_no_variables(notebook):
    notebook.shell.run_line_magic("xmode", "Verbose")
    try:
        _, shown = interrupted(notebook, f"%%qianfan_chat\n{WALL}")
    finally:
        notebook.shell.run_line_magic("xmode", "Context")
    error = shown[shown.index("KeyboardInterrupt") :].strip()
    assert error == "KeyboardInterrupt: stopped; what had arrived is kept"


def test_line_end_can_be_a_stop(notebook):
    notebook.run("%%qianfan_complete --stop '\\n'\ndef is_prime(n):")
    assert notebook.bodies[-1]["stop"] == ["\n"]


def test_corrected_dot_env_counts_from_the_next_cell(bare, tmp_path):
    error, _ = bare.fail("%%qianfan_chat -e dolly_12b\nhi")
    assert "no credentials" in str(error)
    with EmbeddedServer() as server:
        lines = [f"{name}={value}" for name, value in server.environment().items()]
        (bare.folder / ".env").write_text("\n".join(lines), encoding="utf-8")
        assert re.search("Hello|Hi there", bare.run("%%qianfan_chat -e dolly_12b\nhi"))


@pytest.mark.parametrize("line", ["%qianfan models --fresh", "%qianfan doctor"])
def test_stopped_subcommand_ends_in_one_line(notebook, line):
    """Where its traceback would show the variables of urllib3, and the keys among them."""
    notebook.run("%xmode Verbose")
    notebook.server.fail(Fault(end="silence", path="/v2/models"))
    main, done = threading.main_thread().ident, threading.Event()

    def press() -> None:
        until(lambda: any(seen.path == "/v2/models" for seen in notebook.server.seen))
        signal.pthread_kill(main, signal.SIGINT)
        while not done.wait(2):
            signal.pthread_kill(main, signal.SIGINT)

    user = threading.Thread(target=press)
    user.start()
    try:
        _, shown = notebook.fail(line)
    finally:
        done.set()
        user.join()
        notebook.run("%xmode Context")
    assert shown.splitlines() == ["KeyboardInterrupt: stopped"]

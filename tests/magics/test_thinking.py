"""The newer models in a real shell and kernel: who is asked, what they think, how they fail."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from support.kernel import Kernel, Ran
from support.notebook import Notebook
from support.requests_seen import JSON, V2, bodies, tried, two_lines, with_keys

from qianfan_magic import (
    APIError,
    AuthError,
    ParameterError,
    RateLimitError,
    SettingsError,
    StreamError,
    TransportError,
)
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.conversation.record import KEY
from qianfan_magic.embedded.engines.reasoning import BAT_AND_BALL
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.masking import remember
from qianfan_magic.session.cell_options import CellOptions
from qianfan_magic.session.cell_request import CellRequest

PUZZLE = "A bat and a ball cost 1.10 together. What does the ball cost?"
THOUGHT, RIGHT = BAT_AND_BALL.thought, BAT_AND_BALL.right.strip()
NEW = "%%qianfan_chat -m ernie-5.1"
THINK = f"{NEW} --enable-thinking"
CODER = "%%qianfan_complete -m qwen3-coder-30b-a3b-instruct"
#: What a stream of version 2 says besides what was asked for.
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def said(notebook: Notebook) -> dict[str, Any]:
    """Give what the last question said besides itself and the stream."""
    apart = {"messages", "prompt", "model", *STREAM}
    return {k: v for k, v in bodies(notebook.server)[-1].items() if k not in apart}


def streamed(*deltas: dict[str, Any], end: str = "") -> Fault:
    """Have version 2 answer with a stream of these deltas, which ends well unless told."""
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    body = "".join(events) + "data: [DONE]\n\n" * (not end)
    headers = {"Content-Type": "text/event-stream"}
    return Fault(path=V2, headers=headers, body=body.encode(), end=end)


def asked_paths(server: EmbeddedServer) -> list[str]:
    return [s.path for s in server.seen if "oauth" not in s.path and "BCE-BEARER" not in s.path]


# --- what is sent


@pytest.mark.parametrize(
    ("flags", "parameters"),
    [
        ("", {}),
        ("--enable-thinking", {"enable_thinking": True}),
        ("--no-enable-thinking", {"enable_thinking": False}),
        ("--thinking-budget 100", {"thinking_budget": 100}),
        ("--seed 7", {"seed": 7}),
        ("--max-tokens 1", {"max_tokens": 1}),
        ("--user-id li", {"user": "li"}),
        ("--enable-thinking --thinking-budget=200 -t 0.5", None),
    ],
)
def test_flag_reaches_the_wire_of_version_2(notebook, flags, parameters):
    if parameters is None:
        parameters = {"enable_thinking": True, "thinking_budget": 200, "temperature": 0.5}
    notebook.run(f"{NEW} {flags}\nhi")
    assert said(notebook) == parameters


@pytest.mark.parametrize("model", ["deepseek-v3.2", "deepseek-v4-pro", "glm-5.3"])
@pytest.mark.parametrize(
    ("flag", "state"), [("--enable-thinking", "enabled"), ("--no-enable-thinking", "disabled")]
)
def test_card_says_by_which_field_a_model_is_told_to_think(notebook, model, flag, state):
    notebook.run(f"%%qianfan_chat -m {model} {flag}\nhi")
    assert said(notebook) == {"thinking": {"type": state}}


def test_model_without_a_card_is_told_by_enable_thinking(notebook):
    body = tried(notebook, "%%qianfan_chat -m brand-new --enable-thinking --dry-run\nhi")
    assert (body.get("enable_thinking"), "thinking" in body) == (True, False)


@pytest.mark.parametrize("model", ["ernie-x1.1", "deepseek-v3.2-think"])
def test_model_that_always_thinks_is_not_told(notebook, model):
    notebook.run(f"%%qianfan_chat -m {model} -o reply\n{PUZZLE}")
    assert (said(notebook), notebook.shell.user_ns["reply"].reasoning) == ({}, THOUGHT)


def test_stream_asks_for_its_usage(notebook):
    notebook.run(f"{NEW}\nhi")
    assert {name: bodies(notebook.server)[-1][name] for name in STREAM} == STREAM


def test_whole_answer_asks_for_no_stream(notebook):
    notebook.run(f"{NEW} --no-stream\nhi")
    assert STREAM.keys() & bodies(notebook.server)[-1].keys() == set()


def test_system_text_is_the_first_message(notebook):
    notebook.run(f"{NEW} -s 'Be brief.'\nhi")
    roles = [message["role"] for message in bodies(notebook.server)[-1]["messages"]]
    assert roles == ["system", "user"]


def test_suffix_reaches_the_wire(notebook):
    notebook.run(f'{CODER} --suffix "    return result"\ndef fahrenheit(celsius):')
    assert said(notebook) == {"suffix": "    return result"}


def test_suffix_lets_the_model_fill_the_middle(notebook):
    notebook.run(f'{CODER} --suffix "    return result" -o middle\ndef fahrenheit(celsius):')
    scope: dict[str, Any] = {}
    middle = notebook.shell.user_ns["middle"].text
    exec(f"def fahrenheit(celsius):\n{middle}\n    return result", scope)
    assert scope["fahrenheit"](100) == 212


# --- set for every cell: for version 2 only

EVERY = {
    "config": "%config QianfanMagics.enable_thinking = True",
    "slider": "%qianfan params enable_thinking=true",
}
every = pytest.mark.parametrize("line", EVERY.values(), ids=EVERY)


@every
def test_thinking_that_is_set_for_every_cell_is_sent_to_version_2(notebook, line):
    notebook.run(line, f"{NEW}\nhi")
    assert said(notebook) == {"enable_thinking": True}


@every
@pytest.mark.parametrize("cell", ["%%qianfan_chat\nhi", "%%qianfan_complete\nhi", f"{CODER}\nhi"])
def test_thinking_that_is_set_for_every_cell_spares_who_does_not_know_it(notebook, line, cell):
    notebook.run(line, cell)
    assert said(notebook) == {}


@every
def test_flag_wins_over_thinking_that_is_set_for_every_cell(notebook, line):
    notebook.run(line, f"{NEW} --no-enable-thinking\nhi")
    assert said(notebook) == {"enable_thinking": False}


@pytest.mark.parametrize(
    "line",
    ["%config QianfanMagics.enable_thinking = None", "%qianfan params enable_thinking=none"],
)
def test_thinking_can_be_unset(notebook, line):
    kind = "config" if "config" in line else "slider"
    notebook.run(EVERY[kind], line, f"{NEW}\nhi")
    assert said(notebook) == {}


@pytest.mark.parametrize("setting", ["thinking_budget = 200", "seed = 7"])
def test_setting_of_version_2_counts_there_only(notebook, setting):
    name, _, value = setting.partition(" = ")
    notebook.run(f"%config QianfanMagics.{setting}", "%%qianfan_chat\nhi", f"{NEW}\nhi")
    first, last = bodies(notebook.server)
    assert (name in first, last[name]) == (False, int(value))


def test_setting_of_version_1_counts_there_only(notebook):
    notebook.run("%qianfan params top_k=5", "%%qianfan_chat\nhi", f"{NEW} -n new\nhi")
    first, last = bodies(notebook.server)
    assert (first["top_k"], "top_k" in last) == (5, False)


@every
@pytest.mark.parametrize("compare", ["model=old,ernie-5.1", "model=ernie-5.1,old"])
def test_columns_of_both_versions_are_asked_without_what_one_does_not_know(notebook, line, compare):
    notebook.run('%config QianfanMagics.models = {"old": {"endpoint": "dolly_12b"}}', line)
    notebook.run(f"%%qianfan_chat --compare {compare}\nhi")
    sent = [body.keys() & {"enable_thinking", "thinking"} for body in bodies(notebook.server)]
    assert sent == [set(), set()]


@every
def test_columns_of_version_2_are_asked_with_what_is_set(notebook, line):
    notebook.run(line, "%%qianfan_chat --compare model=ernie-5.1,deepseek-v3.2\nhi")
    sent = {body["model"]: body for body in bodies(notebook.server)}
    told = sent["ernie-5.1"].get("enable_thinking"), sent["deepseek-v3.2"].get("thinking")
    assert told == (True, {"type": "enabled"})


def test_columns_differ_in_thinking(notebook):
    notebook.run(f"{NEW} --compare enable_thinking=false,true\n{PUZZLE}")
    assert sorted(body["enable_thinking"] for body in bodies(notebook.server)) == [False, True]


@pytest.mark.parametrize("setting", ["enable_thinking = 'yes'", "thinking_budget = 5", "seed = 0"])
def test_config_out_of_range_is_refused(bare, setting):
    name = setting.split()[0]
    bare.run(f"%config QianfanMagics.{setting}")
    assert getattr(bare.magics, name) is None


# --- the wrong version or kind: two lines, and nothing is sent

WRONG = {
    "thinking of version 1": ("%%qianfan_chat -e dolly_12b --enable-thinking\nhi", "version 1"),
    "not thinking of version 1": ("%%qianfan_chat --no-enable-thinking\nhi", "enable_thinking"),
    "budget of version 1": ("%%qianfan_chat --thinking-budget 200\nhi", "thinking_budget"),
    "seed of version 1": ("%%qianfan_chat --seed 7\nhi", "seed"),
    "top_k of version 2": (f"{NEW} --top-k 5\nhi", "top_k .* version 2"),
    "thinking of a completion": (f"{CODER} --enable-thinking\nhi", "--enable-thinking"),
    "penalty of a completion": (f"{CODER} --penalty-score 1.5\nhi", "penalty_score"),
    "suffix of version 1": ("%%qianfan_complete --suffix x\nhi", "suffix"),
    "suffix of a chat": (f"{NEW} --suffix x\nhi", "suffix"),
    "small budget": (f"{NEW} --thinking-budget 99\nhi", "thinking_budget is '99'"),
    "no budget": (f"{NEW} --thinking-budget many\nhi", "thinking_budget is 'many'"),
    "small seed": (f"{NEW} --seed 0\nhi", "seed is '0'"),
    "large seed": (f"{NEW} --seed 2147483647\nhi", "seed is '2147483647'"),
    "no tokens": (f"{NEW} --max-tokens 0\nhi", "max_tokens is '0'"),
    "column of version 1": ("%%qianfan_chat --compare seed=1,2\nhi", "seed"),
    "column that is none": (f"{NEW} --compare enable_thinking=maybe,true\nhi", "'maybe'"),
    "slider": ("%qianfan params enable_thinking=maybe", "'maybe'"),
    "chat model": ("%%qianfan_complete -m ernie-5.1\nhi", "chat model"),
    "endpoint and model": ("%%qianfan_chat -e a_dolly_12b -m ernie-5.1\nhi", "version 1 .* 2"),
    "no name": ("%%qianfan_chat -m '../x'\nhi", "'../x'"),
}
wrong = pytest.mark.parametrize(("cell", "words"), WRONG.values(), ids=WRONG)


@wrong
def test_wrong_parameter_says_what_happened(notebook, cell, words):
    error, _ = notebook.fail(cell)
    assert (type(error), bool(re.search(words, error.message))) == (ParameterError, True)


@wrong
def test_wrong_parameter_is_shown_in_two_lines(notebook, cell, words):
    error, shown = notebook.fail(cell)
    assert (shown.splitlines(), bool(error.hint)) == (two_lines(error), True)


@wrong
def test_wrong_parameter_sends_nothing(notebook, cell, words):
    notebook.fail(cell)
    assert notebook.server.seen == []


# --- what is thought is shown


def test_terminal_shows_the_thought_above_the_answer(notebook):
    shown = notebook.run(f"{THINK}\n{PUZZLE}")
    assert shown == f"[Thinking]\n{THOUGHT}\n\n[Answer]\n{RIGHT}\n"


def test_terminal_shows_no_parts_without_a_thought(notebook):
    assert "[" not in notebook.run(f"{NEW}\nhi")


def test_terminal_shows_control_characters_of_a_thought(notebook):
    notebook.server.fail(streamed({"reasoning_content": "a\x1b[2Jb"}, {"content": "c"}))
    assert "\x1b" not in notebook.run(f"{NEW}\nhi")


def test_column_shows_its_thought(notebook):
    shown = notebook.run(f"{NEW} --compare enable_thinking=false,true\n{PUZZLE}")
    assert [part.count(THOUGHT) for part in shown.split("\n---\n")] == [0, 1]


@pytest.mark.parametrize("flags", ["", "--no-stream"])
def test_output_shows_the_thought_above_the_answer(quiet, flags):
    shown = quiet.run(f"{THINK} {flags}\n{PUZZLE}").bundles[0]["text/plain"]
    assert shown.startswith(f"[Thinking]\n\n{THOUGHT}\n\n[Answer]\n\n{RIGHT}\n\n[ernie-5.1")


def test_output_folds_the_thought(quiet):
    html = quiet.run(f"{THINK}\n{PUZZLE}").bundles[0]["text/html"]
    (fold,) = re.findall(r"<details([^>]*)>(.*?)</details>", html, re.DOTALL)
    assert ("open" in fold[0], "Thinking</summary>" in fold[1]) == (False, True)


def test_output_has_the_answer_behind_the_fold(quiet):
    html = quiet.run(f"{THINK}\n{PUZZLE}").bundles[0]["text/html"]
    fold, _, rest = html.partition("</details>")
    assert ("5 cents</strong>" in fold, "5 cents</strong>" in rest) == (False, True)


@pytest.mark.parametrize("form", ["markdown", "text", "html", "json"])
def test_thought_is_no_html(quiet, form):
    hostile = {"reasoning_content": "</pre></details><script>alert(1)</script>"}
    quiet.server.fail(streamed(hostile, {"content": "{}"}))
    html = quiet.run(f"{NEW} --format {form}\nhi").bundles[0]["text/html"]
    escaped = "&lt;/pre&gt;&lt;/details&gt;&lt;script&gt;"
    assert (escaped in html, "<script" in html, html.count("</details>")) == (True, False, 1)


@pytest.mark.parametrize("form", ["markdown", "text", "html", "json"])
def test_thought_stands_outside_of_the_answer_in_each_form(quiet, form):
    quiet.server.fail(streamed({"reasoning_content": "aha"}, {"content": '{"a": 1}'}))
    shown = quiet.run(f"{NEW} --format {form}\nhi").bundles[0]["text/plain"]
    assert shown.startswith("[Thinking]\n\naha\n\n[Answer]\n\n{")


def test_output_without_a_thought_has_no_fold(quiet):
    bundle = quiet.run(f"{NEW}\n{PUZZLE}").bundles[0]
    assert ("details" in bundle["text/html"], "[Answer]" in bundle["text/plain"]) == (False, False)


def test_key_in_a_thought_is_not_saved(quiet):
    token = quiet.server.authenticator.keys.bearer_token
    quiet.server.fail(streamed({"reasoning_content": f"a {token} b"}, {"content": "c"}))
    (shown,) = quiet.run(f"{NEW}\nhi").contents("display_data")
    told = json.dumps(shown)
    assert (told.count("a *** b"), token in told) == (3, False)


def test_watched_thought_grows_apart_from_the_answer(live):
    live.server.pace = 0.02
    ran = live.run(f"{THINK}\n{PUZZLE}")
    thought = "".join(frame.get("thinking", "") for frame in ran.frames)
    assert (len(thought) > 100, THOUGHT.startswith(thought), "tempting" in ran.seen) == (
        True,
        True,
        False,
    )


def test_watched_thought_ends_folded(live):
    ran = live.run(f"{THINK}\n{PUZZLE}")
    assert ran.bundles[-1]["text/html"].count("<details") == 1


# --- and kept


def test_reply_has_the_thought_apart_from_the_text(notebook):
    notebook.run(f"{THINK} -o reply\n{PUZZLE}")
    reply = notebook.shell.user_ns["reply"]
    assert (reply.reasoning, reply.text) == (THOUGHT, RIGHT)


def test_turn_has_the_thought(notebook):
    notebook.run(f"{THINK}\n{PUZZLE}")
    assert notebook.turns()[0].reasoning == THOUGHT


def test_record_has_the_thought(quiet):
    (shown,) = quiet.run(f"{THINK}\n{PUZZLE}").contents("display_data")
    assert shown["metadata"][KEY]["turns"][0]["reasoning"] == THOUGHT


def test_thought_is_not_sent_back(notebook):
    notebook.run(f"{THINK}\n{PUZZLE}", f"{THINK}\nWhat was my first question?")
    assert bodies(notebook.server)[-1]["messages"][:-1] == [
        {"role": "user", "content": PUZZLE},
        {"role": "assistant", "content": RIGHT},
    ]


def test_messages_of_the_history_have_no_thought(notebook):
    notebook.run(f"{THINK}\n{PUZZLE}", "%qianfan history -o messages")
    assert [set(one) for one in notebook.shell.user_ns["messages"]] == [{"role", "content"}] * 2


def test_column_that_is_kept_keeps_its_thought(notebook):
    notebook.run(f"{NEW} --compare enable_thinking=false,true\n{PUZZLE}", "%qianfan keep 2")
    assert notebook.turns()[0].reasoning == THOUGHT


def test_thought_survives_a_file(notebook):
    notebook.run(f"{THINK}\n{PUZZLE}", "%qianfan save a.json", "%qianfan reset --all")
    notebook.run("%qianfan load a.json")
    assert notebook.turns()[0].reasoning == THOUGHT


def saved(ran: Ran, path: str) -> None:
    """Save a notebook of one cell as a front end does."""
    outputs = [
        nbformat.v4.new_output("display_data", one["data"], metadata=one["metadata"])
        for one in ran.contents("display_data")
    ]
    cell = nbformat.v4.new_code_cell("", outputs=outputs, id="a")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def test_thought_survives_a_restart(quiet, notebook):
    saved(quiet.run(f"{THINK}\n{PUZZLE}"), "page.ipynb")
    notebook.run("%qianfan restore page.ipynb")
    assert [turn.reasoning for turn in notebook.turns()] == [THOUGHT]


def test_thought_of_a_restored_turn_is_not_sent_back(quiet, notebook):
    saved(quiet.run(f"{THINK}\n{PUZZLE}"), "page.ipynb")
    notebook.run("%qianfan restore page.ipynb", f"{NEW}\nhi")
    contents = [message["content"] for message in bodies(notebook.server)[-1]["messages"]]
    assert contents == [PUZZLE, RIGHT, "hi"]


# --- cut off, stopped

ENOUGH = estimate_tokens(THOUGHT) + 5


def test_answer_that_goes_on_keeps_its_thought(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}", f"{NEW} --continue\n")
    turns = [(turn.reasoning, turn.assistant, turn.truncated) for turn in notebook.turns()]
    assert turns == [(THOUGHT, RIGHT, False)]


def test_reply_of_an_answer_that_goes_on_has_its_thought(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}", f"{NEW} --continue -o reply\n")
    reply = notebook.shell.user_ns["reply"]
    assert (reply.reasoning, reply.text) == (THOUGHT, RIGHT)


def test_answer_that_goes_on_with_a_new_thought_has_both(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}")
    notebook.server.fail(streamed({"reasoning_content": " More."}, {"content": " rest"}))
    notebook.run(f"{THINK} --continue\n")
    (turn,) = notebook.turns()
    assert (turn.reasoning, turn.assistant[-5:]) == (f"{THOUGHT} More.", " rest")


def test_restored_answer_that_goes_on_keeps_its_thought(quiet, notebook):
    saved(quiet.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}"), "page.ipynb")
    notebook.run("%qianfan restore page.ipynb", f"{NEW} --continue\n")
    turns = [(turn.reasoning, turn.assistant) for turn in notebook.turns()]
    assert turns == [(THOUGHT, RIGHT)]


def test_thought_is_no_code_for_the_next_cell(notebook):
    code = "```python\nx = 1\n```"
    notebook.server.fail(streamed({"reasoning_content": "```\nwrong\n```"}, {"content": code}))
    notebook.run(f"{NEW} --format code\nhi")
    assert notebook.shell.rl_next_input == "x = 1"


def test_request_to_go_on_sends_no_thought(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}", f"{NEW} --continue\n")
    sent = bodies(notebook.server)[-1]["messages"]
    assert [set(one) for one in sent] == [{"role", "content"}] * 3


def test_answer_that_goes_on_shows_its_thought_once(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}")
    assert notebook.run(f"{NEW} --continue\n").count(THOUGHT) == 1


def test_thought_that_is_cut_off_is_told(notebook):
    shown = notebook.run(f"{THINK} --max-tokens 20\n{PUZZLE}")
    assert ("[Thinking]" in shown, "is_truncated" in shown, "answer is empty" in shown) == (
        True,
        True,
        True,
    )


def test_thought_without_an_answer_is_no_turn(notebook):
    notebook.run(f"{THINK} --max-tokens 20\n{PUZZLE}")
    assert notebook.turns() == []


def thoughts(ran: Ran) -> bool:
    return any("thinking" in frame for frame in ran.frames)


def stopped(kernel: Kernel, when: Callable[[Ran], Any], *deltas: dict[str, Any]) -> Ran:
    """Stop an answer that falls silent, once the page shows enough of it."""
    kernel.run("%qianfan reset --all")
    kernel.server.fail(streamed(*deltas, end="silence"))
    return kernel.stopped(f"{NEW} -n stopped\nhi", when)


def turns_of(kernel: Kernel) -> str:
    return kernel.run("%qianfan").bundles[0]["text/plain"]


def test_stop_while_it_thinks_adds_no_turn(live):
    stopped(live, thoughts, {"reasoning_content": "aha"})
    assert "stopped (" not in turns_of(live)


def test_stop_while_it_thinks_leaves_the_thought(live):
    ran = stopped(live, thoughts, {"reasoning_content": "aha"})
    shown = ran.bundles[-1]["text/plain"]
    assert (ran.reply["ename"], "aha" in shown, "ernie-5.1 · stopped" in shown) == (
        "KeyboardInterrupt",
        True,
        True,
    )


def test_stop_while_it_answers_keeps_the_thought(live):
    ran = stopped(live, lambda ran: ran.seen, {"reasoning_content": "aha"}, {"content": "so"})
    records = [one["metadata"][KEY] for one in ran.contents("update_display_data")]
    turn = records[-1]["turns"][0]
    assert (turn["reasoning"], turn["assistant"], turn["stopped"]) == ("aha", "so", True)


# --- --format json asks for JSON


@pytest.mark.parametrize("model", ["ernie-5.1", "deepseek-v3.2", "brand-new"])
def test_json_is_asked_for_in_version_2(notebook, model):
    body = tried(notebook, f"%%qianfan_chat -m {model} --format json --dry-run\nhi")
    assert body["response_format"] == JSON


@pytest.mark.parametrize("form", ["text", "markdown", "html", "code"])
def test_json_is_not_asked_for_in_other_forms(notebook, form):
    body = tried(notebook, f"{NEW} --format {form} --dry-run\nhi")
    assert "response_format" not in body


def test_json_of_config_is_asked_for(notebook):
    notebook.run("%config QianfanMagics.format = 'json'")
    assert tried(notebook, f"{NEW} --dry-run\nhi")["response_format"] == JSON


@pytest.fixture
def old(monkeypatch, bare) -> Notebook:
    """Give a notebook with keys of version 1 only."""
    monkeypatch.setenv("QIANFAN_AK", "made-up-ak")
    monkeypatch.setenv("QIANFAN_SK", "made-up-sk")
    return bare


@pytest.mark.parametrize("who", ["-m ERNIE-4.0-8K", "-m ernie-3.5-8k", "-e completions_pro"])
def test_json_is_asked_for_in_version_1_where_the_card_has_it(old, who):
    body = tried(old, f"%%qianfan_chat {who} --format json --dry-run\nhi")
    assert body["response_format"] == "json_object"


@pytest.mark.parametrize("who", ["-e dolly_12b", "-m ERNIE-Speed", "-e unknown"])
def test_json_is_not_asked_for_where_the_card_has_it_not(old, who):
    body = tried(old, f"%%qianfan_chat {who} --format json --dry-run\nhi")
    assert "response_format" not in body


def test_json_is_not_asked_for_of_a_completion(notebook):
    body = tried(notebook, f"{CODER} --format json --dry-run\nhi")
    assert "response_format" not in body


def test_json_is_asked_for_by_each_column_that_can(notebook):
    notebook.run('%config QianfanMagics.models = {"old": {"endpoint": "dolly_12b"}}')
    cell = "%%qianfan_chat --compare model=old,ernie-5.1 --format json --dry-run\nhi"
    first, second = notebook.run(cell).split("\n---\n")
    assert ("response_format" in first, "response_format" in second) == (False, True)


def test_form_that_is_asked_for_is_not_overwritten():
    request = CellRequest(
        kind="chat",
        text="hi",
        service=Service("ernie-5.1", version=ApiVersion.V2),
        parameters={"response_format": "text"},
        options=CellOptions(),
        format="json",
    )
    assert request.sent_parameters == {"response_format": "text"}


def test_json_comes(notebook):
    notebook.run(f"{NEW} --format json -o reply\nGive me the longest rivers as JSON")
    assert json.loads(notebook.shell.user_ns["reply"].text)["complete"] is False


# --- who is asked, and with which keys

OLD_PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/"
NEW_PATH = "/v2/chat/completions"
ASKED = [
    ("v1", {}, "-e dolly_12b", OLD_PATH + "dolly_12b"),
    ("v1", {}, "-m ERNIE-4.0-8K", OLD_PATH + "completions_pro"),
    ("v1", {"QIANFAN_CHAT_ENDPOINT": "test1"}, "", OLD_PATH + "test1"),
    ("v1", {"QIANFAN_MODEL": "ernie-4.0-8k"}, "", OLD_PATH + "completions_pro"),
    (
        "v1",
        {"QIANFAN_CHAT_ENDPOINT": "test1", "QIANFAN_MODEL": "ernie-5.1"},
        "",
        OLD_PATH + "test1",
    ),
    ("v2", {}, "-m ernie-5.1", NEW_PATH),
    ("v2", {}, "-m ERNIE-4.0-8K", NEW_PATH),
    ("v2", {}, "-m brand-new", NEW_PATH),
    ("v2", {"QIANFAN_MODEL": "ernie-5.1"}, "", NEW_PATH),
    ("v2", {"QIANFAN_CHAT_ENDPOINT": "test1", "QIANFAN_MODEL": "ernie-5.1"}, "", NEW_PATH),
    ("both", {}, "-e dolly_12b", OLD_PATH + "dolly_12b"),
    ("both", {}, "-m ernie-5.1", NEW_PATH),
    ("both", {}, "-m ERNIE-4.0-8K", NEW_PATH),
    ("both", {}, "-m ERNIE-Speed", OLD_PATH + "ernie_speed"),
    ("both", {"QIANFAN_CHAT_ENDPOINT": "test1"}, "", OLD_PATH + "test1"),
    ("both", {"QIANFAN_CHAT_ENDPOINT": "test1"}, "-m ernie-5.1", NEW_PATH),
    ("both", {"QIANFAN_MODEL": "ernie-5.1"}, "-e test1", OLD_PATH + "test1"),
    ("both", {"QIANFAN_MODEL": "ernie-5.1"}, "", NEW_PATH),
    ("access", {}, "-e dolly_12b", OLD_PATH + "dolly_12b"),
    ("access", {}, "-m ernie-5.1", NEW_PATH),
    ("access", {}, "-m brand-new", NEW_PATH),
]


@pytest.fixture
def keyed(monkeypatch, bare, which, variables) -> Notebook:
    with_keys(monkeypatch, which, **variables)
    return bare


@pytest.mark.parametrize(("which", "variables", "flags", "path"), ASKED)
def test_keys_and_names_decide_who_is_asked(keyed, flags, path):
    shown = keyed.run(f"%%qianfan_chat {flags} --dry-run\nhi")
    assert re.split(r"[ ?]", shown)[1] == path


def test_model_of_config_is_asked(notebook):
    notebook.run("%config QianfanMagics.model = 'ernie-5.1'", "%%qianfan_chat\nhi")
    assert notebook.server.seen[-1].path == NEW_PATH


def test_endpoint_of_a_flag_wins_over_the_model_of_config(notebook):
    notebook.run("%config QianfanMagics.model = 'ernie-5.1'", "%%qianfan_chat -e dolly_12b\nhi")
    assert notebook.server.seen[-1].path.endswith("/dolly_12b")


def test_chat_model_of_config_spares_completions(notebook):
    notebook.run("%config QianfanMagics.model = 'ernie-5.1'", "%%qianfan_complete\nhi")
    assert notebook.server.seen[-1].path.endswith("/completions/starcoder")


def test_model_of_version_2_is_shown_by_status(notebook):
    shown = notebook.run("%config QianfanMagics.model = 'ernie-5.1'", "%qianfan")
    assert "ernie-5.1 (version 2)" in shown


@pytest.mark.parametrize(("which", "lacking"), [("v1", ["2"]), ("v2", ["1"]), ("none", ["1", "2"])])
def test_status_says_for_which_version_there_are_no_keys(monkeypatch, bare, which, lacking):
    with_keys(monkeypatch, which)
    assert re.findall(r"Version (\d): +no credentials", bare.run("%qianfan")) == lacking


def test_version_2_is_asked_with_a_fetched_token(monkeypatch, own, bare):
    for name in ("AK", "SK", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", own.authenticator.keys.access_key)
    monkeypatch.setenv("QIANFAN_SECRET_KEY", own.authenticator.keys.secret_key)
    bare.run(f"{NEW}\nhi")
    (token,) = own.authenticator.bearers
    assert own.seen[-1].headers["Authorization"] == f"Bearer {token}"


def test_fetched_token_that_is_refused_is_replaced_once(monkeypatch, own, bare):
    for name in ("AK", "SK", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", own.authenticator.keys.access_key)
    monkeypatch.setenv("QIANFAN_SECRET_KEY", own.authenticator.keys.secret_key)
    bare.run(f"{NEW}\nhi")
    own.authenticator.bearers.clear()
    bare.run(f"{NEW}\nhi")
    assert [seen.path.rsplit("/", 1)[1] for seen in own.seen] == [
        *("token", "completions"),
        *("completions", "token", "completions"),
    ]


#: What is named in the error, by the keys that there are and the service that is asked.
LACKS = [
    ("v1", "-m ernie-5.1", SettingsError, ["QIANFAN_BEARER_TOKEN", "QIANFAN_ACCESS_KEY"]),
    ("v1", "-m brand-new", ParameterError, ["-e NAME", "QIANFAN_BEARER_TOKEN"]),
    ("v2", "-e dolly_12b", SettingsError, ["QIANFAN_AK", "QIANFAN_SK"]),
    ("v2", "-m ERNIE-Speed", SettingsError, ["QIANFAN_AK", "QIANFAN_SK"]),
    ("none", "", ParameterError, ["-m", "-e", "%qianfan demo"]),
    ("none", "-e dolly_12b", SettingsError, ["QIANFAN_AK", "QIANFAN_SK"]),
    ("none", "-m ernie-5.1", SettingsError, ["QIANFAN_BEARER_TOKEN", "QIANFAN_ACCESS_KEY"]),
    ("none", "-m brand-new", ParameterError, ["-e NAME", "QIANFAN_BEARER_TOKEN"]),
    # Both versions have this one.
    ("none", "-m ERNIE-4.0-8K", SettingsError, ["QIANFAN_AK", "QIANFAN_BEARER_TOKEN"]),
]
lacks = pytest.mark.parametrize(("which", "flags", "kind", "names"), LACKS)


@pytest.fixture
def lacking(monkeypatch, bare, which) -> Notebook:
    with_keys(monkeypatch, which)
    return bare


@lacks
def test_error_names_what_is_missing(lacking, flags, kind, names):
    error, _ = lacking.fail(f"%%qianfan_chat {flags}\nhi")
    told = [name for name in names if name in f"{error.message} {error.hint}"]
    assert (type(error), told) == (kind, names)


@lacks
def test_error_of_missing_keys_is_shown_in_two_lines(lacking, flags, kind, names):
    error, shown = lacking.fail(f"%%qianfan_chat {flags}\nhi")
    assert shown.splitlines() == two_lines(error)


# --- what goes wrong in version 2


def fault(code: str, status: int, **more: Any) -> Fault:
    return Fault(error_code=code, error_msg="their words", status=status, path=V2, **more)


WHOLE = {"choices": [{"index": 0, "delta": {"content": "all of it"}, "finish_reason": "stop"}]}
EVENTS = {"Content-Type": "text/event-stream"}
FAILS: dict[str, tuple[Fault, type[Exception], str]] = {
    "token": (fault("invalid_iam_token", 401), AuthError, "invalid_iam_token"),
    "application": (fault("invalid_appid", 401), AuthError, "invalid_appid"),
    "arrears": (fault("account_overdue", 403), AuthError, "account_overdue"),
    "rate": (fault("tpm_rate_limit_exceeded", 429), RateLimitError, "tpm_rate_limit"),
    "argument": (fault("invalid_argument", 400), APIError, "invalid_argument"),
    "unsafe": (fault("prompt_unsafe", 400), APIError, "prompt_unsafe"),
    "server": (fault("internal_error", 500), APIError, "internal_error"),
    "unknown code": (fault("brand_new", 418), APIError, "brand_new"),
    "page of a proxy": (Fault(status=502, body=b"<html>", path=V2), TransportError, "502"),
    "error in the stream": (fault("internal_error", 200, after=3), APIError, "internal_error"),
    "closed": (Fault(after=3, end="close", path=V2), StreamError, "stream"),
    "reset": (Fault(after=3, end="reset", path=V2), StreamError, "stream"),
    "no end": (Fault(after=3, body=b"", path=V2), StreamError, "ended before"),
    "no end though it is whole": (
        Fault(path=V2, headers=EVENTS, body=f"data: {json.dumps(WHOLE)}\n\n".encode()),
        StreamError,
        "ended before",
    ),
    "half an event": (Fault(after=3, body=b"data: {bro\n\n", path=V2), StreamError, "protocol"),
    "no choices": (
        Fault(path=V2, headers=EVENTS, body=b'data: {"result": "hi"}\n\n'),
        StreamError,
        "choices",
    ),
    "nothing": (Fault(path=V2, headers=EVENTS, body=b"data: [DONE]\n\n"), StreamError, ""),
}
NOTHING = FAILS.pop("nothing")
fails = pytest.mark.parametrize(("fault_", "kind", "words"), FAILS.values(), ids=FAILS)


def failed(bare: Notebook, own: EmbeddedServer, fault_: Fault) -> tuple[Any, str]:
    bare.run(f"{NEW}\nhi")
    own.fail(fault_)
    return bare.fail(f"{THINK} --retries 1\n{PUZZLE}")


@fails
def test_failure_says_what_happened(bare, own, fault_, kind, words):
    error, _ = failed(bare, own, fault_)
    assert (isinstance(error, kind), words in error.message) == (True, True)


@fails
def test_failure_ends_with_two_lines(bare, own, fault_, kind, words):
    error, shown = failed(bare, own, fault_)
    assert (shown.splitlines()[-2:], bool(error.hint)) == (two_lines(error), True)


@fails
def test_failure_leaves_the_conversation_as_it_was(bare, own, fault_, kind, words):
    failed(bare, own, fault_)
    assert [turn.user for turn in bare.turns()] == ["hi"]


def test_stream_without_a_word_is_an_empty_answer(bare, own):
    own.fail(NOTHING[0])
    shown = bare.run(f"{NEW}\nhi")
    assert ("The answer is empty." in shown, bare.turns()) == (True, [])


def test_stream_that_breaks_leaves_what_was_thought(bare, own):
    own.fail(Fault(after=3, end="close", path=V2))
    _, shown = bare.fail(f"{THINK}\n{PUZZLE}")
    assert re.match(r"\[Thinking\]\nA bat .*\n\[broken off\]\n", shown)


def test_given_token_that_is_refused_is_told_by_its_name(monkeypatch, bare, own):
    token = "bce-v3/ALTAK-strange/0123456789abcdef"
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", token)
    error, shown = bare.fail(f"{NEW}\nhi")
    found = (error.error_code, "QIANFAN_BEARER_TOKEN" in error.hint, token in shown)
    assert found == ("invalid_iam_token", True, False)


def test_given_token_that_is_refused_is_sent_once(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-strange/0123456789abcdef")
    bare.fail(f"{NEW}\nhi")
    assert asked_paths(own) == [NEW_PATH]


def test_strange_application_is_told_by_its_name(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_APP_ID", "app-strange")
    error, _ = bare.fail(f"{NEW}\nhi")
    assert (error.error_code, "QIANFAN_APP_ID" in error.hint) == ("invalid_appid", True)


def test_application_goes_along(monkeypatch, bare, own):
    monkeypatch.setenv("QIANFAN_APP_ID", own.authenticator.keys.app_id)
    bare.run(f"{NEW}\nhi")
    headers = {name.lower(): value for name, value in own.seen[-1].headers.items()}
    assert headers["appid"] == own.authenticator.keys.app_id


@pytest.mark.parametrize(
    "passing",
    [
        fault("rpm_rate_limit_exceeded", 429),
        fault("internal_error", 500),
        Fault(status=503, body=b"", path=V2),
        Fault(end="close", path=V2),
    ],
)
def test_failure_that_passes_is_tried_again(bare, own, passing):
    own.fail(passing)
    bare.run(f"{NEW}\nhi")
    assert (asked_paths(own), len(bare.turns())) == ([NEW_PATH] * 2, 1)


@pytest.mark.parametrize("code", ["account_overdue", "invalid_argument", "invalid_appid"])
def test_failure_that_stays_is_not_tried_again(bare, own, code):
    own.fail(fault(code, 403))
    bare.fail(f"{NEW}\nhi")
    assert asked_paths(own) == [NEW_PATH]


def test_unknown_model_of_the_service_is_told(bare, own):
    error, _ = bare.fail("%%qianfan_chat -m brand-new\nhi")
    assert (error.error_code, "%qianfan models" in error.hint) == ("invalid_model", True)


def test_unsafe_answer_of_version_2_is_not_kept(bare, own):
    bare.run(f"{NEW}\nhi")
    own.fail(Fault(fields={"flag": 2, "ban_round": -1}, path=V2))
    shown = bare.run(f"{NEW}\nsomething bad")
    assert ("ban_round -1" in shown, [t.user for t in bare.turns()]) == (True, ["hi"])


# --- too long by the service's own count

too_long = pytest.mark.parametrize("code", ["tokens_too_long", "characters_too_long"])


def too_much(bare: Notebook, own: EmbeddedServer, code: str, times: int = 1) -> str:
    bare.run(f"{NEW}\none", f"{NEW}\ntwo")
    own.fail(*[fault(code, 400)] * times)
    return bare.run(f"{NEW}\nthree")


@too_long
def test_too_long_for_the_service_is_sent_with_one_turn_less(bare, own, code):
    too_much(bare, own, code)
    sent = [[m["content"] for m in body["messages"]][::2] for body in bodies(own)[2:]]
    assert sent == [["one", "two", "three"], ["two", "three"]]


@too_long
def test_turn_that_was_too_long_is_told(bare, own, code):
    assert "The oldest turn was not sent: the service found" in too_much(bare, own, code)


def test_turns_are_left_out_one_by_one(bare, own):
    too_much(bare, own, "tokens_too_long", 2)
    assert [len(body["messages"]) for body in bodies(own)[2:]] == [5, 3, 1]


def test_turn_that_was_too_long_stays(bare, own):
    too_much(bare, own, "tokens_too_long")
    assert [turn.user for turn in bare.turns()] == ["one", "two", "three"]


def test_question_that_is_too_long_alone_says_what_to_do(bare, own):
    own.fail(fault("tokens_too_long", 400))
    error, _ = bare.fail(f"{NEW}\none")
    assert (error.error_code, "shorten" in error.hint) == ("tokens_too_long", True)


def test_card_of_version_2_cuts_the_conversation(notebook):
    notebook.run(f"%%qianfan_chat -m ernie-4.0-8k\n{'word ' * 3_000}")
    notebook.run(f"%%qianfan_chat -m ernie-4.0-8k\n{'word ' * 2_000}")
    assert len(bodies(notebook.server)[-1]["messages"]) == 1


@pytest.mark.parametrize("part", ["content", "reasoning_content"])
def test_key_that_is_quoted_in_pieces_is_masked(notebook, part):
    key = notebook.server.authenticator.keys.bearer_token
    remember(key)  # as its Credentials did, before this test
    deltas = [{part: key[place : place + 5]} for place in range(0, len(key), 5)]
    notebook.server.fail(streamed({"content": "It is "}, *deltas, {"content": "."}))
    shown = notebook.run(
        "%%qianfan_chat -m ernie-5.1 -o reply\nMy key?", "reply.text + reply.reasoning"
    )
    assert ("***" in shown, "ALTAK" in shown) == (True, False)


def test_model_that_does_not_think_is_not_asked_to(notebook):
    error, shown = notebook.fail("%%qianfan_chat -m ernie-4.5-turbo-128k --enable-thinking\nhi")
    assert "ernie-4.5-turbo-128k does not think" in error.message
    assert shown.splitlines() == two_lines(error)


def test_thinking_that_is_set_for_all_cells_spares_a_model_that_does_not(notebook):
    notebook.run("%config QianfanMagics.enable_thinking = True")
    notebook.run("%%qianfan_chat -m ernie-4.5-turbo-128k\nhi")
    assert "enable_thinking" not in bodies(notebook.server)[-1]


def test_misspelt_model_gets_a_suggestion(notebook):
    error, _ = notebook.fail("%%qianfan_chat -m ernie51\nhi")
    assert error.hint.startswith("Did you mean ernie-5.1?")


def test_answer_that_was_all_thinking_says_so(notebook):
    flags = "-m ernie-5.1 --enable-thinking --max-tokens 5"
    shown = notebook.run(f"%%qianfan_chat {flags}\nWhich is larger, 9.11 or 9.9?")
    assert "Thinking took all of it: raise --max-tokens" in shown


def test_thoughts_that_end_as_a_key_begins_stay_before_the_answer(notebook):
    remember("bce-v3/ALTAK-mine")
    deltas = [{"reasoning_content": "Plan "}, {"reasoning_content": "b"}, {"content": "Yes"}]
    notebook.server.fail(streamed(*deltas))
    shown = notebook.run("%%qianfan_chat -m ernie-5.1\nWell?")
    assert re.search(r"\[Thinking\]\s+Plan b\s+\[Answer\]\s+Yes", shown)
    assert shown.count("[Thinking]") == 1

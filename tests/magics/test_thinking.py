"""Models that think: the parameters of thinking, and reasoning beside the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import nbformat
from support.kernel import Kernel, Ran
from support.notebook import Notebook, assert_fails_cleanly
from support.page import turns_of
from support.requests_seen import V2, bodies, dry_run_body

from qianfan_magic import ParameterError
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.embedded.engines.reasoning import BAT_AND_BALL
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.masking import remember

PUZZLE = "A bat and a ball cost 1.10 together. What does the ball cost?"
REASONING, ANSWER = BAT_AND_BALL.thought, BAT_AND_BALL.right.strip()
NEW = "%%qianfan_chat -m ernie-5.1"
THINK = f"{NEW} --enable-thinking"
CODER = "%%qianfan_complete -m qwen3-coder-30b-a3b-instruct"
#: Enough tokens for the reasoning, and a few for the answer.
ENOUGH = estimate_tokens(REASONING) + 5


def parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a request of version 2 says besides its text, its model and its stream."""
    others = {"messages", "prompt", "model", "stream", "stream_options"}
    return {name: value for name, value in body.items() if name not in others}


def last_parameters(notebook: Notebook) -> dict[str, Any]:
    return parameters(bodies(notebook.server)[-1])


def streamed(*deltas: dict[str, Any], end: str = "") -> Fault:
    """Let version 2 answer with a stream of these deltas, complete unless `end` is given."""
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    body = "".join(events) + "data: [DONE]\n\n" * (not end)
    headers = {"Content-Type": "text/event-stream"}
    return Fault(path=V2, headers=headers, body=body.encode(), end=end)


# --- parameters


def test_flags_are_sent_as_parameters_of_version_2(notebook):
    for cell, expected in {
        NEW: {},
        THINK: {"enable_thinking": True},
        f"{NEW} --no-enable-thinking": {"enable_thinking": False},
        f"{NEW} --thinking-budget 100": {"thinking_budget": 100},
        f"{NEW} --seed 7": {"seed": 7},
        f"{NEW} --frequency-penalty -2 --presence-penalty 0.5": {
            "frequency_penalty": -2.0,
            "presence_penalty": 0.5,
        },
        f"{NEW} --max-completion-tokens 1": {"max_completion_tokens": 1},
        f"{NEW} --max-tokens 1": {"max_tokens": 1},
        f"{NEW} --user-id li": {"user": "li"},
        f"{THINK} --thinking-budget=200 -t 0.5": {
            "enable_thinking": True,
            "thinking_budget": 200,
            "temperature": 0.5,
        },
        # Its card says that it has another field.
        "%%qianfan_chat -m deepseek-v4-pro --no-enable-thinking": {
            "thinking": {"type": "disabled"}
        },
    }.items():
        notebook.run(f"{cell}\nhi")
        assert last_parameters(notebook) == expected, cell


def test_model_without_a_card_is_sent_enable_thinking(notebook):
    body = dry_run_body(notebook, "%%qianfan_chat -m brand-new --enable-thinking --dry-run\nhi")
    assert parameters(body) == {"enable_thinking": True}


def test_effort_is_sent_where_the_card_has_it_or_nothing_is_known(notebook):
    """A flag that does not apply is an error, a setting for every cell is left out."""
    notebook.run('%config QianfanMagics.models = {"r": {"model": "ernie-5.1", "effort": True}}')
    effort = {"reasoning_effort": "low"}
    flag = "--reasoning-effort low"
    notebook.run(f"%%qianfan_chat -m r {flag}\nhi")
    assert last_parameters(notebook) == effort
    assert notebook.turns()[-1].parameters == effort
    assert_fails_cleanly(notebook, f"{NEW} {flag}\nhi", "5.1 does not take reasoning_effort")
    notebook.run("%config QianfanMagics.reasoning_effort = 'low'")
    for model, expected in {"r": effort, "ernie-5.1": {}, "brand-new": effort}.items():
        body = dry_run_body(notebook, f"%%qianfan_chat -m {model} --dry-run\nhi")
        assert parameters(body) == expected, model
    notebook.run("%%qianfan_chat --compare model=r,ernie-5.1\nhi")
    assert [parameters(body) for body in bodies(notebook.server)[-2:]] == [{}, {}]


def test_limit_of_a_flag_takes_the_place_of_the_other_limit_for_every_cell(notebook):
    notebook.run("%qianfan params max_tokens=50")
    for flags, expected in {
        "": [{"max_tokens": 50}],
        "--max-completion-tokens 9": [{"max_completion_tokens": 9}],
        "--compare max_completion_tokens=8,9": [
            {"max_completion_tokens": 8},
            {"max_completion_tokens": 9},
        ],
    }.items():
        notebook.run(f"{NEW} {flags}\nhi")
        sent = [parameters(body) for body in bodies(notebook.server)[-len(expected) :]]
        assert sorted(sent, key=str) == expected, flags


def test_model_that_always_thinks_needs_no_parameter(notebook):
    for model in ("ernie-5.0-thinking-latest", "ernie-5.0-thinking-exp"):
        notebook.run(f"%%qianfan_chat -m {model} -o reply\n{PUZZLE}")
        assert last_parameters(notebook) == {}, model
        assert notebook.bound("reply")[0].reasoning == REASONING, model


def test_suffix_lets_the_model_fill_the_middle(notebook):
    notebook.run(f'{CODER} --suffix "    return result" -o middle\ndef fahrenheit(celsius):')
    assert last_parameters(notebook) == {"suffix": "    return result"}
    scope: dict[str, Any] = {}
    middle = notebook.bound("middle")[0].text
    exec(f"def fahrenheit(celsius):\n{middle}\n    return result", scope)
    assert scope["fahrenheit"](100) == 212


# --- parameters that are set for every cell

FOR_EVERY_CELL = {
    "%config QianfanMagics.enable_thinking = True": "%config QianfanMagics.enable_thinking = None",
    "%qianfan params enable_thinking=true": "%qianfan params enable_thinking=none",
}


def test_thinking_for_every_cell_is_sent_where_it_applies(notebook):
    for line, undo in FOR_EVERY_CELL.items():
        notebook.run(line)
        for cell, expected in {
            NEW: {"enable_thinking": True},
            f"{NEW} --no-enable-thinking": {"enable_thinking": False},
            "%%qianfan_chat": {},
            "%%qianfan_complete": {},
            CODER: {},
            "%%qianfan_chat -m ernie-4.5-turbo-128k": {},
        }.items():
            notebook.run(f"{cell}\nhi")
            assert last_parameters(notebook) == expected, f"{line}, {cell}"
        notebook.run(undo, f"{NEW}\nhi")
        assert last_parameters(notebook) == {}, undo


def test_thinking_for_every_cell_is_sent_if_it_applies_to_all_columns(notebook):
    notebook.run('%config QianfanMagics.models = {"old": {"endpoint": "dolly_12b"}}')
    for line, undo in FOR_EVERY_CELL.items():
        notebook.run(line)
        for models in ("old,ernie-5.1", "ernie-5.1,old"):
            notebook.run(f"%%qianfan_chat --compare model={models}\nhi")
            for body in bodies(notebook.server)[-2:]:
                assert parameters(body) == {}, f"{line}, {models}"
        notebook.run("%%qianfan_chat --compare model=ernie-5.1,deepseek-v4-pro\nhi")
        sent = {body["model"]: parameters(body) for body in bodies(notebook.server)[-2:]}
        assert sent["ernie-5.1"] == {"enable_thinking": True}, line
        assert sent["deepseek-v4-pro"] == {"thinking": {"type": "enabled"}}, line
        notebook.run(undo)


def test_other_parameters_for_every_cell_are_sent_to_their_version_only(notebook):
    notebook.run("%config QianfanMagics.thinking_budget = 200", "%config QianfanMagics.seed = 7")
    notebook.run("%qianfan params top_k=5", "%%qianfan_chat\nhi", f"{NEW} -n new\nhi")
    first, last = bodies(notebook.server)
    assert parameters(first) == {"top_k": 5}
    assert parameters(last) == {"thinking_budget": 200, "seed": 7}


# --- parameters that are refused

WRONG = {
    "%%qianfan_chat -e dolly_12b --enable-thinking\nhi": "version 1",
    "%%qianfan_chat --no-enable-thinking\nhi": "enable_thinking",
    "%%qianfan_chat --thinking-budget 200\nhi": "thinking_budget",
    "%%qianfan_chat --seed 7\nhi": "seed",
    f"{NEW} --top-k 5\nhi": "top_k .* version 2",
    f"{CODER} --enable-thinking\nhi": "--enable-thinking",
    f"{CODER} --penalty-score 1.5\nhi": "penalty_score",
    "%%qianfan_complete --suffix x\nhi": "suffix",
    f"{NEW} --suffix x\nhi": "suffix",
    f"{NEW} --thinking-budget 99\nhi": "thinking_budget is '99'",
    f"{NEW} --thinking-budget many\nhi": "thinking_budget is 'many'",
    f"{NEW} --seed 0\nhi": "seed is '0'",
    f"{NEW} --seed 2147483647\nhi": "seed is '2147483647'",
    f"{NEW} --max-tokens 0\nhi": "max_tokens is '0'",
    "%%qianfan_chat --compare seed=1,2\nhi": "seed",
    f"{NEW} --compare enable_thinking=maybe,true\nhi": "'maybe'",
    "%qianfan params enable_thinking=maybe": "'maybe'",
    "%%qianfan_complete -m ernie-5.1\nhi": "chat model",
    "%%qianfan_chat -e a_dolly_12b -m ernie-5.1\nhi": "version 1 .* 2",
    "%%qianfan_chat -m '../x'\nhi": "'../x'",
    "%%qianfan_chat -m ernie-4.5-turbo-128k --enable-thinking\nhi": "128k does not think",
}


def test_parameter_that_does_not_apply_fails_cleanly(notebook):
    for cell, words in WRONG.items():
        assert_fails_cleanly(notebook, cell, words, ParameterError)


# --- reasoning is shown


def test_terminal_shows_the_reasoning_above_the_answer(notebook):
    shown = notebook.run(f"{THINK}\n{PUZZLE}")
    line = "[ernie-5.1 · done · 281 tokens · enable_thinking=true]"
    assert shown == f"[Thinking]\n{REASONING}\n\n[Answer]\n{ANSWER}\n{line}\n"
    assert "[Answer]" not in notebook.run(f"{NEW}\nhi")


def test_control_characters_of_reasoning_do_not_reach_the_terminal(notebook):
    notebook.server.fail(streamed({"reasoning_content": "a\x1b[2Jb"}, {"content": "c"}))
    assert "\x1b" not in notebook.run(f"{NEW}\nhi")


def test_output_folds_the_reasoning_above_the_answer(quiet):
    for flags in ("", "--no-stream"):
        (shown,) = quiet.run(f"{THINK} {flags}\n{PUZZLE}").contents("display_data")
        plain, html = shown["data"]["text/plain"], shown["data"]["text/html"]
        start = f"[Thinking]\n\n{REASONING}\n\n[Answer]\n\n{ANSWER}\n\n[ernie-5.1"
        assert plain.startswith(start), flags
        ((attributes, inside),) = re.findall(r"<details([^>]*)>(.*?)</details>", html, re.DOTALL)
        assert "open" not in attributes, flags
        assert "Thinking</summary>" in inside, flags
        assert "5 cents</strong>" not in inside, flags
        assert "5 cents</strong>" in html.partition("</details>")[2], flags
        assert [turn.reasoning for turn in turns_of(shown)] == [REASONING], flags


def test_output_without_reasoning_has_no_fold(quiet):
    bundle = quiet.run(f"{NEW}\n{PUZZLE}").bundles[0]
    assert "details" not in bundle["text/html"]
    assert "[Answer]" not in bundle["text/plain"]


def test_reasoning_is_apart_from_the_answer_and_escaped_in_every_format(quiet):
    hostile = "</pre></details><script>alert(1)</script>"
    for form in ("markdown", "text", "html", "json"):
        quiet.server.fail(streamed({"reasoning_content": hostile}, {"content": '{"a": 1}'}))
        bundle = quiet.run(f"{NEW} --format {form}\nhi").bundles[0]
        start = f"[Thinking]\n\n{hostile}\n\n[Answer]\n\n{{"
        assert bundle["text/plain"].startswith(start), form
        html = bundle["text/html"]
        assert "&lt;/pre&gt;&lt;/details&gt;&lt;script&gt;" in html, form
        assert "<script" not in html, form
        assert html.count("</details>") == 1, form


def test_key_in_reasoning_is_masked_in_the_saved_output(quiet):
    token = quiet.server.authenticator.keys.bearer_token
    quiet.server.fail(streamed({"reasoning_content": f"a {token} b"}, {"content": "c"}))
    (shown,) = quiet.run(f"{NEW}\nhi").contents("display_data")
    saved = json.dumps(shown)
    assert saved.count("a *** b") == 2
    assert token not in saved


def test_live_reasoning_is_shown_apart_from_the_answer_and_folded_at_the_end(live):
    live.server.pace = 0.005
    ran = live.run(f"{THINK}\n{PUZZLE}")
    reasoning = "".join(frame.get("thinking", "") for frame in ran.frames)
    assert len(reasoning) > 100
    assert REASONING.startswith(reasoning)
    assert "tempting" not in ran.seen
    assert ran.bundles[-1]["text/html"].count("<details") == 1


def test_key_that_is_quoted_in_pieces_is_masked(notebook):
    key = notebook.server.authenticator.keys.bearer_token
    remember(key)  # its Credentials did so before this test
    for part in ("content", "reasoning_content"):
        deltas = [{part: key[place : place + 5]} for place in range(0, len(key), 5)]
        notebook.server.fail(streamed({"content": "It is "}, *deltas, {"content": "."}))
        shown = notebook.run(f"{NEW} -o reply\nMy key?", "reply.text + reply.reasoning")
        assert "***" in shown, part
        assert "ALTAK" not in shown, part


def test_reasoning_that_ends_like_the_start_of_a_key_stays_before_the_answer(notebook):
    remember("bce-v3/ALTAK-mine")
    deltas = [{"reasoning_content": "Plan "}, {"reasoning_content": "b"}, {"content": "Yes"}]
    notebook.server.fail(streamed(*deltas))
    shown = notebook.run(f"{NEW}\nWell?")
    assert re.search(r"\[Thinking\]\s+Plan b\s+\[Answer\]\s+Yes", shown)
    assert shown.count("[Thinking]") == 1


# --- reasoning is kept, and not sent


def test_reasoning_is_kept_apart_from_the_text_and_not_sent(notebook):
    notebook.run(f"{THINK} -o reply\n{PUZZLE}")
    reply = notebook.bound("reply")[0]
    assert reply.reasoning == REASONING
    assert reply.text == ANSWER
    assert notebook.turns()[0].reasoning == REASONING
    notebook.run("%qianfan history -o messages", f"{THINK}\nWhat was my first question?")
    messages = [
        {"role": "user", "content": PUZZLE},
        {"role": "assistant", "content": ANSWER},
    ]
    assert notebook.bound("messages") == [messages]
    assert bodies(notebook.server)[-1]["messages"][:-1] == messages


def test_reasoning_is_saved_and_loaded(notebook):
    notebook.run(f"{THINK}\n{PUZZLE}", "%qianfan save a.json", "%qianfan reset --all")
    notebook.run("%qianfan load a.json")
    assert notebook.turns()[0].reasoning == REASONING


def test_column_shows_its_reasoning_and_keeps_it(notebook):
    shown = notebook.run(f"{NEW} --compare enable_thinking=false,true\n{PUZZLE}")
    sent = [body["enable_thinking"] for body in bodies(notebook.server)]
    assert sorted(sent) == [False, True]
    assert [part.count(REASONING) for part in shown.split("\n---\n")] == [0, 1]
    notebook.run("%qianfan keep 2")
    assert notebook.turns()[0].reasoning == REASONING


def test_reasoning_is_no_code_for_the_next_cell(notebook):
    code = "```python\nx = 1\n```"
    notebook.server.fail(streamed({"reasoning_content": "```\nwrong\n```"}, {"content": code}))
    notebook.run(f"{NEW} --format code\nhi")
    assert notebook.shell.rl_next_input == "x = 1"


def save(ran: Ran, path: str) -> None:
    """Save a notebook of one cell as a front end does."""
    outputs = [
        nbformat.v4.new_output("display_data", one["data"], metadata=one["metadata"])
        for one in ran.contents("display_data")
    ]
    cell = nbformat.v4.new_code_cell("", outputs=outputs, id="a")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def test_restored_reasoning_is_not_sent(quiet, notebook):
    save(quiet.run(f"{THINK}\n{PUZZLE}"), "page.ipynb")
    notebook.run("%qianfan restore page.ipynb")
    assert [turn.reasoning for turn in notebook.turns()] == [REASONING]
    notebook.run(f"{NEW}\nhi")
    contents = [message["content"] for message in bodies(notebook.server)[-1]["messages"]]
    assert contents == [PUZZLE, ANSWER, "hi"]


# --- answers that are truncated, continued or interrupted


def test_continued_answer_keeps_its_reasoning_and_shows_it_once(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}")
    shown = notebook.run(f"{NEW} --continue -o reply\n")
    assert shown.count(REASONING) == 1
    (turn,), reply = notebook.turns(), notebook.bound("reply")[0]
    assert (turn.reasoning, turn.assistant) == (REASONING, ANSWER)
    assert not turn.truncated
    assert (reply.reasoning, reply.text) == (REASONING, ANSWER)
    messages = bodies(notebook.server)[-1]["messages"]
    assert [set(message) for message in messages] == [{"role", "content"}] * 3


def test_continued_answer_adds_its_reasoning(notebook):
    notebook.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}")
    notebook.server.fail(streamed({"reasoning_content": " More."}, {"content": " rest"}))
    notebook.run(f"{THINK} --continue\n")
    (turn,) = notebook.turns()
    assert turn.reasoning == f"{REASONING} More."
    assert turn.assistant.endswith(" rest")


def test_restored_answer_that_is_continued_keeps_its_reasoning(quiet, notebook):
    save(quiet.run(f"{THINK} --max-tokens {ENOUGH}\n{PUZZLE}"), "page.ipynb")
    notebook.run("%qianfan restore page.ipynb", f"{NEW} --continue\n")
    turns = [(turn.reasoning, turn.assistant) for turn in notebook.turns()]
    assert turns == [(REASONING, ANSWER)]


def test_truncated_reasoning_without_an_answer_is_noted_and_not_kept(notebook):
    shown = notebook.run(f"{THINK} --max-tokens 20\n{PUZZLE}")
    assert "[Thinking]" in shown
    assert "cut off" in shown
    assert "answer is empty" in shown
    assert "Thinking took all of it: raise --max-tokens" in shown
    assert notebook.turns() == []


def interrupt(kernel: Kernel, when: Callable[[Ran], Any], *deltas: dict[str, Any]) -> Ran:
    """Interrupt an answer that falls silent, once the front end shows enough of it."""
    kernel.run("%qianfan reset --all")
    kernel.server.fail(streamed(*deltas, end="silence"))
    return kernel.stopped(f"{NEW} -n stopped\nhi", when)


def test_interrupted_reasoning_is_shown_and_adds_no_turn(live):
    def is_thinking(ran: Ran) -> bool:
        return any("thinking" in frame for frame in ran.frames)

    ran = interrupt(live, is_thinking, {"reasoning_content": "aha"})
    shown = ran.bundles[-1]["text/plain"]
    assert ran.reply["ename"] == "KeyboardInterrupt"
    assert "aha" in shown
    assert "ernie-5.1 · stopped" in shown
    assert "stopped (" not in live.run("%qianfan").bundles[0]["text/plain"]


def test_interrupted_answer_keeps_its_reasoning(live):
    ran = interrupt(live, lambda ran: ran.seen, {"reasoning_content": "aha"}, {"content": "so"})
    (turn,) = turns_of(ran.contents("update_display_data")[-1])
    assert (turn.reasoning, turn.assistant, turn.stopped) == ("aha", "so", True)

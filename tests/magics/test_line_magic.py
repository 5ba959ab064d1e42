"""``%qianfan``: its subcommands, Tab completion, and loading and unloading the extension."""

from __future__ import annotations

import re
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support.notebook import BOTH, GREETING, LOAD_ANEW, assert_fails_cleanly, sent
from support.requests_seen import with_keys

from qianfan_magic import ParameterError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.magics import magics
from qianfan_magic.magics.magics import QianfanMagics

SUBCOMMANDS = [
    *("status", "demo", "params", "history", "undo", "reset", "keep"),
    *("save", "load", "restore", "models", "request", "usage", "jobs", "doctor", "help"),
]


def accepts_connections(server: EmbeddedServer) -> bool:
    address = urlsplit(server.base_url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


# --- demo


def test_demo_needs_no_key_and_takes_a_seed(bare):
    assert "no key is needed" in bare.run("%qianfan demo --seed 3")
    assert bare.server.seed == 3


def test_demo_works_in_spite_of_wrong_settings(monkeypatch, bare):
    monkeypatch.setenv("QIANFAN_AK", "alone")
    bare.run("%qianfan demo")
    assert GREETING.search(bare.run("%%qianfan_chat\nhi"))


def test_second_demo_replaces_the_server_and_keeps_the_conversations(notebook):
    first = notebook.server
    assert accepts_connections(first)
    notebook.run("%%qianfan_chat\nhi", "%qianfan demo", "%%qianfan_chat\nhi")
    assert not accepts_connections(first)
    assert len(notebook.bodies[-1]["messages"]) == 3


# --- status


def test_status_names_services_parameters_and_conversations(notebook):
    for line in ("%qianfan", "%qianfan status"):
        services = r"Chat: +dolly_12b \(version 1\)\nCompletion: +starcoder \(version 1\)\n"
        assert re.search(services, notebook.run(line)), line
    notebook.run("%config QianfanMagics.temperature = 0.25")
    notebook.run("%config QianfanMagics.chat_endpoint = 'b_dolly_12b'")
    shown = notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat -n tutor\nhi", "%qianfan")
    assert re.search(r"Chat: +b_dolly_12b \(version 1\)\n", shown)
    assert re.search(r"Parameters: +temperature=0.25\n", shown)
    assert re.search(r"Conversations: +default \(1 turn\), tutor \(1 turn\)", shown)


def test_status_names_the_credentials_without_their_values(own, bare):
    shown = bare.run("%%qianfan_chat\nhi", "%qianfan")
    keys = re.escape("ak=***, sk=***, bearer_token=***")
    assert re.search(rf"Credentials: +Credentials\({keys}\)", shown)
    for secret in (own.authenticator.keys.ak, own.authenticator.keys.sk, *own.authenticator.tokens):
        assert secret not in shown


def test_status_says_which_version_has_no_credentials(monkeypatch, bare):
    for which, lacking in {"none": ["1", "2"], "v1": ["2"], "v2": ["1"]}.items():
        with monkeypatch.context() as patch:
            with_keys(patch, which)
            shown = bare.run("%qianfan")
        assert re.findall(r"Version (\d): +no credentials", shown) == lacking, which
        if which == "none":
            assert re.search(r"Credentials: +none\n", shown)


# --- help


def test_help_lists_the_subcommands(bare):
    for line in ("%qianfan help", "%qianfan -h"):
        assert "Everything except asking a question." in bare.run(line), line
    shown = bare.run("%qianfan help")
    for name in SUBCOMMANDS:
        assert re.search(rf"^{name} +\w", shown, re.MULTILINE), name


def test_help_of_a_subcommand_lists_its_flags_and_does_not_run_it(notebook):
    notebook.run("%%qianfan_chat\nhi")
    for name, flag in {"history": "--output", "reset": "--all"}.items():
        shown = notebook.run(f"%qianfan {name} -h")
        assert shown.startswith(f"%qianfan {name} [flags]\n")
        assert flag in shown, name
    assert notebook.questions() == ["hi"]


# --- errors and interrupts

WRONG = {
    "%qianfan nonsense": "nonsense",
    "%qianfan reset --nonsense": "--nonsense",
    "%qianfan reset -n 'open": "quot",
    "%qianfan demo --engine gpt": "gpt",
    "%qianfan demo --seed x": "seed",
    "%qianfan reset -n nobody": "no conversation 'nobody'",
    "%qianfan history -n nobody": "no conversation 'nobody'",
    "%qianfan history -o 1st": "1st",
}


def test_wrong_line_fails_cleanly(notebook):
    notebook.run("%%qianfan_chat\nhi")
    for line, words in WRONG.items():
        assert_fails_cleanly(notebook, line, words, ParameterError)


def test_failed_line_stops_the_cell(bare):
    bare.fail("%qianfan nonsense\nreached = True")
    assert "reached" not in bare.shell.user_ns


def test_interrupted_subcommand_ends_in_one_line(notebook):
    """Its traceback would show the variables of urllib3, and the keys among them."""
    notebook.run("%xmode Verbose")
    for line in ("%qianfan models --fresh", "%qianfan doctor"):
        # The doctor waits for the headers alone.
        notebook.server.fail(Fault(status=0, end="silence", path="/v2/models"))
        before = len(notebook.server.seen)

        def is_asked(before: int = before) -> bool:
            return any(seen.path == "/v2/models" for seen in notebook.server.seen[before:])

        _, shown = notebook.stopped(line, is_asked)
        assert shown.splitlines() == ["Stopped."], line


# --- loading and unloading


def test_extension_is_registered_once(bare):
    bare.run("%load_ext qianfan_magic")
    ours = [one for one in bare.shell.configurables if type(one).__name__ == "QianfanMagics"]
    assert len(ours) == 1
    magics = bare.shell.magics_manager.magics
    assert set(BOTH) <= set(magics["cell"])
    assert "qianfan" in magics["line"]


def attachments(shell: InteractiveShell) -> dict[str, list[Any]]:
    """Return everything that an extension can register with a shell."""
    magics = shell.magics_manager.magics
    return {
        "line magics": sorted(magics["line"]),
        "cell magics": sorted(magics["cell"]),
        "registry": sorted(shell.magics_manager.registry),
        "configurables": sorted(shell.configurables, key=id),
        "matchers": list(shell.Completer.custom_matchers),
        "cleanup": list(shell.input_transformers_cleanup),
        "post": list(shell.input_transformers_post),
        "events": [len(callbacks) for callbacks in shell.events.callbacks.values()],
        "variables": sorted(shell.user_ns),
        "handlers": sorted(map(str, shell.custom_exceptions)),
    }


def test_unload_removes_everything_that_load_registered(shell):
    before = attachments(shell)
    shell.extension_manager.load_extension("qianfan_magic")
    assert attachments(shell) != before
    shell.run_line_magic("qianfan", "demo")
    shell.extension_manager.unload_extension("qianfan_magic")
    assert attachments(shell) == before


def test_unload_stops_the_server(notebook):
    server = notebook.server
    notebook.run("%unload_ext qianfan_magic")
    assert not accepts_connections(server)
    error, _ = notebook.fail("%qianfan")
    assert "not found" in str(error)


def test_extension_that_was_unloaded_starts_anew(notebook):
    server = notebook.server
    notebook.run("%%qianfan_chat\nhi", LOAD_ANEW)
    assert not accepts_connections(server)
    notebook.run("%qianfan demo")
    assert notebook.conversation_names() == []
    assert GREETING.search(notebook.run("%%qianfan_chat\nhi"))


def test_reload_keeps_what_the_notebook_holds(notebook):
    notebook.run("%config QianfanMagics.top_k = 3", "%qianfan params temperature=0.3")
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat --compare top_p=0.1,0.9\nhello")
    server, threads = notebook.server, threading.active_count()
    for _ in range(2):
        notebook.run("%reload_ext qianfan_magic")
    assert (notebook.server, threading.active_count()) == (server, threads)
    notebook.run("%qianfan keep 2", "%%qianfan_chat\nhey")
    assert notebook.questions() == ["hi", "hello", "hey"]
    assert sent(notebook) == {"temperature": 0.3, "top_k": 3, "stream": True}
    assert notebook.turns()[1].parameters["top_p"] == 0.9


def test_reload_registers_everything_once(notebook):
    before = attachments(notebook.shell)
    notebook.run("%reload_ext qianfan_magic")
    assert attachments(notebook.shell) == before


def test_reload_after_the_package_was_imported_anew_stops_the_old_server(notebook, monkeypatch):
    server = notebook.server
    monkeypatch.setattr(magics, "QianfanMagics", type("QianfanMagics", (QianfanMagics,), {}))
    notebook.run("%reload_ext qianfan_magic")
    assert not accepts_connections(server)
    assert notebook.conversation_names() == []


def test_cell_that_quotes_a_magic_is_plain_python(bare):
    bare.run("x = '%%qianfan_chat'")
    assert bare.bound("x") == ["%%qianfan_chat"]


# --- Tab completion


def test_tab_completes_flags_values_and_subcommands(bare):
    for line, completions in {
        "%%qianfan_chat --temp": ["--temperature"],
        "%%qianfan_chat -t 0.5 --top": ["--top-p", "--top-k"],
        "%%qianfan_complete --dry": ["--dry-run"],
        "%%qianfan_chat --sys": ["--system"],
        "%%qianfan_chat --format ": ["markdown", "text", "json", "html", "code"],
        "%%qianfan_chat --format m": ["markdown"],
        "%%qianfan_chat --compare temp": ["temperature="],
        "%%qianfan_chat -m ERNIE-4": ["ERNIE-4.0-8K"],
        "%qianfan ": SUBCOMMANDS,
        "%qianfan h": ["history", "help"],
        "%qianfan params to": ["top_p=", "top_k="],
        "%qianfan reset --a": ["--all"],
        "%qianfan history --o": ["--output"],
        "%qianfan req": ["request"],
        "%qianfan request --a": ["--as"],
        "%qianfan request --o": ["--output"],
    }.items():
        assert bare.complete(line) == completions, line


def test_tab_completes_the_magics_beside_python(bare):
    bare.run("walls = 1")
    for name in ("%%qianfan_chat", "%%qianfan_complete", "%qianfan", "walls"):
        assert name in bare.complete(name[:-1]), name


def test_tab_does_not_complete_flags_that_do_not_apply(bare):
    assert "--system" not in bare.complete("%%qianfan_complete --")
    assert "--temperature" not in bare.complete("%%qianfan_chat -t 0.5\nhow --t")


def test_tab_completes_the_endpoints_of_earlier_cells_latest_first(notebook):
    notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat\nhi")
    assert notebook.complete("%%qianfan_chat -e d") == ["dolly_12b"]
    notebook.run("%%qianfan_chat -e a_dolly_12b\nhi", "%%qianfan_chat -e b_dolly_12b\nhi")
    for flag in ("-e", "--endpoint"):
        completions = notebook.complete(f"%%qianfan_chat {flag} ")
        assert completions == ["b_dolly_12b", "a_dolly_12b", "dolly_12b"], flag


def test_tab_completes_the_names_of_conversations(notebook):
    notebook.run("%%qianfan_chat -n tutor\nhi", "%%qianfan_chat -n trial\nhi")
    for before in ("%%qianfan_chat -n", "%qianfan reset -n", "%qianfan history -n"):
        assert notebook.complete(f"{before} t") == ["trial", "tutor"], before


def test_completion_replaces_the_word_before_the_cursor(bare):
    line = "%%qianfan_chat -t 0.5 --temp"
    with provisionalcompleter():
        completions = list(bare.shell.Completer.completions(line, len(line)))
    assert [(one.start, one.end, one.text) for one in completions] == [(22, 28, "--temperature")]


def test_status_says_which_credentials_are_used(monkeypatch, bare):
    root = "QIANFAN_API_BASE_URL"
    for variables, words in (
        ({}, "none"),
        ({root: "http://localhost:1/v1"}, "none, and none needed: the server is on this computer"),
        ({root: "http://localhost:1/v1", "QIANFAN_API_KEY": "made-up"}, "bearer_token=***"),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        (line,) = [row for row in bare.run("%qianfan").splitlines() if row[:12] == "Credentials:"]
        assert words in line, variables
        assert "made-up" not in line, variables

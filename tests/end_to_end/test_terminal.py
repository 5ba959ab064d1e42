"""Answers in terminals: IPython, and `jupyter console` in front of a kernel; with real ptys."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

pytestmark = pytest.mark.kernel  # as slow as a kernel
PROMPT = r"In \[\d+\]: "
ASK = "get_ipython().run_cell_magic('qianfan_chat', '{}', '''{}''')"
COLUMNS = 60
PATIENCE = 30  # seconds; only a test that fails waits so long
STYLE = re.compile(r"\x1b\[[\d;]*m")

Start = Callable[..., "Terminal"]


class Terminal:
    """A program at a prompt, in a terminal of its own."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("QIANFAN_")}
        for name in ("PYTEST_VERSION", "COLUMNS", "LINES"):  # the first tells of a test
            inherited.pop(name, None)
        environment = {
            **inherited,
            "IPYTHONDIR": str(folder / "ipython"),
            "QIANFAN_CACHE_DIR": str(folder / "cache"),
            "TERM": "xterm-256color",
        }
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", *arguments],
            env=environment,
            cwd=str(folder),
            encoding="utf-8",
            dimensions=(40, COLUMNS),
            timeout=PATIENCE,
        )
        self.process.expect(PROMPT)
        self.run("%load_ext qianfan_magic")
        self.run("%qianfan demo -o server")

    def run(self, line: str) -> str:
        """Run a line; return what appears between it and the next prompt."""
        self.process.sendline(line)
        self.process.expect(PROMPT)
        return self.process.before.replace("\r\n", "\n")

    def ask(self, question: str, flags: str = "") -> str:
        return self.run(ASK.format(flags, question))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Terminal] = []

    def make(*arguments: str) -> Terminal:
        started.append(Terminal(list(arguments), tmp_path))
        return started[-1]

    yield make
    for terminal in started:
        terminal.process.close(force=True)


@pytest.fixture
def ipython(start: Start) -> Terminal:
    return start("IPython", "--simple-prompt", "--no-banner", "--colors=nocolor")


def shown(written: str) -> list[str]:
    """Return the lines that stay on the terminal, without styles."""
    lines = STYLE.sub("", written).split("\n")
    return [line.rpartition("\x1b[2K")[2].rstrip() for line in lines]


def test_ipython_writes_markdown_within_the_width(ipython: Terminal) -> None:
    written = ipython.ask("Please introduce The Great Wall")
    lines = shown(written)[3:]  # behind the line that was typed
    assert "**" not in "\n".join(lines)
    assert "\x1b[1mGreat Wall of China\x1b[0m" in written
    assert any(line.startswith(" 1 ") and "7th century BC" in line for line in lines)
    assert max(map(len, lines)) <= COLUMNS


def test_control_characters_and_markup_of_an_answer_stay_text(ipython: Terminal) -> None:
    hostile = "\x1b]0;owned\x07 \x1b[31mred [bold]x[/bold] [a](javascript:b)\n\n\x9b2J end"
    ipython.run(f"from qianfan_magic.embedded.engines import Engine; text = {hostile!r}")
    ipython.run("server.engine = Engine(lambda question: text, lambda question: '')")
    written = ipython.ask("hi")
    assert not re.search(r"\x1b\]0;owned|\x1b\[31m|\x9b|\x07", written)
    assert "[bold]x[/bold]" in written


def test_without_rich_the_text_arrives_as_it_is(ipython: Terminal) -> None:
    ipython.run("import sys; sys.modules['rich.console'] = None")
    assert "The **Great Wall of China**" in ipython.ask("Please introduce The Great Wall")


def test_columns_of_a_comparison_stand_below_one_another(ipython: Terminal) -> None:
    lines = shown(ipython.ask("Suggest a name for a cat.", "--compare temperature=0.1,0.9"))
    titles = [line for line in lines if line.startswith("temperature=")]
    assert titles == ["temperature=0.1", "temperature=0.9"]


def test_console_shows_text_that_grows_and_ctrl_c_stops(start: Start) -> None:
    console = start("jupyter_console", "--simple-prompt")
    console.run("server.pace = 0.3")
    console.process.sendline(ASK.format("", "Please introduce The Great Wall"))
    console.process.expect("Great Wall of China")
    console.process.sendintr()
    console.process.expect(PROMPT)
    assert "UNESCO" not in console.process.before
    assert "stopped" in console.process.before

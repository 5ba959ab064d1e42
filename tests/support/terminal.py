"""A real terminal, in which a program of Jupyter runs and cells are typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
from support.kernel import is_foreign
from support.waiting import PATIENCE

from qianfan_magic.embedded.server import EmbeddedServer

#: What tells a program that pytest, a notebook or a user with own colors started it.
_SIGNS = {"PYTEST_VERSION", "JPY_SESSION_NAME", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}


class Terminal:
    """A terminal of 24 lines, and the embedded server to which its cells send."""

    def __init__(self, process: Any, server: EmbeddedServer) -> None:
        self._process, self.server = process, server
        self._number = 1

    def type(self, code: str) -> None:
        """Type a line of code at the next prompt."""
        self._process.expect_exact(f"In [{self._number}]: ")
        self._number += 1
        self._process.sendline(code)
        self._process.expect_exact(code)  # the terminal's echo

    def chat(self, question: str, flags: str = "") -> None:
        """Type a cell; several lines would be subject to the editor's indentation."""
        self.type(f"get_ipython().run_cell_magic('qianfan_chat', {flags!r}, {question!r})")

    def wait_for(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        self._process.expect_exact(text)

    def answer(self, question: str, text: str) -> None:
        """Answer a question of the program."""
        self._process.expect_exact(question)
        self._process.sendline(text)

    def rest(self) -> str:
        """Wait for the next prompt, and return what the program wrote until then."""
        self._process.expect_exact(f"\nIn [{self._number}]: ")
        self._number += 1
        self._process.sendline("0")
        return str(self._process.before)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.sendintr()


@contextmanager
def typing_into(command: str, folder: Path, width: int = 100) -> Iterator[Terminal]:
    """Run a program in a terminal and load the extension there."""
    with EmbeddedServer() as server:
        inherited = {k: v for k, v in os.environ.items() if k not in _SIGNS and not is_foreign(k)}
        own = {"IPYTHONDIR": str(folder / "ipython"), "QIANFAN_CACHE_DIR": str(folder / "cache")}
        own |= {"QIANFAN_CHAT_ENDPOINT": "dolly_12b", "TERM": "xterm-256color"}
        environment: Any = inherited | server.environment() | own
        process = pexpect.spawn(
            command,
            env=environment,
            cwd=str(folder),
            timeout=PATIENCE,
            encoding="utf-8",
            dimensions=(24, width),
        )
        terminal = Terminal(process, server)
        try:
            terminal.type("%load_ext qianfan_magic")
            yield terminal
        finally:
            process.close(force=True)

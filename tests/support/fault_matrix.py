"""What a cell does when the response to its request has a fault."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from support.faulty_answers import Case
from support.raw_server import RawServer
from support.waiting import until

from qianfan_magic import QianfanError

ATTEMPTS = 2
#: Seconds without a byte before giving up: where the server falls silent, and where it does not, so
#: that a busy computer makes no fault another one.
SILENCE, PATIENCE = 0.2, 20
#: The credentials, all made up, for each request that has the fault.
CREDENTIALS: dict[tuple[int, str], dict[str, str]] = {
    (1, "answer"): {"ACCESS_TOKEN": "24.5ec5e7a55e5570a4.2592000"},
    (2, "answer"): {"BEARER_TOKEN": "bce-v3/ALTAK-5ec5e7ca57/5ec5e7be11"},
    (1, "access token"): {"AK": "5ec5e7a91be11", "SK": "5ec5e75ec5e7b00c"},
    (2, "bearer token"): {"ACCESS_KEY": "5ec5e7acce55", "SECRET_KEY": "5ec5e7ca11ab1e"},
}
SECRET = "5ec5e7"
SERVICES = {
    (1, "chat"): "qianfan_chat -e ep",
    (1, "completion"): "qianfan_complete -e ep",
    (2, "chat"): "qianfan_chat -m ernie-5.1",
    (2, "completion"): "qianfan_complete -m qwen3-coder-30b-a3b-instruct",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell left behind.

    Attributes
    ----------
    error
        The error that it ended with; None if it went well.
    shown
        All that it showed.
    turns
        How many turns the conversation has more than before.
    left
        What was not there before: the sockets that are open, and the names of threads that run.
    said
        All that the error, its causes and the log say.
    requests
        How many requests were sent to the endpoint that has the fault.
    """

    error: BaseException | None
    shown: str
    turns: int
    left: list[str]
    said: str
    requests: int

    @property
    def partial(self) -> str:
        """The text that the error says has arrived."""
        return getattr(self.error, "partial", "")

    @property
    def hint(self) -> str:
        return self.error.hint if isinstance(self.error, QianfanError) else ""


def outcome(shell: InteractiveShell, case: Case) -> Outcome:
    """Run a cell whose request meets the fault, again and again."""
    log = _Log()
    before, there = _turns(shell), _sockets_and_threads()
    with RawServer() as server, _logged(log), _environment(server, case):
        _script(server, case)
        timeout = SILENCE if case.answer.end == "silent" else PATIENCE
        cell = f"%%{SERVICES[case.version, case.kind]} --timeout {timeout} --retries {ATTEMPTS}"
        cell += "" if case.is_stream else " --no-stream"
        with capture_output() as captured:
            result = shell.run_cell(f"{cell}\nhow long is it?")
    # After a reset before TLS begins, CPython 3.11 leaves the socket to its garbage collector.
    until(lambda: _sockets_and_threads() <= there or gc.collect() < 0)
    error = result.error_in_exec
    said = "".join(traceback.format_exception(error)) if error else ""
    return Outcome(
        error,
        captured.stdout + captured.stderr,
        _turns(shell) - before,
        sorted(_sockets_and_threads() - there),
        f"{said}{error!r}{log.text}",
        _requests(server, case),
    )


def _script(server: RawServer, case: Case) -> None:
    """Have each attempt meet the fault, and one more than there should be."""
    scripts: dict[str, Any] = {
        "access token": server.tokens,
        "bearer token": server.bearers,
        "answer": server.script,
    }
    script = server.greetings if case.point == "connection" else scripts[case.target]
    script.extend([case.answer] * (ATTEMPTS + 1))


def _requests(server: RawServer, case: Case) -> int:
    """Return how many attempts were made."""
    if case.point == "connection":
        return len(server.connections)
    seen = {"access token": server.token_requests, "bearer token": server.bearer_requests}
    return len(seen.get(case.target, server.requests))


def _sockets_and_threads() -> set[str]:
    """Return the sockets and threads of this process, by names that each has alone."""
    names = {f"{thread.name} {thread.native_id}" for thread in threading.enumerate()}
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself is closed again
            names |= {str(descriptor.readlink())}
    return {name for name in names if not name.startswith(("/", "pipe:", "anon_inode:"))}


def _turns(shell: InteractiveShell) -> int:
    with capture_output():
        shell.run_line_magic("qianfan", "history -o fault_messages")
    return len(shell.user_ns["fault_messages"]) // 2


@contextlib.contextmanager
def _environment(server: RawServer, case: Case) -> Iterator[None]:
    url = f"{case.scheme}:{server.url.partition(':')[2]}"
    addresses = dict.fromkeys(("BASE_URL", "CONSOLE_API_BASE_URL", "IAM_BASE_URL"), url)
    variables = addresses | CREDENTIALS[case.version, case.target]
    names = {f"QIANFAN_{name}": value for name, value in variables.items()}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


class _Log(logging.Handler):
    """Keeps what is logged, by whichever library."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"


@contextlib.contextmanager
def _logged(log: _Log) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(log)

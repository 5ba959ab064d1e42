"""A real IPython shell with the extension, as a notebook's cells see it."""

from __future__ import annotations

import atexit
import gc
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support.waiting import until
from traitlets.config import Config

from qianfan_magic import QianfanError
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.embedded.server import EmbeddedServer

#: A question whose scripted answer is of many chunks.
WALL = "Please introduce The Great Wall"
#: Nearly all that the embedded chat model takes (4,800 characters).
LONG = "x" * 4_500
BOTH = ["qianfan_chat", "qianfan_complete"]
#: A cell whose answer is cut off at the service's limit; the rest of it is BEIJING's.
CUT_OFF = "%%qianfan_chat --max-tokens 10\nPlease introduce Beijing"
#: Two services of one model; a fault applies to the one whose name is in its path.
ENDPOINTS = "--compare endpoint=a_dolly_12b,b_dolly_12b"

#: A cell that makes version 1 the default, as private deployments have it.
VERSION_1 = """\
%config QianfanMagics.chat_endpoint = 'dolly_12b'
%config QianfanMagics.complete_endpoint = 'starcoder'"""
#: Lines that forget everything, as a new kernel does; ``%reload_ext`` keeps it.
LOAD_ANEW = "%unload_ext qianfan_magic\n%load_ext qianfan_magic"


class Notebook:
    """A shell with the extension, and what its cells did.

    Tests reach into the extension's session nowhere but here.
    """

    def __init__(self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
        self.shell = shell
        self._capsys = capsys

    @property
    def magics(self) -> Any:
        return self.shell.magics_manager.registry["QianfanMagics"]

    @property
    def _session(self) -> Any:
        return self.magics.session

    @property
    def server(self) -> EmbeddedServer:
        """The server that ``%qianfan demo`` started."""
        return self._session.server

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON bodies of all requests to version 1, in order."""
        return [json.loads(s.body) for s in self.server.seen if "wenxinworkshop" in s.path]

    @property
    def folder(self) -> Path:
        """The notebook's folder, in which ``.env`` is looked for."""
        return self._session.folder

    @property
    def sliders(self) -> dict[str, Any]:
        """The parameters that ``%qianfan params`` has set."""
        return dict(self._session.sliders)

    @property
    def senders(self) -> list[Any]:
        """The objects that sent the last cell's requests, one for each column."""
        return list(self._session.sent)

    @property
    def columns(self) -> list[Any]:
        """The columns of the last comparison."""
        answered = self._session.last_answer
        return answered.columns if answered else []

    def turns(self, name: str = "default") -> list[Turn]:
        """Return the turns of a conversation, none if it does not exist."""
        return list(self._session.conversations.get(name).turns)

    def questions(self, name: str = "default") -> list[str]:
        """Return the user's messages of a conversation."""
        return [turn.user for turn in self.turns(name)]

    def conversation_names(self) -> list[str]:
        """Return the names of the conversations that exist."""
        return self._session.conversations.names

    def run(self, *cells: str) -> str:
        """Run cells that go well; return what the last one showed."""
        shown = ""
        for cell in cells:
            self._capsys.readouterr()
            result = self.shell.run_cell(cell)
            shown = self._capsys.readouterr().out
            assert result.success, shown
        return shown

    def fail(self, cell: str) -> tuple[Any, str]:
        """Run a cell that fails; return its error and what it showed."""
        self._capsys.readouterr()
        result = self.shell.run_cell(cell)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None, "the cell did not fail"
        return error, self._capsys.readouterr().out

    def stopped(self, cell: str, when: Callable[[], object]) -> tuple[Any, str]:
        """Run a cell that waits; press Stop once something holds; return its error and output.

        Python does not act on a signal that comes just before it begins to wait, so another is
        sent until one is taken. Only one raises, so that none can hit what reports the first.
        """
        main, taken = threading.main_thread().ident, threading.Event()
        assert main is not None

        def take(*_: object) -> None:
            if not taken.is_set():
                taken.set()
                raise KeyboardInterrupt

        def press() -> None:
            if until(when):
                signal.pthread_kill(main, signal.SIGINT)
                while not taken.wait(2):
                    signal.pthread_kill(main, signal.SIGINT)

        user = threading.Thread(target=press)
        # Python drops an exception in the finalizer of an object, such as an old connection pool.
        gc.collect()
        gc.disable()
        before = signal.signal(signal.SIGINT, take)
        user.start()
        try:
            return self.fail(cell)
        finally:
            taken.set()
            user.join()
            signal.signal(signal.SIGINT, before)
            gc.enable()

    def bound(self, *names: str) -> list[Any]:
        """Return the values of variables."""
        return [self.shell.user_ns[name] for name in names]

    def complete(self, line: str) -> list[str]:
        """Press Tab at the end of a line."""
        with provisionalcompleter():
            return [one.text for one in self.shell.Completer.completions(line, len(line))]


@contextmanager
def running_shell(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[InteractiveShell]:
    """Give the shell of this process, anew."""
    patch.setenv("IPYTHONDIR", str(folder / "ipython"))
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("colors", "nocolor")
    yield made
    if "QianfanMagics" in made.magics_manager.registry:
        made.run_line_magic("unload_ext", "qianfan_magic")
    made.restore_sys_module_state()
    # At the end of Python each shell would collect garbage: half a second for every test.
    atexit.unregister(made.atexit_operations)
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(monkeypatch, tmp_path) -> Iterator[InteractiveShell]:
    with running_shell(monkeypatch, tmp_path) as made:
        yield made


@pytest.fixture
def bare(shell, capsys) -> Notebook:
    """Give a notebook with the extension, and neither keys nor a server."""
    shell.run_line_magic("load_ext", "qianfan_magic")
    return Notebook(shell, capsys)


@pytest.fixture
def notebook(bare) -> Notebook:
    """Give a notebook on the embedded server whose cells without -e and -m use version 1."""
    bare.run("%qianfan demo", VERSION_1)
    return bare


@pytest.fixture
def own(monkeypatch, bare) -> Iterator[EmbeddedServer]:
    """Give a server to which the notebook's environment leads, without waits between attempts."""
    with EmbeddedServer() as server:
        variables = server.environment() | {
            "QIANFAN_CHAT_ENDPOINT": "dolly_12b",
            "QIANFAN_COMPLETE_ENDPOINT": "starcoder",
            "QIANFAN_LLM_API_RETRY_BACKOFF_FACTOR": "0",
            "QIANFAN_LLM_API_RETRY_JITTER": "0",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield server


def state(notebook: Notebook) -> tuple[int, dict[str, list[Turn]], dict[str, Any]]:
    """Return what a cell may change: requests received, conversations, sliders."""
    conversations = {name: notebook.turns(name) for name in notebook.conversation_names()}
    received = len(notebook.server.seen) if notebook.server else 0
    return received, conversations, notebook.sliders


def answer_in(shown: str) -> str:
    """Return the answer in what a terminal shows of a cell, without the line below it."""
    answer, line, _ = shown.rpartition("\n[")
    assert " \u00b7 " in shown, shown
    return answer.strip() if line else shown


def assert_fails_cleanly(
    notebook: Notebook,
    cell: str,
    words: str,
    kind: type[QianfanError] = QianfanError,
    *,
    notes: int = 0,
) -> None:
    """Assert that a cell fails with an error of ours, and that nothing else happens.

    The error has a hint, and two lines show it: what happened, and what to do. Nothing is sent,
    and the conversations and sliders are as they were.

    Parameters
    ----------
    words
        A regular expression that the error's message must match.
    notes
        How many lines may stand above the error, such as those about a picture's copy.
    """
    before = state(notebook)
    error, shown = notebook.fail(cell)
    where = f"cell {cell[:200]!r}: {error!r}"
    assert isinstance(error, kind), where
    assert re.search(words, error.message), where
    assert error.hint, where
    lines = shown.splitlines()
    assert lines[notes:] == [f"{type(error).__name__}: {error.message}", f"→ {error.hint}"], where
    assert state(notebook) == before, where


def sent(notebook: Notebook) -> dict[str, Any]:
    """Return the last request's body without its messages or prompt."""
    return {k: v for k, v in notebook.bodies[-1].items() if k not in {"messages", "prompt"}}


#: The scripted answers to "hi".
GREETING = re.compile(r"Hello!|Hi there!")

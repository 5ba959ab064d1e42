"""A real IPython shell with the extension, as a notebook's cells see it."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from qianfan_magic.conversation.turn import Turn
from qianfan_magic.embedded.server import EmbeddedServer

WALL = "Please introduce The Great Wall"


LONG = "x" * 4_500


class Notebook:
    """A shell with the extension, and what its cells did."""

    def __init__(self, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
        self.shell = shell
        self._capsys = capsys

    @property
    def magics(self) -> Any:
        return self.shell.magics_manager.registry["QianfanMagics"]

    @property
    def server(self) -> EmbeddedServer:
        return self.magics.session.server

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What the questions that were sent held."""
        return [json.loads(s.body) for s in self.server.seen if "wenxinworkshop" in s.path]

    def turns(self, name: str = "default") -> list[Turn]:
        return list(self.magics.session.conversations.get(name).turns)

    def run(self, *cells: str) -> str:
        """Run cells that go well; return what the last one showed."""
        shown = ""
        for cell in cells:
            self._capsys.readouterr()
            result = self.shell.run_cell(cell)
            shown = self._capsys.readouterr().out
            assert result.success, shown
        return shown

    def fail(self, cell: str) -> tuple[BaseException, str]:
        """Run a cell that fails; return its error and what it showed."""
        self._capsys.readouterr()
        result = self.shell.run_cell(cell)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None, "the cell did not fail"
        return error, self._capsys.readouterr().out

    def complete(self, line: str) -> list[str]:
        """Press Tab at the end of a line."""
        with provisionalcompleter():
            return [one.text for one in self.shell.Completer.completions(line, len(line))]


@pytest.fixture
def shell(monkeypatch, tmp_path) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
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
def bare(shell, capsys) -> Notebook:
    """Give a notebook with the extension, and neither keys nor a server."""
    shell.run_line_magic("load_ext", "qianfan_magic")
    return Notebook(shell, capsys)


@pytest.fixture
def notebook(bare) -> Notebook:
    bare.run("%qianfan demo")
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


BOTH = ["qianfan_chat", "qianfan_complete"]


def sent(notebook: Notebook) -> dict[str, Any]:
    """Give what the last question said besides itself."""
    return {k: v for k, v in notebook.bodies[-1].items() if k not in {"messages", "prompt"}}

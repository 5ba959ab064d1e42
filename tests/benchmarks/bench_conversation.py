"""Cost of the conversation in a chat cell, on the 200th turn and on the 2nd; 500 turns restored.

Run: ``python tests/benchmarks/bench_conversation.py``

(a) Real chat cells in a shell, each with an id, request an answer of 600 characters from a server
in a process of its own. *cell* is the time of the cell without urllib3's ``urlopen``;
*conversation* is the part of it that the methods in ``PARTS`` take: rewinding, choosing the turns
that fit, writing the body, adding the answer, recording. *saved* means that the notebook with all
its answers is saved again before each cell, as a front end with autosave does, so that the order
of its cells is read again. Both turns are measured alternately; medians. Targets for the
conversation on turn 200: at most 5 ms, and with the notebook saved, which is parsed whole then, at
most 20 ms, a fifth of what a person notices.
(b) ``restore(read_outputs(path))`` of 500 such answers, again and for the first time in a fresh
process, which imports nbformat too. Target: at most 0.5 s.

The argument ``profile`` prints the calls that take longest.
"""

from __future__ import annotations

import contextlib
import cProfile
import io
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from serving import ROOT, TOKEN, Answer, json_answer, median, print_table, prose, server_apart
from traitlets.config import Config
from urllib3.connectionpool import HTTPConnectionPool

from qianfan_magic.api.client import QianfanClient
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import read_outputs
from qianfan_magic.conversation.record import record_beside, record_to_json
from qianfan_magic.conversation.restore import restore
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.session.cell_request import CellRequest
from qianfan_magic.views.rendering.answer import AnswerOutput

SECOND, LAST, ALL, RUNS, RESTORES = 2, 200, 500, 41, 7
#: An endpoint whose limit is unknown, and models with a limit, with the flags that choose them.
MODELS = {
    "no limit": "-e somebody",
    "Dolly-12B, 4,800 characters": "-e dolly_12b",
    "ERNIE-Speed-128K, 126,976 tokens": "-m ERNIE-Speed-128K",
}
#: The methods in which a cell spends time on its conversation.
PARTS = {
    CellRequest: ["within", "fit", "updated_conversation"],
    ConversationStore: ["record", "keep"],
    QianfanClient: ["prepare"],
}
#: In a process that has the extension, as a notebook's first lines leave it.
FIRST = """
import sys, time
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "qianfan_magic")
begun = time.perf_counter()
from qianfan_magic.conversation.notebook_file import read_outputs
from qianfan_magic.conversation.restore import restore
restore(read_outputs(Path(sys.argv[1])))
print(time.perf_counter() - begun)
"""
QUESTION = "How long did it take to build part {} of the wall, and who paid for it?"


def talk_of(count: int) -> Conversation:
    """Make a conversation of turns, each from a cell of its own."""
    talk = Conversation("default")
    for number in range(1, count + 1):
        question, answer = QUESTION.format(number), prose(number)
        run = {"cell": f"cell-{number}", "run": f"run-{number}"}
        talk = talk.append(Turn(question, answer, model="dolly_12b", tokens=(9, 120), **run))
    return talk


def notebook_of(talk: Conversation) -> str:
    """Write a notebook of the conversation's cells with their outputs, and the next cell."""
    notebook = nbformat.v4.new_notebook()
    for place, turn in enumerate(talk.turns):
        head = Conversation(talk.name, talk.system, talk.turns[: place + 1])
        record = record_to_json(place + 1, [head], [(head, place)])
        bundle = AnswerOutput(turn.assistant, "markdown", (), "dolly_12b", "done", 120).bundle()
        output = nbformat.v4.new_output(
            "display_data", bundle, metadata=record_beside(bundle["text/plain"], record)
        )
        source = f"%%qianfan_chat\n{turn.user}"
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=turn.cell, outputs=[output]))
    notebook.cells.append(nbformat.v4.new_code_cell("%%qianfan_chat\nNext?", id="next"))
    return nbformat.writes(notebook)


class Clock:
    """Adds up the time of calls; a call within another is not counted twice."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            self._depth += 1
            begun = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - begun

        return run


@contextlib.contextmanager
def clocks() -> Iterator[tuple[Clock, Clock]]:
    """Measure the time on the network and the time on the conversation."""
    network, conversation = Clock(), Clock()
    timed: list[tuple[Any, str, Clock]] = [(HTTPConnectionPool, "urlopen", network)]
    timed += [(owner, name, conversation) for owner, names in PARTS.items() for name in names]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in timed]
    for owner, name, clock in timed:
        setattr(owner, name, clock.timed(getattr(owner, name)))
    yield network, conversation
    for owner, name, method in kept:
        setattr(owner, name, method)


class Notebook:
    """A shell that looks like a kernel's to the extension, with a saved notebook."""

    def __init__(self, url: str, path: Path) -> None:
        named = {"QIANFAN_BASE_URL": url, "QIANFAN_ACCESS_TOKEN": TOKEN, "QIANFAN_LIVE": "off"}
        os.environ |= {**named, "JPY_SESSION_NAME": str(path)}
        self._path, self._run = path, 0
        shell: Any = InteractiveShell.instance(
            config=Config({"HistoryManager": {"enabled": False}})
        )
        shell.kernel, shell.get_parent = object(), self._parent
        shell.display_pub = CapturingDisplayPublisher()
        shell.run_line_magic("load_ext", "qianfan_magic")
        self._shell = shell
        self._store = shell.magics_manager.registry["QianfanMagics"].session.conversations

    def _parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": "next"}, "header": {"msg_id": f"run-of-next-{self._run}"}}

    def prepare(self, talk: Conversation, saved: str) -> None:
        """Keep a conversation as the only one; save the notebook anew if there is one."""
        self._store.forget(*self._store)
        self._store.keep(talk)
        self._shell.display_pub.outputs.clear()
        self._run += 1
        if saved:
            self._path.write_text(saved)
        else:
            self._path.unlink(missing_ok=True)

    def ask(self, flags: str, profile: cProfile.Profile | None = None) -> tuple[float, float]:
        """Run the next cell; return its milliseconds, and those of the conversation in it."""
        with clocks() as (network, conversation), profile or contextlib.nullcontext():
            begun = time.perf_counter()
            done = self._shell.run_cell(f"%%qianfan_chat --no-stream {flags}\nNext?")
            took = time.perf_counter() - begun
        done.raise_error()
        return (took - network.seconds) * 1000, conversation.seconds * 1000


def answer() -> Answer:
    """Return an answer in one piece; two writes would wait 40 ms for a delayed TCP ACK."""
    answered = {
        "id": "as-bcmt5ct4iy",
        "object": "chat.completion",
        "created": 1680167072,
        "result": prose(1),
        "is_truncated": False,
        "need_clear_history": False,
        "usage": {"prompt_tokens": 9, "completion_tokens": 120, "total_tokens": 129},
    }
    whole = json_answer(answered, end="keep")
    return Answer(status=0, pieces=[b"".join([whole.head(), *whole.pieces])], end="keep")


def measure_cells(notebook: Notebook, *, profiled: bool) -> Iterator[list[Any]]:
    """Yield rows for each model, without a saved notebook and with one."""
    talks = {count: talk_of(count - 1) for count in (SECOND, LAST)}
    for saved in (False, True):
        files = {count: notebook_of(talk) * saved for count, talk in talks.items()}
        for model, flags in MODELS.items():
            took: dict[int, list[tuple[float, float]]] = {SECOND: [], LAST: []}
            for _ in range(RUNS):
                for count, talk in talks.items():
                    notebook.prepare(talk, files[count])
                    took[count].append(notebook.ask(flags))
            if profiled:
                profile = cProfile.Profile()
                for _ in range(RUNS):
                    notebook.prepare(talks[LAST], files[LAST])
                    notebook.ask(flags, profile)
                show(f"{model}, {saved=}, {RUNS} times", profile)
            title = model + ", saved" * saved
            second, last = (list(zip(*took[count], strict=True)) for count in (SECOND, LAST))
            for part, name in enumerate(("cell", "conversation")):
                before, after = median(second[part]), median(last[part])
                yield [title, name, before, after, after / before, after - before]


def measure_restores(path: Path, *, profiled: bool) -> Iterator[list[Any]]:
    """Yield rows, in seconds, for this process and for a fresh one."""
    talk = talk_of(ALL)
    path.write_text(notebook_of(talk))
    kept, cold = [], []
    for _ in range(RESTORES):
        begun = time.perf_counter()
        restored = restore(read_outputs(path))
        kept.append(time.perf_counter() - begun)
        if restored.conversations["default"].messages() != talk.messages():
            raise RuntimeError("the restored conversation differs from the original")
        command = [sys.executable, "-c", FIRST, str(path)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        cold.append(float(done.stdout))
    if profiled:
        profile = cProfile.Profile()
        with profile:
            restore(read_outputs(path))
        show("restore", profile)
    size = path.stat().st_size / 2**20
    yield [f"{ALL} turns, {size:.1f} MB", "again", median(kept)]
    yield [f"{ALL} turns, {size:.1f} MB", "first in a process", median(cold)]


def show(title: str, profile: cProfile.Profile) -> None:
    """Print the calls that took longest, by own and by cumulative time."""
    written = io.StringIO()
    stats = pstats.Stats(profile, stream=written).strip_dirs()
    stats.sort_stats("tottime").print_stats(12)
    stats.sort_stats("cumulative").print_stats(30)
    print(f"--- {title}\n{written.getvalue()}")


def main(*, profiled: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.ipynb"
        with server_apart(answer()) as url:
            rows = list(measure_cells(Notebook(url, path), profiled=profiled))
        header = ["chat", "ms of", f"turn {SECOND}", f"turn {LAST}", "times", "more (ms)"]
        print_table(header, rows)
        print()
        print_table(["restore", "", "s"], measure_restores(path, profiled=profiled))


if __name__ == "__main__":
    main(profiled="profile" in sys.argv)

"""Conversations follow the notebook, whatever is done in it: run, interrupt, restart, restore.

A state machine of hypothesis does at random what a user does, in a real IPython shell that sends
its requests to the embedded server. Its front end keeps and saves outputs as JupyterLab does.
After each step the kernel's conversations, the records in the notebook and a save file are
compared with the model in ``support/conversation_model.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from support.conversation_model import History, Step, comparable, history_of, messages, texts
from traitlets.config import Config

from qianfan_magic import ParameterError, QianfanError
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import read_outputs
from qianfan_magic.conversation.restore import restore
from qianfan_magic.conversation.save_file import load_conversations, save_conversations
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.views.plain import FinalView

#: Largest number of characters that the model of these conversations accepts.
LIMIT = 4_800
#: Characters of the name and the arguments of a call.
CALL_LENGTH = len("lookup{}")
TEMPERATURES = (0.1, 0.9)
NAMES = st.sampled_from(["default", "default", "default", "tutor", "\u8bc4\u5ba1"])

# --- the front end


@dataclass(frozen=True)
class Chat:
    """The content of a chat cell."""

    name: str
    text: str
    system: str | None = None
    append: bool = False
    continues: bool = False

    def source(self, *more: str) -> str:
        flags = ["--append"] * self.append + ["--continue"] * self.continues
        flags += [] if self.system is None else [f'-s "{self.system}"']
        return " ".join(["%%qianfan_chat", "-n", self.name, *flags, *more]) + f"\n{self.text}\n"


CHATS = st.builds(
    Chat,
    name=NAMES,
    text=st.sampled_from(["hi", "Who?", "long " * 320]),
    system=st.sampled_from([None, None, None, "", "Be brief."]),
    append=st.sampled_from([False, False, False, True]),
    continues=st.sampled_from([False, False, True]),
)


@dataclass(frozen=True)
class Run:
    """One run of a chat cell.

    Attributes
    ----------
    index
        Which of the chat cells, modulo their number.
    chat
        What the user writes into it before.
    again
        Whether the cell is run as it is instead, if there is something in it.
    outcome
        How it ends.
    number
        A detail of the outcome, such as after how many chunks it comes.
    """

    index: int
    chat: Chat
    again: bool
    outcome: str
    number: int


#: Ordinary answers are the most frequent.
OUTCOMES = st.sampled_from(
    ["whole"] * 6
    + ["truncated", "truncated", "stopped", "stopped", "error", "broken", "wrong", "blank"]
    + ["unsafe", "too long", "dry", "compared", "called", "called", "stopped in a call"]
)
RUNS = st.builds(
    Run,
    index=st.integers(0, 9),
    chat=CHATS,
    again=st.booleans(),
    outcome=OUTCOMES,
    number=st.integers(-1, 3),
)


@dataclass
class Cell:
    """A cell of the notebook; commands have no `chat`."""

    id: str
    chat: Chat | None = None
    source: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


class Page(DisplayPublisher):
    """The notebook as the user sees it. It survives a restart of the kernel."""

    cells: ClassVar[list[Cell]] = []
    running: ClassVar[Cell]
    request: ClassVar[dict[str, Any]] = {}

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        *_: Any,
        transient: Any = None,
        update: bool = False,
        **__: Any,
    ) -> None:
        content = {"data": dict(data), "metadata": dict(metadata or {})}
        display_id = (transient or {}).get("display_id")
        if not update:
            self.running.outputs.append({**content, "display_id": display_id})
            return
        for output in (output for cell in self.cells for output in cell.outputs):
            if display_id and output["display_id"] == display_id:
                output.update(content)

    @classmethod
    def save(cls, path: Path) -> None:
        """Write the notebook file.

        As JSON: nbformat validates each cell, which took four fifths of this test's time.
        """
        cells = [
            {
                "id": cell.id,
                "cell_type": "code",
                "source": cell.source,
                "execution_count": None,
                "metadata": {},
                "outputs": [
                    {
                        "output_type": "display_data",
                        "data": output["data"],
                        "metadata": output["metadata"],
                    }
                    for output in cell.outputs
                ],
            }
            for cell in cls.cells
        ]
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
        path.write_text(json.dumps(notebook), encoding="utf-8")


class InterruptedView(FinalView):
    """Records the chunks that arrive, and interrupts the cell after `stop_after` of them."""

    stop_after: ClassVar[int | None] = None
    arrived: ClassVar[list[Any]] = []

    def begin(self) -> None:
        self.arrived.clear()
        self._interrupt()

    def write(self, chunk: Any, column: int = 0) -> None:
        del column
        self.arrived.append(chunk)
        self._interrupt()

    def _interrupt(self) -> None:
        if self.stop_after == len(self.arrived):
            raise KeyboardInterrupt


def make_shell() -> InteractiveShell:
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    atexit.unregister(shell.atexit_operations)
    shell.kernel = object()
    shell.get_parent = lambda: Page.request
    shell.display_pub = Page(shell=shell)
    shell.showtraceback = lambda *_, **__: None
    shell.run_line_magic("load_ext", "qianfan_magic")
    # The model that calls functions, with the limit that the conversations here reach.
    magics: Any = shell.magics_manager.registry["QianfanMagics"]
    magics.models = {"ERNIE-3.5-8K": {"endpoint": "completions", "max_characters": LIMIT}}
    shell.user_ns["lookup"] = lookup
    return shell


def lookup(number: int = 7) -> str:
    """Look up what the test expects."""
    del number
    result = str(lookup.__dict__["result"])
    if result == "stopped":
        raise KeyboardInterrupt
    return result


def end_shell(shell: InteractiveShell) -> None:
    shell.run_line_magic("unload_ext", "qianfan_magic")
    shell.restore_sys_module_state()


# --- what a user does


@dataclass(frozen=True)
class Compared:
    """The last comparison, from whose columns `%qianfan keep` chooses.

    Attributes
    ----------
    name
        Name of the conversation.
    base, after
        The conversation before the comparison, and with the column that is kept now.
    columns
        What each column would add.
    """

    name: str
    base: History
    after: History
    columns: tuple[Step, ...]


def count_questions(body: dict[str, Any]) -> int:
    """Count the messages of the user in a request."""
    return sum(message["role"] == "user" for message in body["messages"])


def length(message: dict[str, Any]) -> int:
    """Count the characters of a message, those of a call included."""
    call = message.get("function_call", {})
    return len(message["content"] or "") + sum(map(len, call.values()))


class Following(RuleBasedStateMachine):
    """A notebook, its kernel, and the model of its conversations."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        super().__init__()
        self.server, self.folder = server, folder
        self.path, self.file = folder / "notebook.ipynb", folder / "conversations.json"
        for path in (self.path, self.file):
            path.unlink(missing_ok=True)
        self.numbers = itertools.count(10)
        #: The model: what the kernel must have, by name.
        self.histories: dict[str, History] = {}
        #: The conversations whose records in the page are complete; after a restart none are.
        self.recorded: set[str] = set()
        #: What is in the save file.
        self.in_file: dict[str, History] = {}
        self.saved_order: list[str] = []
        #: What the saved notebook records of this kernel's conversations.
        self.saved: dict[str, History] = {}
        self.compared: Compared | None = None
        server.faults.clear()
        server.seen.clear()
        Page.cells = [Cell(f"cell-{number}") for number in range(3)]
        self.shell = make_shell()

    def teardown(self) -> None:
        end_shell(self.shell)

    # --- the kernel

    @property
    def kernel(self) -> dict[str, Conversation]:
        magics: Any = self.shell.magics_manager.registry["QianfanMagics"]
        return {each.name: each for each in magics.session.conversations}

    def execute(self, cell: Cell) -> BaseException | None:
        cell.outputs.clear()  # as JupyterLab does
        Page.running = cell
        header = {"msg_id": f"run-{next(self.numbers)}"}
        Page.request = {"metadata": {"cellId": cell.id}, "header": header}
        with contextlib.redirect_stdout(io.StringIO()):
            result = self.shell.run_cell(cell.source)
        return result.error_in_exec or result.error_before_exec

    def command(self, line: str) -> BaseException | None:
        """Run a line in a new cell at the end of the notebook."""
        cell = Cell(f"command-{next(self.numbers)}", source=f"%qianfan {line}")
        Page.cells.append(cell)
        return self.execute(cell)

    def history(self, name: str) -> History:
        return self.histories.get(name, History())

    # --- chat cells

    @rule(runs=st.lists(RUNS, min_size=1, max_size=6))
    def run_chat_cells(self, runs: list[Run]) -> None:
        """Several cells in one step: the other rules are many, and hypothesis draws all alike."""
        for run in runs:
            cells = [cell for cell in Page.cells if cell.id.startswith("cell")]
            cell = cells[run.index % len(cells)]
            if not (run.again and cell.chat):
                cell.chat = run.chat
            self.run(cell, run.outcome, run.number)

    def below(self, cell: Cell) -> set[str]:
        """Return the ids of the cells below one, as the kernel knows them.

        It reads their order from the saved notebook, and counts new cells as below.
        """
        order = self.saved_order
        if cell.id not in order:
            return set()
        added = {each.id for each in Page.cells} - set(order)
        return {*order[order.index(cell.id) + 1 :], *added}

    def rewound(self, chat: Chat, cell: Cell) -> dict[str, History]:
        """Return the conversations that a run of the cell changes, as they were before the cell."""
        history, below = self.history(chat.name), self.below(cell)
        if chat.append:
            return {chat.name: history}
        can_continue = history.is_unfinished and history.turns[-1][-1].cell not in below
        if not (chat.continues and can_continue):
            history = history.rewind(
                lambda number, step: (
                    step.cell in below
                    or (step.cell == cell.id and not (chat.continues and number == 0))
                )
            )
        others = {
            name: other.rewind(lambda _, step: step.cell == cell.id)
            for name, other in self.histories.items()
            if name != chat.name and any(cell.id in cells for cells in other.cells())
        }
        return {chat.name: history, **others}

    def run(self, cell: Cell, outcome: str, number: int) -> None:
        """Run a chat cell, check what it sends and raises, and update the model."""
        chat = cell.chat
        assert chat
        if outcome in {"compared", "called", "stopped in a call"} and chat.continues:
            outcome = "whole"
        before = self.rewound(chat, cell)
        base = before[chat.name]
        is_allowed = base.is_unfinished or not chat.continues
        answer = self.prepare(cell, chat, outcome, number)
        error, sent = self.execute_chat(cell)
        if not is_allowed or outcome in ("wrong", "dry"):
            assert not sent
            if outcome == "dry" and is_allowed:
                assert error is None
            else:
                assert isinstance(error, ParameterError)
            return
        system = base.system if chat.system is None else chat.system
        for body in sent:
            self.check_sent(body, base, chat, system)
        if not sent:
            assert outcome == "stopped"
            assert isinstance(error, KeyboardInterrupt)
            self.compared = None
            return
        self.check_fullest(sent[0], base)
        sent_turns = count_questions(sent[-1]) - 1
        if outcome in ("error", "broken") or (outcome == "too long" and len(sent) == 1):
            assert isinstance(error, QianfanError)
            assert outcome != "too long" or sent_turns == int(chat.continues)
            return
        is_stopped = outcome.startswith("stopped")
        assert isinstance(error, KeyboardInterrupt) if is_stopped else error is None
        if outcome == "too long":
            assert count_questions(sent[1]) == count_questions(sent[0]) - 1
        self.compared = None
        if outcome != "unsafe":
            self.answered(cell, outcome, answer, before, system)
            return
        if number >= 0:  # the number of the unsafe turn; -1 is the question itself
            left_out = len(base.turns) - sent_turns
            base = base.first(left_out + number - 1 if number else 0)
        self.update({**before, chat.name: base})

    def execute_chat(self, cell: Cell) -> tuple[BaseException | None, list[dict[str, Any]]]:
        """Return the cell's error and the bodies that it sent; discard what `prepare` scripted."""
        error = self.execute(cell)
        InterruptedView.stop_after = None
        self.server.faults.clear()
        return error, self.pop_sent()

    def answered(
        self, cell: Cell, outcome: str, answer: str, before: dict[str, History], system: str
    ) -> None:
        """Add what has arrived to the model."""
        chat = cell.chat
        assert chat
        base = before[chat.name]
        user, stopped = "" if chat.continues else chat.text, outcome == "stopped"
        step = Step(cell.id, user, "", stopped=stopped, truncated=False, system=system)
        if outcome == "called":
            step = replace(step, results=(answer,))
            answer = f"The result is {answer}."
        if outcome == "compared":
            columns = [replace(step, answer=f"{answer} {each}") for each in TEMPERATURES]
            after = base.add(columns[0], continues=False)
            self.compared = Compared(chat.name, base, after, tuple(columns))
            self.update({**before, chat.name: after})
            return
        arrived = "".join(chunk.text for chunk in InterruptedView.arrived)
        previous = texts(base.turns[-1])[1] if chat.continues else ""
        assert (previous + answer).startswith(arrived)
        assert arrived == previous + answer or outcome in ("truncated", "stopped")
        if arrived.strip():
            rest = arrived.removeprefix(previous)
            step = replace(step, answer=rest, truncated=outcome == "truncated")
            self.update({**before, chat.name: base.add(step, continues=chat.continues)})

    def prepare(self, cell: Cell, chat: Chat, outcome: str, number: int) -> str:
        """Write the cell's source and script the service's answer; return the answer."""
        answer = "" if outcome == "blank" else f"<{next(self.numbers)}> " + "some more words " * 9
        more = {
            "truncated": ["--max-tokens 4"],
            "wrong": ["--top-p 7"],
            "dry": ["--dry-run"],
            "compared": ["--compare temperature=" + ",".join(map(str, TEMPERATURES))],
        }
        fields = {"need_clear_history": True, "ban_round": number}
        faults = {
            "error": Fault(error_code=336005, error_msg="API name not exist"),
            "broken": Fault(after=max(number, 1), end="close"),
            "unsafe": Fault(fields=fields),
            "too long": Fault(error_code=336007, error_msg="too long"),
        }
        cell.source = chat.source(*more.get(outcome, ()))
        if outcome in {"called", "stopped in a call"}:
            cell.source = chat.source("--tool lookup --tool-choice lookup")
            lookup.__dict__["result"] = answer if outcome == "called" else "stopped"
        if outcome in faults:
            self.server.fail(faults[outcome])
        if outcome == "stopped":
            InterruptedView.stop_after = max(number, 0)
        if outcome == "compared":
            self.server.engine = lambda question: f"{answer} {question.parameters['temperature']}"
        else:
            self.server.engine = lambda _: answer
        return answer

    def update(self, histories: dict[str, History]) -> None:
        self.histories |= histories
        self.recorded |= histories.keys()

    # --- what the service receives

    def pop_sent(self) -> list[dict[str, Any]]:
        sent = [json.loads(s.body) for s in self.server.seen if "wenxinworkshop" in s.path]
        self.server.seen.clear()
        return sent

    def check_sent(self, body: dict[str, Any], base: History, chat: Chat, system: str) -> None:
        sent = body["messages"]
        contents = [message["content"] or "" for message in sent]
        assert len(sent) % 2 == 1
        for index, message in enumerate(sent):
            assert message["role"] in ({"assistant"} if index % 2 else {"user", "function"})
            is_result = message["role"] == "function"
            assert not is_result or "function_call" in sent[index - 1]
            assert contents[index].strip() or "function_call" in message
        assert sum(map(length, sent)) <= LIMIT
        assert body.get("system", "") == system
        last = max(index for index, message in enumerate(sent) if message["role"] == "user")
        assert contents[:last] == base.contents()[len(base.contents()) - last :]
        assert chat.continues or contents[last] == chat.text

    def check_fullest(self, body: dict[str, Any], base: History) -> None:
        """Check that the last turn left out would exceed the limit."""
        left_out = len(base.turns) - count_questions(body) + 1
        if left_out:
            turn = base.turns[left_out - 1]
            more = [*messages(turn), body.get("system", "")]
            called = CALL_LENGTH * len(turn[0].results)
            assert sum(map(len, more)) + called + sum(map(length, body["messages"])) > LIMIT

    # --- the notebook

    @rule(index=st.integers(0, 9))
    def insert_a_cell(self, index: int) -> None:
        Page.cells.insert(index % (len(Page.cells) + 1), Cell(f"cell-{next(self.numbers)}"))

    @rule()
    def save_the_notebook(self) -> None:
        Page.save(self.path)
        self.saved_order = [cell.id for cell in Page.cells]
        self.saved = {name: self.history(name) for name in self.recorded}

    @rule(save=st.booleans())
    def restart(self, save: bool) -> None:
        if save:
            self.save_the_notebook()
        end_shell(self.shell)
        self.shell = make_shell()
        self.histories, self.recorded, self.saved, self.compared = {}, set(), {}, None

    @rule()
    def restart_and_restore(self) -> None:
        before = {
            name: history for name, history in self.histories.items() if name in self.recorded
        }
        self.restart(save=True)
        self.restore(before)

    @rule()
    def save_and_restore(self) -> None:
        self.save_the_notebook()
        self.restore(self.saved)

    @rule()
    @precondition(lambda self: self.saved)
    def restore_what_was_saved_before(self) -> None:
        """Return to the last save, which replaces what was added since."""
        expected = {**self.histories, **self.saved}
        assert self.command("restore --force") is None
        self.update({**self.adopted(expected), **self.saved})

    def adopted(self, expected: dict[str, History]) -> dict[str, History]:
        """Return what the kernel has restored of earlier kernels, which the model cannot know."""
        return {name: history_of(c) for name, c in self.kernel.items() if name not in expected}

    def restore(self, expected: dict[str, History]) -> None:
        assert self.command("restore") is None
        self.update({**self.adopted(expected), **expected})
        self.saved = {name: self.history(name) for name in self.recorded}

    # --- subcommands

    @rule(name=NAMES)
    def undo(self, name: str) -> None:
        history = self.history(name)
        error = self.command(f"undo -n {name}")
        if history.turns:
            assert error is None
            self.update({name: history.first(len(history.turns) - 1)})
        else:
            assert isinstance(error, ParameterError)

    @rule(name=NAMES)
    def reset(self, name: str) -> None:
        error = self.command(f"reset -n {name}")
        if name in self.histories or name == "default":
            assert error is None
            self.update({name: History()})
            self.histories.pop(name)
        else:
            assert isinstance(error, ParameterError)

    @rule()
    def reset_all(self) -> None:
        assert self.command("reset --all") is None
        self.recorded |= self.histories.keys()
        self.histories = {}

    @rule(column=st.integers(1, 2))
    def keep(self, column: int) -> None:
        error = self.command(f"keep {column}")
        compared = self.compared
        if compared is None or self.history(compared.name) != compared.after:
            assert isinstance(error, ParameterError)
            return
        assert error is None
        after = compared.base.add(compared.columns[column - 1], continues=False)
        self.compared = replace(compared, after=after)
        self.update({compared.name: after})

    @rule()
    def save_to_a_file(self) -> None:
        error = self.command(f"save {self.file}")
        if self.histories:
            assert error is None
            self.in_file = dict(self.histories)
        else:
            assert isinstance(error, ParameterError)

    @rule()
    @precondition(lambda self: self.in_file)
    def load_the_file(self) -> None:
        assert self.command(f"load {self.file}") is None
        self.update(self.in_file)

    # --- what is true after every step

    @invariant()
    def kernel_equals_the_model(self) -> None:
        kernel = {name: history_of(each) for name, each in self.kernel.items()}
        for name in kernel.keys() | self.histories.keys():
            model, actual = self.history(name), kernel.get(name, History())
            assert model.comparable() == actual.comparable(), name
            assert model.cells() == actual.cells(), name

    @invariant()
    def page_records_the_conversations(self) -> None:
        copy = self.folder / "copy.ipynb"
        Page.save(copy)
        restored = restore(read_outputs(copy)).conversations
        for name in self.recorded:
            assert (
                comparable(restored.get(name, Conversation(name)))
                == self.history(name).comparable()
            )

    @invariant()
    def file_holds_the_conversations(self) -> None:
        copy = self.folder / "copy.json"
        save_conversations(copy, list(self.kernel.values()))
        assert {each.name: each for each in load_conversations(copy)} == self.kernel


@pytest.fixture
def make_machine(monkeypatch, tmp_path) -> Iterator[Callable[[], Following]]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "notebook.ipynb"))
    monkeypatch.setattr("qianfan_magic.views.plain.FinalView", InterruptedView)
    with EmbeddedServer() as server:
        variables = server.environment() | {
            "QIANFAN_LIVE": "off",
            "QIANFAN_CHAT_ENDPOINT": "completions",
            "QIANFAN_LLM_API_RETRY_COUNT": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield lambda: Following(server, tmp_path)
    InteractiveShell.clear_instance()


SETTINGS = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,  # to search for new failures, remove this and raise max_examples
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_conversations_follow_the_notebook(make_machine):
    run_state_machine_as_test(make_machine, settings=SETTINGS)

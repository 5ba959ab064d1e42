"""A notebook page, as a front end keeps it for a real kernel: cells, outputs and the file."""

from __future__ import annotations

import json
import threading
from ast import literal_eval
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from support.kernel import Kernel, Ran
from support.notebook import LOAD_ANEW

from qianfan_magic.conversation.record import record_from_json
from qianfan_magic.conversation.turn import Turn

KEY = "qianfan_magic"


class Page:
    """The cells of a notebook with their ids and outputs, its kernel and its file."""

    def __init__(self, kernel: Kernel, path: Path) -> None:
        self.kernel, self.path = kernel, path
        self.server = kernel.server
        self.under: dict[str, list[dict[str, Any]]] = {}

    def run(self, cell: str, code: str, seen: Callable[[Ran], Any] = lambda _: None) -> Ran:
        """Run a cell as a front end does: send its id and replace its outputs."""
        session = self.kernel.client.session
        session.metadata = {"cellId": cell} if cell else {}
        try:
            ran = self.kernel.run(code, seen)
        finally:
            session.metadata = {}
        self.under[cell] = []
        for output in ran.contents("display_data", "update_display_data"):
            self._show(cell, output)
        return ran

    def _show(self, cell: str, output: dict[str, Any]) -> None:
        """Update the output with the same display id, or add it to the cell."""
        shown = output["transient"].get("display_id")
        for outputs in self.under.values():
            for place, other in enumerate(outputs):
                if shown and other["transient"].get("display_id") == shown:
                    outputs[place] = output
                    return
        self.under[cell].append(output)

    def ask(self, cell: str, question: str, flags: str = "") -> Ran:
        """Run a chat cell that succeeds."""
        ran = self.run(cell, f"%%qianfan_chat {flags}\n{question}")
        assert ran.reply["status"] == "ok", ran.reply
        return ran

    def say(self, line: str) -> str:
        """Run a line that succeeds in a cell without an id; return the text of its outputs."""
        ran = self.kernel.run(line)
        assert ran.reply["status"] == "ok", ran.reply
        return text_of(ran)

    def talk(self, *questions: str) -> None:
        """Ask in the cells a, b, c and so on."""
        for cell, question in zip("abcdefgh", questions, strict=False):
            self.ask(cell, question)

    def stop(self, cell: str, code: str, when: Callable[[Ran], Any]) -> Ran:
        """Run a cell and interrupt the kernel once a condition holds, and every 5 s after."""
        pressed = threading.Event()
        ended = threading.Event()

        def press() -> None:
            while pressed.wait() and not ended.is_set():
                self.kernel.manager.interrupt_kernel()
                ended.wait(5)  # Python may miss one that comes just before it waits

        user = threading.Thread(target=press, daemon=True)
        user.start()
        try:
            return self.run(cell, code, lambda ran: when(ran) and pressed.set())
        finally:
            ended.set()
            pressed.set()
            user.join()

    def messages(self, name: str = "default") -> list[str]:
        """Return the contents of all messages of a conversation."""
        ran = self.kernel.run(
            f"%qianfan history -n {name} -o messages\n[m['content'] for m in messages]"
        )
        return literal_eval(ran.contents("execute_result")[0]["data"]["text/plain"])

    def questions(self, name: str = "default") -> list[str]:
        return self.messages(name)[::2]

    def value(self, code: str) -> Any:
        ran = self.kernel.run(code)
        return literal_eval(ran.contents("execute_result")[0]["data"]["text/plain"])

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Bodies of the chat requests that the server has seen."""
        return [json.loads(s.body) for s in self.server.seen if "wenxinworkshop" in s.path]

    def sent(self, number: int = -1) -> list[str]:
        """Return the contents of the user messages of one request."""
        return [m["content"] for m in self.bodies[number]["messages"] if m["role"] == "user"]

    def save(self, *cells: str) -> None:
        """Save the notebook with its cells in the given order, by default that of their ids."""
        saved = nbformat.v4.new_notebook()
        for cell in cells or sorted(self.under):
            outputs = [
                nbformat.v4.new_output("display_data", o["data"], metadata=o["metadata"])
                for o in self.under.get(cell, ())
            ]
            saved.cells.append(nbformat.v4.new_code_cell("", outputs=outputs, id=cell))
        nbformat.write(saved, self.path)

    def restart(self) -> None:
        """Load the extension anew, which forgets all conversations as a new kernel would."""
        self.kernel.run(LOAD_ANEW)


def text_of(ran: Ran) -> str:
    return "\n".join(bundle["text/plain"] for bundle in ran.bundles)


def records_of(ran: Ran) -> list[dict[str, Any]]:
    """Return the records in a cell's outputs."""
    outputs = ran.contents("display_data", "update_display_data")
    return [output["metadata"][KEY] for output in outputs if KEY in output["metadata"]]


def turns_of(output: Mapping[str, Any]) -> list[Turn]:
    """Return the turns in the record of an output, as they are restored."""
    shown = output["data"]["text/plain"]
    record = record_from_json(output["metadata"][KEY], "".join(shown))  # a file has lines
    assert record.unreadable == ()
    return [recorded.turn for recorded in record.turns]


def recorded_turns(ran: Ran) -> list[tuple[int, str]]:
    """Return number and question of each turn in the record of a cell's last output."""
    return [(turn["turn"], turn["user"]) for turn in records_of(ran)[-1]["turns"]]


def cleared(page: Page) -> Page:
    """Bring a page back to an empty notebook that was never saved, with an idle server."""
    page.kernel.run("%config QianfanMagics.max_turns = None")  # IPython keeps it for the next load
    page.restart()
    page.server.faults.clear()
    page.server.seen.clear()
    page.server.pace = 0
    page.under.clear()
    page.path.unlink(missing_ok=True)
    return page

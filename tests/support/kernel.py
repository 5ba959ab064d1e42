"""A real kernel, to which cells are sent as a front end sends them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from support.waiting import PATIENCE

from qianfan_magic.embedded.server import EmbeddedServer

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Ran:
    """The kernel's reply to one cell, and the messages that it published meanwhile."""

    reply: dict[str, Any]
    published: list[dict[str, Any]] = field(default_factory=list)

    def contents(self, *kinds: str) -> list[dict[str, Any]]:
        return [m["content"] for m in self.published if m["header"]["msg_type"] in kinds]

    @property
    def bundles(self) -> list[dict[str, Any]]:
        """The MIME bundles that were displayed, in order; an update counts as another one."""
        return [c["data"] for c in self.contents("display_data", "update_display_data")]

    @property
    def stderr(self) -> str:
        return "".join(c["text"] for c in self.contents("stream") if c["name"] == "stderr")

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The frames that were sent to the widgets of growing answers."""
        sent = [c["data"] for c in self.contents("comm_msg")]
        custom = [data["content"] for data in sent if data.get("method") == "custom"]
        return [frame for content in custom for frame in content.get("frames", [])]

    @property
    def seen(self) -> str:
        """The words that the page showed at the end."""
        closed = opened = more = ""
        for frame in self.frames:
            closed += frame.get("closed", "")
            if "more" in frame:
                more += escape(frame["more"])
            else:  # JavaScript counts in units of UTF-16
                kept = opened.encode("utf-16-le")[: 2 * frame.get("keep", 0)]
                opened, more = kept.decode("utf-16-le") + frame["open"], ""
        return words_of(closed + opened + more)

    @property
    def size(self) -> int:
        """The bytes of all published contents as JSON."""
        return sum(len(json.dumps(m["content"])) for m in self.published)


def words_of(html: str) -> str:
    """Return the words of HTML, separated by one space."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).split())


def letters(text: str) -> str:
    """Return only the letters of a text, without Markdown marks that are still incomplete."""
    return re.sub("[^a-zA-Z]", "", text)


class Kernel:
    """A kernel in a process of its own, and the embedded server in this one that it sends to."""

    def __init__(self, manager: KernelManager, server: EmbeddedServer) -> None:
        self.manager, self.server = manager, server
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str, seen: Callable[[Ran], Any] = lambda _: None) -> Ran:
        """Run a cell to its end; `seen` is called after each message."""
        ran, request_id = Ran({}), self.client.execute(code)
        while not ran.published or ran.contents("status")[-1:] != [{"execution_state": "idle"}]:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == request_id:
                ran.published.append(message)
                seen(ran)
        ran.reply = self.reply(request_id)
        return ran

    def reply(self, request_id: str) -> dict[str, Any]:
        """Wait for the reply to the request of this message id, and return its content."""
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == request_id:
                return reply["content"]

    def ask(self, kind: str, code: str, cursor: int | None = None) -> dict[str, Any]:
        """Send an ``inspect`` or ``complete`` request, and return the reply."""
        return self.reply(getattr(self.client, kind)(code, cursor))

    def stopped(self, code: str, when: Callable[[Ran], Any]) -> Ran:
        """Run a cell, and interrupt the kernel once when a condition holds."""
        pressed: list[bool] = []

        def press(ran: Ran) -> None:
            if not pressed and when(ran):
                pressed.append(True)
                self.manager.interrupt_kernel()

        return self.run(code, press)


@contextmanager
def running(live: str, folder: Path) -> Iterator[Kernel]:
    """Run a kernel with the extension, with ``QIANFAN_LIVE`` set to `live`."""
    with EmbeddedServer() as server:
        inherited = {k: v for k, v in os.environ.items() if not is_foreign(k)}
        environment = (
            inherited
            | server.environment()
            | {
                "IPYTHONDIR": str(folder / "ipython"),
                "QIANFAN_CACHE_DIR": str(folder / "cache"),
                "QIANFAN_CHAT_ENDPOINT": "dolly_12b",
                "QIANFAN_COMPLETE_ENDPOINT": "starcoder",
                "QIANFAN_LIVE": live,
            }
        )
        manager = KernelManager(connection_file=str(folder / "kernel.json"))
        with (folder / "stderr").open("wb") as log:
            manager.start_kernel(env=environment, cwd=str(folder), stderr=log)
        try:
            kernel = Kernel(manager, server)
            kernel.run("%load_ext qianfan_magic")
            yield kernel
            kernel.client.stop_channels()
        finally:
            manager.shutdown_kernel()  # not at once: coverage is written as the kernel exits


def is_foreign(name: str) -> bool:
    """Tell whether a variable would change what the tests' kernels do."""
    return name.startswith("QIANFAN_") or name.lower().endswith("_proxy")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory) -> Iterator[dict[str, Kernel]]:
    """Start a kernel whose answers are shown at their end, and one that streams them."""
    folders = {live: tmp_path_factory.mktemp(live) for live in ("off", "on")}
    with running("off", folders["off"]) as off, running("on", folders["on"]) as on:
        yield {"off": off, "on": on}


@pytest.fixture
def fresh(kernels) -> dict[str, Kernel]:
    """Return both kernels, without conversations and faults."""
    for kernel in kernels.values():
        kernel.server.faults.clear()
        kernel.server.pace = 0
        kernel.run("%qianfan reset --all")
    return kernels


@pytest.fixture
def quiet(fresh) -> Kernel:
    return fresh["off"]


@pytest.fixture
def live(fresh) -> Kernel:
    return fresh["on"]


@pytest.fixture(params=["off", "on"])
def kernel(request, fresh) -> Kernel:
    return fresh[request.param]


def is_view(opened: dict[str, Any]) -> bool:
    return opened["data"]["state"].get("_model_module") == "anywidget"

"""Interrupts a cell at a random moment, and says what is wrong after it; runs in a kernel.

The signal comes from a thread of the kernel while the cell runs, as Jupyter sends it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType
from typing import Any, NamedTuple

import comm
import pandas as pd
import psutil
from IPython.core.getipython import get_ipython
from support.notebook import WALL
from support.waiting import until


class Scenario(NamedTuple):
    """A cell: the name of its magic, its flags and its text; and whether it needs a new token."""

    magic: str
    line: str
    cell: str
    has_token: bool = True


#: Seconds that connections may take to close, and frames of a stack that a problem names.
SETTLING, LONGEST_STACK = 30.0, 12
#: The service whose name is in this path is busy at each first attempt.
BUSY = "busy_dolly_12b"
#: What "long" is answered with.
LONG = "".join(
    f"## Part {part}\n\nSome **text** with `code` and $x^2$.\n\n```python\nx = {part}\n```\n\n"
    for part in range(60)
)
SCENARIOS = {
    "stream": Scenario("qianfan_chat", "-e dolly_12b", WALL),
    "token": Scenario("qianfan_chat", "-e dolly_12b", "hi", has_token=False),
    "wait": Scenario("qianfan_chat", f"-e {BUSY} --retries 4", "hi"),
    "rendering": Scenario("qianfan_chat", "-e dolly_12b --no-stream", "long"),
    "completion": Scenario("qianfan_complete", "-e starcoder", "def fib(n):"),
    "compare": Scenario(
        "qianfan_chat", "-e dolly_12b --compare temperature=0.1,0.5,0.9 --stop none", WALL
    ),
    "tool": Scenario("qianfan_chat", "-m ernie-5.1 --tool slow", "slow of 3"),
    "coroutine": Scenario("qianfan_chat", "-m ernie-5.1 --tool later", "later of 3"),
    "mcp": Scenario("qianfan_chat", "-m ernie-5.1 --mcp numbers", "half of 8"),
    "map": Scenario("qianfan_map", "cities -m ernie-5.1 --fresh -o told", "Where is {city}?"),
}
CITIES = pd.DataFrame({"city": [f"city {number}" for number in range(30)]})


def slow(x: int) -> int:
    """Wait a little."""
    time.sleep(0.02)
    return x


async def later(x: int) -> int:
    """Wait a little, in a coroutine."""
    await asyncio.sleep(0.02)
    return x


class Interrupter:
    """Interrupts one cell again and again.

    Parameters
    ----------
    name
        Which of `SCENARIOS`.
    seed
        Of the moments.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._scenario = SCENARIOS[name]
        self._random = random.Random(seed)
        self._shell: Any = get_ipython()
        self._shell.user_ns |= {"cities": CITIES, "slow": slow, "later": later}
        self.stopped = 0
        self._run()  # opens what stays open, such as the database of a map
        begun = time.monotonic()
        self._run()
        self._seconds = time.monotonic() - begun
        self._ask_afterwards()
        gc.collect()
        self._before = self._open()

    def problems(self, moments: int) -> list[str]:
        """Interrupt the cell at so many moments; return what was wrong after the first bad one."""
        found = (list(self._problems_once()) for _ in range(moments))
        return next(filter(None, found), [])

    def _problems_once(self) -> Iterator[str]:
        delay = self._random.uniform(0, self._seconds)
        error: BaseException | None = None
        moment = _Moment()
        try:
            with moment.interrupt_after(delay):
                self._run()
        except BaseException as raised:  # noqa: BLE001  any but an interrupt is a problem
            error = raised
        where = f"{moment}: "
        if isinstance(error, KeyboardInterrupt):
            self.stopped += 1
        elif error is not None:
            yield where + "".join(traceback.format_exception(error))
        if error is not None and _is_long(error):
            yield where + "the traceback is long:\n" + "".join(traceback.format_exception(error))
        del error
        try:
            self._ask_afterwards()
        except BaseException as raised:  # noqa: BLE001
            yield where + "the next cell fails: " + "".join(traceback.format_exception(raised))
        until(lambda: self._open().keys() <= self._before.keys(), SETTLING)
        left = {key: said for key, said in self._open().items() if key not in self._before}
        if left:
            yield f"{where}still open: {left}"
        yield from (where + problem for problem in self._broken_turns())

    def _run(self) -> None:
        magic, line, cell, has_token = self._scenario
        if not has_token:  # another cache: another client, which needs a token
            os.environ["QIANFAN_CACHE_DIR"] = mkdtemp()
        self._shell.run_cell_magic(magic, line, cell)

    def _ask_afterwards(self) -> None:
        self._shell.run_cell_magic("qianfan_chat", "-n afterwards -e dolly_12b", "hi")

    def _open(self) -> dict[Any, str]:
        """Return threads, comms, and sockets beside those that wait for the next request."""
        self._magics.session.load_client().close()
        threads = {thread: thread.name for thread in threading.enumerate()}
        comms = dict.fromkeys(comm.get_comm_manager().comms, "a comm")
        sockets = {one: str(one) for one in psutil.Process().net_connections("tcp")}
        return threads | comms | sockets

    @property
    def _magics(self) -> Any:
        return self._shell.magics_manager.registry["QianfanMagics"]

    def _broken_turns(self) -> Iterator[str]:
        for turn in self._magics.session.conversations.get("default").turns:
            if not turn.user or not (turn.assistant or turn.rounds):
                yield f"a turn is broken: {turn}"


class _Moment:
    """When the user interrupts a cell, and where its code then was."""

    def __init__(self) -> None:
        self._stack: list[str] = []

    def __str__(self) -> str:
        return "interrupted in\n" + "".join(self._stack[-LONGEST_STACK:])

    @contextmanager
    def interrupt_after(self, seconds: float) -> Iterator[None]:
        """Send SIGINT to this process while the block runs, or not at all."""
        done = threading.Event()

        def press() -> None:
            if not done.wait(seconds):
                os.kill(os.getpid(), signal.SIGINT)

        user = threading.Thread(target=press, name="the user")
        user.start()
        before = signal.signal(signal.SIGINT, self._take)
        try:
            yield
        finally:
            done.set()
            user.join()
            signal.signal(signal.SIGINT, before)

    def _take(self, _: int, frame: FrameType | None) -> None:
        self._stack = traceback.format_stack(frame)
        raise KeyboardInterrupt


def _is_long(error: BaseException) -> bool:
    """Return whether the traceback that IPython shows has frames of the package."""
    if hasattr(error, "_render_traceback_"):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any(f"qianfan_magic{os.sep}" in frame.filename for frame in frames)


def write_mcp_server(folder: Path) -> None:
    """Write the settings of the server that the scenario "mcp" starts."""
    script = Path(__file__).with_name("mcp_server.py")
    (folder / "qianfan.toml").write_text(
        f"[qianfan.mcp.numbers]\ncommand = '{sys.executable}'\nargs = ['{script}']\n", "utf-8"
    )

"""A cell may be interrupted at any moment: it ends cleanly, and the next one is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.interrupts import BUSY, LONG, write_mcp_server
from support.kernel import Kernel, running

from qianfan_magic.embedded.faults import Fault

#: How often each cell of `support.interrupts.SCENARIOS` is interrupted: 200 times in all.
MOMENTS = {
    "stream": 30,
    "token": 30,
    "wait": 20,
    "rendering": 20,
    "completion": 15,
    "compare": 20,
    "tool": 20,
    "coroutine": 15,
    "mcp": 10,
    "map": 20,
}
SEED = 18


@pytest.fixture(scope="module")
def interrupted_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("interrupts")
    write_mcp_server(folder)
    with running("on", folder) as kernel:
        server, engine = kernel.server, kernel.server.engine

        def answer(request: Any) -> str:
            return LONG if request.prompt.endswith("long") else engine(request)

        server.engine, server.pace = answer, 0.001
        busy = Fault(status=503, headers={"Retry-After": "0.05"}, path=BUSY)
        server.fail(*[busy, Fault(fields={"flag": 0}, path=BUSY)] * 200)
        kernel.run(f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})")
        yield kernel


@pytest.mark.kernel
@pytest.mark.parametrize("name", MOMENTS)
def test_cell_that_is_interrupted_anywhere_leaves_nothing_behind(interrupted_kernel, name):
    """The problems that `Interrupter` looks for: errors, tracebacks, turns, what is still open."""
    ran = interrupted_kernel.run(
        "import json\nfrom support.interrupts import Interrupter\n"
        f"interrupter = Interrupter({name!r}, {SEED})\n"
        f"problems = interrupter.problems({MOMENTS[name]})\n"
        "print('found', json.dumps([interrupter.stopped, problems]))"
    )
    assert ran.reply["status"] == "ok", "\n".join(ran.reply.get("traceback", []))
    printed = "".join(content["text"] for content in ran.contents("stream"))
    stopped, problems = json.loads(printed[printed.rindex("found ") + len("found ") :])
    assert "\n".join(problems) == ""
    assert stopped > 0

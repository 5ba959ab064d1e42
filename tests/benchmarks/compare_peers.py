"""The peers of the comparison, their environments, and processes in which they are asked."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import ROOT

HERE = Path(__file__).parent
KERNEL = "ipykernel==7.4.0"
#: Seconds after which an answer counts as one that does not end.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A package that is compared.

    ``module`` of ``peers`` drives it; ``load`` is what a notebook runs first; ``note`` says how it
    is driven; ``requirements`` are installed into an environment of its own, none for those of the
    tests' environment.
    """

    name: str
    module: str
    load: str
    note: str = ""
    requirements: tuple[str, ...] = ()
    streams: bool = True
    answers_a_cell: int = 40  # of which the outputs stay; JupyterLab shows 50

    def python(self, folder: Path) -> str:
        return str(folder / self.module / "bin/python") if self.requirements else sys.executable

    @property
    def version(self) -> str:
        return self.requirements[0].partition("==")[2] if self.requirements else ""


PRINTS = "It has no display of its own; its documents print the pieces, and so does this."
OURS = Peer(
    name="qianfan_magic",
    module="ours",
    load="%load_ext qianfan_magic",
    note="It parts what a model writes between `<think>` and `</think>` from the text, which the "
    "streams `llama_cpp`, `think` and `think_unclosed` expect; a peer that shows it as text is "
    "counted as wrong there. `no_done_silence` is a server that never ends a stream. It keeps the "
    "JSON of an answer, which `%qianfan request` shows, and compresses it from the fourth megabyte "
    "on; most of the memory of a long one is that.",
)
BARE = Peer(name="requests + json", module="bare", load="import requests")
SDK = Peer(
    name="qianfan SDK",
    module="official_sdk",
    load="import qianfan",
    note=PRINTS,
    requirements=("qianfan==0.4.12.3", KERNEL),
)
PEERS = (
    OURS,
    SDK,
    Peer(
        name="openai-python",
        module="openai_python",
        load="import openai",
        note=PRINTS,
        requirements=("openai==3.57.0", KERNEL),
    ),
    Peer(
        name="jupyter-ai-magic-commands",
        module="jupyter_ai",
        load="%load_ext jupyter_ai_magic_commands",
        note="`%%ai` waits for the whole answer and returns Markdown. LiteLLM is told to use its "
        "own list of prices (`LITELLM_LOCAL_MODEL_COST_MAP`), which it else fetches when it is "
        "imported.",
        requirements=("jupyter-ai-magic-commands==0.0.4", KERNEL),
        streams=False,
    ),
    Peer(
        name="chatlas",
        module="chatlas_chat",
        load="from chatlas import ChatOpenAICompletions",
        note="`chat()` shows Markdown, all of the answer again for each piece.",
        requirements=("chatlas==0.23.0", "openai==3.57.0", "ipywidgets==8.1.9", KERNEL),
        answers_a_cell=15,
    ),
    Peer(
        name="Cellmage",
        module="cellmage_magic",
        load="%load_ext cellmage",
        note="`%%llm` shows Markdown, all of the answer again for each piece. It is there only "
        "with the extra `langchain`.",
        requirements=("cellmage[langchain]==0.9.7", KERNEL),  # without it, it has no %%llm
        answers_a_cell=1,  # it clears the cell's output
    ),
    Peer(
        name="llm",
        module="llm_python",
        load="import llm",
        note=PRINTS,
        requirements=("llm==0.36", KERNEL),
    ),
)


def install(peer: Peer, folder: Path) -> None:
    """Create a peer's environment, unless it is there with the same requirements."""
    place = folder / peer.module
    listed, wanted = place / "requirements.txt", "\n".join(peer.requirements)
    if not wanted or (listed.exists() and listed.read_text() == wanted):
        return
    print("installing", *peer.requirements, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    pip = [peer.python(folder), "-m", "pip", "install", "--quiet", *peer.requirements]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    listed.write_text(wanted)


def environment(url: str, scratch: Path) -> dict[str, str]:
    """Return the variables by which the modules of ``peers`` find the server and a folder."""
    paths = os.pathsep.join([str(HERE), str(ROOT)])
    return {"COMPARE_URL": url, "COMPARE_FOLDER": str(scratch), "PYTHONPATH": paths}


class Asked:
    """A process that asks a peer."""

    def __init__(self, peer: Peer, python: str, variables: dict[str, str]) -> None:
        self.peer = peer
        self._command = [python, str(HERE / "compare_child.py"), peer.module]
        self._variables = os.environ | variables
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._variables,
            cwd=self._variables["COMPARE_FOLDER"],
        )
        self._process.stdout.readline()  # it has imported the peer

    def ask(self, question: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Ask a question, and say what was seen; a process that does not answer is replaced."""
        answers: Any = self._process.stdout
        print(json.dumps(question), file=self._process.stdin, flush=True)
        ready = select.select([answers], [], [], patience)[0]
        line = answers.readline() if ready else ""
        if line:
            return json.loads(line)
        self.close()
        self._start()
        return {"error": "it did not end" if not ready else "its process ended", "text": ""}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def asking(peer: Peer, python: str, variables: dict[str, str]) -> Iterator[Asked]:
    """Ask a peer in a process that ends with the ``with`` block."""
    asked = Asked(peer, python, variables)
    try:
        yield asked
    finally:
        asked.close()

"""Run the demo: one answer in the terminal, then JupyterLab or one executed notebook."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.embedded.extras import missing_package_error
from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
    from qianfan_magic.api.types import Message
    from qianfan_magic.embedded.server import EmbeddedServer

__all__ = [
    "FIRST_NOTEBOOK",
    "demo_environment",
    "execute",
    "find_notebook",
    "find_notebooks",
    "run_lab",
    "stream_answer",
]

#: The notebook that the demo opens, and ``--execute`` runs, unless another is named.
FIRST_NOTEBOOK = "00_start_here.ipynb"
#: The question that is asked in the terminal, and the one for a real model, whose facts are wrong.
QUESTION = "Please introduce The Great Wall"
REAL_QUESTION = "What is the sea? Answer in one sentence."
#: Largest number of tokens of the answer.
MAX_TOKENS = 200
#: Seconds that JupyterLab may take to start.
START_SECONDS = 60
#: Seconds that a cell of an executed notebook may take.
CELL_SECONDS = 600


def stream_answer(server: EmbeddedServer) -> None:
    """Stream one answer of the embedded server into the terminal."""
    from qianfan_magic.api.client import QianfanClient

    with QianfanClient(server.settings()) as client:
        card = client.service("chat", {}).card
        label = card.label if card else ""
        question = REAL_QUESTION if label else QUESTION
        print(f"You:   {question}\nModel: ", end="", flush=True)
        messages: list[Message] = [{"role": "user", "content": question}]
        for chunk in client.stream_chat(messages, max_tokens=MAX_TOKENS):
            print(chunk.text, end="", flush=True)
    who = f"That was {label or 'the embedded server on this computer'}"
    print(f"\n\n{who}.\nNo key, no network.\n", flush=True)


def demo_environment(server: EmbeddedServer) -> dict[str, str]:
    """Return this process's environment, with the server's keys instead of the user's."""
    inherited = {n: value for n, value in os.environ.items() if not n.startswith("QIANFAN_")}
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    return {
        **inherited,
        **server.environment(),
        "QIANFAN_DOT_ENV_CONFIG_FILE": os.devnull,  # the user's .env leads to another server
        "QIANFAN_MODEL": server.models["chat"],
        "QIANFAN_COMPLETE_MODEL": server.models["completion"],
        "QIANFAN_DISABLE_CACHE": "true",
        # Of the user's variables only this one has to do with the front end.
        "QIANFAN_LIVE": os.environ.get("QIANFAN_LIVE", "auto"),
        # Both spellings: urllib reads the lower case first, other programs only one of them.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def find_notebooks() -> Path:
    """Return the folder of the example notebooks.

    In a checkout of the repository they are beside the package. An installed package contains
    them; they are copied once into ``qianfan-notebooks`` in the working directory, so that
    nothing is written into the installation.

    Raises
    ------
    QianfanError
        If the installation has no notebooks.
    """
    package = Path(__file__).parent
    checkout = package.parent / "notebooks"
    if (checkout / FIRST_NOTEBOOK).is_file():
        return checkout
    packaged, copy = package / "notebooks", Path("qianfan-notebooks")
    if not copy.exists():
        if not packaged.is_dir():
            hint = "Install the package again."
            raise QianfanError("The example notebooks are missing", hint=hint)
        shutil.copytree(packaged, copy)
    return copy.resolve()


def find_notebook(notebook: Path) -> Path:
    """Return the path of a notebook.

    Parameters
    ----------
    notebook
        A path, or the name of an example with or without ``.ipynb``.

    Raises
    ------
    QianfanError
        If there is no such notebook; the hint lists the examples.
    """
    examples = find_notebooks()
    for path in (notebook, examples / notebook, examples / f"{notebook}.ipynb"):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.name for path in examples.glob("*.ipynb")))
    raise QianfanError(f"There is no notebook {notebook}", hint=f"There are: {names}.")


def execute(source: Path, environment: dict[str, str]) -> int:
    """Run a notebook, write the executed copy into the working directory, and print its path.

    Parameters
    ----------
    source
        The notebook; it is not changed.
    environment
        Environment of its kernel.

    Returns
    -------
    int
        1 if a cell failed, which is reported on stderr; the copy is written anyway.

    Raises
    ------
    QianfanError
        If the file is not a notebook, its kernel does not run, or the copy cannot be written.
    """
    try:
        import nbclient  # noqa: F401  only to see that it is installed
        import nbformat
    except ImportError as error:
        raise missing_package_error(error) from None
    executed, failure = _run_notebook(source, environment)
    target = Path(f"{source.stem}.executed.ipynb").resolve()
    try:
        nbformat.write(executed, target)
    except OSError as error:
        hint = "Change to a folder that you may write to."
        raise QianfanError(f"{target} cannot be written: {error.strerror}", hint=hint) from None
    print(f"The executed notebook: {target}")
    if failure:
        print(f"A cell failed: {failure}", file=sys.stderr)
    return 1 if failure else 0


def _run_notebook(source: Path, environment: dict[str, str]) -> tuple[Any, str]:
    """Return the executed notebook, and the error of the cell that failed, empty if none did."""
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        notebook = nbformat.read(source, as_version=4)
        resources = {"metadata": {"path": source.parent}}
        client = NotebookClient(notebook, timeout=CELL_SECONDS, resources=resources)
        client.execute(env=environment)
    except CellExecutionError as error:
        return notebook, f"{error.ename}: {error.evalue}"
    except NoSuchKernel as error:
        hint = "Choose the kernel python3 in it, or install that one."
        raise QianfanError(f"There is no kernel {error.name}", hint=hint) from None
    # AssertionError: on Ctrl-C nbclient 0.11 ends the kernel, then asserts that it has one.
    except (DeadKernelError, CellTimeoutError, AssertionError):
        raise QianfanError(f"The kernel of {source.name} ended", hint="Run it again.") from None
    except ValueError:
        hint = "Name an .ipynb file."
        raise QianfanError(f"{source.name} is not a notebook", hint=hint) from None
    return notebook, ""


def run_lab(arguments: argparse.Namespace, environment: dict[str, str]) -> int:
    """Run JupyterLab until it ends; print its address as soon as it answers.

    Parameters
    ----------
    arguments
        ``port`` and ``no_browser`` of the command line.
    environment
        JupyterLab's environment, which its kernels inherit.

    Returns
    -------
    int
        JupyterLab's exit status.

    Raises
    ------
    QianfanError
        If JupyterLab is not installed, or does not answer within `START_SECONDS`.
    """
    try:
        import jupyterlab  # noqa: F401  only to see that it is installed
        from jupyter_server.serverapp import list_running_servers
    except ImportError as error:
        raise missing_package_error(error) from None
    command = _lab_command(arguments.port, open_browser=not arguments.no_browser)
    lab = subprocess.Popen(command, env=environment)  # noqa: S603  nothing in it is untrusted
    try:
        deadline = time.monotonic() + START_SECONDS
        while lab.poll() is None and time.monotonic() < deadline:
            for server in list_running_servers():
                # Jupyter Server writes its file shortly before it listens.
                if server["pid"] == lab.pid and _is_open(server["hostname"], server["port"]):
                    address = f"{server['url']}lab/tree/{FIRST_NOTEBOOK}?token={server['token']}"
                    print(f"JupyterLab: {address}\nCtrl-C ends it.", flush=True)
                    return lab.wait()
            time.sleep(0.1)
        raise QianfanError("JupyterLab did not start", hint="Its messages above say why.")
    finally:
        lab.terminate()
        lab.wait()


def _is_open(host: str, port: int) -> bool:
    """Tell whether a port accepts connections."""
    with suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def _lab_command(port: int, *, open_browser: bool) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ServerApp.log_level=WARN",
        f"--ServerApp.root_dir={find_notebooks()}",
        "--ServerApp.answer_yes=True",  # so that Ctrl-C does not ask for confirmation
        f"--ServerApp.port={port}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
    ]
    # Jupyter Server refuses to run as root without this, and in a container root is usual.
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command += [] if open_browser else ["--no-browser"]
    return command

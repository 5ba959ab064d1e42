"""Run the demo: one answer in the terminal, then JupyterLab or one executed notebook."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qianfan_magic.embedded.extras import missing_package_error
from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
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

FIRST_NOTEBOOK = "01_first_answer.ipynb"
#: The question that the demo asks in the terminal.
QUESTION = "Please introduce The Great Wall"
#: Seconds that JupyterLab may take to start.
START_SECONDS = 60


def stream_answer(server: EmbeddedServer) -> None:
    """Stream one answer into the terminal."""
    from qianfan_magic.api.client import QianfanClient

    print(f"You:   {QUESTION}\nModel:", end="", flush=True)
    with QianfanClient(server.settings()) as client:
        for chunk in client.stream_chat([{"role": "user", "content": QUESTION}]):
            print(chunk.text, end="", flush=True)
    print("\n\nThat was the embedded server on this computer: no key, no network.\n", flush=True)


def demo_environment(server: EmbeddedServer) -> dict[str, str]:
    """Return this process's environment, with the server's keys instead of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QIANFAN_")}
    live = os.environ.get("QIANFAN_LIVE", "auto")
    past_proxies = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    return {
        **kept,
        **server.environment(),
        "QIANFAN_DOT_ENV_CONFIG_FILE": os.devnull,  # a .env is about another server
        "QIANFAN_CHAT_ENDPOINT": "dolly_12b",
        "QIANFAN_COMPLETE_ENDPOINT": "starcoder",
        "QIANFAN_DISABLE_CACHE": "true",
        "QIANFAN_LIVE": live,
        "NO_PROXY": past_proxies,
        "no_proxy": past_proxies,
    }


def find_notebooks() -> Path:
    """Return the folder of the example notebooks.

    In a checkout they stand beside the package. An installed package brings them along; they
    are copied to where one works, once, so that nothing is written into the installation.
    """
    package = Path(__file__).parent
    checkout = package.parent / "notebooks"
    if (checkout / FIRST_NOTEBOOK).is_file():
        return checkout
    mine = Path("qianfan-notebooks")
    if not (mine.exists() or (package / "notebooks").is_dir()):
        raise QianfanError("The example notebooks are missing", hint="Install the package again.")
    if not mine.exists():
        shutil.copytree(package / "notebooks", mine)
    return mine.resolve()


def execute(source: Path, environment: dict[str, str]) -> int:
    """Run a notebook, write the executed copy into the working folder, print its path.

    Returns
    -------
    int
        1 if a cell failed, which is reported on stderr; the copy is written anyway.

    Raises
    ------
    QianfanError
        If it is no notebook, its kernel does not run, or the copy cannot be written.
    """
    try:
        import nbformat
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ImportError as error:
        raise missing_package_error(error) from None
    failure = None
    try:
        ran = nbformat.read(source, as_version=4)
        client = NotebookClient(ran, timeout=600, resources={"metadata": {"path": source.parent}})
        client.execute(env=environment)
    except CellExecutionError as error:
        failure = error
    except NoSuchKernel as error:
        hint = "Choose the kernel python3 in it, or install that one."
        raise QianfanError(f"There is no kernel {error.name}", hint=hint) from None
    # On Ctrl-C nbclient ends the kernel, and then trips over there being none.
    except (DeadKernelError, CellTimeoutError, AssertionError):
        raise QianfanError(f"The kernel of {source.name} ended", hint="Run it again.") from None
    except ValueError:
        raise QianfanError(f"{source.name} is no notebook", hint="Name an .ipynb file.") from None
    written = Path(f"{source.stem}.executed.ipynb").resolve()
    try:
        nbformat.write(ran, written)
    except OSError as error:
        hint = "Change to a folder that you may write to."
        raise QianfanError(f"{written} cannot be written: {error.strerror}", hint=hint) from None
    print(f"The executed notebook: {written}")
    if failure:
        print(f"A cell failed: {failure.ename}: {failure.evalue}", file=sys.stderr)
    return 1 if failure else 0


def find_notebook(notebook: Path) -> Path:
    """Return a notebook by its path or by the name of an example."""
    examples = find_notebooks()
    for path in (notebook, examples / notebook, examples / f"{notebook}.ipynb"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.name for path in examples.glob("*.ipynb")))
    raise QianfanError(f"There is no notebook {notebook}", hint=f"There are: {known}.")


def run_lab(asked: argparse.Namespace, environment: dict[str, str]) -> int:
    """Run JupyterLab until it ends; print its address once it answers."""
    try:
        import jupyterlab  # noqa: F401  started as a process of its own below
        from jupyter_server.serverapp import list_running_servers
    except ImportError as error:
        raise missing_package_error(error) from None
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.log_level=WARN"]
    command += [f"--ServerApp.root_dir={find_notebooks()}", "--ServerApp.answer_yes=True"]
    command += [
        f"--ServerApp.port={asked.port}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
    ]
    # In a container one is root as a rule, and there the demo is to run too.
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command += ["--no-browser"] if asked.no_browser else []
    lab = subprocess.Popen(command, env=environment)  # noqa: S603  the command is ours
    try:
        deadline = time.monotonic() + START_SECONDS
        while lab.poll() is None and time.monotonic() < deadline:
            for known in list_running_servers():
                if known["pid"] == lab.pid:
                    address = f"{known['url']}lab?token={known['token']}"
                    print(f"JupyterLab: {address}\nCtrl-C ends it.", flush=True)
                    return lab.wait()
            time.sleep(0.1)
        raise QianfanError("JupyterLab did not start", hint="What it said stands above.")
    finally:
        lab.terminate()
        lab.wait()

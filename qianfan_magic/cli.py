"""The command ``qianfan-magic``: the demo, the embedded server, and the doctor."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qianfan_magic.embedded.extras import missing
from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qianfan_magic.embedded.server import EmbeddedServer

PACE = 0.03  # seconds between two chunks: about as fast as one reads
FIRST_NOTEBOOK = "01_first_answer.ipynb"
QUESTION = "Please introduce The Great Wall"
START_SECONDS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Default: those of the process.

    Returns
    -------
    int
        0 if all went well, 1 after an error, which is said on stderr.
    """
    asked = make_parser().parse_args(arguments)
    # Whoever ends this process ends JupyterLab with it: SystemExit runs the `finally` blocks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return int(asked.run(asked))
    except QianfanError as error:
        print(f"qianfan-magic: {error.message}", file=sys.stderr)
        print(f"→ {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="qianfan-magic", description="Ask a Baidu Qianfan model from a notebook cell."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="JupyterLab on the example notebooks, without a key")
    demo.add_argument("--no-browser", action="store_true", help="do not open a browser")
    demo.add_argument(
        "--execute",
        nargs="?",
        const=FIRST_NOTEBOOK,
        metavar="NOTEBOOK",
        help="run a notebook without a browser and write the executed copy into this folder",
    )
    demo.set_defaults(run=run_demo)
    serve = commands.add_parser("serve", help="the embedded server alone, on 127.0.0.1")
    serve.set_defaults(run=run_serve)
    for one, what in ((demo, "JupyterLab's port"), (serve, "the server's port")):
        one.add_argument("--engine", choices=["scripted"], default="scripted", help="who answers")
        one.add_argument("--port", type=_port, default=0, help=f"{what}; 0 takes a free one")
        one.add_argument("--seed", type=int, default=0, help="the same seed, the same answers")
    doctor = commands.add_parser("doctor", help="check settings, network and front end")
    doctor.add_argument("--live", action="store_true", help="also ask one small real question")
    doctor.set_defaults(run=run_doctor)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:  # noqa: PLR2004  TCP's own limit
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 65535")
    return port


def run_serve(asked: argparse.Namespace) -> int:
    """Print what leads to the server, one variable a line, and serve until Ctrl-C."""
    with _server(asked, asked.port) as server:
        for name, value in server.environment().items():
            print(f"{name}={value}")
        print("Serving until Ctrl-C.", file=sys.stderr)
        sys.stdout.flush()
        threading.Event().wait()
    return 0


def run_doctor(asked: argparse.Namespace) -> int:
    """Print what the doctor finds; return 1 if anything failed."""
    from qianfan_magic.doctor.examine import examine

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # who is ended has not found all well
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a pipe may know no arrow
    failed = False
    try:
        for finding in examine(Path.cwd(), live=asked.live):
            failed = failed or finding.state == "failed"
            print("\n".join(finding.lines), flush=True)
    except KeyboardInterrupt:
        failed = True
    return int(failed)


def run_demo(asked: argparse.Namespace) -> int:
    """Stream one answer into the terminal, then start JupyterLab or execute a notebook."""
    source = _find_notebook(Path(asked.execute)) if asked.execute is not None else None
    with _server(asked, 0) as server:
        _stream_one(server)
        if source:
            return execute(source, _environment(server))
        return _run_lab(asked, _environment(server))


@contextmanager
def _server(asked: argparse.Namespace, port: int) -> Iterator[EmbeddedServer]:
    try:
        from qianfan_magic.embedded.server import EmbeddedServer
    except ImportError as error:
        raise missing(error) from None
    server = EmbeddedServer(asked.engine, seed=asked.seed, port=port, pace=PACE)
    try:
        server.start()
    except OSError as error:
        raise QianfanError(
            f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}", hint="Choose another."
        ) from None
    try:
        yield server
    finally:
        server.stop()


def _stream_one(server: EmbeddedServer) -> None:
    from qianfan_magic.api.client import QianfanClient

    print(f"You:   {QUESTION}\nModel:", end="", flush=True)
    with QianfanClient(server.settings()) as client:
        for chunk in client.stream_chat([{"role": "user", "content": QUESTION}]):
            print(chunk.text, end="", flush=True)
    print("\n\nThat was the embedded server on this computer: no key, no network.\n", flush=True)


def _environment(server: EmbeddedServer) -> dict[str, str]:
    """Return this process's environment, with the server in the place of any credentials."""
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
        1 if a cell failed, which is then said; the copy is written all the same.

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
        raise missing(error) from None
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


def _find_notebook(notebook: Path) -> Path:
    """Return a notebook by its path or by the name of an example."""
    examples = find_notebooks()
    for path in (notebook, examples / notebook, examples / f"{notebook}.ipynb"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.name for path in examples.glob("*.ipynb")))
    raise QianfanError(f"There is no notebook {notebook}", hint=f"There are: {known}.")


def _run_lab(asked: argparse.Namespace, environment: dict[str, str]) -> int:
    try:
        import jupyterlab  # noqa: F401  started as a process of its own below
        from jupyter_server.serverapp import list_running_servers
    except ImportError as error:
        raise missing(error) from None
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

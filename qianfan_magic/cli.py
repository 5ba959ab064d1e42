"""The command ``qianfan-magic``: the demo, the embedded server, and the doctor."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qianfan_magic.demo import (
    FIRST_NOTEBOOK,
    demo_environment,
    execute,
    find_notebook,
    run_lab,
    stream_answer,
)
from qianfan_magic.embedded.extras import missing_package_error
from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qianfan_magic.embedded.server import EmbeddedServer

PACE = 0.03  # seconds between two chunks: about as fast as one reads


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
    source = find_notebook(Path(asked.execute)) if asked.execute is not None else None
    with _server(asked, 0) as server:
        stream_answer(server)
        if source:
            return execute(source, demo_environment(server))
        return run_lab(asked, demo_environment(server))


@contextmanager
def _server(asked: argparse.Namespace, port: int) -> Iterator[EmbeddedServer]:
    try:
        from qianfan_magic.embedded.server import EmbeddedServer
    except ImportError as error:
        raise missing_package_error(error) from None
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

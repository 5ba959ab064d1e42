"""The command ``qianfan-magic``: the demo, the embedded server, and the doctor."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.demo import (
    FIRST_NOTEBOOK,
    demo_environment,
    execute,
    find_notebook,
    run_lab,
    stream_answer,
)
from qianfan_magic.embedded import ENGINE_NAMES
from qianfan_magic.embedded.extras import missing_package_error
from qianfan_magic.errors import QianfanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qianfan_magic.embedded.server import EmbeddedServer

__all__ = ["main", "make_parser", "run_demo", "run_doctor", "run_serve"]

#: Seconds between two chunks of an answer: about the speed of reading.
PACE = 0.03
#: Largest port number of TCP.
MAX_PORT = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        The arguments after the command's name. Default: those of this process.

    Returns
    -------
    int
        The exit status: 0, or 1 after an error, which is printed to stderr.
    """
    parsed = make_parser().parse_args(arguments)
    # By default SIGTERM ends Python at once. SystemExit runs the `finally` blocks, which end
    # JupyterLab and the kernels too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return int(parsed.run(parsed))
    except QianfanError as error:
        print(f"qianfan-magic: {error.message}", file=sys.stderr)
        print(f"→ {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough. Python writes what is left in stdout's
        # buffer once more as it exits, so that must have a place to go to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line; each command sets ``run``, its function.

    Examples
    --------
    >>> make_parser().parse_args(["serve", "--seed", "7"]).seed
    7
    """
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
    _add_server_arguments(demo, "JupyterLab's port")
    demo.set_defaults(engine=None)
    demo.set_defaults(run=run_demo)
    serve = commands.add_parser("serve", help="the embedded server alone, on 127.0.0.1")
    _add_server_arguments(serve, "the server's port")
    serve.set_defaults(run=run_serve)
    doctor = commands.add_parser("doctor", help="check settings, network and front end")
    doctor.add_argument("--live", action="store_true", help="also ask one small real question")
    doctor.set_defaults(run=run_doctor)
    return parser


def _add_server_arguments(parser: argparse.ArgumentParser, port: str) -> None:
    parser.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="scripted",
        help="what generates the answers: a script, or a tiny real model (the default of demo, if "
        "it can be had)",
    )
    parser.add_argument("--port", type=_port, default=0, help=f"{port}; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same answers")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {MAX_PORT}")
    return port


def run_serve(arguments: argparse.Namespace) -> int:
    """Print the variables that lead to the embedded server, and serve until Ctrl-C.

    Stdout has one ``NAME=value`` a line, so that it can be saved as a ``.env``.
    """
    with _embedded_server(arguments, arguments.port) as server:
        for name, value in server.environment().items():
            print(f"{name}={value}")
        print("Serving until Ctrl-C.", file=sys.stderr)
        sys.stdout.flush()
        threading.Event().wait()
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print each finding of the doctor as it comes; return 1 if a check failed."""
    from qianfan_magic.doctor.examine import examine
    from qianfan_magic.doctor.finding import summary

    # Undo what `main` did: a doctor that is terminated must not report success.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of a pipe or an old terminal may lack the arrow.
        sys.stdout.reconfigure(errors="backslashreplace")
    findings = []
    try:
        for finding in examine(Path.cwd(), live=arguments.live):
            findings.append(finding)
            print("\n".join(finding.lines), flush=True)
    except KeyboardInterrupt:
        return 1
    print(summary(findings))
    return int(any(finding.state == "failed" for finding in findings))


def run_demo(arguments: argparse.Namespace) -> int:
    """Stream one answer into the terminal, then start JupyterLab or execute a notebook."""
    source = find_notebook(Path(arguments.execute)) if arguments.execute is not None else None
    with _embedded_server(arguments, 0) as server:
        stream_answer(server)
        if source:
            return execute(source, demo_environment(server))
        return run_lab(arguments, demo_environment(server))


@contextmanager
def _embedded_server(arguments: argparse.Namespace, port: int) -> Iterator[EmbeddedServer]:
    """Run the embedded server during the ``with`` block."""
    try:
        from qianfan_magic.embedded.server import EmbeddedServer
    except ImportError as error:
        raise missing_package_error(error) from None
    options: dict[str, Any] = {"seed": arguments.seed, "port": port, "pace": PACE}
    try:
        server = EmbeddedServer(arguments.engine or "smollm2", **options)
        try:
            server.start()
        except QianfanError as error:
            if arguments.engine:
                raise
            print(f"{error.message}.\nSo a script answers, which knows a few questions.\n")
            server = EmbeddedServer("scripted", **options).start()
    except OSError as error:
        raise QianfanError(
            f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}", hint="Choose another."
        ) from None
    try:
        yield server
    finally:
        server.stop()

"""A subcommand of ``%qianfan``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Command", "add_output"]


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""
    del parser


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand; the list of them in `qianfan_magic.magics.line_magic` is the registry.

    Attributes
    ----------
    name
        The word behind ``%qianfan``.
    help
        One line for the list of subcommands.
    run
        Runs it with its parsed arguments; raises a `QianfanError` if it fails.
    add_arguments
        Adds its arguments to its parser.
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], None]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments


def add_output(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add the flag ``-o VAR``, which also binds the result to a variable of the notebook."""
    parser.add_argument("-o", "--output", metavar="VAR", help=help_text)

"""The help of a magic, from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Collection

from qianfan_magic.language import tr

__all__ = ["parser_help"]


def parser_help(
    parser: argparse.ArgumentParser, command: str, everyday: Collection[str] = ()
) -> dict[str, str]:
    """Make the MIME bundle of a parser's help.

    Parameters
    ----------
    parser
        The parser.
    command
        What the line begins with.
    everyday
        Destinations of the flags that come first.
    """
    from qianfan_magic.views.reports.help import help_bundle

    rows = {action.dest: _row(parser, action) for action in parser._actions}  # noqa: SLF001  see flags_of
    operands = " ".join(str(a.metavar) for a in parser._actions if not a.option_strings)  # noqa: SLF001
    first = [row for name, row in rows.items() if name in everyday]
    more = [row for name, row in rows.items() if name not in everyday]
    groups = {tr("Every day"): first, tr("More"): more} if first else {tr("Arguments"): more}
    usage = " ".join(part for part in (command, operands, "[flags]") if part)
    return help_bundle(usage, (parser.description or "").strip(), groups)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str]:
    """Return what is written, and what it does."""
    formatter = parser._get_formatter()  # noqa: SLF001  the only way to fill in a help's %(prog)s
    words = formatter._expand_help(action) if action.help else ""  # noqa: SLF001
    value = formatter._format_args(action, action.dest.upper()) if action.nargs != 0 else ""  # noqa: SLF001
    flags = ", ".join(action.option_strings)
    return f"{flags} {value}".strip(), words

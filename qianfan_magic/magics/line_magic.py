"""``%qianfan``: its parser and the registry of its subcommands."""

from __future__ import annotations

import argparse
import shlex
from typing import NoReturn

from qianfan_magic.language import tr
from qianfan_magic.magics.command import Command
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.magics.conversation_commands import ConversationCommands
from qianfan_magic.magics.help import parser_help
from qianfan_magic.magics.inspect_commands import InspectCommands
from qianfan_magic.magics.map_command import JobsCommand
from qianfan_magic.magics.params_command import SliderPanel
from qianfan_magic.magics.parse_errors import closing_quote_error, parse_error
from qianfan_magic.magics.service_commands import ServiceCommands
from qianfan_magic.views.publish import publish

__all__ = ["LineMagic"]

#: The subcommands that the help lists first.
EVERYDAY = ("status", "demo", "params", "history", "undo", "reset", "models", "doctor")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised; those of argparse would exit the interpreter."""

    def error(self, message: str) -> NoReturn:
        """Raise a `ParameterError`."""
        raise parse_error(self, self.prog, message)


class LineMagic:
    """Runs the subcommands of one notebook.

    Parameters
    ----------
    context
        The notebook.
    panel
        Its panel of sliders.

    Attributes
    ----------
    commands : dict of str to Command
        Every subcommand by its name, in the order in which the help lists them.
    """

    def __init__(self, context: MagicContext, panel: SliderPanel) -> None:
        services, conversations = ServiceCommands(context), ConversationCommands(context)
        inspect = InspectCommands(context)
        registry = [
            services.status,
            services.demo,
            panel.command,
            *conversations.commands,
            *inspect.commands,
            JobsCommand(context).command,
            services.doctor,
            Command("help", tr("show this list"), lambda _: publish(self._help())),
        ]
        self.commands = {command.name: command for command in registry}
        self._parser, self._parsers = _make_parsers(registry)

    def run(self, line: str) -> None:
        """Run one line; an empty line stands for ``status``.

        Raises
        ------
        ParameterError
            If the subcommand or a flag is unknown.
        """
        try:
            words = shlex.split(line)
        except ValueError:
            raise closing_quote_error("%qianfan") from None
        arguments, unknown = self._parser.parse_known_args(words)
        if unknown:
            self.parser_of(arguments.subcommand).error(f"unrecognized arguments: {unknown[0]}")
        if arguments.help:
            name = arguments.subcommand
            publish(parser_help(self.parser_of(name), f"%qianfan {name}") if name else self._help())
        else:
            self.commands[arguments.subcommand or "status"].run(arguments)

    def _help(self) -> dict[str, str]:
        """Return the list of subcommands."""
        from qianfan_magic.views.reports.help import help_bundle

        commands = [(command.name, command.help) for command in self.commands.values()]
        groups = {
            tr("Every day"): [row for row in commands if row[0] in EVERYDAY],
            tr("More"): [row for row in commands if row[0] not in EVERYDAY],
        }
        purpose = tr(
            "{description} %qianfan SUBCOMMAND -h lists its flags.",
            description=self._parser.description,
        )
        return help_bundle("%qianfan SUBCOMMAND", purpose, groups)

    def parser_of(self, name: str | None) -> argparse.ArgumentParser:
        """Return the parser of a subcommand; None stands for ``%qianfan`` itself."""
        return self._parsers[name] if name else self._parser


def _make_parsers(
    registry: list[Command],
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = Parser(
        prog="%qianfan", add_help=False, description=tr("Everything except asking a question.")
    )
    parser.add_argument("-h", "--help", action="store_true", help=tr("show this list"))
    group = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", title="subcommands")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for command in registry:
        subparser = group.add_parser(
            command.name, help=command.help, description=command.help, add_help=False
        )
        subparser.add_argument("-h", "--help", action="store_true", help=tr("show this help"))
        command.add_arguments(subparser)
        parsers[command.name] = subparser
    return parser, parsers

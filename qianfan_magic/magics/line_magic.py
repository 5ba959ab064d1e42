"""``%qianfan`` and its subcommands."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, NoReturn

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.conversation.turn import excerpt, short_name
from qianfan_magic.errors import ParameterError
from qianfan_magic.magics import inspect_commands as seeing
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.magics.context import running
from qianfan_magic.magics.conversation_commands import Talks, add_arguments
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from qianfan_magic.api.types import Kind
    from qianfan_magic.magics.magics import QianfanMagics
    from qianfan_magic.session.last_answer import LastAnswer

#: In the order in which the help lists them. The embedded server has one engine so far.
SUBCOMMANDS: dict[str, str] = {
    "status": "where requests go, how they are let in, and with which parameters",
    "demo": "start the embedded server and use it: no key is needed, nothing leaves this computer",
    "params": "sliders for the parameters of every cell; temperature=0.3 sets one, =none unsets it",
    "history": "show a conversation, and where it will be cut",
    "undo": "forget the last turn of a conversation",
    "reset": "forget a conversation",
    "keep": "after --compare: list the columns, or go on from another one",
    "save": "write the conversations into a JSON file",
    "load": "read them from such a file",
    "restore": "build the conversations again from the answers in a saved notebook",
    **seeing.SUBCOMMANDS,
    "usage": "answers, tokens and their pace so far, by model",
    "doctor": "check settings, network and front end, and say what to do; --live asks a question",
    "help": "show this list",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors fail the cell in two lines, where argparse's would exit."""

    def error(self, message: str) -> NoReturn:
        """Raise a `ParameterError`."""
        raise ParameterError(f"%qianfan: {message}", hint="%qianfan help lists the subcommands.")


def make_parser() -> Parser:
    """Make the parser of ``%qianfan``."""
    parser = Parser(prog="%qianfan", add_help=False, description="Everything but asking.")
    parser.add_argument("-h", "--help", action="store_true", help="show this list")
    added = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", title="subcommands")
    parsers = {
        name: added.add_parser(name, help=described, description=described, add_help=False)
        for name, described in SUBCOMMANDS.items()
    }
    for one in parsers.values():
        one.add_argument("-h", "--help", action="store_true", help="show this help")
    demo, params, keep = (parsers[name] for name in ("demo", "params", "keep"))
    demo.add_argument("--engine", choices=["scripted"], default="scripted", help="who answers")
    demo.add_argument("--seed", type=int, default=0, help="the same seed, the same answers")
    demo.add_argument(
        "-o", "--output", metavar="VAR", help="also bind the server, to see what it received"
    )
    params.add_argument("values", nargs="*", metavar="NAME=VALUE", help="stop may come twice")
    keep.add_argument("column", nargs="?", type=int, metavar="N", help="the column, from 1")
    parsers["doctor"].add_argument(
        "--live", action="store_true", help="also ask one small real question"
    )
    add_arguments(parsers)
    seeing.add_arguments(parsers)
    for name, bound in (("history", "list of messages"), ("usage", "table, as a list of dicts")):
        described = f"also bind the {bound}"
        parsers[name].add_argument("-o", "--output", metavar="VAR", help=described)
    return parser


class Subcommands:
    """Runs them.

    Parameters
    ----------
    magics
        Whose state they show and change.
    """

    def __init__(self, magics: QianfanMagics) -> None:
        self._magics = magics
        self._parser = make_parser()
        self._runs: dict[str, Callable[[argparse.Namespace], None]] = {
            "status": self._status,
            "demo": self._demo,
            "params": self._params,
            "keep": self._keep,
            "usage": self._usage,
            "doctor": self._doctor,
            **Talks(magics).runs(),
            **seeing.Seeing(magics).runs(),
            "help": lambda _: show(self._parser.format_help()),
        }

    def run(self, line: str) -> None:
        """Run one line; nothing stands for ``status``.

        Raises
        ------
        ParameterError
            For an unknown subcommand or flag.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise ParameterError(f"%qianfan: {error}", hint="Close the quote.") from None
        read = self._parser.parse_args(words)
        if read.help:
            show(self.parser_of(read.subcommand).format_help())
        else:
            self._runs[read.subcommand or "status"](read)

    def parser_of(self, name: str | None) -> argparse.ArgumentParser:
        """Return a subcommand's parser, or that of all for None."""
        choices: dict[str, argparse.ArgumentParser] = next(
            action.choices  # type: ignore[misc]
            for action in self._parser._actions  # noqa: SLF001  argparse shows them nowhere else
            if action.dest == "subcommand"
        )
        return choices[name] if name else self._parser

    def _status(self, read: argparse.Namespace) -> None:
        del read
        magics, settings = self._magics, self._magics.session.settings
        demo = magics.session.server is not None
        keys = repr(settings.credentials) if settings.credentials.ways else "none"
        parameters = [f"{name}={value}" for name, value in magics.parameters().items()]
        kept = magics.session.conversations.values()
        rows = {
            "Version 1": self._server(ApiVersion.V1),
            "Version 2": self._server(ApiVersion.V2),
            "Credentials": "the embedded server's own" if demo else keys,
            "Chat": self._asked("chat"),
            "Completion": self._asked("completion"),
            "Parameters": ", ".join(parameters) or "none: the service decides",
            "Conversations": ", ".join(f"{short_name(one.name)} ({one.counted})" for one in kept),
        }
        shown = {label: value for label, value in rows.items() if value}
        width = max(map(len, shown)) + 1
        show("\n".join(f"{label + ':':<{width}} {value}" for label, value in shown.items()))

    def _server(self, version: ApiVersion) -> str:
        """Say where requests of a version of the API go."""
        settings = self._magics.session.settings
        if version not in settings.credentials.versions:
            return "no credentials"
        if self._magics.session.server is not None:
            return "the embedded server on this computer"
        return settings.base_url if version == ApiVersion.V1 else settings.console_api_base_url

    def _asked(self, kind: Kind) -> str:
        """Name what a cell of a kind asks that has neither -e nor -m."""
        try:
            service = self._magics.session.client.service(kind, self._magics.service(kind))
        except ParameterError as error:
            return f"nothing: {error.message}"
        return f"{service.name} (version {service.version})"

    def _demo(self, read: argparse.Namespace) -> None:
        name = check_name(read.output)
        self._magics.start_demo(read.engine, read.seed)
        if name:
            self._magics.shell.user_ns[name] = self._magics.session.server
        show(
            f"The embedded server answers now (engine: {read.engine}, seed: {read.seed}): no key "
            "is needed, and nothing leaves this computer.\nTo ask Qianfan itself, put your keys "
            "into .env, leave this line out and restart the kernel."
        )

    def _params(self, read: argparse.Namespace) -> None:
        self._magics.sliders.set(read.values)
        self._magics.sliders.show()

    def _keep(self, read: argparse.Namespace) -> None:
        from qianfan_magic.session.last_answer import keep_column

        answered = self._magics.session.answered
        columns = answered.columns if answered else None
        if not (answered and columns):
            raise ParameterError(
                "The last cell compared nothing",
                hint="%%qianfan_chat --compare temperature=0.1,0.9 gives columns to choose from.",
            )
        record = {}
        if read.column is not None:
            after = keep_column(answered, read.column, self._magics.session)
            # The compared cell's own output may be gone.
            record = self._magics.session.record(after, run=running(self._magics.shell), last=1)
        listed = [_described(answered, number) for number in range(1, len(columns) + 1)]
        show("\n".join(listed), record)

    def _doctor(self, read: argparse.Namespace) -> None:
        from qianfan_magic.doctor.examine import examine, raise_failed
        from qianfan_magic.views.reports.tables import doctor_bundle

        magics, session = self._magics, self._magics.session
        found = list(
            examine(
                session.folder,
                live=read.live,
                settings=session.settings if session.server else None,
                is_watched=magics.is_watched if hasattr(magics.shell, "kernel") else None,
            )
        )
        publish(doctor_bundle(found))
        raise_failed(found)

    def _usage(self, read: argparse.Namespace) -> None:
        from qianfan_magic.api.http.exchange import limits_left
        from qianfan_magic.session.usage import totals_by_model
        from qianfan_magic.views.reports.tables import usage_bundle

        name = check_name(read.output)
        totals = totals_by_model(self._magics.session.used)
        sent = self._magics.session.sent
        publish(usage_bundle(totals, limits_left(sent[-1].exchange) if sent else ()))
        if name:
            self._magics.shell.user_ns[name] = totals


def _described(answered: LastAnswer, number: int) -> str:
    """Say in one line what a column is: its number, whether it is kept, and how it begins."""
    column = (answered.columns or [])[number - 1]
    state = "" if column.state == "done" else f" ({column.state})"
    kept = ", kept" * (number == answered.kept)
    return f"{number}{kept}: {column.title}{state}: {excerpt(column.reply.text)}"

"""The subcommands about where requests go: ``status``, ``demo`` and ``doctor``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from IPython.display import clear_output

from qianfan_magic.api.catalogue.parameters import BY_NAME
from qianfan_magic.api.config.credentials import KEYLESS
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.conversation.turn import short_name
from qianfan_magic.embedded import ENGINE_NAMES
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.magics.command import Command, add_output
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient

__all__ = ["ServiceCommands"]


class ServiceCommands:
    """The subcommands that show, change and check where requests go.

    Parameters
    ----------
    context
        The notebook.
    """

    def __init__(self, context: MagicContext) -> None:
        self._context = context
        self.status = Command(
            "status",
            tr("where requests go, how they are authenticated, and with which parameters"),
            self._status,
        )
        self.demo = Command(
            "demo",
            tr(
                "start the embedded server and use it: no key is needed, nothing leaves "
                "this computer"
            ),
            self._demo,
            _add_demo_arguments,
        )
        self.doctor = Command(
            "doctor",
            tr("check settings, network and front end, and say what to do; --live asks a question"),
            self._doctor,
            _add_doctor_arguments,
        )

    def _status(self, _: argparse.Namespace) -> None:
        from qianfan_magic.views.reports.tables import table_bundle

        context, session = self._context, self._context.session
        client = session.load_client()
        parameters = [f"{name}={value}" for name, value in context.parameters().items()]
        conversations = [f"{short_name(c.name)} ({c.counted})" for c in session.conversations]
        rows = {
            "Version 1": self._server(client, ApiVersion.V1),
            "Version 2": self._server(client, ApiVersion.V2),
            "Credentials": self._credentials(client),
            "Chat": self._service(client, "chat"),
            "Completion": self._service(client, "completion"),
            "Parameters": ", ".join(parameters) or tr("none: the service decides"),
            "Conversations": ", ".join(conversations),
        }
        publish(table_bundle((), [(f"{label}:", value) for label, value in rows.items() if value]))

    def _credentials(self, client: QianfanClient) -> str:
        """Say which credentials are used; their values are never shown."""
        if self._context.session.server is not None:
            return tr("the embedded server's own")
        settings = client.settings
        if settings.credentials.methods:
            return repr(settings.credentials)
        if settings.method(ApiVersion.V2) == KEYLESS:
            return tr("none, and none needed: the server is on this computer")
        return "none"

    def _server(self, client: QianfanClient, version: ApiVersion) -> str:
        """Say where requests of a version of the API go."""
        settings = client.settings
        if version not in settings.versions:
            return "no credentials"
        if self._context.session.server is not None:
            return tr("the embedded server on this computer")
        return settings.url(version)

    def _service(self, client: QianfanClient, kind: Kind) -> str:
        """Name the service that a cell without -e and -m uses, and what is set but not sent."""
        try:
            service = self._context.service(client, kind)
        except ParameterError as error:
            return f"nothing: {error.message}"
        untaken = ", ".join(
            name
            for name in self._context.parameters()
            if name in BY_NAME and not service.takes(BY_NAME[name], kind)
        )
        note = tr("; does not take {untaken}", untaken=untaken) if untaken else ""
        label = f": {service.label}" if service.label != service.name else ""
        return tr(
            "{name} (version {version}){label}{note}",
            name=service.name,
            version=service.version,
            label=label,
            note=note,
        )

    def _demo(self, arguments: argparse.Namespace) -> None:
        context, engine, seed = self._context, arguments.engine, arguments.seed
        name = check_name(arguments.output)
        context.start_demo(engine, seed)
        if name:
            context.shell.user_ns[name] = context.session.server
        if context.session.server and context.session.server.was_fetched:
            clear_output(wait=True)  # or the bar's widget would be saved, and reopen as an error
        default = context.default_service()
        card = default[0].card if default else None
        show(
            tr(
                "The embedded server is running (engine: {engine}, seed: {seed}): no key "
                "is needed, and nothing leaves this computer.\n",
                engine=engine,
                seed=seed,
            )
            + (tr("It answers with {label}.\n", label=card.label) if card and card.label else "")
            + tr(
                "To use Qianfan itself, put your keys "
                "into .env, remove this line and restart the kernel."
            )
        )

    def _doctor(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.doctor.examine import examine, raise_failed
        from qianfan_magic.views.reports.tables import doctor_bundle

        context, session = self._context, self._context.session
        findings = list(
            examine(
                session.folder,
                live=arguments.live,
                settings=session.load_client().settings if session.server else None,
                is_watched=context.is_watched if hasattr(context.shell, "kernel") else None,
            )
        )
        publish(doctor_bundle(findings))
        raise_failed(findings)


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="scripted",
        help=tr("what generates the answers: a script, or a tiny real model"),
    )
    parser.add_argument(
        "--seed", type=int, default=0, help=tr("the same seed gives the same answers")
    )
    add_output(parser, tr("also bind the server, to see what it received"))


def _add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--live", action="store_true", help=tr("also ask one small real question"))

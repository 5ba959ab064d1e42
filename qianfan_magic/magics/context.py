"""The context that the magics and subcommands of one notebook share."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qianfan_magic.api.catalogue.parameters import EXCLUSIVE, check_text
from qianfan_magic.api.types import BOTH, Kind
from qianfan_magic.conversation.turn import CELL_ID, CellRun, ImageAttachment, digest, sent_cell_id
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.language import tr
from qianfan_magic.magics.config import CONFIGURABLE
from qianfan_magic.magics.interpolate import interpolate
from qianfan_magic.session.session import Session, read_live
from qianfan_magic.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.api.catalogue.resolver import Service
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.structured import Schema
    from qianfan_magic.api.tools import Tool
    from qianfan_magic.session.cell_options import CellOptions
    from qianfan_magic.session.cell_request import CellRequest

__all__ = ["Defaults", "MagicContext"]

#: Seconds between two chunks of the embedded server if somebody is watching, so that the stream
#: can be seen; otherwise there is no pause.
READING_PACE = 0.04


class Defaults(Protocol):
    """The settings of ``%config QianfanMagics`` that cells use."""

    chat_endpoint: str
    complete_endpoint: str
    model: str
    complete_model: str
    format: str
    max_turns: int | None
    tools: list[str]

    def configured_parameters(self) -> dict[str, Any]:
        """Return the parameters that are set, by name."""


@dataclass(frozen=True, slots=True)
class MagicContext:
    """One notebook: its shell, its state and its defaults.

    Attributes
    ----------
    shell
        The shell that runs the cells.
    session
        The state of the notebook.
    defaults
        The settings of ``%config``.
    """

    shell: InteractiveShell
    session: Session
    defaults: Defaults

    def current_run(self) -> CellRun:
        """Return the run of the cell that is running.

        Front ends send the id of the cell with the request to execute it;
        in a terminal, and under nbclient, papermill and nbval, both ids are empty.
        """
        get_parent = getattr(self.shell, "get_parent", None)
        parent = get_parent() if get_parent else {}
        cell = _storable_id(sent_cell_id(parent))
        return CellRun(cell, parent.get("header", {}).get("msg_id", ""))

    def is_watched(self) -> bool:
        """Tell whether somebody may be watching this notebook, or typing in a console."""
        from qianfan_magic.views.factory import is_console

        live = read_live(self.session.folder)
        return self.shows_widgets() or is_console(self.shell, live)

    def can_ask(self) -> bool:
        """Tell whether somebody can be asked something while a cell runs."""
        return self.is_watched() if hasattr(self.shell, "kernel") else sys.stdin.isatty()

    def shows_widgets(self) -> bool:
        """Tell whether the front end may show widgets."""
        from qianfan_magic.views.factory import is_watched

        live = read_live(self.session.folder)
        return hasattr(self.shell, "kernel") and is_watched(self.shell, live)

    def start_demo(self, engine: str, seed: int) -> None:
        """Use the embedded server; it streams at a reader's pace if somebody may be reading."""
        self.session.start_demo(engine, seed, pace=READING_PACE if self.is_watched() else 0.0)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters for every cell; the sliders take precedence over ``%config``."""
        return self.defaults.configured_parameters() | self.session.sliders

    def service(
        self, client: QianfanClient, kind: Kind, options: dict[str, Any] | None = None
    ) -> Service:
        """Decide where a request goes: flags take precedence over ``%config`` and the settings.

        Parameters
        ----------
        client
            The client of the cell, with its settings and cards.
        kind
            The kind of request.
        options
            The options that the flags give; ``endpoint`` and ``model`` name the service.
        """
        defaults = self.defaults
        endpoint, model = defaults.chat_endpoint, defaults.model
        if kind == "completion":
            endpoint, model = defaults.complete_endpoint, defaults.complete_model or model
        configured = (endpoint, None) if endpoint else (None, model or None)
        return client.service(kind, options or {}, defaults=[configured])

    def default_service(self) -> tuple[Service, Kind] | None:
        """Return the service of a cell without flags: of a chat, or else of a completion.

        If neither is set, it is the one that answered last; None if there is none either.
        """
        for kind in BOTH:
            with suppress(QianfanError):
                return self.service(self.session.load_client(), kind), kind
        last = self.session.last_answer
        return (last.request.service, last.request.kind) if last else None

    def applicable(
        self, values: dict[str, Any], kind: Kind, services: Iterable[Service]
    ) -> dict[str, Any]:
        """Return the parameters that all services support.

        Parameters that are set for every cell are left out where they do not apply, while a flag
        that does not apply is an error.
        """
        services = list(services)
        names = {
            parameter.name
            for parameter in CONFIGURABLE
            if all(service.takes(parameter, kind) for service in services)
        }
        return {name: value for name, value in values.items() if name in names}

    def make_request(
        self,
        client: QianfanClient,
        kind: Kind,
        options: CellOptions,
        cell: str,
        run: CellRun | None = None,
    ) -> CellRequest:
        """Build the request of a cell, with everything resolved that decides how it is sent.

        Parameters
        ----------
        client
            The client of the cell.
        kind
            The kind of request.
        options
            The flags of the cell.
        cell
            The text of the cell.
        run
            The run of the cell; given for a chat, which then continues its conversation.
        """
        from qianfan_magic.session.cell_request import CellRequest, default_format

        text = self._text(options, cell)
        services = self._column_services(client, kind, options)
        service = next(iter(services.values()), None) or self.service(client, kind, options.request)
        default = "schema" if options.schema else self.defaults.format or default_format(kind)
        request = CellRequest(
            kind=kind,
            text=text,
            service=service,
            services=services,
            parameters=self.request_parameters(self.parameters(), kind, options, services, service),
            format=options.format or default,
            schema=self._schema(options.schema),
            tools=self._tools(kind, options, service),
            options=options,
            images=self._images(options),
        )
        if run is None:
            return request
        return request.within(self.session.conversations, run, self.defaults.max_turns)

    def request_parameters(
        self,
        values: dict[str, Any],
        kind: Kind,
        options: CellOptions,
        services: dict[str, Service],
        service: Service,
    ) -> dict[str, Any]:
        """Return the parameters of a request; flags take precedence over other values."""
        flags = {k: v for k, v in options.request.items() if k not in {"endpoint", "model"}}
        applicable = self.applicable(values, kind, services.values() or [service])
        varied = {name for changed in options.compare.values() for name in changed}
        if EXCLUSIVE & (flags.keys() | varied):
            applicable = {k: v for k, v in applicable.items() if k not in EXCLUSIVE}
        return applicable | flags

    def _column_services(
        self, client: QianfanClient, kind: Kind, options: CellOptions
    ) -> dict[str, Service]:
        """Resolve the service of each column of a comparison of services, by title."""
        return {
            title: self.service(client, kind, dict(changed))
            for title, changed in options.compare.items()
            if changed.keys() & {"endpoint", "model"}
        }

    def _text(self, options: CellOptions, cell: str) -> str:
        text = cell.strip("\r\n")
        if options.continues and not text.strip():
            return ""
        filled = interpolate(text, self.shell.user_ns) if options.fill else text
        return check_text(filled, tr("The cell"))

    def _tools(self, kind: Kind, options: CellOptions, service: Service) -> dict[str, Tool]:
        """Read the functions that the model may call: those of the flags, or of ``%config``."""
        from qianfan_magic.api.tools import named_twice, read_tools

        names, where = list(options.tools), "--tool"
        has_other_flags = bool(options.compare or options.continues or options.mcp)
        has_other_flags = has_other_flags or options.prefix is not None
        if not names and kind == "chat" and not has_other_flags and service.can_call:
            names, where = self.defaults.tools, "%config QianfanMagics.tools"
        variables = self.shell.user_ns
        for name in names:
            if not callable(variables.get(name)):
                callables = [key for key, value in variables.items() if callable(value)]
                raise ParameterError(
                    tr("{where}: the notebook has no function {name!r}", where=where, name=name),
                    hint=did_you_mean(name, callables) or tr("Define it with def, above."),
                )
        tools = self._mcp_tools(options.mcp)
        _check_tool_flags(options, [*names, *tools])
        if options.confirm and not self.can_ask():
            raise ParameterError(
                tr("--confirm: nobody is there to be asked"),
                hint=tr("Run the cell in a notebook that is open, or leave --confirm out."),
            )
        if names:
            own = read_tools({name: variables[name] for name in dict.fromkeys(names)})
            for name in own.keys() & tools.keys():
                raise named_twice(name)
            tools |= own
        return tools

    def _mcp_tools(self, servers: Sequence[str]) -> dict[str, Tool]:
        """Connect to MCP servers; return their functions by name."""
        from qianfan_magic.api.tools import named_twice

        tools: dict[str, Tool] = {}
        for server in servers:
            offered = self.session.mcp_server(server).tools
            for name in tools.keys() & offered.keys():
                raise named_twice(name)
            tools |= offered
        return tools

    def _schema(self, name: str | None) -> Schema | None:
        """Read the schema in a variable of the notebook."""
        if name is None:
            return None
        from qianfan_magic.api.structured import read_schema

        if name not in self.shell.user_ns:
            raise ParameterError(
                tr("--schema: the notebook has no variable {name!r}", name=name),
                hint=tr("Give the name of a dict, a pydantic model or a dataclass."),
            )
        try:
            return read_schema(self.shell.user_ns[name])
        except ParameterError as error:
            raise ParameterError(
                tr("--schema {name}: {problem}", name=name, problem=error.message), hint=error.hint
            ) from None

    def _images(self, options: CellOptions) -> list[ImageAttachment]:
        """Read the images that are sent, and show small copies of them."""
        if not options.images:
            return []
        from qianfan_magic.api.images.source import read_image
        from qianfan_magic.views.publish import publish
        from qianfan_magic.views.reports.images import images_bundle

        # Relative paths start in the working directory, as everywhere in a notebook.
        variables, folder = self.shell.user_ns, Path.cwd()
        images = [read_image(name, variables, folder) for name in options.images]
        publish(images_bundle(images))
        return [ImageAttachment(image.name, image.digest, image.url) for image in images]


def _check_tool_flags(options: CellOptions, names: Sequence[str]) -> None:
    """Raise a `ParameterError` for a flag that makes no sense with these functions."""
    from qianfan_magic.api.tools import CHOICES

    needs_tools = {
        "--tool-choice": options.tool_choice not in {None, "none"},
        "--confirm": options.confirm,
        "--max-rounds": options.max_rounds is not None,
    }
    for flag, is_given in needs_tools.items():
        if is_given and not names:
            raise ParameterError(
                tr("{flag} needs a function that the model may call", flag=flag),
                hint=tr("Name one: --tool NAME."),
            )
    choice = options.tool_choice
    if choice is not None and choice not in {*CHOICES, *names}:
        raise ParameterError(
            tr("--tool-choice: {choice!r} is none of the functions", choice=choice),
            hint=tr("Give one of {choices}.", choices=", ".join([*CHOICES, *names])),
        )


def _storable_id(cell: str) -> str:
    """Return a cell id that may stand in a saved notebook.

    VS Code sends a URL, ``vscode-notebook-cell:/home/…/a.ipynb#W0sZmlsZQ``, which contains the
    user's folders, so a digest of it is used.
    """
    if not cell or CELL_ID.fullmatch(cell):
        return cell
    return digest(cell)

"""The magics: parse, ask, show, keep."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import FLAGGED, SENDING, check_text, is_supported
from qianfan_magic.api.catalogue.user_cards import read_cards
from qianfan_magic.api.types import Kind
from qianfan_magic.conversation.notebook_file import CellOrder
from qianfan_magic.conversation.turn import CellRun, ImageAttachment
from qianfan_magic.errors import brief
from qianfan_magic.magics.arguments import CHAT, flags, parse
from qianfan_magic.magics.completer import make_matcher
from qianfan_magic.magics.context import running
from qianfan_magic.magics.interpolate import interpolate
from qianfan_magic.magics.line_magic import Subcommands
from qianfan_magic.magics.params_command import SliderPanel
from qianfan_magic.session.cell_options import FORMATS, CellOptions
from qianfan_magic.session.session import Session
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.session.cell_request import CellRequest


class ParameterTrait(traitlets.TraitType[Any, Any]):
    """A request parameter as a setting of the notebook; None lets the service decide."""

    def __init__(self, parameter: Parameter) -> None:
        help_text = f"{parameter.help} ({parameter.range})"
        super().__init__(default_value=None, allow_none=True, help=help_text)
        self.tag(config=True)
        self._parameter = parameter

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the checked value."""
        del obj
        return self._parameter.check(value)


class ModelsTrait(traitlets.TraitType[Any, Any]):
    """The user's own model cards and short names, see `qianfan_magic.api.catalogue.user_cards.read_cards`."""

    def __init__(self) -> None:
        help_text = 'Short names and cards of models, such as {"tutor": "ernie-5.1"}.'
        super().__init__(default_value={}, help=help_text)
        self.tag(config=True)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the checked table."""
        del obj
        read_cards(value, "%config QianfanMagics.models")
        return value


#: Seconds between two chunks of the embedded server's streams.
READING_PACE = 0.04
ROWS = (*FLAGGED, *SENDING)
#: Settings of the notebook that come from the table of parameters.
ParameterDefaults = traitlets.MetaHasTraits(
    "ParameterDefaults", (traitlets.HasTraits,), {row.name: ParameterTrait(row) for row in ROWS}
)


def short_interrupts(magic: Callable[..., None]) -> Callable[..., None]:
    """Let a stopped cell end in one line."""

    @wraps(magic)
    def run(*arguments: Any) -> None:
        try:
            magic(*arguments)
        except KeyboardInterrupt as stop:
            raise brief(stop)  # noqa: B904  it is the same one

    return run


@magics_class
class QianfanMagics(Magics, ParameterDefaults):  # type: ignore[misc,valid-type]
    """Settings of this notebook, for every cell whose flags say nothing else."""

    chat_endpoint = traitlets.Unicode(help="What %%qianfan_chat asks without -e and -m.").tag(
        config=True
    )
    complete_endpoint = traitlets.Unicode(
        help="What %%qianfan_complete asks without -e and -m."
    ).tag(config=True)
    model = traitlets.Unicode(help="The model, where no endpoint is named.").tag(config=True)
    format = traitlets.Enum(
        ("", *FORMATS),
        "",
        help="How answers are shown; by default chats as markdown, completions as text.",
    ).tag(config=True)

    models = ModelsTrait()

    max_turns = traitlets.Int(
        default_value=None,
        allow_none=True,
        min=0,
        help="So many earlier turns go along with a chat's question at most; None: all that fit.",
    ).tag(config=True)

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.session = Session(CellOrder(shell.user_ns))
        self.sliders = SliderPanel(self)
        self.subcommands = Subcommands(self)
        self.observe(self._take_cards, "models")
        self._take_cards()
        self.matcher = make_matcher(self)

    @flags("qianfan_complete", "completion")
    @cell_magic
    @short_interrupts
    def qianfan_complete(self, line: str, cell: str) -> None:
        """Have the model go on with the cell's text."""
        with self._preserving_record():
            self._run("completion", self._parse("qianfan_complete", line), cell)

    @flags("qianfan_chat", "chat", *CHAT)
    @cell_magic
    @short_interrupts
    def qianfan_chat(self, line: str, cell: str) -> None:
        """Send the cell's text as the next message of a conversation."""
        with self._preserving_record() as run:
            self._run("chat", self._parse("qianfan_chat", line), cell, run)

    @line_magic
    def qianfan(self, line: str) -> None:
        """Everything else: ``%qianfan help`` lists it."""
        try:
            with self._preserving_record():
                self.subcommands.run(line)
        except KeyboardInterrupt as stop:
            raise brief(stop, "stopped")  # noqa: B904  it is the same one

    def start_demo(self, engine: str, seed: int) -> None:
        """Use the embedded server; it streams at a reader's pace where somebody may read."""
        self.session.demo(engine, seed, pace=READING_PACE if self.is_watched() else 0.0)

    def is_watched(self) -> bool:
        """Tell whether somebody may be watching this notebook."""
        from qianfan_magic.session.session import read_live
        from qianfan_magic.views.factory import is_watched

        live = read_live(self.session.folder)
        return hasattr(self.shell, "kernel") and is_watched(self.shell, live)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that ``%config`` and the sliders set for every cell."""
        set_here = {row.name: getattr(self, row.name) for row in ROWS}
        configured = {name: value for name, value in set_here.items() if value is not None}
        return configured | self.session.sliders

    def _take_cards(self, _: Any = None) -> None:
        self.session.own_cards = read_cards(self.models, "%config QianfanMagics.models")

    def _parse(self, name: str, line: str) -> CellOptions | None:
        magic = getattr(self, name)
        ask = parse(magic, line)
        if ask is None:
            show(magic.__doc__.removeprefix("::\n\n"))
        return ask

    def _text(self, ask: CellOptions, cell: str) -> str:
        text = cell.strip("\r\n")
        if ask.continues and not text.strip():
            return ""
        return check_text(interpolate(text, self.shell.user_ns) if ask.fill else text, "The cell")

    def _run(
        self, kind: Kind, ask: CellOptions | None, cell: str, run: CellRun | None = None
    ) -> None:
        from qianfan_magic.session.runner import CellRunner

        if ask is None:
            return
        if not ask.dry_run:
            self.session.sent = []
        question = self._question(kind, ask, self._text(ask, cell), run)
        if ask.dry_run:
            show(question.describe(self.session.client))
        else:
            CellRunner(self.shell, self.session).run(question)

    def _question(
        self, kind: Kind, ask: CellOptions, text: str, run: CellRun | None
    ) -> CellRequest:
        from qianfan_magic.session.cell_request import CellRequest, default_format

        question = CellRequest(
            kind=kind,
            text=text,
            options=self.options(ask, kind),
            form=ask.format or self.format or default_format(kind),
            ask=ask,
            pictures=self._pictures(ask),
        )
        return question if run is None else question.within(self.session, run, self.max_turns)

    def _pictures(self, ask: CellOptions) -> list[ImageAttachment]:
        """Read the pictures that go along, and show small copies of them."""
        if not ask.images:
            return []
        from qianfan_magic.api.images.source import read_image
        from qianfan_magic.views.reports.images import images_bundle

        # A path is read as everywhere in a notebook, from where it is now.
        variables, folder = self.shell.user_ns, Path.cwd()
        pictures = [read_image(named, variables, folder) for named in ask.images]
        publish(images_bundle(pictures))
        return [ImageAttachment(one.name, one.digest, one.url) for one in pictures]

    @contextmanager
    def _preserving_record(self) -> Iterator[CellRun]:
        """Run a cell; if it changed no conversation, say what it asked earlier, and save that.

        The front end has cleared the cell's output, and with it the record that it had.
        """
        from qianfan_magic.views.notes import unchanged_notes

        run = running(self.shell)
        try:
            yield run
        finally:
            if self.session.lacks_record(run):
                notes = unchanged_notes(self.session.conversations.values(), run)
                show("\n".join(notes), self.session.record(run=run))

    def options(self, ask: CellOptions, kind: Kind) -> dict[str, Any]:
        """Let a flag win over a slider, and that over ``%config``; the settings have the rest."""
        named = {} if ask.options.keys() & {"endpoint", "model"} else self.service(kind)
        asked = {**named, **ask.options}
        return {**self.known(self.parameters(), kind, ask, asked), **asked}

    def known(
        self, values: dict[str, Any], kind: Kind, ask: CellOptions, asked: dict[str, Any]
    ) -> dict[str, Any]:
        """Choose the parameters that everybody who is asked knows: they are set for all cells."""
        differs = [v for v in ask.compare.values() if v.keys() & {"endpoint", "model"}]
        services = [self.session.client.service(kind, who) for who in differs or [asked]]
        known = {
            r.name for r in ROWS if all(is_supported(r, kind, one.version) for one in services)
        }
        if any(one.card and not one.card.thinks for one in services):
            known -= {"enable_thinking", "thinking_budget"}
        return {name: value for name, value in values.items() if name in known}

    def service(self, kind: Kind) -> dict[str, str]:
        """Return what ``%config`` names for a kind of cell: an endpoint, a model, or nothing."""
        endpoint = self.chat_endpoint if kind == "chat" else self.complete_endpoint
        if endpoint:
            return {"endpoint": endpoint}
        _, model = self.session.catalogue.default(None, self.model or None, kind, ())
        return {"model": model} if model else {}


def add_empty_body(lines: list[str]) -> list[str]:
    """Give a cell magic of ours without a body an empty line.

    IPython refuses ``%%magic`` without a body itself, with a message that does not fail the
    cell under ``nbval --nbval-lax``; and ``%%qianfan_chat -h`` needs no body.
    """
    if len(lines) == 1 and lines[0].startswith(("%%qianfan_chat", "%%qianfan_complete")):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


def load(ipython: InteractiveShell) -> None:
    """Add the magics, Tab completion and the transformation of empty cells."""
    magics = QianfanMagics(ipython)
    ipython.register_magics(magics)
    ipython.input_transformers_cleanup.append(add_empty_body)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.append(magics.matcher)


def unload(ipython: InteractiveShell) -> None:
    """Take back what `load` added, and end what the notebook had running."""
    magics = ipython.magics_manager.registry.pop("QianfanMagics")
    magics.sliders.close()
    magics.session.close()
    for kind, names in magics.magics.items():
        for name in names:
            ipython.magics_manager.magics[kind].pop(name, None)
    ipython.configurables.remove(magics)
    ipython.input_transformers_cleanup.remove(add_empty_body)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.remove(magics.matcher)

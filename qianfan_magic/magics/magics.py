"""The three magics, and how they are registered with IPython."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.extensions import ExtensionManager
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from qianfan_magic.api.catalogue.user_cards import read_cards
from qianfan_magic.api.types import Kind
from qianfan_magic.conversation.notebook_file import CellOrder
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import CellRun
from qianfan_magic.interrupts import short_interrupt
from qianfan_magic.magics.arguments import CHAT, EVERYDAY, flags, parse
from qianfan_magic.magics.completer import make_matcher
from qianfan_magic.magics.config import MODELS_SETTING, MagicsConfig
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.magics.help import parser_help
from qianfan_magic.magics.line_magic import LineMagic
from qianfan_magic.magics.map_command import MAP_EVERYDAY, map_flags, parse_map, run_map
from qianfan_magic.magics.params_command import SliderPanel
from qianfan_magic.session.session import Session
from qianfan_magic.views.publish import publish, show, show_verbatim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.session.cell_options import CellOptions

__all__ = ["QianfanMagics", "load", "unload"]


@magics_class
class QianfanMagics(Magics, MagicsConfig):
    """Settings of this notebook, which apply to every cell whose flags do not override them."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.session = Session(ConversationStore(CellOrder(shell.user_ns)))
        self.context = MagicContext(shell, self.session, self)
        self.panel = SliderPanel(self.context)
        self.line_magic = LineMagic(self.context, self.panel)
        self.observe(self._read_user_cards, "models")
        self._read_user_cards()
        self.matcher = make_matcher(
            self.context,
            cell_parsers={name: getattr(self, name).parser for name in _CELL_MAGICS},
            line_magic=self.line_magic,
        )

    @no_var_expand  # braces and $ of a flag arrive as written; --fill fills the cell alone
    @flags("qianfan_complete", "completion")
    @cell_magic
    @short_interrupt()
    def qianfan_complete(self, line: str, cell: str) -> None:
        """Have the model continue the cell's text."""
        with self._preserving_record():
            self._run("completion", self._parse("qianfan_complete", line), cell)

    @no_var_expand  # braces and $ of a flag arrive as written; --fill fills the cell alone
    @flags("qianfan_chat", "chat", *CHAT)
    @cell_magic
    @short_interrupt()
    def qianfan_chat(self, line: str, cell: str) -> None:
        """Send the cell's text as the next message of a conversation."""
        with self._preserving_record() as run:
            self._run("chat", self._parse("qianfan_chat", line), cell, run)

    @no_var_expand
    @map_flags()
    @cell_magic
    @short_interrupt()
    def qianfan_map(self, line: str, cell: str) -> None:
        """Ask the cell's template for each row of a table."""
        with self._preserving_record():
            options = parse_map(self.qianfan_map, line)
            if options is None:
                publish(parser_help(self.qianfan_map.parser, "%%qianfan_map", MAP_EVERYDAY))
            else:
                run_map(self.context, options, cell)

    # IPython expands {name} and $name in its line, so that %qianfan params temperature={t} works.
    @line_magic
    @short_interrupt("Stopped.")
    def qianfan(self, line: str) -> None:
        """Everything else: ``%qianfan help`` lists it."""
        with self._preserving_record():
            self.line_magic.run(line)

    def mark_dropped_turns(self, _: Any) -> None:
        """Mark the answers on the page whose turns the cell that has just run dropped."""
        self.session.shown.mark(self.session.conversations)

    def _read_user_cards(self, _: Any = None) -> None:
        self.session.user_cards = read_cards(self.models, MODELS_SETTING)

    def _parse(self, name: str, line: str) -> CellOptions | None:
        magic = getattr(self, name)
        options = parse(magic, line)
        if options is None:
            publish(parser_help(magic.parser, f"%%{name}", EVERYDAY))
        return options

    def _run(
        self, kind: Kind, options: CellOptions | None, cell: str, run: CellRun | None = None
    ) -> None:
        from qianfan_magic.session.runner import CellRunner

        if options is None:
            return
        if not options.dry_run:
            self.session.sent = []
        client = self.session.load_client()
        request = self.context.make_request(client, kind, options, cell, run)
        if options.dry_run:
            show_verbatim(request.describe(client))
        else:
            CellRunner(self.shell, self.session, client).run(request)

    @contextmanager
    def _preserving_record(self) -> Iterator[CellRun]:
        """Run a cell; if it changed no conversation, record again what it asked earlier.

        The front end has cleared the cell's output, and with it the record that it held.
        """
        from qianfan_magic.views.notes import unchanged_notes

        run, conversations = self.context.current_run(), self.session.conversations
        try:
            yield run
        finally:
            if conversations.lacks_record(run):
                notes = unchanged_notes(conversations, run)
                show("\n".join(notes), conversations.record(run=run))


_CELL_MAGICS = ("qianfan_chat", "qianfan_complete", "qianfan_map")


def add_empty_body(lines: list[str]) -> list[str]:
    """Give a cell magic of ours without a body an empty line.

    IPython refuses ``%%magic`` without a body itself, with a message that does not fail the
    cell under ``nbval --nbval-lax``; and ``%%qianfan_chat -h`` needs no body.
    """
    if len(lines) == 1 and lines[0].startswith(tuple(f"%%{name}" for name in _CELL_MAGICS)):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


#: The key in `InteractiveShell.meta` under which a reload keeps the magics.
_KEPT = "qianfan_magic"


def load(ipython: InteractiveShell) -> None:
    """Register the magics, Tab completion, and what happens before and after each cell.

    After ``%reload_ext`` these are the magics of before, with all that the notebook holds.
    """
    magics = _kept(ipython) or QianfanMagics(ipython)
    ipython.register_magics(magics)
    ipython.input_transformers_cleanup.append(add_empty_body)
    ipython.events.register("post_run_cell", magics.mark_dropped_turns)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.append(magics.matcher)


def unload(ipython: InteractiveShell) -> None:
    """Remove what `load` registered, and close what the notebook has open.

    ``%reload_ext`` closes the panel alone: conversations, sliders, client and demo server stay.
    """
    magics = ipython.magics_manager.registry.pop("QianfanMagics")
    magics.panel.close()
    if _is_reload():
        ipython.meta[_KEPT] = magics
    else:
        magics.session.close()
    for kind, names in magics.magics.items():
        for name in names:
            ipython.magics_manager.magics[kind].pop(name, None)
    ipython.configurables.remove(magics)
    ipython.input_transformers_cleanup.remove(add_empty_body)
    ipython.events.unregister("post_run_cell", magics.mark_dropped_turns)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.remove(magics.matcher)


def _is_reload() -> bool:
    """Tell whether IPython unloads the extension only to load it again.

    It calls the same function for ``%unload_ext`` and for ``%reload_ext``, without a word on
    which it is, so the callers are looked through.
    """
    frame = inspect.currentframe()
    while frame and frame.f_code is not ExtensionManager.reload_extension.__code__:
        frame = frame.f_back
    return frame is not None


def _kept(ipython: InteractiveShell) -> QianfanMagics | None:
    """Take back the magics that a reload has kept; None if there are none."""
    magics = ipython.meta.pop(_KEPT, None)
    if magics is None:
        return None
    if type(magics) is not QianfanMagics:  # this module has been imported anew since
        magics.session.close()
        return None
    ipython.configurables.append(magics)  # as the constructor of Magics does
    return magics

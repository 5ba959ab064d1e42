"""The subcommands that show, change, save and restore conversations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qianfan_magic.conversation.turn import excerpt, short_name
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.language import tr
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.magics.command import Command, add_output
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from qianfan_magic.api.catalogue.cards import Card
    from qianfan_magic.conversation.conversation import Conversation
    from qianfan_magic.conversation.restore import Restoration
    from qianfan_magic.session.last_answer import LastAnswer

__all__ = ["ConversationCommands"]

#: Largest number of lines of a summary that are shown; a notebook may hold thousands of answers.
MAX_SUMMARY_LINES = 20


class ConversationCommands:
    """The subcommands that show, change, save and restore conversations.

    Parameters
    ----------
    context
        The notebook.
    """

    def __init__(self, context: MagicContext) -> None:
        self._context = context
        self._session = context.session
        self._store = context.session.conversations
        self.commands = [
            Command(
                "history",
                tr("show a conversation, and where it will be cut"),
                self._history,
                _add_history_arguments,
            ),
            Command("undo", tr("forget the last turn of a conversation"), self._undo, _add_name),
            Command("reset", tr("forget a conversation"), self._reset, _add_reset_arguments),
            Command(
                "keep",
                tr("after --compare: list the columns, or continue from another one"),
                self._keep,
                _add_keep_arguments,
            ),
            Command(
                "save",
                tr("write the conversations to a JSON file"),
                self._save,
                _add_save_arguments,
            ),
            Command("load", tr("read them from such a file"), self._load, _add_file_arguments),
            Command(
                "restore",
                tr("rebuild the conversations from the answers in a saved notebook"),
                self._restore,
                _add_restore_arguments,
            ),
        ]

    def _history(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.views.reports.history import history_bundle

        conversation = self._existing(arguments.conversation)
        name = check_name(arguments.output)
        max_turns = self._context.defaults.max_turns
        fit = conversation.fit("", self._card(), max_turns=max_turns)
        publish(history_bundle(conversation, fit))
        if name:
            self._context.shell.user_ns[name] = conversation.messages()

    def _card(self) -> Card | None:
        """Return the card by which the next cell's conversation is trimmed, if it is known."""
        try:
            return self._context.service(self._session.load_client(), "chat").card
        except QianfanError:  # nothing is sent here, so nothing needs to be named
            return None

    def _undo(self, arguments: argparse.Namespace) -> None:
        conversation = self._existing(arguments.conversation)
        if not conversation.turns:
            raise ParameterError(
                tr("The conversation {name!r} has no turn to forget", name=conversation.name),
                hint=tr("%qianfan lists the conversations."),
            )
        remaining = conversation.truncate(len(conversation.turns) - 1)
        self._store.keep(remaining)
        show(
            tr(
                "The last turn of the conversation {short_name} is forgotten "
                "({label}): it has {counted} now.",
                short_name=short_name(remaining.name),
                label=conversation.turns[-1].label,
                counted=remaining.counted,
            ),
            self._store.record(run=self._context.current_run()),
        )

    def _reset(self, arguments: argparse.Namespace) -> None:
        forgotten = list(self._store) if arguments.all else [self._existing(arguments.conversation)]
        self._store.forget(*forgotten)
        record = self._store.record(*forgotten, run=self._context.current_run())
        if arguments.all:
            show(tr("All conversations are forgotten."), record)
        else:
            name, turns = short_name(forgotten[0].name), forgotten[0].counted
            show(
                tr("The conversation {name} is forgotten: it had {turns}.", name=name, turns=turns),
                record,
            )

    def _keep(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.session.last_answer import keep_column
        from qianfan_magic.views.reports.tables import table_bundle

        last = self._session.last_answer
        if last is None or not last.columns:
            raise ParameterError(
                tr("The last cell compared nothing"),
                hint=tr(
                    "%%qianfan_chat --compare temperature=0.1,0.9 gives columns to choose from."
                ),
            )
        record = {}
        if arguments.column is not None:
            shown = self._session.shown if self._context.shows_widgets() else None
            after = keep_column(last, arguments.column, self._store, shown)
            # The output of the cell that compared may be gone.
            record = self._store.record(after, run=self._context.current_run(), last=1)
        rows = [_column_row(last, number) for number in range(1, len(last.columns) + 1)]
        publish(table_bundle(("", "column", "state", tr("how it begins")), rows), record)

    def _save(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.conversation.save_file import save_conversations

        name = arguments.conversation
        saved = [self._existing(name)] if name else list(self._store)
        if not saved:
            raise ParameterError(
                tr("There is no conversation to save"),
                hint=tr("Ask something first: %%qianfan_chat"),
            )
        save_conversations(Path(arguments.file), saved, force=arguments.force)
        show(
            _shortened(
                [tr("Saved in {file}:", file=arguments.file), *map(_conversation_line, saved)]
            )
        )

    def _load(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.conversation.save_file import load_conversations

        conversations = load_conversations(Path(arguments.file))
        loaded = {conversation.name: conversation for conversation in conversations}
        name = arguments.conversation
        if name:
            if name not in loaded:
                raise ParameterError(
                    tr("{file!r} has no conversation {name!r}", file=arguments.file, name=name),
                    hint=tr("It has: {names}.", names=", ".join(sorted(loaded))),
                )
            loaded = {name: loaded[name]}
        replaced = [existing for existing in self._store if existing.name in loaded]
        self._store.keep(*loaded.values())
        lines = [
            tr("Loaded from {file}:", file=arguments.file),
            *map(_conversation_line, loaded.values()),
        ]
        lines += ["Replaced:", *map(_conversation_line, replaced)] if replaced else []
        run = self._context.current_run()
        show(_shortened(lines), self._store.record(*loaded.values(), run=run, last=None))

    def _restore(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.conversation.notebook_file import notebook_path, read_outputs
        from qianfan_magic.conversation.restore import restore

        own = notebook_path(self._context.shell.user_ns)
        path = Path(arguments.notebook) if arguments.notebook else own
        if path is None:
            raise ParameterError(
                tr("The path of this notebook is unknown"),
                hint=tr("Give its path: %qianfan restore NOTEBOOK.ipynb"),
            )
        restored = restore(read_outputs(path))
        is_own = own is not None and _is_same_file(path, own)
        accepted = self._restorable(restored, path, is_own=is_own, force=arguments.force)
        self._store.keep(*accepted)
        self._store.advance_clock(restored.clock)
        # The notebook's own outputs hold the records already, unless anything has changed since.
        last = 0 if is_own and not self._store.has_records else None
        run = self._context.current_run()
        record = self._store.record(*accepted, run=run, last=last) if accepted else {}
        lines = restored.summary
        show(
            _shortened(lines) or tr("{name} holds no answers of a conversation.", name=path.name),
            record,
        )

    def _restorable(
        self, restored: Restoration, path: Path, *, is_own: bool, force: bool
    ) -> list[Conversation]:
        """Choose the conversations to restore, and note why others are left as they are.

        Turns that only this kernel has are never replaced without ``--force``.
        """
        accepted = []
        for name, conversation in restored.conversations.items():
            unsaved = restored.lacks(self._store.get(name))
            if unsaved and not force:
                turns = f"{unsaved} turn{'s' * (unsaved != 1)}"
                note = tr(
                    "{short_name}: left unchanged: {name} lacks {turns} that this "
                    "kernel has. If the notebook is only not saved yet, save it and restore "
                    "again; %qianfan save FILE keeps them, and --force drops them.",
                    short_name=short_name(name),
                    name=path.name,
                    turns=turns,
                )
                restored.lines[name] = [note]
            elif conversation.turns or is_own:
                accepted.append(conversation)
        return accepted

    def _existing(self, name: str) -> Conversation:
        """Return a conversation that exists; the default one always does."""
        if name != "default" and name not in self._store.names:
            names = sorted({"default", *self._store.names})
            raise ParameterError(
                tr("There is no conversation {name!r}", name=name),
                hint=tr("There are: {names}.", names=", ".join(map(short_name, names))),
            )
        return self._store.get(name)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--conversation", default="default", metavar="NAME", help="which")


def _add_history_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    add_output(parser, tr("also bind the list of messages"))


def _add_reset_arguments(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--all", action="store_true", help=tr("forget all conversations"))


def _add_keep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("column", nargs="?", type=int, metavar="N", help=tr("the column, from 1"))


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=tr("its path, such as talk.json"))
    parser.add_argument(
        "-n", "--conversation", metavar="NAME", help=tr("this one alone; by default all")
    )


def _add_save_arguments(parser: argparse.ArgumentParser) -> None:
    _add_file_arguments(parser)
    parser.add_argument("--force", action="store_true", help=tr("overwrite any file"))


def _add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "notebook", nargs="?", metavar="NOTEBOOK", help=tr("its path; by default this notebook's")
    )
    parser.add_argument(
        "--force", action="store_true", help=tr("also replace turns that only this kernel has")
    )


def _column_row(last: LastAnswer, number: int) -> tuple[str, ...]:
    """Describe a column: its number, title and state, whether it is kept, and how it begins."""
    column = last.columns[number - 1]
    kept = ", kept" * (number == last.kept)
    return str(number), column.title, f"{column.state}{kept}", excerpt(column.reply.text)


def _conversation_line(conversation: Conversation) -> str:
    system = conversation.system
    with_system = tr(", with the system text {excerpt}", excerpt=excerpt(system)) if system else ""
    return f"{short_name(conversation.name)}: {conversation.counted}{with_system}"


def _shortened(lines: list[str]) -> str:
    more = len(lines) - MAX_SUMMARY_LINES
    return "\n".join(
        lines[:MAX_SUMMARY_LINES] + [tr("and {more} more lines.", more=more)] * (more > 0)
    )


def _is_same_file(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)

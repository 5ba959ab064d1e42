"""The subcommands that show, change, save and restore conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qianfan_magic.conversation.turn import excerpt, short_name
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.magics.context import running
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from qianfan_magic.api.catalogue.cards import Card
    from qianfan_magic.conversation.conversation import Conversation
    from qianfan_magic.magics.magics import QianfanMagics
    from qianfan_magic.session.session import Session

#: Lines of an account that are shown; a notebook may hold thousands of answers.
LONGEST_ACCOUNT = 20


def add_arguments(parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Give the parsers of these subcommands their arguments."""
    for name in ("history", "undo", "reset"):
        parsers[name].add_argument(
            "-n", "--conversation", default="default", metavar="NAME", help="which"
        )
    for name in ("save", "load"):
        parsers[name].add_argument("file", metavar="FILE", help="its path, such as talk.json")
        parsers[name].add_argument(
            "-n", "--conversation", metavar="NAME", help="this one alone; by default all"
        )
    parsers["reset"].add_argument("--all", action="store_true", help="forget all conversations")
    parsers["restore"].add_argument(
        "notebook", nargs="?", metavar="NOTEBOOK", help="its path; by default this notebook's"
    )
    forced = {"save": "write over any file", "restore": "also in the place of what was said since"}
    for name, described in forced.items():
        parsers[name].add_argument("--force", action="store_true", help=described)


class Talks:
    """Runs them.

    Parameters
    ----------
    magics
        Whose conversations they are about.
    """

    def __init__(self, magics: QianfanMagics) -> None:
        self._magics = magics

    def runs(self) -> dict[str, Callable[[argparse.Namespace], None]]:
        """Return what runs each subcommand."""
        return {
            "history": self._history,
            "undo": self._undo,
            "reset": self._reset,
            "save": self._save,
            "load": self._load,
            "restore": self._restore,
        }

    @property
    def _session(self) -> Session:
        return self._magics.session

    def _history(self, read: argparse.Namespace) -> None:
        conversation = self._known(read.conversation)
        name = check_name(read.output)
        fit = conversation.fit("", self._card(), max_turns=self._magics.max_turns)
        from qianfan_magic.views.reports.history import history_bundle

        publish(history_bundle(conversation, fit))
        if name:
            self._magics.shell.user_ns[name] = conversation.messages()

    def _card(self) -> Card | None:
        """Return the card by which the next cell's conversation is cut, if it is known."""
        try:
            return self._session.client.service("chat", self._magics.service("chat")).card
        except QianfanError:  # nothing is asked here that must be named
            return None

    def _undo(self, read: argparse.Namespace) -> None:
        conversation = self._known(read.conversation)
        if not conversation.turns:
            raise ParameterError(
                f"The conversation {conversation.name!r} has no turn to forget",
                hint="%qianfan lists the conversations.",
            )
        left = conversation.truncate(len(conversation.turns) - 1)
        self._session.keep(left)
        show(
            f"The last turn of the conversation {short_name(left.name)} is forgotten "
            f"({conversation.turns[-1].label}): it has {left.counted} now.",
            self._session.record(run=running(self._magics.shell)),
        )

    def _reset(self, read: argparse.Namespace) -> None:
        conversations = self._session.conversations
        gone = list(conversations.values()) if read.all else [self._known(read.conversation)]
        for one in gone:
            conversations.pop(one.name, None)
        record = self._session.record(*gone, run=running(self._magics.shell))
        if read.all:
            show("All conversations are forgotten.", record)
        else:
            name, had = short_name(gone[0].name), gone[0].counted
            show(f"The conversation {name} is forgotten: it had {had}.", record)

    def _save(self, read: argparse.Namespace) -> None:
        from qianfan_magic.conversation.save_file import save_conversations

        name = read.conversation
        kept = [self._known(name)] if name else list(self._session.conversations.values())
        if not kept:
            raise ParameterError(
                "There is no conversation to save", hint="Ask something first: %%qianfan_chat"
            )
        save_conversations(Path(read.file), kept, force=read.force)
        show(_account([f"Saved in {read.file}:", *map(_described, kept)]))

    def _load(self, read: argparse.Namespace) -> None:
        from qianfan_magic.conversation.save_file import load_conversations

        loaded = {one.name: one for one in load_conversations(Path(read.file))}
        if read.conversation:
            if read.conversation not in loaded:
                raise ParameterError(
                    f"{read.file!r} has no conversation {read.conversation!r}",
                    hint=f"It has: {', '.join(sorted(loaded))}.",
                )
            loaded = {read.conversation: loaded[read.conversation]}
        replaced = [one for name, one in self._session.conversations.items() if name in loaded]
        self._session.keep(*loaded.values())
        lines = [f"Loaded from {read.file}:", *map(_described, loaded.values())]
        lines += ["In the place of:", *map(_described, replaced)] if replaced else []
        run = running(self._magics.shell)
        show(_account(lines), self._session.record(*loaded.values(), run=run, last=None))

    def _restore(self, read: argparse.Namespace) -> None:
        from qianfan_magic.conversation.notebook_file import notebook_path, read_outputs
        from qianfan_magic.conversation.restore import restore

        own = notebook_path(self._magics.shell.user_ns)
        path = Path(read.notebook) if read.notebook else own
        if path is None:
            raise ParameterError(
                "Nothing says which notebook this is",
                hint="Give its path: %qianfan restore NOTEBOOK.ipynb",
            )
        restored = restore(read_outputs(path))
        own_notebook = bool(own and _is_same(path, own))
        taken = []
        for name, conversation in restored.conversations.items():
            unsaved = restored.lacks(self._session.conversation(name))
            if unsaved and not read.force:
                turns = f"{unsaved} turn{'s' * (unsaved != 1)}"
                why = f"left as it is: {path.name} lacks {turns} that this kernel has. If only "
                do = "saving is due, save and restore again; %qianfan save FILE keeps them, and "
                restored.lines[name] = [f"{short_name(name)}: {why}{do}--force drops them."]
            elif conversation.turns or own_notebook:
                taken.append(conversation)
        self._session.keep(*taken)
        lines = restored.summary
        self._session.clock = max(self._session.clock, restored.clock)
        # What this notebook's own outputs tell need not be told again, unless they have changed.
        told = own_notebook and not self._session.told
        run = running(self._magics.shell)
        record = self._session.record(*taken, run=run, last=0 if told else None) if taken else {}
        show(_account(lines) or f"{path.name} holds no answers of a conversation.", record)

    def _known(self, name: str) -> Conversation:
        """Return a conversation that there is; the default one there always is."""
        conversations = self._session.conversations
        if name != "default" and name not in conversations:
            raise ParameterError(
                f"There is no conversation {name!r}",
                hint=f"There are: {', '.join(map(short_name, sorted({'default', *conversations})))}.",
            )
        return self._session.conversation(name)


def _account(lines: list[str]) -> str:
    more = len(lines) - LONGEST_ACCOUNT
    return "\n".join(lines[:LONGEST_ACCOUNT] + [f"and {more} lines more."] * (more > 0))


def _described(conversation: Conversation) -> str:
    system = conversation.system
    with_system = f", with the system text {excerpt(system)}" if system else ""
    return f"{short_name(conversation.name)}: {conversation.counted}{with_system}"


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)

"""The conversations of one notebook, and the records of them that its outputs hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qianfan_magic.conversation.conversation import Conversation, Rewound
from qianfan_magic.conversation.notebook_file import CellOrder
from qianfan_magic.conversation.record import record_to_json
from qianfan_magic.conversation.turn import CellRun

__all__ = ["ConversationStore"]


class ConversationStore:
    """The conversations of one notebook by name; writes their records.

    Parameters
    ----------
    order
        The order of the cells in the saved notebook, by which a cell that runs again finds the
        turns of the cells below it.
    """

    def __init__(self, order: CellOrder) -> None:
        self._order = order
        self._conversations: dict[str, Conversation] = {}
        #: Names in any record so far, also of conversations that have been forgotten since.
        self._recorded_names: set[str] = set()
        #: For each cell, the run that wrote its last record.
        self._recorded_runs: dict[str, str] = {}
        #: Lamport clock of the records, see `_tick`.
        self._clock = 0
        self._started_at = time.time_ns() // 1_000_000
        self._has_reported_loss = False

    def __iter__(self) -> Iterator[Conversation]:
        """Iterate over the conversations, the oldest first."""
        return iter(self._conversations.values())

    @property
    def names(self) -> list[str]:
        """The names of the conversations."""
        return list(self._conversations)

    @property
    def has_records(self) -> bool:
        """Whether any record has been written in this kernel."""
        return bool(self._recorded_names)

    @property
    def clock(self) -> int:
        """The Lamport time of the newest record, see `record`."""
        return self._clock

    def get(self, name: str) -> Conversation:
        """Return a conversation; if the name is new, an empty one that is not stored yet."""
        return self._conversations.get(name) or Conversation(name)

    def keep(self, *conversations: Conversation) -> None:
        """Store conversations under their names, replacing earlier ones."""
        self._conversations |= {conversation.name: conversation for conversation in conversations}

    def forget(self, *conversations: Conversation) -> None:
        """Forget conversations; their names stay in later records, with no turns."""
        for conversation in conversations:
            self._conversations.pop(conversation.name, None)

    def rewind(
        self, name: str, run: CellRun, *, to_continue: bool = False
    ) -> tuple[Rewound, list[Rewound]]:
        """Compute the conversations as they were before a cell ran; nothing is stored yet.

        Parameters
        ----------
        name
            The conversation that the cell uses now.
        run
            The run of the cell that is about to send a request.
        to_continue
            Whether the cell continues an unfinished answer, see `Conversation.rewind`.

        Returns
        -------
        rewound : Rewound
            The conversation of that name.
        others : list of Rewound
            The other conversations in which an earlier run of the cell took part.
        """
        order, conversation = self._order, self.get(name)
        cells = {turn.cell for turn in conversation.turns if turn.run}
        below = order.below(run.cell, cells) if run.cell and conversation.turns else ()
        rewound = conversation.rewind(run, below, to_continue=to_continue)
        remaining, gone = rewound.conversation.without(order.gone(run.cell))
        is_newly_lost = order.is_lost and not self._has_reported_loss
        self._has_reported_loss = order.is_lost
        rewound = replace(rewound, conversation=remaining, gone=gone, is_unordered=is_newly_lost)
        return rewound, self.rewind_others(name, run)

    def rewind_others(self, name: str, run: CellRun) -> list[Rewound]:
        """Rewind all other conversations in which an earlier run of the cell took part."""
        others = [other.rewind(run) for other in self if other.name != name]
        return [other for other in others if other.replaced]

    def record(self, *heads: Conversation, run: CellRun, last: int | None = 0) -> dict[str, Any]:
        """Write the record that is saved in the metadata of an output.

        The heads of all conversations are recorded each time, since an earlier output that
        recorded them may be gone.

        Parameters
        ----------
        *heads
            Conversations whose last turns are recorded too.
        run
            The run that makes the output; turns of earlier runs of its cell are recorded again,
            since the front end has cleared the output that held them.
        last
            Number of last turns of each head to record; None records all.
        """
        names = sorted(
            {*self._recorded_names, *self._conversations, *(head.name for head in heads)}
        )
        head_names = {head.name for head in heads}
        turns = []
        for conversation in map(self.get, names):
            first = len(conversation.turns) - last if last is not None else 0
            turns += [
                (conversation, index)
                for index, turn in enumerate(conversation.turns)
                if run.had_asked(turn) or (conversation.name in head_names and index >= first)
            ]
        self._recorded_names.update(names)
        self._recorded_runs[run.cell] = run.id
        return record_to_json(self._tick(run), map(self.get, names), turns)

    def lacks_record(self, run: CellRun) -> bool:
        """Tell whether a cell's earlier output had a record and its new one has none."""
        had_one = run.cell in self._recorded_runs or run.cell in self._order.recorded
        has_one = self._recorded_runs.get(run.cell) == run.id
        return bool(run.cell) and had_one and self.has_records and not has_one

    def advance_clock(self, clock: int) -> None:
        """Let later records be newer than those that were read from a notebook."""
        self._clock = max(self._clock, clock)

    def _tick(self, run: CellRun) -> int:
        """Return a time of the Lamport clock that is later than any before, in the notebook too.

        A page may hold records that were never saved, from before the kernel was restarted, so
        the clock starts with the wall clock (milliseconds). Where no front end names its cells,
        as under nbclient, it starts at 0: executing a notebook there gives the same result each
        time.
        """
        self._order.refresh()
        start = self._started_at if run.cell else 0
        self._clock = max(self._clock, self._order.clock, start) + 1
        return self._clock

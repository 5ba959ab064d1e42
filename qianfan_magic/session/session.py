"""What one notebook holds: its settings, its client, its conversations, its demo server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.user_cards import read_file
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings, load_settings
from qianfan_magic.conversation.conversation import Conversation, Rewound
from qianfan_magic.conversation.record import record_to_json
from qianfan_magic.embedded.extras import missing

if TYPE_CHECKING:
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.conversation.notebook_file import CellOrder
    from qianfan_magic.conversation.turn import CellRun
    from qianfan_magic.embedded.server import EmbeddedServer
    from qianfan_magic.session.last_answer import LastAnswer
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.session.usage import AnswerStats


@dataclass(slots=True)
class Session:
    """The state behind the magics.

    Attributes
    ----------
    layout
        Of the saved notebook.
    folder
        The notebook's, where ``.env`` is looked for.
    conversations
        By name.
    endpoints
        Used before, the last one last; Tab offers them.
    sliders
        The parameters that ``%qianfan params`` sets, by name.
    answered
        What the last cell asked and got.
    sent
        What the last cell sent and what came back, one for each column.
    listed
        The models that version 2 listed when it was asked last.
    own_cards
        Those of ``%config QianfanMagics.models``.
    used
        By each answer so far.
    clock
        Counts the records that are saved with outputs.
    begun
        When this notebook's kernel did, in milliseconds since 1970.
    told
        Names of conversations in any of them, those that are forgotten too.
    said_lost
        Whether it was said that the saved notebook is no longer there.
    records
        The run of the last record of each cell.
    """

    layout: CellOrder
    folder: Path = field(default_factory=Path.cwd)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    sliders: dict[str, Any] = field(default_factory=dict)
    answered: LastAnswer | None = None
    used: list[AnswerStats] = field(default_factory=list)
    clock: int = 0
    begun: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    told: set[str] = field(default_factory=set)
    said_lost: bool = False
    records: dict[str, str] = field(default_factory=dict)
    sent: list[RequestSender] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    own_cards: list[Card] = field(default_factory=list)
    server: EmbeddedServer | None = None
    _catalogue: Catalogue = field(default_factory=Catalogue)
    _others: list[Card] = field(default_factory=list)
    _client: QianfanClient | None = None

    @property
    def settings(self) -> Settings:
        """Those of the client."""
        return self.client.settings

    @property
    def client(self) -> QianfanClient:
        """The client of the settings as they are now, or of the embedded server."""
        from qianfan_magic.api.client import QianfanClient

        if self._client is None or self.server is None:
            settings = load_settings(self.folder)
            # A .env that has been corrected counts from the next cell on.
            if self._client is None or self._client.settings != settings:
                self._end_client()
                self._client = QianfanClient(settings)
        self._client.catalogue = self.catalogue
        return self._client

    @property
    def catalogue(self) -> Catalogue:
        """The cards that count: the package's, those of ``qianfan.toml``, and of ``%config``."""
        others = [*read_file(self.folder), *self.own_cards]
        if others != self._others:
            self._catalogue, self._others = Catalogue(others), others
        return self._catalogue

    def conversation(self, name: str) -> Conversation:
        """Return the conversation of a name; a new one is to be kept once it has a turn."""
        return self.conversations.get(name) or Conversation(name)

    def rewind(
        self, name: str, run: CellRun, *, to_continue: bool = False
    ) -> tuple[Rewound, list[Rewound]]:
        """Go back to before a cell was run; nothing is kept of that yet.

        Returns
        -------
        rewound : Rewound
            The conversation of the name.
        others : list of Rewound
            Other conversations in which an earlier run of the cell asked.
        """
        conversation = self.conversation(name)
        asked = {turn.cell for turn in conversation.turns if turn.run}
        below = self.layout.below(run.cell, asked) if run.cell and conversation.turns else ()
        rewound = conversation.rewind(run, below, to_continue=to_continue)
        left, gone = rewound.conversation.without(self.layout.gone(run.cell))
        lost = self.layout.is_lost and not self.said_lost
        self.said_lost = self.layout.is_lost
        rewound = replace(rewound, conversation=left, gone=gone, is_unordered=lost)
        return rewound, self.others(name, run)

    def others(self, name: str, run: CellRun) -> list[Rewound]:
        """Go back, in all conversations but one, to before an earlier run of a cell asked there."""
        others = [one.rewind(run) for one in self.conversations.values() if one.name != name]
        return [other for other in others if other.replaced]

    def keep(self, *conversations: Conversation) -> None:
        """Keep conversations by their names, in the place of what was there."""
        self.conversations |= {one.name: one for one in conversations}

    def record(self, *heads: Conversation, run: CellRun, last: int | None = 0) -> dict[str, Any]:
        """Return what is saved with an output, so that the notebook can tell of conversations.

        Where all of them stand is told, since an earlier output that told it may be gone.

        Parameters
        ----------
        *heads
            Conversations whose last turns are told, too.
        run
            That makes the output: what its cell asked earlier is told.
        last
            How many of the last turns are told; None tells all.
        """
        names = {*self.told, *self.conversations, *(head.name for head in heads)}
        given = {head.name for head in heads}
        told = []
        for one in map(self.conversation, sorted(names)):
            first = len(one.turns) - last if last is not None else 0
            told += [
                (one, place)
                for place, turn in enumerate(one.turns)
                if run.had_asked(turn) or (one.name in given and place >= first)
            ]
        self.told |= names
        self.records[run.cell] = run.id
        return record_to_json(self._tick(run), map(self.conversation, sorted(names)), told)

    def lacks_record(self, run: CellRun) -> bool:
        """Tell whether a cell's earlier output had a record, and its new one has none."""
        known = run.cell in self.records or run.cell in self.layout.recorded
        return bool(run.cell) and known and bool(self.told) and self.records.get(run.cell) != run.id

    def _tick(self, run: CellRun) -> int:
        """Return a clock that is larger than any before, in this notebook too.

        A page may hold records that were never saved, from before the kernel's restart. So the
        clock begins with the time; but where no front end names its cells, as under nbclient, at
        0: a notebook that is executed there is always the same.
        """
        self.layout.refresh()
        self.clock = max(self.clock, self.layout.clock, self.begun if run.cell else 0) + 1
        return self.clock

    def asked(self, endpoint: str) -> None:
        """Remember an endpoint for Tab."""
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
        self.endpoints.append(endpoint)

    def demo(self, engine: str, seed: int, pace: float) -> None:
        """Start the embedded server and use it from now on, whatever the settings say."""
        from qianfan_magic.api.client import QianfanClient

        try:
            from qianfan_magic.embedded.server import EmbeddedServer
        except ImportError as error:
            raise missing(error) from None
        self.close()
        self.server = EmbeddedServer(engine, seed=seed, pace=pace).start()
        live = read_live(self.folder)
        self._client = QianfanClient(self.server.settings(live=live))

    def close(self) -> None:
        """End the client and the server; conversations stay."""
        self._end_client()
        if self.server:
            self.server.stop()
            self.server = None

    def _end_client(self) -> None:
        if self._client:
            self._client.close()
            self._client = None


def read_live(folder: Path) -> str:
    """Read QIANFAN_LIVE alone, past credentials that may be wrong: the demo needs none."""
    return load_settings(folder, credentials=Credentials()).live

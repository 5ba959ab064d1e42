"""The state of one notebook: its client, its conversations, its last answer, its demo server."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.user_cards import read_file
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import load_settings
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.embedded.extras import missing_package_error
from qianfan_magic.session.shown_answers import ShownAnswers
from qianfan_magic.views.publish import show

if TYPE_CHECKING:
    from qianfan_magic.api.batch.answers import AnswerStore
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.mcp_servers import McpServer
    from qianfan_magic.embedded.server import EmbeddedServer
    from qianfan_magic.session.last_answer import LastAnswer
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.session.usage import AnswerStats

__all__ = ["Session", "read_live"]


@dataclass(slots=True)
class Session:
    """The state behind the magics of one notebook.

    Attributes
    ----------
    conversations
        The conversations of the notebook.
    folder
        The notebook's folder, where ``.env`` and ``qianfan.toml`` are looked for.
    used_services
        Names of endpoints and models that were used, the last one last; Tab offers them.
    sliders
        The parameters that ``%qianfan params`` sets, by name.
    last_answer
        The last cell's request and answer.
    shown
        The answers on the page, if it shows widgets; their outputs can be updated.
    sent
        The senders of the last cell, one for each column; they know request and response.
    listed_models
        The models that version 2 listed last.
    user_cards
        The cards of ``%config QianfanMagics.models``.
    answer_stats
        Statistics of every answer so far.
    server
        The embedded server, if the demo is running.
    """

    conversations: ConversationStore
    folder: Path = field(default_factory=Path.cwd)
    used_services: list[str] = field(default_factory=list)
    sliders: dict[str, Any] = field(default_factory=dict)
    last_answer: LastAnswer | None = None
    shown: ShownAnswers = field(default_factory=ShownAnswers)
    sent: list[RequestSender] = field(default_factory=list)
    listed_models: list[str] = field(default_factory=list)
    user_cards: list[Card] = field(default_factory=list)
    answer_stats: list[AnswerStats] = field(default_factory=list)
    server: EmbeddedServer | None = None
    _client: QianfanClient | None = None
    _answers: AnswerStore | None = None
    _mcp_servers: dict[str, McpServer] = field(default_factory=dict)
    _catalogue: Catalogue | None = None
    _extra_cards: list[Card] = field(default_factory=list)

    def load_client(self) -> QianfanClient:
        """Read settings and cards, and return the client for them; to be called once a cell.

        A ``.env`` or ``qianfan.toml`` that was corrected takes effect with the next cell. While
        the settings stay the same so does the client, and with it its connections and tokens.

        Raises
        ------
        SettingsError
            If the settings or ``qianfan.toml`` are invalid.
        """
        from qianfan_magic.api.client import QianfanClient

        if self._client is None or self.server is None:
            settings = load_settings(self.folder)
            if self._client is None or self._client.settings != settings:
                self._close_client()
                # Python would show a warning with the path and the line of this file.
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    self._client = QianfanClient(settings)
                if caught:
                    show("\n".join(f"Warning: {warning.message}" for warning in caught))
        self._client.catalogue = self.load_catalogue()
        return self._client

    def load_catalogue(self) -> Catalogue:
        """Return the package's cards, with those of ``qianfan.toml`` and ``%config`` over them."""
        extra_cards = [*read_file(self.folder), *self.user_cards]
        if self._catalogue is None or extra_cards != self._extra_cards:
            self._catalogue, self._extra_cards = Catalogue(extra_cards), extra_cards
        return self._catalogue

    def remember_service(self, name: str) -> None:
        """Remember an endpoint or model for Tab completion."""
        if name in self.used_services:
            self.used_services.remove(name)
        self.used_services.append(name)

    def answer_store(self, client: QianfanClient) -> AnswerStore:
        """Return the answers of ``%%qianfan_map``; in memory where the settings disable the cache.

        It stays open: requests that are under way when a cell is stopped still store theirs.
        """
        from qianfan_magic.api.batch.answers import AnswerStore

        folder = client.cache_folder
        if self._answers is None or self._answers.folder != folder:
            self._answers = AnswerStore(folder)
        return self._answers

    def mcp_server(self, name: str) -> McpServer:
        """Return the connection to an MCP server of ``qianfan.toml``; it stays open.

        Raises
        ------
        SettingsError
            If the file has no such server.
        QianfanError
            If it does not answer.
        """
        from qianfan_magic.api.mcp_servers import McpServer, read_server

        table, server = read_server(self.folder, name), self._mcp_servers.get(name)
        if server is None or not server.is_open or server.table != table:
            if server:
                server.close()
            server = self._mcp_servers[name] = McpServer(name, table)
        return server

    def start_demo(self, engine: str, seed: int, pace: float) -> None:
        """Start the embedded server and use it from now on, whatever the settings say.

        Parameters
        ----------
        engine
            The name of the engine that writes the answers.
        seed
            The same seed gives the same answers.
        pace
            Seconds between two chunks of a stream.
        """
        from qianfan_magic.api.client import QianfanClient

        try:
            from qianfan_magic.embedded.server import EmbeddedServer
        except ImportError as error:
            raise missing_package_error(error) from None
        self.close()
        self.server = EmbeddedServer(engine, seed=seed, pace=pace).start()
        self._client = QianfanClient(self.server.settings(live=read_live(self.folder)))

    def close(self) -> None:
        """Close the client and stop the servers; the conversations stay."""
        self._close_client()
        for server in self._mcp_servers.values():
            server.close()
        self._mcp_servers = {}
        if self.server:
            self.server.stop()
            self.server = None

    def _close_client(self) -> None:
        if self._client:
            self._client.close()
            self._client = None


def read_live(folder: Path) -> str:
    """Read QIANFAN_LIVE, ignoring credentials: the demo needs none, and those set may be wrong."""
    return load_settings(folder, credentials=Credentials()).live

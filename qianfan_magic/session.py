"""What one notebook holds: its settings, its client, its conversations, its demo server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qianfan_magic.conversation import Conversation
from qianfan_magic.errors import QianfanError
from qianfan_magic.settings import Credentials, Settings, load_settings

if TYPE_CHECKING:
    from qianfan_magic.asking import Answered
    from qianfan_magic.client import QianfanClient
    from qianfan_magic.embedded.server import EmbeddedServer


@dataclass(slots=True)
class Session:
    """The state behind the magics.

    Attributes
    ----------
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
    """

    folder: Path = field(default_factory=Path.cwd)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    sliders: dict[str, Any] = field(default_factory=dict)
    answered: Answered | None = None
    server: EmbeddedServer | None = None
    _client: QianfanClient | None = None

    @property
    def settings(self) -> Settings:
        """Those of the client."""
        return self.client.settings

    @property
    def client(self) -> QianfanClient:
        """The client of the settings as they are now, or of the embedded server."""
        from qianfan_magic.client import QianfanClient

        if self._client is None or self.server is None:
            settings = load_settings(self.folder)
            # A .env that has been corrected counts from the next cell on.
            if self._client is None or self._client.settings != settings:
                self._end_client()
                self._client = QianfanClient(settings)
        return self._client

    def conversation(self, name: str) -> Conversation:
        """Return the conversation of a name; a new one is to be kept once it has a turn."""
        return self.conversations.get(name) or Conversation(name)

    def keep(self, conversation: Conversation, system: str) -> None:
        """Keep a conversation by its name, with the system text that its last turn had."""
        conversation.system = system
        self.conversations[conversation.name] = conversation

    def used(self, endpoint: str) -> None:
        """Remember an endpoint for Tab."""
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
        self.endpoints.append(endpoint)

    def demo(self, engine: str, seed: int, pace: float) -> None:
        """Start the embedded server and use it from now on, whatever the settings say."""
        from qianfan_magic.client import QianfanClient

        try:
            from qianfan_magic.embedded.server import EmbeddedServer
        except ImportError as error:
            raise missing(error) from None
        self.close()
        self.server = EmbeddedServer(engine, seed=seed, pace=pace).start()
        live = load_live(self.folder)
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


def missing(error: ImportError) -> QianfanError:
    """Say which package the demo lacks, and what to install."""
    return QianfanError(
        f"The demo needs the package {error.name}",
        hint="Install it with: python -m pip install 'qianfan-magic[demo]'",
    )


def load_live(folder: Path) -> str:
    """Read QIANFAN_LIVE alone, past credentials that may be wrong: the demo needs none."""
    return load_settings(folder, credentials=Credentials()).live

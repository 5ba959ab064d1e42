"""Keys in the formats of Baidu's, and what the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qianfan_magic.doctor.finding import Finding
from qianfan_magic.embedded.server import EmbeddedServer

#: One key of each kind.
API_KEY = "bQ5xT0zLmN8pR2sV7wYcD4fG"
APPLICATION_SECRET = "Zk3Jm8Qw1Er6Ty0Ui5Op2As7Df4Gh9XY"
ACCESS_KEY = "ALTAKq7Wm3Xc9Vb1Nz5Lk8Jh2Gf4"
HEX_KEY = "8f14e45fceea167a5a36dedd4bea2543"
ACCESS_TOKEN = f"24.{HEX_KEY}.2592000.1700000000.282335-1234567"
BEARER_TOKEN = f"bce-v3/ALTAK-q7Wm3Xc9Vb1Nz5Lk8Jh2G/{HEX_KEY}01234567"

#: The variables of two authentication methods.
TOKEN = {"QIANFAN_ACCESS_TOKEN": ACCESS_TOKEN}
SIGNED = {"QIANFAN_ACCESS_KEY": ACCESS_KEY, "QIANFAN_SECRET_KEY": HEX_KEY}
ADDRESSES = ("QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL")

#: A line that python-dotenv cannot read.
MALFORMED_LINE = "a line without an equals sign"


class Report:
    """All findings of one examination."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = list(findings)

    def of(self, subject: str, state: str = "") -> list[Finding]:
        """Return the findings about a subject, of one state or of any."""
        return [f for f in self.findings if f.subject == subject and state in {"", f.state}]

    def one(self, subject: str, state: str = "") -> Finding:
        """Return the only finding about a subject."""
        (finding,) = self.of(subject, state)
        return finding

    @property
    def failed(self) -> list[str]:
        """The subjects of the checks that failed."""
        return [finding.subject for finding in self.findings if finding.state == "failed"]

    @property
    def text(self) -> str:
        """What the command line prints."""
        return "\n".join(line for finding in self.findings for line in finding.lines)


def write_dot_env(folder: Path, *lines: str) -> Path:
    """Write a ``.env`` that only its owner can read."""
    path = folder / ".env"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path


def account(server: EmbeddedServer) -> dict[str, str]:
    """Return the variables that lead to a server, with access keys instead of an application's."""
    keys = server.authenticator.keys
    signed = {"QIANFAN_ACCESS_KEY": keys.access_key, "QIANFAN_SECRET_KEY": keys.secret_key}
    return dict.fromkeys(ADDRESSES, server.base_url) | signed

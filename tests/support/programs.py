"""Requests to write as programs, and how a test runs such a program as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support.raw_server import RawServer

from qianfan_magic.api.config.credentials import AUTHENTICATION_METHODS
from qianfan_magic.api.types import Kind
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.snippets import program
from qianfan_magic.snippets.request import SnippetRequest

METHODS = {method.fields[0]: method for method in AUTHENTICATION_METHODS}
MESSAGES = [{"role": "user", "content": "Write a haiku about 秋天, with a 'quote'."}]
PROMPT = "def fibonacci(n):\n    "
#: Its letters beyond ASCII are percent-encoded in the address, and signed so.
CHAT_ENDPOINT = "测试_dolly_12b"
COMPLETION_ENDPOINT = "starcoder"
MODEL = "ernie-5.1"
#: A value for each variable of a program.
KEYS = {
    "QIANFAN_ACCESS_TOKEN": "24.0123456789abcdef0123456789abcdef.2592000",
    "QIANFAN_AK": "ak0123456789abcdef012345",
    "QIANFAN_SK": "sk0123456789abcdef0123456789abcd",
    "QIANFAN_ACCESS_KEY": "ALTAKEXAMPLE0123456789ab",
    "QIANFAN_SECRET_KEY": "secret0123456789abcdef0123456789",
    "QIANFAN_API_KEY": ("bce-v3/ALTAK-0123456789abcdef/0123456789abcdef0123456789abcdef01234567"),
    "QIANFAN_APP_ID": "app-12345678",
}


def v1_request(
    base_url: str, method: str = "access_token", kind: Kind = "chat", **body: Any
) -> SnippetRequest:
    """Return a request of version 1; `method` is the first field of its credentials."""
    endpoint = CHAT_ENDPOINT if kind == "chat" else COMPLETION_ENDPOINT
    return SnippetRequest(
        version=1,
        kind=kind,
        url=base_url + v1.path(kind, endpoint),
        base_url=base_url,
        body={**_question(kind), **body},
        method=METHODS[method],
    )


def v2_request(
    base_url: str, method: str = "bearer_token", kind: Kind = "chat", **body: Any
) -> SnippetRequest:
    """Return a request of version 2; IAM is at the same host, without the path."""
    return SnippetRequest(
        version=2,
        kind=kind,
        url=base_url + v2.path(kind, MODEL),
        base_url=base_url,
        body={"model": MODEL, **_question(kind), **body},
        method=METHODS[method],
        iam_url="/".join(base_url.split("/")[:3]),
    )


def _question(kind: Kind) -> dict[str, Any]:
    return {"messages": MESSAGES} if kind == "chat" else {"prompt": PROMPT}


def keys_of(server: EmbeddedServer) -> dict[str, str]:
    """Return the variables of all credentials that an embedded server accepts."""
    keys = server.authenticator.keys
    return {
        "QIANFAN_ACCESS_TOKEN": server.authenticator.issue_token(keys.ak, keys.sk)["access_token"],
        "QIANFAN_AK": keys.ak,
        "QIANFAN_SK": keys.sk,
        "QIANFAN_ACCESS_KEY": keys.access_key,
        "QIANFAN_SECRET_KEY": keys.secret_key,
    }


class Finished(NamedTuple):
    """How a program ended: its exit status, what it printed, and the files that it left."""

    status: int
    output: str
    errors: str
    files: Sequence[str]


class Runner:
    """Runs programs in an empty folder, with the variables they need and no others.

    Parameters
    ----------
    folder
        An empty folder for the programs and their working directory.
    proxy
        Receives every request to another host than 127.0.0.1.
    """

    def __init__(self, folder: Path, proxy: RawServer) -> None:
        self.folder = folder / "run"
        self.folder.mkdir()
        self._file = folder / "program"
        self._proxy = proxy

    def __call__(
        self,
        request: SnippetRequest,
        language: str,
        keys: Mapping[str, str] = KEYS,
        *,
        shell: str = "dash",
        path: str | None = None,
    ) -> Finished:
        """Write a request as a program and run it; `shell` and `path` are for curl."""
        self._file.write_text(program(request, language), encoding="utf-8")
        environment = {
            "PATH": path or os.environ["PATH"],
            "HOME": str(self.folder),
            "http_proxy": self._proxy.url,
            "https_proxy": self._proxy.url,
            "no_proxy": "127.0.0.1",
            **{name: keys[name] for name in request.variables if name in keys},
        }
        command = [shell if language == "curl" else sys.executable, str(self._file)]
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        files = sorted(path.name for path in self.folder.iterdir())
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode(), files)

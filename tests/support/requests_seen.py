"""The requests that a server has received or a dry run shows, and the credentials for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.notebook import Notebook

from qianfan_magic.embedded.server import EmbeddedServer

#: The variables of each set of credentials.
KEYS = {
    "v1": ["QIANFAN_AK", "QIANFAN_SK"],
    "v2": ["QIANFAN_BEARER_TOKEN"],
    "both": ["QIANFAN_AK", "QIANFAN_SK", "QIANFAN_BEARER_TOKEN"],
    "access": ["QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY"],
    "none": [],
}
#: In the path of each request of version 2.
V2 = "/v2/"
#: The response format of JSON mode in version 2.
JSON = {"type": "json_object"}


def bodies(server: EmbeddedServer) -> list[dict[str, Any]]:
    """Return the bodies of the model requests that a server has received, of both versions."""
    received = [s for s in server.seen if "wenxinworkshop" in s.path or "completions" in s.path]
    return [json.loads(request.body) for request in received]


def dry_run_body(notebook: Notebook, cell: str) -> dict[str, Any]:
    """Return the body that a dry run shows."""
    shown = notebook.run(cell)
    return json.loads(shown[shown.index("{") :])


def two_lines(error: Any) -> list[str]:
    """Return the lines that a cell shows of an error."""
    return [f"{type(error).__name__}: {error.message}", f"→ {error.hint}"]


def with_keys(monkeypatch: pytest.MonkeyPatch, which: str, **variables: str) -> None:
    """Set the variables of one set of credentials, and others."""
    for name in KEYS[which]:
        token = "bce-v3/ALTAK-made/up" if "BEARER" in name else "made-up-key"
        monkeypatch.setenv(name, token)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

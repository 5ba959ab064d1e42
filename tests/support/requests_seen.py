"""What the embedded server was asked, and how a cell failed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.notebook import Notebook

from qianfan_magic.embedded.server import EmbeddedServer

KEYS = {
    "v1": ["QIANFAN_AK", "QIANFAN_SK"],
    "v2": ["QIANFAN_BEARER_TOKEN"],
    "both": ["QIANFAN_AK", "QIANFAN_SK", "QIANFAN_BEARER_TOKEN"],
    "access": ["QIANFAN_ACCESS_KEY", "QIANFAN_SECRET_KEY"],
    "none": [],
}


V2 = "/v2/"


def bodies(server: EmbeddedServer) -> list[dict[str, Any]]:
    """Give what the questions that were sent held, of both versions."""
    asked = [s for s in server.seen if "wenxinworkshop" in s.path or "completions" in s.path]
    return [json.loads(one.body) for one in asked]


def tried(notebook: Notebook, cell: str) -> dict[str, Any]:
    """Give the body that a dry run shows."""
    shown = notebook.run(cell)
    return json.loads(shown[shown.index("{") :])


def two_lines(error: Any) -> list[str]:
    return [f"{type(error).__name__}: {error.message}", f"→ {error.hint}"]


JSON = {"type": "json_object"}


def with_keys(monkeypatch: pytest.MonkeyPatch, which: str, **variables: str) -> None:
    for name in KEYS[which]:
        token = "bce-v3/ALTAK-made/up" if "BEARER" in name else "made-up-key"
        monkeypatch.setenv(name, token)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

"""What the flags of one cell say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMATS = ("markdown", "text", "json", "html", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """What the flags of one cell say.

    Attributes
    ----------
    options
        For the client: endpoint, model, parameters, timeout and retries, where they are given.
    compare
        What is different in each column, by its title; empty for one answer.
    stream, output, into, format, fill, dry_run, conversation, system, append, continues, images
        The flags of these names (``--continue``: continues); None where they are not given.
    """

    options: dict[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stream: bool = True
    output: str | None = None
    into: str | None = None
    format: str | None = None
    fill: bool = False
    dry_run: bool = False
    conversation: str = "default"
    system: str | None = None
    append: bool = False
    continues: bool = False
    images: tuple[str, ...] = ()

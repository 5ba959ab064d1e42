"""The options of one cell, as its flags give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FORMATS", "CellOptions"]

#: How an answer can be shown; ``code`` also puts its code into the next cell.
FORMATS = ("markdown", "text", "json", "html", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """The parsed flags of one cell magic.

    Attributes
    ----------
    request
        Options for the client that are given as flags: endpoint, model, request parameters,
        timeout and retries.
    compare
        For each column of a comparison, by its title, the options that differ in it; empty for a
        single answer.
    stream, output, into, format, fill, dry_run, conversation, system, append, continues, images
        The flags of these names (``continues`` is ``--continue``); None if not given.
    schema
        The name of the variable that holds the schema of the answer; None if not given.
    prefix
        The text that the answer begins with; None if not given.
    tools
        Names of functions of the notebook that the model may call; empty if not given.
    mcp
        Names of MCP servers whose functions it may call, too; empty if not given.
    tool_choice
        ``auto``, ``none``, ``required`` or one of these names; None if not given.
    max_rounds
        Largest number of requests for one answer; None if not given.
    confirm
        Whether the user is asked before each call.
    """

    request: dict[str, Any] = field(default_factory=dict)
    compare: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stream: bool = True
    output: str | None = None
    into: str | None = None
    format: str | None = None
    schema: str | None = None
    fill: bool = False
    dry_run: bool = False
    conversation: str = "default"
    system: str | None = None
    append: bool = False
    continues: bool = False
    prefix: str | None = None
    images: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    tool_choice: str | None = None
    max_rounds: int | None = None
    confirm: bool = False

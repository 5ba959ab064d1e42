"""Conversations in a JSON file of their own, which ``%qianfan save`` writes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qianfan_magic.atomic_write import write_text
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import (
    VERSION,
    check_version,
    conversation_from_json,
    conversation_to_json,
)
from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr

__all__ = ["FORMAT", "load_conversations", "save_conversations"]

#: Value of the field "format", by which such a file is recognised before it is replaced.
FORMAT = "qianfan_magic conversations"
#: What the standard library raises for a path that no file can have: RuntimeError for
#: ``~nobody`` and a loop of symbolic links, ValueError for a null character.
_INVALID_PATH = (OSError, RuntimeError, ValueError)


def save_conversations(
    path: Path, conversations: Sequence[Conversation], *, force: bool = False
) -> None:
    """Write conversations into a file, atomically.

    Parameters
    ----------
    path
        The file. Another file of conversations is replaced.
    conversations
        The conversations to write.
    force
        Replace a file of any other kind, too.

    Raises
    ------
    QianfanError
        If the path is that of another kind of file, or cannot be written.
    """
    items = [conversation_to_json(conversation) for conversation in conversations]
    written = {"format": FORMAT, "version": VERSION, "conversations": items}
    try:
        # Resolved, so that a symbolic link stays one and its target is replaced.
        target = path.expanduser().resolve()
        if target.is_symlink():  # a loop of links, for which Python 3.13 raises no error
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not (target.is_file() and (force or _is_ours(target))):
            raise QianfanError(
                tr("{path!r} exists already, and is not a file of conversations", path=str(path)),
                hint=tr("Choose another name, or write over it with --force."),
            )
        write_text(target, json.dumps(written, ensure_ascii=False, indent=1) + "\n")
    except _INVALID_PATH as error:
        raise QianfanError(
            tr("{path!r} cannot be written: {why}", path=str(path), why=_why(error)),
            hint=tr("Choose an existing folder that you may write to."),
        ) from None


def load_conversations(path: Path) -> list[Conversation]:
    """Read the conversations of a file: all of them or none.

    Raises
    ------
    QianfanError
        If the file cannot be read, is not a file of conversations, is of another version, or
        holds an invalid turn.
    """
    try:
        target = path.expanduser()
        # Reading a device or a named pipe might never end.
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise ValueError
        content = target.read_bytes()
    except _INVALID_PATH as error:
        raise QianfanError(
            tr("{path!r} cannot be read: {why}", path=str(path), why=_why(error)),
            hint=tr("Check its name and folder."),
        ) from None
    try:
        return _read(_json(content))
    except InvalidRecord as error:
        raise QianfanError(
            tr("{path!r} is not loaded: {error}", path=str(path), error=error),
            hint=tr("%qianfan save writes such files; a notebook is read by %qianfan restore."),
        ) from None


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return tr("a text in it holds half of a character (a lone surrogate)")
    return getattr(error, "strerror", None) or tr("there can be no such file")


def _read(written: Any) -> list[Conversation]:
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        raise InvalidRecord(tr("it is not a file of conversations"))
    check_version(written)
    items = written.get("conversations")
    if not isinstance(items, list):
        raise InvalidRecord(tr("it has no list of conversations"))
    conversations = [conversation_from_json(item) for item in items]
    names = [conversation.name for conversation in conversations]
    if len(set(names)) < len(names):
        raise InvalidRecord(tr("two of its conversations have the same name"))
    return conversations


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)  # detects UTF-8 with a BOM and UTF-16, which some editors write
    except (ValueError, RecursionError):
        return None


def _is_ours(path: Path) -> bool:
    written = _json(path.read_bytes())
    return isinstance(written, dict) and written.get("format") == FORMAT

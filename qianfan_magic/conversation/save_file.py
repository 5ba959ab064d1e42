"""Conversations in a JSON file of their own."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.json_fields import InvalidRecord
from qianfan_magic.conversation.record import (
    VERSION,
    check_version,
    conversation_from_json,
    conversation_to_json,
)
from qianfan_magic.errors import QianfanError

#: By this a file is known for ours.
FORMAT = "qianfan_magic conversations"


def save_conversations(
    path: Path, conversations: Sequence[Conversation], *, force: bool = False
) -> None:
    """Write conversations into a file, in one step or not at all.

    Parameters
    ----------
    path
        Where; a file of ours that is there is replaced.
    conversations
        What.
    force
        Replace any other file too.

    Raises
    ------
    QianfanError
        If something else is there, or the file cannot be written.
    """
    talks = [conversation_to_json(one) for one in conversations]
    written = {"format": FORMAT, "version": VERSION, "conversations": talks}
    try:
        target = path.expanduser().resolve()
        if target.exists() and not (target.is_file() and (force or _is_ours(target))):
            raise QianfanError(
                f"{str(path)!r} is there already, and no file of conversations",
                hint="Choose another name, or write over it with --force.",
            )
        _replace(target, json.dumps(written, ensure_ascii=False, indent=1) + "\n")
    except _NO_FILE as error:
        raise QianfanError(
            f"{str(path)!r} cannot be written: {_why(error)}",
            hint="Choose a folder that is there and may be written to.",
        ) from None


#: What the standard library raises for a path where no file can be: ``~nobody`` and a circle of
#: links are RuntimeErrors, a null character is a ValueError.
_NO_FILE = (OSError, RuntimeError, ValueError)


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "a text in it holds half of a character"
    return getattr(error, "strerror", None) or "there can be no such file"


def load_conversations(path: Path) -> list[Conversation]:
    """Read conversations from a file.

    Raises
    ------
    QianfanError
        If it cannot be read, is no file of ours, is of another version, or is damaged: then
        nothing of it is taken.
    """
    try:
        target = path.expanduser()
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise ValueError  # a device may have no end
        sent = target.read_bytes()
    except _NO_FILE as error:
        raise QianfanError(
            f"{str(path)!r} cannot be read: {_why(error)}", hint="Check its name and folder."
        ) from None
    try:
        return _read(_json(sent))
    except InvalidRecord as error:
        raise QianfanError(
            f"{str(path)!r} is not loaded: {error}",
            hint="%qianfan save writes such files; a notebook is read by %qianfan restore.",
        ) from None


def _read(written: Any) -> list[Conversation]:
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        raise InvalidRecord("it is no file of conversations")
    check_version(written)
    talks = written.get("conversations")
    if not isinstance(talks, list):
        raise InvalidRecord("it has no list of conversations")
    read = [conversation_from_json(one) for one in talks]
    names = [one.name for one in read]
    if len(set(names)) < len(names):
        raise InvalidRecord("two of its conversations have one name")
    return read


def _json(sent: bytes) -> Any:
    try:
        return json.loads(sent)
    except (ValueError, RecursionError):
        return None


def _is_ours(path: Path) -> bool:
    written = _json(path.read_bytes())
    return isinstance(written, dict) and written.get("format") == FORMAT


def _replace(path: Path, text: str) -> None:
    """Put a text into a file in one step, with the rights that a new file has."""
    handle, written = tempfile.mkstemp(dir=path.parent, prefix=".qianfan-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(written).chmod(path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE)
        Path(written).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(written).unlink()
        raise


#: What was said is private: a new file is its owner's to read.
_NEW_FILE = 0o600

"""What must hold of any file that the package reads, whoever has written it.

`check_file` raises for a fault: any exception that is none of the contract, or a value that the
rest of the package could not show or save. The tests and the fuzzer of `tests/fuzz` share it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from support.any_answer import check_error

from qianfan_magic import QianfanError
from qianfan_magic.api.batch.answers import FILE as ANSWERS
from qianfan_magic.api.batch.answers import AnswerStore, Job
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.catalogue.user_cards import read_file
from qianfan_magic.api.config.dotenv import read_dot_env
from qianfan_magic.api.config.settings import build_settings
from qianfan_magic.api.http.model_list import ModelList
from qianfan_magic.api.http.tokens import TokenSource
from qianfan_magic.api.mcp_servers import read_server
from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import CellOrder, read_outputs
from qianfan_magic.conversation.record import conversation_to_json
from qianfan_magic.conversation.restore import restore
from qianfan_magic.conversation.save_file import load_conversations, save_conversations
from qianfan_magic.masking import forget_all


def check_file(name: str, content: bytes) -> None:
    """Check that a file is read, ignored as damaged, or refused with an error of the contract.

    Parameters
    ----------
    name
        One of `FILES`.
    content
        What it holds.
    """
    forget_all()  # the keys that an earlier file held
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            FILES[name](path)
        except QianfanError as error:
            check_error(error)


def _check_notebook(path: Path) -> None:
    order = CellOrder({"__vsc_ipynb_file__": str(path)})
    below = order.below("wall")
    assert type(order.clock) is int
    assert all(isinstance(cell, str) for cell in {*below, *order.recorded})
    restored = restore(read_outputs(path))
    assert "\n".join(restored.summary).encode() is not None
    for conversation in restored.conversations.values():
        _check_conversation(conversation)


def _check_conversations(path: Path) -> None:
    loaded = load_conversations(path)
    for conversation in loaded:
        _check_conversation(conversation)
    save_conversations(path, loaded)
    assert load_conversations(path) == loaded


def _check_conversation(conversation: Conversation) -> None:
    """Check that a conversation can be saved, sent and counted."""
    saved = conversation_to_json(conversation)
    json.dumps(saved, ensure_ascii=False, allow_nan=False).encode()
    for turn in conversation.turns:
        json.dumps(turn.messages(), ensure_ascii=False, allow_nan=False).encode()
        assert all(type(count) is int and count >= 0 for count in turn.tokens)
        assert turn.user.strip()
        assert turn.assistant.strip()


def _check_toml(path: Path) -> None:
    with suppress(QianfanError):
        assert isinstance(read_server(path.parent, "files"), dict)
    cards = read_file(path.parent)
    catalogue = Catalogue(cards)
    for card in cards:
        assert catalogue.named(card.name)


def _check_env(path: Path) -> None:
    values = read_dot_env(path)
    assert all(isinstance(text, str) and text for text in values.values())
    build_settings(values, {"QIANFAN_LANGUAGE": "en"})


def _check_token(path: Path) -> None:
    token = TokenSource(lambda _timeout: ("24.fetched", 60.0), path).get()
    assert token.isprintable()


def _check_models(path: Path) -> None:
    models = ModelList(lambda: ["fetched"], path).get()
    assert all(isinstance(name, str) for name in models)


def _check_answers(path: Path) -> None:
    """Check a database that may be damaged."""
    _read_answers(path.parent)


def _check_answer(path: Path) -> None:
    """Check a row of the database that holds any text."""
    with AnswerStore(path.parent) as store:
        store.begin(Job("any", "", "", rows=1))
    with closing(sqlite3.connect(path.parent / ANSWERS)) as database, database:
        row = ("any", "1", path.read_bytes().decode(errors="replace"))
        database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)
    _read_answers(path.parent)


def _read_answers(folder: Path) -> None:
    with AnswerStore(folder) as store:
        for answer in store.answers("any").values():
            assert isinstance(answer.text + answer.error + answer.kind, str)
            assert type(answer.tokens) is int
        for job in store.jobs():
            assert job.answered + job.failed >= 0


#: By name of the file: how it is read.
FILES: dict[str, Callable[[Path], None]] = {
    "notebook.ipynb": _check_notebook,
    "conversations.json": _check_conversations,
    "qianfan.toml": _check_toml,
    ".env": _check_env,
    "token.json": _check_token,
    "models.json": _check_models,
    "answer.json": _check_answer,
    ANSWERS: _check_answers,
}

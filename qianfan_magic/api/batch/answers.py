"""Keep the answers of many requests as they come, so that none is asked for twice.

They are in an SQLite database in the user's cache folder. A job is a template with everything that
decides how its requests are sent; a row of it is known by a digest of its request. Prompts are not
stored, and known secrets in answers are masked.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qianfan_magic.api.http.private_files import create_folder
from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr
from qianfan_magic.masking import mask_known

__all__ = ["Answer", "AnswerStore", "Job"]

#: The database's name in the cache folder.
FILE = "answers.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, template TEXT, service TEXT, rows INTEGER, at REAL
);
CREATE TABLE IF NOT EXISTS answers (
    job TEXT, row TEXT, answer TEXT, PRIMARY KEY (job, row)
) WITHOUT ROWID;
"""
#: Types of the fields of an answer; whole seconds may have become a whole number.
_TYPES = [[str, int, seconds, str, str] for seconds in (float, int)]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one row, or the error in its place.

    Attributes
    ----------
    text
        The answer; empty if there is an error.
    tokens
        Tokens of the question and the answer, as the service counted them.
    seconds
        How long the answer took, without the wait for the limits of the service.
    error
        What went wrong; empty if nothing did.
    kind
        The name of the error's class; empty if there is none.
    """

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A template that was asked for the rows of a table.

    Attributes
    ----------
    id
        A digest of the template and of all that decides how its requests are sent.
    template
        The text of the cell, with known secrets masked.
    service
        The endpoint or model.
    rows
        Number of rows of the last run.
    at
        When it was run last, in seconds since 1970.
    answered, failed
        Numbers of rows, of all runs.
    """

    id: str
    template: str
    service: str
    rows: int = 0
    at: float = 0.0
    answered: int = 0
    failed: int = 0


class AnswerStore:
    """The answers of jobs; several threads and processes may use it at the same time.

    Parameters
    ----------
    folder
        The folder of the database, which only the user may read; None keeps the answers in memory.

    Raises
    ------
    QianfanError
        If the database cannot be opened; its methods raise it, too, if the file is damaged.

    Examples
    --------
    >>> with AnswerStore(None) as store:
    ...     store.begin(Job("a", "Is {word} a noun?", "ernie-5.1", rows=2))
    ...     store.keep("a", "1", Answer("Yes.", tokens=9))
    ...     store.answers("a")["1"].text, store.jobs()[0].answered
    ('Yes.', 1)
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        with _database_errors():
            self._database = sqlite3.connect(
                _private_file(folder) if folder else ":memory:",
                timeout=30,
                isolation_level=None,
                check_same_thread=False,
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def begin(self, job: Job) -> None:
        """Remember a job that is about to run, and how many rows it has."""
        row = (job.id, mask_known(job.template), job.service, job.rows, time.time())
        with self._lock, _database_errors():
            self._database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)", row)

    def answers(self, job: str) -> dict[str, Answer]:
        """Return the answers of a job by their rows; a damaged one is left out."""
        query = "SELECT row, answer FROM answers WHERE job = ?"
        with self._lock, _database_errors():
            rows = self._database.execute(query, (job,)).fetchall()
        answers = ((row, _answer(text)) for row, text in rows)
        return {row: answer for row, answer in answers if answer is not None}

    def keep(self, job: str, row: str, answer: Answer) -> None:
        """Store the answer to a row, in place of an earlier one."""
        fields = (answer.text, answer.tokens, answer.seconds, answer.error, answer.kind)
        masked = [mask_known(field) if isinstance(field, str) else field for field in fields]
        with self._lock, _database_errors():
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                (job, row, json.dumps(masked)),
            )

    def jobs(self) -> list[Job]:
        """List the jobs, the last one first."""
        query = """
        SELECT jobs.*, COUNT(answer), SUM(json_extract(answer, '$[4]') <> '')
        FROM jobs LEFT JOIN answers ON job = id AND json_valid(answer) GROUP BY id ORDER BY at DESC
        """
        with self._lock, _database_errors():
            found = self._database.execute(query).fetchall()
        return [
            Job(id_, template, service, rows, at, count - (failed or 0), failed or 0)
            for id_, template, service, rows, at, count, failed in found
        ]

    def forget(self, jobs: Sequence[str]) -> None:
        """Delete jobs and their answers."""
        with self._lock, _database_errors():
            for job in jobs:
                self._database.execute("DELETE FROM answers WHERE job = ?", (job,))
                self._database.execute("DELETE FROM jobs WHERE id = ?", (job,))


@contextmanager
def _database_errors() -> Iterator[None]:
    """Turn an error of the database, or of its file, into one of this package."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise QianfanError(
            tr("The answers cannot be kept: {error}", error=error),
            hint=tr("Delete {file} in the cache folder, or set QIANFAN_CACHE_DIR.", file=FILE),
        ) from None


def _answer(stored: Any) -> Answer | None:
    """Return the answer that `AnswerStore.keep` wrote; None if it is damaged."""
    try:
        fields = json.loads(stored)
    except (ValueError, TypeError, RecursionError):
        return None
    types = [type(field) for field in fields] if isinstance(fields, list) else []
    return Answer(*fields) if types in _TYPES else None


def _private_file(folder: Path) -> Path:
    """Create the database's file, if there is none, so that only its owner may read it."""
    create_folder(folder)
    path = folder / FILE
    path.touch(mode=0o600, exist_ok=True)
    return path

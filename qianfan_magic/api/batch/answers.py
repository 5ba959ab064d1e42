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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
        If the database cannot be opened.

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
        try:
            self._database = sqlite3.connect(
                _private_file(folder) if folder else ":memory:",
                timeout=30,
                isolation_level=None,
                check_same_thread=False,
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise QianfanError(
                tr("The answers cannot be kept: {error}", error=error),
                hint=tr("Delete {file} in the cache folder, or set QIANFAN_CACHE_DIR.", file=FILE),
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def begin(self, job: Job) -> None:
        """Remember a job that is about to run, and how many rows it has."""
        row = (job.id, mask_known(job.template), job.service, job.rows, time.time())
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)", row)

    def answers(self, job: str) -> dict[str, Answer]:
        """Return the answers of a job by their rows."""
        query = "SELECT row, answer FROM answers WHERE job = ?"
        with self._lock:
            rows = self._database.execute(query, (job,)).fetchall()
        return {row: Answer(*json.loads(answer)) for row, answer in rows}

    def keep(self, job: str, row: str, answer: Answer) -> None:
        """Store the answer to a row, in place of an earlier one."""
        fields = (answer.text, answer.tokens, answer.seconds, answer.error, answer.kind)
        masked = [mask_known(field) if isinstance(field, str) else field for field in fields]
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                (job, row, json.dumps(masked)),
            )

    def jobs(self) -> list[Job]:
        """List the jobs, the last one first."""
        query = """
        SELECT jobs.*, COUNT(answer), SUM(json_extract(answer, '$[4]') <> '')
        FROM jobs LEFT JOIN answers ON job = id GROUP BY id ORDER BY at DESC
        """
        with self._lock:
            found = self._database.execute(query).fetchall()
        return [
            Job(id_, template, service, rows, at, count - (failed or 0), failed or 0)
            for id_, template, service, rows, at, count, failed in found
        ]

    def forget(self, jobs: Sequence[str]) -> None:
        """Delete jobs and their answers."""
        with self._lock:
            for job in jobs:
                self._database.execute("DELETE FROM answers WHERE job = ?", (job,))
                self._database.execute("DELETE FROM jobs WHERE id = ?", (job,))


def _private_file(folder: Path) -> Path:
    """Create the database's file, if there is none, so that only its owner may read it."""
    create_folder(folder)
    path = folder / FILE
    path.touch(mode=0o600, exist_ok=True)
    return path

"""Answers that are kept as they come."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from qianfan_magic import QianfanError
from qianfan_magic.api.batch.answers import FILE, Answer, AnswerStore, Job
from qianfan_magic.masking import remember

JOB = Job("a", "Is {word} a noun?", "ernie-5.1", rows=3)


def test_answers_are_there_in_another_process(tmp_path):
    with AnswerStore(tmp_path) as store:
        store.begin(JOB)
        store.keep("a", "1", Answer("Yes.", 9, 0.5))
        store.keep("a", "2", Answer(error="too long", kind="APIError"))
        with AnswerStore(tmp_path) as other:
            assert other.answers("a") == {
                "1": Answer("Yes.", 9, 0.5),
                "2": Answer(error="too long", kind="APIError"),
            }
            [job] = other.jobs()
    assert (job.template, job.rows, job.answered, job.failed) == ("Is {word} a noun?", 3, 1, 1)


def test_file_is_the_users_alone_and_has_no_key(tmp_path):
    remember("a-key-of-the-user")
    folder = tmp_path / "cache"
    with AnswerStore(folder) as store:
        store.begin(Job("a", "a-key-of-the-user {word}", "ernie-5.1"))
        store.keep("a", "1", Answer("a-key-of-the-user", error="a-key-of-the-user"))
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700
        stored = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"a-key-of-the-user" not in stored
    assert b"***" in stored


def test_later_answer_replaces_an_earlier_one():
    with AnswerStore(None) as store:
        store.keep("a", "1", Answer(error="no", kind="APIError"))
        store.keep("a", "1", Answer("Yes."))
        assert store.answers("a") == {"1": Answer("Yes.")}


def test_many_threads_store_at_the_same_time(tmp_path):
    with AnswerStore(tmp_path) as store, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.keep("a", str(n), Answer(str(n))), range(200)))
        assert {answer.text for answer in store.answers("a").values()} == set(map(str, range(200)))


def test_damaged_answer_is_left_out(tmp_path):
    with AnswerStore(tmp_path) as store:
        store.begin(JOB)
        store.keep("a", "1", Answer("Yes."))
        with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
            damaged = [
                "",
                "[",
                "[]",
                "{}",
                "1",
                '["a", true, 0.5, "", ""]',
                "9" * 5_000,
                None,
                b"\xff",
            ]
            damaged += ["[" * 5_000, '["a", 1, 0.5, "", "", ""]', '["a", null, 0.5, "", ""]', 5]
            for number, text in enumerate(damaged):
                database.execute("INSERT INTO answers VALUES ('a', ?, ?)", (f"x{number}", text))
        assert store.answers("a") == {"1": Answer("Yes.")}
        assert store.jobs()[0].failed == 0


def test_database_that_is_damaged_later_is_an_error_with_a_hint(tmp_path):
    with AnswerStore(tmp_path) as store:
        store.begin(JOB)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.execute("ALTER TABLE answers RENAME TO others")
        database.execute("CREATE TABLE answers (x)")
    with AnswerStore(tmp_path) as store:
        for ask in (store.jobs, lambda: store.answers("a"), lambda: store.forget(["a"])):
            with pytest.raises(QianfanError, match="no such column"):
                ask()


def test_forgotten_job_has_no_answers():
    with AnswerStore(None) as store:
        for name in ("a", "b"):
            store.begin(Job(name, "{word}", "ernie-5.1"))
            store.keep(name, "1", Answer("Yes."))
        store.forget(["a"])
        assert [job.id for job in store.jobs()] == ["b"]
        assert store.answers("a") == {}


def test_file_that_is_no_database_is_an_error_with_a_hint(tmp_path):
    (tmp_path / FILE).write_text("not a database " * 100)
    with pytest.raises(QianfanError) as caught:
        AnswerStore(tmp_path)
    assert FILE in caught.value.hint
    assert sqlite3.sqlite_version  # the module is there

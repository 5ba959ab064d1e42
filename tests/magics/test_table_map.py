"""``%%qianfan_map``: a template, asked for each row of a table; and ``%qianfan jobs``."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
import pandas as pd
import polars as pl
import pytest
from distributed import LocalCluster
from support.notebook import LOAD_ANEW, Notebook, assert_fails_cleanly
from support.requests_seen import V2, bodies
from support.waiting import until

from qianfan_magic import AuthError, ParameterError, QianfanError
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

MAP = "%%qianfan_map cities -m ernie-5.1 -o told"
ASK = f"{MAP}\nWhere is {{city}}?"
NAMES = ["Beijing", "Shanghai", "Xi'an", "Suzhou"]
REFUSED = Fault(status=500, error_code="internal_error", path=V2)


@pytest.fixture
def table(notebook: Notebook) -> Notebook:
    """A notebook with a table of four cities."""
    return with_table(notebook)


@pytest.fixture
def kept(bare: Notebook, own: EmbeddedServer) -> tuple[Notebook, EmbeddedServer]:
    """Such a notebook whose answers are kept on disk."""
    return with_table(bare), own


def with_table(notebook: Notebook) -> Notebook:
    notebook.shell.user_ns["cities"] = pd.DataFrame({"city": NAMES}, index=[3, 1, 4, 2])
    return notebook


def questions(server: EmbeddedServer) -> list[str]:
    return [body["messages"][-1]["content"] for body in bodies(server)]


def told(notebook: Notebook) -> Any:
    return notebook.bound("told")[0]


# --- one request for each row


def test_each_row_is_asked_and_has_its_answer_beside_it(table):
    shown = table.run(f"{MAP} --temperature 0.3 -s Briefly.\nWhere is {{city}}? {{{{yes}}}}")
    assert shown == "ernie-5.1 · 4 of 4 rows answered · " + shown.rpartition(" · ")[2]
    assert sorted(questions(table.server)) == sorted(f"Where is {n}? {{yes}}" for n in NAMES)
    for body in bodies(table.server):
        assert body["temperature"] == 0.3
        assert body["messages"][0] == {"role": "system", "content": "Briefly."}
    frame = told(table)
    assert list(frame.columns) == ["city", "answer", "tokens", "seconds", "error"]
    assert list(frame.index) == [3, 1, 4, 2]
    assert frame["answer"].str.contains("Beijing").tolist() == [True, False, False, False]
    assert (frame["tokens"] > 0).all()
    assert (frame["error"] == "").all()
    assert table.turns() == []


def test_table_may_be_of_polars_or_of_dicts(table):
    table.shell.user_ns |= {
        "frame": pl.DataFrame({"city": NAMES}),
        "rows": [{"city": name} for name in NAMES],
    }
    table.run("%%qianfan_map frame -m ernie-5.1 -o told\nWhere is {city}?")
    assert isinstance(told(table), pl.DataFrame)
    assert told(table).columns == ["city", "answer", "tokens", "seconds", "error"]
    for data in ("rows", "cities.head(2)", "'(row for row in rows)'"):
        table.run(f"%%qianfan_map {data} -m ernie-5.1 -o told\nWhere is {{city}}?")
        assert isinstance(told(table), pd.DataFrame), data


def test_columns_of_an_earlier_run_stay(table):
    table.run(ASK, "cities = told", f"{MAP}\nSum up: {{answer}}")
    assert list(told(table).columns)[1:] == [
        *("answer", "tokens", "seconds", "error"),
        *("answer_2", "tokens_2", "seconds_2", "error_2"),
    ]


def test_fields_of_a_schema_are_columns(table):
    table.shell.user_ns["City"] = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
        "required": ["name", "population"],
    }
    table.run(f"{MAP} --schema City\nWhich city is {{city}}?")
    assert list(told(table).columns)[:4] == ["city", "name", "population", "answer"]
    assert told(table)["population"].tolist() == [21_893_095] * 4


def test_rows_of_the_same_prompt_are_asked_once_each(table):
    table.shell.user_ns["cities"] = pd.DataFrame({"city": ["Beijing"] * 3})
    numbers = itertools.count()
    table.server.engine = lambda _: f"answer {next(numbers)}"
    table.run(ASK)
    assert len(questions(table.server)) == 3
    first = told(table)["answer"].tolist()
    table.run(ASK)
    assert told(table)["answer"].tolist() == first
    assert len(set(first)) == 3


def test_completion_model_completes_the_rows(table):
    table.run("%%qianfan_map cities -e starcoder -o told\n# {city}")
    assert sorted(body["prompt"] for body in table.bodies) == sorted(f"# {name}" for name in NAMES)


def test_dry_run_shows_three_prompts_and_the_tokens(table):
    shown = table.run(f"{MAP} --dry-run\nWhere is {{city}}?")
    assert [f"Where is {name}?" in shown for name in NAMES] == [True, True, True, False]
    assert "4 requests, about 1" in shown
    assert questions(table.server) == []


def test_what_cannot_be_asked_is_an_error(table):
    table.shell.user_ns |= {"number": 3, "empty": cities([]), "texts": NAMES}
    for line, template, words in (
        (MAP, "Where is {ciy}?", "no column 'ciy'"),
        (MAP, "Where is it?", "no place for a column"),
        (MAP, "Where is {city?", "template cannot be read"),
        (MAP, "Where is {city:.2f}?", "{city:.2f} of the template does not fit row 0"),
        (f"{MAP} -j 0", "{city}", "-j is 0"),
        (f"{MAP} --on-error never", "{city}", "--on-error is 'never'"),
        ("%%qianfan_map number", "{city}", "not a table"),
        ("%%qianfan_map empty", "{city}", "not a table"),
        ("%%qianfan_map texts", "{city}", "not a table"),
        ("%%qianfan_map towns", "{city}", "'towns' has no value: NameError"),
        ("%%qianfan_map", "{city}", "DATA is missing"),
    ):
        assert_fails_cleanly(table, f"{line}\n{template}", words, ParameterError)


def cities(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"city": names})


# --- limits


def test_rows_beyond_the_quota_are_asked_later(table):
    table.shell.user_ns["cities"] = cities([str(number) for number in range(40)])
    table.server.quota = 1_200  # 20 a second, and 20 at once
    table.run(ASK)
    assert (told(table)["error"] == "").all()
    refused = len(questions(table.server)) - 40
    assert refused <= 16  # of the requests that went before the limit was known


def test_as_many_rows_are_under_way_as_the_limit_allows(table):
    server, most = table.server, [0]

    def answer(_: Any) -> str:
        most.append(len(questions(server)) - len(most) + 1)
        return "There."

    server.engine, server.quota, server.delay = answer, 6_000, 1.0
    table.shell.user_ns["cities"] = cities([str(number) for number in range(100)])
    table.run(ASK)
    assert max(most) > 16  # what is allowed before the limit is known


# --- failures in their place


def test_error_stands_in_its_row_and_the_others_go_on(table):
    table.server.fail(REFUSED)
    shown = table.run(f"{MAP} --retries 1\nWhere is {{city}}?")
    assert "3 of 4 rows answered · 1 failed (1 APIError)" in shown
    assert "--retry-failed asks again" in shown
    frame = told(table)
    [failed] = frame.index[frame["error"] != ""]
    assert "internal_error" in frame.loc[failed, "error"]
    assert frame.loc[failed, "answer"] == ""


def test_failed_rows_alone_are_asked_again_on_request(table):
    table.server.fail(REFUSED)
    table.run(f"{MAP} --retries 1\nWhere is {{city}}?")
    table.run(f"{MAP} --retries 1\nWhere is {{city}}?")
    assert len(questions(table.server)) == 4
    shown = table.run(f"{MAP} --retries 1 --retry-failed\nWhere is {{city}}?")
    assert "4 of 4 rows answered" in shown
    assert len(questions(table.server)) == 5


def test_error_ends_all_on_request(table):
    table.server.fail(REFUSED)
    error, _ = table.fail(f"{MAP} --retries 1 --on-error stop -j 1\nWhere is {{city}}?")
    assert isinstance(error, QianfanError)
    assert len(told(table)) == 4  # bound, as far as it goes
    assert told(table)["error"].tolist().count("not asked") >= 2


def test_wrong_key_ends_all(kept, monkeypatch):
    notebook, server = kept
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-wrong/0123456789")
    monkeypatch.setenv("QIANFAN_API_KEY", "bce-v3/ALTAK-wrong/0123456789")
    error, _ = notebook.fail(f"{MAP} -j 1\nWhere is {{city}}?")
    assert isinstance(error, AuthError)
    assert len(questions(server)) < 4
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    notebook.run(ASK)  # no row has kept that error
    assert (told(notebook)["error"] == "").all()


def test_answer_that_does_not_fit_the_schema_is_kept_beside_the_error(table):
    table.shell.user_ns["City"] = {"type": "object", "required": ["name"]}
    table.server.engine = lambda _: "no JSON"
    table.run(f"{MAP} --schema City\nWhich city is {{city}}?")
    assert told(table)["answer"].tolist() == ["no JSON"] * 4
    assert told(table)["error"].str.contains("JSON").all()


# --- nothing is lost


def test_answers_are_there_after_a_restart_and_asked_again_on_request(kept):
    notebook, server = kept
    first = notebook.run(ASK)
    before = told(notebook)
    again = notebook.run(LOAD_ANEW, ASK)
    assert again == first
    assert told(notebook).equals(before)
    assert len(questions(server)) == 4
    notebook.run(f"{MAP} --fresh\nWhere is {{city}}?")
    assert len(questions(server)) == 8


def test_new_rows_and_another_template_are_asked(kept):
    notebook, server = kept
    notebook.run(ASK)
    notebook.shell.user_ns["cities"] = cities([*NAMES, "Paris"])
    notebook.run(ASK)
    assert questions(server)[4:] == ["Where is Paris?"]
    notebook.run(f"{MAP} --temperature 0.5\nWhere is {{city}}?")
    assert len(questions(server)) == 10


def test_stop_leaves_what_is_done_bound_and_the_rest_to_ask(kept):
    notebook, server = kept
    server.delay = 0.2
    wanted = [str(number) for number in range(12)]
    notebook.shell.user_ns["cities"] = cities(wanted)
    error, shown = notebook.stopped(
        f"{MAP} -j 2\nWhere is {{city}}?", lambda: len(questions(server)) >= 5
    )
    assert isinstance(error, KeyboardInterrupt)
    assert "of 12 rows answered" in shown
    assert "Run the cell again" in shown
    done = told(notebook)
    assert 2 <= (done["answer"] != "").sum() <= 6
    assert len(done) == 12
    server.delay = 0
    # What was under way when the cell was stopped is kept, too.
    until(lambda: len(questions(server)) == len(stored(notebook)))
    notebook.run(ASK)
    assert (told(notebook)["error"] == "").all()
    assert sorted(questions(server)) == sorted(f"Where is {name}?" for name in wanted)


def stored(notebook: Notebook) -> list[str]:
    lines = notebook.run("%qianfan jobs").splitlines()
    return ["x"] * int(lines[1].split()[-5])


KILLED = """
import dask
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns["cities"] = pd.DataFrame({"city": [str(number) for number in range(40)]})
shell.run_line_magic("load_ext", "qianfan_magic")
shell.run_cell_magic("qianfan_map", "cities -m ernie-5.1 -j 2", "Where is {city}?")
"""


@pytest.mark.kernel
def test_killed_kernel_loses_nothing_that_had_arrived(kept, tmp_path):
    notebook, server = kept
    server.delay = 0.1
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path)
    assert until(lambda: len(questions(server)) >= 8)
    process.kill()
    process.wait()
    server.delay, asked = 0, len(questions(server))
    notebook.shell.user_ns["cities"] = cities([str(number) for number in range(40)])
    notebook.run(ASK)
    assert (told(notebook)["error"] == "").all()
    assert len(questions(server)) - asked <= 40 - (asked - 4)  # two were under way


# --- the jobs


def test_jobs_are_listed_shown_and_forgotten(kept):
    notebook, server = kept
    assert "No table has been asked yet" in notebook.run("%qianfan jobs")
    notebook.run(ASK)
    shown = notebook.run("%qianfan jobs")
    assert "Where is {city}?" in shown
    name = shown.splitlines()[1].split()[0]
    assert notebook.run(f"%qianfan jobs {name[:6]}") == "Where is {city}?\n"
    assert_fails_cleanly(notebook, "%qianfan jobs zzz", "no job 'zzz'")
    assert_fails_cleanly(notebook, "%qianfan jobs --forget", "Which job")
    notebook.run(f"%qianfan jobs {name} --forget", ASK)
    assert len(questions(server)) == 8


def test_usage_counts_the_rows(table):
    table.run(ASK, "%qianfan usage -o usage")
    [usage] = table.bound("usage")[0]
    assert (usage["model"], usage["calls"]) == ("ernie-5.1", 4)
    assert json.dumps(usage)


# --- a cluster


@pytest.mark.kernel
def test_cluster_answers_every_row_once_though_a_worker_is_killed(kept):
    notebook, server = kept
    server.quota, server.delay = 1_800, 0.05  # 30 a second
    notebook.shell.user_ns["cities"] = cities([str(number) for number in range(120)])
    with cluster_of(4) as cluster:
        killed = threading.Thread(target=kill_one, args=(cluster, server))
        killed.start()
        shown = notebook.run(f"{MAP} --dask {cluster.scheduler_address}\nWhere is {{city}}?")
        killed.join()
    assert "120 of 120 rows answered" in shown
    assert (told(notebook)["error"] == "").all()
    asked = questions(server)
    assert set(asked) == {f"Where is {number}?" for number in range(120)}
    # Those that the killed worker had under way, and those before the limit was known.
    assert len(asked) <= 120 + 2 + 16
    assert sum("/oauth/" in seen.path for seen in server.seen) == 0


@contextmanager
def cluster_of(workers: int) -> Iterator[LocalCluster]:
    # Dask's profiler can stop a worker for ever before Python 3.11.8 (CPython's issue 106883).
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),
        LocalCluster(
            n_workers=workers, threads_per_worker=2, host="127.0.0.1", dashboard_address=None
        ) as cluster,
    ):
        yield cluster


def kill_one(cluster: LocalCluster, server: EmbeddedServer) -> None:
    """Kill a worker in the middle, as the system does when memory runs out."""
    if until(lambda: len(questions(server)) > 50):
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)


def test_scheduler_that_does_not_answer_is_an_error(table):
    line = f"{MAP} --dask nowhere"
    assert_fails_cleanly(table, f"{line}\n{{city}}", "no scheduler answers", ParameterError)

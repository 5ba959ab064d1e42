"""Fifty processes that share a token, and many threads at a server that takes few requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.busy_server import BusyServer
from support.file_locks import owner_of
from support.raw_server import Answer, RawServer, Seen, json_answer
from support.waiting import until

from qianfan_magic import QianfanClient, Reply

PROCESSES, QUESTIONS = 50, 4
#: Seconds that a request may take: far more than any does, so that a busy computer fails no test.
TIMEOUT = 40.0
HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"}, end="keep")
EXPIRED = {"access_token": "24.expired", "obtained_at": 1.0, "expires_at": 2.0}


class Crowd:
    """The processes, and what became of them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.ids = [int(word) for word in process.stdout.readline().split()[1:]]
        self._process = process

    def ended(self) -> dict[int, tuple[float, str]]:
        """Wait for all; return the longest question of each, and its error."""
        lines = self._process.communicate(timeout=120)[0].splitlines()
        rows = [line.split("\t") for line in lines]
        return {int(id_): (float(seconds), error) for id_, seconds, error in rows}


@contextmanager
def crowd(url: str, cache: Path, timeout: float = TIMEOUT) -> Iterator[Crowd]:
    arguments = map(str, (url, cache, PROCESSES, QUESTIONS, timeout))
    command = [sys.executable, "-m", "support.many_processes", *arguments]
    folder = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield Crowd(process)


@pytest.fixture
def server(raw_server: RawServer) -> RawServer:
    raw_server.script += [OK] * (PROCESSES * QUESTIONS)
    return raw_server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def token_file(cache: Path) -> Path:
    (file,) = cache.glob("token-*.json")
    return file


def lock_file(cache: Path) -> Path:
    (file,) = cache.glob("token-*.lock")
    return file


def failures(ended: dict[int, tuple[float, str]]) -> list[str]:
    return [error for _, error in ended.values() if error]


def test_fifty_processes_fetch_one_token_when_theirs_has_expired(server, cache):
    QianfanClient(ak="made-up-key", sk="made-up-secret", base_url=server.url).chat(
        HELLO, endpoint="ep"
    )
    server.script += [OK]
    file = token_file(Path(os.environ["QIANFAN_CACHE_DIR"]))
    file.write_text(json.dumps(EXPIRED))
    server.token_requests.clear()
    with crowd(server.url, file.parent) as running:
        ended = running.ended()
    assert len(ended) == PROCESSES
    assert failures(ended) == []
    assert len(server.token_requests) == 1


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "truncated": lambda file: file.write_text(file.read_text()[:20]),
    "unreadable": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_fifty_processes_do_not_mind_what_happens_to_the_file(server, cache, damage):
    """Whoever has a token keeps it; whoever has none finds another, or fetches one alone."""
    damaged = threading.Event()

    def damage_it(_seen: Seen) -> Answer:
        DAMAGES[damage](token_file(cache))
        damaged.set()
        return OK

    server.script[PROCESSES // 2] = damage_it
    with crowd(server.url, cache) as running:
        ended = running.ended()
    assert damaged.is_set()
    assert failures(ended) == []
    # A folder in place of the file cannot be replaced: those that come later ask for themselves.
    most = 2 if damage != "unreadable" else PROCESSES
    assert 1 <= len(server.token_requests) <= most


def test_process_that_is_killed_while_it_fetches_the_token_keeps_nobody_waiting(server, cache):
    asked = threading.Event()

    def fall_silent(_seen: Seen) -> Answer:
        asked.set()
        return Answer(status=0, end="silent")

    server.tokens += [fall_silent]
    with crowd(server.url, cache) as running:
        assert asked.wait(TIMEOUT)
        killed = owner_of(lock_file(cache), running.ids)
        os.kill(killed, signal.SIGKILL)
        ended = running.ended()
    assert ended.keys() == set(running.ids) - {killed}
    assert failures(ended) == []
    assert len(server.token_requests) == 2


def test_process_that_hangs_while_it_fetches_the_token_keeps_nobody_beyond_the_time_out(
    server, cache
):
    asked = threading.Event()

    def fall_silent(_seen: Seen) -> Answer:
        asked.set()
        return Answer(status=0, end="silent")

    server.tokens += [fall_silent]
    timeout = 6.0
    with crowd(server.url, cache, timeout) as running:
        assert asked.wait(TIMEOUT)
        stopped = owner_of(lock_file(cache), running.ids)
        os.kill(stopped, signal.SIGSTOP)
        begun = time.monotonic()
        assert until(lambda: len(server.requests) >= (PROCESSES - 1) * QUESTIONS)
        seconds = time.monotonic() - begun
        os.kill(stopped, signal.SIGKILL)
        ended = running.ended()
    assert failures(ended) == []
    assert seconds < timeout + 20  # and not half a minute for each of them


# --- threads of one client


def test_many_threads_are_all_answered_by_a_server_that_takes_few_at_once(make_client):
    with BusyServer(at_once=10, a_second=100) as server:
        client = make_client(bearer_token="made-up", console_api_base_url=server.url)
        replies = list(client.map([HELLO] * 200, workers=32, model="ernie-5.1"))
    assert [reply.text for reply in replies if isinstance(reply, Reply)] == ["hello"] * 200
    assert server.refused > 0

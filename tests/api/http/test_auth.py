"""Authentication of version 1: signatures, and the access token with its cache."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
from support.raw_server import Answer, RawServer, json_answer, stream_answer

from qianfan_magic import AuthError, TokenExpiredError, TransportError
from qianfan_magic.api.http.auth import SignatureAuth
from qianfan_magic.api.http.tokens import TokenSource

ACCESS_KEY = "AKIDEXAMPLE0123456789abcdef00000"
SECRET_KEY = "SKEXAMPLE0123456789abcdef0000000"
KEYS = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}
CHAT = "https://aip.baidubce.com/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/"
HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"})

# --- signature


def sign(endpoint: str = "ep_test", query: Any = None, now: float = 1700000000) -> dict[str, str]:
    request = requests.Request("POST", CHAT + endpoint, params=query, json={}).prepare()
    return dict(SignatureAuth(ACCESS_KEY, SECRET_KEY, lambda: now)(request).headers)


SIGNATURES = [
    ("ep_test", None, "f530ba161a3b36809726136e99fd9cc90da5f3d68ecb847adc9acc71c6ca5fa6"),
    (
        "ep_test",
        {"charset": "utf-8", "a b": "x/y+z"},
        "3466adda86d825f4f4fc12984b30bb6c0a33b7d1df6719cc8e26812d8b16e851",
    ),
    (
        "测试 ep",
        {"q": "你好 &=~"},
        "d26df49cf08ab0b074f3fcd0e652bc240fe8e8c15e858409a3c2aae7f6c5c77c",
    ),
]


def test_signature_is_that_of_baidu_s_signer():
    for endpoint, query, signature in SIGNATURES:
        assert sign(endpoint, query)["Authorization"].rpartition("/")[2] == signature, endpoint
    there, back = sign(query={"a": "1", "b": "2"}), sign(query={"b": "2", "a": "1"})
    assert there["Authorization"] == back["Authorization"]


def test_authorization_names_key_time_validity_and_signed_headers():
    prefix = f"bce-auth-v1/{ACCESS_KEY}/2023-11-14T22:13:20Z/300/content-type;host;x-bce-date/"
    headers = sign(now=1700000000.9)
    assert headers["Authorization"].startswith(prefix)
    assert headers["x-bce-date"] == "2023-11-14T22:13:20Z"


def test_signature_is_sent_with_the_host_that_is_signed_and_needs_no_token(raw_server, make_client):
    raw_server.script += [OK]
    make_client(access_key=ACCESS_KEY, secret_key=SECRET_KEY).chat(HELLO)
    assert raw_server.requests[0].headers["host"] == raw_server.url.removeprefix("http://")
    assert raw_server.token_requests == []


def test_each_attempt_is_signed_anew(raw_server, make_client):
    def fail_in_the_next_second(_seen: Any) -> Answer:
        time.sleep(1.01 - time.time() % 1)
        return Answer(status=500)

    raw_server.script += [fail_in_the_next_second, OK]
    make_client(access_key=ACCESS_KEY, secret_key=SECRET_KEY).chat(HELLO)
    first, second = (seen.headers for seen in raw_server.requests)
    assert first["x-bce-date"] < second["x-bce-date"]
    assert second["x-bce-date"] in second["authorization"]


# --- the request for a token


def test_token_is_requested_with_the_keys_and_sent_as_query_parameter(raw_server, make_client):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert raw_server.token_requests[0].query == {
        "grant_type": "client_credentials",
        "client_id": KEYS["ak"],
        "client_secret": KEYS["sk"],
    }
    assert raw_server.requests[0].query == {"access_token": f"24.{1:032x}.2592000"}


def test_netrc_is_not_used_for_the_token(raw_server, make_client, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert "authorization" not in raw_server.token_requests[0].headers


def test_refused_keys_are_reported_with_their_variable_and_not_sent_again(raw_server, make_client):
    for (description, variable), status in product(
        (
            ("unknown client id", "QIANFAN_AK"),
            ("Client authentication failed", "QIANFAN_SK"),
        ),
        (200, 401),
    ):
        error = {"error": "invalid_client", "error_description": description}
        raw_server.token_requests.clear()
        raw_server.tokens += [json_answer(error, status=status)]
        with pytest.raises(AuthError) as caught:
            make_client(**KEYS).chat(HELLO)
        assert caught.value.hint.startswith(variable), status
        assert len(raw_server.token_requests) == 1, (description, status)


def test_busy_token_endpoint_is_retried(raw_server, make_client):
    busy = {"error": "temporarily_unavailable", "error_description": "try again"}
    for answer in (Answer(status=503), json_answer(busy)):
        raw_server.tokens += [answer]
        raw_server.script += [OK]
        assert make_client(**KEYS, disable_cache=True).chat(HELLO).text == "hello", answer


def test_answer_without_a_token_is_a_transport_error(raw_server, make_client):
    for answer in (
        json_answer({}),
        json_answer({"access_token": "24.x"}),
        json_answer({"access_token": 5, "expires_in": 60}),
        json_answer({"access_token": "24.x", "expires_in": "soon"}),
        json_answer([]),
        stream_answer(),
    ):
        raw_server.tokens += [answer]
        with pytest.raises(TransportError):
            pytest.fail(f"{answer}: {make_client(**KEYS).chat(HELLO)}")
        assert not raw_server.tokens, answer


# --- when a token is renewed


class Service:
    """Counts what a source fetches; its clock stands still until it is moved."""

    def __init__(self, file: Path | None = None) -> None:
        self.now = 1000.0
        self.fetched = 0
        self.source = TokenSource(self._fetch, file, lambda: self.now)

    def _fetch(self, timeout: float) -> tuple[str, float]:
        del timeout
        self.fetched += 1
        return f"24.token-{self.fetched}", 3600.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "token-digest.json"


def test_token_is_renewed_ten_minutes_before_its_expiry_or_if_it_is_from_the_future(file):
    for on_disk, (now, is_renewed) in product(
        (False, True), ((1000 + 3600 - 600.001, False), (1000 + 3600 - 600, True), (999, True))
    ):
        file.unlink(missing_ok=True)
        first = Service(file if on_disk else None)
        first.source.get()
        later = Service(file) if on_disk else first
        later.now, later.fetched = now, 0
        later.source.get()
        assert later.fetched == is_renewed, (on_disk, now)


def test_token_that_another_process_or_thread_has_renewed_is_used(file):
    service = Service(file)
    stale = service.source.get()
    newer = {"access_token": "24.theirs", "obtained_at": 1000, "expires_at": 4600}
    file.write_text(json.dumps(newer))
    service.source.renew(stale)
    assert service.source.get() == "24.theirs"
    assert service.fetched == 1
    in_memory = Service()
    stale = in_memory.source.get()
    in_memory.source.renew(stale)
    in_memory.source.renew(stale)
    assert in_memory.fetched == 2


def test_threads_that_wait_for_a_token_share_the_failure_of_its_request():
    """Else each would wait for a server that does not answer, one after the other."""
    ready, fetched = threading.Barrier(17), list[float]()

    def fetch(timeout: float) -> tuple[str, float]:
        fetched.append(timeout)
        if len(fetched) == 1:
            ready.wait()
            time.sleep(0.2)  # in which the others begin to wait
        raise TransportError("The server did not answer in time")

    source = TokenSource(fetch, None)

    def get(number: int) -> None:
        if number:
            ready.wait()
        with pytest.raises(TransportError, match="in time"):
            source.get()

    with ThreadPoolExecutor(17) as threads:
        assert list(threads.map(get, range(17))) == [None] * 17
    assert len(fetched) < 9


# --- a token that the service refuses


def refusal(code: int = 110, kind: str = "application/json") -> Answer:
    body = json.dumps({"error_code": code, "error_msg": "Access token invalid"}).encode()
    return Answer(headers={"Content-Type": kind}, pieces=[body])


KINDS = ("application/json", "text/event-stream")
END = stream_answer({"result": "hello", "is_end": True})


def test_refused_token_is_replaced_in_memory_and_on_disk(raw_server, make_client):
    def token(number: int) -> str:
        return f"24.{number:032x}.2592000"

    for code, kind in product((100, 110, 111), KINDS):
        raw_server.requests.clear()
        raw_server.token_requests.clear()
        raw_server.script += [refusal(code, kind), END]
        chunks = make_client(**KEYS, disable_cache=True).stream_chat(HELLO)
        assert [chunk.text for chunk in chunks] == ["hello"], (code, kind)
        sent = [seen.query["access_token"] for seen in raw_server.requests]
        assert sent == [token(1), token(2)], (code, kind)
    raw_server.token_requests.clear()
    raw_server.script += [refusal(), OK, OK]
    assert make_client(**KEYS).chat(HELLO).text == "hello"
    make_client(**KEYS).chat(HELLO)
    assert raw_server.requests[-1].query["access_token"] == token(2)


def test_token_is_replaced_only_once_in_a_request(raw_server, make_client):
    for answers in (
        [refusal(), refusal()],
        [refusal(kind=KINDS[1]), refusal(kind=KINDS[1])],
        [refusal(), Answer(status=500), refusal()],
    ):
        for method in ("chat", "stream_chat"):
            raw_server.token_requests.clear()
            raw_server.script += answers
            with pytest.raises(TokenExpiredError):
                list(getattr(make_client(**KEYS, disable_cache=True), method)(HELLO))
            assert not raw_server.script, (answers, method)
            assert len(raw_server.token_requests) == 2, (answers, method)


def test_each_request_may_replace_its_token(raw_server, make_client):
    raw_server.script += [refusal(), OK, refusal(111), OK]
    client = make_client(**KEYS)
    client.chat(HELLO)
    client.chat(HELLO)
    assert len(raw_server.token_requests) == 3


def test_static_token_is_sent_unchanged_and_never_renewed(raw_server, make_client):
    raw_server.script += [OK, refusal()]
    client = make_client(access_token="24.given+token/=")
    client.chat(HELLO)
    with pytest.raises(TokenExpiredError) as caught:
        client.chat(HELLO)
    assert [seen.query for seen in raw_server.requests] == [
        {"access_token": "24.given+token/="}
    ] * 2
    assert raw_server.token_requests == []
    assert "QIANFAN_ACCESS_TOKEN" in caught.value.hint


# --- the cache


def test_token_is_shared_in_memory_and_on_disk(raw_server, make_client, tmp_path):
    raw_server.script += [OK] * 5
    client = make_client(**KEYS, disable_cache=True)
    client.chat(HELLO)
    client.chat(HELLO)
    assert len(raw_server.token_requests) == 1
    assert not (tmp_path / "cache").exists()
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2
    make_client(ak=KEYS["ak"], sk="SKOTHER0123456789").chat(HELLO)
    assert len(raw_server.token_requests) == 3
    with RawServer() as other:
        other.script += [OK]
        make_client(**KEYS, base_url=other.url).chat(HELLO)
        assert len(other.token_requests) == 1


def cached(folder: Path) -> Path:
    (path,) = folder.glob("token-*.json")
    return path


def test_cache_is_private_and_contains_no_key(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    folder = tmp_path / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cached(folder).stat().st_mode) == 0o600
    written = "".join(f"{path.name} {path.read_text()}" for path in folder.iterdir())
    assert [key for key in KEYS.values() if key in written] == []


NOW = time.time()
VALID = {"access_token": "24.cached", "obtained_at": NOW, "expires_at": NOW + 2592000}


def entry(**values: Any) -> bytes:
    return json.dumps(VALID | values).encode()


DAMAGED = {
    "empty": b"",
    "half": b"{",
    "not UTF-8": b"\xff\xfe\x00",
    "null": b"null",
    "list": b"[]",
    "text": b'"24.cached"',
    "deep": b"[" * 100_000,
    "no times": b'{"access_token": "24.cached"}',
    "token null": entry(access_token=None),
    "token with half a character": entry(access_token="24.cached\ud800"),
    "times no numbers": entry(expires_at="soon"),
    "expires in 599 seconds": entry(expires_at=NOW + 599),
    "expires in 285 years": entry(expires_at=NOW + 9e9),
    "expires never": entry(expires_at=float("inf")),
    "obtained at no time": entry(obtained_at=float("nan")),
    "obtained in the future": entry(obtained_at=NOW + 9e6, expires_at=NOW + 1e7),
}


def test_valid_cache_is_read_and_a_damaged_one_replaced(raw_server, make_client, tmp_path):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    file = cached(tmp_path / "cache")
    file.write_bytes(entry())
    make_client(**KEYS).chat(HELLO)
    assert raw_server.requests[-1].query == {"access_token": "24.cached"}
    for name, content in DAMAGED.items():
        raw_server.script += [OK, OK]
        raw_server.token_requests.clear()
        file.write_bytes(content)
        make_client(**KEYS).chat(HELLO)
        make_client(**KEYS).chat(HELLO)
        assert len(raw_server.token_requests) == 1, name


def test_unusable_cache_costs_one_token_request(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    path = cached(tmp_path / "cache")
    for suffix in (".json", ".lock"):  # a folder instead of a file
        raw_server.script += [OK]
        raw_server.token_requests.clear()
        path.unlink()
        path.with_suffix(suffix).unlink(missing_ok=True)
        path.with_suffix(suffix).mkdir()
        make_client(**KEYS).chat(HELLO)
        assert len(raw_server.token_requests) == 1, suffix
        path.with_suffix(suffix).rmdir()
        path.touch()
    (tmp_path / "file").touch()
    for below in ("", "deeper/still"):  # a file instead of the folder
        raw_server.script += [OK, OK]
        raw_server.token_requests.clear()
        client = make_client(**KEYS, cache_dir=tmp_path / "file" / below)
        client.chat(HELLO)
        client.chat(HELLO)
        assert len(raw_server.token_requests) == 1, below


CHILD = """
import sys
from qianfan_magic import QianfanClient
client = QianfanClient(ak="AKEXAMPLE0123456789", sk="SKEXAMPLE0123456789")
print("ready", flush=True)
sys.stdin.readline()
{limit}
print("started", flush=True)
for _ in range({times}):
    print(client.chat([{{"role": "user", "content": "hi"}}], endpoint="ep").text, flush=True)
"""


def start_child(
    base_url: str, folder: Path, *, limit: str = "", times: int = 1
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(limit=limit, times=times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {
            "QIANFAN_BASE_URL": base_url,
            "QIANFAN_CACHE_DIR": str(folder),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        },
    )


def test_full_disk_costs_one_token_request_and_leaves_no_file(raw_server, tmp_path):
    """Two requests of a process that may write files of ten bytes only."""
    raw_server.script += [OK, OK]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))"
    with start_child(raw_server.url, tmp_path / "cache", limit=limit, times=2) as child:
        printed = child.communicate("go\n", timeout=30)[0]
    assert printed.split()[-2:] == ["hello", "hello"]
    assert len(raw_server.token_requests) == 1
    left = [path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert left == []


# --- many at once


def slow_token(gate: threading.Event) -> Answer:
    token = json.dumps({"access_token": "24.slow", "expires_in": 2592000}).encode()
    headers = {"Content-Type": "application/json"}
    return Answer(headers=headers, pieces=[gate, token], framing="close")


def test_many_threads_request_one_token(raw_server, make_client):
    gate, ready = threading.Event(), threading.Barrier(17)
    raw_server.tokens += [slow_token(gate)]
    raw_server.script += [OK] * 16
    client = make_client(**KEYS, disable_cache=True)

    def chat() -> str:
        ready.wait()
        return client.chat(HELLO).text

    with ThreadPoolExecutor(16) as threads:
        chats = [threads.submit(chat) for _ in range(16)]
        ready.wait()
        gate.set()
        assert {future.result() for future in chats} == {"hello"}
    assert len(raw_server.token_requests) == 1


def test_processes_request_one_token(raw_server, tmp_path):
    gate = threading.Event()
    raw_server.tokens += [slow_token(gate)]
    raw_server.script += [OK] * 4
    with ExitStack() as running:
        children = [
            running.enter_context(start_child(raw_server.url, tmp_path / "cache")) for _ in range(4)
        ]
        printed = [child.stdout.readline() for child in children]
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        printed += [child.stdout.readline() for child in children]
        gate.set()
        printed += [child.stdout.readline() for child in children]
    assert printed == ["ready\n"] * 4 + ["started\n"] * 4 + ["hello\n"] * 4
    assert len(raw_server.token_requests) == 1


def test_lock_of_a_killed_process_is_released(raw_server, tmp_path):
    fetching = threading.Event()

    def fall_silent(_seen: Any) -> Answer:
        fetching.set()
        return Answer(status=0, end="silent")

    raw_server.tokens += [fall_silent]
    raw_server.script += [OK]
    with start_child(raw_server.url, tmp_path / "cache") as dying:
        dying.stdin.write("go\n")
        dying.stdin.flush()
        fetching.wait(30)
        dying.kill()
    with start_child(raw_server.url, tmp_path / "cache") as child:
        assert child.communicate("go\n", timeout=30)[0].endswith("hello\n")

"""How a request is let in: signatures, and the access token with its cache."""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from support.raw_server import Answer, RawServer, json_answer, stream_answer

from qianfan_magic import AuthError, TokenExpiredError, TransportError
from qianfan_magic.api.http.auth import SignatureAuth
from qianfan_magic.api.http.tokens import TokenSource
from qianfan_magic.api.wire.bce_signature import _hmac

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


@pytest.mark.parametrize(
    ("endpoint", "query", "signature"),
    [
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
    ],
)
def test_signature_is_the_one_of_baidus_signer(endpoint, query, signature):
    assert sign(endpoint, query)["Authorization"].rpartition("/")[2] == signature


def test_signing_key_is_the_one_of_baidus_signer():
    key = _hmac(SECRET_KEY, f"bce-auth-v1/{ACCESS_KEY}/2023-11-14T22:13:20Z/300")
    assert key == "e067f7aa2c08a8d4817ec793b041106ae31167cd1f8670143db5c4f88c4f4f16"


def test_authorization_names_key_time_validity_and_signed_headers():
    prefix = f"bce-auth-v1/{ACCESS_KEY}/2023-11-14T22:13:20Z/300/content-type;host;x-bce-date/"
    assert sign()["Authorization"].startswith(prefix)


def test_date_header_is_the_time_that_is_signed():
    assert sign(now=1700000001.9)["x-bce-date"] == "2023-11-14T22:13:21Z"


def test_order_of_the_query_does_not_change_the_signature():
    there, back = sign(query={"a": "1", "b": "2"}), sign(query={"b": "2", "a": "1"})
    assert there["Authorization"] == back["Authorization"]


def test_signed_host_is_the_host_that_is_sent(raw_server, make_client):
    raw_server.script += [OK]
    make_client(access_key=ACCESS_KEY, secret_key=SECRET_KEY).chat(HELLO)
    assert raw_server.requests[0].headers["host"] == raw_server.url.removeprefix("http://")


def test_each_attempt_is_signed_afresh(raw_server, make_client):
    raw_server.script += [Answer(status=500), OK]
    client = make_client(access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    clock = itertools.count(1700000000)
    client._connection._auths[1] = SignatureAuth(ACCESS_KEY, SECRET_KEY, lambda: next(clock))
    client.chat(HELLO)
    dates = [seen.headers["x-bce-date"] for seen in raw_server.requests]
    assert dates == ["2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z"]


def test_signature_keys_ask_for_no_token(raw_server, make_client):
    raw_server.script += [OK]
    make_client(access_key=ACCESS_KEY, secret_key=SECRET_KEY).chat(HELLO)
    assert raw_server.token_requests == []


# --- the request for a token


def test_token_is_asked_for_with_the_keys(raw_server, make_client):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert raw_server.token_requests[0].query == {
        "grant_type": "client_credentials",
        "client_id": KEYS["ak"],
        "client_secret": KEYS["sk"],
    }


def test_token_goes_out_as_the_query_parameter(raw_server, make_client):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert raw_server.requests[0].query == {"access_token": f"24.{1:032x}.2592000"}


def test_netrc_is_not_used_for_the_token(raw_server, make_client, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert "authorization" not in raw_server.token_requests[0].headers


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    ("description", "variable"),
    [("unknown client id", "QIANFAN_AK"), ("Client authentication failed", "QIANFAN_SK")],
)
def test_refused_keys_name_the_variable(raw_server, make_client, status, description, variable):
    refusal = {"error": "invalid_client", "error_description": description}
    raw_server.tokens += [json_answer(refusal, status=status)]
    with pytest.raises(AuthError) as caught:
        make_client(**KEYS).chat(HELLO)
    assert caught.value.hint.startswith(variable)


def test_refused_keys_are_not_sent_again(raw_server, make_client):
    raw_server.tokens += [json_answer({"error": "invalid_client"}, status=401)]
    with pytest.raises(AuthError):
        make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 1


def test_token_endpoint_out_of_order_is_asked_again(raw_server, make_client):
    raw_server.tokens += [Answer(status=503)]
    raw_server.script += [OK]
    assert make_client(**KEYS).chat(HELLO).text == "hello"


def test_busy_token_endpoint_that_says_so_in_json_is_asked_again(raw_server, make_client):
    busy = {"error": "temporarily_unavailable", "error_description": "try again"}
    raw_server.tokens += [json_answer(busy, status=503)]
    raw_server.script += [OK]
    assert make_client(**KEYS).chat(HELLO).text == "hello"


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({}),
        json_answer({"access_token": "24.x"}),
        json_answer({"access_token": 5, "expires_in": 60}),
        json_answer({"access_token": "24.x", "expires_in": "soon"}),
        json_answer([]),
        stream_answer(),
    ],
)
def test_answer_without_a_token_is_a_transport_error(raw_server, make_client, answer):
    raw_server.tokens += [answer]
    with pytest.raises(TransportError):
        make_client(**KEYS).chat(HELLO)


# --- when a token is renewed


class Service:
    """Counts what a source fetches; its clock stands still until it is moved."""

    def __init__(self, file: Path | None = None) -> None:
        self.now = 1000.0
        self.fetched = 0
        self.source = TokenSource(self._fetch, file, lambda: self.now)

    def _fetch(self) -> tuple[str, float]:
        self.fetched += 1
        return f"24.token-{self.fetched}", 3600.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "token-digest.json"


def test_token_is_kept_until_ten_minutes_before_its_expiry():
    service = Service()
    service.source.get()
    service.now = 1000 + 3600 - 600.001
    assert service.source.get() == "24.token-1"


def test_token_is_renewed_ten_minutes_before_its_expiry():
    service = Service()
    service.source.get()
    service.now = 1000 + 3600 - 600
    assert service.source.get() == "24.token-2"


def test_token_on_disk_is_kept_until_ten_minutes_before_its_expiry(file):
    Service(file).source.get()
    later = Service(file)
    later.now = 1000 + 3600 - 600.001
    later.source.get()
    assert later.fetched == 0


def test_token_on_disk_is_renewed_ten_minutes_before_its_expiry(file):
    Service(file).source.get()
    later = Service(file)
    later.now = 1000 + 3600 - 600
    later.source.get()
    assert later.fetched == 1


def test_token_from_the_future_is_not_used(file):
    Service(file).source.get()
    earlier = Service(file)
    earlier.now = 999
    earlier.source.get()
    assert earlier.fetched == 1


def test_token_in_memory_is_not_used_once_the_clock_jumped_back():
    service = Service()
    service.source.get()
    service.now = 999
    assert service.source.get() == "24.token-2"


def test_newer_token_of_another_process_is_taken(file):
    service = Service(file)
    stale = service.source.get()
    newer = {"access_token": "24.theirs", "obtained_at": 1000, "expires_at": 4600}
    file.write_text(json.dumps(newer))
    service.source.renew(stale)
    assert service.source.get() == "24.theirs"
    assert service.fetched == 1


def test_token_that_somebody_renewed_already_is_not_renewed_again():
    service = Service()
    stale = service.source.get()
    service.source.renew(stale)
    service.source.renew(stale)
    assert service.fetched == 2


# --- a token that the service refuses


def refusal(code: int, kind: str) -> Answer:
    body = json.dumps({"error_code": code, "error_msg": "Access token invalid"}).encode()
    return Answer(headers={"Content-Type": kind}, pieces=[body])


KINDS = ["application/json", "text/event-stream"]
END = stream_answer({"result": "hello", "is_end": True})


@pytest.mark.parametrize("code", [100, 110, 111])
@pytest.mark.parametrize("kind", KINDS)
def test_refused_token_of_a_stream_is_replaced(raw_server, make_client, code, kind):
    raw_server.script += [refusal(code, kind), END]
    assert [chunk.text for chunk in make_client(**KEYS).stream_chat(HELLO)] == ["hello"]


@pytest.mark.parametrize("code", [100, 110, 111])
def test_refused_token_of_a_whole_answer_is_replaced(raw_server, make_client, code):
    raw_server.script += [refusal(code, "application/json"), OK]
    assert make_client(**KEYS).chat(HELLO).text == "hello"


def test_new_token_is_the_one_that_is_sent(raw_server, make_client):
    raw_server.script += [refusal(110, KINDS[0]), OK]
    make_client(**KEYS).chat(HELLO)
    sent = [seen.query["access_token"] for seen in raw_server.requests]
    assert sent == [f"24.{1:032x}.2592000", f"24.{2:032x}.2592000"]


@pytest.mark.parametrize("kind", KINDS)
def test_token_is_replaced_only_once(raw_server, make_client, kind):
    raw_server.script += [refusal(110, kind), refusal(110, kind), END]
    with pytest.raises(TokenExpiredError):
        list(make_client(**KEYS).stream_chat(HELLO))
    assert len(raw_server.token_requests) == 2


def test_token_is_replaced_once_even_with_retries_between(raw_server, make_client):
    raw_server.script += [refusal(110, KINDS[0]), Answer(status=500), refusal(110, KINDS[0]), OK]
    with pytest.raises(TokenExpiredError):
        make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2


def test_each_question_may_replace_its_token(raw_server, make_client):
    raw_server.script += [refusal(110, KINDS[0]), OK, refusal(111, KINDS[0]), OK]
    client = make_client(**KEYS)
    client.chat(HELLO)
    client.chat(HELLO)
    assert len(raw_server.token_requests) == 3


def test_replaced_token_is_the_one_on_disk(raw_server, make_client):
    raw_server.script += [refusal(110, KINDS[0]), OK, OK]
    make_client(**KEYS).chat(HELLO)
    make_client(**KEYS).chat(HELLO)
    assert raw_server.requests[-1].query["access_token"] == f"24.{2:032x}.2592000"


def test_given_token_is_used_as_it_is(raw_server, make_client):
    raw_server.script += [OK]
    make_client(access_token="24.given+token/=").chat(HELLO)
    assert raw_server.requests[0].query == {"access_token": "24.given+token/="}


def test_given_token_that_is_refused_is_not_sent_again(raw_server, make_client):
    raw_server.script += [refusal(110, KINDS[0]), OK]
    with pytest.raises(TokenExpiredError):
        make_client(access_token="24.given").chat(HELLO)
    assert len(raw_server.requests) == 1


def test_given_token_asks_for_no_token(raw_server, make_client):
    raw_server.script += [refusal(111, KINDS[0])]
    with pytest.raises(TokenExpiredError):
        make_client(access_token="24.given").chat(HELLO)
    assert raw_server.token_requests == []


# --- the cache


def test_token_in_memory_serves_the_next_request(raw_server, make_client):
    raw_server.script += [OK, OK]
    client = make_client(**KEYS, disable_cache=True)
    client.chat(HELLO)
    client.chat(HELLO)
    assert len(raw_server.token_requests) == 1


def test_token_on_disk_serves_the_next_client(raw_server, make_client):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 1


def test_token_of_other_keys_is_not_taken(raw_server, make_client):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    make_client(ak=KEYS["ak"], sk="SKOTHER0123456789").chat(HELLO)
    assert len(raw_server.token_requests) == 2


def test_token_of_another_server_is_not_taken(raw_server, make_client):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    with RawServer() as other:
        other.script += [OK]
        make_client(**KEYS, base_url=other.url).chat(HELLO)
        assert len(other.token_requests) == 1


def test_disabled_cache_writes_nothing(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS, disable_cache=True).chat(HELLO)
    assert not (tmp_path / "cache").exists()


def kept(folder: Path) -> Path:
    (path,) = folder.glob("token-*.json")
    return path


def test_only_the_owner_reads_the_token(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert stat.S_IMODE(kept(tmp_path / "cache").stat().st_mode) == 0o600


def test_only_the_owner_opens_the_folder(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_no_key_stands_in_the_cache(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    make_client(**KEYS).chat(HELLO)
    written = "".join(f"{p.name} {p.read_text()}" for p in (tmp_path / "cache").iterdir())
    assert not any(key in written for key in KEYS.values())


NOW = time.time()
GOOD = {"access_token": "24.kept", "obtained_at": NOW, "expires_at": NOW + 2592000}


def spoilt(**values: Any) -> bytes:
    return json.dumps(GOOD | values).encode()


def test_cache_in_this_form_is_good(raw_server, make_client, tmp_path):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    kept(tmp_path / "cache").write_bytes(spoilt())
    make_client(**KEYS).chat(HELLO)
    assert raw_server.requests[-1].query == {"access_token": "24.kept"}


SPOILT = {
    "empty": b"",
    "half": b"{",
    "not UTF-8": b"\xff\xfe\x00",
    "null": b"null",
    "list": b"[]",
    "text": b'"24.kept"',
    "deep": b"[" * 100_000,
    "no times": b'{"access_token": "24.kept"}',
    "token null": spoilt(access_token=None),
    "token with half a character": spoilt(access_token="24.kept\ud800"),
    "times no numbers": spoilt(expires_at="soon"),
    "expires in 599 seconds": spoilt(expires_at=NOW + 599),
    "expires in 285 years": spoilt(expires_at=NOW + 9e9),
    "expires never": spoilt(expires_at=float("inf")),
    "obtained at no time": spoilt(obtained_at=float("nan")),
    "obtained in the future": spoilt(obtained_at=NOW + 9e6, expires_at=NOW + 1e7),
}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
def test_corrupt_cache_costs_one_token_request(raw_server, make_client, tmp_path, content):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    kept(tmp_path / "cache").write_bytes(content)
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2


def test_corrupt_cache_is_mended(raw_server, make_client, tmp_path):
    raw_server.script += [OK, OK, OK]
    make_client(**KEYS).chat(HELLO)
    kept(tmp_path / "cache").write_text("{")
    make_client(**KEYS).chat(HELLO)
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2


@pytest.mark.parametrize("suffix", [".json", ".lock"])
def test_folder_in_the_place_of_a_file_costs_one_token_request(
    raw_server, make_client, tmp_path, suffix
):
    raw_server.script += [OK, OK]
    make_client(**KEYS).chat(HELLO)
    path = kept(tmp_path / "cache")
    path.unlink()
    path.with_suffix(suffix).unlink(missing_ok=True)
    path.with_suffix(suffix).mkdir()
    make_client(**KEYS).chat(HELLO)
    assert len(raw_server.token_requests) == 2


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_file_in_the_place_of_the_folder_costs_one_token_request(
    raw_server, make_client, tmp_path, below
):
    (tmp_path / "file").touch()
    raw_server.script += [OK, OK]
    client = make_client(**KEYS, cache_dir=tmp_path / "file" / below)
    client.chat(HELLO)
    client.chat(HELLO)
    assert len(raw_server.token_requests) == 1


CHILD = """
import sys
from qianfan_magic import QianfanClient
client = QianfanClient(ak="AKEXAMPLE0123456789", sk="SKEXAMPLE0123456789")
print("ready", flush=True)
sys.stdin.readline()
{limit}
print("asking", flush=True)
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


def run_on_a_full_disk(server: RawServer, folder: Path) -> str:
    """Ask twice, in a process that may write files of ten bytes only."""
    server.script += [OK, OK]
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))"
    with start_child(server.url, folder, limit=limit, times=2) as child:
        return child.communicate("go\n", timeout=30)[0]


def test_full_disk_costs_one_token_request(raw_server, tmp_path):
    said = run_on_a_full_disk(raw_server, tmp_path / "cache")
    assert (said.split()[-2:], len(raw_server.token_requests)) == (["hello", "hello"], 1)


def test_full_disk_leaves_no_part_of_a_token(raw_server, tmp_path):
    run_on_a_full_disk(raw_server, tmp_path / "cache")
    left = [p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"]
    assert left == []


# --- many at once


def slow_token(gate: threading.Event) -> Answer:
    token = json.dumps({"access_token": "24.slow", "expires_in": 2592000}).encode()
    headers = {"Content-Type": "application/json"}
    return Answer(headers=headers, pieces=[gate, token], framing="close")


def test_many_threads_ask_for_one_token(raw_server, make_client):
    gate, ready = threading.Event(), threading.Barrier(17)
    raw_server.tokens += [slow_token(gate)]
    raw_server.script += [OK] * 16
    client = make_client(**KEYS, disable_cache=True)

    def ask() -> str:
        ready.wait()
        return client.chat(HELLO).text

    with ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(ask) for _ in range(16)]
        ready.wait()
        gate.set()
        assert {future.result() for future in asked} == {"hello"}
    assert len(raw_server.token_requests) == 1


def test_eight_processes_ask_for_one_token(raw_server, tmp_path):
    gate = threading.Event()
    raw_server.tokens += [slow_token(gate)]
    raw_server.script += [OK] * 8
    with ExitStack() as running:
        children = [
            running.enter_context(start_child(raw_server.url, tmp_path / "cache")) for _ in range(8)
        ]
        said = [child.stdout.readline() for child in children]
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        said += [child.stdout.readline() for child in children]
        gate.set()
        said += [child.stdout.readline() for child in children]
    assert said == ["ready\n"] * 8 + ["asking\n"] * 8 + ["hello\n"] * 8
    assert len(raw_server.token_requests) == 1


def test_process_that_dies_with_the_lock_does_not_hold_the_others(raw_server, tmp_path):
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

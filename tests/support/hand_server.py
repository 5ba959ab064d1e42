"""A Qianfan of version 2 that streams what a test says, at the moment when the test says it.

So a test need not be fast to see a model think: it goes on when the test has seen enough.
"""

from __future__ import annotations

import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

PATH = "/v2/chat/completions"
#: What ends an answer.
END: dict[str, Any] = {}


class HandServer(ThreadingHTTPServer):
    """Serves until its ``with`` block ends; `seen` has the bodies of the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HandHandler)
        self.deltas: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.seen: list[dict[str, Any]] = []

    def setup(self) -> str:
        """Return the cell that has a notebook ask here."""
        names = {
            "BEARER_TOKEN": "made-up",
            "CONSOLE_API_BASE_URL": f"http://127.0.0.1:{self.server_address[1]}",
        }
        environment = {f"QIANFAN_{name}": value for name, value in names.items()}
        return f"import os\nos.environ |= {environment}\n%load_ext qianfan_magic"

    def think(self, *texts: str) -> None:
        """Send pieces of what the model thinks."""
        for text in texts:
            self.deltas.put({"content": None, "reasoning_content": text})

    def say(self, *texts: str) -> None:
        """Send pieces of the answer."""
        for text in texts:
            self.deltas.put({"content": text})

    def call(self, name: str, **arguments: Any) -> None:
        """Ask for the call of a function, in two pieces, and end the reply."""
        function = {"name": name, "arguments": ""}
        self.deltas.put({"tool_calls": [{"index": 0, "id": "call", "function": function}]})
        rest = {"arguments": json.dumps(arguments)}
        self.deltas.put({"tool_calls": [{"index": 0, "function": rest}]})
        self.end()

    def end(self) -> None:
        """End the answer."""
        self.deltas.put(END)

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()  # of a stream that the test has left
        self.shutdown()
        self.server_close()


class HandHandler(BaseHTTPRequestHandler):
    """Answers one question after the other."""

    server: HandServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != PATH or not asked["stream"]:
            self.send_error(400)
            return
        self.server.seen.append(asked)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        with suppress(ConnectionError):  # the reader has stopped the answer
            while delta := self.server.deltas.get():
                self._event({"delta": delta})
            self._event({"delta": {"content": ""}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, choice: dict[str, Any]) -> None:
        shape = {"id": "as-hand", "object": "chat.completion.chunk", "created": 1}
        shape |= {"model": "ernie-5.1", "choices": [{"index": 0, **choice, "flag": 0}]}
        self.wfile.write(b"data: " + json.dumps(shape).encode() + b"\n\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

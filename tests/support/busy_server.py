"""A Qianfan of version 2 that takes few requests at once, and few in a second."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

#: Seconds that an answer takes.
DURATION = 0.02
OK: dict[str, Any] = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
REFUSED = {"error": {"code": "rpm_rate_limit_exceeded", "message": "too many requests"}}


class BusyServer(ThreadingHTTPServer):
    """Serves until its ``with`` block ends; `refused` counts the requests that it did not take.

    Parameters
    ----------
    at_once, a_second
        How many requests it takes.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, at_once: int, a_second: int) -> None:
        super().__init__(("127.0.0.1", 0), BusyHandler)
        self._at_once, self._a_second = at_once, a_second
        self._lock = threading.Lock()
        self._under_way = 0
        self._taken: deque[float] = deque()
        self.refused = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def take(self) -> bool:
        """Take a request, unless there are too many."""
        with self._lock:
            now = time.monotonic()
            while self._taken and self._taken[0] < now - 1:
                self._taken.popleft()
            if self._under_way >= self._at_once or len(self._taken) >= self._a_second:
                self.refused += 1
                return False
            self._under_way += 1
            self._taken.append(now)
            return True

    def done(self) -> None:
        """End a request that was taken."""
        with self._lock:
            self._under_way -= 1

    def __enter__(self) -> Self:
        serve = {"poll_interval": 0.05}
        threading.Thread(target=self.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class BusyHandler(BaseHTTPRequestHandler):
    """Answers one request after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: BusyServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_taken = self.server.take()
        if is_taken:
            time.sleep(DURATION)
            self.server.done()
        body = json.dumps(OK if is_taken else REFUSED).encode()
        self.send_response(200 if is_taken else 429)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

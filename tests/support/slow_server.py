"""A Qianfan that streams given answers one character at a time, and much of it byte by byte.

It speaks version 1's chat, in plain threads: the question ``payload 7`` is answered with the
seventh text, ``payload 7 at once`` without pauses. The even answers come in chunks and pause
twice, the odd ones end with the connection and pause once.
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/"
TOKEN = "made-up"
#: Bytes at the start of an answer that are sent one by one; later only events that hold a
#: character of several bytes are.
BY_BYTES = 600
#: Seconds of a pause, a little more than a frame of the live view lasts.
PAUSE = 0.11


class SlowServer(ThreadingHTTPServer):
    """Serves until its ``with`` block ends."""

    daemon_threads = True

    def __init__(self, answers: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), SlowHandler)
        self.answers = answers
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class SlowHandler(BaseHTTPRequestHandler):
    """Answers one question after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the kernel would join the bytes again
    server: SlowServer

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = parse_qs(address.query).get("access_token")
        if not address.path.startswith(PREFIX) or token != [TOKEN] or not asked["stream"]:
            self.send_error(400)
            return
        _, number, *pace = asked["messages"][-1]["content"].split(" ", 2)
        text, is_even = self.server.answers[int(number)], int(number) % 2 == 0
        pauses = 0 if pace else 1 + is_even
        places = {len(text) * part // (pauses + 1) for part in range(1, pauses + 1)}
        self._stream(_pieces(text, places), chunked=is_even)

    def _stream(self, pieces: Iterator[bytes], *, chunked: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")
        self.send_header(*framing)
        self.end_headers()
        self.wfile.flush()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        self.wfile.write(b"0\r\n\r\n" if chunked else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _pieces(text: str, pauses: set[int]) -> Iterator[bytes]:
    """Give what is sent at once, and pause before the characters at these places."""
    sent = 0
    for place, event in enumerate(map(_event, *zip(*_characters(text), strict=True))):
        if place in pauses:
            time.sleep(PAUSE)
        if sent < BY_BYTES or not event.isascii():
            yield from (event[at : at + 1] for at in range(len(event)))
        else:
            yield event
        sent += len(event)


def _characters(text: str) -> list[tuple[int, str, bool]]:
    """Cut a text into characters; the empty last one is the end of the answer."""
    return [(place, character, False) for place, character in enumerate(text)] + [
        (len(text), "", True)
    ]


def _event(place: int, character: str, is_end: bool) -> bytes:
    shape = {"id": "as-hostile", "object": "chat.completion", "created": 1}
    shape |= {"sentence_id": place, "is_end": is_end, "is_truncated": False}
    shape |= {"result": character, "need_clear_history": False}
    tokens = {"prompt_tokens": 1, "completion_tokens": place, "total_tokens": place + 1}
    shape |= {"usage": tokens}
    # Half of a pair of surrogates has no bytes of its own, only an escape.
    lone = "\ud800" <= character <= "\udfff"
    return b"data: " + json.dumps(shape, ensure_ascii=lone).encode() + b"\n\n"

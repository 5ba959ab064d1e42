"""What must hold of the bytes of any response, whoever sends it.

`check_events` and `check_answer` raise for a fault: any exception that is none of the contract, or
a reply that the rest of the package could not show or save. The tests and the fuzzer of
`tests/fuzz` share them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import requests
from urllib3 import HTTPResponse

from qianfan_magic import Chunk, QianfanError, Reply
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.http.call import Call
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.exchange import Request, exchange_to_dict
from qianfan_magic.api.tools import asked_calls
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import reply_builder
from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.conversation.turn_json import turn_from_json, turn_to_json
from qianfan_magic.masking import MASK

_TOKEN = "24.0123456789abcdef0123456789abcdef.2592000"
#: Longest part of a stream that is also read byte by byte, which takes long.
_LONGEST_IN_BYTES = 200
_URL = "http://127.0.0.1:9/x"


def pieces(whole: Any, places: Sequence[int]) -> list[Any]:
    """Cut a text, or bytes, at places that may be beyond its end."""
    cuts = [0, *sorted({place % (len(whole) + 1) for place in places}), len(whole)]
    return [whole[start:end] for start, end in pairwise(cuts)]


def check_events(stream: bytes, places: Sequence[int]) -> None:
    """Check that the events of a stream are texts, and do not depend on how it is split."""
    whole = _events([stream])
    assert all(isinstance(part, str) for event in whole for part in event)
    assert _events(pieces(stream, places)) == whole
    begin = stream[:_LONGEST_IN_BYTES]
    assert _events([begin[i : i + 1] for i in range(len(begin))]) == _events([begin])


def _events(parts: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return the events of a stream, each with its name."""
    decoder = EventDecoder()
    found = [(decoder.name, data) for part in parts for data in decoder.feed(part)]
    return found + [(decoder.name, data) for data in decoder.close()]


@dataclass(frozen=True, slots=True)
class Response:
    """The response of a server, whose body arrives in pieces."""

    body: bytes
    places: Sequence[int] = ()
    status: int = 200
    content_type: str = "text/event-stream"
    is_stream: bool = True

    def open(self) -> requests.Response:
        raw = HTTPResponse(
            _Pieces(pieces(self.body, self.places)),
            headers={"Content-Type": self.content_type},
            status=self.status,
            preload_content=False,
        )
        prepared = requests.Request("POST", _URL).prepare()
        return requests.adapters.HTTPAdapter().build_response(prepared, raw)


class _Pieces(io.BytesIO):
    """A connection on which one read returns one piece."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        super().__init__(b"".join(parts))
        self._lengths = [len(part) for part in parts if part]

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self._lengths.pop(0) if self._lengths else size)


class _Canned(Connection):
    """A connection that sends nothing."""

    def __init__(self, settings: Settings, response: Response) -> None:
        super().__init__(settings)
        self._response = response

    def send(self, *_: Any) -> requests.Response:
        return self._response.open()

    def renew(self, *_: Any) -> bool:
        return False


def check_error(error: QianfanError) -> None:
    """Check that an error can be shown."""
    assert str(error).replace("\n", " ").isprintable()
    assert isinstance(getattr(error, "partial", ""), str)


def check_answer(version: ApiVersion, response: Response) -> None:
    """Check that a response is an answer that can be shown and saved, or the contract's error."""
    name = "access_token" if version == ApiVersion.V1 else "bearer_token"
    settings = Settings(credentials=Credentials(**{name: _TOKEN}), retry_count=1)
    request = Request(
        version=version,
        kind="chat",
        service="any",
        base_url=_URL,
        url=_URL,
        body={"stream": response.is_stream},
    )
    call, builder = Call(_Canned(settings, response), request, settings), reply_builder(version)
    try:
        for chunk in call.chunks():
            _check_chunk(chunk)
            builder.add(chunk)
    except QianfanError as error:
        check_error(error)
    _check_reply(builder.build())
    json.dumps(exchange_to_dict(call.exchange)).encode()


def _check_chunk(chunk: Chunk) -> None:
    assert type(chunk.is_end) is bool
    assert all(type(count) is int and count >= 0 for count in chunk.usage)
    assert (chunk.text + chunk.reasoning).encode() is not None  # without lone surrogates


def _check_reply(reply: Reply) -> None:
    assert isinstance(reply.id + reply.finish_reason, str)
    assert type(reply.is_truncated) is bool
    assert type(reply.need_clear_history) is bool
    assert reply.is_safe in (True, False, None)
    assert reply.ban_round is None or type(reply.ban_round) is int
    for call in asked_calls(reply):
        assert (call.name + call.arguments + call.id).encode() is not None
    if reply.text.strip() not in ("", MASK):
        _check_turn(reply)


def _check_turn(reply: Reply) -> None:
    """Check that the turn of an answer can be saved and read again."""
    usage = reply.usage
    turn = Turn(
        "What?",
        reply.text,
        truncated=reply.is_truncated,
        tokens=(usage.prompt_tokens, usage.completion_tokens),
        reasoning=reply.reasoning,
        sources=reply.search_results,
    )
    saved = json.dumps(turn_to_json(turn), ensure_ascii=False, allow_nan=False).encode()
    read = turn_from_json(json.loads(saved))
    assert (read, read.reasoning, read.sources) == (turn, turn.reasoning, turn.sources)

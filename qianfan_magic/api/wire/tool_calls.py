"""The calls of functions that a model asks for, joined from the pieces of a stream; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from qianfan_magic.api.json_depth import is_too_deep

__all__ = ["ToolCalls"]

_TOO_DEEP = "(nested too deeply)"


class ToolCalls:
    """Joins the pieces of ``tool_calls``, which a stream sends by the ``index`` of each call.

    Source: OpenAI's API reference, "The chat completion chunk object". Some servers leave out
    ``index`` or ``id``, number every call 0, or send the arguments as an object.

    Examples
    --------
    >>> calls = ToolCalls()
    >>> calls.add([{"index": 0, "id": "a", "function": {"name": "add", "arguments": '{"x":'}}])
    >>> calls.add([{"index": 0, "function": {"arguments": " 1}"}}])
    >>> calls.build()[0]["function"]
    {'name': 'add', 'arguments': '{"x": 1}'}
    """

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_index: dict[int, dict[str, Any]] = {}
        self._by_id: dict[str, dict[str, Any]] = {}

    def add(self, pieces: Iterable[Any]) -> None:
        """Append the pieces of one chunk; what is not a piece of a call is ignored."""
        for piece in pieces:
            if isinstance(piece, dict):
                function = piece.get("function")
                self._append(piece, function if isinstance(function, dict) else {})

    def replace(self, calls: Iterable[Any]) -> None:
        """Take whole calls in the place of the pieces so far."""
        self._calls, self._by_index, self._by_id = [], {}, {}
        self.add(calls)

    def build(self) -> tuple[dict[str, Any], ...]:
        """Return the calls so far, in the form of a whole answer."""
        return tuple(call | {"function": _whole(call["function"])} for call in self._calls)

    def _append(self, piece: dict[str, Any], function: dict[str, Any]) -> None:
        call = self._find(piece, function)
        identity = _text(piece.get("id"))
        if identity and not call["id"]:
            call["id"] = identity
            self._by_id.setdefault(identity, call)
        call["type"] = _text(piece.get("type")) or call["type"]
        joined, name = call["function"], _text(function.get("name"))
        if name != joined["name"]:  # some servers repeat the name in each piece
            joined["name"] += name
        joined["arguments"].append(_arguments(function.get("arguments")))

    def _find(self, piece: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
        """Return the call that a piece belongs to, which may be a new one."""
        identity, index = _text(piece.get("id")), piece.get("index")
        if isinstance(index, int):
            call = self._by_index.get(index)
        elif identity:
            call = self._by_id.get(identity)
        else:
            call = None if function.get("name") or not self._calls else self._calls[-1]
        is_other = call and identity and call["id"] and call["id"] != identity
        if call is None or is_other:
            call = {"id": "", "type": "function", "function": {"name": "", "arguments": []}}
            self._calls.append(call)
        if isinstance(index, int):
            self._by_index[index] = call
        return call


def _whole(function: dict[str, Any]) -> dict[str, Any]:
    return function | {"arguments": "".join(function["arguments"])}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    if isinstance(value, dict | list):
        # What is too deep becomes no JSON, so that no function is called with it.
        return _TOO_DEEP if is_too_deep(value) else json.dumps(value, ensure_ascii=False)
    return _text(value)

"""Calls of functions by the scripted engine: of those that a question names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import is_chinese
from qianfan_magic.embedded.request import ServerRequest, ToolResult

__all__ = ["answer", "calls"]

#: What an error of a function suggests.
_SUGGESTED = re.compile(r"did you mean '?([^'?]+)'?\?", re.IGNORECASE)
FULLWIDTH_SEMICOLON = "\uff1b"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
#: What may be computed, such as ``12 * (3 + 4)``.
_EXPRESSION = re.compile(r"[\d(][\d\s.+\-*/()]*[\d)]")
#: Texts in quotes, and names: words with a capital letter that do not begin a sentence.
_TEXT = re.compile(r'"([^"]+)"|“([^”]+)”|(?<=[a-z,] )([A-Z][\w\']+)')


def calls(request: ServerRequest) -> list[tuple[str, str]]:
    """Return the calls that an answer asks for: name and arguments, JSON as text.

    A function is called if the question has a word of its name, and so is one that the request
    names. Arguments are taken from the question: numbers, texts in quotes, names, and what looks
    like an expression. A call whose error asks "did you mean …?" is asked for again, with that.
    """
    choice = request.parameters.get("tool_choice", "auto")
    if choice == "none" or not request.tools:
        return []
    if request.tool_results:
        return [mended for result in request.tool_results if (mended := _mended(result))]
    named = choice["function"]["name"] if isinstance(choice, dict) else ""
    words = set(re.findall(r"[a-z]+", request.prompt.lower()))
    wanted = [
        tool
        for tool in request.tools
        if (tool["name"] == named if named else words & set(tool["name"].lower().split("_")))
    ]
    if not wanted and choice == "required":
        wanted = [request.tools[0]]
    return [(tool["name"], _arguments(tool, request.prompt)) for tool in wanted]


def answer(request: ServerRequest) -> str:
    """Return the answer to the results of calls, in the language of the conversation."""
    results = [result.text for result in request.tool_results]
    if is_chinese(" ".join(request.messages)):
        return f"结果是 {FULLWIDTH_SEMICOLON.join(results)}。"
    return f"The result is {', and '.join(results)}."


def _mended(result: ToolResult) -> tuple[str, str] | None:
    """Return a call with what its error asks for; None if it asks for nothing new."""
    suggested = _SUGGESTED.search(result.text) if result.text.startswith("Error") else None
    try:
        arguments = json.loads(result.arguments)
    except ValueError:
        return None
    if suggested is None or not isinstance(arguments, dict) or suggested[1] in arguments.values():
        return None
    first = next((name for name, value in arguments.items() if isinstance(value, str)), None)
    if first is None:
        return None
    return result.name, json.dumps(arguments | {first: suggested[1]}, ensure_ascii=False)


def _arguments(tool: Mapping[str, Any], question: str) -> str:
    parameters = tool.get("parameters") or {}
    required = parameters.get("required") or []
    numbers, texts = iter(_NUMBER.findall(question)), _texts(question)
    found = {
        name: value
        for name, schema in (parameters.get("properties") or {}).items()
        if (value := _value(name, schema, question, numbers, texts)) is not None or name in required
    }
    return json.dumps(found, ensure_ascii=False)


def _texts(question: str) -> Iterator[str]:
    return ("".join(groups) for groups in _TEXT.findall(question))


def _value(
    name: str,
    schema: Mapping[str, Any],
    question: str,
    numbers: Iterator[str],
    texts: Iterator[str],
) -> Any:
    """Return the value of one argument; None if the question has none."""
    if isinstance(schema.get("enum"), list):
        return next((value for value in schema["enum"] if str(value) in question), None)
    type_ = schema.get("type")
    if type_ in {"number", "integer"}:
        number = next(numbers, None)
        return None if number is None else json.loads(number)
    if "expression" in name:
        expressions = _EXPRESSION.findall(question)
        return max(expressions, key=len).strip() if expressions else None
    return next(texts, None) if type_ == "string" else None

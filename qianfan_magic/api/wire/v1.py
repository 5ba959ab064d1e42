"""Wire format of version 1 of the API; pure.

Sources: the API documents of Dolly-12B (chat) and StarCoder (completion).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.parameters import check_parameters
from qianfan_magic.api.catalogue.resolver import Service, check_length
from qianfan_magic.api.json_depth import json_as_text
from qianfan_magic.api.types import NO_USAGE, Chunk, Kind, Message, Usage, token_count
from qianfan_magic.api.wire.messages import (
    begins_answer,
    check_content,
    check_list,
    check_prompt,
    no_prefix,
    role_of,
)
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr

__all__ = [
    "PREFIX",
    "TOKEN_PATH",
    "body",
    "chat_body",
    "check_messages",
    "complete_body",
    "is_finished",
    "path",
    "read_chunk",
    "read_error",
    "read_metadata",
    "read_tool_calls",
    "read_usage",
]

#: Path of every service, before its folder and endpoint.
PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
#: Path of the OAuth endpoint that issues access tokens for an API Key and its Secret Key.
TOKEN_PATH = "/oauth/2.0/token"  # noqa: S105  an address
#: The path's folder for each kind of service.
FOLDERS: dict[Kind, str] = {"chat": "chat", "completion": "completions"}


def path(kind: Kind, endpoint: str) -> str:
    """Return the path of a service below the base URL, percent-encoded."""
    return f"{PREFIX}/{FOLDERS[kind]}/{quote(endpoint, safe='')}"


def body(
    kind: Kind, service: Service, content: Any, parameters: Mapping[str, Any], *, stream: bool
) -> dict[str, Any]:
    """Build the body of a request.

    Parameters
    ----------
    kind
        Kind of the service.
    service
        The endpoint and the model card behind it.
    content
        Messages of a chat, or the prompt of a completion.
    parameters
        Values by the names of the table `PARAMETERS`.
    stream
        Whether the response is to be streamed.

    Raises
    ------
    ParameterError
        As `check_messages` and `check_parameters` do, and if the text is longer than the card
        allows.
    """
    build = chat_body if kind == "chat" else complete_body
    return build(content, parameters, service.card) | ({"stream": True} if stream else {})


def chat_body(
    messages: Sequence[Message], parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a chat request without streaming; raise as `body` does."""
    functions, parameters = _functions(parameters)
    checked = check_messages(messages)
    contents = (message["content"] or "" for message in checked)
    check_length(sum(map(len, contents)), card)
    return {"messages": checked, **check_parameters(parameters, "chat"), **functions}


def complete_body(
    prompt: str, parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a completion request without streaming; raise as `body` does."""
    return {"prompt": check_prompt(prompt, card), **check_parameters(parameters, "completion")}


def _functions(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields for functions that the model may call, and the other parameters.

    Version 1 has ``functions`` instead of ``tools``, and cannot demand any call.
    """
    others = {k: v for k, v in parameters.items() if k not in {"tools", "tool_choice"}}
    tools, choice = parameters.get("tools"), parameters.get("tool_choice")
    if not tools or choice == "none":
        return {}, others
    functions = [tool["function"] for tool in tools]
    if choice == "required":
        if len(functions) > 1:
            raise ParameterError(
                tr("Version 1 of the API cannot demand a call of any of several functions"),
                hint=tr("Name the function: --tool-choice NAME."),
            )
        choice = {"type": "function", "function": {"name": functions[0]["name"]}}
    named = {"tool_choice": choice} if isinstance(choice, dict) else {}
    return {"functions": functions, **named}, others


def _with_functions(messages: Sequence[Any]) -> list[Any]:
    """Return messages in which each call and its result are a pair, as version 1 has them.

    Source: ``tests/function_calling.py`` of Baidu's ERNIE-SDK.
    """
    converted: list[Any] = []
    asked: dict[str, dict[str, Any]] = {}
    for message in messages:
        if role_of(message) == "assistant" and message.get("tool_calls"):
            asked = {call["id"]: call["function"] for call in message["tool_calls"]}
            text = message.get("content") or None
        elif role_of(message) == "tool" and message.get("tool_call_id") in asked:
            call = asked.pop(message["tool_call_id"])
            converted.append({"role": "assistant", "content": text, "function_call": call})
            result = {"role": "function", "name": call["name"], "content": message["content"]}
            converted.append(result)
            text = None
        else:
            converted.append(message)
    return converted


def check_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Check messages against the rules of Dolly-12B's document.

    Returns
    -------
    list of dict
        Copies that have only ``role`` and ``content``; and for calls of functions and their
        results ``function_call`` and ``name``.

    Raises
    ------
    ParameterError
        Unless their number is odd, the roles are user, assistant, user, …, and each message has
        content.

    Examples
    --------
    >>> check_messages([{"role": "user", "content": "hi", "name": "Xiao Ming"}])
    [{'role': 'user', 'content': 'hi'}]
    """
    if begins_answer(check_list(messages)[-1]):
        raise no_prefix(tr("Version 1 of the API"))
    converted = _with_functions(messages)
    for number, message in enumerate(converted, 1):
        expected, role = "user" if number % 2 else "assistant", role_of(message)
        if role != expected and (role, expected) != ("function", "user"):
            raise ParameterError(
                tr(
                    "Message {number} has the role {role!r}, but must have {expected!r}",
                    number=number,
                    role=role,
                    expected=expected,
                ),
                hint=tr("Roles alternate user, assistant, user, …"),
            )
        if isinstance(message.get("content"), list):
            raise ParameterError(
                tr(
                    "The content of message {number} is a list, and version 1 of the API takes "
                    "text alone",
                    number=number,
                ),
                hint=tr(
                    "For pictures use a model of version 2 that sees: %qianfan models lists them."
                ),
            )
        if "function_call" not in message:
            check_content(message.get("content"), number)
    if len(converted) % 2 == 0:
        raise ParameterError(
            tr("There are {count} messages, but their number must be odd", count=len(converted)),
            hint=tr("The last message is the user's question."),
        )
    return [_known_fields(message) for message in converted]


def _known_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    known = ["role", "content"]
    known += ["name"] if message["role"] == "function" else []
    known += ["function_call"] if "function_call" in message else []
    return {name: message[name] for name in known}


def read_usage(payload: Mapping[str, Any], before: Usage = NO_USAGE) -> Usage:
    """Read the token counts of a stream so far.

    The documents disagree: Dolly-12B sends no ``completion_tokens`` until the last chunk,
    StableLM-Alpha-7B sends those of each chunk alone. The first ``prompt_tokens`` and the last
    ``total_tokens`` are right in both, so the tokens of the answer are their difference.

    Parameters
    ----------
    payload
        The JSON of a chunk.
    before
        The counts up to the previous chunk.
    """
    counts = payload.get("usage")
    if not isinstance(counts, dict):
        return before
    prompt = before.prompt_tokens or token_count(counts, "prompt_tokens")
    total = token_count(counts, "total_tokens") or max(
        before.total_tokens, prompt + token_count(counts, "completion_tokens")
    )
    return Usage(prompt, total - prompt if total > prompt else 0, total)


def read_chunk(
    payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
) -> Chunk:
    """Read one event of a stream, or a whole response.

    Parameters
    ----------
    payload
        The service's JSON.
    before
        The previous chunk of the stream.
    whole
        Whether the payload is a whole response, which is its own last chunk.

    Raises
    ------
    ValueError
        If the payload has no ``result``, and so is not an answer of version 1.
    """
    text = payload.get("result")
    if not isinstance(text, str):
        raise ValueError(tr("it has no text under 'result'"))  # noqa: TRY004  the peer's data
    is_end = whole or bool(payload.get("is_end"))
    usage = read_usage(payload, before.usage if before else NO_USAGE)
    return Chunk(text, is_end, usage, payload)


def is_finished(payload: Mapping[str, Any], before: bool) -> bool:
    """Return False: ``is_end`` ends a stream of version 1, and nothing follows it."""
    del payload, before
    return False


#: Values of ``is_safe`` that mean no: the documents call it a bool and show a number.
_UNSAFE = (0, False, "0", "false")


def read_metadata(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Read the flags in a chunk's JSON, by the names of `Reply`'s fields."""
    metadata: dict[str, Any] = {
        flag: True for flag in ("is_truncated", "need_clear_history") if raw.get(flag)
    }
    if raw.get("need_clear_history"):
        metadata["ban_round"] = raw.get("ban_round")
    if raw.get("is_safe") is not None:
        metadata["is_safe"] = raw["is_safe"] not in _UNSAFE
    if isinstance(raw.get("finish_reason"), str):
        metadata["finish_reason"] = raw["finish_reason"]
    return metadata


def read_tool_calls(raw: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """Read the call of a function in a chunk's JSON; version 1 sends it whole, without an id."""
    call = raw.get("function_call")
    return ([{"function": call}] if isinstance(call, Mapping) else []), True


def read_error(payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
    """Read the code and message of an error; None if the payload is not an error."""
    if not payload.get("error_code"):
        return None
    try:
        code = int(payload["error_code"])
    except (ValueError, TypeError, OverflowError):
        code = 0
    return code, json_as_text(payload.get("error_msg", ""))

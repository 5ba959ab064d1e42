"""Wire format of version 2 of the API, which follows OpenAI's chat completions; pure.

Source: Qianfan's document of version 2 ("对话Chat V2").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.parameter import plain_json
from qianfan_magic.api.catalogue.parameters import check_parameters, check_text
from qianfan_magic.api.catalogue.resolver import MODEL_NAME, Service, check_length
from qianfan_magic.api.json_depth import json_as_text
from qianfan_magic.api.types import (
    DONE,
    NO_USAGE,
    ApiVersion,
    Chunk,
    Kind,
    Message,
    Usage,
    token_count,
)
from qianfan_magic.api.wire.messages import (
    begins_answer,
    check_content,
    check_list,
    check_prompt,
    no_prefix,
    role_of,
)
from qianfan_magic.api.wire.search_results import read_search_results
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr

__all__ = [
    "BEARER_SECONDS",
    "MODELS_PATH",
    "PATHS",
    "ROLES",
    "TOKEN_PATH",
    "body",
    "check_messages",
    "is_finished",
    "path",
    "read_chunk",
    "read_error",
    "read_metadata",
    "read_models",
    "read_tool_calls",
    "read_usage",
]

#: Path of each kind of service below the root.
PATHS: dict[Kind, str] = {"chat": "/chat/completions", "completion": "/completions"}
#: Path of the list of models below the root.
MODELS_PATH = "/models"
#: Path of IAM's endpoint that issues bearer tokens for access keys.
TOKEN_PATH = "/v1/BCE-BEARER/token"  # noqa: S105  an address
#: Lifetime of a bearer token to request there, in seconds; IAM allows 300 to 2,592,000.
BEARER_SECONDS = 86_400
#: Roles of messages, as the document lists them.
ROLES = ("system", "user", "assistant", "tool")
#: Largest number of characters of a model's name; the service's list may hold anything, and
#: longer names in it are ignored.
MAX_NAME_LENGTH = 200
#: Fields that a message may have besides its role and content; others are dropped. A model's
#: reasoning (``reasoning_content``) is not among them: it is not sent back.
_OPTIONAL_FIELDS = ("name", "tool_calls", "tool_call_id")


def path(kind: Kind, model: str) -> str:
    """Return the path of a kind of service below the root; the body names the model."""
    del model  # version 1 needs it
    return PATHS[kind]


def body(
    kind: Kind, service: Service, content: Any, parameters: Mapping[str, Any], *, stream: bool
) -> dict[str, Any]:
    """Build the body of a request.

    Parameters
    ----------
    kind
        Kind of the service.
    service
        The model and its card.
    content
        Messages of a chat, or the prompt of a completion.
    parameters
        Values by the names of the table `PARAMETERS`.
    stream
        Whether the response is to be streamed.

    Raises
    ------
    ParameterError
        As `check_messages` and `check_parameters` do; if the text is longer than the card
        allows; if there is a picture and the model accepts none.
    """
    given = parameters.get("web_search")
    if isinstance(given, Mapping):  # the field itself, as the document describes it
        parameters = {**parameters, "web_search": None}
    checked = check_parameters(parameters, kind, ApiVersion.V2)
    _check_thinking(checked, service.card)
    checked |= _web_search(checked, given, service.card)
    if kind == "chat":
        texts: dict[str, Any] = {"messages": _with_system(content, checked.pop("system", None))}
        _check_card(texts["messages"], service.card)
    else:
        texts = {"prompt": check_prompt(content, service.card)}
    if "response_format" in checked:
        checked["response_format"] = {"type": checked["response_format"]}
    # ERNIE and Qwen know "enable_thinking", DeepSeek and GLM "thinking".
    if "enable_thinking" in checked and service.card and service.card.thinks == "thinking":
        state = "enabled" if checked.pop("enable_thinking") else "disabled"
        checked["thinking"] = {"type": state}
    # A stream has token counts only if they are requested.
    streaming = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return {"model": service.name, **texts, **checked, **streaming}


#: Parameters that are fields of ``web_search``.
_SEARCH_FIELDS = ("search_mode", "search_number")


def _web_search(checked: dict[str, Any], given: Any, card: Card | None) -> dict[str, Any]:
    """Take the parameters of a web search out of the checked ones; return the field for them."""
    fields = {name: checked.pop(name) for name in _SEARCH_FIELDS if name in checked}
    enable = checked.pop("web_search", None)
    if isinstance(given, Mapping):
        plain = plain_json(dict(given))
        if plain is None:
            raise ParameterError(tr("web_search holds what JSON cannot carry"))
        return {"web_search": {**plain, **fields}}
    if enable is None and not fields:
        return {}
    if enable is False:
        return {"web_search": {"enable": False}}
    if card and not card.search:
        raise ParameterError(
            tr("{name} cannot search the web", name=card.name),
            hint=tr("Leave --web-search out, or ask one that can: %qianfan models lists them."),
        )
    return {"web_search": {"enable": True, "enable_citation": True, "enable_trace": True, **fields}}


def _check_thinking(checked: Mapping[str, Any], card: Card | None) -> None:
    if card and not card.thinks and checked.get("enable_thinking"):
        raise ParameterError(
            tr("{name} does not think before it answers", name=card.name),
            hint=tr(
                "Leave --enable-thinking out, or ask one that does: %qianfan models lists them."
            ),
        )
    if card and not card.effort and "reasoning_effort" in checked:
        raise ParameterError(
            tr("{name} does not take reasoning_effort, as far as its card says", name=card.name),
            hint=tr("Leave --reasoning-effort out, or set effort = true in a card of your own."),
        )


def _with_system(messages: Sequence[Message], system: str | None) -> list[dict[str, Any]]:
    """Check the messages and insert the system text as the first, as version 2 expects it."""
    checked = check_messages(messages)
    if system is None:
        return checked
    if checked[0]["role"] == "system":
        raise ParameterError(
            tr("There are two system texts: the parameter system and the first message"),
            hint=tr("Leave one of them out."),
        )
    return [{"role": "system", "content": system}, *checked]


def check_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Check messages against the rules of version 2's document.

    Returns
    -------
    list of dict
        Copies that have only the fields that version 2 knows.

    Raises
    ------
    ParameterError
        Unless there is at least one message, each has a known role and content, only the first
        is of the system, and the last is of the user or a tool. After it there may be the
        beginning of the answer, a text of the assistant with ``prefix`` true.

    Examples
    --------
    >>> check_messages([{"role": "user", "content": "hi", "reasoning_content": "…"}])
    [{'role': 'user', 'content': 'hi'}]
    >>> check_messages(
    ...     [
    ...         {"role": "user", "content": "hi"},
    ...         {"role": "assistant", "content": "Good", "prefix": True},
    ...     ]
    ... )[-1]
    {'role': 'assistant', 'content': 'Good', 'prefix': True}
    """
    checked = [_checked_message(m, number) for number, m in enumerate(check_list(messages), 1)]
    beginning = checked.pop() if begins_answer(messages[-1]) else None
    if not checked or checked[-1]["role"] not in {"user", "tool"}:
        raise _no_question(checked)
    if beginning is None:
        return checked
    check_content(beginning["content"], len(messages))
    return [*checked, beginning | {"prefix": True}]


def _no_question(messages: list[dict[str, Any]]) -> ParameterError:
    problem = tr("The last message is the answer's beginning")
    if messages:
        problem = tr("The last message has the role {role!r}", role=messages[-1]["role"])
    return ParameterError(
        problem,
        hint=tr(
            "The last message is the user's question, or the result of a tool; after it there may "
            'be the beginning of the answer, {"role": "assistant", "content": …, "prefix": True}.'
        ),
    )


def _checked_message(message: Any, number: int) -> dict[str, Any]:
    role = role_of(message)
    if role not in ROLES or (role == "system" and number > 1):
        raise ParameterError(
            tr("Message {number} has the role {role!r}", number=number, role=role),
            hint=tr("Roles are user, assistant and tool; system only for the first message."),
        )
    content = message.get("content")
    if isinstance(content, list):
        _check_parts(content, number)
    elif not message.get("tool_calls"):  # a message that only calls tools has no content
        check_content(content, number)
    optional = {name: message[name] for name in _OPTIONAL_FIELDS if name in message}
    copy = {"role": role, "content": content, **optional}
    if not optional and isinstance(content, str):  # needs no copy by way of JSON
        return copy
    plain = plain_json(copy)
    if plain is None:
        raise ParameterError(
            tr("Message {number} holds what JSON cannot carry", number=number),
            hint=tr("Such as bytes, a set, NaN, or half of a character."),
        )
    return dict(plain)


def _check_parts(parts: list[Any], number: int) -> None:
    """Check content that is a list of texts and pictures."""
    known = {"text", "image_url", "video_url"}
    unknown = [part for part in parts if not isinstance(part, Mapping) or not known & part.keys()]
    if unknown or not parts:
        raise ParameterError(
            tr(
                "The content of message {number} is a list, but not of text and image_url parts",
                number=number,
            ),
            hint=tr('Such as [{"type": "text", "text": "What is this?"}].'),
        )
    for part in parts:
        if "text" in part:
            check_text(part["text"], tr("A text of message {number}", number=number))


def _check_card(messages: list[dict[str, Any]], card: Card | None) -> None:
    """Check prefix, pictures and length against the abilities and limits of the model's card."""
    if card and not card.prefix and "prefix" in messages[-1]:
        raise no_prefix(card.name)
    parts = [part for m in messages if isinstance(m["content"], list) for part in m["content"]]
    if card and not card.sees and any("image_url" in part for part in parts):
        question = messages[-2] if "prefix" in messages[-1] else messages[-1]
        raise _no_pictures(card, is_earlier=isinstance(question["content"], str))
    texts = [m["content"] for m in messages if isinstance(m["content"], str)]
    texts += [part["text"] for part in parts if "text" in part]
    check_length(sum(map(len, texts)), card)


def _no_pictures(card: Card, *, is_earlier: bool) -> ParameterError:
    hint = tr("Use a model that accepts pictures: %qianfan models lists them")
    if is_earlier:
        return ParameterError(
            tr("{name} accepts no pictures, and an earlier message has one", name=card.name),
            hint=tr("{hint}; or start another conversation, -n NAME.", hint=hint),
        )
    return ParameterError(tr("{name} accepts no pictures", name=card.name), hint=f"{hint}.")


def read_chunk(
    payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
) -> Chunk:
    """Read one event of a stream, or a whole response.

    Parameters
    ----------
    payload
        The service's JSON, or `DONE`.
    before
        The previous chunk of the stream.
    whole
        Whether the payload is a whole response, which is its own last chunk.

    Raises
    ------
    ValueError
        If the payload has neither ``choices`` nor, in a stream, ``usage``, and so is not an answer
        of version 2.
    """
    usage = before.usage if before else NO_USAGE
    if payload is DONE:
        return Chunk("", True, usage, before.raw if before else DONE)  # noqa: FBT003  is_end
    choices = payload.get("choices")
    if payload.get("usage"):
        usage = read_usage(payload)
    if not isinstance(choices, list):
        # Some servers send the token counts of a stream without choices.
        if whole or choices is not None or not isinstance(payload.get("usage"), dict):
            raise ValueError(tr("it has no list under 'choices'"))
        choices = []
    # The last chunk, which has the usage, has an empty list of choices.
    text, reasoning = _read_choice(choices[0], before) if choices else ("", "")
    return Chunk(text, whole, usage, payload, reasoning)


def _read_choice(choice: Any, before: Chunk | None = None) -> tuple[str, str]:
    """Read the text and the reasoning of a choice."""
    try:
        # In this order: a chat's stream, a whole chat, a completion.
        message = choice.get("delta") or _whole_message(choice, before) or choice
        text = message.get("content") or message.get("text") or ""
        reasoning = message.get("reasoning_content") or ""
        if "reasoning" in message and not reasoning:  # vLLM, Ollama
            reasoning = message["reasoning"] if isinstance(message["reasoning"], str) else ""
        return text + "", reasoning + ""  # raises unless both are text
    except (AttributeError, TypeError):
        raise ValueError(tr("its choice has no text")) from None


def _whole_message(choice: Mapping[str, Any], before: Chunk | None) -> Any:
    """Return the message of a choice, unless it repeats what came in pieces before."""
    message = choice.get("message")
    if message and before is not None and "message" not in _first_choice(before.raw):
        return {}
    return message


def _first_choice(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, Mapping) else {}


#: Values of ``finish_reason`` of a chunk after which the answer goes on.
_UNFINISHED = frozenset({"", "null", "normal"})


def is_finished(payload: Mapping[str, Any], before: bool) -> bool:
    """Return whether the model has ended its answer, though the stream may go on.

    Parameters
    ----------
    payload
        The JSON of a chunk.
    before
        Whether the answer had ended before this chunk: one without text changes nothing.
    """
    choices = payload.get("choices")
    if not choices:
        return before
    reason = choices[0].get("finish_reason")
    if reason and isinstance(reason, str) and reason not in _UNFINISHED:
        return True
    try:
        return before and not any(_read_choice(choices[0]))
    except ValueError:  # a message that `read_chunk` passed over, since it comes after the pieces
        return before


def read_usage(payload: Mapping[str, Any]) -> Usage:
    """Read the token counts, which only one chunk of a stream has."""
    counts = payload.get("usage")
    if not isinstance(counts, dict):
        return NO_USAGE
    return Usage(
        prompt_tokens=token_count(counts, "prompt_tokens"),
        completion_tokens=token_count(counts, "completion_tokens"),
        total_tokens=token_count(counts, "total_tokens"),
        cached_tokens=_detail(counts, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(counts, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(counts: Mapping[str, Any], group: str, name: str) -> int:
    details = counts.get(group)
    return token_count(details, name) if isinstance(details, Mapping) else 0


#: Smallest ``flag`` with which the service asks to end the conversation. The document: 1 is a low
#: risk; 2, 3 and 4 ask to clear the history.
CLEAR_HISTORY_FLAG = 2


def read_metadata(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Read the flags in a chunk's JSON, by the names of `Reply`'s fields."""
    choice = (raw.get("choices") or [{}])[0]
    metadata: dict[str, Any] = {}
    if isinstance(choice.get("finish_reason"), str):
        metadata["finish_reason"] = choice["finish_reason"]
    if choice.get("finish_reason") == "length":
        metadata["is_truncated"] = True
    if "search_results" in raw or "search_info" in raw:
        found = read_search_results(raw)
        metadata |= {"search_results": found} if found else {}
    flag = choice.get("flag") or 0
    if flag or choice.get("finish_reason") == "content_filter":
        metadata["is_safe"] = False
    if (isinstance(flag, int) and flag >= CLEAR_HISTORY_FLAG) or raw.get("need_clear_history"):
        # ban_round may be inside the choice or beside the choices.
        source = choice if "ban_round" in choice else raw
        metadata |= {"need_clear_history": True, "ban_round": source.get("ban_round")}
    return metadata


def read_tool_calls(raw: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """Read the calls of functions in a chunk's JSON, and whether they are all of the answer's."""
    choice = _first_choice(raw)
    is_whole = not choice.get("delta")
    message = choice.get("message") if is_whole else choice.get("delta")
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    return (calls if isinstance(calls, list) else []), is_whole


#: Values of ``code`` beside a ``message`` that report no error.
_SUCCESS = (0, "0")


def read_error(payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
    """Read the code and message of an error; None if the payload is not an error."""
    error, has_answer = payload.get("error"), payload.get("choices")
    if has_answer and not error:  # nearly every payload
        return None
    if not error and not has_answer and "code" in payload and "message" in payload:
        error = payload  # an error of Baidu's API gateway, which has no "error" around it
    if not error or (error is payload and error["code"] in _SUCCESS):
        return None
    if has_answer and isinstance(error, dict) and not any(error.values()):
        return None
    if not isinstance(error, dict):
        return json_as_text(error), ""
    return _error_code(error), json_as_text(error.get("message") or "")


def _error_code(error: Mapping[str, Any]) -> str:
    """Return the word that names an error; some servers repeat the HTTP status as its code."""
    code, type_ = (json_as_text(error.get(name) or "") for name in ("code", "type"))
    return type_ if type_ and (not code or code.isdecimal()) else code


def read_models(payload: Mapping[str, Any]) -> list[str]:
    """Return the names in a list of models, sorted; what is not a model's name is ignored."""
    data = payload.get("data")
    rows = data if isinstance(data, list) else []
    ids = [row.get("id") for row in rows if isinstance(row, Mapping)]
    names = {name for name in ids if isinstance(name, str) and len(name) <= MAX_NAME_LENGTH}
    return sorted(name for name in names if MODEL_NAME.fullmatch(name))

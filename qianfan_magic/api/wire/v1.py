"""Version 1 of the wire, as the API documents of Dolly-12B and StarCoder describe it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.parameters import check_parameters, check_text
from qianfan_magic.api.catalogue.resolver import Service, check_length
from qianfan_magic.api.types import Chunk, Kind, Message, Usage, token_count
from qianfan_magic.errors import ParameterError

#: Path of every service of version 1, before its folder and endpoint.
PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
#: Path of the OAuth endpoint that issues access tokens for an API Key and its Secret Key.
TOKEN_PATH = "/oauth/2.0/token"  # noqa: S105  an address
FOLDERS: dict[Kind, str] = {"chat": "chat", "completion": "completions"}


def path(kind: Kind, endpoint: str) -> str:
    """Return the address of a service behind the base URL, percent-encoded."""
    return f"{PREFIX}/{FOLDERS[kind]}/{quote(endpoint, safe='')}"


def body(
    kind: Kind, service: Service, asked: Any, parameters: Mapping[str, Any], *, stream: bool
) -> dict[str, Any]:
    """Build the body of a request.

    Parameters
    ----------
    kind
        Of the service.
    service
        Who is asked.
    asked
        Messages, or a prompt.
    parameters
        By the names of the table.
    stream
        Whether the answer is to come in pieces.

    Raises
    ------
    ParameterError
        As `check_messages` and `check_parameters` do; also for more than the card's characters.
    """
    build = chat_body if kind == "chat" else complete_body
    return build(asked, parameters, service.card) | ({"stream": True} if stream else {})


def chat_body(
    messages: Sequence[Message], parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a chat request that is answered in one piece; raises as `body` does."""
    sent = check_messages(messages)
    check_length(sum(len(message["content"]) for message in sent), card)
    return {"messages": sent, **check_parameters(parameters, "chat")}


def complete_body(
    prompt: str, parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a completion request that is answered in one piece; raises likewise."""
    check_length(len(check_text(prompt, "The prompt")), card)
    return {"prompt": prompt, **check_parameters(parameters, "completion")}


def check_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Hold messages against the rules of Dolly-12B's document.

    Returns
    -------
    list of dict
        Copies with only ``role`` and ``content``.

    Raises
    ------
    ParameterError
        Unless there is an odd number of them, their roles are user, assistant, user, …, and
        each has content.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ParameterError(
            "messages must be a list of at least one message",
            hint='Such as [{"role": "user", "content": "hi"}].',
        )
    for place, message in enumerate(messages):
        expected = "assistant" if place % 2 else "user"
        role = message.get("role") if isinstance(message, Mapping) else None
        if role != expected:
            raise ParameterError(
                f"Message {place + 1} has the role {role!r}, but must have {expected!r}",
                hint="Roles alternate user, assistant, user, …",
            )
        if isinstance(message.get("content"), list):
            raise ParameterError(
                f"The content of message {place + 1} is a list, and version 1 of the API takes "
                "text alone",
                hint="For pictures ask a model of version 2 that sees: %qianfan models lists them.",
            )
        check_text(message.get("content"), f"The content of message {place + 1}")
    if len(messages) % 2 == 0:
        raise ParameterError(
            f"There are {len(messages)} messages, but their number must be odd",
            hint="The last message is the user's question.",
        )
    return [{"role": m["role"], "content": str(m["content"])} for m in messages]


def read_usage(payload: Mapping[str, Any], before: Usage | None = None) -> Usage:
    """Add up the tokens of a stream.

    The documents disagree: Dolly-12B sends no ``completion_tokens`` until the last chunk,
    StableLM-Alpha-7B those of each chunk alone. The first ``prompt_tokens`` and the last
    ``total_tokens`` are right in both; the answer's are their difference.
    """
    sent = payload.get("usage")
    if not isinstance(sent, dict):
        return before or Usage()
    before = before or Usage()
    prompt = before.prompt_tokens or token_count(sent, "prompt_tokens")
    total = token_count(sent, "total_tokens") or max(
        before.total_tokens, prompt + token_count(sent, "completion_tokens")
    )
    return Usage(prompt, max(total - prompt, 0), total)


def read_chunk(
    payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
) -> Chunk:
    """Read one event of a stream, or a whole answer, which is its own end.

    Parameters
    ----------
    payload
        The service's JSON.
    before
        The chunk before it.
    whole
        Whether it is no event but a whole answer.

    Raises
    ------
    ValueError
        If it has no ``result``, and so is not an answer of version 1.
    """
    text = payload.get("result")
    if not isinstance(text, str):
        raise ValueError("it has no text under 'result'")  # noqa: TRY004  the peer's data
    is_end = whole or bool(payload.get("is_end"))
    usage = read_usage(payload, before.usage if before else None)
    return Chunk(text, is_end, usage, payload)


#: The documents call it a bool and show a number.
_UNSAFE = (0, False, "0", "false")


def read_metadata(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a chunk says of the answer besides its text, by the names of `Reply`."""
    said: dict[str, Any] = {
        flag: True for flag in ("is_truncated", "need_clear_history") if raw.get(flag)
    }
    if raw.get("need_clear_history"):
        said["ban_round"] = raw.get("ban_round")
    if raw.get("is_safe") is not None:
        said["is_safe"] = raw["is_safe"] not in _UNSAFE
    if isinstance(raw.get("finish_reason"), str):
        said["finish_reason"] = raw["finish_reason"]
    return said


def read_error(payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
    """Read an error's code and words; None if it is none."""
    if not payload.get("error_code"):
        return None
    try:
        code = int(payload["error_code"])
    except (ValueError, TypeError, OverflowError):
        code = 0
    return code, str(payload.get("error_msg", ""))

"""Version 1 of the wire, as the API documents of Dolly-12B and StarCoder describe it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from qianfan_magic.catalogue import Card, check_length
from qianfan_magic.errors import ParameterError
from qianfan_magic.parameter import Kind
from qianfan_magic.parameters import BY_NAME, check_parameters, check_text
from qianfan_magic.wire.types import Chunk, Message, Reply, Usage

PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
TOKEN_PATH = "/oauth/2.0/token"  # noqa: S105  an address
#: More tokens than this are no count.
LARGEST_COUNT = 2**63
FOLDERS: dict[Kind, str] = {"chat": "chat", "completion": "completions"}


def path(kind: Kind, endpoint: str) -> str:
    """Return the address of a service behind the base URL, percent-encoded."""
    return f"{PREFIX}/{FOLDERS[kind]}/{quote(endpoint, safe='')}"


def chat_body(
    messages: Sequence[Message], parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a chat request.

    Raises
    ------
    ParameterError
        As `check_messages` and `check_parameters` do; also for more than the card's characters.
    """
    sent = check_messages(messages)
    check_length(sum(len(message["content"]) for message in sent), card)
    return {"messages": sent, **_on_the_wire(check_parameters(parameters, "chat"))}


def complete_body(
    prompt: str, parameters: Mapping[str, Any], card: Card | None = None
) -> dict[str, Any]:
    """Build the body of a completion request; raises as `chat_body` does."""
    check_length(len(check_text(prompt, "The prompt")), card)
    return {"prompt": prompt, **_on_the_wire(check_parameters(parameters, "completion"))}


def _on_the_wire(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {BY_NAME[name].wire or name: value for name, value in parameters.items()}


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
        check_text(message.get("content"), f"The content of message {place + 1}")
    if len(messages) % 2 == 0:
        raise ParameterError(
            f"There are {len(messages)} messages, but their number must be odd",
            hint="The last message is the user's question.",
        )
    return [{"role": message["role"], "content": message["content"]} for message in messages]


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
    prompt = before.prompt_tokens or _count(sent, "prompt_tokens")
    total = _count(sent, "total_tokens") or max(
        before.total_tokens, prompt + _count(sent, "completion_tokens")
    )
    return Usage(prompt, max(total - prompt, 0), total)


def _count(usage: Mapping[str, Any], name: str) -> int:
    count = usage.get(name)
    if isinstance(count, int) and 0 <= count < LARGEST_COUNT:
        return count
    return int(count) if isinstance(count, float) and 0 <= count < LARGEST_COUNT else 0


def read_chunk(
    payload: Mapping[str, Any], before: Usage | None = None, *, whole: bool = False
) -> Chunk:
    """Read one event of a stream, or a whole answer, which is its own end.

    Parameters
    ----------
    payload
        The service's JSON.
    before
        The tokens as the chunk before had them.
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
    return Chunk(text, is_end, read_usage(payload, before), payload)


def read_reply(chunks: Iterable[Chunk]) -> Reply:
    """Join the chunks of a stream, or the one chunk of a whole answer."""
    text: list[str] = []
    said: dict[str, Any] = {}
    last: Mapping[str, Any] = {}
    usage = Usage()
    for chunk in chunks:
        text.append(chunk.text)
        last, usage = chunk.raw, chunk.usage
        _note(said, chunk.raw)
    ban_round = said.get("ban_round")
    return Reply(
        text="".join(text),
        id=str(last.get("id") or ""),
        usage=usage,
        is_truncated=said.get("is_truncated", False),
        need_clear_history=said.get("need_clear_history", False),
        ban_round=ban_round if isinstance(ban_round, int) else None,
        is_safe=said.get("is_safe"),
        finish_reason=str(last.get("finish_reason") or ""),
        raw=last,
    )


#: The documents call it a bool and show a number.
_UNSAFE = (0, False, "0", "false")


def _note(said: dict[str, Any], raw: Mapping[str, Any]) -> None:
    """Keep what any chunk of the answer says, not only the last."""
    for flag in ("is_truncated", "need_clear_history"):
        said[flag] = said.get(flag, False) or bool(raw.get(flag))
    if raw.get("need_clear_history"):
        said["ban_round"] = raw.get("ban_round")
    if raw.get("is_safe") is not None:
        said["is_safe"] = said.get("is_safe", True) and raw["is_safe"] not in _UNSAFE

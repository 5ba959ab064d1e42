"""Version 2 of the wire, in OpenAI's shape, as Qianfan's documents describe it; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.parameter import plain_json
from qianfan_magic.api.catalogue.parameters import check_parameters, check_text
from qianfan_magic.api.catalogue.resolver import MODEL_NAME, Service, check_length
from qianfan_magic.api.types import DONE, ApiVersion, Chunk, Kind, Message, Usage, token_count
from qianfan_magic.errors import ParameterError

PATHS: dict[Kind, str] = {"chat": "/v2/chat/completions", "completion": "/v2/completions"}
MODELS_PATH = "/v2/models"
#: Path of IAM's endpoint that issues bearer tokens for access keys.
TOKEN_PATH = "/v1/BCE-BEARER/token"  # noqa: S105  an address
#: Lifetime of a bearer token to request there, in seconds; IAM allows 300 to 2,592,000.
BEARER_SECONDS = 86_400
ROLES = ("system", "user", "assistant", "tool")
#: Characters of a model's name.
LONGEST_NAME = 200
#: What a message may have besides its role and content.
_MORE = ("name", "tool_calls", "tool_call_id")


def path(kind: Kind, model: str) -> str:
    """Return the address of a kind of service behind the base URL; the body names the model."""
    del model
    return PATHS[kind]


def body(
    kind: Kind, service: Service, asked: Any, parameters: Mapping[str, Any], *, stream: bool
) -> dict[str, Any]:
    """Build the body of a request; takes what version 1's does.

    Raises
    ------
    ParameterError
        As `check_messages` and `check_parameters` do; also for more than the card's characters,
        and for a picture if the card says that the model takes none.
    """
    checked = check_parameters(parameters, kind, ApiVersion.V2)
    _check_thinking(checked, service.card)
    if kind == "chat":
        sent: dict[str, Any] = {"messages": _with_system(asked, checked.pop("system", None))}
        _check_fit(sent["messages"], service.card)
    else:
        sent = {"prompt": check_text(asked, "The prompt")}
        check_length(len(asked), service.card)
    if "response_format" in checked:
        checked["response_format"] = {"type": checked["response_format"]}
    if "enable_thinking" in checked and service.card and service.card.thinks == "thinking":
        state = "enabled" if checked.pop("enable_thinking") else "disabled"
        checked["thinking"] = {"type": state}
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return {"model": service.name, **sent, **checked, **streamed}


def _check_thinking(checked: Mapping[str, Any], card: Card | None) -> None:
    if card and not card.thinks and checked.get("enable_thinking"):
        raise ParameterError(
            f"{card.name} does not think before it answers",
            hint="Leave --enable-thinking out, or ask one that does: %qianfan models lists them.",
        )


def _with_system(messages: Sequence[Message], system: str | None) -> list[dict[str, Any]]:
    """Put the system text before the messages, which is where version 2 has it."""
    sent = check_messages(messages)
    if system is None:
        return sent
    if sent[0]["role"] == "system":
        raise ParameterError(
            "There are two system texts: the parameter system and the first message",
            hint="Leave one of them out.",
        )
    return [{"role": "system", "content": system}, *sent]


def check_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Hold messages against the rules of version 2's document.

    Returns
    -------
    list of dict
        Copies with what version 2 knows of a message; what a model thought is not sent back.

    Raises
    ------
    ParameterError
        Unless there are some, each of a known role and with content, the system's only at the
        beginning, the user's or a tool's at the end.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence) or not messages:
        raise ParameterError(
            "messages must be a list of at least one message",
            hint='Such as [{"role": "user", "content": "hi"}].',
        )
    sent = [_checked(message, place) for place, message in enumerate(messages, 1)]
    if sent[-1]["role"] not in {"user", "tool"}:
        raise ParameterError(
            f"The last message has the role {sent[-1]['role']!r}",
            hint="The last message is the user's question, or what a tool has given.",
        )
    return sent


def _checked(message: Any, place: int) -> dict[str, Any]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ROLES or (role == "system" and place > 1):
        raise ParameterError(
            f"Message {place} has the role {role!r}",
            hint="Roles are user, assistant and tool; system only for the first message.",
        )
    content = message.get("content")
    if isinstance(content, list):
        _check_parts(content, place)
    elif not message.get("tool_calls"):
        check_text(content, f"The content of message {place}")
    more = {name: message[name] for name in _MORE if name in message}
    sent = {"role": role, "content": content, **more}
    if not more and isinstance(content, str):
        return sent
    checked = plain_json(sent)
    if checked is None:
        raise ParameterError(
            f"Message {place} holds what JSON cannot carry",
            hint="Such as bytes, a set, NaN, or half of a character.",
        )
    return dict(checked)


def _check_parts(parts: list[Any], place: int) -> None:
    """Check content that consists of texts and pictures."""
    known = {"text", "image_url", "video_url"}
    wrong = [part for part in parts if not isinstance(part, Mapping) or not known & part.keys()]
    if wrong or not parts:
        raise ParameterError(
            f"The content of message {place} is a list, but not of text and image_url parts",
            hint='Such as [{"type": "text", "text": "What is this?"}].',
        )
    for part in parts:
        if "text" in part:
            check_text(part["text"], f"A text of message {place}")


def _check_fit(messages: list[dict[str, Any]], card: Card | None) -> None:
    parts = [part for m in messages if isinstance(m["content"], list) for part in m["content"]]
    if card and not card.sees and any("image_url" in part for part in parts):
        earlier = isinstance(messages[-1]["content"], str)
        raise ParameterError(
            f"{card.name} takes no pictures" + ", and an earlier message has one" * earlier,
            hint="Ask a model that sees: %qianfan models lists them"
            + "; or begin another conversation, -n NAME." * earlier
            + "." * (not earlier),
        )
    texts = [m["content"] for m in messages if isinstance(m["content"], str)]
    texts += [part["text"] for part in parts if "text" in part]
    check_length(sum(map(len, texts)), card)


def read_chunk(
    payload: Mapping[str, Any], before: Chunk | None = None, *, whole: bool = False
) -> Chunk:
    """Read one event of a stream, or a whole answer, which is its own end.

    Parameters
    ----------
    payload
        The service's JSON, or `DONE`.
    before
        The chunk before it.
    whole
        Whether it is no event but a whole answer.

    Raises
    ------
    ValueError
        If it has no ``choices``, and so is not an answer of version 2.
    """
    usage = before.usage if before else _NONE
    if payload is DONE:
        return Chunk("", True, usage, before.raw if before else DONE)  # noqa: FBT003  is_end
    choices = payload.get("choices")
    if not isinstance(choices, list):
        raise ValueError("it has no list under 'choices'")  # noqa: TRY004  the peer's data
    if payload.get("usage"):
        usage = read_usage(payload)
    text = reasoning = ""
    if choices:
        try:
            choice = choices[0]
            # Of a chat's stream, of a whole chat, of a completion.
            said = choice.get("delta") or choice.get("message") or choice
            text = said.get("content") or said.get("text") or ""
            reasoning = said.get("reasoning_content") or ""
            _ = text + "", reasoning + ""
        except (AttributeError, TypeError):
            raise ValueError("its choice is none") from None
    return Chunk(text, whole, usage, payload, reasoning)


_NONE = Usage()


def read_usage(payload: Mapping[str, Any]) -> Usage:
    """Read the tokens, which stand in one chunk of a stream only."""
    sent = payload.get("usage")
    if not isinstance(sent, dict):
        return _NONE
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return Usage(*(token_count(sent, name) for name in names))


#: From this ``flag`` on the service wants the talk to end: 2, 3 and 4; 1 is a low risk.
END_OF_TALK = 2


def read_metadata(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a chunk says of the answer besides its text, by the names of `Reply`."""
    choice = (raw.get("choices") or [{}])[0]
    said: dict[str, Any] = {}
    if isinstance(choice.get("finish_reason"), str):
        said["finish_reason"] = choice["finish_reason"]
    if choice.get("finish_reason") == "length":
        said["is_truncated"] = True
    flag = choice.get("flag") or 0
    if flag or choice.get("finish_reason") == "content_filter":
        said["is_safe"] = False
    if (isinstance(flag, int) and flag >= END_OF_TALK) or raw.get("need_clear_history"):
        place = choice if "ban_round" in choice else raw
        said |= {"need_clear_history": True, "ban_round": place.get("ban_round")}
    return said


def read_error(payload: Mapping[str, Any]) -> tuple[int | str, str] | None:
    """Read an error's code and words; None if it is none."""
    error = payload.get("error")
    if not error and "code" in payload and "message" in payload:
        error = payload  # a gateway's own, in the shape of Baidu's cloud
    if not error:
        return None
    if not isinstance(error, dict):
        return str(error), ""
    return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")


def read_models(payload: Mapping[str, Any]) -> list[str]:
    """Read the names of the models that are listed."""
    listed = payload.get("data")
    rows = listed if isinstance(listed, list) else []
    found = [one.get("id") for one in rows if isinstance(one, Mapping)]
    names = {one for one in found if isinstance(one, str) and len(one) <= LONGEST_NAME}
    return sorted(name for name in names if MODEL_NAME.fullmatch(name))

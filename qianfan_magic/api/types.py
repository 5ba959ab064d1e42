"""Messages, chunks and replies, the same for both versions of the API; frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

__all__ = [
    "BOTH",
    "DONE",
    "LARGEST_COUNT",
    "NO_USAGE",
    "ApiVersion",
    "Chunk",
    "Content",
    "Kind",
    "Message",
    "Reply",
    "SearchResult",
    "ToolCall",
    "ToolRound",
    "Usage",
    "token_count",
]

#: Kind of a service, and of the requests that it answers.
Kind = Literal["chat", "completion"]
#: Kinds of a service that answers both.
BOTH: tuple[Kind, ...] = ("chat", "completion")


class ApiVersion(IntEnum):
    """Version of the API: in version 1 services have endpoints, version 2 follows OpenAI's API."""

    V1 = 1
    V2 = 2


#: Payload that stands for ``data: [DONE]``, the end of a stream of version 2.
DONE: Mapping[str, Any] = MappingProxyType({})
#: Content of a message: text, or a list of text and image parts (version 2).
Content = str | list[dict[str, Any]]


class Message(TypedDict):
    """One message of a conversation.

    ``role`` is ``user``, ``assistant`` or ``tool``; version 2 also has ``system``. ``prefix`` is
    true in a last message of the assistant that the model is to go on from (version 2).
    ``tool_calls`` are calls of functions that the assistant asks for, as in `Reply`; each is
    followed by the message of a tool with its ``tool_call_id``.
    """

    role: str
    content: Content
    prefix: NotRequired[bool]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that a model asked for, with its result.

    Attributes
    ----------
    name
        The name of the function, as the model gave it.
    arguments
        Its arguments: JSON as text.
    result
        What the model is told: the result as text or JSON, or what went wrong. Not empty.
    id
        The identifier by which the service tells the calls of one reply apart.
    is_error
        Whether the call failed, or was not made.
    """

    name: str
    arguments: str
    result: str
    id: str
    is_error: bool = False

    @property
    def asked(self) -> dict[str, Any]:
        """The call as the model asked for it, see `Reply.tool_calls`."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolRound:
    """A reply that asked for calls of functions, with their results.

    Attributes
    ----------
    calls
        The calls, in the order in which they were asked for and made.
    text
        What the model wrote beside them; mostly empty.

    Examples
    --------
    >>> messages = ToolRound((ToolCall("add", '{"x": 1, "y": 2}', "3", "a"),)).messages()
    >>> [message["role"] for message in messages]
    ['assistant', 'tool']
    """

    calls: tuple[ToolCall, ...]
    text: str = ""

    def messages(self) -> list[Message]:
        """Return the messages that tell the model of it: the reply, then each result."""
        asked: Message = {
            "role": "assistant",
            "content": self.text,
            "tool_calls": [call.asked for call in self.calls],
        }
        results: list[Message] = [
            {"role": "tool", "tool_call_id": call.id, "content": call.result} for call in self.calls
        ]
        return [asked, *results]

    @property
    def texts(self) -> list[str]:
        """All texts that it adds to a request, by which its length is estimated."""
        calls = ((call.name, call.arguments, call.result) for call in self.calls)
        return [self.text, *(text for call in calls for text in call)]


class Usage(NamedTuple):
    """Numbers of tokens, as the service counts them.

    Attributes
    ----------
    prompt_tokens, completion_tokens, total_tokens
        Tokens of the question, of the answer with its reasoning, and of both.
    cached_tokens
        Tokens of the prompt that the service had read before (version 2).
    reasoning_tokens
        Tokens of the answer that are reasoning (version 2).
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __repr__(self) -> str:
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        return f"Usage({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


#: What is known before the service has counted.
NO_USAGE = Usage()


class Chunk(NamedTuple):
    """A piece of a streamed answer.

    A named tuple, as is `Usage`, since a frozen dataclass takes 2.6 times as long to create, and
    there is one for each event of a stream.

    Attributes
    ----------
    text
        Text that follows that of the previous chunk; may be empty.
    is_end
        Whether it is the last chunk.
    usage
        Numbers of tokens so far.
    raw
        The service's JSON.
    reasoning
        Text of the model's reasoning, which comes before the answer (version 2).
    """

    text: str
    is_end: bool
    usage: Usage
    raw: Mapping[str, Any]
    reasoning: str = ""

    def __repr__(self) -> str:
        names = ("text", "is_end", "usage", "reasoning")  # without the JSON, which has the same
        return f"Chunk({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A source of a web search, which an answer cites by its number.

    Attributes
    ----------
    index
        Its number, from 1: the answer cites it as ``^[1]^``.
    url
        Its address, of ``http`` or ``https``.
    title, site, date
        Title of the page, name of the site, and date as the service writes it; may be empty.
    """

    index: int
    url: str
    title: str = ""
    site: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete answer.

    Attributes
    ----------
    text
        The answer, unchanged.
    id
        Identifier of the response, given by the service.
    usage
        Numbers of tokens of the prompt and the answer.
    is_truncated
        Whether the answer was cut off at a limit of tokens.
    need_clear_history
        Whether the service found the conversation unsafe and asks to clear it.
    ban_round
        Number of the turn that was found unsafe, from 1; -1 is the current question; None if
        there is no such turn.
    is_safe
        False if the input was found unsafe; None if the response does not say.
    finish_reason
        Why the answer ended, as the service names it, such as ``stop``; may be empty.
    raw
        The service's JSON; for a stream, that of its last chunk.
    reasoning
        The model's reasoning before the answer; empty if there is none or it is not returned.
    search_results
        The sources of a web search that the answer may cite, by their numbers.
    parsed
        The object that the answer describes, if it was requested by a schema and fits; else None.
    tool_calls
        The functions that the model asks to call, each as in OpenAI's API: ``id``, ``type`` and
        ``function`` with ``name`` and ``arguments``, which is JSON as text.

    Examples
    --------
    >>> reply = Reply(text="Hi!", usage=Usage(1, 2, 3), finish_reason="stop")
    >>> reply.text, reply.usage.total_tokens
    ('Hi!', 3)
    """

    text: str
    id: str = ""
    usage: Usage = field(default_factory=Usage)
    is_truncated: bool = False
    need_clear_history: bool = False
    ban_round: int | None = None
    is_safe: bool | None = None
    finish_reason: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reasoning: str = field(default="", repr=False)
    search_results: tuple[SearchResult, ...] = field(default=(), repr=False)
    parsed: Any = field(default=None, repr=False)
    tool_calls: tuple[dict[str, Any], ...] = field(default=(), repr=False)


#: Exclusive limit of counts, JavaScript's Number.MAX_SAFE_INTEGER: front ends in a browser save the
#: notebook, and would round a larger integer. A larger number of tokens is an error of the server.
LARGEST_COUNT = 2**53 - 1


def token_count(usage: Mapping[str, Any], name: str) -> int:
    """Read a number of tokens from a ``usage`` object; 0 if it is missing or not a number."""
    count = usage.get(name)
    if type(count) is int and 0 <= count < LARGEST_COUNT:  # nearly always
        return count
    return int(count) if type(count) is float and 0 <= count < LARGEST_COUNT else 0

"""Functions that a model may call: their description for the model, and their calls.

`pydantic` and `docstring-parser` are an extra, and imported late.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, get_type_hints

from qianfan_magic.api.extras import import_extra
from qianfan_magic.api.types import Message, Reply
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr
from qianfan_magic.masking import mask

__all__ = ["Tool", "declarations", "make_calls", "named_choice", "read_tools"]

#: Largest number of characters of a result that the model gets.
MAX_RESULT = 20_000
#: The names that OpenAI's API accepts.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_CHOICES = frozenset({"auto", "none", "required"})
_UNNAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    Attributes
    ----------
    name
        Its name.
    declaration
        What the model is told of it, in the form of the request's ``tools``.
    function
        The function.
    read
        Checks the arguments, JSON as text, and converts them to keyword arguments; raises a
        `ValueError` if they do not fit.
    """

    name: str
    declaration: Mapping[str, Any]
    function: Callable[..., Any]
    read: Callable[[str], dict[str, Any]]

    def call(self, arguments: str) -> str:
        """Call the function; return its result, or what went wrong, as text for the model.

        A str is passed on as it is, anything else as JSON. `KeyboardInterrupt` is not caught.
        """
        try:
            value = self.function(**self.read(arguments))
            value = _finished(value) if inspect.isawaitable(value) else value
        except Exception as error:  # noqa: BLE001  whatever the function raises, the model is told
            return mask(f"Error: {type(error).__name__}: {error}")
        text = _as_text(value)
        if len(text) > MAX_RESULT:
            text = f"{text[:MAX_RESULT]}\n({MAX_RESULT:,} of {len(text):,} characters)"
        return text


def read_tools(functions: Iterable[Callable[..., Any]]) -> dict[str, Tool]:
    """Describe functions by their signatures, annotations and docstrings.

    Returns
    -------
    dict
        The tools by their names.

    Raises
    ------
    ParameterError
        If one is no function with a name of its own, or an argument cannot be described; or if
        the extra ``tools`` is not installed.

    Examples
    --------
    >>> def add(x: int, y: int = 1) -> int:
    ...     "Add two numbers."
    ...     return x + y
    >>> tool = read_tools([add])["add"]
    >>> tool.declaration["function"]["parameters"]["required"]
    ['x']
    >>> tool.call('{"x": 2}')
    '3'
    """
    tools: dict[str, Tool] = {}
    for function in functions:
        tool = _read_tool(function)
        if tool.name in tools:
            raise ParameterError(tr("Two of the functions are named {name}", name=tool.name))
        tools[tool.name] = tool
    return tools


def declarations(tools: Sequence[Any]) -> list[Any]:
    """Return the field ``tools`` of a request; functions are described, declarations stay."""
    return [dict(_read_tool(one).declaration) if callable(one) else one for one in tools]


def named_choice(choice: Any) -> Any:
    """Return the field ``tool_choice``, in which a function's name becomes an object."""
    if isinstance(choice, str) and choice not in _CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


def make_calls(reply: Reply, tools: Mapping[str, Tool]) -> list[Message]:
    """Make the calls that a reply asks for, in order; return the messages that tell the model.

    A name that is not among the tools is never called; the model is told that there is none.
    """
    asked: Any = {"role": "assistant", "content": reply.text, "tool_calls": [*reply.tool_calls]}
    messages: list[Any] = [asked]
    for call in reply.tool_calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        tool = tools.get(name)
        text = tool.call(arguments) if tool else f"Error: there is no function {name!r}"
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": text or "(empty)"})
    return messages


def _read_tool(function: Callable[..., Any]) -> Tool:
    name = getattr(function, "__name__", "")
    if not (callable(function) and _NAME.fullmatch(name)):
        raise ParameterError(
            tr("{function:.80} is not a function with a name", function=repr(function)),
            hint=tr("Define it with def."),
        )
    pydantic, parser = import_extra("pydantic", "tools"), import_extra("docstring_parser", "tools")
    documented = parser.parse(inspect.getdoc(function) or "")
    descriptions = {row.arg_name: row.description for row in documented.params}
    arguments = _arguments(function, name)
    fields = {
        f"argument_{number}": (
            annotation,
            pydantic.Field(default, alias=argument, description=descriptions.get(argument)),
        )
        for number, (argument, (annotation, default)) in enumerate(arguments.items())
    }
    config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    model = pydantic.create_model(name, __config__=config, **fields)
    schema = model.model_json_schema()
    schema.pop("title", None)
    about = "\n\n".join(filter(None, (documented.short_description, documented.long_description)))
    described = {"name": name, "description": about, "parameters": schema}

    def read(text: str) -> dict[str, Any]:
        try:
            given = model.model_validate_json(text or "{}")
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
        named = dict(zip(fields, arguments, strict=True))
        return {named[field]: getattr(given, field) for field in given.model_fields_set}

    return Tool(name, {"type": "function", "function": described}, function, read)


def _arguments(function: Callable[..., Any], name: str) -> dict[str, tuple[Any, Any]]:
    """Return the annotation and the default of each argument; `...` stands for no default."""
    pydantic = import_extra("pydantic", "tools")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ParameterError(
            tr("The annotations of {name} cannot be read: {error}", name=name, error=error)
        ) from None
    found: dict[str, tuple[Any, Any]] = {}
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in _UNNAMED:
            raise ParameterError(
                tr("The argument {argument} of {name} has no name", argument=argument, name=name),
                hint=tr("A model gives arguments by name: write them out."),
            )
        if argument not in hints:
            raise ParameterError(
                tr("The argument {argument} of {name} has no type", argument=argument, name=name),
                hint=tr("Annotate it, such as {argument}: str.", argument=argument),
            )
        try:
            pydantic.TypeAdapter(hints[argument]).json_schema()
        except pydantic.PydanticUserError:
            raise ParameterError(
                tr(
                    "The argument {argument} of {name} has a type that JSON cannot carry",
                    argument=argument,
                    name=name,
                ),
                hint=tr("Use numbers, texts, lists, dicts, dataclasses or pydantic models."),
            ) from None
        has_default = parameter.default is not inspect.Parameter.empty
        found[argument] = hints[argument], parameter.default if has_default else ...
    return found


def _finished(value: Awaitable[Any]) -> Any:
    """Wait for what an ``async def`` returned."""

    async def wait() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    # A notebook's kernel runs a loop in this thread, which cannot wait in the middle of a cell.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result()


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    core = import_extra("pydantic_core", "tools")
    try:
        return str(core.to_json(value).decode())
    except core.PydanticSerializationError:
        return str(value)

"""Functions that a model may call: their description for the model, and their calls.

`pydantic` and `docstring-parser` are an extra, and imported late.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from qianfan_magic.api.extras import import_extra
from qianfan_magic.api.types import Reply, ToolCall
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.language import tr
from qianfan_magic.masking import mask, mask_known

__all__ = [
    "CHOICES",
    "DEFAULT_ROUNDS",
    "MadeCall",
    "Tool",
    "asked_calls",
    "check_rounds",
    "declarations",
    "later_choice",
    "make_call",
    "named_choice",
    "named_twice",
    "read_tools",
    "refused",
    "rounds_error",
]

#: Largest number of characters of a result that the model gets.
MAX_RESULT = 20_000
#: Largest number of calls of one reply that are made.
MAX_CALLS = 100
#: The names that OpenAI's API accepts.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
#: Values of ``tool_choice`` that are not the name of a function.
CHOICES = ("auto", "none", "required")
#: Largest number of requests for one answer, by default and at most.
DEFAULT_ROUNDS, MAX_ROUNDS = 8, 100
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


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that was made, or refused.

    Attributes
    ----------
    call
        The call with its result, as the model is told.
    value
        What the function returned; None if it failed or was not called.
    """

    call: ToolCall
    value: Any = None


def read_tools(
    functions: Iterable[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
) -> dict[str, Tool]:
    """Describe functions by their signatures, annotations and docstrings.

    Parameters
    ----------
    functions
        The functions, or a mapping from the names that the model is told to the functions.

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
    """
    if isinstance(functions, Mapping):
        return {name: _read_tool(function, name) for name, function in functions.items()}
    tools: dict[str, Tool] = {}
    for function in functions:
        tool = _read_tool(function, _name_of(function))
        if tool.name in tools:
            raise named_twice(tool.name)
        tools[tool.name] = tool
    return tools


def named_twice(name: str) -> ParameterError:
    """Return the error for two functions of one name, which a model could not tell apart."""
    return ParameterError(
        tr("Two of the functions are named {name}", name=name),
        hint=tr("Leave one of them out, or give it another name."),
    )


def declarations(tools: Sequence[Any]) -> list[Any]:
    """Return the field ``tools`` of a request; functions are described, declarations stay."""
    return [
        dict(_read_tool(one, _name_of(one)).declaration) if callable(one) else one for one in tools
    ]


def named_choice(choice: Any) -> Any:
    """Return the field ``tool_choice``, in which a function's name becomes an object."""
    if isinstance(choice, str) and choice not in CHOICES:
        return {"type": "function", "function": {"name": choice}}
    return choice


def later_choice(choice: Any) -> Any:
    """Return the field ``tool_choice`` of the requests after the first.

    A choice that demands a call would otherwise demand one more in each of them.
    """
    return choice if choice in (None, "auto", "none") else "auto"


def asked_calls(reply: Reply) -> list[ToolCall]:
    """Return the calls that a reply asks for, still without results.

    There are at most `MAX_CALLS`, each with a name and an id of its own, whatever a server sends:
    by them the results are told apart, and a turn is restored.
    """
    calls: dict[str, ToolCall] = {}
    for number, call in enumerate(reply.tool_calls[:MAX_CALLS], 1):
        name, arguments = _whole(call["function"]["name"]), _whole(call["function"]["arguments"])
        id_ = _whole(call["id"]).strip()
        if not id_ or id_ in calls:
            id_ = f"call_{number}"
        calls[id_] = ToolCall(name.strip() or "(no name)", arguments, "", id_)
    return [*calls.values()]


def make_call(call: ToolCall, tools: Mapping[str, Tool]) -> MadeCall:
    """Make a call that a model asked for.

    A name that is not among the tools is never called; the model is told that there is none. It
    is told of an exception, too; `KeyboardInterrupt` is not caught. A str is passed on as it is,
    anything else as JSON if possible; known secrets are masked.
    """
    tool = tools.get(call.name)
    if tool is None:
        return refused(call, f"there is no function {call.name!r}")
    try:
        value = tool.function(**tool.read(call.arguments))
        value = _finished(value) if inspect.isawaitable(value) else value
        text = mask_known(_whole(_as_text(value)))
    except Exception as error:  # noqa: BLE001  whatever the function raises, the model is told
        return refused(call, mask(f"{type(error).__name__}: {error}"))
    return MadeCall(replace(call, result=_shortened(text) if text.strip() else "(empty)"), value)


def refused(call: ToolCall, why: str) -> MadeCall:
    """Return a call that failed or was not made, with the reason for the model."""
    return MadeCall(replace(call, result=_shortened(f"Error: {why}"), is_error=True))


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _read_tool(function: Callable[..., Any], name: str) -> Tool:
    if not callable(function) or not name.isidentifier():
        raise ParameterError(
            tr("{function:.80} is not a function with a name", function=repr(function)),
            hint=tr("Define it with def."),
        )
    if not _NAME.fullmatch(name):
        raise ParameterError(
            tr("A model cannot call {name!r} by its name", name=name),
            hint=tr(
                "Give it one of English letters, digits and _, such as weather = {name}.",
                name=name,
            ),
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
    schema = model.model_json_schema(schema_generator=_schema_generator())
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


def _schema_generator() -> Any:
    """Return a generator of schemas without a title for each argument, which repeats its name."""
    generator = import_extra("pydantic.json_schema", "tools").GenerateJsonSchema

    class Untitled(generator):  # type: ignore[misc,valid-type]
        def field_title_should_be_set(self, schema: Any) -> bool:
            del schema
            return False

    return Untitled


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
    """Wait for what an ``async def`` returned; an interrupt cancels it."""
    result: Future[Any] = Future()
    tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def wait() -> Any:
        task = asyncio.current_task()
        if task:
            tasks.append((asyncio.get_running_loop(), task))
        return await value

    def run() -> None:
        try:
            result.set_result(asyncio.run(wait()))
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
            result.set_exception(error)

    # A notebook's kernel runs a loop in this thread, which cannot wait in the middle of a cell.
    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result()
    except KeyboardInterrupt:
        for loop, task in tasks:
            with suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(task.cancel)
        raise


def check_rounds(rounds: int, name: str) -> int:
    """Return the largest number of requests for one answer; raise `ParameterError` out of range."""
    if not 1 <= rounds <= MAX_ROUNDS:
        raise ParameterError(
            tr(
                "{name} is {rounds}, but must be from 1 to {most}",
                name=name,
                rounds=rounds,
                most=MAX_ROUNDS,
            ),
            hint=tr("It is the number of requests that one answer may take."),
        )
    return rounds


def rounds_error(rounds: int, hint: str) -> QianfanError:
    """Return the error for a model that asks for calls in the last round, too."""
    return QianfanError(
        tr("The model still asks for calls of functions after {rounds} rounds", rounds=rounds),
        hint=hint,
    )


def _whole(text: str) -> str:
    """Return a text without halves of characters, which no request can carry."""
    return text.encode("utf-8", "replace").decode()


def _shortened(text: str) -> str:
    if len(text) <= MAX_RESULT:
        return text
    return f"{text[:MAX_RESULT]}\n({MAX_RESULT:,} of {len(text):,} characters)"


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if hasattr(value, "columns"):  # a table of pandas or of polars
        if hasattr(value, "to_json"):
            return str(value.to_json(orient="records", date_format="iso", force_ascii=False))
        if hasattr(value, "write_json"):
            return str(value.write_json())
    core = import_extra("pydantic_core", "tools")
    try:
        return str(core.to_json(value).decode())
    except core.PydanticSerializationError:
        return str(value)

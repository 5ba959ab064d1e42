"""The flags of the cell magics, most of them from the table of parameters."""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, magic_arguments

from qianfan_magic.api.catalogue.parameter import Parameter, with_escapes
from qianfan_magic.api.catalogue.parameters import FLAGGED, SENDING, check_text
from qianfan_magic.api.tools import check_rounds
from qianfan_magic.api.types import Kind
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr
from qianfan_magic.magics.parse_errors import closing_quote_error, parse_error
from qianfan_magic.session.cell_options import FORMATS, CellOptions
from qianfan_magic.suggest import did_you_mean

__all__ = [
    "CHAT",
    "COMPARED",
    "EVERYDAY",
    "SERVICE",
    "check_name",
    "flag_of",
    "flags",
    "options_of",
    "parse",
]

#: Largest number of columns of a comparison; each has a connection of its own.
MAX_COLUMNS = 6
#: Destinations of the flags that the help lists first.
EVERYDAY = (
    *("model", "temperature", "max_tokens", "enable_thinking", "web_search"),
    *(
        "output",
        "format",
        "compare",
        "help",
        "conversation",
        "system",
        "image",
        "continues",
        "tool",
    ),
)
#: The options that ``--compare`` can vary; None for those that name the service.
COMPARED: dict[str, Parameter | None] = {
    **{parameter.name: parameter for parameter in FLAGGED},
    "model": None,
    "endpoint": None,
}


def flag_of(parameter: Parameter) -> Any:
    """Make the decorator that adds a parameter's flags."""
    action: dict[str, Any] = {"action": "append"} if parameter.type is list else {}
    if parameter.type is bool:
        action = {"action": argparse.BooleanOptionalAction}
    # argparse formats the help with %.
    help_text = f"{tr(parameter.help)} ({parameter.range})".replace("%", "%%")
    return argument(*parameter.flags, dest=parameter.name, help=help_text, **action)


#: Flags that name the service.
SERVICE = (
    argument("-e", "--endpoint", help=tr("version 1: the last part of the service's address")),
    argument(
        "-m", "--model", help=tr("a model, see %%qianfan models; with -e, only its limits apply")
    ),
)
#: Flags for how a request is sent and its answer shown.
_SHOWING = (
    *(flag_of(parameter) for parameter in SENDING),
    argument("--no-stream", action="store_true", help=tr("wait for the whole answer")),
    argument("-o", "--output", help=tr("also store the Reply in this variable")),
    argument("--into", help=tr("show the answer in this variable's ipywidgets.Output")),
    argument(
        "--format",
        choices=FORMATS,
        help=tr("how the answer is shown; code also puts it into the next cell"),
    ),
    argument(
        "--compare",
        metavar="KEY=V1,V2",
        help=tr("get several answers side by side, such as temperature=0.1,0.9"),
    ),
    argument("--fill", action="store_true", help=tr("replace {name} by the variable's value")),
    argument("--dry-run", action="store_true", help=tr("show the request without sending it")),
    argument("-h", "--help", action="store_true", help=tr("show this help")),
)
#: Flags that only chats have.
CHAT = (
    argument(
        "--tool",
        action="append",
        default=[],
        metavar="NAME",
        help=tr("a function of the notebook that the model may call; may be given several times"),
    ),
    argument(
        "--mcp",
        action="append",
        default=[],
        metavar="NAME",
        help=tr("an MCP server of qianfan.toml whose functions it may call"),
    ),
    argument(
        "--tool-choice",
        metavar="auto|none|required|NAME",
        help=tr("whether the model must call a function, or which"),
    ),
    argument(
        "--max-rounds",
        type=int,
        metavar="N",
        help=tr("how many requests one answer may take when functions are called (8)"),
    ),
    argument("--confirm", action="store_true", help=tr("ask before each call of a function")),
    argument("-n", "--conversation", default="default", help=tr("which conversation to continue")),
    argument("-s", "--system", help=tr("how the model is to behave, for the whole conversation")),
    argument(
        "--continue",
        dest="continues",
        action="store_true",
        help=tr("continue the last answer, which was cut off or stopped"),
    ),
    argument(
        "--schema",
        metavar="NAME",
        help=tr(
            "check the answer against this variable: a JSON schema, pydantic model or dataclass"
        ),
    ),
    argument(
        "--prefix",
        metavar="TEXT",
        help=tr(
            r"the answer begins with this text, if the model can go on from it (\n: a line feed)"
        ),
    ),
    argument(
        "-i",
        "--image",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help=tr("a picture, from a variable or a file; may be given several times"),
    ),
    argument(
        "--append",
        action="store_true",
        help=tr("add a turn when a cell is run again, instead of replacing its turn"),
    ),
)


def flags(name: str, kind: Kind, *more: Any) -> Callable[[Any], Any]:
    """Make a decorator that gives a cell magic its flags.

    Parameters
    ----------
    name
        Name of the magic, without percent signs.
    kind
        The kind of requests it sends; it gets the flags of the parameters for this kind.
    *more
        Further flags, made by `argument`.
    """
    parameters = [flag_of(parameter) for parameter in FLAGGED if kind in parameter.kinds]

    def decorate(magic: Any) -> Any:
        # IPython puts one % before the name; a cell magic has two. Its decorators build the
        # parser from the bottom up, so the last flag is added first.
        common = (*SERVICE, *parameters, *_SHOWING)
        for decorator in reversed((magic_arguments(f"%{name}"), *common, *more)):
            magic = decorator(magic)
        return magic

    return decorate


def parse(magic: Any, line: str) -> CellOptions | None:
    """Parse the line of a cell magic.

    Parameters
    ----------
    magic
        A method that `flags` decorated.
    line
        The text behind the magic's name.

    Returns
    -------
    CellOptions or None
        None if the line asks for help.

    Raises
    ------
    ParameterError
        For an unknown flag, a missing or invalid value, or a quote that is not closed.
    """
    name = "%%" + magic.__name__
    try:
        # IPython's own parse_argstring would leave the quotes around a quoted value.
        parsed = magic.parser.parse_args(shlex.split(line))
    except ValueError:
        raise closing_quote_error(name) from None
    except (UsageError, argparse.ArgumentError) as error:
        if "arguments: --prefix" in str(error):
            raise _prefix_error(name) from None
        raise parse_error(magic.parser, name, str(error)) from None
    if parsed.help:
        return None
    conversation = getattr(parsed, "conversation", "default")
    if not conversation.strip():
        raise ParameterError(tr("{name}: -n needs a name", name=name), hint=tr("Such as -n tutor."))
    if getattr(parsed, "continues", False) and parsed.image:
        raise ParameterError(
            tr("{name}: --continue and -i exclude each other", name=name),
            hint=tr("The answer continues with the pictures that its question had."),
        )
    if getattr(parsed, "schema", None) is not None:
        _check_schema(name, parsed)
    prefix = _prefix(parsed)
    _check_tools(parsed)
    return CellOptions(
        request=options_of(parsed),
        compare=_variants(parsed),
        stream=not parsed.no_stream,
        output=check_name(parsed.output),
        into=parsed.into,
        format=parsed.format,
        schema=getattr(parsed, "schema", None),
        fill=parsed.fill,
        dry_run=parsed.dry_run,
        conversation=conversation,
        # Only chats have these flags, see `CHAT`.
        system=getattr(parsed, "system", None),
        append=getattr(parsed, "append", False),
        continues=getattr(parsed, "continues", False),
        prefix=prefix,
        images=tuple(getattr(parsed, "image", ())),
        tools=tuple(dict.fromkeys(getattr(parsed, "tool", ()))),
        mcp=tuple(dict.fromkeys(getattr(parsed, "mcp", ()))),
        tool_choice=getattr(parsed, "tool_choice", None),
        max_rounds=getattr(parsed, "max_rounds", None),
        confirm=getattr(parsed, "confirm", False),
    )


def _check_schema(name: str, parsed: argparse.Namespace) -> None:
    """Raise a `ParameterError` for a flag that makes no sense with ``--schema``."""
    if parsed.continues:
        raise ParameterError(
            tr("{name}: --schema and --continue exclude each other", name=name),
            hint=tr("An answer that is to fit a schema is asked for as a whole."),
        )
    if parsed.format not in {None, "json"}:
        raise ParameterError(
            tr(
                "{name}: --schema and --format {format} exclude each other",
                name=name,
                format=parsed.format,
            ),
            hint=tr("Leave --format out for a table, or use --format json."),
        )


def _check_tools(parsed: argparse.Namespace) -> None:
    """Raise a `ParameterError` for a flag that makes no sense with ``--tool``."""
    if getattr(parsed, "max_rounds", None) is not None:
        check_rounds(parsed.max_rounds, "--max-rounds")
    flags = [f"--{name}" for name in ("tool", "mcp") if getattr(parsed, name, None)]
    if not flags:
        return
    others = {
        "--compare": parsed.compare is not None,
        "--continue": parsed.continues,
        "--prefix": parsed.prefix is not None,
    }
    for flag, is_given in others.items():
        if is_given:
            raise ParameterError(
                tr("{first} and {flag} exclude each other", first=flags[0], flag=flag),
                hint=tr("Leave one of them out."),
            )


def _prefix_error(name: str) -> ParameterError:
    return ParameterError(
        tr("{name} has no flag --prefix, which is for chats", name=name),
        hint=tr("A completion goes on from the cell's text: put it there."),
    )


def _prefix(parsed: argparse.Namespace) -> str | None:
    """Return the text that the answer begins with; None if none is given."""
    prefix: str | None = getattr(parsed, "prefix", None)
    if prefix is None:
        return None
    if parsed.continues:
        raise ParameterError(
            tr("--prefix and --continue exclude each other"),
            hint=tr("A continued answer begins with what there is of it."),
        )
    return check_text(with_escapes(prefix), "--prefix")


def options_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the client's options that the line gives, checked."""
    options = {name: getattr(parsed, name) for name in ("endpoint", "model")}
    for parameter in (*FLAGGED, *SENDING):
        text = getattr(parsed, parameter.name, None)
        options[parameter.name] = None if text is None else parameter.parse(text)
    return {name: value for name, value in options.items() if value is not None}


def _variants(parsed: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Parse ``--compare``: for each column, by its title, the option that differs."""
    if parsed.compare is None:
        return {}
    name, _, values = parsed.compare.partition("=")
    name = name.strip().replace("-", "_")
    texts = [text.strip() for text in values.split(",") if text.strip()]
    if name not in COMPARED:
        raise ParameterError(
            tr(
                "--compare {compare!r}: {name!r} cannot be compared",
                compare=parsed.compare,
                name=name,
            ),
            hint=did_you_mean(name, COMPARED)
            or tr(
                "Such as --compare temperature=0.1,0.9; also: {compared}.",
                compared=", ".join(COMPARED),
            ),
        )
    if not 2 <= len(set(texts)) == len(texts) <= MAX_COLUMNS:  # noqa: PLR2004  one is no comparison
        raise ParameterError(
            tr(
                "--compare {compare!r} has {count} values, {different} of them "
                "different, but must have 2 to {most} different ones",
                compare=parsed.compare,
                count=len(texts),
                different=len(set(texts)),
                most=MAX_COLUMNS,
            ),
            hint=tr("Such as --compare {name}=first,second.", name=name),
        )
    if parsed.format == "code":
        raise ParameterError(
            tr("--compare and --format code exclude each other"), hint=tr("Leave one of them out.")
        )
    return {f"{name}={text}": {name: _value(COMPARED[name], text)} for text in texts}


def _value(parameter: Parameter | None, text: str) -> Any:
    if parameter is None:
        return text
    return parameter.parse([text] if parameter.type is list else text)


def check_name(name: str | None) -> str | None:
    """Return the argument of ``-o``; raise a `ParameterError` if it cannot name a variable."""
    if name is None:
        return None
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ParameterError(
            tr("-o {name!r} is not the name of a variable", name=name), hint=tr("Such as -o reply.")
        )
    return name

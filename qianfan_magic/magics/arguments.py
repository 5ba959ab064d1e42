"""The flags of the cell magics, most of them from the table of parameters."""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, magic_arguments

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import FLAGGED, SENDING
from qianfan_magic.api.types import Kind
from qianfan_magic.errors import ParameterError
from qianfan_magic.session.cell_options import FORMATS, CellOptions

#: Columns that one cell may stream at once.
MOST_COLUMNS = 6
#: What may be different in them: a parameter, or who is asked.
COMPARED: dict[str, Parameter | None] = {
    **{parameter.name: parameter for parameter in FLAGGED},
    "model": None,
    "endpoint": None,
}


def _row(parameter: Parameter) -> Any:
    several: dict[str, Any] = {"action": "append"} if parameter.type is list else {}
    if parameter.type is bool:
        several = {"action": argparse.BooleanOptionalAction}
    described = f"{parameter.help} ({parameter.range})".replace("%", "%%")
    return argument(*parameter.flags, dest=parameter.name, help=described, **several)


_SERVICE = (
    argument("-e", "--endpoint", help="version 1: the last part of the service's address"),
    argument("-m", "--model", help="a model, see %%qianfan models; with -e, only its limits apply"),
)
_SHOWING = (
    *(_row(parameter) for parameter in SENDING),
    argument("--no-stream", action="store_true", help="wait for the whole answer"),
    argument("-o", "--output", help="also put the Reply into this variable"),
    argument("--into", help="show the answer in this ipywidgets.Output of the notebook"),
    argument(
        "--format",
        choices=FORMATS,
        help="how the answer is shown; code also puts it into the next cell",
    ),
    argument(
        "--compare",
        metavar="KEY=V1,V2",
        help="several answers side by side, such as temperature=0.1,0.9",
    ),
    argument("--fill", action="store_true", help="replace {name} by the variable's value"),
    argument("--dry-run", action="store_true", help="show what would be sent, and send nothing"),
    argument("-h", "--help", action="store_true", help="show this help"),
)
CHAT = (
    argument("-n", "--conversation", default="default", help="which conversation goes on"),
    argument("-s", "--system", help="how the model is to behave, kept for the conversation"),
    argument(
        "--continue",
        dest="continues",
        action="store_true",
        help="go on with the last answer, which was cut off or stopped",
    ),
    argument(
        "-i",
        "--image",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="a picture, for models that see: a variable or a file; may be given several times",
    ),
    argument(
        "--append",
        action="store_true",
        help="add a turn, where running a cell again would replace its own",
    ),
)


def flags(name: str, kind: Kind, *more: Any) -> Callable[[Any], Any]:
    """Give the cell magic of a name the flags of its kind of service, and more of its own."""
    rows = [_row(parameter) for parameter in FLAGGED if kind in parameter.kinds]

    def decorate(magic: Any) -> Any:
        # IPython puts one % before the name; a cell magic has two.
        common = (*_SERVICE, *rows, *_SHOWING)
        for one in reversed((magic_arguments(f"%{name}"), *common, *more)):
            magic = one(magic)
        return magic

    return decorate


def parse(magic: Any, line: str) -> CellOptions | None:
    """Read a magic's line.

    Parameters
    ----------
    magic
        A function that `flags` decorated.
    line
        What stands behind its name.

    Returns
    -------
    Ask or None
        None if help is asked for.

    Raises
    ------
    ParameterError
        For an unknown flag, a missing or impossible value, or a quote that is not closed.
    """
    name = "%%" + magic.__name__
    try:
        # IPython's own parse_argstring would leave the quotes around a quoted value.
        read = magic.parser.parse_args(shlex.split(line))
    except (UsageError, ValueError, argparse.ArgumentError) as error:
        raise ParameterError(f"{name}: {error}", hint=f"{name} -h lists the flags.") from None
    if read.help:
        return None
    conversation = getattr(read, "conversation", "default")
    if not conversation.strip():
        raise ParameterError(f"{name}: -n needs a name", hint="Such as -n tutor.")
    if getattr(read, "continues", False) and read.image:
        raise ParameterError(
            f"{name}: --continue and -i do not go together",
            hint="The answer goes on with the pictures that it had.",
        )
    return CellOptions(
        request=_options(read),
        compare=_variants(read),
        stream=not read.no_stream,
        output=check_name(read.output),
        into=read.into,
        format=read.format,
        fill=read.fill,
        dry_run=read.dry_run,
        conversation=conversation,
        system=getattr(read, "system", None),
        append=getattr(read, "append", False),
        continues=getattr(read, "continues", False),
        images=tuple(getattr(read, "image", ())),
    )


def _options(read: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(read, name) for name in ("endpoint", "model")}
    for parameter in (*FLAGGED, *SENDING):
        typed = getattr(read, parameter.name, None)
        options[parameter.name] = None if typed is None else parameter.parse(typed)
    return {name: value for name, value in options.items() if value is not None}


def _variants(read: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Read ``--compare``: the options that are different in each column, by its title."""
    if read.compare is None:
        return {}
    name, _, values = read.compare.partition("=")
    name = name.strip().replace("-", "_")
    texts = [text.strip() for text in values.split(",") if text.strip()]
    if name not in COMPARED:
        raise ParameterError(
            f"--compare {read.compare!r}: {name!r} cannot be compared",
            hint=f"Such as --compare temperature=0.1,0.9; also: {', '.join(COMPARED)}.",
        )
    if not 2 <= len(set(texts)) == len(texts) <= MOST_COLUMNS:  # noqa: PLR2004  one is no comparison
        raise ParameterError(
            f"--compare {read.compare!r} has {len(texts)} values, {len(set(texts))} of them "
            f"different, but must have 2 to {MOST_COLUMNS} different ones",
            hint=f"Such as --compare {name}=first,second.",
        )
    if read.format == "code":
        raise ParameterError(
            "--compare and --format code do not go together", hint="Leave one of them out."
        )
    return {f"{name}={text}": {name: _value(COMPARED[name], text)} for text in texts}


def _value(parameter: Parameter | None, text: str) -> Any:
    if parameter is None:
        return text
    return parameter.parse([text] if parameter.type is list else text)


def check_name(name: str | None) -> str | None:
    """Return what ``-o`` names, None if nothing; raise a `ParameterError` if it is no variable."""
    if name is None:
        return None
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ParameterError(f"-o {name!r} is not the name of a variable", hint="Such as -o reply.")
    return name


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """List a parser's long flags, or short ones that have no long form."""
    actions = parser._actions  # noqa: SLF001  argparse shows them nowhere else
    offered: list[str] = []
    for action in actions:
        long = [flag for flag in action.option_strings if flag.startswith("--")]
        offered += long or action.option_strings[-1:]
    return offered

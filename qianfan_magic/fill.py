"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from string import Formatter
from typing import Any

from qianfan_magic.errors import ParameterError


def fill(text: str, variables: Mapping[str, Any]) -> str:
    """Replace ``{name}`` by the notebook's variable of that name, as ``str`` writes it.

    Parameters
    ----------
    text
        ``{{`` and ``}}`` stand for braces.
    variables
        Of the notebook.

    Raises
    ------
    ParameterError
        For a name that there is not, and for braces that hold anything but a name.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ParameterError(f"--fill: {error}", hint=_BRACES) from None
    return "".join(literal + _value(part, variables) for literal, *part in parts)


_BRACES = "A brace that is meant as such is written twice: {{ or }}."


def _value(part: list[str | None], variables: Mapping[str, Any]) -> str:
    name, layout, conversion = part
    if name is None:
        return ""
    if not name.isidentifier() or layout or conversion:
        raise ParameterError(f"--fill takes a variable's name, not {{{name}}}", hint=_BRACES)
    if name not in variables:
        near = difflib.get_close_matches(name, [known for known in variables if known[0] != "_"])
        hint = f"Did you mean {', '.join(near)}?" if near else _BRACES
        raise ParameterError(f"--fill: there is no variable {name}", hint=hint)
    return str(variables[name])

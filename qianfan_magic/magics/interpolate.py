"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from qianfan_magic.errors import ParameterError

#: Rows of a table that are sent.
MOST_ROWS = 20
_BRACES = "A literal brace is written twice: {{ or }}."
_STEP = re.compile(r"\.([^\W\d]\w*)|\[([^\[\]]+)\]")
_FIELD = re.compile(r"([^\W\d]\w*)(?:\.[^\W\d]\w*|\[[^\[\]]+\])*")


def interpolate(text: str, variables: Mapping[str, Any]) -> str:
    """Replace ``{name}``, ``{name.attribute}`` and ``{name[key]}`` by what the notebook holds.

    Nothing is called or evaluated: attributes and keys are looked up, and the value is written as
    ``str`` writes it; a pandas DataFrame as a Markdown table.

    Parameters
    ----------
    text
        ``{{`` and ``}}`` stand for braces. A key of digits is a number, or else text like any.
    variables
        Of the notebook.

    Raises
    ------
    ParameterError
        For a name, attribute or key that there is not, with names that are near; for an attribute
        that begins with an underscore, a function, and braces that hold anything else.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ParameterError(f"--fill: {error}", hint=_BRACES) from None
    return "".join(literal + _filled(part, variables) for literal, *part in parts)


def _filled(part: list[str | None], variables: Mapping[str, Any]) -> str:
    field, layout, conversion = part
    if field is None:
        return ""
    found = _FIELD.fullmatch(field)
    if found is None or layout or conversion:
        written = (
            field + (f"!{conversion}" if conversion else "") + (f":{layout}" if layout else "")
        )
        raise ParameterError(
            f"--fill takes a variable, {{name}}, {{name.attribute}} or {{name[key]}}, not "
            f"{{{written}}}",
            hint=_BRACES,
        )
    try:
        return _written(_look_up(field, found[1], variables), field)
    except ParameterError:
        raise
    except Exception as error:  # noqa: BLE001  whatever an object of the notebook's own raises
        raise ParameterError(
            f"--fill: {{{field}}} cannot be written as text: {type(error).__name__}",
            hint="Convert it to text and put that into a variable.",
        ) from None


def _look_up(field: str, name: str, variables: Mapping[str, Any]) -> Any:
    if name not in variables:
        raise _unknown(f"there is no variable {name}", name, variables)
    value = variables[name]
    for step in _STEP.finditer(field, len(name)):
        attribute, key = step.groups()
        value = _item(value, key, field) if attribute is None else _get(value, attribute, field)
    return value


def _get(value: Any, attribute: str, field: str) -> Any:
    if attribute.startswith("_"):
        raise ParameterError(f"--fill: {{{field}}} asks for the private {attribute}", hint=_BRACES)
    try:
        return getattr(value, attribute)
    except AttributeError:
        what = f"{{{field}}}: {type(value).__name__} has no {attribute}"
        raise _unknown(what, attribute, dir(value)) from None


def _item(value: Any, key: str, field: str) -> Any:
    try:
        return value[int(key) if key.isdecimal() else key]
    except (LookupError, TypeError, ValueError):
        texts = [one for one in _keys(value) if isinstance(one, str)]
        if key in texts:  # "7" is a text there, and no number
            return value[key]
        what = f"{{{field}}}: this {type(value).__name__} has no [{key}]"
        raise _unknown(what, key, texts) from None


def _keys(value: Any) -> Iterable[Any]:
    """Return what can stand in brackets behind a value, if it tells."""
    if _is_frame(value):
        return list(value.columns)
    return value if isinstance(value, Mapping) else ()


def _unknown(what: str, name: str, known: Iterable[str]) -> ParameterError:
    near = difflib.get_close_matches(name, [one for one in known if not one.startswith("_")])
    hint = f"Did you mean {', '.join(near)}?" if near else _BRACES
    return ParameterError(f"--fill: {what}", hint=hint)


def _written(value: Any, field: str) -> str:
    if inspect.isroutine(value):
        raise ParameterError(
            f"--fill: {{{field}}} is a function, and nothing is called",
            hint="Put its result into a variable first.",
        )
    return _table(value) if _is_frame(value) else str(value)


def _is_frame(value: Any) -> bool:
    # Who has a DataFrame has imported pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _table(frame: Any) -> str:
    """Write a DataFrame as a Markdown table; its index too, unless it only counts the rows."""
    shown = frame.head(MOST_ROWS)
    rows = [tuple(shown.columns), *shown.itertuples(index=False, name=None)]
    if not _only_counts(frame.index):
        names = ["" if name is None else name for name in frame.index.names]
        labels = [names, *(label if len(names) > 1 else [label] for label in shown.index)]
        rows = [(*label, *row) for label, row in zip(labels, rows, strict=True)]
    if not rows[0]:
        return f"({len(frame):,} rows without columns)"
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    if len(frame) > len(shown):
        lines.append(f"\n({len(shown)} of {len(frame):,} rows)")
    return "\n".join(lines)


def _only_counts(index: Any) -> bool:
    counts = type(index).__name__ == "RangeIndex" and index.name is None
    return counts and (index.start, index.step) == (0, 1)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")

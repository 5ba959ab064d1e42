"""``--fill``: notebook variables in a cell's text."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from qianfan_magic.errors import ParameterError
from qianfan_magic.language import mark, tr
from qianfan_magic.suggest import did_you_mean

__all__ = ["interpolate"]

#: Largest number of rows of a DataFrame that are sent; a note names how many there are.
MAX_ROWS = 20
_BRACES = mark("A literal brace is written twice: {{ or }}.")
_STEP = re.compile(r"\.([^\W\d]\w*)|\[([^\[\]]+)\]")
_FIELD = re.compile(r"([^\W\d]\w*)(?:\.[^\W\d]\w*|\[[^\[\]]+\])*")


def interpolate(text: str, variables: Mapping[str, Any]) -> str:
    """Replace ``{name}``, ``{name.attribute}`` and ``{name[key]}`` by the notebook's values.

    No function of the user is called and no expression evaluated: attributes and keys are looked
    up, and ``str`` converts the value; a pandas DataFrame becomes a Markdown table.

    Parameters
    ----------
    text
        The text. ``{{`` and ``}}`` stand for braces. A key that consists of digits is tried as a
        number first, then as text.
    variables
        The notebook's variables.

    Raises
    ------
    ParameterError
        For a name, attribute or key that does not exist, with similar ones as the hint; for an
        attribute that begins with an underscore, for a function, and for any other field.

    Examples
    --------
    >>> interpolate("{city[name]} has {{many}} towers", {"city": {"name": "Beijing"}})
    'Beijing has {many} towers'
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ParameterError(f"--fill: {error}", hint=tr(_BRACES)) from None
    return "".join(literal + _field_text(part, variables) for literal, *part in parts)


def _field_text(part: list[str | None], variables: Mapping[str, Any]) -> str:
    """Return the text of one replacement field, a result of `Formatter.parse`."""
    field, format_spec, conversion = part
    if field is None:
        return ""
    found = _FIELD.fullmatch(field)
    if found is None or format_spec or conversion:
        source = field + (f"!{conversion}" if conversion else "")
        source += f":{format_spec}" if format_spec else ""
        raise ParameterError(
            tr(
                "--fill takes a variable, {{name}}, {{name.attribute}} or {{name[key]}}, not "
                "{{{source}}}",
                source=source,
            ),
            hint=tr(_BRACES),
        )
    try:
        return _to_text(_look_up(field, found[1], variables), field)
    except ParameterError:
        raise
    except Exception as error:  # noqa: BLE001  an object of the notebook may raise anything
        raise ParameterError(
            tr(
                "--fill: {{{field}}} cannot be converted to text: {name}",
                field=field,
                name=type(error).__name__,
            ),
            hint=tr("Convert it to text and put that into a variable."),
        ) from None


def _look_up(field: str, name: str, variables: Mapping[str, Any]) -> Any:
    if name not in variables:
        raise _unknown(tr("there is no variable {name}", name=name), name, variables)
    value = variables[name]
    for step in _STEP.finditer(field, len(name)):
        attribute, key = step.groups()
        if attribute is None:
            value = _item(value, key, field)
        else:
            value = _attribute(value, attribute, field)
    return value


def _attribute(value: Any, attribute: str, field: str) -> Any:
    if attribute.startswith("_"):
        raise ParameterError(
            tr(
                "--fill: {{{field}}} uses the private {attribute}", field=field, attribute=attribute
            ),
            hint=tr(_BRACES),
        )
    try:
        return getattr(value, attribute)
    except AttributeError:
        problem = tr(
            "{{{field}}}: {name} has no {attribute}",
            field=field,
            name=type(value).__name__,
            attribute=attribute,
        )
        raise _unknown(problem, attribute, dir(value)) from None


def _item(value: Any, key: str, field: str) -> Any:
    try:
        return value[int(key) if key.isdecimal() else key]
    except (LookupError, TypeError, ValueError):
        text_keys = [existing for existing in _keys(value) if isinstance(existing, str)]
        if key in text_keys:  # digits that are a text key, such as "7"
            return value[key]
        problem = tr(
            "{{{field}}}: this {name} has no [{key}]",
            field=field,
            name=type(value).__name__,
            key=key,
        )
        raise _unknown(problem, key, text_keys) from None


def _keys(value: Any) -> Iterable[Any]:
    """Return the keys of a mapping or the columns of a DataFrame; empty for other values."""
    if _is_frame(value):
        return list(value.columns)
    return value if isinstance(value, Mapping) else ()


def _unknown(problem: str, name: str, known: Iterable[str]) -> ParameterError:
    public = [existing for existing in known if not existing.startswith("_")]
    hint = did_you_mean(name, public, most=3) or tr(_BRACES)
    return ParameterError(f"--fill: {problem}", hint=hint)


def _to_text(value: Any, field: str) -> str:
    if inspect.isroutine(value):
        raise ParameterError(
            tr("--fill: {{{field}}} is a function, which is not called", field=field),
            hint=tr("Put its result into a variable first."),
        )
    return _table(value) if _is_frame(value) else str(value)


def _is_frame(value: Any) -> bool:
    # Not imported here: if the value is a DataFrame, the notebook has imported pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _table(frame: Any) -> str:
    """Return a DataFrame as a Markdown table; with its index unless that only counts the rows."""
    shown = frame.head(MAX_ROWS)
    rows = [tuple(shown.columns), *shown.itertuples(index=False, name=None)]
    if not rows[0]:  # before pandas 3.1 there are no tuples then
        rows = [()] * (len(shown) + 1)
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
    """Tell whether an index is the default one of pandas, which counts from 0."""
    counts = type(index).__name__ == "RangeIndex" and index.name is None
    return counts and (index.start, index.step) == (0, 1)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")

"""The panel of sliders: a plain table in the notebook, which the page makes into controls.

A saved widget reopens as an error where its kernel is gone. So what stays in the notebook is a
table of the values, and the widget's JavaScript puts the controls into that table's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import IGNORED

_HERE = Path(__file__).parent
#: From one end of a slider to the other, for a number that need not be whole.
STEPS = 20
#: A whole number of more values than this is typed.
MOST_STEPS = 10_000
UNSET = "the service decides"


class Panel(anywidget.AnyWidget):
    """The sliders of one notebook, however often they are shown.

    Attributes
    ----------
    rows
        What can be set, see `row_of`.
    values
        By name; what is not in it is left to the service.
    said
        How the last click went.
    advice
        What the service advises on these values.
    can_keep
        Whether there is an answer to keep.
    reply
        The model's id of the widget that shows the answer to "Again"; empty before.
    """

    _esm = _HERE / "panel.js"
    _css = _HERE / "panel.css"
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    values = traitlets.Dict(key_trait=traitlets.Unicode()).tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)
    advice = traitlets.Unicode().tag(sync=True)
    can_keep = traitlets.Bool(default_value=False).tag(sync=True)
    reply = traitlets.Unicode().tag(sync=True)


def row_of(parameter: Parameter) -> dict[str, Any]:
    """Describe a parameter's control: its name, sentence, and kind with bounds and step."""
    row: dict[str, Any] = {"name": parameter.name, "range": parameter.range}
    row["help"] = parameter.help
    if parameter.type is list:
        return row | {"kind": "texts"}
    if parameter.type is bool:
        return row | {"kind": "switch"}
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None or high > MOST_STEPS:
        return row | {"kind": "number", "minimum": low, "step": 1}
    step = (high - low) / STEPS if parameter.type is float else 1
    first = low + step if parameter.above else low
    return row | {"kind": "slider", "minimum": first, "maximum": high, "step": step}


def advice(values: Mapping[str, Any]) -> str:
    """Return what the service's documents advise on these values, if anything."""
    if {"temperature", "top_p"} <= values.keys():
        return "The service advises to set only one of temperature and top_p."
    return ""


def panel_bundle(rows: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, str]:
    """Make the plain output: a table of the values, ``text/html`` and ``text/plain``."""
    shown = {
        row.name: escape_invisible(repr(values[row.name])) for row in rows if row.name in values
    }
    cells = "\n".join(
        f'<tr><td style="text-align:left">{escape(row.name)}</td>'
        f'<td style="text-align:left">{escape(shown.get(row.name, UNSET))}</td>'
        f'<td style="text-align:left">{escape(row.range)}</td></tr>'
        for row in rows
    )
    head = "".join(f'<th style="text-align:left">{h}</th>' for h in ("parameter", "value", "range"))
    width = max(len(row.name) for row in rows)
    plain = [f"{row.name:<{width}}  {shown.get(row.name, UNSET)}" for row in rows]
    advised = advice(values)
    below = f"\n<p>{advised}</p>" if advised else ""
    return {
        "text/html": f'<div class="qianfan-params {IGNORED}">\n<table>\n<thead><tr>{head}</tr>'
        f"</thead>\n<tbody>\n{cells}\n</tbody>\n</table>{below}\n</div>",
        "text/plain": "\n".join([*plain, *[advised] * bool(advised)]),
    }

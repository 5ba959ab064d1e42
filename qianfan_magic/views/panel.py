"""The panel of sliders: a plain table in the notebook, which the page turns into controls.

A saved widget reopens as an error once its kernel is gone (see `qianfan_magic.views.output_area`).
So the notebook keeps a table of the values, and the widget's JavaScript, ``panel.js``, replaces
that table by the controls while the kernel lives.
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

__all__ = ["Panel", "advice", "panel_bundle", "row_of"]

_HERE = Path(__file__).parent
#: Number of steps of a slider whose parameter is a float; a page needs discrete positions.
STEPS = 20
#: Largest maximum for which a whole number gets a slider; with more steps than a slider has
#: pixels, a number field is the better control.
MAX_SLIDER = 10_000
#: Value of a parameter that is not set, as the table shows it.
UNSET = "the service decides"


class Panel(anywidget.AnyWidget):
    """The sliders of one notebook; all places that show them share this model.

    Attributes
    ----------
    rows
        The parameters' controls, see `row_of`.
    values
        Values by parameter name; a parameter without one is left to the service.
    message
        Result of the last click, in one line.
    advice
        The service's advice on these values, see `advice`.
    can_keep
        Whether there is an answer that "Keep" can keep.
    reply
        Model id of the widget that shows the answer to "Again"; empty if there is none.
    """

    _esm = _HERE / "panel.js"
    _css = _HERE / "panel.css"
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    values = traitlets.Dict(key_trait=traitlets.Unicode()).tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    advice = traitlets.Unicode().tag(sync=True)
    can_keep = traitlets.Bool(default_value=False).tag(sync=True)
    reply = traitlets.Unicode().tag(sync=True)


def row_of(parameter: Parameter) -> dict[str, Any]:
    """Describe a parameter's control.

    Returns
    -------
    dict
        ``name``, ``range``, ``help`` and ``kind``: ``texts``, ``switch``, ``number`` or
        ``slider``; for the last two also ``minimum`` and ``step``, for a slider ``maximum``.
    """
    row: dict[str, Any] = {"name": parameter.name, "range": parameter.range}
    row["help"] = parameter.help
    if parameter.type is list:
        return row | {"kind": "texts"}
    if parameter.type is bool:
        return row | {"kind": "switch"}
    low, high = parameter.minimum, parameter.maximum
    if low is None or high is None or high > MAX_SLIDER:
        return row | {"kind": "number", "minimum": low, "step": 1}
    step = (high - low) / STEPS if parameter.type is float else 1
    first = low + step if parameter.above else low  # the minimum itself is excluded
    return row | {"kind": "slider", "minimum": first, "maximum": high, "step": step}


def advice(values: Mapping[str, Any]) -> str:
    """Return the advice of Baidu's documents on these values; empty if there is none."""
    if {"temperature", "top_p"} <= values.keys():
        return "The service recommends that you set only one of temperature and top_p."
    return ""


def panel_bundle(rows: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, str]:
    """Make the MIME bundle that the notebook keeps: a table of the values.

    Parameters
    ----------
    rows
        The parameters, one per row.
    values
        Values by parameter name.
    """
    texts = {
        row.name: escape_invisible(repr(values[row.name])) if row.name in values else UNSET
        for row in rows
    }
    cells = "\n".join(
        f'<tr><td style="text-align:left">{escape(row.name)}</td>'
        f'<td style="text-align:left">{escape(texts[row.name])}</td>'
        f'<td style="text-align:left">{escape(row.range)}</td></tr>'
        for row in rows
    )
    head = "".join(f'<th style="text-align:left">{h}</th>' for h in ("parameter", "value", "range"))
    width = max(len(row.name) for row in rows)
    plain = [f"{row.name:<{width}}  {texts[row.name]}" for row in rows]
    note = advice(values)
    below = f"\n<p>{note}</p>" if note else ""
    # panel.js finds the table by the class `qianfan-params`.
    return {
        "text/html": f'<div class="qianfan-params {IGNORED}">\n<table>\n<thead><tr>{head}</tr>'
        f"</thead>\n<tbody>\n{cells}\n</tbody>\n</table>{below}\n</div>",
        "text/plain": "\n".join([*plain, *[note] * bool(note)]),
    }

"""The panel of sliders: a plain table in the notebook, which the page turns into controls.

A saved widget reopens as an error once its kernel is gone (see `qianfan_magic.views.output_area`).
So the notebook keeps a table of the values, and the widget's JavaScript, ``panel.js``, replaces
that table by the controls while the kernel lives.
"""

from __future__ import annotations

from pathlib import Path

import traitlets

from qianfan_magic.language import mark
from qianfan_magic.views.rendering.style import STYLE_SHEET
from qianfan_magic.views.widget import TransientWidget, compact

__all__ = ["Panel"]

_HERE = Path(__file__).parent


class Panel(TransientWidget):
    """The sliders of one notebook; all places that show them share this model.

    Attributes
    ----------
    offer
        The controls and their heading, see `Offer.state`.
    current
        The class of the table that the controls replace.
    values
        Values by parameter name; a parameter without one is left to the service.
    errors
        What was wrong with values that were refused, by parameter name.
    question
        What "Again" asks, or why it cannot.
    can_ask
        Whether it can.
    clicks
        Number of clicks that have been answered.
    message
        Result of the last click, in one line.
    advice
        What speaks against these values, see `Offer.advice`.
    can_keep
        Whether there is an answer that "Keep" can keep.
    reply
        Model id of the widget that shows the answer to "Again"; empty if there is none.
    """

    instead = mark("Sliders; they need a front end with widgets.")
    _esm = compact(_HERE / "panel.js")
    _css = compact(STYLE_SHEET) + compact(_HERE / "panel.css")
    offer = traitlets.Dict().tag(sync=True)
    current = traitlets.Unicode().tag(sync=True)
    errors = traitlets.Dict(key_trait=traitlets.Unicode()).tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    can_ask = traitlets.Bool(default_value=False).tag(sync=True)
    clicks = traitlets.Int().tag(sync=True)
    values = traitlets.Dict(key_trait=traitlets.Unicode()).tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    advice = traitlets.Unicode().tag(sync=True)
    can_keep = traitlets.Bool(default_value=False).tag(sync=True)
    reply = traitlets.Unicode().tag(sync=True)

"""What a model takes: the rows of the panel of sliders, and the table that the notebook keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import EXCLUSIVE
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.types import Kind
from qianfan_magic.language import mark, tr
from qianfan_magic.views.rendering.answer import line_html, notes_html
from qianfan_magic.views.rendering.math import IGNORED
from qianfan_magic.views.rendering.state_line import value_text
from qianfan_magic.views.rendering.style import inline
from qianfan_magic.views.reports.tables import plain_lines, rows_html

__all__ = ["UNSET", "Offer"]

#: Number of steps of a slider whose parameter is a float; a page needs discrete positions.
STEPS = 20
#: Largest maximum for which a whole number gets a slider; with more steps than a slider has
#: pixels, a number field is the better control.
MAX_SLIDER = 10_000
#: What stands for a parameter that is not set.
UNSET = "\N{EN DASH}"
#: Columns of the table that the notebook keeps.
HEADERS = (mark("parameter"), mark("value"), mark("default"), mark("range"))


@dataclass(frozen=True, slots=True)
class Offer:
    """The parameters that can be set for every cell, as they apply to one model.

    Attributes
    ----------
    model
        Name of the model or endpoint; empty if none is known.
    taken
        The parameters that it takes, with the bounds of its version of the API.
    others
        The parameters that it does not take.
    defaults
        What the model uses for parameters that are not set, by name, as far as its card says.
    """

    model: str
    taken: tuple[Parameter, ...]
    others: tuple[Parameter, ...]
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, rows: Iterable[Parameter], asked: tuple[Service, Kind] | None) -> Offer:
        """Sort parameters by whether the model takes them that cells ask.

        Parameters
        ----------
        rows
            The parameters.
        asked
            The service and the kind of its requests; None if unknown, then all are offered.
        """
        rows = tuple(rows)
        if asked is None:
            return cls("", rows, (), {})
        service, kind = asked
        return cls(
            service.card.name if service.card else service.name,
            tuple(row.within(service.version) for row in rows if service.takes(row, kind)),
            tuple(row for row in rows if not service.takes(row, kind)),
            service.card.defaults if service.card else {},
        )

    @property
    def heading(self) -> str:
        """What the rows are, in one phrase."""
        return tr("Parameters for {model}", model=self.model) if self.model else tr("Parameters")

    def state(self) -> dict[str, Any]:
        """Return what the panel needs: ``heading``, ``model``, and two lists of rows."""
        return {
            "heading": self.heading,
            "model": self.model,
            "taken": [self._control(row) for row in self.taken],
            "others": [self._control(row) for row in self.others],
        }

    def _control(self, row: Parameter) -> dict[str, Any]:
        """Describe a control.

        Its ``kind`` is ``texts``, ``choice`` (with ``choices``), ``number`` or ``slider`` (both
        with ``minimum`` and ``step``, a slider also with ``maximum``).
        """
        control: dict[str, Any] = {"name": row.name, "range": row.range, "help": tr(row.help)}
        if row.name in self.defaults:
            control["default"] = self.defaults[row.name]
        if row.type is list:
            return control | {"kind": "texts"}
        if row.choices or row.type is bool:
            return control | {"kind": "choice", "choices": row.choices or (True, False)}
        low, high = row.minimum, row.maximum
        if low is None or high is None or high > MAX_SLIDER:
            return control | {"kind": "number", "minimum": low, "step": 1}
        step = (high - low) / STEPS if row.type is float else 1
        first = low + step if row.above else low  # the minimum itself is excluded
        return control | {"kind": "slider", "minimum": first, "maximum": high, "step": step}

    def bundle(
        self, values: Mapping[str, Any], *, panel: str = "", note: str = ""
    ) -> dict[str, str]:
        """Make the MIME bundle that the notebook keeps: a table of the values.

        Parameters
        ----------
        values
            Values by parameter name.
        panel
            Class by which panel.js finds the table, to replace it by controls; empty if it stays.
        note
            A line below the table.
        """
        rows = [
            {
                "parameter": row.name,
                "value": value_text(values[row.name]) if row.name in values else UNSET,
                "default": value_text(self.defaults.get(row.name, "")),
                "range": row.range,
            }
            for row in self.taken
        ]
        headers = [name for name in HEADERS if any(row[name] for row in rows)]
        cells = [[row[name] for name in headers] for row in rows]
        table = rows_html([tr(name) for name in headers], cells)
        heading = tr("{heading} ({unset}: the service decides)", heading=self.heading, unset=UNSET)
        names = ", ".join(row.name for row in self.others)
        others = (
            tr("{model} does not take: {names}.", model=self.model, names=names) if names else ""
        )
        stressed = [text for text in (self.advice(values), note) if text]
        notes = [*[others] * bool(others), *stressed]
        # A script replaces the content of this element, in which the table stands directly.
        classes = " ".join(name for name in ("qianfan-params", panel, IGNORED) if name)
        below = (line_html(others) if others else "") + notes_html(stressed)
        return {
            "text/html": f'<div class="{classes}" style="{inline("edge")}">\n'
            f"<p>{escape(heading)}</p>\n{table}{below}\n</div>",
            "text/plain": "\n".join([heading, *plain_lines((), cells), *notes]),
        }

    def advice(self, values: Mapping[str, Any]) -> str:
        """Say what speaks against values by parameter name; empty if nothing does."""
        sentences = []
        unsent = ", ".join(row.name for row in self.others if row.name in values)
        if unsent:
            sentences.append(
                tr("Set, but not sent to {model}: {unsent}.", model=self.model, unsent=unsent)
            )
        if {"temperature", "top_p"} <= values.keys():
            # Baidu's documents.
            sentences.append(
                tr("The service recommends that you set only one of temperature and top_p.")
            )
        if values.keys() >= EXCLUSIVE:
            sentences.append(
                tr(
                    "{names} exclude each other: unset one.",
                    names=tr(" and ").join(sorted(EXCLUSIVE)),
                )
            )
        return " ".join(sentences)

"""``%qianfan params``: parameters that count for every cell, set by hand or in a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.display_functions import publish_display_data

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import SHAPING
from qianfan_magic.errors import ParameterError, QianfanError

if TYPE_CHECKING:
    from qianfan_magic.magics.magics import QianfanMagics
    from qianfan_magic.session.last_answer import LastAnswer
    from qianfan_magic.session.runner import Streamed
    from qianfan_magic.session.session import Session
    from qianfan_magic.views.output_area import CellOutput, PanelOutput
    from qianfan_magic.views.panel import Panel
    from qianfan_magic.views.rendering.answer import AnswerOutput

ROWS = {row.name: row for row in SHAPING}


class SliderPanel:
    """The parameters that the sliders of one notebook set.

    Parameters
    ----------
    magics
        Of the notebook; the values themselves are in its session.
    """

    def __init__(self, magics: QianfanMagics) -> None:
        self._magics = magics
        self._panel: Panel | None = None
        self._place: PanelOutput
        self._shown: list[CellOutput] = []
        self._again: tuple[LastAnswer, Streamed, AnswerOutput] | None = None

    def set(self, words: Sequence[str]) -> None:
        """Set what ``NAME=VALUE`` says; ``none`` leaves it to the service again.

        Raises
        ------
        ParameterError
            For an unknown name or a value out of range; then nothing is set.
        """
        typed: dict[str, list[str]] = {}
        for word in words:
            name, equals, value = word.partition("=")
            name = name.strip().replace("-", "_")
            if name not in ROWS or not equals:
                raise ParameterError(
                    f"%qianfan params {word!r}: this is none of NAME=VALUE",
                    hint=f"NAME is one of {', '.join(ROWS)}; VALUE may be none.",
                )
            typed.setdefault(name, []).append(value)
        values = dict(self._session.sliders)
        for name, texts in typed.items():
            values.pop(name, None)
            if texts[-1].lower() != "none":
                row = ROWS[name]
                values[name] = row.parse(texts if row.type is list else texts[-1])
        self._session.sliders = values
        self._tell()

    def show(self) -> None:
        """Show the values, as controls where somebody may be watching."""
        from qianfan_magic.views.panel import panel_bundle

        bundle = panel_bundle(list(ROWS.values()), self._session.sliders)
        if not self._magics.is_watched():
            publish_display_data(bundle)
            return
        from qianfan_magic.views.output_area import CellOutput

        place = CellOutput()
        place.show(self._open())
        self._shown.append(place)

    def close(self) -> None:
        """Take the controls away; the values stay."""
        if self._panel:
            self._place.close()
            self._panel.close()
            self._panel = None

    @property
    def _session(self) -> Session:
        return self._magics.session

    def _open(self) -> Panel:
        """Return the one panel of the notebook."""
        from qianfan_magic.views.output_area import PanelOutput
        from qianfan_magic.views.panel import Panel, row_of

        if self._panel is None:
            self._panel = Panel(rows=[row_of(row) for row in ROWS.values()])
            self._place = PanelOutput(self._panel)
            self._panel.observe(self._moved, "values")
            self._panel.on_msg(self._clicked)
        self._tell()
        return self._panel

    def _tell(self, said: str = "") -> None:
        """Let the panel show the values that count, and how the last click went."""
        from qianfan_magic.views.panel import advice

        if self._panel:
            values = self._session.sliders
            self._panel.values, self._panel.advice = values, advice(values)
            self._panel.said = said

    def _moved(self, change: dict[str, Any]) -> None:
        try:
            moved = {name: _row(name).check(value) for name, value in change["new"].items()}
        except ParameterError as error:
            self._tell(error.message)
        else:
            self._session.sliders = moved
            self._tell()

    def _clicked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Do what a button of the panel says, and say there how it went: no cell is running."""
        doing = {"shown": self._settle, "again": self._ask_again, "keep": self._keep}
        try:
            self._tell(doing[content["click"]]())
        except KeyboardInterrupt:
            self._tell("Stopped.")
        except QianfanError as error:
            self._tell(f"{error.message}. {error.hint}")

    def _settle(self) -> str:
        """Put the table into the notebook in the panel's place; the page keeps the controls."""
        from qianfan_magic.views.panel import panel_bundle

        for place in self._shown:
            place.put(panel_bundle(list(ROWS.values()), self._session.sliders))
        self._shown.clear()
        return self._panel.said if self._panel else ""

    def _ask_again(self) -> str:
        """Send the last cell's question once more, with the values of the sliders."""
        from qianfan_magic.session.runner import CellRunner

        answered = self._session.answered
        if answered is None or answered.columns:
            raise QianfanError(
                "There is no answer to ask for again", hint="Run a cell that asks for one first."
            )
        self._again = None
        self._open().can_keep = False
        question = answered.question
        options = self._magics.options(question.ask, question.kind)
        kind, sliders = question.kind, self._session.sliders
        options |= self._magics.known(sliders, kind, question.ask, options)
        system = {name: v for name, v in question.options.items() if name == "system"}
        again = replace(question, options=options | system, form=question.shown_as)
        streamed = CellRunner(self._magics.shell, self._session).stream(again, self._place)
        shown = streamed.end()
        if streamed.stop:
            return "Stopped."
        self._again = answered, streamed, shown
        self._open().can_keep = True
        return "Keep puts this answer into the place of the cell's."

    def _keep(self) -> str:
        """Let the new answer take the place of the last cell's."""
        if self._again is None:
            raise QianfanError("There is no answer to keep", hint="Ask for one with Again.")
        answered, again, shown = self._again
        if answered is not self._session.answered:
            raise QianfanError("A cell has asked since", hint="Ask for its answer with Again.")
        metadata = answered.exchange(again.reply, again.sending, self._session)
        answered.place.put(shown.bundle(), metadata)
        if answered.question.ask.output:
            self._magics.shell.user_ns[answered.question.ask.output] = again.reply
        self._again = None
        self._open().can_keep = False
        self._place.close()
        return "Kept: the answer stands under its cell now."


def _row(name: str) -> Parameter:
    if name not in ROWS:
        raise ParameterError(f"There is no slider {name!r}", hint=f"There are: {', '.join(ROWS)}.")
    return ROWS[name]

"""``%qianfan params``: parameters for every cell, set as ``NAME=VALUE`` or in a panel."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from IPython.core.display_functions import publish_display_data

from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import SHAPING
from qianfan_magic.conversation.turn import excerpt
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.language import tr
from qianfan_magic.magics.command import Command
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.suggest import did_you_mean

if TYPE_CHECKING:
    from qianfan_magic.session.answer_stream import AnswerStream
    from qianfan_magic.session.last_answer import LastAnswer
    from qianfan_magic.views.offer import Offer
    from qianfan_magic.views.output_area import PanelOutput, PanelTable
    from qianfan_magic.views.panel import Panel

__all__ = ["SLIDER_PARAMETERS", "SliderPanel"]

#: The parameters that the panel sets, by name.
SLIDER_PARAMETERS = {row.name: row for row in SHAPING}


class SliderPanel:
    """The panel of one notebook, and the subcommand that sets its values and shows it.

    The values themselves are in the session; the widget is made when it is first shown.

    Parameters
    ----------
    context
        The notebook.
    """

    def __init__(self, context: MagicContext) -> None:
        self._context = context
        self._session = context.session
        self._panel: Panel | None = None
        self._area: PanelOutput
        self._offer: Offer
        self._table: PanelTable | None = None
        #: The last answer of a cell, and the one that "Again" got for the same request.
        self._again: tuple[LastAnswer, AnswerStream] | None = None
        self.command = Command(
            "params",
            tr(
                "sliders for the parameters of every cell; temperature=0.3 sets one, "
                "=none unsets it"
            ),
            self._run,
            _add_arguments,
        )

    def close(self) -> None:
        """Close the widgets; the values stay."""
        if self._panel:
            self._context.shell.events.unregister("post_run_cell", self._after_a_cell)
            self._area.close()
            self._panel.close()
            self._panel = None

    def _run(self, arguments: argparse.Namespace) -> None:
        before = dict(self._session.sliders)
        self._set(arguments.values)
        if self._table:
            self._table.retire(before)
        self._show()

    def _set(self, words: Sequence[str]) -> None:
        """Set the values of ``NAME=VALUE`` words; ``none`` leaves one to the service again.

        Raises
        ------
        ParameterError
            For an unknown name or a value out of range; then nothing is set.
        """
        texts: dict[str, list[str]] = {}
        for word in words:
            name, equals, value = word.partition("=")
            name = name.strip().replace("-", "_")
            if not name or not equals:
                raise ParameterError(
                    tr("%qianfan params {word!r} is not of the form NAME=VALUE", word=word),
                    hint=tr("Such as temperature=0.3; temperature=none leaves it to the service."),
                )
            texts.setdefault(name, []).append(value)
        values = dict(self._session.sliders)
        for name, repeated in texts.items():
            parameter = _parameter(name)
            values.pop(name, None)
            if repeated[-1].lower() != "none":
                text = repeated if parameter.type is list else repeated[-1]
                values[name] = parameter.parse(text)
        self._session.sliders = values
        self._refresh()

    def _show(self) -> None:
        """Show the values, as controls if the front end may show them."""
        if not self._context.shows_widgets():
            publish_display_data(self._make_offer().bundle(self._session.sliders))
            return
        from qianfan_magic.session.last_answer import cell_number
        from qianfan_magic.views.output_area import PanelTable

        panel = self._open()
        panel.current = f"qianfan-panel-{cell_number(self._context.shell)}"
        self._table = PanelTable(panel, self._offer, self._session.sliders)

    def _make_offer(self) -> Offer:
        """Return what the model takes that a cell without flags asks."""
        from qianfan_magic.views.offer import Offer

        return Offer.of(SHAPING, self._context.default_service())

    def _open(self) -> Panel:
        """Return the one panel of the notebook, as it fits the model that cells ask now."""
        from qianfan_magic.views.output_area import PanelOutput
        from qianfan_magic.views.panel import Panel

        self._offer = self._make_offer()
        state = self._offer.state()
        if self._panel is None:
            self._panel = Panel(offer=state)
            self._area = PanelOutput(self._panel)
            self._panel.observe(self._on_values, "values")
            self._panel.on_msg(self._on_message)
            self._context.shell.events.register("post_run_cell", self._after_a_cell)
        self._panel.offer = state
        self._refresh()
        return self._panel

    def _refresh(self, message: str = "", errors: dict[str, str] | None = None) -> None:
        """Let the panel show the values in effect, and the result of the last click."""
        if self._panel:
            values = self._session.sliders
            self._panel.values, self._panel.advice = values, self._offer.advice(values)
            self._panel.message, self._panel.errors = message, errors or {}
            self._panel.question, self._panel.can_ask = self._question()

    def _after_a_cell(self, _: Any) -> None:
        """Let the panel name the question of the last cell."""
        if self._panel:
            self._panel.question, self._panel.can_ask = self._question()

    def _question(self) -> tuple[str, bool]:
        """Say what "Again" asks, and tell whether it can."""
        last = self._session.last_answer
        if last is None:
            return tr("Again needs an answer: run a cell that asks something."), False
        if last.columns:
            return tr(
                "Again needs one answer: cell [{number}] compared several.", number=last.number
            ), False
        return tr(
            "asks cell [{number}] again: {excerpt}",
            number=last.number,
            excerpt=excerpt(last.request.text),
        ), True

    def _on_values(self, change: dict[str, Any]) -> None:
        """Check values that the page sets; the page gets the old ones back for invalid ones."""
        values, errors = {}, {}
        for name, value in change["new"].items():
            try:
                values[name] = _parameter(name).check(value)
            except ParameterError as error:
                errors[name] = error.message
        before = self._session.sliders
        kept = {name: before[name] for name in errors if name in before}
        self._session.sliders = values | kept
        self._refresh(errors=errors)

    def _on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Run the action of a button; the result goes into the panel, since no cell is running."""
        actions = {
            "shown": self._settle,
            "left": self._update_table,
            "again": self._ask_again,
            "keep": self._keep,
        }
        try:
            self._refresh(actions[content["click"]]())
        except KeyboardInterrupt:
            self._refresh("Stopped.")
        except QianfanError as error:
            self._refresh(f"{error.message}. {error.hint}")
        if self._panel:
            self._panel.clicks += 1

    def _settle(self) -> str:
        """Replace the widget by the table in the notebook; the page keeps the controls."""
        if self._table:
            self._table.settle()
        return self._panel.message if self._panel else ""

    def _update_table(self) -> str:
        """Write the values that were set in the panel into the notebook's table."""
        if self._table:
            self._table.update(self._session.sliders)
        return self._panel.message if self._panel else ""

    def _ask_again(self) -> str:
        """Send the last cell's request once more, with the values of the sliders."""
        from qianfan_magic.session.runner import CellRunner

        last = self._session.last_answer
        if last is None or last.columns:
            raise QianfanError(
                tr("There is no answer to request again"),
                hint=tr("Run a cell that gets one first."),
            )
        self._again = None
        self._open().can_keep = False
        client = self._session.load_client()
        runner = CellRunner(self._context.shell, self._session, client)
        request, context = last.request, self._context
        service = context.service(client, request.kind, request.options.request)
        parameters = {
            **{name: v for name, v in request.parameters.items() if name == "system"},
            **context.request_parameters(
                context.parameters(), request.kind, request.options, {}, service
            ),
            **context.applicable(self._session.sliders, request.kind, [service]),
        }
        again = replace(request, service=service, parameters=parameters, format=request.view_format)
        answer, view = runner.stream(again, self._area)
        view.end(answer.output())
        if answer.interrupt:
            return "Stopped."
        self._again = last, answer
        self._open().can_keep = True
        return tr("Keep replaces the cell's answer with this one.")

    def _keep(self) -> str:
        """Replace the last cell's answer by the new one."""
        if self._again is None:
            raise QianfanError(tr("There is no answer to keep"), hint=tr("Request one with Again."))
        last, again = self._again
        if last is not self._session.last_answer:
            raise QianfanError(
                tr("Another cell has asked since"), hint=tr("Ask for its answer with Again.")
            )
        record = last.replace_with(again, self._session.conversations)
        output = again.output()
        last.area.put(output.bundle(), record)
        self._session.shown.remember(last, output, record)
        if last.request.options.output:
            self._context.shell.user_ns[last.request.options.output] = again.reply
        self._again = None
        self._open().can_keep = False
        self._area.close()
        return tr("Kept: the answer is below its cell now.")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help=tr("stop may come twice"))


def _parameter(name: str) -> Parameter:
    if name not in SLIDER_PARAMETERS:
        hint = did_you_mean(name, SLIDER_PARAMETERS)
        raise ParameterError(
            tr("%qianfan params has no {name!r}", name=name),
            hint=hint or tr("There are: {names}.", names=", ".join(SLIDER_PARAMETERS)),
        )
    return SLIDER_PARAMETERS[name]

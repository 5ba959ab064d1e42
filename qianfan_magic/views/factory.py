"""Choose the view and the output area that suit the place where the code runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from qianfan_magic.conversation.turn import sent_cell_id
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.api.types import Chunk
    from qianfan_magic.views.output_area import OutputArea
    from qianfan_magic.views.rendering.answer import PlainOutput
    from qianfan_magic.views.rendering.calls import CallOutput
    from qianfan_magic.views.rendering.state_line import AnswerHead

__all__ = ["View", "is_console", "is_watched", "make_output_area", "make_view"]


class View(Protocol):
    """Shows answers while they arrive, one or several side by side, and their final output."""

    def begin(self) -> None:
        """Show that an answer is being waited for."""

    def write(self, chunk: Chunk, column: int = 0) -> None:
        """Show the next chunk of an answer."""

    def show_call(self, call: CallOutput, number: int) -> None:
        """Show a call of a function, the first time before it is made; its number is from 0."""

    def confirm(self, call: CallOutput, number: int) -> bool:
        """Ask the user whether a call that is shown may be made."""

    def end(self, shown: PlainOutput, metadata: Mapping[str, Any] = ...) -> None:
        """Show the final output of the answers; the metadata is saved with it."""


def is_watched(shell: InteractiveShell, live: str) -> bool:
    """Tell whether somebody may be watching this kernel's notebook in a front end.

    Where nobody is, frames of a growing answer would be waste, and nbval would compare them.

    Parameters
    ----------
    shell
        The shell in which the cell runs.
    live
        The setting QIANFAN_LIVE. ``on`` and ``off`` decide, except where the server runs the cell
        and no widget would be shown; ``auto`` looks for signs of a front end. A Jupyter server sets
        the kernel's environment variable JPY_SESSION_NAME, VS Code the notebook variable
        ``__vsc_ipynb_file__``; nbclient, papermill and nbval set neither.
    """
    if _is_run_by_server(shell):
        return False
    if live != "auto":
        return live == "on"
    # nbval's kernel inherits this variable, and from a notebook that runs pytest also the next one.
    if "PYTEST_VERSION" in os.environ:
        return False
    has_notebook = "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in shell.user_ns
    return has_notebook or "google.colab" in sys.modules


def is_console(shell: InteractiveShell, live: str) -> bool:
    """Tell whether this kernel's front end is a console, which shows text and has no widgets.

    ``jupyter console`` 6.6 and qtconsole 5.7 do not say who they are. But with each request to
    execute code they say that they can answer ``input()``; nbclient (with it papermill) and nbval
    say that they cannot. A notebook can, too, and names the cell in the request's metadata.

    Parameters
    ----------
    shell
        The shell in which the cell runs.
    live
        The setting QIANFAN_LIVE; anything but ``auto`` decides by itself, see `is_watched`.
    """
    if live != "auto" or "PYTEST_VERSION" in os.environ or is_watched(shell, live):
        return False
    if _is_run_by_server(shell):
        return False
    get_parent = getattr(shell, "get_parent", None)
    request = get_parent() if get_parent else {}
    can_answer = bool(request.get("content", {}).get("allow_stdin"))
    return can_answer and not sent_cell_id(request)


def _is_run_by_server(shell: InteractiveShell) -> bool:
    """Tell whether the Jupyter server runs the cell in the page's place.

    With jupyter-server-nbmodel it writes the outputs into the document that several pages share,
    shows no widgets and ignores updates of an output (0.2.9, ``actions.py``), so that an answer in
    a widget would be lost. Its request lacks the id of the cell, which JupyterLab's own has.
    """
    if "JPY_SESSION_NAME" not in os.environ or "__vsc_ipynb_file__" in shell.user_ns:
        return False
    get_parent = getattr(shell, "get_parent", None)
    parent = get_parent() if get_parent else {}
    is_execution = parent.get("header", {}).get("msg_type") == "execute_request"
    return is_execution and not sent_cell_id(parent)


def make_view(
    shell: InteractiveShell,
    live: str,
    heads: Sequence[AnswerHead],
    *,
    form: str,
    area: OutputArea,
) -> View:
    """Make the view of one answer, or of several side by side.

    Parameters
    ----------
    shell
        The shell in which the cell runs; one without a kernel is a terminal.
    live
        The setting QIANFAN_LIVE, see `is_watched` and `is_console`.
    heads
        What is known of each answer; one without a title stands alone.
    form
        Format of the answer: ``markdown``, ``text``, ``json``, ``schema`` or ``html``.
    area
        The output area, for a notebook.
    """
    from qianfan_magic.views.plain import FinalView

    if not hasattr(shell, "kernel"):
        return _rendered_view(heads, form) or _text_view(heads, is_read=sys.stdout.isatty())
    if is_console(shell, live):
        return _text_view(heads, is_read=True)
    if not is_watched(shell, live):
        return FinalView(area)
    from qianfan_magic.views.live import LiveView

    kernel = shell.kernel if _has_click_to_kernel(shell) else None
    return LiveView(area, heads, markdown=form == "markdown", kernel=kernel)


def _has_click_to_kernel(shell: InteractiveShell) -> bool:
    """Tell whether a click of the page reaches the kernel while a cell runs, see `consent`."""
    return "__vsc_ipynb_file__" not in shell.user_ns and "google.colab" not in sys.modules


def _text_view(heads: Sequence[AnswerHead], *, is_read: bool) -> View:
    from qianfan_magic.views.plain import TerminalColumns, TerminalView

    return TerminalColumns() if heads[0].title else TerminalView(shows_pace=is_read)


def _rendered_view(heads: Sequence[AnswerHead], form: str) -> View | None:
    """Make the view of a terminal that shows styles; None if there is none, or no rich."""
    try:
        from qianfan_magic.views.terminal import MarkdownColumns, MarkdownView, make_console
    except ImportError:  # rich is missing, or older than the extra `terminal` allows
        return None
    console = make_console()
    if console is None:
        return None
    if heads[0].title:
        return MarkdownColumns(console, [head.title for head in heads])
    return MarkdownView(console) if form == "markdown" else None


def make_output_area(shell: InteractiveShell, live: str, into: str | None) -> OutputArea:
    """Return the output area of a cell.

    Parameters
    ----------
    shell
        The shell in which the cell runs.
    live
        The setting QIANFAN_LIVE, see `is_console`.
    into
        Name of a notebook variable that holds an `ipywidgets.Output`; None for the cell's output.

    Raises
    ------
    ParameterError
        If the variable does not exist or holds something else.
    """
    from qianfan_magic.views.output_area import CellOutput, TerminalOutput, WidgetOutput

    if into is None:
        has_outputs = hasattr(shell, "kernel") and not is_console(shell, live)
        return CellOutput() if has_outputs else TerminalOutput()
    from ipywidgets import Output

    output = shell.user_ns.get(into)
    if not isinstance(output, Output):
        raise ParameterError(
            tr("--into: {into!r} is not an ipywidgets.Output of this notebook", into=into),
            hint=tr("Make one first: {into} = ipywidgets.Output(); display({into})", into=into),
        )
    return WidgetOutput(output)

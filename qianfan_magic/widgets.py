"""The live view of an answer for programs, in every front end that shows anywidget's widgets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from qianfan_magic.api.types import Chunk
from qianfan_magic.api.wire.search_results import read_search_results
from qianfan_magic.views.live import LiveReply, LiveView
from qianfan_magic.views.rendering.answer import NOTHING, AnswerOutput
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.state_line import AnswerHead, pace_text

__all__ = ["Reply"]


class Reply(LiveReply):
    """A widget that shows an answer while it arrives, as ``%%qianfan_chat`` does.

    It is for places without cell magics, such as marimo or an application of ipywidgets.
    The answer is rendered and sanitised in Python; without a kernel the page shows nothing of it.

    Parameters
    ----------
    name
        What the line under the answer calls the model.
    markdown
        Whether the answer is rendered as Markdown. Default: True; otherwise it is shown verbatim.

    Examples
    --------
    In marimo (elsewhere ``display(view)``)::

        view = Reply("ernie-5.1")
        mo.output.append(view)
        text = view.show(client.stream_chat(messages, model="ernie-5.1"))
    """

    def __init__(self, name: str = "model", *, markdown: bool = True) -> None:
        super().__init__(services=[escape_invisible(name)], parameters=[""])
        self._name = name
        self._form = "markdown" if markdown else "text"
        self._view = LiveView(_OwnPlace(), [AnswerHead(name)], markdown=markdown, widget=self)

    def show(self, chunks: Iterable[Chunk]) -> str:
        """Show a stream until its end; to be called once.

        Parameters
        ----------
        chunks
            The pieces of the answer, as `QianfanClient.stream_chat` and ``stream_complete`` yield
            them.

        Returns
        -------
        str
            The text of the answer.

        Raises
        ------
        QianfanError, KeyboardInterrupt
            Those of the stream; the line under the answer then says that it is incomplete.
        """
        text, tokens, state = "", 0, "broken off"
        sources: dict[int, Any] = {}
        started, first = time.monotonic(), 0.0
        try:
            for chunk in chunks:
                first = first or time.monotonic()
                self._view.write(chunk)
                text += chunk.text
                tokens = max(tokens, chunk.usage.completion_tokens)
                sources |= {source.index: source for source in read_search_results(chunk.raw)}
            state = "done"
        except KeyboardInterrupt:
            state = "stopped"
            raise
        finally:
            pace = pace_text(first - started, tokens, time.monotonic() - first) if first else ""
            self._view.end(
                AnswerOutput(
                    text,
                    self._form,
                    service=self._name,
                    state=state,
                    tokens=tokens,
                    sources=tuple(sources.values()),
                    pace=pace,
                )
            )
        return text


class _OwnPlace:
    """The place of a widget that its owner shows, and that stays."""

    keeps_widget = True

    def show(self, widget: Any) -> None:
        """Do nothing: the owner shows it."""

    def put(self, bundle: dict[str, str], metadata: Mapping[str, Any] = NOTHING) -> None:
        """Do nothing: the widget stays."""

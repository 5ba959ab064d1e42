"""The progress of many requests: a bar while they run, one line of totals at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.extras import import_extra
from qianfan_magic.language import tr, trn
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.rendering.answer import message_bundle
from qianfan_magic.views.rendering.state_line import join_parts, tokens_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Progress", "totals_text"]


class Progress:
    """A bar of tqdm with tokens and failures beside it; nothing of it stays in the notebook.

    Parameters
    ----------
    shell
        The shell in which the cell runs.
    total
        Number of rows.
    is_watched
        Whether somebody may be watching; otherwise there is no bar.
    """

    def __init__(self, shell: InteractiveShell, total: int, *, is_watched: bool) -> None:
        self._tokens = self._failures = 0
        self._area = CellOutput() if hasattr(shell, "kernel") else None
        self._bar: Any = None
        if not is_watched:
            return
        unit = " " + tr("rows")
        if self._area:
            tqdm = import_extra("tqdm.notebook", "batch").tqdm
            self._bar = tqdm(total=total, unit=unit, display=False)
            self._area.show(self._bar.container)
        else:
            tqdm = import_extra("tqdm", "batch").tqdm
            self._bar = tqdm(total=total, unit=unit, leave=False)

    def add(self, tokens: int, *, failed: bool) -> None:
        """Count one row."""
        self._tokens += tokens
        self._failures += failed
        if self._bar is not None:
            figures = {tr("tokens"): f"{self._tokens:,}", tr("failed"): self._failures}
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update()

    def end(self, text: str) -> None:
        """Put a line of totals in the place of the bar."""
        if self._bar is not None:
            self._bar.close()
        if self._area is None:
            print(text)  # noqa: T201  a terminal
        else:
            self._area.put(message_bundle(text))
            if self._bar is not None:
                _close_widgets(self._bar.container)


def _close_widgets(container: Any) -> None:
    """Close a box of widgets and what each of them consists of; tqdm leaves them all open."""
    for widget in (*container.children, container):
        for part in (getattr(widget, "style", None), widget.layout, widget):
            if part is not None:
                part.close()


def totals_text(
    rows: int, answered: int, failures: Mapping[str, int], tokens: int, service: str
) -> str:
    """Write the line of totals, the same each time that the same rows are asked.

    Examples
    --------
    >>> totals_text(3, 2, {"APIError": 1}, 120, "ernie-5.1")
    'ernie-5.1 · 2 of 3 rows answered · 1 failed (1 APIError) · 120 tokens'
    """
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(failures.items()))
    failed = sum(failures.values())
    return join_parts(
        service,
        trn(
            "{answered:,} of {count:,} row answered",
            "{answered:,} of {count:,} rows answered",
            rows,
            answered=answered,
        ),
        tr("{failed:,} failed ({kinds})", failed=failed, kinds=kinds) if failed else "",
        tokens_text(tokens),
    )

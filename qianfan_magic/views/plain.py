"""Views without a widget: one final output, and text in a terminal."""

from __future__ import annotations

import sys

from IPython.core.display_functions import publish_display_data

from qianfan_magic.views.markdown import visible
from qianfan_magic.views.shown import Shown


class FinalView:
    """Shows an answer once, when it is whole: for notebooks that nobody watches."""

    def begin(self) -> None:
        """Show nothing yet."""

    def write(self, text: str) -> None:
        """Wait for the rest."""

    def end(self, shown: Shown) -> None:
        """Show the answer, if there is any."""
        if shown.text or shown.notes:
            publish_display_data(shown.bundle())


class TerminalView:
    """Writes an answer into a terminal as it arrives, control characters made visible."""

    def __init__(self) -> None:
        self._begun = False
        self._held = ""

    def begin(self) -> None:
        """Show nothing yet."""

    def write(self, text: str) -> None:
        """Show more of the answer."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""  # perhaps half of a line's end
        text = text.removesuffix("\r")
        seen = visible(text) if self._begun else visible(text).lstrip("\n")
        self._begun = self._begun or bool(seen)
        sys.stdout.write(seen)
        sys.stdout.flush()

    def end(self, shown: Shown) -> None:
        """Show what stands under the answer."""
        if not (self._begun or shown.notes):
            return
        sys.stdout.write("".join(f"\n[{visible(note)}]" for note in shown.notes) + "\n")
        sys.stdout.flush()

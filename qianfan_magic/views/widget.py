"""What the widgets have in common: they leave nothing behind, and say in words what they are."""

from __future__ import annotations

import re
from pathlib import Path

import anywidget
import traitlets

from qianfan_magic.language import current_language, tr

__all__ = ["TransientWidget", "compact"]

#: The messages of a script.
_MESSAGE = re.compile(r'\btr\("((?:[^"\\]|\\.)*)"')

#: Comments of CSS, and lines of JavaScript that are comments.
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)


class TransientWidget(anywidget.AnyWidget):
    """A widget that is never saved: at its end plain output takes its place.

    It has no model of a layout (`ipywidgets.Layout`), which would stay open in the kernel and on
    the page when the widget is closed.

    Attributes
    ----------
    instead
        What is shown where there are no widgets.
    translations
        What the script shows instead of its English messages.
    """

    instead = ""
    translations = traitlets.Dict().tag(sync=True)
    layout = traitlets.Any(None).tag(sync=True)  # ipywidgets' own trait makes a Layout

    def __repr__(self) -> str:
        """Return the words that front ends without widgets show."""
        return tr(self.instead)

    @traitlets.default("translations")
    def _translate_script(self) -> dict[str, str]:
        """Return the messages of the script in the current language; empty for English."""
        if current_language() == "en":
            return {}
        return {message: tr(message) for message in _MESSAGE.findall(str(self._esm))}


def compact(path: Path) -> str:
    """Read a script or a style sheet without its comments and indentation.

    It is part of a widget's state, and so is sent anew with every answer.
    """
    lines = _COMMENT.sub("", path.read_text("utf-8")).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip())

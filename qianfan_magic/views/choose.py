"""Which view suits the place where the code runs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.views.play import View


def is_watched(shell: InteractiveShell, live: str) -> bool:
    """Tell whether somebody may be watching this kernel's notebook.

    Parameters
    ----------
    shell
        Of the kernel.
    live
        QIANFAN_LIVE: ``on`` and ``off`` decide; ``auto`` looks for a front end. Jupyter's
        servers give the kernel JPY_SESSION_NAME, VS Code the variable ``__vsc_ipynb_file__``;
        nbclient, papermill and nbval give neither, and pytest sets PYTEST_VERSION.
    """
    if live != "auto":
        return live == "on"
    if "PYTEST_VERSION" in os.environ:
        return False
    named = "JPY_SESSION_NAME" in os.environ or "__vsc_ipynb_file__" in shell.user_ns
    return named or "google.colab" in sys.modules


def make_view(shell: InteractiveShell, live: str, asked: str, *, markdown: bool) -> View:
    """Make the view of one answer: a widget, one final output, or text in a terminal."""
    from qianfan_magic.views.plain import FinalView, TerminalView

    if not hasattr(shell, "kernel"):
        return TerminalView()
    if not is_watched(shell, live):
        return FinalView()
    from qianfan_magic.views.live import LiveView

    return LiveView(asked, markdown=markdown)

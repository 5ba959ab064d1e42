"""Ask the user whether a call of a function may be made, while the cell is running.

ipykernel 7.4 handles no widget message while a cell runs, so a click cannot be a Python callback.
The page sends it as an answer to ``input()`` instead, which the kernel reads from a socket of its
own (JupyterLab 4.6, Notebook 7.6). Elsewhere, as in VS Code, the page has no such way, and the user
is asked by ``input()`` itself.
"""

from __future__ import annotations

from typing import Any

from qianfan_magic.language import tr

__all__ = ["asked_in_words", "wait_for_click"]

#: Milliseconds between two looks at the socket; an interrupt is noticed between them.
_INTERVAL = 100


def wait_for_click(kernel: Any, allow: str, refuse: str) -> bool:
    """Wait until the page sends a click, and tell whether it allows the call.

    Parameters
    ----------
    kernel
        The kernel, of ipykernel.
    allow, refuse
        What the buttons send. Both are random, so that a second click on the buttons of an
        earlier call, in another window, does not count for this one.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts the cell instead.
    """
    socket, session = kernel.stdin_socket, kernel.session
    while True:
        if socket.poll(_INTERVAL):
            _, reply = session.recv(socket)
            value = reply["content"].get("value") if reply else None
            if value in (allow, refuse):
                return bool(value == allow)


def asked_in_words() -> bool:
    """Ask by ``input()``."""
    answer = input("\n" + tr("Make this call? [y/N]") + " ")
    return answer.strip().lower() in {"y", "yes", "\u662f"}

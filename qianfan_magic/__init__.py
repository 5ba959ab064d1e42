"""Talk to a Baidu Qianfan model from a Jupyter notebook.

``%load_ext qianfan_magic`` gives ``%%qianfan_chat``, ``%%qianfan_complete`` and ``%qianfan``;
programs import `QianfanClient`. Only the names in ``__all__`` are the package's API.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qianfan_magic._version import __version__ as __version__
from qianfan_magic.language import tr

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.config.credentials import Credentials
    from qianfan_magic.api.config.settings import Settings
    from qianfan_magic.api.types import Chunk, Message, Reply, SearchResult, Usage
    from qianfan_magic.errors import (
        APIError,
        AuthError,
        ParameterError,
        QianfanError,
        RateLimitError,
        SchemaError,
        SettingsError,
        StreamError,
        TokenExpiredError,
        TransportError,
    )

__all__ = [
    "APIError",
    "AuthError",
    "Chunk",
    "Credentials",
    "Message",
    "ParameterError",
    "QianfanClient",
    "QianfanError",
    "RateLimitError",
    "Reply",
    "SchemaError",
    "SearchResult",
    "Settings",
    "SettingsError",
    "StreamError",
    "TokenExpiredError",
    "TransportError",
    "Usage",
    "load_ipython_extension",
    "unload_ipython_extension",
]

#: The module of each public name; imported late, since requests alone takes 0.1 s.
_MODULES = {
    "QianfanClient": "api.client",
    "Credentials": "api.config.credentials",
    "Settings": "api.config.settings",
    **dict.fromkeys(("Chunk", "Message", "Reply", "SearchResult", "Usage"), "api.types"),
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "errors"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, so that Tab offers them."""
    return __all__


def load_ipython_extension(ipython: InteractiveShell | None) -> None:
    """Register the magics; IPython calls this for ``%load_ext qianfan_magic``.

    Raises
    ------
    SettingsError
        If there is no IPython.
    """
    if ipython is None:  # marimo, and plain Python: get_ipython() is None there
        from qianfan_magic.errors import SettingsError

        raise SettingsError(
            tr("There is no IPython here, and so there are no magics"),
            hint=tr("Use QianfanClient, and qianfan_magic.widgets.Reply to show its streams."),
        )
    from contextlib import suppress

    from qianfan_magic.api.config.credentials import Credentials
    from qianfan_magic.api.config.settings import load_settings
    from qianfan_magic.errors import QianfanError

    with suppress(QianfanError):  # a cell that asks will raise it again
        load_settings(credentials=Credentials())  # chooses the language of the help
    from qianfan_magic.magics.magics import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Remove everything again; IPython calls this for ``%unload_ext qianfan_magic``."""
    from qianfan_magic.magics.magics import unload

    unload(ipython)

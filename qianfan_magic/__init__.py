"""Talk to a Baidu Qianfan model from a Jupyter notebook.

``%load_ext qianfan_magic`` gives ``%%qianfan_chat``, ``%%qianfan_complete`` and ``%qianfan``;
programs import `QianfanClient`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qianfan_magic._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.types import Chunk, Reply, Usage
    from qianfan_magic.errors import (
        APIError,
        AuthError,
        ParameterError,
        QianfanError,
        RateLimitError,
        SettingsError,
        StreamError,
        TokenExpiredError,
        TransportError,
    )

__all__ = [
    "APIError",
    "AuthError",
    "Chunk",
    "ParameterError",
    "QianfanClient",
    "QianfanError",
    "RateLimitError",
    "Reply",
    "SettingsError",
    "StreamError",
    "TokenExpiredError",
    "TransportError",
    "Usage",
    "load_ipython_extension",
    "unload_ipython_extension",
]
_ROOMS = {"QianfanClient": "api.client", "Chunk": "api.types", "Reply": "api.types"}
_ROOMS |= {"Usage": "api.types"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: requests alone takes a tenth of a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    """List the public names, so that Tab offers them."""
    return __all__


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Add the magics; IPython calls this for ``%load_ext qianfan_magic``."""
    from qianfan_magic.magics.magics import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take everything back; IPython calls this for ``%unload_ext qianfan_magic``."""
    from qianfan_magic.magics.magics import unload

    unload(ipython)

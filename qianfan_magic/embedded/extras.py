"""The error for a missing optional dependency of the demo.

It stands apart from the server, which cannot be imported without tornado.
"""

from __future__ import annotations

from qianfan_magic.errors import QianfanError

__all__ = ["missing"]


def missing(error: ImportError) -> QianfanError:
    """Return an error that names the missing package and the command that installs it."""
    return QianfanError(
        f"The demo needs the package {error.name}",
        hint="Install it with: python -m pip install 'qianfan-magic[demo]'",
    )

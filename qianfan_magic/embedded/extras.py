"""The error for a package that only the demo needs, and that is not installed.

It has a module of its own because those who raise it could not import the server's modules.
"""

from __future__ import annotations

from qianfan_magic.errors import QianfanError

__all__ = ["missing_package_error"]


def missing_package_error(error: ImportError) -> QianfanError:
    """Return an error that names the missing package and the command that installs it."""
    return QianfanError(
        f"The demo needs the package {error.name}",
        hint="Install it with: python -m pip install 'qianfan-magic[demo]'",
    )

"""Packages of an extra, imported late, with an error that says what to install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr

__all__ = ["import_extra"]


def import_extra(package: str, extra: str) -> Any:
    """Return a package's module.

    Parameters
    ----------
    package
        The module's name.
    extra
        The extra of this package that brings it, which is also the name of the option.

    Raises
    ------
    ParameterError
        If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise ParameterError(
            tr(
                "The option {option} needs the package {package}, which is not installed",
                option=extra,
                package=package,
            ),
            hint=tr("Install it: pip install 'qianfan-magic[{extra}]'", extra=extra),
        ) from None

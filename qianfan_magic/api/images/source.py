"""The images that ``-i`` names: variables and files of the notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.images.image import MAX_BYTES_READ, Image, image_error, make_image, pillow
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import tr
from qianfan_magic.suggest import did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["read_image"]


def read_image(name: str, variables: Mapping[str, Any], folder: Path) -> Image:
    """Read the image that a flag ``-i`` names.

    Parameters
    ----------
    name
        A variable, unless it begins with an underscore; otherwise the path of a file.
    variables
        The notebook's variables.
    folder
        The folder that relative paths start in.

    Raises
    ------
    ParameterError
        If there is neither such a variable nor such a file, if it is not an image or a damaged
        one, if it has more than 100 MB or 100 million pixels, or if a figure cannot be drawn.
    QianfanError
        If Pillow is not installed.
    """
    pillow()
    # IPython's own variables begin with an underscore, such as `_i`.
    if name.isidentifier() and not name.startswith("_") and name in variables:
        content = _read_variable(name, variables[name], folder)
    else:
        path = _existing_path(name, folder)
        if path is None:
            raise _not_found_error(name, variables, folder)
        content = _read_file(name, path)
    return make_image(name, content)


def _not_found_error(name: str, variables: Mapping[str, Any], folder: Path) -> ParameterError:
    hint = tr("Paths start in {folder}.", folder=folder)
    if not name.isidentifier():
        return image_error(name, tr("there is no file of that name"), hint)
    public = [variable for variable in variables if not variable.startswith("_")]
    hint = did_you_mean(name, public, most=3) or hint
    return image_error(name, tr("there is neither a variable nor a file of that name"), hint)


def _read_variable(name: str, value: Any, folder: Path) -> bytes | PILImage:
    """Return what a variable holds: the content of an image file, or a PIL image."""
    if isinstance(value, pillow().Image):
        return value  # type: ignore[no-any-return]
    # Not imported here: if the value is an IPython Image, the notebook has imported it.
    display = sys.modules.get("IPython.display")
    if display is not None and isinstance(value, display.Image):
        value = value.filename if value.data is None else value.data
        if value is None:
            raise image_error(name, tr("it is a URL, and images are not fetched"))
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | PurePath):
        path = _existing_path(value, folder)
        if path is None:  # the string is not quoted: it may be an image in base64
            raise image_error(name, tr("there is no file at this path"))
        return _read_file(name, path)
    return _draw(name, value)


def _existing_path(name: str | PurePath, folder: Path) -> Path | None:
    try:
        path = folder / Path(name).expanduser()
        return path if path.exists() else None
    # Too long, with a null character, or in the home of an unknown user.
    except (OSError, ValueError, RuntimeError):
        return None


def _read_file(name: str, path: Path) -> bytes:
    if not path.is_file():
        problem = tr("this is a folder") if path.is_dir() else tr("this is not a file")
        raise image_error(
            name, problem, tr("Name one picture's file; -i can be given several times.")
        )
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES_READ + 1)
    except OSError as error:
        problem = tr("the file cannot be read: {reason}", reason=error.strerror)
        raise image_error(name, problem, tr("May you read it?")) from None


def _draw(name: str, value: Any) -> bytes:
    """Have a matplotlib figure, or the figure that an Axes belongs to, draw itself as PNG."""
    kind = type(value).__name__
    try:
        for _ in range(3):  # an Axes can belong to a SubFigure, and that to a Figure
            # Not a module: pyplot.savefig would draw the current figure, or open a new one.
            if callable(getattr(value, "savefig", None)) and not isinstance(value, ModuleType):
                buffer = io.BytesIO()
                value.savefig(buffer, format="png", dpi="figure")
                return buffer.getvalue()
            value = getattr(value, "figure", None)
    except Exception as error:  # noqa: BLE001  an object of the notebook may raise anything
        problem = tr("this {kind} cannot be drawn: {name}", kind=kind, name=type(error).__name__)
        hint = tr("Its savefig, in a cell of its own, shows why.")
        raise image_error(name, problem, hint) from None
    raise image_error(name, tr("this {kind} is not a picture", kind=kind))

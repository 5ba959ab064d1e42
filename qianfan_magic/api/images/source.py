"""``-i``: pictures in variables and files of the notebook."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.images.image import MOST_READ, Image, image_error, make_image, pillow
from qianfan_magic.errors import ParameterError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


def read_image(named: str, variables: Mapping[str, Any], folder: Path) -> Image:
    """Read the picture that a flag ``-i`` names.

    Parameters
    ----------
    named
        A variable, unless it begins with an underscore, or else a file's path.
    variables
        Of the notebook.
    folder
        In which relative paths start.

    Raises
    ------
    ParameterError
        If there is neither variable nor file, if it is no picture or a damaged one, if it has more
        than 100 MB or 100 million pixels, or if a figure cannot be drawn.
    QianfanError
        If Pillow is not installed.
    """
    pillow()
    if named.isidentifier() and not named.startswith("_") and named in variables:
        content = _content(named, variables[named], folder)
    else:
        path = _path(named, folder)
        if path is None:
            raise _not_found(named, variables, folder)
        content = _read(named, path)
    return make_image(named, content)


def _not_found(named: str, variables: Mapping[str, Any], folder: Path) -> ParameterError:
    if not named.isidentifier():
        return image_error(named, "there is no file of that name", f"Paths start in {folder}.")
    near = difflib.get_close_matches(named, [one for one in variables if not one.startswith("_")])
    hint = f"Did you mean {', '.join(near)}?" if near else f"Paths start in {folder}."
    return image_error(named, "there is neither a variable nor a file of that name", hint)


def _content(named: str, value: Any, folder: Path) -> bytes | PILImage:
    """Return what a variable holds: a picture's file, or a PIL image."""
    if isinstance(value, pillow().Image):
        return value  # type: ignore[no-any-return]
    # Who has an Image of IPython's has imported it.
    display = sys.modules.get("IPython.display")
    if display is not None and isinstance(value, display.Image):
        value = value.filename if value.data is None else value.data
        if value is None:
            raise image_error(named, "it is an address, and nothing is fetched from there")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | PurePath):
        path = _path(value, folder)
        if path is None:  # its text is not shown: it may be a picture in base64
            raise image_error(named, "there is no file where this path leads to")
        return _read(named, path)
    return _drawn(named, value)


def _path(named: str | PurePath, folder: Path) -> Path | None:
    """Return the path of what is there, or None."""
    try:
        path = folder / Path(named).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long; with a null; ~ of nobody
        return None


def _read(named: str, path: Path) -> bytes:
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "this is not a file"
        raise image_error(named, what, "Name one picture's file; -i can be given several times.")
    try:
        with path.open("rb") as file:
            return file.read(MOST_READ + 1)
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        raise image_error(named, what, "May you read it?") from None


def _drawn(named: str, value: Any) -> bytes:
    """Let a figure, or the figure that an Axes stands in, draw itself as PNG."""
    kind = type(value).__name__
    try:
        for _ in range(3):  # an Axes can stand in a part of a figure
            # pyplot's own savefig would open a new figure.
            if callable(getattr(value, "savefig", None)) and not isinstance(value, ModuleType):
                buffer = io.BytesIO()
                value.savefig(buffer, format="png", dpi="figure")
                return buffer.getvalue()
            value = getattr(value, "figure", None)
    except Exception as error:  # noqa: BLE001  whatever an object of the notebook's own raises
        what = f"this {kind} cannot be drawn: {type(error).__name__}"
        raise image_error(named, what, "Its savefig, in a cell of its own, shows why.") from None
    raise image_error(named, f"this {kind} is not a picture")

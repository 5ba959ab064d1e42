"""A picture as it is sent: upright, small enough, and without what a camera writes into it."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.images.metadata import strip_jpeg, strip_png
from qianfan_magic.errors import ParameterError, QianfanError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from PIL.Image import Transpose

#: Bytes of a picture's file that are sent; one above is scaled down.
MOST_BYTES = 4 * 1024 * 1024
#: Bytes that are read.
MOST_READ = 100 * 1024 * 1024
#: A small file can claim to hold more pixels than there is memory for.
MOST_PIXELS = 100_000_000
#: The longer side, in pixels, and the bytes of the copy that a cell shows.
SMALL_SIDE = 240
SMALL_BYTES = 20_000
#: What is read. Pillow knows more: EPS, for one, is a program that it would run.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
LONGEST_NAME = 80
#: Pixels of a side: the service refuses 6,000 and more (error ``invalid_image_url``).
LONGEST_SIDE = 5_999
JPEG_QUALITY = 90

ALLOWED = (
    "-i takes a PIL image, a matplotlib figure, an IPython Image, bytes, or a path: of a PNG, "
    "JPEG, WebP, GIF, BMP or TIFF."
)
#: EXIF 2.32, tag 0x0112, and what turns a photo upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as it is sent: a PNG or a JPEG, upright, without metadata.

    Attributes
    ----------
    name
        As it was named: a variable or a file.
    media_type
        ``"image/png"`` or ``"image/jpeg"``.
    data
        The picture's file, at most `MOST_BYTES`.
    width, height
        In pixels, as sent.
    """

    name: str
    media_type: str
    data: bytes = field(repr=False)
    width: int
    height: int

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that stand for the data (SHA-256)."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    @property
    def url(self) -> str:
        """The picture as an address (RFC 2397): ``data:image/png;base64,…``."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    def thumbnail(self) -> Image:
        """Return a copy to show: at most 240 pixels on its longer side, and 20,000 bytes."""
        longest = max(self.width, self.height)
        if longest <= SMALL_SIDE and len(self.data) <= SMALL_BYTES:
            return self
        with warnings.catch_warnings():  # of Pillow, for 90 million pixels and more
            warnings.simplefilter("ignore")
            image = _plain(pillow().open(io.BytesIO(self.data)))
        ratio = min(1, SMALL_SIDE / longest)
        is_photo = self.media_type == "image/jpeg"
        return _encoded(self.name, _scaled(image, ratio), SMALL_BYTES, is_photo=is_photo)


def make_image(named: str, content: bytes | PILImage) -> Image:
    """Make a picture of a file's bytes, or of a PIL image.

    A photo says in its metadata where and when it was taken, and with which camera; none of that
    is sent. What is a PNG or a JPEG already, upright and small enough, loses its metadata only;
    any other picture is turned upright (EXIF) and written anew: its first frame, in 8 bits, as PNG,
    or JPEG if it was one. Above `MOST_BYTES` a PNG without transparency becomes a JPEG, and what
    is still too large is scaled down. A PIL image that was computed is sent as its pixels are; one
    as ``PIL.Image.open`` returns it is a photo like any.

    Raises
    ------
    ParameterError
        If it is no picture or a damaged one, or has more than 100 MB or 100 million pixels.
    QianfanError
        If Pillow is not installed.
    """
    # Pillow warns of odd metadata, which is dropped, and of size, which is checked here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _picture(named, content)
        except QianfanError:
            raise
        except Exception as error:  # noqa: BLE001  whatever Pillow runs into in a damaged file
            what = f"the picture is damaged or cut off ({type(error).__name__})"
            raise image_error(
                named, what, "Does it open in other programs? Save it again."
            ) from None


def pillow() -> Any:
    """Return the module ``PIL.Image``, late: most cells need no pictures."""
    try:
        from PIL import Image
    except ImportError:
        raise QianfanError(
            "-i needs the package Pillow",
            hint="Install it with: python -m pip install 'qianfan-magic[images]'",
        ) from None
    return Image


def image_error(named: str, what: str, hint: str = ALLOWED) -> ParameterError:
    """Say what is wrong with what ``-i`` names."""
    shown = named if len(named) <= LONGEST_NAME else f"{named[: LONGEST_NAME - 1]}…"
    return ParameterError(f"-i {shown}: {what}", hint=hint)


def _picture(named: str, content: bytes | PILImage) -> Image:
    image = _opened(named, content) if isinstance(content, bytes) else content
    pixels = image.width * image.height
    if not pixels:
        raise image_error(named, "the picture has no pixels")
    if pixels > MOST_PIXELS:
        raise _too_large(named)
    image.load()
    turn = _turn(image)
    if isinstance(content, bytes) and turn is None:
        media_type, bare = _bare(image, content)
        if 0 < len(bare) <= MOST_BYTES and max(image.size) <= LONGEST_SIDE:
            return Image(named, media_type, bare, *image.size)
    upright = image if turn is None else image.transpose(turn)
    is_photo = image.format in {"JPEG", "MPO"}
    return _encoded(named, _plain(upright), MOST_BYTES, is_photo=is_photo)


def _opened(named: str, data: bytes) -> PILImage:
    if len(data) > MOST_READ:
        raise image_error(
            named, f"there are more than {MOST_READ:,} bytes", "Save it smaller first."
        )
    library = pillow()
    try:
        return library.open(io.BytesIO(data), formats=FORMATS)  # type: ignore[no-any-return]
    except library.DecompressionBombError:
        raise _too_large(named) from None
    except library.UnidentifiedImageError:
        raise image_error(named, "this is not a picture, or its beginning is damaged") from None


def _too_large(named: str) -> ParameterError:
    what = f"the picture has more than {MOST_PIXELS:,} pixels"
    return image_error(named, what, "Scale it down, or cut out what the question is about.")


def _turn(image: PILImage) -> Transpose | None:
    """Return what turns a photo upright; None for what is so already, or was computed."""
    # A rotated copy keeps the metadata of its photo: to go by them would turn it twice.
    if image.format is None:
        return None
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  damaged metadata of a whole picture
        return None
    return pillow().Transpose[turn] if turn else None


def _plain(image: PILImage) -> PILImage:
    """Return a copy in 8 bits, grey, RGB or RGBA, with nothing besides its pixels."""
    if image.mode.startswith(("I", "F")):
        plain = _eight_bits(image)
    elif image.has_transparency_data:
        plain = image.convert("LA") if image.mode == "La" else image
        plain = plain.convert("RGBA")
        if plain.getchannel("A").getextrema() == (255, 255):
            plain = plain.convert("RGB")
    else:
        plain = image.convert("L" if image.mode in {"1", "L"} else "RGB")
    plain.info = {}  # comments, EXIF and profiles: Pillow would write some of them
    return plain


def _eight_bits(image: PILImage) -> PILImage:
    """Bring numbers to 0 to 255: from a usual range they fit into, or from least to most."""
    numbers = image.convert("F")
    extrema: Any = numbers.getextrema()  # of one band: two numbers
    low, high = extrema
    usual = {"F": (1, 255, 65535), "I": (255, 65535)}.get(image.mode, (65535,))
    low, high = next(((0, top) for top in usual if low >= 0 and high <= top), (low, high))
    scale = 255 / (high - low) if high > low else 1
    return numbers.point(lambda number: number * scale - low * scale).convert("L")


def _scaled(image: PILImage, ratio: float) -> PILImage:
    width, height = (max(1, round(side * ratio)) for side in image.size)
    return image.resize((width, height), pillow().Resampling.LANCZOS)


def _encoded(named: str, image: PILImage, most: int, *, is_photo: bool) -> Image:
    """Write a plain image in at most so many bytes: scaled down where it needs more."""
    is_opaque = image.mode in {"L", "RGB"}
    form = "JPEG" if is_photo and is_opaque else "PNG"
    while True:
        longest = max(image.size)
        if longest > LONGEST_SIDE:
            image = _scaled(image, LONGEST_SIDE / longest)
        buffer = io.BytesIO()
        image.save(buffer, form, quality=JPEG_QUALITY)  # PNG takes no notice of a quality
        data = buffer.getvalue()
        if len(data) <= most:
            return Image(named, f"image/{form.lower()}", data, *image.size)
        if form == "PNG" and is_opaque:
            form = "JPEG"
        else:
            image = _scaled(image, min(0.9, math.sqrt(most / len(data))))


def _bare(image: PILImage, data: bytes) -> tuple[str, bytes]:
    """Return a file's media type, and the file without metadata: b"" if it must be rewritten."""
    if image.format == "PNG":
        return "image/png", strip_png(data)
    is_usual = image.format in {"JPEG", "MPO"} and image.mode in {"L", "RGB"}
    return "image/jpeg", strip_jpeg(data) if is_usual else b""

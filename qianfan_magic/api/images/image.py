"""An image as it is sent: upright, small enough, and without a camera's metadata."""

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
from qianfan_magic.language import mark, tr

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from PIL.Image import Transpose

__all__ = [
    "MAX_BYTES",
    "MAX_BYTES_READ",
    "MAX_PIXELS",
    "Image",
    "image_error",
    "make_image",
    "pillow",
]

#: Largest image file that is sent, in bytes; a larger one is scaled down.
MAX_BYTES = 4 * 1024 * 1024
#: Largest file that is read, in bytes.
MAX_BYTES_READ = 100 * 1024 * 1024
#: Largest number of pixels of an image that is decoded: a small file can claim more than there is
#: memory for.
MAX_PIXELS = 100_000_000
#: Largest number of pixels of the longer side: the service refuses 6,000 and more (error
#: ``invalid_image_url``).
_MAX_SIDE = 5_999
#: Largest number of pixels of a thumbnail's longer side, and of bytes of its file.
_THUMBNAIL_SIDE = 240
_THUMBNAIL_BYTES = 20_000
#: The formats that are read. Pillow knows more; EPS, for one, is a program that it would run.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
#: Pillow's quality, 1 to 95, for images that are encoded anew.
_JPEG_QUALITY = 90
#: Largest number of characters of an image's name in an error message.
_MAX_NAME = 80

#: Default hint of errors.
_ACCEPTED = mark(
    "-i takes a PIL image, a matplotlib figure, an IPython Image, bytes, or a path: of a PNG, "
    "JPEG, WebP, GIF, BMP or TIFF."
)
#: The EXIF tag "Orientation" (EXIF 2.32, 0x0112), and the transposition that undoes each value.
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
    """An image as it is sent: a PNG or JPEG file, upright, without metadata.

    Attributes
    ----------
    name
        The variable or file that the user named.
    media_type
        ``"image/png"`` or ``"image/jpeg"``.
    data
        The content of the file, at most `MAX_BYTES`.
    width, height
        Pixels, as sent.

    Examples
    --------
    >>> image = Image("dot", "image/png", b"...", 1, 1)
    >>> image.url
    'data:image/png;base64,Li4u'
    >>> image
    Image(name='dot', media_type='image/png', width=1, height=1)
    """

    name: str
    media_type: str
    data: bytes = field(repr=False)
    width: int
    height: int

    @property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the data's SHA-256."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    @property
    def url(self) -> str:
        """The image as a data URL (RFC 2397): ``data:image/png;base64,…``."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    def thumbnail(self) -> Image:
        """Return a copy to display: at most 240 pixels on the longer side, and 20,000 bytes."""
        longest = max(self.width, self.height)
        if longest <= _THUMBNAIL_SIDE and len(self.data) <= _THUMBNAIL_BYTES:
            return self
        with warnings.catch_warnings():  # Pillow warns of 90 million pixels and more
            warnings.simplefilter("ignore")
            pixels = _normalized(pillow().open(io.BytesIO(self.data)))
        ratio = min(1, _THUMBNAIL_SIDE / longest)
        is_photo = self.media_type == "image/jpeg"
        return _encoded(self.name, _scaled(pixels, ratio), _THUMBNAIL_BYTES, is_photo=is_photo)


def make_image(name: str, content: bytes | PILImage, *, max_bytes: int = MAX_BYTES) -> Image:
    """Make an image that can be sent from a file's content or from a PIL image.

    A photo's metadata tell where and when it was taken, and with which camera; none of them are
    sent. A PNG or JPEG that is upright and small enough only loses its metadata. Any other image
    is rotated upright (EXIF) and encoded anew: its first frame, in 8 bits, as PNG, or as JPEG if
    it was one. Above `max_bytes` a PNG without transparency becomes a JPEG, and an image that is
    still too large is scaled down. A PIL image that ``PIL.Image.open`` returned is rotated like
    the file it comes from; one that was computed is not.

    Parameters
    ----------
    name
        How errors refer to the image.
    content
        The content of an image file, or a PIL image.
    max_bytes
        Largest file that is sent, in bytes.

    Raises
    ------
    ParameterError
        If it is not an image, is damaged, or has more than 100 MB or 100 million pixels.
    QianfanError
        If Pillow is not installed.
    """
    # Pillow warns of unusual metadata, which are dropped, and of sizes, which are checked here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _make(name, content, max_bytes)
        except QianfanError:
            raise
        except Exception as error:  # noqa: BLE001  Pillow raises anything for a damaged file
            problem = tr("the picture is damaged or cut off ({name})", name=type(error).__name__)
            hint = tr("Does it open in other programs? Save it again.")
            raise image_error(name, problem, hint) from None


def pillow() -> Any:
    """Return the module ``PIL.Image``, imported late because most cells need no images."""
    try:
        from PIL import Image
    except ImportError:
        raise QianfanError(
            tr("-i needs the package Pillow"),
            hint=tr("Install it with: python -m pip install 'qianfan-magic[images]'"),
        ) from None
    return Image


def image_error(name: str, problem: str, hint: str = "") -> ParameterError:
    """Make the error for an image of ``-i``, by default with the hint what ``-i`` takes."""
    shown = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
    return ParameterError(f"-i {shown}: {problem}", hint=hint or tr(_ACCEPTED))


def _make(name: str, content: bytes | PILImage, max_bytes: int) -> Image:
    """Make the image of `make_image`; Pillow's own errors are not translated yet."""
    source = _open(name, content) if isinstance(content, bytes) else content
    pixels = source.width * source.height
    if not pixels:
        raise image_error(name, tr("the picture has no pixels"))
    if pixels > MAX_PIXELS:
        raise _too_many_pixels(name)
    source.load()
    rotation = _rotation(source)
    if isinstance(content, bytes) and rotation is None:
        media_type, stripped = _without_metadata(source, content)
        if 0 < len(stripped) <= max_bytes and max(source.size) <= _MAX_SIDE:
            return Image(name, media_type, stripped, *source.size)
    upright = source if rotation is None else source.transpose(rotation)
    # MPO is what Pillow calls a JPEG with further images behind the first.
    is_photo = source.format in {"JPEG", "MPO"}
    return _encoded(name, _normalized(upright), max_bytes, is_photo=is_photo)


def _open(name: str, data: bytes) -> PILImage:
    if len(data) > MAX_BYTES_READ:
        problem = tr("there are more than {most:,} bytes", most=MAX_BYTES_READ)
        raise image_error(name, problem, tr("Save it smaller first."))
    library = pillow()
    try:
        return library.open(io.BytesIO(data), formats=_FORMATS)  # type: ignore[no-any-return]
    except library.DecompressionBombError:
        raise _too_many_pixels(name) from None
    except library.UnidentifiedImageError:
        raise image_error(name, tr("this is not a picture, or its beginning is damaged")) from None


def _too_many_pixels(name: str) -> ParameterError:
    problem = tr("the picture has more than {most:,} pixels", most=MAX_PIXELS)
    return image_error(name, problem, tr("Scale it down, or cut out what the question is about."))


def _rotation(image: PILImage) -> Transpose | None:
    """Return the transposition that makes a photo upright; None if there is nothing to do."""
    # A PIL image that was computed from a photo has no format but keeps the photo's EXIF, which
    # would rotate it a second time.
    if image.format is None:
        return None
    try:
        rotation = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  damaged metadata of an intact image
        return None
    return pillow().Transpose[rotation] if rotation else None


def _normalized(image: PILImage) -> PILImage:
    """Return a copy in 8 bits, grey, RGB or RGBA, that consists of pixels only."""
    if image.mode.startswith(("I", "F")):
        normalized = _eight_bits(image)
    elif image.has_transparency_data:
        # Pillow cannot convert La, grey with premultiplied alpha, to RGBA.
        straight = image.convert("LA") if image.mode == "La" else image
        normalized = straight.convert("RGBA")
        if normalized.getchannel("A").getextrema() == (255, 255):
            normalized = normalized.convert("RGB")
    else:
        normalized = image.convert("L" if image.mode in {"1", "L"} else "RGB")
    normalized.info = {}  # comments, EXIF and profiles, of which Pillow would save some
    return normalized


def _eight_bits(image: PILImage) -> PILImage:
    """Scale numbers to 0…255, from a usual range that they fit into, or else from their own."""
    numbers = image.convert("F")
    extrema: Any = numbers.getextrema()  # a pair, for an image of one band
    low, high = extrema
    usual = {"F": (1, 255, 65535), "I": (255, 65535)}.get(image.mode, (65535,))
    low, high = next(((0, top) for top in usual if low >= 0 and high <= top), (low, high))
    scale = 255 / (high - low) if high > low else 1
    return numbers.point(lambda number: number * scale - low * scale).convert("L")


def _scaled(image: PILImage, ratio: float) -> PILImage:
    width, height = (max(1, round(side * ratio)) for side in image.size)
    return image.resize((width, height), pillow().Resampling.LANCZOS)


def _encoded(name: str, image: PILImage, max_bytes: int, *, is_photo: bool) -> Image:
    """Encode a normalized image, scaling it down until it fits into `max_bytes`."""
    is_opaque = image.mode in {"L", "RGB"}
    file_format = "JPEG" if is_photo and is_opaque else "PNG"
    while True:
        longest = max(image.size)
        if longest > _MAX_SIDE:
            image = _scaled(image, _MAX_SIDE / longest)
        buffer = io.BytesIO()
        image.save(buffer, file_format, quality=_JPEG_QUALITY)  # PNG ignores the quality
        data = buffer.getvalue()
        if len(data) <= max_bytes:
            return Image(name, f"image/{file_format.lower()}", data, *image.size)
        if file_format == "PNG" and is_opaque:
            file_format = "JPEG"
        else:
            # The size of a file grows roughly with its pixels, the square of its sides.
            image = _scaled(image, min(0.9, math.sqrt(max_bytes / len(data))))


def _without_metadata(image: PILImage, data: bytes) -> tuple[str, bytes]:
    """Return a file's media type and content without metadata; b"" if it must be encoded anew."""
    if image.format == "PNG":
        return "image/png", strip_png(data)
    # Only grey and RGB are sent; other modes, such as CMYK, are converted.
    is_usual = image.format in {"JPEG", "MPO"} and image.mode in {"L", "RGB"}
    return "image/jpeg", strip_jpeg(data) if is_usual else b""

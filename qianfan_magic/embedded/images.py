"""Images of a request: their format and size are validated, their pixels are not decoded.

Formats are recognised by their headers, so that the server does not need Pillow.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from qianfan_magic.embedded.faults import ServiceError

__all__ = ["ReceivedImage", "read_image"]

#: Largest image in bytes.
MAX_BYTES = 10 * 1024 * 1024
#: Pixels of each side: the minimum (inclusive) and the limit (exclusive), from the service's
#: document of error codes.
MIN_SIDE, SIDE_LIMIT = 5, 6_000
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_WEB_URL = re.compile(r"https?://[^\s/]+(/\S*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """An image in a message; its text form is used in the scripted engine's answers.

    Attributes
    ----------
    format
        Such as ``"PNG"``; empty for the URL of an image, which the server does not fetch.
    width, height
        Size in pixels.
    size
        Size in bytes.
    """

    format: str = ""
    width: int = 0
    height: int = 0
    size: int = 0

    def __str__(self) -> str:
        if not self.format:
            return "a picture at an address, which this server does not open"
        return f"a {self.format} of {self.width} by {self.height} pixels ({self.size:,} bytes)"


def read_image(url: object) -> ReceivedImage:
    """Validate the URL of an ``image_url`` and return what is known about its image.

    Parameters
    ----------
    url
        ``http(s)://…``, or ``data:image/…;base64,…`` (RFC 2397).

    Raises
    ------
    ServiceError
        If it is neither of them, or if the data are not a PNG, JPEG, WebP, GIF or BMP image
        within the limits of size.
    """
    if not isinstance(url, str):
        raise _image_error("image_url.url must be string")
    if _WEB_URL.fullmatch(url):
        return ReceivedImage()
    prefix = _DATA_URL.match(url)
    if not prefix:
        raise _image_error("image_url.url must be http, https or base64 data of an image")
    try:
        data = base64.b64decode(url[prefix.end() :], validate=True)
    except ValueError:
        raise _image_error("the base64 of image_url.url cannot be decoded") from None
    if len(data) > MAX_BYTES:
        raise _image_error(f"the image must have at most {MAX_BYTES // 1024**2} MB")
    return _read(data)


def _read(data: bytes) -> ReceivedImage:
    try:
        signature = next(s for s in _FORMATS if re.match(s, data, re.DOTALL))
        name, read_size = _FORMATS[signature]
        width, height = read_size(data)
    except (StopIteration, struct.error):
        raise _image_error("the image is not a PNG, JPEG, WebP, GIF or BMP") from None
    if min(width, height) < MIN_SIDE or max(width, height) >= SIDE_LIMIT:
        raise _image_error(
            f"the image must be smaller than {SIDE_LIMIT} x {SIDE_LIMIT} pixels, "
            f"its shortest side at least {MIN_SIDE}"
        )
    return ReceivedImage(name, width, height, len(data))


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative if the rows are stored from top to bottom


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments up to the frame header (ITU-T T.81, B.2.2)."""
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, position)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        # Every marker may be preceded by fill bytes.
        if marker == 0xFFFF:  # noqa: PLR2004
            position += 1
            continue
        if marker >> 8 != 0xFF or length < 2:  # noqa: PLR2004  the length includes itself
            raise struct.error("not a segment of a JPEG")
        position += 2 + length


#: SOF0 to SOF15, without DHT, JPG and DAC, which share their range.
_JPEG_FRAMES = {0xFF00 + marker for marker in range(0xC0, 0xD0)} - {0xFFC4, 0xFFC8, 0xFFCC}


def _webp(data: bytes) -> tuple[int, int]:
    """Read the first chunk (RFC 9649): lossy, lossless, or extended."""
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    low, high, low2, high2 = struct.unpack_from("<HBHB", data, 24)
    return (high << 16) + low + 1, (high2 << 16) + low2 + 1


#: Name and size of each format, by a pattern of its first bytes.
_FORMATS: dict[bytes, tuple[str, Callable[[bytes], tuple[int, int]]]] = {
    rb"\x89PNG\r\n\x1a\n": ("PNG", _png),
    rb"\xff\xd8\xff": ("JPEG", _jpeg),
    rb"RIFF....WEBPVP8[ LX]": ("WebP", _webp),
    rb"GIF8[79]a": ("GIF", _gif),
    rb"BM": ("BMP", _bmp),
}


def _image_error(reason: str) -> ServiceError:
    return ServiceError("invalid_image_url", reason)

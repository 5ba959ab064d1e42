"""What can be told of a picture without looking at it: its format and its size."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from qianfan_magic.embedded.faults import Refusal

#: Bytes of one picture.
MOST_BYTES = 10 * 1024 * 1024
#: Pixels a side (the service's error page): at least the one, fewer than the other.
SHORTEST_SIDE, TOO_LONG_SIDE = 5, 6_000
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s/]+(/\S*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """A picture in a question.

    Attributes
    ----------
    format
        ``"PNG"`` or the like; empty for one that is elsewhere, which the server does not fetch.
    width, height
        In pixels.
    size
        In bytes.
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
    """Read what an ``image_url`` leads to, as far as it can be told here.

    Parameters
    ----------
    url
        ``http(s)://…``, or ``data:image/…;base64,…`` (RFC 2397).

    Raises
    ------
    Refusal
        If it is neither, or its data are no PNG, JPEG, WebP, GIF or BMP, too many bytes, or too
        few or too many pixels.
    """
    if not isinstance(url, str):
        raise _wrong("image_url.url must be string")
    if _ADDRESS.fullmatch(url):
        return ReceivedImage()
    begin = _DATA.match(url)
    if not begin:
        raise _wrong("image_url.url must be http, https or base64 data of an image")
    try:
        data = base64.b64decode(url[begin.end() :], validate=True)
    except ValueError:
        raise _wrong("the base64 of image_url.url cannot be decoded") from None
    if len(data) > MOST_BYTES:
        raise _wrong(f"the image must have at most {MOST_BYTES // 1024**2} MB")
    return _read(data)


def _read(data: bytes) -> ReceivedImage:
    try:
        begin = next(begin for begin in _FORMATS if re.match(begin, data, re.DOTALL))
        name, sides = _FORMATS[begin]
        width, height = sides(data)
    except (StopIteration, struct.error):
        raise _wrong("the image is no PNG, JPEG, WebP, GIF or BMP") from None
    if min(width, height) < SHORTEST_SIDE or max(width, height) >= TOO_LONG_SIDE:
        raise _wrong(
            f"the image must be smaller than {TOO_LONG_SIDE} x {TOO_LONG_SIDE} pixels, "
            f"its shortest side at least {SHORTEST_SIDE}"
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
    return width, abs(height)  # below zero: its lines begin at the top


def _jpeg(data: bytes) -> tuple[int, int]:
    """Go from segment to segment up to the frame's header (ITU-T T.81, B.2.2)."""
    place = 2
    while True:
        mark, length = struct.unpack_from(">HH", data, place)
        if mark in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if mark == 0xFFFF:  # noqa: PLR2004  a byte that fills up
            place += 1
            continue
        if mark >> 8 != 0xFF or length < 2:  # noqa: PLR2004  its own two bytes
            raise struct.error("no segment of a JPEG")
        place += 2 + length


_JPEG_FRAMES = {0xFF00 + mark for mark in range(0xC0, 0xD0)} - {0xFFC4, 0xFFC8, 0xFFCC}


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


#: By how the bytes begin.
_FORMATS: dict[bytes, tuple[str, Callable[[bytes], tuple[int, int]]]] = {
    rb"\x89PNG\r\n\x1a\n": ("PNG", _png),
    rb"\xff\xd8\xff": ("JPEG", _jpeg),
    rb"RIFF....WEBPVP8[ LX]": ("WebP", _webp),
    rb"GIF8[79]a": ("GIF", _gif),
    rb"BM": ("BMP", _bmp),
}


def _wrong(reason: str) -> Refusal:
    return Refusal("invalid_image_url", reason)

"""Removing metadata from PNG and JPEG files without decoding them, so that no pixel changes.

A photo's metadata tell where and when it was taken, and with which camera; phones also append a
second image or a film.
"""

from __future__ import annotations

import re

__all__ = ["strip_jpeg", "strip_png"]

#: The PNG chunks (W3C PNG, section 11) and JPEG segments (ITU-T T.81, table B.1, and the headers
#: of JFIF and Adobe) that decoding needs. All others are metadata or colour management.
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_JPEG_SEGMENTS = re.compile(
    rb"\xff([\xc0-\xc2\xc4\xda\xdb\xdd]|\xe0\0\x10JFIF\0|\xee\0\x0eAdobe)",
)
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
#: What ends a scan: a marker other than an escaped 0xff, a restart marker or a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def strip_png(data: bytes) -> bytes:
    """Return a PNG with the chunks of its image only; b"" if it has 16 bits or no end.

    Parameters
    ----------
    data
        The content of a PNG file.
    """
    kept, at = [data[:8]], 8
    has_8_bits = data[24:25] <= b"\x08"  # the bit depth in IHDR
    while has_8_bits and at < len(data):
        # Length, type, body and checksum: 12 bytes more than the body.
        end = at + 12 + int.from_bytes(data[at : at + 4])
        chunk_type = data[at + 4 : at + 8]
        if chunk_type in _PNG_CHUNKS:
            kept.append(data[at:end])
        if chunk_type == b"IEND" and end <= len(data):
            return b"".join(kept)
        at = end
    return b""


def strip_jpeg(data: bytes) -> bytes:
    """Return a JPEG with the segments of its first image only; b"" if it has no end.

    Parameters
    ----------
    data
        The content of a JPEG file.
    """
    kept, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff":
        marker = data[at : at + 2]
        if marker == _JPEG_END:
            return b"".join([*kept, marker])
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        # The compressed data of a scan follow its segment, without a length.
        if marker == _JPEG_SCAN:
            found = _JPEG_MARKER.search(data, end)
            end = found.start() if found else len(data)
        if _JPEG_SEGMENTS.match(data, at):
            kept.append(data[at:end])
        at = end
    return b""

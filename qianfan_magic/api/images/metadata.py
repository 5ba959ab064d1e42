"""Files of pictures without what is written into them besides the picture; no pixel changes.

A photo says where and when it was taken, and with which camera, and may have a second picture or a
film behind the first.
"""

from __future__ import annotations

import re

#: PNG chunks (W3C PNG, section 11) and JPEG segments (ITU-T T.81, table B.1) that hold the
#: picture itself: all others are metadata, a second picture or colour management.
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_JPEG_KEPT = re.compile(rb"\xff([\xc0-\xc2\xc4\xda\xdb\xdd]|\xe0\0\x10JFIF\0|\xee\0\x0eAdobe)")
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def strip_png(data: bytes) -> bytes:
    """Return a PNG with the picture's own chunks only; b"" if it has 16 bits, or no end."""
    kept, at = [data[:8]], 8
    has_8_bits = data[24:25] <= b"\x08"
    while has_8_bits and at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        if kind == b"IEND" and end <= len(data):
            return b"".join(kept)
        at = end
    return b""


def strip_jpeg(data: bytes) -> bytes:
    """Return a JPEG with the picture's own segments only; b"" if it has no end."""
    kept, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff":
        marker = data[at : at + 2]
        if marker == _JPEG_END:
            return b"".join([*kept, marker])
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _JPEG_SCAN:
            found = _JPEG_MARKER.search(data, end)
            end = found.start() if found else len(data)
        if _JPEG_KEPT.match(data, at):
            kept.append(data[at:end])
        at = end
    return b""

"""Bytes of ``text/event-stream`` to events (WHATWG HTML, section 9.2.6); pure, no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

#: More than this without the end of an event is no answer but an attack on memory (bytes).
LARGEST_EVENT = 64 * 1024 * 1024


class EventDecoder:
    r"""Turns pieces of a stream, cut anywhere, into the data of its events.

    Lines end with ``\n``, ``\r\n`` or ``\r``; several ``data`` lines make one event; comments
    and other fields are passed over, as is one byte order mark at the start. Two things go beyond
    the standard, for the service's sake: a line that begins with ``{`` starts bare JSON, which
    is how Qianfan reports an error in the place or in the middle of a stream; and what stands
    at the end of the stream without an empty line behind it is not thrown away.

    Only whole lines are decoded, so a character that is split between pieces stays whole.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line that has not ended yet
        self._waiting = 0  # bytes since the last event
        self._after_cr = False
        self._start = True
        self._data: list[str] = []
        self._bare = False

    def feed(self, piece: bytes) -> Iterable[str]:
        r"""Take in the next bytes and give the data of each event that they complete.

        Raises
        ------
        ValueError
            If 64 MiB come without the end of an event.
        """
        # Nearly every piece of a stream is just this: one event of one line.
        if (
            not (self._data or self._pieces)
            and piece.startswith(b"data: {")
            and piece.find(b"\n") == len(piece) - 2
            and piece.endswith(b"\n")
            and b"\r" not in piece
        ):
            self._start = self._after_cr = False
            return (piece[6:-2].decode("utf-8", "replace"),)
        return self._feed(piece)

    def _feed(self, piece: bytes) -> Iterator[str]:
        if not piece:
            return
        if self._after_cr and piece.startswith(b"\n"):  # the second half of a split "\r\n"
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r")
        if not piece:
            return
        self._waiting += len(piece)
        if self._waiting > LARGEST_EVENT:
            raise ValueError("an event of the stream does not end")
        # bytes.splitlines knows just the three line ends of the standard; str.splitlines
        # would also cut at U+2028 and others.
        lines = piece.splitlines()
        if self._pieces:
            lines[0] = self._first_line(lines[0], whole=len(lines) > 1 or piece[-1] in b"\r\n")
        rest = None if piece[-1] in b"\r\n" else lines.pop()
        for line in lines:
            yield from self._line(line)
        if rest is not None:
            self._pieces.append(rest)

    def close(self) -> Iterator[str]:
        """Give what stands at the end of the stream without an empty line behind it."""
        if self._pieces:
            line = b"".join(self._pieces)
            self._pieces = []
            yield from self._line(line)
        yield from self._dispatch()

    def _first_line(self, line: bytes, *, whole: bool) -> bytes:
        # Joined once, when the line is whole: joining at each piece is quadratic.
        if not whole:
            return line
        self._pieces.append(line)
        line = b"".join(self._pieces)
        self._pieces = []
        return line

    def _line(self, raw: bytes) -> Iterator[str]:
        if self._start:
            self._start = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.startswith(b"data:"):
            if self._bare:
                yield from self._dispatch()
            self._data.append(raw[5:].removeprefix(b" ").decode("utf-8", "replace"))
        elif not raw:
            yield from self._dispatch()
        elif raw.startswith(b":"):
            return
        elif self._bare:
            yield from self._bare_line(raw)
        elif raw.startswith(b"{"):
            yield from self._dispatch()
            self._bare = True
            yield from self._bare_line(raw)
        elif raw == b"data":
            self._data.append("")

    def _bare_line(self, raw: bytes) -> Iterator[str]:
        """Take in bare JSON; hand it on when it is whole: no empty line need follow it."""
        self._data.append(raw.decode("utf-8", "replace"))
        if raw.rstrip().endswith(b"}"):
            try:
                json.loads("\n".join(self._data))
            except (ValueError, RecursionError):
                return
            yield from self._dispatch()

    def _dispatch(self) -> Iterator[str]:
        data, self._data, self._bare = self._data, [], False
        self._waiting = 0
        if data:
            yield data[0] if len(data) == 1 else "\n".join(data)

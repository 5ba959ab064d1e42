"""Decoder of server-sent events, ``text/event-stream``; pure, no I/O.

Source: the HTML standard of the WHATWG, section 9.2.6, "Interpreting an event stream".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from qianfan_magic.language import tr

__all__ = ["END", "EventDecoder"]

#: The data of the event that ends a stream of version 2.
END = "[DONE]"

#: As a number, which takes a seventh of the time to find that ``b"\r"`` takes.
CR = ord("\r")

#: Largest event in bytes. A stream that sends more without ending an event is refused, to bound
#: the memory used.
LARGEST_EVENT = 64 * 1024 * 1024

#: A string, or a bracket, in a line of JSON. No string goes on in the next line.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[][{}]')


class EventDecoder:
    r"""Decodes the pieces of a stream, which may be split anywhere, to the data of its events.

    Lines end with ``\n``, ``\r\n`` or ``\r``; the ``data`` lines of an event are joined; comments,
    other fields and a byte order mark at the start are ignored. Three rules go beyond the standard,
    because servers need them: a line that begins with ``{`` starts bare JSON, which is how an error
    is sent instead of a stream or in the middle of it; an event at the end of the stream is decoded
    even if no empty line follows it; and a ``data`` line that is a JSON object by itself is an
    event of its own if the next one begins an object too, because together they are no JSON.

    Only complete lines are decoded as UTF-8, so a character may be split between two pieces.

    Attributes
    ----------
    name
        The name of the event that was decoded last, of its field ``event``; empty if it has none.

    Examples
    --------
    >>> decoder = EventDecoder()
    >>> list(decoder.feed(b'data: {"result"'))
    []
    >>> list(decoder.feed(b': "hi"}\n\ndata: {}'))
    ['{"result": "hi"}']
    >>> list(decoder.close())
    ['{}']
    """

    def __init__(self) -> None:
        self.name = ""
        self._next_name = ""  # of the event that has not ended yet
        self._partial_line: list[bytes] = []  # pieces of the line that has not ended yet
        self._event_bytes = 0  # since the last event
        self._trailing_cr = False
        self._at_start = True
        self._data: list[str] = []  # lines of the event that has not ended yet
        self._is_bare = False  # whether they are bare JSON
        self._is_open = False  # whether the bare JSON goes on
        self._depth = 0  # brackets that are open in it

    def feed(self, piece: bytes) -> Iterable[str]:
        """Decode the next bytes to the data of each event that they complete.

        Raises
        ------
        ValueError
            If 64 MiB arrive without the end of an event.
        """
        # Fast path: nearly every piece of a stream is exactly one event of one line.
        line, _, rest = piece.partition(b"\n")
        if (
            rest == b"\n"
            and line.startswith(b"data: {")
            and CR not in line
            and not (self._data or self._partial_line or self._next_name)
        ):
            self._at_start = self._trailing_cr = False
            self.name = ""
            self._event_bytes = 0
            return (line[6:].decode("utf-8", "replace"),)
        return self._feed(piece)

    def _feed(self, piece: bytes) -> Iterator[str]:
        if not piece:
            return
        if self._trailing_cr and piece.startswith(b"\n"):  # the second half of a split CRLF
            piece = piece[1:]
        self._trailing_cr = piece.endswith(b"\r")
        if not piece:
            return
        self._event_bytes += len(piece)
        if self._event_bytes > LARGEST_EVENT:
            raise ValueError(tr("an event of the stream does not end"))
        # bytes.splitlines knows only the three line ends of the standard; str.splitlines would
        # also split at U+2028 and others.
        lines = piece.splitlines()
        if self._partial_line:
            lines[0] = self._first_line(lines[0], whole=len(lines) > 1 or piece[-1] in b"\r\n")
        rest = None if piece[-1] in b"\r\n" else lines.pop()
        for line in lines:
            yield from self._line(line)
        if rest is not None:
            self._partial_line.append(rest)

    def close(self) -> Iterator[str]:
        """Decode the last event of the stream if no empty line follows it."""
        if self._partial_line:
            line = b"".join(self._partial_line)
            self._partial_line = []
            yield from self._line(line)
        yield from self._dispatch()

    def _first_line(self, line: bytes, *, whole: bool) -> bytes:
        """Complete the partial line with the first line of a piece."""
        # Joined once, when the line is whole: joining at every piece takes quadratic time.
        if not whole:
            return line
        self._partial_line.append(line)
        line = b"".join(self._partial_line)
        self._partial_line = []
        return line

    def _line(self, raw: bytes) -> Iterator[str]:
        """Take one line without its end; yield the data of an event that it completes."""
        if self._at_start:
            self._at_start = False
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.startswith(b"data:"):
            data = raw[5:].removeprefix(b" ").decode("utf-8", "replace")
            if self._is_bare or self._is_separate(data):
                yield from self._dispatch()
            self._data.append(data)
        elif not raw:
            yield from self._dispatch()
        elif raw.startswith(b":"):
            return
        elif self._is_bare:
            yield from self._bare_line(raw)
        elif raw.startswith(b"{"):
            yield from self._dispatch()
            self._is_bare, self._is_open, self._depth = True, True, 0
            yield from self._bare_line(raw)
        elif raw == b"data":
            self._data.append("")
        elif raw.startswith(b"event:"):
            self._next_name = raw[6:].strip().decode("utf-8", "replace")

    def _is_separate(self, data: str) -> bool:
        """Return whether the only line so far is an event, though no empty line follows it."""
        if len(self._data) != 1 or not (data.startswith("{") or data.strip() == END):
            return False
        return self._data[0].startswith("{") and _is_json(self._data[0])

    def _bare_line(self, raw: bytes) -> Iterator[str]:
        """Add a line of bare JSON; dispatch it once it is complete, without an empty line."""
        self._data.append(raw.decode("utf-8", "replace"))
        if self._is_open:
            self._depth += _opened(raw)
            self._is_open = self._depth > 0
            # Parsed once: parsing it after each line that ends with "}" takes quadratic time, and
            # nothing that follows makes JSON of it.
            if not self._is_open and _is_json("\n".join(self._data)):
                yield from self._dispatch()

    def _dispatch(self) -> Iterator[str]:
        """End the current event; yield its data unless it has none."""
        data, self._data, self._is_bare = self._data, [], False
        name, self._next_name = self._next_name, ""
        self._event_bytes = 0
        if data:
            self.name = name
            yield data[0] if len(data) == 1 else "\n".join(data)


def _opened(line: bytes) -> int:
    """Return how many brackets more a line of JSON opens than it closes."""
    found = _STRING_OR_BRACKET.findall(line)
    return sum((token in b"[{") - (token in b"]}") for token in found)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True

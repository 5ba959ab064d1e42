"""The text that an answer begins with, because the request has the service go on from it."""

from __future__ import annotations

__all__ = ["Beginning"]


class Beginning:
    """Puts a text before an answer that arrives in pieces.

    Most services send only what follows the text, and some repeat it first. So what arrives is
    held back while it may be such a repetition, and a whole one is left out.

    Parameters
    ----------
    text
        The text; empty if there is none.

    Attributes
    ----------
    has_begun : bool
        Whether the text has been returned.

    Examples
    --------
    >>> beginning = Beginning("The wall is")
    >>> beginning.feed("The"), beginning.feed(" wall is long.")
    ('The wall is', ' long.')
    >>> Beginning("The wall is").feed(" long.")
    'The wall is long.'
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._held_back = ""
        self.has_begun = False
        self._is_decided = not text

    def feed(self, piece: str, *, last: bool = False) -> str:
        """Add a piece and return the text that can be shown.

        Parameters
        ----------
        piece
            The next piece. Before the first one that is not empty, nothing is returned.
        last
            Whether no piece follows; the text is then returned even if the answer is empty.
        """
        if not (piece or last):
            return ""
        text = "" if self.has_begun else self._text
        self.has_begun = True
        return text + self._new(piece, last=last)

    def _new(self, piece: str, *, last: bool) -> str:
        """Return what the pieces so far add to the text."""
        received, self._held_back = self._held_back + piece, ""
        if self._is_decided:
            return received
        is_part = received != self._text and self._text.startswith(received)
        if is_part and not last:
            self._held_back = received
            return ""
        self._is_decided = True
        return received.removeprefix(self._text)

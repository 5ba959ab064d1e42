"""Reasoning that a model writes into its answer, between ``<think>`` and ``</think>``; pure."""

from __future__ import annotations

import re

__all__ = ["ThinkSplitter"]

_BEGIN, _END = "<think>", "</think>"
#: Largest number of characters that are held back before the answer's first word.
_MAX_HELD = 64
#: An end without its begin, on a line of its own, in a whole answer.
_END_ALONE = re.compile(rf"^[ \t]*{_END}[ \t]*$", re.MULTILINE)


class ThinkSplitter:
    """Splits the text of an answer, which may arrive in any pieces, from the reasoning before it.

    Models on servers without a parser for reasoning, such as those of llama.cpp or Ollama, write
    it at the beginning of the answer. A tag anywhere else is text. Without ``</think>`` all of the
    answer is reasoning.

    Some templates put ``<think>`` into the prompt, so that the answer has only ``</think>``. In a
    whole answer, what stands before a line ``</think>`` is then reasoning. In a stream it is not
    recognised: the text before it has been shown as the answer by then.

    Parameters
    ----------
    whole
        Whether the answer arrives in one piece, and not as a stream.

    Attributes
    ----------
    is_done : bool
        Whether all that follows is the answer's text, so that nothing need be fed any more.

    Examples
    --------
    >>> splitter = ThinkSplitter()
    >>> splitter.feed("<thi"), splitter.feed("nk>Hm."), splitter.feed("</think>Yes")
    (('', ''), ('Hm.', ''), ('', 'Yes'))
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.is_done = False
        self._whole = whole
        self._held = ""
        self._is_inside = self._is_after = self._has_thought = False

    def feed(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """Take the next text; return the reasoning and the text of the answer in it.

        Parameters
        ----------
        text
            The next piece of the content.
        last
            Whether none follows.
        """
        if self.is_done:
            return "", text
        text, self._held = self._held + text, ""
        if self._is_inside:
            return self._inside(text, last=last)
        if self._is_after:
            return "", self._after(text)
        begin = text.lstrip()
        if begin.startswith(_BEGIN):
            self._is_inside = True
            return self._inside(begin.removeprefix(_BEGIN), last=last)
        if _BEGIN.startswith(begin) and not last and len(text) < _MAX_HELD:
            self._held = text
            return "", ""
        self.is_done = True
        end = _END_ALONE.search(text) if self._whole else None
        return (text[: end.start()].rstrip(), text[end.end() :].lstrip()) if end else ("", text)

    def stop(self) -> str:
        """Return the text that is held back, and take all that follows as the answer's."""
        self.is_done = True
        return self._held

    def _inside(self, text: str, *, last: bool) -> tuple[str, str]:
        if not self._has_thought:
            text = text.lstrip("\n")  # the template's line end after <think>
            self._has_thought = bool(text)
        reasoning, end, rest = text.partition(_END)
        if end:
            self._is_inside, self._is_after = False, True
            return reasoning, self._after(rest)
        tag = text.rfind("<")
        if not last and tag >= 0 and _END.startswith(text[tag:]):
            text, self._held = text[:tag], text[tag:]
        return text, ""

    def _after(self, text: str) -> str:
        """Drop the white space between the reasoning and the answer."""
        text = text.lstrip()
        self.is_done = bool(text)
        return text

"""The ids of the chunks of a stream, which tell whether it is one answer."""

from __future__ import annotations

from qianfan_magic.language import tr

__all__ = ["AnswerIds"]


class AnswerIds:
    """Notices that a stream mixes two answers, as a gateway may that confuses its connections.

    All chunks of an answer should have the same ``id``. Servers exist that give each chunk one of
    its own (Foundry Local, LiteLLM, llama.cpp until March 2024), and gateways that go on with
    another model in the middle of an answer. So a new id is no error. An id that comes back after
    another one is: then the text is of two answers, and one of them may be a stranger's.

    Attributes
    ----------
    newest : str
        The id of the newest chunk that has text and an id.

    Examples
    --------
    >>> ids = AnswerIds()
    >>> for id_ in ("a", "a", "", "b"):
    ...     ids.add(id_)
    >>> ids.add("a")
    Traceback (most recent call last):
        ...
    ValueError: it mixes two answers
    """

    def __init__(self) -> None:
        self.newest = ""
        self._earlier: set[str] = set()

    def add(self, id_: object) -> None:
        """Take the id of the next chunk that has text; none, or an empty one, says nothing.

        Raises
        ------
        ValueError
            If the stream mixes two answers.
        """
        if id_ == self.newest or not id_ or not isinstance(id_, str):
            return
        if id_ in self._earlier:
            raise ValueError(tr("it mixes two answers"))
        self._earlier.add(self.newest)
        self.newest = id_

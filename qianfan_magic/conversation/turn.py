"""A turn of a conversation, and the run of a cell that it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Content, Message, SearchResult, ToolRound
from qianfan_magic.masking import mask_known

__all__ = [
    "CELL_ID",
    "ID_LENGTH",
    "CellRun",
    "ImageAttachment",
    "Turn",
    "digest",
    "excerpt",
    "sent_cell_id",
    "short_name",
    "with_images",
]

#: Hexadecimal digits of a turn's id: 64 bits, so that ids do not collide by chance.
ID_LENGTH = 16
#: A cell's id, as nbformat 4.5 defines it (JEP 62).
CELL_ID = re.compile(r"[-\w]{1,64}", re.ASCII)
#: Largest number of characters of an excerpt or of a conversation's name in a message.
_MAX_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ImageAttachment:
    """An image that was sent with a question.

    Attributes
    ----------
    name
        The variable or the file that it came from.
    digest
        Digest of its bytes, by which two images of one name are told apart.
    url
        ``data:`` URL of the image; empty after a restore, since a notebook does not keep it.
    """

    name: str
    digest: str
    url: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: a user message with the assistant message that answers it.

    Other libraries count this as two turns, one for each message. Here a turn always has both, so
    that the roles of a conversation alternate by construction, as Qianfan demands.

    Attributes
    ----------
    user, assistant
        The texts of both messages.
    stopped
        Whether the user stopped the answer before its end.
    truncated
        Whether the answer ended at a limit of the service.
    system
        The system message that was sent with it; empty for none.
    model
        The endpoint or model that answered.
    parameters
        The parameters that were set, by their names in `PARAMETERS`.
    tokens
        Tokens of the prompt and of the completion, as the service counted them.
    cell
        Id of the cell that sent the question, or that continued the answer last; empty if the
        front end sends no ids.
    run
        Id of that run of the cell; known in this process only.
    after
        Id of the turn before it; empty for the first turn.
    continues
        The unfinished turn that this one continues, by ``--continue``; None for most turns.
    reasoning
        The model's reasoning before the answer; it is never sent back.
    sources
        The sources of a web search that the answer cites; likewise.
    pictures
        Images that were sent with the question, and are sent again with later ones.
    rounds
        The calls of functions that the model asked for before its answer, with their results;
        they are sent again with later questions.
    estimate
        Tokens of all texts by Qianfan's rule of thumb.

    Examples
    --------
    >>> turn = Turn("Who built the Great Wall?", "Many dynasties.", model="ERNIE-Speed-128K")
    >>> turn.characters, turn.is_unfinished, turn.label
    (40, False, '“Who built the Great Wall?”')
    """

    user: str
    assistant: str
    _: KW_ONLY
    stopped: bool = False
    truncated: bool = False
    system: str = ""
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[int, int] = (0, 0)
    cell: str = ""
    run: str = field(default="", compare=False)
    after: str = ""
    continues: Turn | None = None
    reasoning: str = field(default="", repr=False, compare=False)
    sources: tuple[SearchResult, ...] = field(default=(), repr=False, compare=False)
    pictures: tuple[ImageAttachment, ...] = ()
    rounds: tuple[ToolRound, ...] = ()
    estimate: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Estimated once, not for each request: trimming looks at all turns of a conversation.
        object.__setattr__(self, "estimate", sum(map(estimate_tokens, self._texts)))

    @property
    def id(self) -> str:
        """Digest of the turn and, through `after`, of all turns before it.

        Secrets are masked before, as they are in a record: a restored turn has the same id.
        """
        return self.digest(mask_known)

    def digest(self, mask: Callable[[str], str]) -> str:
        """Return the id of the turn with its texts as the given function masks them."""
        texts = [mask(text) for text in (self.system, self.user, self.assistant)]
        parts: list[Any] = [self.after, *texts, self.stopped, self.truncated]
        # Left out if empty: records from before there were images or calls stay valid.
        if self.pictures:
            parts.append([picture.digest for picture in self.pictures])
        if self.rounds:
            parts.append({"rounds": [list(map(mask, one.texts)) for one in self.rounds]})
        return digest(json.dumps(parts))

    @property
    def content(self) -> Content:
        """Content of the user message as it is sent: its images, then its text."""
        return with_images(self.user, self.pictures)

    @property
    def characters(self) -> int:
        """Characters of all texts, by which Dolly-12B limits a request."""
        return sum(map(len, self._texts))

    @property
    def _texts(self) -> list[str]:
        return [self.user, self.assistant, *(text for one in self.rounds for text in one.texts)]

    def messages(self) -> list[Message]:
        """Return its messages: the question, the calls with their results, and the answer."""
        return [
            {"role": "user", "content": self.content},
            *(message for one in self.rounds for message in one.messages()),
            {"role": "assistant", "content": self.assistant},
        ]

    @property
    def label(self) -> str:
        """The beginning of the question in quotes, by which messages name the turn."""
        return excerpt(self.user)

    @property
    def is_unfinished(self) -> bool:
        """Whether the answer was stopped or truncated, and can be continued."""
        return self.stopped or self.truncated

    def steps(self) -> list[Turn]:
        """Return the turn as first answered and after each ``--continue``; the last is itself."""
        return [*(self.continues.steps() if self.continues else ()), self]


def with_images(text: str, pictures: Sequence[ImageAttachment]) -> Content:
    """Return a message's content: the images that have a URL, then the text.

    Without such an image it is the text alone, which models without vision take too.
    """
    parts = [{"type": "image_url", "image_url": {"url": p.url}} for p in pictures if p.url]
    return [*parts, {"type": "text", "text": text}] if parts else text


def digest(text: str) -> str:
    """Return the first 16 hexadecimal digits of a text's SHA-256."""
    # A model may answer with a lone surrogate, which UTF-8 does not encode.
    import hashlib  # Loads OpenSSL: 3 ms that `%load_ext` need not wait for.

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def excerpt(text: str) -> str:
    """Return the beginning of a text in quotes, on one line and without known secrets.

    Examples
    --------
    >>> excerpt("one   two")
    '“one two”'
    """
    return f"\u201c{_shorten(text)}\u201d"


def short_name(name: str) -> str:
    """Return a conversation's name for a message: on one line, short, without known secrets.

    The name may come from somebody else's notebook.
    """
    return _shorten(name)


def _shorten(text: str) -> str:
    # Masked first: a secret that is cut in half is no longer recognised.
    line = " ".join(mask_known(text).split())
    return line if len(line) <= _MAX_SHOWN else line[: _MAX_SHOWN - 1] + "\u2026"


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a cell.

    Attributes
    ----------
    cell
        Id of the cell, which JupyterLab (``cellId``) and VS Code send with each request to run
        it; empty in a terminal, and under nbclient, papermill and nbval.
    id
        Id of the message that requested the run; empty in a terminal.
    """

    cell: str = ""
    id: str = ""

    def asked_earlier(self, step: Turn) -> bool:
        """Return whether an earlier run of the same cell made this step of a turn."""
        return bool(self.cell) and step.cell == self.cell and step.run != self.id

    def had_asked(self, turn: Turn) -> bool:
        """Return whether an earlier run of the same cell made any step of a turn."""
        return any(map(self.asked_earlier, turn.steps()))


def sent_cell_id(request: Mapping[str, Any]) -> str:
    """Return the id of the cell that a request executes; empty if the front end sends none.

    JupyterLab and VS Code write it as ``cellId``, Colab in a part of its own.

    Parameters
    ----------
    request
        The message of the type ``execute_request``.

    Examples
    --------
    >>> sent_cell_id({"metadata": {"colab": {"cell_id": "a1"}}})
    'a1'
    """
    metadata = request.get("metadata") or {}
    colab = metadata.get("colab")
    found = metadata.get("cellId") or (colab.get("cell_id") if isinstance(colab, dict) else "")
    return found if isinstance(found, str) else ""

"""A question with its answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.types import Content
from qianfan_magic.masking import mask_known

#: Hexadecimal digits of a turn's id.
ID_LENGTH = 16
#: Characters of a question by which a turn is called.
LONGEST_BEGINNING = 40


@dataclass(frozen=True, slots=True)
class ImageAttachment:
    """A picture that went along with a question.

    Attributes
    ----------
    name
        As it was named.
    digest
        Of its bytes.
    url
        A ``data:`` address with all of it; empty where only a record of it is left.
    """

    name: str
    digest: str
    url: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer; there is no turn without both.

    Attributes
    ----------
    user, assistant
        What was said.
    stopped
        The answer was stopped by the user and is not whole.
    truncated
        The answer stopped at a limit of the service.
    system
        The system text that it was asked with.
    model
        The endpoint or model that answered.
    parameters
        That shaped the answer, by the table's names.
    tokens
        Of what was sent and of the answer, as the service counts.
    cell
        The id of the notebook's cell that asked last; empty where the front end names none.
    run
        Which of the cell's runs that was; known in this process only.
    after
        The id of the turn before it, empty for the first.
    continues
        The unfinished turn that this one completes.
    reasoning
        What the model thought before it answered; never sent back.
    pictures
        That went along with the question, and go along with later ones.
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
    pictures: tuple[ImageAttachment, ...] = ()
    estimate: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once for each turn: to cut the two hundredth costs no more than to cut the second.
        estimated = estimate_tokens(self.user) + estimate_tokens(self.assistant)
        object.__setattr__(self, "estimate", estimated)

    @property
    def id(self) -> str:
        """Names the turn and, through `after`, all that was said before it.

        Of its texts as a record tells them, without a key that they may quote.
        """
        return self.digest(mask_known)

    def digest(self, told: Callable[[str], str]) -> str:
        """Make the id of its texts as a function tells them."""
        texts = [told(text) for text in (self.system, self.user, self.assistant)]
        said = [self.after, *texts, self.stopped, self.truncated]
        said += [[picture.digest for picture in self.pictures]] * bool(self.pictures)
        return digest(json.dumps(said))

    @property
    def content(self) -> Content:
        """The question as it is sent: its text, with the pictures before it."""
        return with_images(self.user, self.pictures)

    @property
    def characters(self) -> int:
        """The length of both."""
        return len(self.user) + len(self.assistant)

    @property
    def label(self) -> str:
        """How the question begins, in quotes, by which a reader knows the turn."""
        return excerpt(self.user)

    @property
    def is_unfinished(self) -> bool:
        """Whether the answer ended before its end."""
        return self.stopped or self.truncated

    def steps(self) -> list[Turn]:
        """List the turn as it was asked, and as each ``--continue`` left it; itself the last."""
        return [*(self.continues.steps() if self.continues else ()), self]


def with_images(text: str, pictures: Sequence[ImageAttachment]) -> Content:
    """Put pictures before a text, as far as they are there; without any it is the text alone."""
    parts = [{"type": "image_url", "image_url": {"url": p.url}} for p in pictures if p.url]
    return [*parts, {"type": "text", "text": text}] if parts else text


def digest(text: str) -> str:
    """Name a text by 16 hexadecimal digits, from which nobody reads it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def excerpt(text: str) -> str:
    """Return how a text begins, in quotes; a key that it quotes is masked."""
    line = " ".join(mask_known(text).split())
    cut = line if len(line) <= LONGEST_BEGINNING else line[: LONGEST_BEGINNING - 1] + "\u2026"
    return f"\u201c{cut}\u201d"


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a cell.

    Attributes
    ----------
    cell
        The cell's id, which JupyterLab and VS Code send with each request to run it; empty in a
        terminal, and under nbclient, papermill and nbval.
    id
        The request's; empty in a terminal.
    """

    cell: str = ""
    id: str = ""

    def asked_earlier(self, step: Turn) -> bool:
        """Tell whether an earlier run of the same cell asked, in this step of a turn."""
        return bool(self.cell) and step.cell == self.cell and step.run != self.id

    def had_asked(self, turn: Turn) -> bool:
        """Tell whether an earlier run of the same cell asked, in any step of a turn."""
        return any(map(self.asked_earlier, turn.steps()))


#: What a cell's id is, by the notebook format.
CELL_ID = re.compile(r"[-\w]{1,64}", re.ASCII)


def short_name(name: str) -> str:
    """Write a name for a conversation, which may be a stranger's, in one line without a key."""
    line = " ".join(mask_known(name).split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "\u2026"


#: Characters of a name in a message.
LONGEST_NAME = 40

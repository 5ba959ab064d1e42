"""Notebooks and files that an earlier version of the package wrote can still be read.

``data/notebook.json`` and ``data/conversations.json`` were written by commit f5155a2 from the same
six cells. They are never regenerated: what users have saved must stay readable. The notebook does
not have the suffix ``.ipynb``, since nbval would run it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import read_outputs
from qianfan_magic.conversation.restore import Restoration, restore
from qianfan_magic.conversation.save_file import load_conversations, save_conversations
from qianfan_magic.conversation.turn import ImageAttachment, Turn

DATA = Path(__file__).parent / "data"
NOTEBOOK, FILE = DATA / "notebook.json", DATA / "conversations.json"

CUT_OFF = Turn(
    "长城有多长？",
    "It is about ",
    truncated=True,
    system="Be brief.",
    model="dolly_12b",
    parameters={"max_tokens": 4},
    tokens=(20, 4),
    cell="longer",
    after="c203b8a5c28c444e",
)
DEFAULT = Conversation(
    "default",
    "Be brief.",
    (
        Turn(
            "Who built the Great Wall?",
            "Many dynasties, the Ming above all.",
            system="Be brief.",
            model="dolly_12b",
            tokens=(6, 8),
            cell="wall",
        ),
        Turn(
            "长城有多长？",
            "It is about 21,000 kilometres long, with all its branches.",
            system="Be brief.",
            model="dolly_12b",
            tokens=(33, 13),
            cell="rest",
            after="c203b8a5c28c444e",
            continues=CUT_OFF,
        ),
        Turn(
            "Tell me a story of it.",
            "Once upon a time there was ",
            stopped=True,
            system="Be brief.",
            model="dolly_12b",
            parameters={"temperature": 0.5},
            tokens=(41, 0),
            cell="stopped",
            after="2f4b06970b17b5c5",
        ),
    ),
)
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAwAAAAICAIAAABChommAAAAE0lEQVR4nGP8z0AYMBGhZpgr"
    "AgAwUAEPZ+AT8AAAAABJRU5ErkJggg=="
)
TUTOR = Conversation(
    "tutor",
    "Teach.",
    (
        Turn(
            "What is 1 + 1?",
            "It is 2.",
            system="Teach.",
            model="dolly_12b",
            tokens=(6, 4),
            cell="teach",
        ),
        Turn(
            "What is this?",
            "A pixel.",
            system="Teach.",
            model="ernie-5.0",
            tokens=(15, 3),
            cell="image",
            after="3fbbb5c491f0a6b2",
            pictures=(ImageAttachment("wall.png", "fd848f0649f29a36", PNG),),
        ),
    ),
)


@pytest.fixture(scope="module")
def restored() -> Restoration:
    return restore(read_outputs(NOTEBOOK))


@pytest.mark.parametrize("expected", [DEFAULT, TUTOR], ids=lambda conversation: conversation.name)
def test_notebook_is_restored_with_its_turns(restored, expected):
    assert restored.conversations[expected.name] == expected


def test_notebook_has_no_other_conversations(restored):
    assert list(restored.conversations) == ["default", "tutor"]


def test_turns_of_the_notebook_keep_their_ids(restored):
    assert restored.lacks(DEFAULT) == 0
    assert restored.lacks(TUTOR) == 0


def test_summary_of_the_notebook_names_the_image_that_it_lacks(restored):
    assert restored.summary == [
        "default: 3 turns restored, with the system text “Be brief.”.",
        "tutor: 2 turns restored, with the system text “Teach.”.",
        "tutor: A notebook keeps no pictures: later questions go without wall.png.",
    ]


def test_clock_is_that_of_the_last_record(restored):
    assert restored.clock == 6


def test_file_is_loaded_with_its_conversations():
    assert load_conversations(FILE) == [DEFAULT, TUTOR]


def test_file_is_loaded_with_its_images():
    # Equality of attachments leaves the URL out, since a notebook has none.
    assert load_conversations(FILE)[1].turns[1].pictures[0].url == PNG


def test_conversations_are_saved_as_the_same_file(tmp_path):
    save_conversations(tmp_path / "again.json", [DEFAULT, TUTOR])
    assert (tmp_path / "again.json").read_bytes() == FILE.read_bytes()

"""What stands under an answer, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from qianfan_magic.api.types import Reply
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.turn import CellRun, short_name

#: Said once, under the first answer for which it counts.
UNORDERED = (
    "The saved notebook is no longer where it was when the kernel started: from now on cells count "
    "in the order in which they are run. Restart the kernel to have it found."
)
#: So many turns are called by name.
MOST_NAMED = 3


def reply_notes(reply: Reply) -> list[str]:
    """Say what the service says of its answer."""
    notes = []
    if reply.is_truncated:
        notes.append("The answer was cut off at the service's limit (is_truncated).")
    if reply.is_safe is False:
        notes.append("The service found the question unsafe (is_safe 0).")
    if reply.need_clear_history:
        notes.append(_unsafe(reply.ban_round))
    elif not reply.text.strip():
        thought = reply.reasoning and reply.is_truncated
        more = " Thinking took all of it: raise --max-tokens, or lower --thinking-budget."
        notes.append("The answer is empty." + more * bool(thought))
    return notes


def _unsafe(ban_round: int | None) -> str:
    if ban_round == -1:
        return "The service found this question unsafe (ban_round -1): it is not kept."
    if ban_round is None or ban_round < 1:
        return "The service found the conversation unsafe: it is empty now."
    return (
        f"The service found turn {ban_round} of those sent unsafe (ban_round {ban_round}): it is "
        "forgotten, with all that followed."
    )


def left_out_note(fit: Fit) -> list[str]:
    """Say how many turns were not sent, and why, if any."""
    if not fit.left_out:
        return []
    turns = "turn was" if fit.left_out == 1 else f"{fit.left_out} turns were"
    return [f"The oldest {turns} not sent: {fit.reason}."]


def rewound_notes(rewound: Rewound | None, others: Sequence[Rewound] = ()) -> list[str]:
    """Say which turns go because a cell was run again, or stands above cells that asked before.

    Parameters
    ----------
    rewound
        Of the conversation that the cell asks in.
    others
        Of those in which an earlier run of it asked.
    """
    if rewound is None:
        return []
    lost = [UNORDERED] * rewound.is_unordered
    named = [f"In {short_name(one.conversation.name)}: {_rewound(one)}" for one in others]
    return [note for note in (_rewound(rewound), *named, *lost) if note]


def unchanged_notes(conversations: Iterable[Conversation], run: CellRun) -> Iterator[str]:
    """Say which conversations still have the turns of a cell's earlier run."""
    for one in conversations:
        numbers = [number for number, turn in enumerate(one.turns, 1) if run.had_asked(turn)]
        if numbers:
            yield (
                f"The conversation {short_name(one.name)} is as it was: it still has {_turns(numbers)}, "
                "which this cell had asked before."
            )


def _rewound(rewound: Rewound) -> str:
    said = []
    if rewound.replaced:
        said.append(
            f"In the place of {_turns(rewound.replaced)}, which this cell had asked before."
        )
    own = min(rewound.replaced, default=math.inf)
    for why, dropped in (
        ("asked by cells below, before this one", [one for one in rewound.dropped if one[0] < own]),
        ("said after that", [one for one in rewound.dropped if one[0] > own]),
        ("asked by cells that are gone", rewound.gone),
    ):
        named = [f"turn {number} ({called})" for number, called in dropped[:MOST_NAMED]]
        named += [f"{len(dropped) - MOST_NAMED} more"] * (len(dropped) > MOST_NAMED)
        said += [f"Dropped, since {why}: {', '.join(named)}."] * bool(named)
    return " ".join(said)


def _turns(numbers: Sequence[int]) -> str:
    return f"turn{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"

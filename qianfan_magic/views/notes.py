"""Notes below an answer: what the service reported, and how the conversation changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from qianfan_magic.api.fenced_json import read_json
from qianfan_magic.api.types import Reply
from qianfan_magic.conversation.conversation import Conversation, Fit, Rewound
from qianfan_magic.conversation.turn import CellRun, short_name
from qianfan_magic.language import mark, tr, trn

__all__ = ["left_out_note", "reply_notes", "rewound_notes", "unchanged_notes", "words_note"]

#: Shown once, below the first answer that it concerns.
UNORDERED = mark(
    "The saved notebook is no longer where it was when the kernel started: from now on, the "
    "order of the cells is the order in which they are run. Restart the kernel to find it again."
)
#: Largest number of dropped turns that are named; of the others only the number is given.
MAX_NAMED = 3
#: What the service means by some values of ``finish_reason``. Sources: the API documents of
#: DeepSeek ("insufficient_system_resource") and GLM ("sensitive", "network_error").
FINISH_REASONS = {
    "error": mark(
        "The service broke the answer off with an error (finish_reason error): it may be "
        "incomplete."
    ),
    "network_error": mark(
        "The service broke the answer off with an error (finish_reason "
        "network_error): it may be incomplete."
    ),
    "sensitive": mark(
        "The service found the answer unsafe and ended it (finish_reason sensitive)."
    ),
    "insufficient_system_resource": mark(
        "The service was too busy to finish the answer (finish_reason "
        "insufficient_system_resource): run the cell again in a while."
    ),
}


def reply_notes(reply: Reply) -> list[str]:
    """Describe what the service says about its answer: truncated, unsafe, or empty.

    The fields are those of Baidu's chat API, version 1: ``is_truncated``, ``is_safe``,
    ``need_clear_history`` and ``ban_round``.
    """
    notes = []
    if reply.is_truncated:
        notes.append(tr("The answer was cut off at the service's limit."))
    if reply.is_safe is False:
        notes.append(tr("The service found the question unsafe (is_safe 0)."))
    if reply.finish_reason in FINISH_REASONS:
        notes.append(tr(FINISH_REASONS[reply.finish_reason]))
    if reply.need_clear_history:
        notes.append(_unsafe_note(reply.ban_round))
    elif not reply.text.strip() and reply.tool_calls:
        notes.append(tr("The answer is empty: the model asks to call a tool instead."))
    elif not reply.text.strip():
        only_reasoning = reply.reasoning and reply.is_truncated
        more = tr(" Thinking took all of it: raise --max-tokens, or lower --thinking-budget.")
        notes.append(tr("The answer is empty.") + more * bool(only_reasoning))
    return notes


def _unsafe_note(ban_round: int | None) -> str:
    # Baidu: ban_round is the index of the unsafe turn, from 1; -1 stands for the last question.
    if ban_round == -1:
        return tr("The service found this question unsafe (ban_round -1): it is not kept.")
    if ban_round is None or ban_round < 1:
        return tr("The service found the conversation unsafe: it is empty now.")
    return tr(
        "The service found turn {ban_round} of those sent unsafe (ban_round {ban_round}): it is "
        "forgotten, with all turns after it.",
        ban_round=ban_round,
    )


def words_note(text: str) -> list[str]:
    """Say that words around the JSON of an answer are not shown; empty if there are none."""
    try:
        has_words = read_json(text).has_words
    except ValueError:
        return []
    return [tr("The answer has words around its JSON; only the JSON is shown.")] * has_words


def left_out_note(fit: Fit) -> list[str]:
    """Describe how many turns were not sent, and why; empty if all were."""
    if not fit.left_out:
        return []
    return [
        trn(
            "The oldest turn was not sent: {reason}.",
            "The oldest {count} turns were not sent: {reason}.",
            fit.left_out,
            reason=fit.reason,
        )
    ]


def rewound_notes(rewound: Rewound | None, others: Sequence[Rewound] = ()) -> list[str]:
    """Describe which turns were dropped because cells were run again, or in another order.

    Parameters
    ----------
    rewound
        The rewound conversation of this cell; None if the cell has none.
    others
        Other conversations that an earlier run of this cell had added turns to.
    """
    if rewound is None:
        return []
    unordered = [tr(UNORDERED)] * rewound.is_unordered
    elsewhere = [
        tr("In {name}: {note}", name=short_name(other.conversation.name), note=_rewound_note(other))
        for other in others
    ]
    return [note for note in (_rewound_note(rewound), *elsewhere, *unordered) if note]


def unchanged_notes(conversations: Iterable[Conversation], run: CellRun) -> Iterator[str]:
    """Name the conversations that still have the turns of a cell's earlier run."""
    for conversation in conversations:
        turns = enumerate(conversation.turns, 1)
        numbers = [number for number, turn in turns if run.had_asked(turn)]
        if numbers:
            yield (
                tr(
                    "The conversation {short_name} is unchanged: it still has "
                    "{turns}, which this cell asked before.",
                    short_name=short_name(conversation.name),
                    turns=_turns(numbers),
                )
            )


def _rewound_note(rewound: Rewound) -> str:
    notes = []
    if rewound.replaced:
        notes.append(
            tr("Replaces {turns}, which this cell asked before.", turns=_turns(rewound.replaced))
        )
    own = min(rewound.replaced, default=math.inf)
    for origin, dropped in (
        (
            tr("of cells below, which ran before this one"),
            [d for d in rewound.dropped if d[0] < own],
        ),
        (tr("that followed"), [d for d in rewound.dropped if d[0] > own]),
        (tr("of cells that are gone"), rewound.gone),
    ):
        named = [
            tr("turn {number} ({excerpt})", number=number, excerpt=excerpt)
            for number, excerpt in dropped[:MAX_NAMED]
        ]
        named += [tr("{count} more", count=len(dropped) - MAX_NAMED)] * (len(dropped) > MAX_NAMED)
        dropped_note = tr("Dropped turns {origin}: {turns}.", origin=origin, turns=", ".join(named))
        notes += [dropped_note] * bool(named)
    return " ".join(notes)


def _turns(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers))
    return trn("turn {numbers}", "turns {numbers}", len(numbers), numbers=named)

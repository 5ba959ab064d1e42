"""What stands under an answer, in plain words."""

from __future__ import annotations

from qianfan_magic.wire.types import Reply


def reply_notes(reply: Reply) -> list[str]:
    """Say what the service says of its answer."""
    notes = []
    if reply.is_truncated:
        notes.append("The answer was cut off at the service's limit (is_truncated).")
    if reply.is_safe is False:
        notes.append("The service found the question unsafe (is_safe 0).")
    if reply.need_clear_history:
        where = f"turn {reply.ban_round} unsafe (ban_round {reply.ban_round})"
        if reply.ban_round == -1:
            where = "the current question unsafe (ban_round -1)"
        elif reply.ban_round is None:
            where = "the conversation unsafe"
        notes.append(f"The service found {where} and asked to forget it all: it is empty now.")
    elif not reply.text.strip():
        notes.append("The answer is empty.")
    return notes


def left_out_note(left_out: int, limit: int | None) -> list[str]:
    """Say how many turns were not sent, if any."""
    if not left_out:
        return []
    turns = "turn was" if left_out == 1 else f"{left_out} turns were"
    return [f"The oldest {turns} not sent: the model takes at most {limit:,} characters."]

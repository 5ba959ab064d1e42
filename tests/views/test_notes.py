"""Notes below an answer: what the service reported about it."""

from __future__ import annotations

from qianfan_magic.api.types import Reply
from qianfan_magic.views.notes import reply_notes


def test_reason_for_which_the_service_broke_off_is_said():
    for reason in ("error", "network_error", "sensitive", "insufficient_system_resource"):
        (note,) = reply_notes(Reply(text="half", finish_reason=reason))
        assert f"(finish_reason {reason})" in note
    for reason in ("", "stop", "length", "tool_calls", "anything"):
        assert reply_notes(Reply(text="whole", finish_reason=reason)) == [], reason


def test_answer_that_only_calls_tools_is_not_called_empty_alone():
    call = {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    (note,) = reply_notes(Reply(text="", tool_calls=(call,), finish_reason="tool_calls"))
    assert "call a tool" in note

"""The live view for programs, in a kernel."""

from __future__ import annotations

import pytest
from support.kernel import WIDGET, Kernel
from support.notebook import WALL

import qianfan_magic
from qianfan_magic import SettingsError
from qianfan_magic.embedded.faults import Fault

SHOW = f"""
from qianfan_magic import QianfanClient
from qianfan_magic.widgets import Reply
view = Reply("mine")
display(view)
question = [{{"role": "user", "content": "{WALL}"}}]
with QianfanClient() as client:
    text = view.show(client.stream_chat(question, model="ernie-5.1"))
"""


def test_stream_is_shown_in_a_widget_that_stays(live: Kernel) -> None:
    live.server.pace = 0.01
    ran = live.run(SHOW)
    assert WIDGET in ran.bundles[0]
    assert len(ran.frames) > 1
    assert "Great Wall" in ran.seen
    assert ran.contents("comm_close") == []
    told = live.run("text.count('Great Wall')").contents("execute_result")
    assert told[0]["data"]["text/plain"] == "1"
    ends = [c["data"]["content"]["end"] for c in ran.contents("comm_msg") if is_end(c)]
    [[[head, pace, parameters]]] = ends
    assert (head, parameters) == ("mine · done · 114 tokens", "")
    assert pace.startswith("first token after ")


def is_end(content: dict) -> bool:
    return "end" in content["data"].get("content", {})


def test_stream_that_breaks_raises_and_says_so_below_the_answer(live: Kernel) -> None:
    live.server.fail(Fault(after=3, end="close", path="/v2/"))
    ran = live.run(SHOW)
    assert ran.contents("error")[0]["ename"] == "StreamError"
    ends = [c["data"]["content"]["end"] for c in ran.contents("comm_msg") if is_end(c)]
    assert ends[0][0][0].startswith("mine · broken off")


def test_extension_without_ipython_says_what_to_use() -> None:
    with pytest.raises(SettingsError, match="There is no IPython") as caught:
        qianfan_magic.load_ipython_extension(None)
    assert "qianfan_magic.widgets.Reply" in caught.value.hint

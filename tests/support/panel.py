"""The panel of sliders, used as a page uses it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from support.kernel import Kernel, Ran
from support.waiting import PATIENCE

from qianfan_magic.embedded.faults import Fault


@dataclass
class PanelPage:
    """What a page does with the panel: it sets values, and presses buttons."""

    kernel: Kernel
    shown: Ran
    model: str

    def send(self, data: dict[str, Any]) -> str:
        """Send data to the panel's model in the kernel; return the id of the message."""
        session = self.kernel.client.session
        message = session.msg("comm_msg", {"comm_id": self.model, "data": data})
        self.kernel.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def result_of(self, message_id: str, seen: Any = lambda _: None) -> Ran:
        """Return all that the kernel publishes because of a message."""
        ran = Ran({})
        while ran.contents("status")[-1:] != [{"execution_state": "idle"}]:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == message_id:
                ran.published.append(message)
                seen(ran)
        return ran

    def set(self, **values: Any) -> dict[str, Any]:
        """Set values as the sliders do; return the state that the kernel sends back."""
        data = {"method": "update", "state": {"values": values}, "buffer_paths": []}
        return self.state(self.result_of(self.send(data)))

    def click(self, button: str) -> Ran:
        return self.result_of(self.send({"method": "custom", "content": {"click": button}}))

    def message_after(self, button: str) -> str:
        """Press a button; return the message that the panel shows."""
        return self.state(self.click(button)).get("message", "")

    def state(self, ran: Ran) -> dict[str, Any]:
        """Return the state that the kernel sent to the panel's model."""
        state: dict[str, Any] = {}
        for content in ran.contents("comm_msg"):
            if content["comm_id"] == self.model and content["data"]["method"] == "update":
                state |= content["data"]["state"]
        return state

    @property
    def bodies(self) -> list[dict[str, Any]]:
        seen = self.kernel.server.seen
        return [json.loads(one.body) for one in seen if "wenxinworkshop" in one.path]

    def answer(self, text: str) -> None:
        self.kernel.server.fail(Fault(fields={"result": text}))

    def ask(self, text: str = "first", flags: str = "", cell: str = "hi") -> Ran:
        self.answer(text)
        return self.kernel.run(f"%%qianfan_chat --no-stream {flags}\n{cell}")

    def again(self, text: str = "second") -> Ran:
        self.answer(text)
        return self.click("again")

    def history(self) -> list[str]:
        """Return the contents of the conversation's messages."""
        self.kernel.run("%qianfan history -o messages")
        result = self.kernel.run("import json; json.dumps([m['content'] for m in messages])")
        text = result.contents("execute_result")[0]["data"]["text/plain"]
        return json.loads(text.strip("'"))


def panels(ran: Ran) -> list[str]:
    """Return the ids of the panels' widget models that were opened."""
    opened = ran.contents("comm_open")
    return [c["comm_id"] for c in opened if "offer" in c["data"]["state"]]

"""The panel of sliders, moved as a page moves it."""

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

    def tell(self, data: dict[str, Any]) -> str:
        session = self.kernel.client.session
        message = session.msg("comm_msg", {"comm_id": self.model, "data": data})
        self.kernel.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def ran(self, asked: str, seen: Any = lambda _: None) -> Ran:
        """Give all that the kernel published because of a message."""
        ran = Ran({})
        while ran.contents("status")[-1:] != [{"execution_state": "idle"}]:
            message = self.kernel.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == asked:
                ran.published.append(message)
                seen(ran)
        return ran

    def set(self, **values: Any) -> dict[str, Any]:
        """Set values as the sliders do; return what the panel's state was set to in answer."""
        data = {"method": "update", "state": {"values": values}, "buffer_paths": []}
        return self.state(self.ran(self.tell(data)))

    def click(self, button: str) -> Ran:
        return self.ran(self.tell({"method": "custom", "content": {"click": button}}))

    def says(self, button: str) -> str:
        """Press a button; return what the panel says."""
        return self.state(self.click(button)).get("message", "")

    def state(self, ran: Ran) -> dict[str, Any]:
        """Merge what the panel's model was told."""
        told: dict[str, Any] = {}
        for content in ran.contents("comm_msg"):
            if content["comm_id"] == self.model and content["data"]["method"] == "update":
                told |= content["data"]["state"]
        return told

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
        self.kernel.run("%qianfan history -o said")
        result = self.kernel.run("import json; json.dumps([m['content'] for m in said])")
        text = result.contents("execute_result")[0]["data"]["text/plain"]
        return json.loads(text.strip("'"))


def panels(ran: Ran) -> list[str]:
    """Return the ids of the panels' widget models that were opened."""
    opened = ran.contents("comm_open")
    return [c["comm_id"] for c in opened if "rows" in c["data"]["state"]]

"""The calls of functions that a model asked for, each as one folded line; safe like an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal

from qianfan_magic.api.json_depth import is_too_deep
from qianfan_magic.api.types import ToolCall, ToolRound
from qianfan_magic.language import mark, tr
from qianfan_magic.masking import mask_known
from qianfan_magic.views.rendering.formats import body
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.sanitize import is_image
from qianfan_magic.views.rendering.state_line import duration_text, join_parts
from qianfan_magic.views.rendering.style import inline

__all__ = ["CALL", "MAX_SHOWN", "CallOutput", "RoundOutput"]

#: Heading in plain text of a call.
CALL = "[Call]"
#: Largest number of characters of a result that are shown; the model gets more.
MAX_SHOWN = 2_000
#: Largest number of characters of the HTML of a table.
MAX_TABLE = 200_000
#: Largest number of characters of the arguments, and of the result, in the folded line.
_LONGEST = 70
#: How a call stands.
State = Literal["asked", "running", "done", "failed", "stopped"]
#: States of a call that may still get a result.
_OPEN = frozenset({"asked", "running"})
#: What the line says in the place of a result.
_WORDS = {
    "asked": mark("waiting for you …"),
    "running": mark("running …"),
    "stopped": mark("stopped"),
}


@dataclass(frozen=True, slots=True)
class CallOutput:
    """A call of a function, before and after it is made.

    Attributes
    ----------
    name
        The name of the function.
    arguments
        Its arguments: JSON as text, from the model.
    state
        Whether the user is asked for it (``asked``), it is running, done, failed, or was stopped
        by the user.
    result
        What the model is told; empty while it runs.
    rich
        What IPython shows of the value: ``text/html`` of a table, ``image/png`` of a figure, and
        ``text/plain``; empty for other values.
    seconds
        How long it took; shown, but not saved.

    Examples
    --------
    >>> call = CallOutput("weather", '{"city": "Beijing"}', "done", "21 °C")
    >>> print(call.plain())
    [Call] weather(city="Beijing")
    → 21 °C
    """

    name: str
    arguments: str
    state: State = "running"
    result: str = ""
    rich: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, call: ToolCall) -> CallOutput:
        """Return a call that was made earlier."""
        return cls(call.name, call.arguments, "failed" if call.is_error else "done", call.result)

    @property
    def head(self) -> str:
        """The call as Python would write it, on one line."""
        pairs = ", ".join(f"{name}={_json(value)}" for name, value in self._pairs())
        return _visible(f"{self.name}({pairs})")

    @property
    def outcome(self) -> str:
        """The result on one line, or how the call stands."""
        if self.state in _WORDS:
            return tr(_WORDS[self.state])
        if "image/png" in self.rich:
            return tr("a picture")
        if "text/html" in self.rich:
            return tr("a table")
        return _short(_visible(self.result))

    @property
    def pace(self) -> str:
        """How long it took; empty while it runs."""
        return duration_text(self.seconds) if self.seconds else ""

    def html(self, *, pace: bool = False) -> str:
        """Make the HTML: a line that unfolds the arguments and the whole result.

        ``reply.js`` finds it by the class, as it finds the model's reasoning.
        """
        line = f'<code style="{inline("coded")}">{escape(_short(self.head))}</code> \u2192 '
        line += escape(join_parts(self.outcome, self.pace if pace else ""))
        rows = [f"{_visible(name)}: {_visible(_json(value))}" for name, value in self._pairs()]
        given = escape(_cut("\n".join(rows)))
        return (
            f'<details class="qianfan-call" style="{inline("thoughts")}">'
            f'<summary style="{inline("unfold")}">{line}</summary>\n'
            f'<div style="{inline("thought")}">{given}</div>\n{self._result_html()}\n</details>\n'
        )

    def plain(self) -> str:
        """Make the plain text: the call, and below it its result."""
        if self.state in _WORDS:
            return f"{CALL} {_cut(self.head)}\n\u2192 {self.outcome}"
        shown = _cut(_visible(self.rich.get("text/plain", self.result)))
        gap = "\n" if "\n" in shown else " "  # the columns of a table stay in line
        return f"{CALL} {_cut(self.head)}\n\u2192{gap}{shown}"

    def _pairs(self) -> Sequence[tuple[str, Any]]:
        """Return the arguments by their names; as one text if they are no JSON object."""
        try:
            given = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            given = None
        if is_too_deep(given):
            given = None
        return list(given.items()) if isinstance(given, dict) else [("…", self.arguments)]

    def _result_html(self) -> str:
        picture = "data:image/png;base64," + self.rich.get("image/png", "").replace("\n", "")
        if "image/png" in self.rich and is_image(picture):
            style = "display:block;max-width:min(100%,24em)"
            return f'<img src="{picture}" alt="{escape(tr("a picture"))}" style="{style}">'
        table = self.rich.get("text/html", "")
        if table and len(table) <= MAX_TABLE:
            return body(_visible(table), "html")
        text = "\u2192 " + (
            _cut(_visible(self.result)) if self.state not in _WORDS else self.outcome
        )
        return f'<div style="{inline("thought")}">{escape(text)}</div>'


@dataclass(frozen=True, slots=True)
class RoundOutput:
    """A reply that asked for calls: what the model wrote beside them, and the calls."""

    text: str
    calls: tuple[CallOutput, ...] = ()

    @classmethod
    def of(cls, one: ToolRound) -> RoundOutput:
        """Return a round of an earlier turn."""
        return cls(one.text, tuple(map(CallOutput.of, one.calls)))

    def ended(self) -> RoundOutput:
        """Return it with a call that has no result, if there is one, as stopped."""
        calls = [replace(c, state="stopped") if c.state in _OPEN else c for c in self.calls]
        return replace(self, calls=tuple(calls))

    def html(self, form: str) -> str:
        """Make the HTML of the text, in the format of the answer, and of the calls."""
        text = body(_visible(self.text), form).rstrip() if self.text.strip() else ""
        return text + "\n" * bool(text) + "".join(call.html() for call in self.calls)

    def plain(self) -> list[str]:
        """List the parts of the plain text."""
        return [*[_visible(self.text)] * bool(self.text.strip()), *(c.plain() for c in self.calls)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _visible(text: str) -> str:
    return escape_invisible(mask_known(text))


def _short(text: str) -> str:
    lines = text.split("\n")
    line = lines[0]
    if len(line) > _LONGEST:
        return line[: _LONGEST - 1] + "…"
    return line + " …" * (len(lines) > 1)


def _cut(text: str) -> str:
    if len(text) <= MAX_SHOWN:
        return text
    return text[:MAX_SHOWN] + "\n" + tr("… ({count:,} characters in all)", count=len(text))

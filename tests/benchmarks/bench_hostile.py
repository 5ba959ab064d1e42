"""Time for hostile inputs of 10 and 100 kB, to find what takes more than linear time.

Run: ``python tests/benchmarks/bench_hostile.py [NAME]``

Each function gets inputs that make careless code search again from each character. The time for
100 kB is shown as a ratio to that for 10 kB: 10 is linear, 100 quadratic. Medians of three.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from qianfan_magic.api.wire.sse import EventDecoder
from qianfan_magic.api.wire.thinking import ThinkSplitter
from qianfan_magic.api.wire.tool_calls import ToolCalls
from qianfan_magic.masking import mask
from qianfan_magic.views.rendering.formats import body, plain, without_fence
from qianfan_magic.views.rendering.incremental import BlockStream
from qianfan_magic.views.rendering.markdown import to_html
from qianfan_magic.views.rendering.sanitize import sanitize

SIZES = (10_000, 100_000)


def events(stream: bytes) -> list[str]:
    decoder = EventDecoder()
    return [*decoder.feed(stream), *decoder.close()]


def calls(ids: str) -> Any:
    joined = ToolCalls()
    joined.add([{"id": one, "function": {"arguments": "x"}} for one in ids.split()])
    return joined.build()


def think(text: str) -> tuple[str, str]:
    return ThinkSplitter(whole=True).feed(text, last=True)


def schema(text: str) -> str:
    return body(text, "schema") + plain(text, "schema")


def link(text: str) -> str:
    return sanitize(f'<a href="https://evil.example">{text}</a>')


def frames(text: str) -> list[Any]:
    """Render an answer that arrives in 20 pieces."""
    stream, step = BlockStream(), len(text) // 20
    return [stream.frame(text[i : i + step]) for i in range(0, len(text), step)]


def repeated(unit: str) -> Callable[[int], str]:
    return lambda size: unit * (size // len(unit))


def numbered(unit: str) -> Callable[[int], str]:
    return lambda size: "".join(map(unit.format, range(size // (len(unit) + 2))))


def rows(size: int) -> str:
    return json.dumps([{str(number): 1} for number in range(size // 12)])


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[int], Any]]] = {
    "bare JSON": (events, lambda size: b"{x\n" + b"}\n" * (size // 2)),
    "event lines": (events, lambda size: b"data: {}\n" * (size // 9)),
    "empty lines": (think, repeated("\n")),
    "calls": (calls, numbered("call_{} ")),
    "letters": (mask, repeated("a")),
    "quotes of a key": (mask, lambda size: "api_key=" + '"' * size),
    "addresses": (mask, repeated("http://a:")),
    "rows of a schema": (schema, rows),
    "fence": (without_fence, lambda size: "\n".join(["`" * (size // 3)] * 3) + "\nx"),
    "word of a link": (link, repeated("a")),
    "labels of a link": (link, repeated("a.")),
    "formatting": (sanitize, numbered("<b x={}><p>")),
    "open formatting": (sanitize, repeated("<b ")),
    "nested elements": (sanitize, repeated("<div>")),
    **{
        f"Markdown {unit!r}": (to_html, repeated(unit))
        for unit in (
            "[",
            "![",
            "[](",
            "*a ",
            "_*",
            "`",
            "<",
            "$a ",
            r"\(",
            "\\[\n",
            "字**",
            "> a\n",
        )
    },
    "Markdown lists": (to_html, repeated("- a\n")),
    "Markdown tables": (to_html, repeated("a|b\n-|-\n\n")),
    "Markdown definitions": (to_html, numbered("[a{}]: https://e.e\n\n")),
    "Markdown footnotes": (to_html, numbered("[^{0}]\n\n[^{0}]: a\n\n")),
    "frames of paragraphs": (frames, repeated("a\n\n")),
    "frames of definitions": (frames, numbered("[a{}]: https://e.e\n\n")),
    "frames of code": (frames, lambda size: "```\n" + "a\n" * (size // 2)),
}


def seconds(function: Callable[[Any], Any], value: Any) -> float:
    taken = []
    for _ in range(3):
        begun = time.process_time()
        function(value)
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def main() -> None:
    named = sys.argv[1:]
    for name, (function, make) in CASES.items():
        if not named or any(part in name for part in named):
            small, large = (seconds(function, make(size)) for size in SIZES)
            print(
                f"{name:24} {large:8.3f} s for 100 kB, {large / max(small, 1e-6):6.1f} times 10 kB"
            )


if __name__ == "__main__":
    main()

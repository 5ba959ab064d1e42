"""What must hold of what is shown of any text, whoever has written it.

`check_page` and `check_frames` raise for a fault: any exception, HTML that `judge` does not allow,
a hidden character, or text that cannot be saved. The tests and the fuzzer of `tests/fuzz` share
them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from support.any_answer import pieces
from support.hidden import is_hidden
from support.judge import faults, trusting_html

from qianfan_magic import SearchResult
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.calls import CallOutput, RoundOutput
from qianfan_magic.views.rendering.incremental import BlockStream

#: Formats in which an answer is shown.
FORMS = ("markdown", "html", "json", "schema", "text")
#: Addresses of sources.
_SOURCES = {1: "https://source.example/a?b=1&c='d'"}


def calls_of(text: str) -> RoundOutput:
    """Return calls in which each text is of the model, or of data that a function read."""
    rich = {"text/html": f"<table><tr><td>{text}</td></tr></table>", "text/plain": text}
    return RoundOutput(
        text,
        (
            CallOutput(text, json.dumps({text: text}), "running"),
            CallOutput(text, text, "failed", text),
            CallOutput("read", "{}", "done", text, rich),
            CallOutput("draw", "{}", "done", text, {"image/png": text}),
        ),
    )


def check_page(text: str, form: str) -> None:
    """Check the output of an answer that has a text in every place."""
    source = SearchResult(index=1, url="https://source.example/", title=text, site=text, date=text)
    output = AnswerOutput(
        text,
        form,
        notes=(text,),
        service=text,
        parameters=text,
        reasoning=text,
        sources=(source,),
        rounds=(calls_of(text),),
    )
    bundle = output.bundle()
    assert faults(bundle["text/html"]) == []
    assert faults(trusting_html(bundle.get("text/markdown", ""))) == []
    shown = "".join(bundle.values())
    assert shown.encode() is not None  # without lone surrogates
    assert not list(filter(is_hidden, shown))


def check_frames(text: str, places: Sequence[int]) -> None:
    """Check each frame of an answer while it arrives in pieces."""
    stream = BlockStream(_SOURCES)
    for part in pieces(text, places):
        frame = stream.frame(part)
        assert faults(frame.closed) == []
        assert faults(frame.open) == []
        assert not list(filter(is_hidden, frame.closed + frame.open + (frame.more or "")))
    assert faults(stream.end()) == []

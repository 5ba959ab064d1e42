"""An answer while it is streamed: shown chunk by chunk, and kept if it is cut short."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from qianfan_magic import Chunk, StreamError, Usage
from qianfan_magic.api.catalogue.resolver import Service
from qianfan_magic.api.tools import read_tools
from qianfan_magic.conversation.conversation import Fit
from qianfan_magic.session.answer_stream import AnswerStream
from qianfan_magic.session.cell_options import CellOptions
from qianfan_magic.session.cell_request import CellRequest
from qianfan_magic.session.comparison import read_side_by_side


class Sender:
    """Yields chunks with the given texts, then raises the error, if one is given."""

    after: Any = None

    def __init__(self, *texts: str, error: BaseException | None = None, held: str = "") -> None:
        self.request = CellRequest(
            kind="completion",
            text="hi",
            service=Service("starcoder"),
            parameters={},
            options=CellOptions(),
            format="text",
        )
        self.fit = Fit([])
        self.answer_stats = None
        self.is_closed = False
        self._texts, self._error, self._held = texts, error, held

    def chunks(self):
        try:
            for text in self._texts:
                yield Chunk(text, is_end=False, usage=Usage(1, 2, 3), raw={"id": "as-1"})
            if self._error:
                raise self._error
        finally:
            self.is_closed = True

    def held_back(self) -> Chunk | None:
        return Chunk(self._held, is_end=False, usage=Usage(), raw={}) if self._held else None


class Recorder:
    """A view that records the chunks; it can raise KeyboardInterrupt at the first one."""

    def __init__(self, *, interrupts: bool = False) -> None:
        self.texts: list[str] = []
        self._interrupts = interrupts

    def begin(self) -> None:
        pass

    def write(self, chunk: Chunk, column: int = 0) -> None:
        assert column == 0
        self.texts.append(chunk.text)
        if self._interrupts:
            raise KeyboardInterrupt

    def end(self, shown: Any, metadata: Any = None) -> None:
        pass

    def show_call(self, call: Any, number: int) -> None:
        pass


def test_chunks_are_shown_as_they_arrive():
    view, answer = Recorder(), AnswerStream(Sender("a", "b"))
    answer.read(view)
    assert view.texts == ["a", "b"]
    assert answer.state == "done"
    assert answer.reply.text == "ab"
    assert answer.reply.id == "as-1"


def test_output_has_the_answer_with_its_service_and_notes():
    answer = AnswerStream(Sender("a", "b"))
    answer.read(Recorder())
    output = answer.output(["a note"])
    assert (output.text, output.state, output.tokens) == ("ab", "done", 2)
    assert output.notes == ("a note",)
    assert "starcoder" in output.line


@pytest.mark.parametrize("texts", [(), ("a", "b")])
def test_interrupted_answer_is_stopped_and_kept(texts):
    sender = Sender(*texts, error=KeyboardInterrupt())
    answer = AnswerStream(sender)
    answer.read(Recorder())
    assert answer.state == "stopped"
    assert isinstance(answer.interrupt, KeyboardInterrupt)
    assert answer.output().text == "".join(texts)


def test_interrupt_while_a_chunk_is_shown_closes_the_stream():
    sender = Sender("a", "b")
    answer = AnswerStream(sender)
    answer.read(Recorder(interrupts=True))
    assert sender.is_closed
    assert answer.reply.text == "a"


def test_answer_that_breaks_off_is_kept_and_raises():
    answer = AnswerStream(Sender("a", error=StreamError("lost")))
    with pytest.raises(StreamError):
        answer.read(Recorder())
    assert answer.has_failed
    assert (answer.output().text, answer.output().state) == ("a", "broken off")


def test_answer_that_fails_before_its_first_chunk_shows_nothing():
    answer = AnswerStream(Sender(error=StreamError("lost")))
    with pytest.raises(StreamError):
        answer.read(Recorder())
    assert answer.output().bundle() == {"text/plain": ""}


def test_column_that_breaks_off_names_its_error():
    answer = AnswerStream(Sender("a"), "top_k=1")
    answer.end("broken off", StreamError("It was lost", hint="Try again."))
    assert answer.output().notes == ("StreamError: It was lost", "Try again.")


def test_text_that_masking_held_back_is_added_to_an_answer_that_ended_early():
    answer = AnswerStream(Sender("a", error=KeyboardInterrupt(), held="***"))
    answer.read(Recorder())
    assert answer.reply.text == "a***"
    assert answer.reply.id == "as-1"


class EndlessSender(Sender):
    """Yields its chunks, and then falls silent until it is aborted."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.has_yielded_all, self._is_aborted = threading.Event(), threading.Event()

    def chunks(self):
        yield from super().chunks()
        self.has_yielded_all.set()
        self._is_aborted.wait(10)

    def abort(self) -> None:
        self._is_aborted.set()


def test_stopped_column_keeps_the_chunks_that_are_not_shown_yet():
    sender = EndlessSender("a", "b", "c")

    class SlowRecorder(Recorder):
        def write(self, chunk: Chunk, column: int = 0) -> None:
            assert sender.has_yielded_all.wait(10)
            super().write(chunk, column)

    view, column = SlowRecorder(interrupts=True), AnswerStream(sender, "title")
    with pytest.raises(KeyboardInterrupt):
        read_side_by_side([column], view)
    assert view.texts == ["a"]
    assert column.state == "stopped"
    assert column.reply.text == "abc"


def test_call_is_stopped_wherever_the_interrupt_comes():
    def add(x: int) -> int:
        return x + 1

    def interrupted(_: object) -> dict[str, str]:
        raise KeyboardInterrupt  # while the result is made ready to be shown

    sender = Sender()
    sender.request = replace(sender.request, tools=read_tools([add]))
    call = {"name": "add", "arguments": '{"x": 1}'}
    asks = Chunk("", is_end=True, usage=Usage(), raw={"function_call": call})
    sender.chunks = lambda: (chunk for chunk in [asks])
    sender.after = lambda _: pytest.fail("it goes on")
    answer = AnswerStream(sender)
    answer.read(Recorder(), interrupted)
    [one] = answer.output().rounds
    assert [(call.name, call.state) for call in one.calls] == [("add", "stopped")]

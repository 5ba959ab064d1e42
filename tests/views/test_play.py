"""Play: the chunks of an answer go to a view, whether it ends well, is stopped, or breaks off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from qianfan_magic import Chunk, StreamError, Usage
from qianfan_magic.views.play import Play
from qianfan_magic.views.rendering.answer import AnswerOutput


class Recorder:
    """A view that records what it is given; one that fails is stopped at its first chunk."""

    def __init__(self, *, fails: bool = False) -> None:
        self.written: list[str] = []
        self.ended: list[tuple[AnswerOutput, Mapping[str, Any]]] = []
        self._fails = fails

    def begin(self) -> None:
        pass

    def write(self, chunk: Chunk, _: int = 0) -> None:
        self.written.append(chunk.text)
        if self._fails:
            raise KeyboardInterrupt

    def end(self, output: AnswerOutput, metadata: Mapping[str, Any]) -> None:
        self.ended.append((output, metadata))


def stream(*texts: str, error: BaseException | None = None):
    """Yield chunks, and then raise an error, if there is one."""
    for text in texts:
        yield Chunk(text, is_end=False, usage=Usage(), raw={})
    if error:
        raise error


def test_chunks_are_shown_as_they_arrive():
    view = Recorder()
    Play(view, form="markdown", asked="asked").run(stream("a", "b"))
    assert view.written == ["a", "b"]
    assert view.ended == []


def test_end_shows_the_answer_with_its_notes_and_metadata():
    view = Recorder()
    play = Play(view, form="text", asked="asked")
    play.run(stream("a", "b"))
    play.end("done", ["note"], {"a": 1})
    output = AnswerOutput("ab", notes=("note",), asked="asked", state="done")
    assert view.ended == [(output, {"a": 1})]


def test_interrupted_answer_is_kept_and_marked():
    stop, lost = KeyboardInterrupt(), StreamError("lost")
    for state, texts, error, shown in (
        ("stopped", ("a", "b"), stop, AnswerOutput("ab", "text", asked="asked", state="stopped")),
        ("stopped", (), stop, AnswerOutput("", "text", asked="asked", state="stopped")),
        ("broken off", ("a",), lost, AnswerOutput("a", "text", asked="asked", state="broken off")),
        ("broken off", (), lost, AnswerOutput("")),  # it failed before the first word
    ):
        play = Play(Recorder(), form="text", asked="asked")
        with pytest.raises(type(error)):
            play.run(stream(*texts, error=error))
        assert [chunk.text for chunk in play.chunks] == list(texts)
        assert play.end(state) == shown


def test_stop_while_a_chunk_is_shown_closes_the_stream_and_keeps_the_chunk():
    chunks = stream("a", "b")  # referenced here, so that the garbage collector does not close it
    play = Play(Recorder(fails=True), form="markdown", asked="asked")
    with pytest.raises(KeyboardInterrupt):
        play.run(chunks)
    assert next(chunks, None) is None
    assert play.end("stopped").text == "a"

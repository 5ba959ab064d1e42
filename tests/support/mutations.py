"""Inputs to begin with, and the words that matter in them, for tests and fuzzing by mutation."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from support.hostile import PAYLOADS

from qianfan_magic.api.batch.answers import FILE as ANSWERS
from qianfan_magic.api.batch.answers import Answer, AnswerStore, Job

_TESTS = Path(__file__).parent.parent
_EVENTS_V1 = b"""\
data: {"id": "as-1", "result": "The ", "is_end": false, "sentence_id": 0}

data: {"id": "as-1", "result": "wall.", "is_end": true, "is_truncated": true, "ban_round": 1,\
 "need_clear_history": true, "usage": {"prompt_tokens": 1, "completion_tokens": 2,\
 "total_tokens": 3}}

"""
_SEARCH = b"""\
data: {"id": "as-2", "choices": [{"index": 0, "delta": {"content": "It is old^[1]^."},\
 "finish_reason": "stop", "flag": 0}], "search_results": [{"index": 1, "url":\
 "https://wall.example/", "title": "The wall", "site_name": "wall.example"}]}

data: [DONE]

"""
_ERRORS = (
    b'{"error_code": 336501, "error_msg": "Rate limit reached", "id": "as-3"}',
    b'{"error": {"code": "invalid_model", "message": "No such model", "type": "x"}, "id": "as-4"}',
    b'{"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}',
    b'event: error\ndata: {"code": 500, "message": "no"}\n\n',
)
_TOML = b"""\
[qianfan.models]
tutor = "ernie-5.1"

[qianfan.models.ours]
endpoint = "ngxxxol8_test1"
kind = ["chat", "completion"]
max_characters = 4_800
max_tokens = 0xff
sees = true
thinks = "enable_thinking"
defaults = { temperature = 0.5, top_p = 1e-1, stop = ["x"] }

[qianfan.mcp.files]
command = "python"
args = ["files.py"]
env = { A = "b" }
"""
_ENV = b"""\
# keys
QIANFAN_AK=abcdefghijk
export QIANFAN_SK="a b\\n${X}"
QIANFAN_BASE_URL='http://127.0.0.1:8000'
QIANFAN_LLM_API_RETRY_COUNT=3
QIANFAN_LLM_API_RETRY_TIMEOUT=1e1
QIANFAN_PROXY=socks5h://u:p@127.0.0.1:1
"""
#: By name of a file (see `any_file`): what it holds if nothing is wrong.
_FILES = {
    "qianfan.toml": _TOML,
    ".env": _ENV,
    "token.json": b'{"access_token": "24.abc", "obtained_at": 1.5e9, "expires_at": 4e9}',
    "models.json": b'{"asked_at": 1.9e9, "models": ["ernie-5.1", "x"]}',
    "answer.json": b'["Yes.", 9, 0.5, "", ""]',
}


#: Names of fields of the service's JSON: around the choices of a chunk, and in one.
_AROUND = (
    *("id", "result", "is_end", "is_safe", "need_clear_history", "ban_round", "usage"),
    *("error_code", "error_msg", "error", "code", "message", "search_results", "function_call"),
)
_WITHIN = (
    *("content", "text", "reasoning_content", "reasoning", "tool_calls", "message", "delta"),
    *("finish_reason", "flag", "ban_round"),
)
#: Names of fields below these.
_BELOW = (
    *("function", "name", "arguments", "index", "id", "type", "content", "message", "msg", "code"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "completion_tokens_details", "url"),
)


@cache
def streams() -> tuple[bytes, ...]:
    """Return responses of both versions of the API: streams, whole ones, errors."""
    recorded = [path.read_bytes() for path in sorted((_TESTS / "data/streams").glob("*.sse"))]
    whole = [b'{"id": "as-5", "result": "Yes.", "usage": {"total_tokens": 3}}']
    whole += [b'{"choices": [{"message": {"content": "<think>x\\n</think>Yes."}}]}']
    return (*recorded, _EVENTS_V1, _SEARCH, *whole, *_ERRORS)


@cache
def files() -> tuple[tuple[str, bytes], ...]:
    """Return files that the package reads, each with its name."""
    data = _TESTS / "conversation/data"
    named = dict(_FILES)
    # Shorter than they are stored, so that a mutation seldom falls on an indentation.
    for name, source in (("notebook.ipynb", "notebook"), ("conversations.json", "conversations")):
        value = json.loads((data / f"{source}.json").read_bytes())
        named[name] = json.dumps(value, ensure_ascii=False).encode()
    with TemporaryDirectory() as folder:
        with AnswerStore(Path(folder)) as store:
            store.begin(Job("any", "{x}?", "ernie-5.1", rows=1))
            store.keep("any", "1", Answer("Yes.", 9, 0.5))
        named[ANSWERS] = (Path(folder) / ANSWERS).read_bytes()
    return tuple(named.items())


def texts() -> tuple[str, ...]:
    """Return hostile answers."""
    return tuple(PAYLOADS.values())


#: What a mutation puts into JSON, a stream or a file: values of another type, or too large or deep;
#: halves of characters; what ends lines and events.
JSON_WORDS: tuple[bytes, ...] = (
    *(b"null", b"true", b"-1", b"1.5", b"1e400", b"NaN", b"-Infinity", b'""', b'"x"', b"[]", b"{}"),
    *(b"9" * 18, b"9" * 5_000, b"0x" + b"f" * 5_000, b"[" * 1_200, b'{"a":' * 1_200),
    *(
        b"[" * 900 + b"]" * 900,
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\\u2028"',
        b"\\udfff",
        b"\xe2\x80\xa8",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xff",
        b"\x00",
        b"\n",
        b"\r",
        b"\n\n",
        b"data: ",
        b"event: ping\n",
        b"[DONE]",
    ),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"=", b"#", b"'", b"${", b" "),
    *(b'"id": ', b'"choices": ', b'"delta": ', b'"message": ', b'"usage": ', b'"error": '),
    *(b'"finish_reason": "stop"', b'"code": ', b'"result": ', b'"is_end": true', b'"tool_calls": '),
    *(b'"continues": ', b'"metadata": ', b'"version": ', b'"clock": ', b'"heads": ', b'"turns": '),
)
#: What a mutation puts into a text: the beginnings and ends of Markdown, HTML and TeX.
TEXT_WORDS = (
    *("<", ">", "</", "<!--", "-->", "<![CDATA[", "<?", "&lt;", "&#x3c;", "&colon;", "&#x202e;"),
    *('"', "'", "`", "```", "~~~", "\n", "\n\n", "\r", "\t", " ", "\\", "\0", "\ud800", "\u2028"),
    *(
        "[",
        "](",
        "]: ",
        "![",
        "][",
        "(<",
        ")",
        "[^1]",
        "[^1]: ",
        "^[1]^",
        "**",
        "_",
        "~~",
        "|",
        "|-",
    ),
    *("# ", "> ", "- ", "1. ", "    ", "===", "$", "$$", r"\(", r"\[", r"\href{javascript:1}{x}"),
    *("<script>", "<style>", "<svg", "<math>", "<img src=x onerror=1>", "<a href=", "<table>"),
    *(
        "<p id=x>",
        "<template>",
        "<noscript>",
        "<details open ontoggle=1>",
        "style='position:fixed'",
    ),
    *("javascript:", "data:image/png;base64,AAAA", "data:text/html,x", "https://evil.example/"),
    *("//evil.example", "good.example", "python\n", "html\n", "\u202e", "\u200b", "\x1b[2J", "字"),
    *('{"a": ', "[1, ", "<think>", "<div>" * 9, "[" * 30, "> " * 20),
)


def paths(value: Any, *parents: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else ()
    for name, inner in enumerate(value) if isinstance(value, list) else items:
        yield (*parents, name)
        yield from paths(inner, *parents, name)


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a JSON value in which the value at a path is another."""
    copied = inner = copy.deepcopy(value)
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return copied


_EDIT = st.tuples(st.integers(0, 100_000), st.integers(0, 40))


def mutated(seeds: Any, words: Any) -> st.SearchStrategy[Any]:
    """Draw seeds, bytes or texts, in which up to six parts are cut out or replaced by words."""
    edits = st.lists(st.tuples(_EDIT, st.sampled_from([words[0][:0], *words])), max_size=6)
    return st.tuples(seeds, edits).map(lambda drawn: _edited(*drawn))


def _edited(seed: Any, edits: Any) -> Any:
    for (place, length), word in edits:
        start = place % (len(seed) + 1)
        seed = seed[:start] + word + seed[start + length :]
    return seed


#: JSON values of every kind, among them what JSON cannot hold but Python's parser takes.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from(
        ["stop", "length", "a\ud83d", "\ude00", 10**4_299, json.loads("[" * 500 + "]" * 500)]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_BELOW) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


def with_any_value(document: bytes) -> st.SearchStrategy[bytes]:
    """Draw a JSON document in which one value is any other."""
    value = json.loads(document)
    places = st.sampled_from(list(paths(value)))
    return st.builds(replaced, st.just(value), places, VALUES).map(_encoded)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """Draw a stream of events with the fields of both versions of the API and any values."""
    within = st.dictionaries(st.sampled_from(_WITHIN), VALUES, max_size=3)
    choices = within | st.builds(lambda rest, delta: rest | {"delta": delta}, within, within)
    around = st.dictionaries(st.sampled_from(_AROUND), VALUES, max_size=3)
    answers = st.builds(lambda choice: {"choices": [choice]}, choices) | st.builds(
        lambda text: {"result": text}, st.text() | VALUES
    )
    chunks = st.lists(st.builds(lambda rest, answer: rest | answer, around, answers), max_size=3)
    return b"".join(b"data: " + _encoded(chunk) + b"\n\n" for chunk in draw(chunks))


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()

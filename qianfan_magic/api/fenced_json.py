"""The JSON of an answer: alone, in a fenced block, or in a fenced block with words around it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from qianfan_magic.api.json_depth import is_too_deep
from qianfan_magic.language import mark, tr

__all__ = ["JsonAnswer", "last_json_block", "read_json"]

#: First line of a fenced block (CommonMark 0.31, section 4.5): the fence and the language.
_OPENING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*")
#: Beginnings of the messages of `json.JSONDecodeError` (Python 3.11 to 3.14), in plain words.
_PROBLEMS = {
    "Expecting property name": mark("a name in double quotes was expected"),
    "Expecting value": mark(
        "a value was expected: a text in double quotes, a number, a list, an object"
    ),
    "Expecting ',' delimiter": mark("a comma or a closing bracket was expected"),
    "Expecting ':' delimiter": mark("a colon was expected after the name"),
    "Extra data": mark("the JSON has ended, but more follows"),
    "Unterminated string": mark("the text that begins here has no closing quote"),
    "Invalid control character": mark("a text contains a line break or another control character"),
    "Invalid \\escape": mark("a backslash begins nothing that JSON knows"),
    "Invalid \\uXXXX": mark("four hexadecimal digits were expected after \\u"),
    "Illegal trailing comma": mark("a comma stands before a closing bracket"),
}
#: Languages of a block that is taken out of the words around it.
_LANGUAGES = frozenset({"", "json"})


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The JSON of an answer.

    Attributes
    ----------
    value
        The value, as `json.loads` returns it.
    text
        Its text, without a fence.
    has_words
        Whether there are words around the block that has it.
    """

    value: Any
    text: str
    has_words: bool = False


def read_json(answer: str) -> JsonAnswer:
    r"""Read the JSON of an answer.

    Raises
    ------
    ValueError
        If the answer is neither JSON (RFC 8259, which has no ``NaN``) nor has exactly one fenced
        block, which is JSON; the message says where.

    Examples
    --------
    >>> read_json("Here it is:\n```json\n[1]\n```").value
    [1]
    """
    text, has_words = _without_fence(answer)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise ValueError(_described(error)) from None
    if is_too_deep(value):
        raise _too_deep()
    json.dumps(value, allow_nan=False)  # 1e999 is read as infinity
    return JsonAnswer(value, text, has_words)


def _too_deep() -> ValueError:
    return ValueError(tr("it is nested too deeply"))


def _described(error: json.JSONDecodeError) -> str:
    """Say in plain words what is wrong with JSON, and where."""
    known = (words for start, words in _PROBLEMS.items() if error.msg.startswith(start))
    words = tr(next(known, error.msg))
    if not error.doc[error.pos :].strip():
        words = tr("it ends where {words}", words=words) if error.doc.strip() else tr("it is empty")
    return tr(
        "{words}, at line {lineno}, column {colno}",
        words=words,
        lineno=error.lineno,
        colno=error.colno,
    )


def last_json_block(text: str) -> Any:
    """Return the JSON value in the last fenced block of a text; None if it is none."""
    blocks, _ = _split(text)
    try:
        return json.loads(blocks[-1][1]) if blocks else None
    except (ValueError, RecursionError):
        return None


def _without_fence(answer: str) -> tuple[str, bool]:
    """Return the content of the only fenced block, and whether there are words around it."""
    blocks, words = _split(answer)
    if len(blocks) != 1:
        return answer, False
    [(language, content)] = blocks
    return (answer, False) if words and language.lower() not in _LANGUAGES else (content, words)


def _split(answer: str) -> tuple[list[tuple[str, str]], bool]:
    """Return language and content of the closed blocks, and whether there is anything else."""
    blocks: list[tuple[str, str]] = []
    fence, language, content, words = "", "", list[str](), False
    for line in answer.split("\n"):
        stripped = line.strip()
        opening = None if fence else _OPENING.fullmatch(line.rstrip("\r"))
        if opening:
            fence, language, content = opening[1], opening[2], []
        elif not fence:
            words = words or bool(stripped)
        elif len(stripped) >= len(fence) and not stripped.strip(fence[0]):
            blocks.append((language, "\n".join(content)))
            fence = ""
        else:
            content.append(line)
    return blocks, words or bool(fence)


def _refuse(constant: str) -> NoReturn:
    """Reject ``NaN`` and ``Infinity``, which Python's parser accepts by default."""
    raise ValueError(tr("{constant} is not JSON", constant=constant))

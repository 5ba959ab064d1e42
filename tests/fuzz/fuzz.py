"""Fuzz what reads untrusted bytes, guided by coverage; needs ``pip install atheris``.

    python tests/fuzz/fuzz.py sse --minutes 30

The targets are ``sse`` (the reader of server-sent events), ``chunks`` (responses of both versions
of the API), ``json`` (files: notebooks, conversations, settings, caches) and ``html`` (what is
shown of an answer). An input that fails is left in ``build/fuzz``, as ``TARGET-crash-…`` or
``TARGET-timeout-…``, and is tried again by ``--again FILE``.

The last bytes of an input choose among the variants of a target, such as the status of a response.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

_INSTRUMENTED = ["qianfan_magic", "markdown_it", "mdit_py_plugins", "dotenv", "tomllib", "json"]
with atheris.instrument_imports(include=_INSTRUMENTED):
    from support.any_answer import Response, check_answer, check_events
    from support.any_file import FILES, check_file
    from support.any_text import FORMS, check_frames, check_page
    from support.mutations import JSON_WORDS, TEXT_WORDS, files, streams, texts

    from qianfan_magic.api.types import ApiVersion

#: Seconds after which an input is taken for one that blocks the kernel.
TIMEOUT = 10
#: Largest input in bytes.
MAX_LENGTH = 8_192
#: Number of the bytes that choose a variant.
_OPTIONS = 8
BUILD = Path("build/fuzz")
_STATUSES = (200, 400, 401, 429, 500)
_TYPES = ("text/event-stream", "application/json", "text/html", "")
_NAMES = list(FILES)


def sse(content: bytes, options: bytes) -> None:
    check_events(content, _places(options))


def chunks(content: bytes, options: bytes) -> None:
    version, status, content_type, is_stream = options[:4]
    response = Response(
        content,
        _places(options[4:]),
        _STATUSES[status % len(_STATUSES)],
        _TYPES[content_type % len(_TYPES)],
        is_stream=is_stream % 2 == 0,
    )
    check_answer(ApiVersion(2 - version % 2), response)


def json(content: bytes, options: bytes) -> None:
    check_file(_NAMES[options[0] % len(_NAMES)], content)


def html(content: bytes, options: bytes) -> None:
    # Bytes that are no UTF-8 become lone surrogates, which JSON may bring, too.
    text, form = content.decode("utf-8", "surrogateescape"), options[0] % (len(FORMS) + 1)
    if form < len(FORMS):
        check_page(text, FORMS[form])
    else:
        check_frames(text, _places(options[1:]))


def _places(options: bytes) -> list[int]:
    """Return where the content is cut."""
    return [byte * (1 + 31 * (index % 2)) for index, byte in enumerate(options) if byte]


class Target(NamedTuple):
    """What is fuzzed, inputs to begin with, and words to put into them."""

    check: Callable[[bytes, bytes], None]
    seeds: Iterable[tuple[bytes, int]]
    words: Iterable[bytes]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


TARGETS = {
    "sse": Target(sse, [(stream, 0) for stream in streams()], JSON_WORDS),
    "chunks": Target(chunks, [(s, version) for s in streams() for version in (0, 1)], JSON_WORDS),
    "json": Target(json, [(text, _NAMES.index(name)) for name, text in files()], JSON_WORDS),
    "html": Target(
        html,
        [(_bytes(text), form) for text in texts() for form in (0, 1, len(FORMS))],
        map(_bytes, TEXT_WORDS),
    ),
}


def _run(target: Target, data: bytes) -> None:
    target.check(data[:-_OPTIONS], data[-_OPTIONS:].rjust(_OPTIONS, b"\0"))


def _write_corpus(folder: Path, target: Target) -> Path:
    """Write the seeds, each with the bytes that choose its variant, and the dictionary."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (seed, first) in enumerate(target.seeds):
        (folder / f"seed-{number}").write_bytes(seed + bytes([first, *[0] * (_OPTIONS - 1)]))
    dictionary = folder.with_suffix(".dict")
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    dictionary.write_text("".join(f'"{word}"\n' for word in words if 0 < len(word) <= 4 * 64))
    return dictionary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--again", type=Path, help="an input that failed")
    given = parser.parse_args()
    target, corpus = TARGETS[given.target], BUILD / given.target
    if given.again:
        _run(target, given.again.read_bytes())
        return
    dictionary = _write_corpus(corpus, target)
    options = [
        f"-max_total_time={given.minutes * 60:.0f}",
        f"-timeout={TIMEOUT}",
        f"-max_len={MAX_LENGTH}",
        f"-dict={dictionary}",
        f"-artifact_prefix={BUILD / given.target}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: _run(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()

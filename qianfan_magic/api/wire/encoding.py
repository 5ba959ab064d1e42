"""Encoding of request bodies, and joining of characters that are split between chunks; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["encode_body", "join_surrogates"]

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def encode_body(body: Mapping[str, Any]) -> str:
    """Encode a body as JSON with one line for each field and each message.

    It is sent in this form, so that a request that is shown is exactly the one that was sent.

    Examples
    --------
    >>> print(encode_body({"messages": [{"role": "user", "content": "hi"}], "top_p": 0.5}))
    {
      "messages": [
        {"role": "user", "content": "hi"}
      ],
      "top_p": 0.5
    }
    """
    lines = []
    for name, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n    ".join(map(_encode, value))
            text = f"[\n    {items}\n  ]"
        else:
            text = _encode(value)
        lines.append(f"  {_encode(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}"


_SURROGATE = re.compile("[\ud800-\udfff]")


def join_surrogates(held: str, text: str, *, last: bool) -> tuple[str, str]:
    r"""Join surrogate pairs whose halves are in different chunks.

    JSON may write an emoji as two escapes, ``\ud83d\ude00``, and a service that counts UTF-16
    code units may split a chunk between them.

    Parameters
    ----------
    held
        A high surrogate held back from the previous chunk, or an empty text.
    text
        The text of this chunk.
    last
        Whether no chunk follows; a surrogate without its pair then becomes U+FFFD.

    Returns
    -------
    text : str
        The text without surrogates.
    held : str
        A high surrogate that the next chunk may complete, or an empty text.
    """
    text = held + text
    if text.isascii() or not _SURROGATE.search(text):  # nearly every chunk
        return text, ""
    held = text[-1] if not last and "\ud800" <= text[-1] <= "\udbff" else ""
    text = text[: len(text) - len(held)]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), held

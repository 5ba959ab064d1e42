"""Text and JSON: how a body is written, and whole characters out of pieces; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def encode_body(body: Mapping[str, Any]) -> str:
    """Write a body as JSON, one line for each field and each message.

    It goes over the wire like this, so that what is shown of a request is what was sent.
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


_HALF = re.compile("[\ud800-\udfff]")


def join_surrogates(held: str, text: str, *, last: bool) -> tuple[str, str]:
    r"""Join the halves of characters that stand in different chunks.

    JSON may write an emoji as two escapes, ``\ud83d\ude00``, and a service that counts in such
    halves may cut between them.

    Parameters
    ----------
    held
        Half a character from the chunk before, or nothing.
    text
        Of this chunk.
    last
        Whether no chunk follows; a half that is left alone then becomes U+FFFD.

    Returns
    -------
    text : str
        Without halves.
    held : str
        What the next chunk completes.
    """
    text = held + text
    if text.isascii() or not _HALF.search(text):
        return text, ""
    held = text[-1] if not last and "\ud800" <= text[-1] <= "\udbff" else ""
    text = text[: len(text) - len(held)]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), held

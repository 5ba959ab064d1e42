"""Whole characters out of JSON that was cut between the halves of one; pure."""

from __future__ import annotations

import re

_HALF = re.compile("[\ud800-\udfff]")


def whole_characters(held: str, text: str, *, last: bool) -> tuple[str, str]:
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

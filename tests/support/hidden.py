"""Characters that hide or turn text."""

from __future__ import annotations

import unicodedata


def is_hidden(character: str) -> bool:
    directs = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    controls = unicodedata.category(character) in {"Cc", "Cs"} and character not in "\n\t"
    return controls or unicodedata.bidirectional(character) in directs

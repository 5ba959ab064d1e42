"""The look of answers and reports, from ``style.css``: inline for saved notebooks, or as it is."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["STYLE_SHEET", "inline", "scrollable"]

#: The file of the rules.
STYLE_SHEET = Path(__file__).with_name("style.css")
_RULE = re.compile(r"^\.qianfan-([a-z]+)[^{]*\{([^}]*)\}", re.MULTILINE)


@cache
def inline(name: str) -> str:
    """Return the declarations of a class, for an attribute ``style``.

    Parameters
    ----------
    name
        The class, without its prefix ``qianfan-``.

    Raises
    ------
    KeyError
        If ``style.css`` has no rule that begins with this class.

    Examples
    --------
    >>> inline("grid")
    'margin:0 0 0.5em'
    """
    rules = dict(_RULE.findall(STYLE_SHEET.read_text("utf-8")))
    return re.sub(r"\s*([:;,])\s*", r"\1", " ".join(rules[name].split()))


def scrollable(html: str) -> str:
    """Let each table of well-formed HTML scroll by itself, with the keyboard too.

    Safari scrolls only what ``tabindex`` makes focusable (axe-core 4.12, rule
    ``scrollable-region-focusable``).
    """
    opening = f'<div style="{inline("wide")}" tabindex="0"><table'
    return html.replace("<table", opening).replace("</table>", "</table></div>")

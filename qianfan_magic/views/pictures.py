"""The pictures of a question, in small."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qianfan_magic.picture import Picture
from qianfan_magic.views.mathematics import IGNORED
from qianfan_magic.views.shown import QUIET
from qianfan_magic.views.visible import visible

ROW = "display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end"
FIGURE = "margin: 0; max-width: 100%"
IMAGE = "max-width: 100%; height: auto"


def pictures_bundle(pictures: Sequence[Picture]) -> dict[str, str]:
    """Make the plain output of pictures: small copies, with what is sent under each."""
    html, plain = [], []
    for picture in pictures:
        said = escape(_said(picture))
        html.append(
            f'<figure style="{FIGURE}"><img style="{IMAGE}" src="{picture.small().url}" '
            f'alt="{escape(visible(picture.name))}">'
            f'<figcaption style="{QUIET}">{said}</figcaption></figure>'
        )
        plain.append(f"[Picture {_said(picture)}]")
    figures = "\n".join(html)
    return {
        "text/html": f'<div class="{IGNORED}" style="{ROW}">\n{figures}\n</div>',
        "text/plain": "\n".join(plain),
    }


def _said(picture: Picture) -> str:
    size = f"{picture.width:,} \N{MULTIPLICATION SIGN} {picture.height:,} pixels"
    kilobytes = max(round(len(picture.data) / 1000), 1)
    return f"{visible(picture.name)}: {size}, {kilobytes:,} kB"

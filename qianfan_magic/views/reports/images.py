"""The pictures of a question, in small."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qianfan_magic.api.images.image import Image
from qianfan_magic.views.rendering.answer import QUIET
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import IGNORED

ROW = "display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end"
FIGURE = "margin: 0; max-width: 100%"
IMAGE = "max-width: 100%; height: auto"


def images_bundle(pictures: Sequence[Image]) -> dict[str, str]:
    """Make the plain output of pictures: small copies, with what is sent under each."""
    html, plain = [], []
    for picture in pictures:
        said = escape(_said(picture))
        html.append(
            f'<figure style="{FIGURE}"><img style="{IMAGE}" src="{picture.thumbnail().url}" '
            f'alt="{escape(escape_invisible(picture.name))}">'
            f'<figcaption style="{QUIET}">{said}</figcaption></figure>'
        )
        plain.append(f"[Picture {_said(picture)}]")
    figures = "\n".join(html)
    return {
        "text/html": f'<div class="{IGNORED}" style="{ROW}">\n{figures}\n</div>',
        "text/plain": "\n".join(plain),
    }


def _said(picture: Image) -> str:
    size = f"{picture.width:,} \N{MULTIPLICATION SIGN} {picture.height:,} pixels"
    kilobytes = max(round(len(picture.data) / 1000), 1)
    return f"{escape_invisible(picture.name)}: {size}, {kilobytes:,} kB"

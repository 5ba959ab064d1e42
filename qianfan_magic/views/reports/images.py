"""Thumbnails of the images that a question sends."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qianfan_magic.api.images.image import Image
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import IGNORED
from qianfan_magic.views.rendering.style import inline

__all__ = ["images_bundle"]

ROW = "display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-end"
FIGURE = "margin: 0; max-width: 100%"
IMAGE = "max-width: 100%; height: auto"


def images_bundle(images: Sequence[Image]) -> dict[str, str]:
    """Make the MIME bundle of images: thumbnails, each with a caption of what is sent.

    The thumbnails are ``data:`` URLs, so that the saved notebook needs no files beside it.
    """
    html, plain = [], []
    for image in images:
        caption = _caption(image)
        html.append(
            f'<figure style="{FIGURE}"><img style="{IMAGE}" src="{image.thumbnail().url}" '
            f'alt="{escape(escape_invisible(image.name))}">'
            f'<figcaption style="{inline("line")}">{escape(caption)}</figcaption></figure>'
        )
        plain.append(f"[Picture {caption}]")
    figures = "\n".join(html)
    return {
        "text/html": f'<div class="{IGNORED}" style="{ROW}">\n{figures}\n</div>',
        "text/plain": "\n".join(plain),
    }


def _caption(image: Image) -> str:
    size = f"{image.width:,} \N{MULTIPLICATION SIGN} {image.height:,} pixels"
    kilobytes = max(round(len(image.data) / 1000), 1)
    return f"{escape_invisible(image.name)}: {size}, {kilobytes:,} kB"
